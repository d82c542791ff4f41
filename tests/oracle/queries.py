"""Random queries over given messages: (tuple for the oracle, octets for the server)."""
import datetime
import random

CHARSETS = ("UTF-8", "ISO-8859-1", "KOI8-R", "UTF-8")
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
FIELDS = ("Subject", "From", "To", "Message-ID", "Received", "X-Mailer", "List-Id", "Content-Type", "Reply-To", "X-Nowhere")


class Queries:
    def __init__(self, messages, keywords, seed):
        self.messages, self.keywords, self.random = messages, keywords, random.Random(seed)
        self.by_uid = sorted(m.uid for m in messages)

    # ---- needles ----

    def text_of(self, message):
        streams = [s.text for s in message.header + message.body if s.sure and s.text]
        return self.random.choice(streams) if streams else "X"

    def needle(self):
        pick = self.random.random
        text = self.text_of(self.random.choice(self.messages))
        if pick() < 0.05:
            return "".join(self.random.choices("qxzj", k=self.random.randint(3, 6)))
        if pick() < 0.35:  # whole words
            words = text.split()
            if not words:
                return "the"
            at = self.random.randrange(len(words))
            found = " ".join(words[at:at + self.random.choice((1, 1, 1, 2, 3))])
        else:
            length = self.random.choice((1, 2, 3, 3, 4, 5, 6, 8, 12, 20, 40))
            at = self.random.randrange(max(len(text) - length, 1))
            found = text[at:at + length]
        found = found[:60].replace("\0", "")
        if pick() < 0.1 and found:  # nearly
            at = self.random.randrange(len(found))
            found = found[:at] + self.random.choice("AEIOX -") + found[at + 1:]
        if pick() < 0.3:
            found = found.lower()
        # folded text may hold a mark without its letter, or half a pair: not a string a client would send
        return found.encode("utf-8", "ignore").decode() or "e"

    def in_charset(self, text, charset):
        try:
            octets = text.encode(charset)
        except UnicodeEncodeError:
            return None
        return b"{%d+}\r\n" % len(octets) + octets

    # ---- keys ----

    def day(self):
        m = self.random.choice(self.messages)
        day = m.sent if m.sent and self.random.random() < 0.7 else m.date.date()
        return day + datetime.timedelta(days=self.random.choice((-1, 0, 0, 1, 30)))

    def text_key(self, charset):
        key = self.random.choice(("TEXT", "TEXT", "BODY", "BODY", "SUBJECT", "FROM", "TO", "CC", "BCC", "HEADER", "HEADER"))
        needle = "" if self.random.random() < 0.02 else self.needle()
        octets = self.in_charset(needle, charset)
        if octets is None:
            return ("ALL",), b"ALL"
        query, program = (key, needle), key.encode() + b" " + octets
        if key == "HEADER":
            name = self.random.choice(FIELDS)
            query, program = ("HEADER", name, needle), b"HEADER " + name.encode() + b" " + octets
        if self.random.random() < 0.2:
            return ("FUZZY", query), b"FUZZY " + program
        return query, program

    def plain_key(self):
        kind = self.random.randrange(6)
        if kind == 0:
            flag = self.random.choice(("ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN"))
            key = self.random.choice(("", "UN")) + flag
            return (key,), key.encode()
        if kind == 1:
            key, word = self.random.choice(("KEYWORD", "UNKEYWORD")), self.random.choice(self.keywords + ["nosuch"])
            return (key, word), f"{key} {word}".encode()
        if kind == 2:
            key = self.random.choice(("LARGER", "SMALLER"))
            size = len(self.random.choice(self.messages).data) + self.random.choice((-1, 0, 1))
            return (key, size), f"{key} {size}".encode()
        if kind == 3:
            key = self.random.choice(("BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE"))
            day = self.day()
            return (key, day), f"{key} {day.day}-{MONTHS[day.month - 1]}-{day.year:04}".encode()
        if kind == 4:
            first, last = sorted(self.random.choices(self.by_uid, k=2))
            return ("UID", range(first, last + 1)), f"UID {first}:{last}".encode()
        first = self.random.randint(1, len(self.messages))
        last = self.random.randint(first, len(self.messages))
        return ("SEQ", range(first, last + 1)), f"{last}:{first}".encode()

    def key(self, charset, depth):
        kind = self.random.random()
        if depth > 0 and kind < 0.12:
            query, octets = self.key(charset, depth - 1)
            return ("NOT", query), b"NOT " + octets
        if depth > 0 and kind < 0.24:
            a, b = self.key(charset, depth - 1), self.key(charset, depth - 1)
            return ("OR", a[0], b[0]), b"OR " + a[1] + b" " + b[1]
        if depth > 0 and kind < 0.34:
            keys = [self.key(charset, depth - 1) for _ in range(self.random.randint(1, 3))]
            return ("AND", [q for q, _ in keys]), b"(" + b" ".join(o for _, o in keys) + b")"
        return self.text_key(charset) if kind < 0.75 else self.plain_key()

    def query(self):
        """(oracle's query, the search program)"""
        charset = self.random.choice(CHARSETS)
        keys = [self.key(charset, 3) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        return ("AND", [q for q, _ in keys]), b"CHARSET " + charset.encode() + b" " + b" ".join(o for _, o in keys)
