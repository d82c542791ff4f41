"""Eight writers and eight readers on the flags of a few messages: what each saw has an order in which it happened one by one."""
import os
import random
import threading
import time

import pytest

from lib import client, server as posthorn
from lib.long import LONG

from .actor import plain_flags
from .register import explained, read, store

SEED = int(os.environ.get("POSTHORN_SEED", "1").split()[0])
ROUNDS, EACH, MESSAGES = (60 if LONG else 4), 12, 3
FLAGS = ["\\Seen", "\\Flagged", "kw1", "kw2"]


class Person:
    """One session that reads or writes; keeps what it saw of every message."""

    def __init__(self, server, user, name, writes):
        self.dice, self.writes, self.failed = random.Random(f"{SEED} {name}"), writes, None
        self.known = {}  # the last modseq of every message
        self.imap = client.Imap(server.address("imap"), user, server.password)
        self.imap.command("ENABLE CONDSTORE")
        self.imap.command("SELECT INBOX")

    def begin(self, gate, seen):
        self.gate, self.seen = gate, seen
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        try:
            self.gate.wait(60)
            for _ in range(EACH):
                self.once()
        except Exception as error:  # of a thread: told by the test
            self.failed = error

    def once(self):
        uid = self.dice.randint(1, MESSAGES)
        if not self.writes:
            began, rows, _, ended = self.play(f"UID FETCH {uid} (UID FLAGS MODSEQ)")
            self.seen[uid] += read(began, ended, rows[uid])
            return
        kind, asked = self.dice.choice("++-="), self.dice.sample(FLAGS, self.dice.randint(1, 2))
        limit = self.known.get(uid) if self.dice.random() < 0.5 else None
        since = "" if limit is None else f"(UNCHANGEDSINCE {limit}) "
        began, rows, tagged, ended = self.play(f"UID STORE {uid} {since}{kind.strip('=')}FLAGS ({' '.join(asked)})")
        saw = None if b"[MODIFIED" in tagged else rows[uid]
        self.seen[uid] += store(began, ended, kind, [f.lower() for f in asked], saw, limit)

    def play(self, text):
        """The answer to the command itself comes first; what others changed is told after it."""
        rows, began = {}, time.monotonic()
        lines, tagged = self.imap.command(text)
        ended = time.monotonic()
        for _, items in filter(None, map(client.fetched, lines)):
            saw = plain_flags(items["FLAGS"]), items["MODSEQ"][0]
            rows.setdefault(items["UID"], saw)
            self.known[items["UID"]] = saw[1]
        return began, rows, tagged, ended


def histories(server):
    """[(operations on one message, its state before)] of many short rounds."""
    user = server.fresh_user("alice")
    watch = client.Imap(server.address("imap"), user, server.password)
    watch.command("ENABLE CONDSTORE")
    for _ in range(MESSAGES):
        watch.append("INBOX", b"Subject: x\r\n\r\nbody\r\n")
    people = [Person(server, user, f"{'writer' if n < 8 else 'reader'} {n}", n < 8) for n in range(16)]
    for _ in range(ROUNDS):
        watch.command("SELECT INBOX")
        start = {m["UID"]: (plain_flags(m["FLAGS"]), m["MODSEQ"][0]) for m in watch.fetch("1:*", "(UID FLAGS MODSEQ)").values()}
        gate, seen = threading.Event(), {uid: [] for uid in start}
        for person in people:
            person.begin(gate, seen)
        gate.set()
        for person in people:
            person.thread.join(120)
            if person.failed:
                raise person.failed
        for uid, operations in seen.items():
            yield operations, start[uid]


def test_flags_and_modseq_are_linearizable():
    server = posthorn.Server()
    try:
        overlapping = 0
        for operations, start in histories(server):
            assert explained(operations, *start), f"seed {SEED}: no order explains\n" + "\n".join(
                map(str, sorted(operations, key=lambda o: o.began)))
            overlapping += sum(a.began < b.began < a.ended for a in operations for b in operations)
        assert overlapping > 100 * ROUNDS
    finally:
        server.stop()


NONE, RED, BLUE = frozenset(), frozenset(["red"]), frozenset(["blue"])


@pytest.mark.parametrize("good, history", [
    (True, store(0, 3, "+", RED, (RED, 6)) + read(1, 2, (NONE, 5)) + read(4, 5, (RED, 6))),
    (True, store(0, 3, "+", RED, (RED | BLUE, 7)) + store(1, 2, "+", BLUE, (BLUE, 6)) + store(2, 4, "=", RED, (RED, 8))),
    (True, store(0, 3, "+", RED, (BLUE, 7)) + store(1, 2, "=", BLUE, (BLUE, 7))),  # told what came after it
    (False, store(0, 1, "+", RED, (RED, 6)) + read(2, 3, (NONE, 5))),  # a stale read
    (False, store(0, 1, "+", RED, (RED, 6)) + store(0, 1, "+", BLUE, (RED | BLUE, 6))),  # a modseq used twice
    (False, store(0, 1, "+", RED, (RED, 6)) + store(0, 1, "+", BLUE, (BLUE, 7))),  # a lost update
    (False, store(0, 9, "+", RED, (RED, 6)) + read(1, 2, (RED, 6)) + read(3, 4, (NONE, 5))),  # back in time
    (False, store(0, 1, "+", RED, (RED, 6)) + store(2, 3, "+", RED, (RED, 7))),  # raised without a change
    (True, store(0, 1, "+", RED, (RED, 6)) + store(0, 1, "+", BLUE, None, limit=5)),
    (False, store(0, 1, "+", RED, (RED, 6), limit=5) + store(0, 1, "+", BLUE, (RED | BLUE, 7), limit=5)),  # both of two
    (False, store(0, 1, "+", RED, None, limit=5)),  # refused without a reason
    (False, store(0, 1, "+", RED, (NONE, 5))),  # its own change not told
])
def test_the_checker(good, history):
    assert (explained(history, NONE, 5) is not None) == good
