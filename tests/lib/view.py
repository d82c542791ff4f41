"""What a client knows about its selected mailbox, kept from every line: a line that contradicts it is a failure."""
import re

EXISTS = re.compile(rb"\* (\d+) EXISTS$", re.I)
EXPUNGE = re.compile(rb"\* (\d+) EXPUNGE$", re.I)
FETCH = re.compile(rb"\* (\d+) FETCH \(", re.I)
VANISHED = re.compile(rb"\* VANISHED ([0-9:,]+)$", re.I)
UIDFETCH = re.compile(rb"\* (\d+) UIDFETCH \(", re.I)
UID = re.compile(rb"[ (]UID (\d+)[ )]", re.I)


class View:
    """RFC 3501 section 7.3.1, 7.4.1: EXISTS never shrinks, an EXPUNGE names a message that is there and moves those
    after it, a sequence number keeps its UID in between, UIDs rise with sequence numbers. RFC 7162 section 3.2.10, RFC 9586:
    VANISHED and UIDFETCH name only what is there."""

    def __init__(self):
        self.uids = None

    def sent(self, text):
        """A command goes out: SELECT and its like begin a new view."""
        if re.match(r"(select|examine|close|unselect|logout)\b", text, re.I):
            self.uids = None

    def seen(self, line):
        """What contradicts the view in this line, or None."""
        for rule, act in ((EXISTS, self.exists), (EXPUNGE, self.expunge), (FETCH, self.fetch)):
            found = rule.match(line)
            if found:
                return act(int(found[1]), line)
        for rule, act in ((VANISHED, self.vanished), (UIDFETCH, self.uidfetch)):
            found = rule.match(line)
            if found:
                return act(found[1])
        return None

    def place(self, uid):
        """Where this UID is, or the first of the places where it may be; None when it cannot be there."""
        if uid in self.uids:
            return self.uids.index(uid)
        below = max((i for i, u in enumerate(self.uids) if u is not None and u < uid), default=-1)
        return below + 1 if below + 1 < len(self.uids) and self.uids[below + 1] is None else None

    def vanished(self, uids):
        for part in uids.decode().split(","):
            first, _, last = part.partition(":")
            for uid in range(int(first), int(last or first) + 1):
                at = self.place(uid) if self.uids is not None else None
                if at is None:
                    return f"VANISHED {uid} of {self.uids}"
                del self.uids[at]
        return None

    def uidfetch(self, uid):
        if self.uids is None or self.place(int(uid)) is not None:
            return None
        return f"UIDFETCH {int(uid)} of {self.uids}"

    def exists(self, count, _):
        if self.uids is None:
            self.uids = []
        if count < len(self.uids):
            return f"EXISTS {count} after {len(self.uids)}"
        self.uids += [None] * (count - len(self.uids))
        return None

    def expunge(self, number, _):
        if self.uids is None:
            return None
        if not 1 <= number <= len(self.uids):
            return f"EXPUNGE {number} of {len(self.uids)}"
        del self.uids[number - 1]
        return None

    def fetch(self, number, line):
        if self.uids is None:
            return None
        if not 1 <= number <= len(self.uids):
            return f"FETCH {number} of {len(self.uids)}"
        found = UID.search(line.split(b"{", 1)[0])
        if not found:
            return None
        uid, known = int(found[1]), self.uids[number - 1]
        if known not in (None, uid):
            return f"message {number} had UID {known}, now {uid}"
        self.uids[number - 1] = uid
        told = [u for u in self.uids if u is not None]
        return None if told == sorted(set(told)) else f"UIDs do not rise: {told}"
