"""A mailbox that may not be looked up costs what one costs that is not there: the processor time of the mail role, not the clock's.

The short form takes few samples and looks for what is plainly another path; POSTHORN_LONG=1 compares distributions."""
import base64
import contextlib
import math
import os
import random
import signal
import sqlite3
import statistics

import pytest

from lib import client, server as posthorn
from lib.long import LONG
from lib.searchindex import wait_indexed
from lib.wire import Wire

from .matrix import MESSAGE, pipelined

COMMANDS = ["STATUS {} (MESSAGES UIDVALIDITY)", "SELECT {}", 'LIST "" {}', "MYRIGHTS {}", "GETACL {}", "SETACL {} carol lr", "GETMETADATA {} /shared/comment",
            'SETMETADATA {} (/private/comment "x")', "GETQUOTAROOT {}", "DELETE {}", "RENAME {} {}x", "UID COPY 1 {}", "RESETKEY {}",
            'URLFETCH "imap://alice@localhost/{in}/;UID=1;URLAUTH=anonymous:internal:00112233445566778899aabbccddeeff00"', 'GENURLAUTH "imap://bob@localhost/{}/;UID=1;URLAUTH=anonymous" INTERNAL',
            'APPEND INBOX CATENATE (URL "/{}/;UID=1")', "ESEARCH IN (mailboxes {}) RETURN (ALL) ALL", "UID REPLACE 1 {} {{2+}}\r\nxx"]
# Beside one another: what is hidden and what is not there, in a tree of which something is seen; and where nothing is.
PAIRS = [("Shared/alice/hidden", "Shared/alice/absent"), ("Shared/zelda/hidden", "Shared/nobdy/hidden")]
BATCH, ROUNDS = (40, 60) if LONG else (20, 7)


@pytest.fixture(name="server", scope="module")
def one_server():
    own = posthorn.Server()
    own.user_add("zelda")
    alice, zelda, bob = own.imap("alice"), own.imap("zelda"), own.imap("bob")
    for session in (alice, zelda):
        session.command("CREATE hidden")
        session.append("hidden", MESSAGE)
    alice.command("SETACL hidden bob rswipkxte")
    alice.command("CREATE open")
    alice.command("SETACL open bob lr")
    bob.append("INBOX", MESSAGE)
    for session in (alice, zelda, bob):
        session.close()
    yield own
    own.stop()


class Clock:
    """Nanoseconds that the threads of these processes ran."""

    def __init__(self, *pids):
        self.files = [open(f"/proc/{pid}/task/{task}/schedstat") for pid in pids for task in os.listdir(f"/proc/{pid}/task")]

    def now(self):
        total = 0
        for file in self.files:
            file.seek(0)
            total += int(file.read().split()[0])
        return total


def rank_test(a, b):
    """Mann-Whitney: the p-value of both being of one distribution (normal approximation)."""
    order = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    u = sum(rank + 1 for rank, (_, which) in enumerate(order) if which == 0) - len(a) * (len(a) + 1) / 2
    mean, deviation = len(a) * len(b) / 2, math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
    return math.erfc(abs(u - mean) / deviation / math.sqrt(2))


def measure(session, clock, command, pair):
    took = {box: [] for box in pair}
    for _ in range(ROUNDS):
        for box in random.sample(pair, 2):
            text = command.replace("{}", box).replace("{in}", box.split("/")[-1]).replace("{{", "{").replace("}}", "}")
            batch = ([(text, None)] * 10 + [("NOOP", None)]) * (BATCH // 10)  # twenty BAD in a row would end it
            before = clock.now()
            pipelined(session, batch)
            took[box].append(clock.now() - before)
    return took.values()


def alike(a, b):
    """(is it, what was measured)"""
    ratio, p = statistics.median(a) / statistics.median(b), rank_test(a, b)
    said = f"{statistics.median(a) / BATCH / 1000:.1f} us and {statistics.median(b) / BATCH / 1000:.1f} us, p {p:.4f}"
    if LONG:
        return p > 0.001 or 0.97 < ratio < 1.03, said
    return 0.7 < ratio < 1.43, said


@pytest.mark.parametrize("pair", PAIRS, ids=["tree", "no-tree"])
def test_hidden_and_absent_cost_the_same(server, pair):
    session, (pid,) = server.imap("bob"), server.pids("mail")
    clock, failed = Clock(pid), []
    for command in COMMANDS:
        if command.startswith("UID"):
            session.command("SELECT INBOX")
        for _ in range(4):  # what others do on the machine
            good, said = alike(*measure(session, clock, command, pair))
            if good:
                break
        else:
            failed.append(f"{command}: {said}")
    session.close()
    assert not failed, "\n".join(failed)


TOKEN = "internal:02" + "0123456789abcdef" * 4
# {} is a user's name, or nobody's. "spread" is a mailbox of bob's, who asks: everybody may read it, those of the future too.
OF_USERS = ['URLFETCH "imap://{}@localhost/INBOX/;UID=1;URLAUTH=anonymous:' + TOKEN + '"', 'URLFETCH "imap://{}@localhost/hidden/;UID=1;URLAUTH=user+bob:' + TOKEN + '"',
            'URLFETCH "imap://{}@localhost/absent/;UID=1;URLAUTH=authuser:' + TOKEN + '"', 'URLFETCH "imap://carol@localhost/INBOX/;UID=1;URLAUTH=user+{}:' + TOKEN + '"',
            'URLFETCH "imap://{}@localhost/Shared/bob/spread/;UID=1;URLAUTH=anonymous:' + TOKEN + '"', 'GENURLAUTH "imap://{}@localhost/INBOX/;UID=1;URLAUTH=anonymous" INTERNAL',
            'APPEND INBOX CATENATE (URL "imap://{}@localhost/INBOX/;UID=1;URLAUTH=anonymous:' + TOKEN + '")', 'APPEND INBOX CATENATE (URL "imap://{}@localhost/INBOX/;UID=1")']
# The same of names where mailboxes are told and rights are given; the commands come back to where they began.
OF_TREES = ['LIST "" Shared/{}/*', 'LIST "" Shared/{}/hidden RETURN (STATUS (MESSAGES) MYRIGHTS)', "STATUS Shared/{}/hidden (MESSAGES)", "SELECT Shared/{}/hidden", "EXAMINE Shared/{}/INBOX",
            "MYRIGHTS Shared/{}/hidden", "GETACL Shared/{}/hidden", "GETQUOTAROOT Shared/{}/hidden", 'GETQUOTA "user/{}"', "GETMETADATA Shared/{}/hidden /shared/comment",
            "ESEARCH IN (subtree Shared/{}) RETURN (ALL) ALL", "SUBSCRIBE Shared/{}/hidden", "COPY 1 Shared/{}/hidden", "CREATE Shared/{}/made", "RENAME spread Shared/{}/spread",
            "LISTRIGHTS spread {}", "SETACL spread {} lr", "SETACL spread -{} i", "DELETEACL spread -{}", "NOTIFY SET (mailboxes Shared/{}/hidden (MessageNew MessageExpunge))"]


def load(server, names):
    """Users with names of these, at once."""
    path = server.dir / "names"
    path.write_text("".join(f"{name}:{{PLAIN}}{server.password}\n" for name in names))
    posthorn.run_verb("user", "load", path, "--data", server.data)


def threads_of(server):
    """{user: the thread of the mail role that their account lives on}. The server, which keeps the file for itself, starts anew."""
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    with contextlib.closing(sqlite3.connect(server.data / "users" / "users.db")) as db:
        rows = db.execute("SELECT name, account FROM users").fetchall()
    server.start()
    return {name: account % server.settings["mail_threads"] for name, account in rows}


@pytest.fixture(name="others", scope="module")
def users_of_both_threads(server):
    """Beside bob's thread and on the other; in memory. Which it is depends on the account's random id: one of both is among so many."""
    load(server, [f"user{number}" for number in range(40)])
    at, found = threads_of(server), {}
    for name in (f"user{number}" for number in range(40)):
        found.setdefault("beside" if at[name] == at["bob"] else "across", name)
    sessions = [server.imap(name) for name in (*found.values(), "carol", "bob")]
    for session in sessions[:2]:
        session.command("CREATE hidden")
    bob = sessions[-1]
    bob.command("CREATE spread")
    bob.append_all("spread", [MESSAGE] * 40)
    for name in (*found.values(), "nobdy", "anyone"):
        bob.command(f"SETACL spread {name} lr")
    yield found
    for session in sessions:
        session.close()


def judged(session, clock, command, pair):
    """None, or what was not alike each time."""
    said = None
    for _ in range(4):  # what others do on the machine
        good, said = alike(*measure(session, clock, command, pair))
        if good:
            return None
    return f"{command}: {said}"


@pytest.mark.parametrize("commands", [OF_USERS, OF_TREES], ids=["urls", "trees"])
@pytest.mark.parametrize("where", ["beside", "across"])
def test_whether_a_user_is_here_costs_the_same(server, others, where, commands):
    """RFC 4467 section 6, RFC 4314 section 6: the processor time of mail and of auth. No account but the session's is looked at."""
    session, pids = server.imap("bob"), [*server.pids("mail"), *server.pids("auth")]
    session.command("SELECT INBOX")
    failed = [judged(session, Clock(*pids), command, (others[where], "nobdy")) for command in commands]
    session.close()
    assert not any(failed), "\n".join(filter(None, failed))


def test_for_whom_somebody_acts_costs_the_same(server, others):
    """RFC 4616: who proves the own password, and may act for nobody, learns not who is here. The passwords here are {PLAIN}, or a hash would hide it."""
    del others  # they are loaded
    clock, said = Clock(*server.pids("mail"), *server.pids("auth"), *server.pids("gate")), None

    def attempt(target):
        wire = Wire(server.address("imap"))
        wire.line()
        before = clock.now()
        wire.send(b"a AUTHENTICATE PLAIN " + base64.b64encode(f"{target}\0user39\0{server.password}".encode()) + b"\r\n")
        assert wire.line().startswith(b"a NO [AUTHORIZATIONFAILED]")
        took = clock.now() - before
        wire.close()
        return took

    for _ in range(4):
        took = {"user38": [], "nobdy": []}
        for _ in range(200 if LONG else 20):
            for target in random.sample(list(took), 2):
                took[target].append(attempt(target))
        good, said = alike(*took.values())
        if good:
            return
    pytest.fail(said)


def test_the_measure_finds_a_trip_to_another_thread(server, others):
    """What was authorised once, and is no more, may be looked for: the measure tells on which thread that was."""
    urls = {}
    for name in others.values():
        owner = server.imap(name)
        lines, _ = owner.command(f'GENURLAUTH "imap://{name}@localhost/INBOX/;UID=1;URLAUTH=anonymous" INTERNAL')
        urls[name] = lines[0].decode().split(" ", 2)[2].strip('"')
        owner.command("RESETKEY")
        owner.close()
    session, clock = server.imap("bob"), Clock(*server.pids("mail"), *server.pids("auth"))
    found = any(not alike(*measure(session, clock, "URLFETCH {}", tuple(urls.values())))[0] for _ in range(20))
    session.close()
    assert found


def test_who_was_not_here_for_long_costs_the_same(server, others):
    """Their account is not in memory, and opening it takes longer than anything else. Nobody is asked for twice."""
    assert others
    names = [f"sleeper{number}" for number in range(60)]
    load(server, names)
    lmtp = client.Lmtp(server.address("lmtp"))
    for name in names:
        lmtp.deliver(name, MESSAGE)
    lmtp.close()
    for _ in range(4):
        server.restart()  # ends the sessions of `others`
        session, clock = server.imap("bob"), Clock(*server.pids("mail"), *server.pids("auth"))
        pipelined(session, [(OF_USERS[0].replace("{}", f"before{number}"), None) for number in range(60)])
        took = {"sleeper": [], "nobody": []}
        for first in range(0, 60, 10):
            for kind in random.sample(list(took), 2):
                batch = [(OF_USERS[0].replace("{}", f"{kind}{number}"), None) for number in range(first, first + 10)]
                before = clock.now()
                pipelined(session, batch)
                took[kind].append(clock.now() - before)
        session.close()
        good, said = alike(*took.values())
        if good:
            return
    pytest.fail(said)


def test_the_measure_finds_another_path(server):
    """What may be read costs more than what is not there."""
    session, (pid,) = server.imap("bob"), server.pids("mail")
    clock = Clock(pid)
    found = any(not alike(*measure(session, clock, "SELECT {}", ("Shared/alice/open", "Shared/alice/none")))[0] for _ in range(20))
    session.close()
    assert found  # a machine busy with other things hides it for a while


def test_the_text_index_is_not_asked_about_what_is_hidden(make):
    """It is one for the account: that a word is in hidden mail would cost time. Who may read all is served by it."""
    server = make({"log_level": "debug", "test_index_after": 20})
    alice, bob = server.imap("alice"), server.imap("bob")
    for box in ("open", "hidden"):
        alice.command(f"CREATE {box}")
        alice.command(f"SETACL {box} bob lr" if box == "open" else "GETACL hidden")
        alice.append_all(box, [b"Subject: %d\r\n\r\nmail number %d of %s\r\n" % (i, i, box.encode()) for i in range(200)])
    wait_indexed(server, "alice", 380)

    def asked(session, box):
        before = server.stderr().count("The text index is asked")
        session.command(f"EXAMINE {box}")
        lines, _ = session.command("SEARCH BODY number")
        assert len(lines[0].split()) == 202, lines
        return server.stderr().count("The text index is asked") - before

    assert asked(alice, "open") == 1 and asked(bob, "Shared/alice/open") == 0
    alice.command("SETACL hidden bob lr")
    assert asked(bob, "Shared/alice/open") == 1
    alice.command("SETACL hidden bob l")
    assert asked(bob, "Shared/alice/open") == 0
    alice.close()
    bob.close()
