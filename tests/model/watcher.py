"""Sessions that use NOTIFY (RFC 5465) while others work: every line must fit what the model went through, and none may be missing."""
import re

from lib.client import Imap
from lib.wire import Timeout

from .actor import Actor
from .oracle import Broken

STATUS = re.compile(rb"\* STATUS (\S+) \(([^)]*)\)$")
ALL = "(MessageNew MessageExpunge FlagChange)"


class Watcher:
    """Selects nothing, and knows its mailboxes by STATUS alone."""

    def __init__(self, world, name, words, boxes, modseq):
        self.world, self.name, self.words, self.boxes, self.modseq = world, name, words, boxes, modseq
        self.keys = ["MESSAGES", "UIDNEXT", "UNSEEN"] + ["HIGHESTMODSEQ"] * modseq
        self.connect()

    def connect(self):
        server = self.world.server
        self.imap = Imap(server.address("imap"), self.world.user, server.password)
        if self.modseq:
            self.imap.command("ENABLE CONDSTORE")
        self.known, self.at = {}, {}
        for line in self.imap.command(f"NOTIFY SET STATUS ({self.words} {ALL})")[0]:
            self.take(line)
        self.in_step("NOTIFY SET STATUS")

    def take(self, line):
        self.world.log(f"{self.name} S: {line.decode()}")
        found = STATUS.match(line)
        name = found and found[1].decode()
        if not found or name not in self.boxes:
            if name not in self.world.boxes and found and self.boxes == list(self.world.boxes):
                return  # a folder of the account's that no story is about
            raise Broken(f"{self.name} was told {line}")
        told = {k.decode(): int(v) for k, v in re.findall(rb"([A-Z]+) (\d+)", found[2])}
        states, begin = self.world.boxes[name].states, self.at.get(name, 0)
        fits = [i for i in range(begin, len(states)) if all(states[i][k] == v for k, v in told.items())]
        if not fits or "UIDVALIDITY" not in told or ("HIGHESTMODSEQ" in told) < self.modseq:
            raise Broken(f"{self.name} was told {line}, not in {states[begin:]}")
        self.at[name] = fits[0]
        self.known.setdefault(name, {}).update(told)

    def lacks(self):
        """What it does not know, or None."""
        for name in self.boxes:
            now = self.world.boxes[name].states[-1]
            if {k: self.known.get(name, {}).get(k) for k in self.keys} != {k: now[k] for k in self.keys}:
                return f"{name} is {now}, known is {self.known.get(name)}"
        return None

    def in_step(self, when):
        wrong = self.lacks()
        if wrong:
            raise Broken(f"{self.name} after {when}: {wrong}")

    def look(self, dice):
        """Waits for what is pushed, or asks by NOOP, or stops listening for a while."""
        if dice.random() < 0.5:
            while self.lacks():
                try:
                    self.take(self.imap.wire.line(30))
                except Timeout:
                    raise Broken(f"{self.name} was not told: {self.lacks()}") from None
            self.world.seen["told by NOTIFY"] += 1
            return
        for line in self.imap.command("NOOP")[0]:
            self.take(line)
        self.in_step("NOOP")

    def lost(self):
        self.imap.close()
        self.connect()


class Follower:
    """Has a mailbox selected and is told of it by SELECTED; it sends NOOP and nothing else."""

    def __init__(self, world, name, kind):
        self.world, self.actor = world, Actor(world, name, kind)
        self.connect()

    def connect(self):
        actor = self.actor
        items = "(flags)" if actor.uidonly else f"(uid flags{' modseq' * actor.aware})"
        actor.imap.command(f"NOTIFY SET (selected (MessageNew {items} MessageExpunge FlagChange))")
        self.world.select(actor, self.world.boxes["INBOX"])

    def look(self, dice):
        actor = self.actor
        while actor.agrees():
            try:
                actor.untagged(actor.line(timeout=30), late=True)
            except Timeout:
                raise Broken(f"{actor.name} was not told: {actor.agrees()}") from None
        self.world.seen["told by SELECTED"] += 1
        if dice.random() < 0.3:
            lines, tagged = actor.answer(actor.send("NOOP"))
            for line in lines:
                actor.untagged(line, late=True)
            actor.tagged(tagged)
            actor.in_step()

    def lost(self):
        self.actor.imap.close()
        self.actor.pictures = {}
        self.actor.connect()
        self.connect()
