"""A ledger of what a server acknowledged, and the judgement after a crash: nothing lost, nothing twice, no UID again."""
import random
import re

from lib import client
from lib.wire import Closed, Timeout

BOXES = ("left", "right")
FLAGS = ("\\Seen", "\\Flagged", "$Work", "$Later")
GONE = (Closed, Timeout, OSError)
ID = re.compile(rb"X-Id: (\S+)")


class Lost(AssertionError):
    """The ledger and the store disagree."""


def message(ident, size):
    return (f"From: a@example.org\r\nSubject: {ident}\r\nX-Id: {ident}\r\n\r\n" + "x" * size + "\r\n").encode()


def check_starts(took):
    """A start without repair takes less than a second; on a machine with other work some take longer."""
    took = sorted(took)
    assert took[len(took) * 3 // 4] < 1.0 and took[-1] < 5.0, f"starts took {took[len(took) // 2]:.2f} to {took[-1]:.2f} s"


class Worker:
    """One session's work on two mailboxes of its own, and what it knows of them: {box: {uid: (id, flags)}}.
    `open` is the command whose answer had not come; either outcome is right."""

    def __init__(self, server, user, seed):
        self.server, self.user = server, user
        self.random = random.Random(seed)
        self.boxes = {box: {} for box in BOXES}
        self.highest = {box: 0 for box in BOXES}
        self.validity, self.open, self.number, self.acknowledged = {}, None, 0, 0
        self.connection = self.selected = None

    # -- work --------------------------------------------------------------------------------
    def connect(self):
        self.connection = client.Imap(self.server.address("imap"), self.user, self.server.password, timeout=20)
        self.selected = None

    def prepare(self):
        self.connect()
        for box in BOXES:
            self.connection.command(f"CREATE {box}")

    def work(self):
        """Until the server is gone."""
        try:
            self.connect()
            while True:
                self.step()
        except GONE:
            return

    def step(self):
        box = self.random.choice(BOXES)
        act = self.random.choices((self.append, self.store, self.copy, self.move, self.expunge), (40, 25, 10, 15, 10))[0]
        if act is not self.append and not self.boxes[box]:
            act = self.append
        if act is not self.append and self.selected != box:
            self.connection.command(f"SELECT {box}")
            self.selected = box
        act(box)
        self.open = None
        self.acknowledged += 1

    def append(self, box):
        self.number += 1
        ident = f"{self.user}-{self.number}"
        size = self.random.choice((10, 1000, 20000, 300000 if self.random.random() < 0.05 else 500))
        self.open = ("append", box, ident)
        self.new(box, self.connection.append(box, message(ident, size)), (ident, frozenset()))

    def new(self, box, uid, row):
        if uid <= self.highest[box]:
            raise Lost(f"{self.user}/{box}: UID {uid} was given after {self.highest[box]}")
        self.highest[box] = uid
        self.boxes[box][uid] = row

    def store(self, box):
        uid, (ident, flags) = self.random.choice(list(self.boxes[box].items()))
        flag = self.random.choice(FLAGS)
        after = flags ^ {flag}
        self.open = ("store", box, uid, after)
        self.connection.command(f"UID STORE {uid} {'+' if flag in after else '-'}FLAGS.SILENT ({flag})")
        self.boxes[box][uid] = (ident, after)

    def copied(self, lines):
        for line in lines:
            found = re.search(rb"\[COPYUID \d+ (\d+) (\d+)\]", line)
            if found:
                return int(found[2])
        raise Lost(f"no COPYUID in {lines}")

    def copy(self, box):
        other = BOXES[box == BOXES[0]]
        uid, row = self.random.choice(list(self.boxes[box].items()))
        self.open = ("copy", box, uid, other)
        _, tagged = self.connection.command(f"UID COPY {uid} {other}")
        self.new(other, self.copied([tagged]), row)

    def move(self, box):
        other = BOXES[box == BOXES[0]]
        uid, row = self.random.choice(list(self.boxes[box].items()))
        self.open = ("move", box, uid, other)
        lines, tagged = self.connection.command(f"UID MOVE {uid} {other}")
        del self.boxes[box][uid]
        self.new(other, self.copied([*lines, tagged]), row)

    def expunge(self, box):
        uid = self.random.choice(list(self.boxes[box]))
        ident, flags = self.boxes[box][uid]
        self.open = ("store", box, uid, flags | {"\\Deleted"})
        self.connection.command(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
        self.boxes[box][uid] = (ident, flags | {"\\Deleted"})
        self.open = ("expunge", box, uid)
        self.connection.command(f"UID EXPUNGE {uid}")
        del self.boxes[box][uid]

    # -- judgement ---------------------------------------------------------------------------
    def actual(self, box):
        """What the server has now."""
        known = self.connection.select(box)
        if self.validity.setdefault(box, known["UIDVALIDITY"]) != known["UIDVALIDITY"]:
            raise Lost(f"{self.user}/{box}: UIDVALIDITY changed")
        if known["UIDNEXT"] <= self.highest[box]:
            raise Lost(f"{self.user}/{box}: UIDNEXT {known['UIDNEXT']} after UID {self.highest[box]}")
        rows = {}
        if known["EXISTS"]:
            for values in self.connection.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (X-ID)])").values():
                header = next(v for k, v in values.items() if k.startswith("BODY["))
                flags = frozenset(f for f in values["FLAGS"] if f != "\\Recent")
                rows[values["UID"]] = (ID.search(header)[1].decode(), flags)
        return rows

    def outcomes(self, now):
        """The states that are right: as acknowledged, or with the open command done as well."""
        yield self.boxes
        if not self.open:
            return
        kind, box, what, *rest = self.open
        done = {name: dict(rows) for name, rows in self.boxes.items()}
        if kind == "append":
            self.arrive(done, box, now, lambda row: row[0] == what, (what, frozenset()))
        elif kind == "store":
            done[box][what] = (done[box][what][0], rest[0])
        elif kind == "expunge":
            del done[box][what]
        else:
            row = done[box][what]
            self.arrive(done, rest[0], now, lambda r: r == row, row)
            if kind == "move":
                del done[box][what]
        yield done

    def arrive(self, done, box, now, same, row):
        """A row whose UID was not told yet: any new one above all before."""
        new = [uid for uid, r in now[box].items() if uid > self.highest[box] and same(r)]
        if new:
            done[box][new[0]] = row

    def judge(self):
        """After the restart. Raises Lost; else the ledger is what the server has."""
        self.connect()
        now = {box: self.actual(box) for box in BOXES}
        self.selected = BOXES[-1]
        right = list(self.outcomes(now))
        if now not in right:
            raise Lost(f"{self.user}: open {self.open}\n" + "\n".join(self.explain(box, now[box]) for box in BOXES))
        self.boxes = now
        for box in BOXES:
            self.highest[box] = max([self.highest[box], *now[box]])
        self.open = None

    def explain(self, box, now):
        said = self.boxes[box]
        lost = {u: r for u, r in said.items() if u not in now}
        extra = {u: r for u, r in now.items() if u not in said}
        other = {u: (said[u], now[u]) for u in said if u in now and said[u] != now[u]}
        return f"  {box}: lost {lost}, not in the ledger {extra}, other flags {other}"


class Courier:
    """Deliveries by LMTP into one INBOX: each acknowledged one is there once, the open one at most once."""

    def __init__(self, server, user):
        self.server, self.user = server, user
        self.delivered, self.open, self.number, self.acknowledged = set(), None, 0, 0

    def prepare(self):
        pass

    def work(self):
        try:
            connection = client.Lmtp(self.server.address("lmtp"), timeout=20)
            while True:
                self.number += 1
                self.open = f"{self.user}-{self.number}"
                connection.deliver(self.user, message(self.open, 2000))
                self.delivered.add(self.open)
                self.open = None
                self.acknowledged += 1
        except GONE:
            return
        except client.Refused as refused:
            if not str(refused).startswith("421"):  # it ends, as all roles do when one is gone
                raise

    def judge(self):
        connection = client.Imap(self.server.address("imap"), self.user, self.server.password)
        found = []
        if connection.select("INBOX")["EXISTS"]:
            for values in connection.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (X-ID)])").values():
                found.append(ID.search(next(iter(values.values())))[1].decode())
        lost, twice = self.delivered - set(found), {i for i in found if found.count(i) > 1}
        extra = set(found) - self.delivered - {self.open}
        if lost or twice or extra:
            raise Lost(f"{self.user}: lost {lost}, twice {twice}, unknown {extra}")
        self.delivered = set(found)
        self.open = None
