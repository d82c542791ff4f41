"""A POP3 client with its own ledger: what it deleted by a QUIT that was answered is gone, what it did not is there; a QUIT without an
answer deleted all that it was to delete or nothing; unique ids stay."""
import random

from ledger import ID, Lost, message
from lib import client
from lib.pop3 import Pop3
from lib.wire import Closed, Timeout

GONE = (EOFError, OSError, Closed, Timeout)


class Fetcher:
    def __init__(self, server, user, seed):
        self.server, self.user = server, user
        self.random = random.Random(seed)
        self.there = {}  # id: unique id, None: not seen yet
        self.adding = self.deleting = frozenset()  # without an answer
        self.number = self.acknowledged = 0

    def prepare(self):
        """It needs nothing but its user."""

    def work(self):
        try:
            while True:
                self.add()
                self.fetch()
        except GONE:
            return

    def add(self):
        imap = client.Imap(self.server.address("imap"), self.user, self.server.password, timeout=20)
        for _ in range(self.random.randrange(1, 6)):
            self.number += 1
            ident = f"{self.user}-{self.number}"
            self.adding = frozenset({ident})
            imap.append("INBOX", message(ident, self.random.randrange(2000)))
            self.there[ident], self.adding = None, frozenset()
            self.acknowledged += 1
        imap.close()

    def seen(self, c):
        """{number: id}; each message has one unique id, for ever."""
        found = {}
        for line in c.all("UIDL"):
            number, unique = line.split()
            ident = ID.search(c.message(f"RETR {int(number)}"))[1].decode()
            if ident not in self.there or self.there[ident] not in (None, unique) or ident in found.values():
                raise Lost(f"{self.user}: {ident} as {unique}, expected {self.there.get(ident)}")
            self.there[ident] = unique
            found[int(number)] = ident
        return found

    def fetch(self):
        with Pop3(self.server.address("pop3")[1], self.user, self.server.password, timeout=20) as c:
            found = self.seen(c)
            gone = {n: ident for n, ident in found.items() if self.random.random() < 0.6}
            for n in gone:
                c.ok(f"DELE {n}")
            if self.random.random() < 0.2:
                return  # without QUIT nothing goes
            self.deleting = frozenset(gone.values())
            c.ok("QUIT")
            for ident in gone.values():
                del self.there[ident]
            self.deleting = frozenset()
            self.acknowledged += 1

    def judge(self):
        with Pop3(self.server.address("pop3")[1], self.user, self.server.password, timeout=60) as c:
            found = [ID.search(c.message(f"RETR {int(line.split()[0])}"))[1].decode() for line in c.all("LIST")]
            if len(set(found)) < len(found):
                raise Lost(f"{self.user}: twice: {sorted(found)}")
            there = set(found)
            before = set(self.there)
            if there - self.adding not in (before, before - self.deleting):
                raise Lost(f"{self.user}: lost {sorted(before - there)}, more {sorted(there - before)}, deleting {sorted(self.deleting)}")
            self.there = {ident: self.there.get(ident) for ident in there}
            self.adding = self.deleting = frozenset()
            self.seen(c)
            c.quit()
