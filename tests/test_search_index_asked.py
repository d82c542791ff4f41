"""search_index = asked: an account has an index once somebody searched its text, and keeps it up from then on; all others have
nothing of the kind: no string, no text of an attachment. Answers are the same in any case."""
import os
import random
import re

import pytest

from lib import server as posthorn
from lib.searchindex import state, wait_indexed
from lib.waiting import wait_for
from test_search_index import answers, files, fill, mail, search

PDF = b"Subject: broken\r\nMIME-Version: 1.0\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nno PDF\r\n"


@pytest.fixture
def make():
    made = []

    def one(**settings):
        server = posthorn.Server({"log_level": "debug", "search_index": "asked", "test_index_after": 20, **settings})
        made.append(server)
        return server
    yield one
    for server in made:
        server.stop()


def deliver(server, user, n, first):
    rng = random.Random(first)
    c = server.imap(user)
    c.append_all("INBOX", [mail(rng, first + i) for i in range(n)])
    c.wire.close()


def without(server, c, n=60):
    server.reload(search_index="false")
    found = answers(c, n)
    server.reload(search_index="asked")
    return found


def accounts(server):
    """Those that have any derived string, by the name of their folder."""
    return {p.parent.name for p in files(server)}


def names(server, account):
    return {p.name for p in files(server) if p.parent.name == account}


def attachments_read_of(server):
    """Accounts of which extract was given attachments."""
    return set(re.findall(r"the text of an attachment cannot be searched, or not all of it: account=(\d+)", server.stderr()))


def test_only_who_asks(make):
    """The one who searches has an index, also after a restart and after kill -9; the one who never did has nothing."""
    server = make()
    quiet, ann = server.fresh_user("quiet"), server.fresh_user("ann")
    for user in (quiet, ann):
        deliver(server, user, 80, 0)
        c = server.imap(user)
        c.append_all("INBOX", [PDF] * 2)
        c.command("SELECT INBOX")
        assert search(c, "UNSEEN SUBJECT zzz") == [] and accounts(server) == set()
        if user == ann:
            assert len(search(c, "TEXT unique41")) == 1
        c.wire.close()
    wait_indexed(server, ann, 82)
    mine = accounts(server)
    assert len(mine) == 1 and {"asked", "covered"} < names(server, *mine)
    for turn, step in enumerate(("restart", "kill", "none"), 1):
        for user in (quiet, ann):
            deliver(server, user, 30, 1000)
        now = wait_indexed(server, ann, 82 + 30 * turn - 19)
        assert now["wanted"] and now["asked"]
        now = state(server, quiet)
        assert now["on"] and not now["wanted"] and "asked" not in now and now["documents"] == 0 and now["unindexed"] >= 112
        assert accounts(server) == mine
        assert len(attachments_read_of(server)) == 1
        if step == "restart":
            server.restart()
        elif step == "kill":
            server.kill()
            server.start()
    assert b"not asked yet, so not made (search_index = asked)" in posthorn.run_verb("mailbox", "index", quiet, "-c", server.config)
    assert b"; asked on 20" in posthorn.run_verb("mailbox", "index", ann, "-c", server.config)
    c = server.imap(quiet)
    c.command("SELECT INBOX")
    want = answers(c)
    assert sum(map(len, want.values())) > 500
    wait_indexed(server, quiet, 170)
    assert answers(c) == want == without(server, c)
    c.wire.close()
    posthorn.run_verb("verify", "-c", str(server.config))


ASKS = {
    "TEXT": "SEARCH TEXT alpha", "BODY": "SEARCH BODY alpha", "FUZZY": "SEARCH FUZZY TEXT alpha", "X-GM-RAW": "SEARCH X-GM-RAW alpha",
    "SORT": "SORT (ARRIVAL) UTF-8 TEXT alpha", "THREAD": "THREAD REFERENCES UTF-8 BODY alpha", "HEADER": "SEARCH HEADER X-Tag alpha",
    "NOT": "SEARCH OR FLAGGED NOT BODY alpha", "ESEARCH": "ESEARCH IN (personal) RETURN (COUNT) TEXT alpha",
}
NEVER = ("SEARCH HEADER Message-ID <1@example>", "SEARCH OR HEADER References <1@example> HEADER In-Reply-To <1@example>", "SEARCH FLAGGED TEXT alpha",
         "SEARCH UID 1:10 TEXT alpha", "SEARCH SINCE 1-Jan-2001 LARGER 1", "SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "SEARCH SUBJECT alpha")


def test_which_searches_count(make):
    """Those that the index would have answered; not what programs look for by themselves, and not what is read sooner."""
    server = make()
    for name, command in ASKS.items():
        user = server.fresh_user("kind")
        c = fill(server, user, 80)
        for cheap in NEVER:
            c.command(cheap)
        assert not state(server, user)["wanted"], name
        c.command(command)
        wait_indexed(server, user, 80)
        assert state(server, user)["wanted"], name
        c.wire.close()


def test_by_others(make):
    """A user who reads all of the account asks for it too; who sees a part of it does not, since the index does not answer there."""
    server = make(test_mount="bob lr")
    part = server.fresh_user("part")
    for user in ("bob", part):
        deliver(server, user, 80, 0)
    owner = server.imap(part)
    owner.command("CREATE Secret")
    owner.append_all("Secret", [PDF])
    owner.wire.close()
    posthorn.run_verb("acl", "set", part, "INBOX", "alice", "lr", "-c", server.config)
    c = server.imap("alice")
    c.command(f"SELECT Shared/{part}/INBOX")
    assert len(search(c, "TEXT unique41")) == 1
    assert not state(server, part)["wanted"]
    c.command("SELECT Shared/bob/INBOX")
    assert len(search(c, "TEXT unique41")) == 1
    wait_indexed(server, "bob", 80)
    assert state(server, "bob")["wanted"] and not state(server, "alice")["wanted"]
    c.wire.close()


def test_by_hand(make):
    server = make()
    user = server.fresh_user("hand")
    deliver(server, user, 80, 0)
    assert not state(server, user)["wanted"]
    posthorn.run_verb("mailbox", "index", user, "make", "-c", server.config)
    wait_indexed(server, user, 80)
    with pytest.raises(RuntimeError, match="make, not now"):
        posthorn.run_verb("mailbox", "index", user, "now", "-c", server.config)


def test_live_changes(make):
    """asked -> true: all are indexed, without a login. true -> asked: what there is stays and answers, what comes is not added until
    somebody asks. false: nothing of the mail is kept, but who asked has an index again when it is on again."""
    server = make(test_index_round="2s")
    user = server.fresh_user("live")
    deliver(server, user, 80, 0)
    assert accounts(server) == set()
    server.reload(search_index="true")
    wait_for(lambda: any(name.endswith("-t") for p in accounts(server) for name in names(server, p)), "the look at all accounts")
    wait_indexed(server, user, 80)
    account, = accounts(server)
    made = names(server, account)
    assert "asked" not in made
    server.reload(search_index="asked")
    deliver(server, user, 60, 80)
    now = state(server, user)
    assert now["documents"] == 80 and not now["wanted"] and now["unindexed"] == 60
    c = server.imap(user)
    c.command("SELECT INBOX")
    want = answers(c, 40)
    assert names(server, account) >= made
    wait_indexed(server, user, 140)
    assert answers(c, 40) == want == without(server, c, 40)
    server.reload(search_index="false")
    wait_for(lambda: names(server, account) == {"asked"}, "it is dropped")
    c.wire.close()
    server.reload(search_index="asked")
    wait_for(lambda: any(name.endswith("-t") for name in names(server, account)), "it is made again")
    wait_indexed(server, user, 140)


def test_beside_a_stopped_server(make):
    """The verb runs in a process of its own then, which makes no index and must not take the one that there is for unused."""
    server = make()
    user = server.fresh_user("stopped")
    c = fill(server, user, 80)
    search(c, "TEXT alpha")
    wait_indexed(server, user, 80)
    c.wire.close()
    before = files(server)
    server.process.terminate()
    assert server.process.wait(30) == 0
    assert b"only a running server has more to say" in posthorn.run_verb("mailbox", "index", user, "-c", server.config)
    assert files(server) == before
    server.start()
    assert state(server, user)["documents"] == 80


@pytest.mark.parametrize("way", ("flip", "cut", "gone"))
def test_damage_is_no_reason_to_forget(make, way):
    """Whichever string is damaged: the index is there again, without another search. Only `asked` itself cannot be gone."""
    server = make()
    user = server.fresh_user("damaged")
    c = fill(server, user, 80)
    search(c, "TEXT alpha")
    wait_indexed(server, user, 80)
    want = answers(c, 30)
    c.wire.close()
    count = 80
    for name in sorted(p.name for p in files(server)):
        path = next((p for p in files(server) if p.name == name), None)
        if path is None or (way == "gone" and name == "asked"):
            continue
        server.process.terminate()
        assert server.process.wait(30) == 0
        octets = path.read_bytes()
        if way == "gone":
            path.unlink()
        elif way == "cut":
            os.truncate(path, len(octets) - 3)
        else:
            at = len(octets) * 2 // 3
            path.write_bytes(octets[:at] + bytes([octets[at] ^ 0x40]) + octets[at + 1:])
        server.start()
        deliver(server, user, 30, 1000 + count)
        count += 30
        now = wait_indexed(server, user, count - 19)
        assert now["wanted"], name
    c = server.imap(user)
    c.command("SELECT INBOX")
    assert {q: [n for n in found if n <= 80] for q, found in answers(c, 30).items()} == want
    assert answers(c, 30) == without(server, c, 30)
    c.wire.close()
