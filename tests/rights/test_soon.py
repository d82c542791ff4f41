"""How soon a revoked right is felt, by the server's own clock: from the time of the log's line on the change to the time at which
the session was told (rawlog's stamps), whatever the machine does besides. The median of some rounds is less than a second."""
import datetime
import json
import re
import statistics

import pytest

from lib import server as posthorn
from lib.waiting import wait_for

from .matrix import MESSAGE
from .test_fell import until
from .test_time import load

ROUNDS, DAY = 5, 86400.0
PIECE = re.compile(rb"^--- (\d\d):(\d\d):(\d\d\.\d{6}) S (\d+)\n", re.M)


@pytest.fixture(name="server", scope="module")
def one_server():
    own = posthorn.Server({"log_format": "json", "admin_users": ["root"]})
    own.user_add("root")
    posthorn.run_verb("group", "add", "staff", "--data", own.data)
    own.imap("bob").close()
    posthorn.run_verb("rawlog", "bob", "on", "--data", own.data)
    yield own
    own.stop()


def told(server, what):
    """Seconds of the day at which something with these octets was sent to bob."""
    found = set()
    for file in (server.data / "rawlog").iterdir():
        octets = file.read_bytes()
        for piece in PIECE.finditer(octets):
            if what in octets[piece.end():piece.end() + int(piece[4])]:
                found.add(int(piece[1]) * 3600 + int(piece[2]) * 60 + float(piece[3]))
    return found


def changed(server, audit, what):
    """Seconds of the day of the log's last such line."""
    rows = [row for row in map(json.loads, filter(None, server.stderr().splitlines())) if row.get("audit") == audit and what in json.dumps(row)]
    at = datetime.datetime.fromisoformat(rows[-1]["time"])
    return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6


def waited(server, audit, change, what, before):
    """Seconds from the change to what was told, which is written down a moment later; `before`: when it had been told."""
    at, = wait_for(lambda: told(server, what) - before)
    return (at - changed(server, audit, change) + DAY / 2) % DAY - DAY / 2


def share(alice, box, *grants, messages=2):
    alice.command(f"CREATE {box}")
    for grant in grants:
        alice.command(f"SETACL {box} {grant}")
    for _ in range(messages):
        alice.append(box, MESSAGE)
    return f"Shared/alice/{box}"


@pytest.fixture(name="long", scope="module")
def a_long_mailbox(server):
    """How many messages it has, of a megabyte each."""
    alice = server.imap("alice")
    share(alice, "long", messages=0)
    alice.append("long", b"Subject: long\r\n\r\n" + (b"x" * 98 + b"\r\n") * 10000)
    alice.select("long")
    for _ in range(6):
        alice.command("COPY 1:* long")
        alice.command("NOOP")
    exists = alice.select("long")["EXISTS"]
    alice.close()
    return exists


def share_again(server):
    alice = server.imap("alice")
    alice.command("SETACL long bob lr")
    alice.close()
    return "Shared/alice/long"


def bob_in(server, box, *enabled):
    bob = server.imap("bob")
    for word in enabled:
        bob.command(f"ENABLE {word}")
    bob.command(f"SELECT {box}")
    return bob


def idle(bob):
    bob.send("IDLE")
    until(bob, b"+ ")


def revoke(alice, box):
    alice.command(f"DELETEACL {box} bob")


@pytest.mark.parametrize("enabled, what", [(("IMAP4rev2",), b"[CLOSED]"), ((), b"* BYE ")], ids=["closed", "bye"])
def test_an_idle_session(server, enabled, what):
    alice, took = server.imap("alice"), []
    for number in range(ROUNDS):
        box = share(alice, f"idle{number}{len(enabled)}", "bob lr")
        bob, before = bob_in(server, box, *enabled), told(server, what)
        idle(bob)
        revoke(alice, box.split("/")[-1])
        until(bob, what)
        took.append(waited(server, "rights", f"idle{number}{len(enabled)}", what, before))
        bob.close()
    alice.close()
    assert statistics.median(took) < 1, took


def test_a_session_that_waits_for_nothing(server):
    """Neither IDLE nor a command: it is told with its next one, and nothing of the mailbox."""
    alice = server.imap("alice")
    box = share(alice, "still", "bob lr")
    bob = bob_in(server, box, "IMAP4rev2")
    revoke(alice, "still")
    bob.send("FETCH 1:* (FLAGS BODY.PEEK[])")
    lines = until(bob, b"t%d " % bob.count)
    assert any(b"[CLOSED]" in line for line in lines) and not any(b"FETCH (" in line or b"secret-" in line for line in lines), lines
    for session in (alice, bob):
        session.close()


def test_in_the_middle_of_answers(server, long):
    """A client that reads slowly: no further message is begun, what waits behind is refused. What had left before fills buffers of some MB."""
    alice, bob = server.imap("alice"), bob_in(server, share_again(server), "IMAP4rev2")
    tags = [bob.send("FETCH 1:* BODY.PEEK[]") for _ in range(3)]
    lines = [bob.wire.line()]
    revoke(alice, "long")
    while not lines[-1].startswith(tags[-1].encode()):
        lines.append(bob.wire.line())
    begun = sum(b" FETCH (" in line for line in lines)
    assert alice.select("long")["EXISTS"] == long and 0 < begun < long - 20, begun
    said = [line.split(b" ", 2)[1:] for line in lines if line.split(b" ", 1)[0].decode() in tags]
    assert [word for word, _ in said] == [b"NO", b"BAD", b"BAD"] and b"[NONEXISTENT]" in said[0][1], said
    assert sum(b"[CLOSED]" in line for line in lines) == 1
    for session in (alice, bob):
        session.close()


def test_in_the_middle_of_searches(server, long):
    """They read on where nothing is written: the session is told within the second, and what waits behind is refused."""
    alice, took = server.imap("alice"), []
    for number in range(ROUNDS):
        bob, before = bob_in(server, share_again(server), "IMAP4rev2"), told(server, b"[CLOSED]")
        tags = [bob.send(f"SEARCH BODY nowhere{number}x{i}") for i in range(8)] + [bob.send("NOOP")]
        revoke(alice, "long")
        lines = until(bob, tags[-1].encode() + b" OK", 120)
        assert sum(b"[CLOSED]" in line for line in lines) == 1, lines
        assert any(line.startswith(f"{tags[-2]} BAD".encode()) for line in lines), lines
        took.append(waited(server, "rights", "long", b"[CLOSED]", before))
        bob.close()
    alice.close()
    assert statistics.median(took) < 1, took


def test_notify_of_another_mailbox(server):
    """RFC 5465 section 5.4: to whom it may not be looked up any more it was deleted, unasked."""
    alice, took = server.imap("alice"), []
    for number in range(ROUNDS):
        name = f"other{number}"
        box = share(alice, name, "bob lr")
        bob, what = server.imap("bob"), f'"/" {box}'.encode()
        bob.command("NOTIFY SET (subtree Shared (MailboxName MessageNew MessageExpunge))")
        revoke(alice, name)
        assert b"\\NonExistent" in until(bob, what)[-1]
        took.append(waited(server, "rights", name, what, set()))
        bob.close()
    alice.close()
    assert statistics.median(took) < 1, took


def test_out_of_a_group(server):
    """While there are others whose groups might be others now, too."""
    names = [f"crowd{number}" for number in range(60)]
    load(server, names)
    crowd, alice, took = [server.imap(name) for name in names], server.imap("alice"), []
    box = share(alice, "grouped", "$staff lr")
    for _ in range(ROUNDS):
        posthorn.run_verb("group", "member", "add", "staff", "bob", "--data", server.data)
        bob, before = bob_in(server, box, "IMAP4rev2"), told(server, b"[CLOSED]")
        idle(bob)
        posthorn.run_verb("group", "member", "delete", "staff", "bob", "--data", server.data)
        until(bob, b"[CLOSED]")
        took.append(waited(server, "verb", "member delete", b"[CLOSED]", before))
        bob.close()
    for session in (alice, *crowd):
        session.close()
    assert statistics.median(took) < 1, took
