"""SEARCH, slow and obviously right: what RFC 9051 section 6.4.4 and RFC 3501 say, over whole messages in memory.

Where the RFCs leave open what the text of a broken message is, the oracle says so: an answer is True, False or None, "may be
either". A match lies in one stream: a header field, a part's decoded text, the text that HTML shows."""
import base64
import binascii
import codecs
import datetime
import functools
import html.parser
import quopri
import re

from .casemap import fold, fuzzy

FIELD = re.compile(rb"([^:\r\n]*):(.*)", re.S)


class Stream:
    """Folded text; `sure`: the RFCs leave no doubt what it is; `shown`: what HTML shows, but where its lines end; `extra`: what
    a server may find too."""

    def __init__(self, text, sure=True, shown=False, extra=False):
        self.text, self.sure, self.shown, self.extra = fold(text), sure, shown, extra

    @functools.cached_property
    def fuzzy(self):
        return fuzzy(self.text)


LINES = re.compile(r"[\r\n\t]|  ")


def found(streams, needle, view="text"):
    """Whether the folded needle is in one of them; `view`: as which fold has them."""
    of_lines = bool(LINES.search(needle))
    if any(needle in getattr(s, view) for s in streams if s.sure and not s.extra and not (s.shown and of_lines)):
        return True
    if any(s.extra and needle in getattr(s, view) for s in streams):
        return None
    return None if any(not s.sure or (s.shown and of_lines) for s in streams) else False


# ---- headers ----

def fields(block):
    """[(name, raw value, unfolded)] of a header block."""
    lines = []
    for line in block.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] += b"\r\n" + line
        elif line:
            lines.append(line)
    for line in lines:
        match = FIELD.match(line)
        if match:
            yield match[1].strip(b" \t"), match[2].replace(b"\r\n", b"").strip(b" \t\r\n")


WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=")


def decoded(raw):
    """(text, sure) of a field value with encoded words (RFC 2047)."""
    text = raw.decode("utf-8", "replace")
    sure = True
    if "=?" in text:
        # only words that stand as the RFC has them: apart from other text, whole characters, an ordinary charset
        rest = WORD.sub("", text)
        sure = "=?" not in rest and "?=" not in rest and all(plain_word(m) for m in WORD.finditer(text))
        sure = sure and not re.search(r"[^\s(,;<>\"]=\?|\?=[^\s),;<>\"]", text) and not re.search(r'"[^"]*=\?', text)
    if not sure or "=?" not in text:
        return text, sure
    out, at, after_word = "", 0, False
    for m in WORD.finditer(text):
        between = text[at:m.start()]
        out += "" if after_word and not between.strip() else between
        out += word_text(m)
        at, after_word = m.end(), True
    return out + text[at:], True


def word_text(m):
    data = m[3].encode()
    octets = base64.b64decode(data) if m[2] in "bB" else quopri.decodestring(data.replace(b"_", b" "), header=False)
    return octets.decode(m[1].split("*")[0])


def plain_word(m):
    try:
        return known_charset(m[1].split("*")[0]) and word_text(m) is not None
    except (UnicodeDecodeError, binascii.Error, ValueError, LookupError):
        return False


def known_charset(label):
    """Charsets that Python and the registry read alike."""
    try:
        return codecs.lookup(label).name in ("utf-8", "ascii", "iso8859-1", "iso8859-2", "iso8859-15", "cp1252", "koi8-r", "cp1251")
    except LookupError:
        return False


# ---- MIME ----

class Shown(html.parser.HTMLParser):
    """`sure`: no head ends without a tag that says so, as browsers let it."""
    HIDDEN = {"head", "script", "style", "title", "template", "object", "select"}
    OF_HEAD = {"title", "meta", "link", "base", "script", "style", "noscript", "template", "object"}
    INLINE = set("a abbr b big code em font i ins mark s small span sub sup strong strike u".split())

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.depth, self.sure, self.head = [], 0, True, False

    def handle_starttag(self, tag, attrs):
        self.sure = self.sure and not (self.head and tag not in self.OF_HEAD)
        self.head = self.head or tag == "head"
        self.depth += tag in self.HIDDEN
        self.out.append("" if tag in self.INLINE else "\n")

    def handle_endtag(self, tag):
        self.head = self.head and tag != "head"
        self.depth -= tag in self.HIDDEN and self.depth > 0
        self.out.append("" if tag in self.INLINE else "\n")

    def handle_data(self, data):
        if not self.depth:
            self.out.append(data)


NAME = re.compile(rb'name\*?[0-9]*\*?=("[^"]*"|[^;\s]*)', re.I)


class Part:
    """An entity and all that it holds, as streams: headers of `nested` messages, `mime` headers of parts, `body` texts."""

    def __init__(self, data, depth=0, digest=False):
        self.nested, self.mime, self.body, self.odd = [], [], [], False
        head, gap, rest = (b"", b"", data[2:]) if data.startswith(b"\r\n") else data.partition(b"\r\n\r\n")
        self.header, self.text = head, rest
        self.fields = [(name.decode("latin-1").lower(), value) for name, value in fields(head)]
        self.odd |= self.broken_header()
        kind, params = self.content_type(digest)
        self.file_name()
        if kind.startswith("multipart/"):
            self.multipart(kind, params, depth)
        elif kind == "message/rfc822" or kind == "message/global":
            self.message(depth)
        elif kind.startswith(("text/", "message/")):
            self.leaf(kind, params)

    def broken_header(self):
        lines = self.header.split(b"\r\n")
        names = [n for n, _ in self.fields if n.startswith("content-")]
        whole = b"".join(lines)
        if len(names) != len(set(names)) or names == ["content-transfer-encoding"] or b"\n" in whole or b"\r" in whole:
            return True
        return any(not re.match(rb"[!-9;-~]+:|[ \t]+[^ \t]", line) for line in lines if line)

    def field(self, name):
        return next((value for key, value in self.fields if key == name), None)

    def content_type(self, digest):
        raw = self.field("content-type")
        if raw is None:
            return ("message/rfc822" if digest else "text/plain"), {}
        match = re.fullmatch(rb"([A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)((?:\s*;\s*[A-Za-z0-9-]+=(?:\"[^\"\\]*\"|[^\s;\"=?()]+))*)\s*;?", raw)
        if not match:
            self.odd = True
            return "text/plain", {}
        found_params = re.findall(rb";\s*([A-Za-z0-9-]+)=(?:\"([^\"\\]*)\"|([^\s;\"=?()]+))", match[2])
        params = {name.decode().lower(): (quoted or bare).decode("latin-1") for name, quoted, bare in found_params}
        self.odd |= len(params) != len(found_params)
        return match[1].decode().lower(), params

    def take(self, other):
        self.nested += other.nested
        self.mime += other.mime
        self.body += other.body
        self.odd |= other.odd

    def multipart(self, kind, params, depth):
        boundary = params.get("boundary")
        if not boundary or depth > 20 or (self.field("content-transfer-encoding") or b"7bit").lower() not in (b"7bit", b"8bit", b"binary"):
            self.odd = True
            return
        line = re.compile(rb"(?:^|\r\n)--" + re.escape(boundary.encode("latin-1")) + rb"(--)?[ \t]*(?=\r\n|$)")
        marks = list(line.finditer(self.text))
        ends = [m for m in marks if m[1]]
        self.odd |= len(ends) != 1 or marks[-1] is not ends[0] or len(marks) < 2
        for mark, after in zip(marks, marks[1:]):
            if not mark[1]:
                inner = Part(self.text[mark.end() + 2:after.start()] if mark.end() + 2 <= after.start() else b"", depth + 1,
                             kind == "multipart/digest")
                self.mime += header_streams(inner)
                self.take(inner)

    def message(self, depth):
        if (self.field("content-transfer-encoding") or b"7bit").lower() not in (b"7bit", b"8bit", b"binary") or depth > 20:
            self.odd = True
            return
        inner = Part(self.text, depth + 1)
        self.nested += header_streams(inner)
        self.take(inner)

    def octets(self):
        """(decoded, sure)"""
        encoding = (self.field("content-transfer-encoding") or b"7bit").lower()
        if encoding in (b"7bit", b"8bit", b"binary"):
            return self.text, True
        if encoding == b"base64":
            packed = b"".join(self.text.split())
            if len(packed) % 4 or not re.fullmatch(rb"[A-Za-z0-9+/]*={0,2}", packed):
                return b"", False
            return base64.b64decode(packed), True
        if encoding == b"quoted-printable":
            good = not re.search(rb"=(?![0-9A-F]{2}|\r\n)", self.text) and not re.search(rb"[ \t]\r\n", self.text)
            return (quopri.decodestring(self.text), True) if good else (b"", False)
        return b"", False

    def file_name(self):
        for name in ("content-type", "content-disposition"):
            for raw in NAME.findall(self.field(name) or b""):
                self.body.append(Stream(decoded(raw)[0], extra=True))

    def leaf(self, kind, params):
        octets, sure = self.octets()
        charset = params.get("charset", "us-ascii")
        if not known_charset(charset):
            sure = False
        text = octets.decode(charset if sure and charset.lower() != "us-ascii" else "utf-8", "replace")
        # U+0080 to U+009F: written for windows-1252
        sure = sure and not re.search("[\x80-\x9f\0�]", text)
        self.body.append(Stream(text, sure))
        if kind == "text/html":
            page = Shown()
            page.feed(text)
            page.close()
            self.body.append(Stream("".join(page.out), sure and page.sure, shown=True))


def header_streams(part):
    out = []
    for name, value in fields(part.header):
        text, sure = decoded(value)
        out.append(Stream(f"{name.decode('utf-8', 'replace')}: {text}", sure))
    return out


# ---- a message ----

DATE = rb"(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) \d\d:\d\d:\d\d (?:[+-]\d{4}|GMT)(?: \([A-Z]+\))?"


class Message:
    """data, and what the server keeps of it: uid, flags and keywords (a set of lower-case words), INTERNALDATE (aware)."""

    def __init__(self, data, uid, flags, date):
        self.data, self.uid, self.date, self.seq = data, uid, date, 0
        self.flags = {flag.lower() for flag in flags}
        self.part = Part(data)
        self.header = header_streams(self.part) + self.part.mime  # of TEXT: "including MIME header fields"
        self.body = self.part.nested + self.part.body
        self.odd = self.part.odd
        if self.odd:  # nobody can say what is a header, or a part
            for stream in self.header + self.body:
                stream.sure = False
            self.header.append(Stream("", False))
            self.body.append(Stream("", False))

    @functools.cached_property
    def sent(self):
        """The day of the Date field; None: no date, False: nobody can say."""
        dates = [value for name, value in self.part.fields if name == "date"]
        if self.odd or not dates:
            return False if self.odd else None
        match = re.fullmatch(DATE, dates[0])
        if len(dates) > 1 or not match or match[3] < b"1900":
            return False
        try:
            return datetime.datetime.strptime(b" ".join(match.groups()).decode(), "%d %b %Y").date()
        except ValueError:
            return False

    def values(self, name):
        """Streams of the values of a field."""
        out = []
        for key, value in self.part.fields:
            if key == name.lower():
                text, sure = decoded(value)
                out.append(Stream(text, sure))
        if self.odd:
            out = [Stream("", False)]
        return out


# ---- queries: nested tuples, (KEY, arguments...) ----

def either(a, b):
    return True if a or b else None if a is None or b is None else False


def negation(a):
    return None if a is None else not a


FLAGS = {"ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN"}
FIELD_KEYS = {"SUBJECT", "FROM", "TO", "CC", "BCC"}


def on_day(key, day, wanted):
    return {"BEFORE": day < wanted, "ON": day == wanted, "SINCE": day >= wanted}[key]


FUZZY_WORD = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")


def by_words(query, m):
    """FUZZY: all words of the text, in any order (docs/search.md)."""
    text = fuzzy(query[-1])
    words = FUZZY_WORD.findall(text)
    if not words:
        return by_text(query, m) if not text else None
    answers = [by_text((*query[:-1], word), m, "fuzzy") for word in words]
    return False if False in answers else None if None in answers else True


def by_text(query, m, view="text"):
    key, needle = query[0], fold(query[-1])
    if key == "HEADER":
        values = m.values(query[1])
        return found(values, needle, view) if values else False
    if key in FIELD_KEYS:
        values = m.values(key)
        if key == "SUBJECT":  # a run of white space may also be found as one space
            single = [" ".join(s.text.split()) for s in values if needle not in s.text]
            values += [Stream(text, False) for text in single if needle in text]
        if key == "SUBJECT" or not needle:
            return found(values, needle, view) if values else False
        # of addresses the envelope has the decoded form; comments and quotes may be written anew
        answer = found(values, needle, view)
        raw = [value for name, value in m.part.fields if name == key.lower()]
        return answer if len(raw) == 1 and plain_addresses(raw[0]) else None if values else False
    if not needle:
        return True
    return found(m.body if key == "BODY" else m.header + m.body, needle, view)


def plain_addresses(value):
    return not re.search(rb'[()"\\:;=\x80-\xff]', value) and b"  " not in value and b"\t" not in value


def matches(query, m):
    """True, False or None."""
    key = query[0]
    if key == "AND":
        answers = [matches(q, m) for q in query[1]]
        return False if False in answers else None if None in answers else True
    if key == "OR":
        return either(matches(query[1], m), matches(query[2], m))
    if key == "FUZZY":
        return by_words(query[1], m)
    if key == "NOT":
        return negation(matches(query[1], m))
    if key in FLAGS:
        return "\\" + key.lower() in m.flags
    if key.startswith("UN") and key[2:] in FLAGS:
        return "\\" + key[2:].lower() not in m.flags
    if key in ("KEYWORD", "UNKEYWORD"):
        return (query[1].lower() in m.flags) == (key == "KEYWORD")
    if key == "ALL":
        return True
    if key in ("LARGER", "SMALLER"):
        return len(m.data) > query[1] if key == "LARGER" else len(m.data) < query[1]
    if key in ("BEFORE", "ON", "SINCE"):
        return on_day(key, m.date.date(), query[1])
    if key.startswith("SENT"):
        return None if m.sent is False else m.sent is not None and on_day(key[4:], m.sent, query[1])
    if key in ("UID", "SEQ"):
        return (m.uid if key == "UID" else m.seq) in query[1]
    return by_text(query, m)
