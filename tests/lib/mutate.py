"""Commands of transcripts as octets, broken in ways that clients and attackers break them; and what the server makes of the
octets, told independently: which tags it has to answer, in their order."""
import re

LITERAL = re.compile(rb"(~?)\{(\d+)(\+?)\}\r?\n$")
TAG = re.compile(rb'[^\x00-\x20(){%*"\\+\]\x7f-\xff]+')
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|\(|\)|[^\s()"]+|\s+')
NUMBERS = (b"0", b"1", b"4294967295", b"4294967296", b"18446744073709551616", b"-1", b"*", b"*:*", b"1:*", b"007", b"$")
SIZES = (0, 1, 4096, 4097, 65537, 1048577, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64, 10 ** 30)
OCTETS = b'\x00\x01\t\r\n\x7f\x80\xff\xc3\xa9"\\(){}[]<>*%&+~ '
CHAINED = (b"IDLE", b"AUTHENTICATE", b"UNAUTHENTICATE", b"LOGOUT", b"STARTTLS", b"APPEND", b"LOGIN", b"DONE")


class Mutator:
    def __init__(self, random, others):
        self.random, self.others = random, others  # others: commands without tags, from all transcripts

    def tokens(self, data):
        return TOKEN.findall(data) or [data]

    def flip(self, data):
        at = self.random.randrange(len(data) or 1)
        return data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)] if data else b"") + data[at + 1:]

    def insert(self, data):
        at = self.random.randrange(len(data) + 1)
        return data[:at] + bytes([self.random.choice(OCTETS)]) * self.random.choice((1, 1, 1, 2, 60, 300)) + data[at:]

    def cut(self, data):
        return data[:self.random.randrange(len(data) + 1)]

    def drop(self, data):
        words = self.tokens(data)
        del words[self.random.randrange(len(words))]
        return b"".join(words)

    def double(self, data):
        words = self.tokens(data)
        at = self.random.randrange(len(words))
        return b"".join(words[:at] + [words[at]] * self.random.choice((2, 2, 3, 200)) + words[at + 1:])

    def swap(self, data):
        words = self.tokens(data)
        a, b = self.random.randrange(len(words)), self.random.randrange(len(words))
        words[a], words[b] = words[b], words[a]
        return b"".join(words)

    def number(self, data):
        return re.sub(rb"\d+|\*", lambda m: self.random.choice(NUMBERS) if self.random.random() < 0.5 else m[0], data)

    def size(self, data):
        def other(match):
            size = int(match[1]) + self.random.choice((-1, 1, 7, 0)) if self.random.random() < 0.7 else \
                self.random.choice(SIZES)
            return b"{%d%s" % (max(size, 0), self.random.choice((b"}", b"+}", match[2])))
        return re.sub(rb"\{(\d+)(\+?\})", other, data)

    def verb(self, data):
        """Another command's verb with these arguments, or these arguments behind another's."""
        mine, other = data.split(b" ", 1), self.random.choice(self.others).split(b" ", 1)
        return other[0] + b" " + mine[-1] if self.random.random() < 0.5 else mine[0] + b" " + other[-1]

    def join(self, data):
        return data + b" " + self.random.choice(self.others)

    def quote(self, data):
        words = self.tokens(data)
        at = self.random.randrange(len(words))
        words[at] = b"{%d+}\r\n%s" % (len(words[at]), words[at]) if self.random.random() < 0.5 else b'"' + words[at] + b'"'
        return b"".join(words)

    def command(self, data):
        """One command without tag and CRLF, broken once or several times."""
        ways = (self.flip, self.insert, self.cut, self.drop, self.double, self.swap, self.number, self.size, self.verb,
                self.join, self.quote)
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            data = self.random.choice(ways)(data)
        return data[:20000]

    def pieces(self, data):
        """The octets as they are sent: whole, or cut at some places."""
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.choice((0, 0, 1, 3))))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]) if a < b]


class Framing:
    """What the server reads in these octets, told the answers that came (None: '+', else a tag, in their order).
    `tags` are those it owes an answer; `certain` is false where the octets can be read in two ways; `owed` literal octets
    are still to come."""

    def __init__(self, data, answers):
        self.data, self.answers = data, list(answers)
        self.tags, self.certain, self.owed = [], True, 0
        at = 0
        while at < len(data):
            at = self.command(at)

    def tag_of(self, at):
        found = TAG.match(self.data, at)
        return found[0] if found and self.data[found.end():found.end() + 1] == b" " else None

    def command(self, at):
        tag, begin = self.tag_of(at), at
        while True:
            end = self.data.find(b"\n", at) + 1
            if end == 0:
                self.certain = False  # an unfinished line
                return len(self.data)
            line = self.data[at:end]
            literal = LITERAL.search(line)
            if not literal:
                break
            self.certain &= line.count(b'"') % 2 == 0 and b"\\" not in line and int(literal[2]) < 4096 and b"\0" not in line
            if not literal[3] and not self.asked(tag):
                at = end
                break
            at = end + int(literal[2])
            if at > len(self.data):
                self.owed = at - len(self.data)
                self.certain = False
                return len(self.data)
        whole = self.data[begin:max(end, at)]
        self.certain &= tag is not None and len(tag) <= 64 and len(whole) < 60000
        self.certain &= not any(word in whole.upper() for word in CHAINED)
        self.tags.append(tag)
        return max(end, at)

    def asked(self, tag):
        """A literal that waits for its '+': whether the server asked for it, or refused the command."""
        for i, answer in enumerate(self.answers):
            if answer is None:
                del self.answers[i]
                return True
            if answer == tag:
                return False
        self.certain = False
        return False
