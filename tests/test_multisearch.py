"""ESEARCH over many mailboxes (RFC 7377) beyond its transcripts: it answers as SEARCH does in each of them, by the rights that there
are, while mailboxes come and go, and lets others work."""
import random
import re
import threading
import time

import pytest

from lib import client, grammar, long, server as posthorn
from lib.imapdata import numbers

WORDS = ["alpha", "beta", "gamma", "delta", "straße", "Ärger", "al", "pha be"]
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "$Work"]
ANSWER = re.compile(rb'\* ESEARCH \(TAG "[^"]*" MAILBOX ("(?:[^"\\]|\\.)*"|\S+) UIDVALIDITY (\d+)\) UID ALL (\S+)')


def message(rng):
    subject, body = rng.choice(WORDS), " ".join(rng.choice(WORDS) for _ in range(3))
    return (f"From: {rng.choice(WORDS[:4])}@example.org\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n").encode()


def esearch(session, text):
    """{mailbox: UIDs}; the answers by the grammar, each mailbox once."""
    lines, tagged = session.command("ESEARCH " + text)
    found = {}
    for line in [*lines, tagged]:
        grammar.check(line)
    for line in lines:
        if line.startswith(b"* ESEARCH"):
            name, _, uids = ANSWER.fullmatch(line.rstrip()).groups()
            name = name.decode().strip('"')
            assert name not in found
            found[name] = numbers(uids)
    return found


def search(session, name, query):
    session.command(f'EXAMINE "{name}"')
    lines, _ = session.command(f"UID SEARCH RETURN (ALL) {query}")
    line = next(line for line in lines if line.startswith(b"* ESEARCH"))
    found = re.search(rb" ALL (\S+)", line)
    return numbers(found[1]) if found else []


def make_query(rng, depth=2):
    kind = rng.randrange(11 if depth else 9)
    word = f'"{rng.choice(WORDS[:4])}"'
    if kind == 9:
        return f"OR {make_query(rng, depth - 1)} {make_query(rng, depth - 1)}"
    if kind == 10:
        return f"({make_query(rng, depth - 1)} NOT {make_query(rng, depth - 1)})"
    return [f"SUBJECT {word}", f"BODY {word}", f"TEXT {word}", f"FROM {word}", rng.choice(["SEEN", "UNSEEN", "FLAGGED", "KEYWORD $Work"]),
            rng.choice(["1:3", "*", "2:*", "9:12", "*:4"]), rng.choice(["UID 2:5", "UID *", "UID 3:*"]),
            f"LARGER {rng.randrange(200, 320)}", "HEADER Subject \"\""][kind]


@pytest.fixture(scope="module")
def server():
    own = posthorn.Server()
    yield own
    own.stop()


def login(server, user):
    return client.Imap(server.address("imap"), user, server.password)


def fill(session, rng, names, most=6):
    for name in names:
        if name != "INBOX":
            session.command(f'CREATE "{name}"')
        for _ in range(rng.randrange(most)):
            session.append(name, message(rng), " ".join(rng.sample(FLAGS, rng.randrange(3))))


def test_as_search_does(server):
    rng = random.Random(7377)
    user = server.fresh_user("agree")
    session, other = login(server, user), login(server, user)
    names = ["INBOX", "a", "a/b", "a/b/c", "a/d", "e", "f f"]
    fill(session, rng, names)
    session.command("SELECT a/b")
    session.command("STORE 1:* +FLAGS (\\Deleted)") if session.select("a/b")["EXISTS"] else None
    hits = 0
    for _ in range(150 if not long.LONG else 3000):
        query = make_query(rng)
        found = esearch(session, f"IN ({rng.choice(['personal', 'inboxes', 'subtree (INBOX a e {}) mailboxes e'])}) {query}"
                        .replace("{}", '"f f"'))
        want = {name: uids for name in names if (uids := search(other, name, query))}
        assert found == want, query
        hits += len(found)
    assert hits > 100


def test_unions_of_sources(server):
    rng = random.Random(1)
    session = login(server, server.fresh_user("scopes"))
    fill(session, rng, ["a", "a/b", "a/b/c", "ab", "x"], 2)
    for name in ["INBOX", "a", "a/b", "a/b/c", "ab", "x"]:
        session.append(name, message(rng))
    assert set(esearch(session, "IN (subtree-one a) ALL")) == {"a", "a/b"}
    assert set(esearch(session, "IN (subtree-one a subtree a/b) ALL")) == {"a", "a/b", "a/b/c"}
    assert set(esearch(session, "IN (mailboxes (x ab) subtree-one (a/b none)) ALL")) == {"x", "ab", "a/b", "a/b/c"}


@pytest.mark.parametrize("rights", ["lr", "li", "r"])
def test_mounted(rights):
    """With `lr` it is found, by name and below; without `l` or `r` it is as if it were not there."""
    own = posthorn.Server({"test_mount": f"bob {rights}"})
    try:
        bob = login(own, "bob")
        bob.command("CREATE work")
        for name in ("INBOX", "work"):
            bob.append(name, message(random.Random(2)))
        alice = login(own, "alice")
        alice.append("INBOX", message(random.Random(3)))
        theirs = {"Shared/bob/INBOX", "Shared/bob/work"} if rights == "lr" else set()
        assert set(esearch(alice, "IN (subtree Shared) RECENT")) == theirs
        assert set(esearch(alice, "IN (mailboxes (Shared/bob/INBOX INBOX Shared/bob/none)) ALL")) == \
            {"INBOX"} | (theirs - {"Shared/bob/work"})
        assert set(esearch(alice, "IN (personal) ALL")) == {"INBOX"}
        assert b"* 1 RECENT" in [line.rstrip() for line in bob.command("SELECT INBOX")[0]]
    finally:
        own.stop()


def test_while_mailboxes_change(server):
    """What stays is told once, under its name of then or of now; what goes at most once; nothing fails."""
    rng = random.Random(5)
    user = server.fresh_user("change")
    session, other = login(server, user), login(server, user)
    names = [f"m{i:03}" for i in range(120)]
    for name in names:
        session.command(f"CREATE {name}")
        session.append(name, message(rng))
    order = rng.sample(names, len(names))
    gone, moved = order[:30], order[30:60]

    def change():
        for a, b in zip(gone, moved):
            other.command(f"DELETE {a}")
            other.command(f"RENAME {b} new-{b}")

    worker = threading.Thread(target=change)
    worker.start()
    rounds = 0
    while worker.is_alive() or rounds == 0:
        found = set(esearch(session, 'IN (personal) RETURN (ALL) OR TEXT "a" NOT TEXT "a"'))
        rounds += 1
        for name in set(names) - set(gone) - set(moved):
            assert name in found
        for name in moved:
            assert (name in found) + (f"new-{name}" in found) == 1, name
    worker.join()
    assert set(esearch(session, "IN (personal) ALL")) == set(names) - set(gone) - set(moved) | {f"new-{name}" for name in moved}


def test_many_mailboxes():
    """All of them in one command; INPROGRESS counts through; another session is served meanwhile."""
    count = 10000 if long.LONG else 400
    own = posthorn.Server({"test_progress_ms": 1})
    try:
        user = own.fresh_user("many")
        session, other = login(own, user), login(own, user)
        waiting = [session.send(f"CREATE box/n{i}") for i in range(count)]
        for tag in waiting:
            session.answer(tag)
        waiting = [session.send(f"APPEND box/n{i} ()", message(random.Random(i))) for i in range(count)]
        for tag in waiting:
            session.answer(tag)
        tag = session.send('ESEARCH IN (subtree box) RETURN (COUNT) NOT TEXT "nowhere"')
        begun = time.monotonic()
        other.command("NOOP")
        assert time.monotonic() - begun < 30
        lines, _ = session.answer(tag)
        assert sum(line.startswith(b"* ESEARCH") for line in lines) == count
        steps = [tuple(map(int, found.groups())) for line in lines if (found := re.search(rb'INPROGRESS \("[^"]*" (\d+) (\d+)\)', line))]
        assert steps == sorted(steps) and all(goal == count for _, goal in steps)
        assert len(steps) > 1
    finally:
        own.stop()
