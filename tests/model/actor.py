"""A client of the model: one connection, what it was told, and what of that it would have cached."""
import re

from lib.client import Imap
from lib.imapdata import parse
from lib.view import View

from .oracle import Broken, result

FETCH = re.compile(rb"\* (\d+) (FETCH|UIDFETCH) \(", re.I)
EXPUNGE = re.compile(rb"\* (\d+) EXPUNGE$", re.I)
VANISHED = re.compile(rb"\* VANISHED (\(EARLIER\) )?([0-9:,]+)$", re.I)
HIGHEST = re.compile(rb"\[HIGHESTMODSEQ (\d+)\]", re.I)
SEARCH = re.compile(rb"\* SEARCH((?: \d+)*)(?: \(MODSEQ (\d+)\))?$", re.I)
ESEARCH = re.compile(rb'\* ESEARCH \(TAG "[^"]*"\)( UID)?(?: ALL ([0-9:,]+))?(?: MODSEQ (\d+))?$', re.I)
BY_NUMBER = re.compile(r"(FETCH|STORE|SEARCH|UID SEARCH [\d*])", re.I)

# kind: (what it enables, has it mod-sequences, is it told VANISHED)
KINDS = {
    "rev1": ([], False, False),
    "rev2": (["IMAP4rev2"], False, False),
    "condstore": (["CONDSTORE"], True, False),
    "condstore-rev2": (["CONDSTORE IMAP4rev2"], True, False),
    "qresync": (["QRESYNC"], True, True),
    "qresync-rev2": (["QRESYNC", "IMAP4rev2"], True, True),
    "uidonly": (["UIDONLY"], False, True),
    "uidonly-qresync": (["UIDONLY QRESYNC"], True, True),
}


def uids_of(text):
    """1:3,5 as a list."""
    found = []
    for part in text.decode().split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


def set_of(numbers):
    """The other way: ranges where numbers are neighbours."""
    parts = []
    for n in sorted(numbers):
        if parts and parts[-1][1] + 1 == n:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(f"{a}" if a == b else f"{a}:{b}" for a, b in parts)


def items_of(line, found):
    values, _ = parse(line, found.end())
    return {str(values[i]).upper(): values[i + 1] for i in range(0, len(values) - 1, 2)}


def plain_flags(values):
    return frozenset(str(f).lower() for f in values) - {"\\recent"}


class Actor:
    def __init__(self, world, name, kind):
        self.world, self.name, self.kind = world, name, kind
        self.enables, self.aware, self.vanishes = KINDS[kind]
        self.resyncs, self.uidonly = "qresync" in kind, "uidonly" in kind
        self.box, self.idle, self.pictures = None, None, {}  # pictures: what is cached of mailboxes not selected
        self.connect()

    def connect(self):
        server = self.world.server
        self.imap = Imap(server.address("imap"), self.world.user, server.password)
        self.forget()
        for what in self.enables:
            self.imap.command(f"ENABLE {what}")

    def forget(self):
        """Nothing is selected."""
        self.view, self.box, self.idle = View(), None, None
        self.cache, self.told, self.highest, self.batch, self.code = {}, {}, None, 0, None
        self.begun, self.synchronising, self.read_only, self.covered = None, True, False, 0

    # -- the wire ----------------------------------------------------------------------------
    def send(self, text, data=None):
        self.world.log(f"{self.name} C: {text}")
        self.view.sent(text)
        return self.imap.send(text, data)

    def line(self, timeout=None):
        line = self.imap.wire.line(timeout)
        self.world.log(f"{self.name} S: {line[:300].decode(errors='replace')}")
        return line

    def answer(self, tag):
        """(untagged lines, tagged line)."""
        lines = [self.line()]
        while not lines[-1].startswith(tag.encode() + b" "):
            lines.append(self.line())
        return lines[:-1], lines[-1]

    # -- what a client does with the lines ---------------------------------------------------
    def take(self, text, lines, tagged):
        """The lines of one command; tagged is None when the connection was lost before it."""
        by_number = BY_NUMBER.match(text)
        for line in lines:
            if by_number and (EXPUNGE.match(line) or (VANISHED.match(line) and not VANISHED.match(line)[1])):
                raise Broken(f"{line} during {text}")
            self.untagged(line, late=False)
        if tagged is not None:
            self.tagged(tagged)

    def untagged(self, line, late):
        """late: the line may be about a state that is not the last one (IDLE)."""
        fetch, expunge, vanished = FETCH.match(line), EXPUNGE.match(line), VANISHED.match(line)
        if fetch and (fetch[2].upper() == b"UIDFETCH") != self.uidonly:
            raise Broken(f"{self.kind} was told {line[:80]}")
        if (expunge and self.vanishes) or (vanished and not self.vanishes):
            raise Broken(f"{self.kind} was told {line}")
        if expunge:
            self.gone([self.view.uids[int(expunge[1]) - 1]] if int(expunge[1]) <= len(self.view.uids) else [])
        if vanished:
            self.gone(uids_of(vanished[2]))
        wrong = self.view.seen(line)
        if wrong:
            raise Broken(wrong)
        if fetch:
            self.fetched(line, fetch, late)
        code = HIGHEST.search(line)
        if code and line.startswith(b"* OK"):
            self.code = int(code[1])

    def gone(self, uids):
        for uid in uids:
            if uid in self.box.living:
                raise Broken(f"told that {uid} is gone, and it is there")
            self.cache.pop(uid, None)
            self.told.pop(uid, None)

    def fetched(self, line, found, late):
        items = items_of(line, found)
        number = int(found[1])
        uid = number if self.uidonly else items.get("UID", self.view.uids[number - 1])
        modseq = items["MODSEQ"][0] if "MODSEQ" in items else None
        if modseq and not self.aware:
            raise Broken(f"{self.kind} was told MODSEQ")
        if self.aware and "FLAGS" in items and not modseq and not self.world.plain_fetch:
            raise Broken(f"no MODSEQ in {line}")
        self.batch = max(self.batch, modseq or 0)
        message = self.box.message(uid)
        if uid is None or message is None or message.gone:
            if uid is not None and message is None:
                raise Broken(f"FETCH of {uid}, which never was there")
            return
        flags = plain_flags(items["FLAGS"]) if "FLAGS" in items else None
        entry = self.entry(message, flags, modseq, late)
        if modseq:
            self.box.saw(entry, modseq)
        if flags is not None:
            self.cache[uid], self.told[uid] = flags, entry.change

    def entry(self, message, flags, modseq, late):
        """Which state of the message a line is about."""
        since = self.told.get(message.uid, 0)
        states = [e for e in message.history if e.change >= since] if late else [message.now]
        for e in states:
            if modseq and late and e.modseq != modseq:
                low, high = (e.modseq, e.modseq) if e.modseq else self.box.clock.bounds(e.change)
                if not low <= modseq <= high:
                    continue
            if flags is None or flags == e.flags:
                return e
        raise Broken(f"told flags {sorted(flags or ())} MODSEQ {modseq} of {message.uid}, "
                     f"not in {[(sorted(e.flags), e.modseq) for e in states]}")

    def tagged(self, line):
        """RFC 7162 section 6: the HIGHESTMODSEQ a client may begin from next time."""
        code = HIGHEST.search(line)
        if code:
            self.code = int(code[1])
        code, batch = self.code, self.batch
        self.batch, self.code = 0, None
        if self.box is None or not self.aware:
            return
        if self.synchronising:
            self.begun = code or self.begun
            return
        self.highest = code or max(self.highest, batch)
        self.no_lie()

    def synchronised(self):
        """Only now does what was told at the mailbox's opening count."""
        self.synchronising = False
        if self.aware:
            self.highest = self.begun
            self.no_lie()

    def no_lie(self):
        """All that has a mod-sequence at or below HIGHESTMODSEQ has been told."""
        if self.highest > self.box.highest:
            raise Broken(f"HIGHESTMODSEQ {self.highest} told, it is {self.box.highest}")
        for uid, flags in self.cache.items():
            message = self.box.message(uid)
            if message.gone and self.resyncs and self.box.clock.bounds(message.gone)[1] <= self.highest:
                raise Broken(f"HIGHESTMODSEQ {self.highest} told, not that {uid} is gone")
            if not message.gone and flags != message.flags and self.box.bounds(message)[1] <= self.highest:
                raise Broken(f"HIGHESTMODSEQ {self.highest} told, not that {uid} has {sorted(message.flags)}")

    # -- what it knows -----------------------------------------------------------------------
    def stored(self, uids, sign, asked):
        """Its own .SILENT: it takes the outcome for granted."""
        for uid in uids:
            if uid in self.cache:
                self.cache[uid] = result(self.cache[uid], sign, asked)
                if self.cache[uid] == self.box.living[uid].flags:
                    self.told[uid] = self.box.living[uid].now.change

    def agrees(self):
        """What differs from the model, or None."""
        living = sorted(self.box.living)
        if len(self.view.uids) != len(living) or any(u not in (None, l) for u, l in zip(self.view.uids, living)):
            return f"shows {self.view.uids}, there is {living}"
        for uid, flags in self.cache.items():
            if uid not in self.box.living:
                return f"shows {uid}, which is gone"
            if flags != self.box.living[uid].flags:
                return f"shows {uid} with {sorted(flags)}, it has {sorted(self.box.living[uid].flags)}"
        return None

    def in_step(self):
        """After a command that tells everything."""
        wrong = self.agrees()
        if wrong:
            raise Broken(f"{self.name} {wrong}")
        self.view.uids = sorted(self.box.living)
        self.told.update({uid: self.box.living[uid].now.change for uid in self.cache})

    def stale(self):
        """What changed since it was told, be it that it is now as it was then."""
        living = self.box.living if self.box else {}
        return {u for u in self.cache if u not in living or self.told.get(u, 0) < living[u].now.change}

    def keep(self):
        """The connection goes: what is cached."""
        if self.box and self.resyncs and self.highest is not None:
            upto = self.covered if self.synchronising else self.without_gap()
            self.pictures[self.box.name] = ({u: f for u, f in self.cache.items() if u <= upto}, self.highest)

    def without_gap(self):
        """The UID up to which it has every message; what is above is fetched anew next time."""
        upto = 0
        for uid in self.view.uids or []:
            if uid not in self.cache:
                break
            upto = uid
        return upto
