"""What a mailbox is by RFC 9051 and RFC 7162: messages, their flags, and in which order all of it changed.

Mod-sequences are the server's to choose. The model numbers the changes of a mailbox instead and learns from every line which
mod-sequences lie where between them: a later change has a higher one, no two changes share one, HIGHESTMODSEQ lies between."""
import bisect


class Broken(AssertionError):
    """The server told something that cannot be."""


class Clock:
    """Which mod-sequences the changes have. Change c stands at 2c, HIGHESTMODSEQ as told after it at 2c+1."""

    def __init__(self):
        self.places, self.spans = [], []

    def learn(self, place, value):
        at = bisect.bisect_left(self.places, place)
        if at < len(self.places) and self.places[at] == place:
            low, high = self.spans[at]
            self.spans[at] = (min(low, value), max(high, value))
        else:
            self.places.insert(at, place)
            self.spans.insert(at, (value, value))
        for left in (at - 1, at):
            if 0 <= left and left + 1 < len(self.places):
                self.in_order(left, left + 1)

    def in_order(self, left, right):
        before, after = self.spans[left][1], self.spans[right][0]
        if after < before or (after == before and self.places[right] % 2 == 0):
            raise Broken(f"{self.named(left)} and later {self.named(right)}")

    def named(self, at):
        kind = "HIGHESTMODSEQ after change" if self.places[at] % 2 else "MODSEQ of change"
        return f"{kind} {self.places[at] // 2}: {self.spans[at]}"

    def change(self, number, value):
        self.learn(2 * number, value)

    def highest(self, number, value):
        self.learn(2 * number + 1, value)

    def bounds(self, number):
        """The lowest and the highest mod-sequence that a change may have had."""
        at = bisect.bisect_left(self.places, 2 * number)
        low = self.spans[at - 1][1] + 1 if at else 1
        while at < len(self.places) and self.places[at] == 2 * number:
            at += 1
        return low, self.spans[at][0] if at < len(self.places) else 1 << 63


class Entry:
    """One state of a message: its flags from a change on."""

    def __init__(self, change, flags):
        self.change, self.flags, self.modseq = change, frozenset(flags), None


class Message:
    def __init__(self, uid, change, flags):
        self.uid, self.history, self.gone = uid, [Entry(change, flags)], None

    @property
    def now(self):
        return self.history[-1]

    @property
    def flags(self):
        return self.history[-1].flags


def result(flags, sign, asked):
    """What STORE makes of flags."""
    return flags | asked if sign == "+" else flags - asked if sign == "-" else frozenset(asked)


class Mailbox:
    def __init__(self, name):
        self.name, self.clock, self.changes, self.fenced = name, Clock(), 0, 0
        self.living, self.dead, self.uidnext, self.uidvalidity, self.highest = {}, {}, 1, None, 0
        self.states = []  # as STATUS told it, after each command

    def change(self):
        self.changes += 1
        return self.changes

    def add(self, uid, flags, change):
        if uid < self.uidnext:
            raise Broken(f"{self.name}: UID {uid} for a new message after UIDNEXT {self.uidnext}")
        self.living[uid] = Message(uid, change, flags)
        self.uidnext = uid + 1

    def expunge(self, uids):
        change = self.change() if uids else None
        for uid in uids:
            message = self.dead[uid] = self.living.pop(uid)
            message.gone = change

    def store(self, uids, sign, asked):
        """Changes flags; one change for all of one command. Those that stay as they are keep their mod-sequence."""
        touched = [m for m in map(self.living.get, uids) if result(m.flags, sign, asked) != m.flags]
        change = self.change() if touched else None
        for message in touched:
            message.history.append(Entry(change, result(message.flags, sign, asked)))

    def message(self, uid):
        return self.living.get(uid) or self.dead.get(uid)

    def bounds(self, message):
        """Of the mod-sequence of a message as it is now."""
        entry = message.now
        return (entry.modseq, entry.modseq) if entry.modseq else self.clock.bounds(entry.change)

    def saw(self, entry, modseq):
        if entry.modseq not in (None, modseq):
            raise Broken(f"{self.name}: one state of a message had MODSEQ {entry.modseq}, now {modseq}")
        entry.modseq = modseq
        self.clock.change(entry.change, modseq)

    def told_highest(self, value):
        """HIGHESTMODSEQ, told by a server that holds nothing back."""
        if self.changes > self.fenced and value <= self.highest:
            raise Broken(f"{self.name}: HIGHESTMODSEQ {value} after {self.highest}, and changes between")
        self.clock.highest(self.changes, value)
        self.fenced, self.highest = self.changes, value
