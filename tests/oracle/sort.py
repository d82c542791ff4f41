"""SORT as RFC 5256, 5957 and 5051 say it, word by word and slowly, of what ENVELOPE and the Subject field say. Knows nothing of the server.

order(criteria, [Message, ...]) gives the messages in their order. Message.sure names the values that the RFCs leave no doubt of.
"""
import base64
import calendar
import codecs
import quopri
import re

from . import casemap


class Message:
    """number: by which equal ones are ordered. arrived: seconds. envelope: as it was parsed, strings as bytes or None."""
    def __init__(self, number, uid, size, modseq, arrived, envelope, subjects):
        date, first_from, first_to, first_cc = (envelope[0], first(envelope[2]), first(envelope[5]),
                                                        first(envelope[6]))
        text, known = decoded(subjects[0] if subjects else b"")
        sent, parsed = sent_date(date)
        self.number, self.uid = number, uid
        self.values = {
            "ARRIVAL": arrived, "SIZE": size, "MODSEQ": modseq, "UID": uid,
            "DATE": arrived if sent is None else sent,
            "SUBJECT": base_subject(text),
        }
        self.sure = {"SUBJECT": known and len(subjects) < 2, "DATE": parsed}
        for name, address in (("FROM", first_from), ("TO", first_to), ("CC", first_cc)):
            self.values[name], self.sure[name] = mailbox(address)
        for name, address in (("DISPLAYFROM", first_from), ("DISPLAYTO", first_to)):
            self.values[name], self.sure[name] = display(address)
        self.keys = {k: casemap.fold(v).encode() if isinstance(v, str) else v for k, v in self.values.items()}


def order(criteria, messages):
    """criteria: [(key, reverse), ...]. Each pass keeps the order of what is equal to it."""
    found = sorted(messages, key=lambda m: m.number)
    for key, reverse in reversed(criteria):
        found.sort(key=lambda m: m.keys[key], reverse=reverse)
    return found


def first(addresses):
    return addresses[0] if addresses else None


def mailbox(address):
    """Decoded too, and whether it is sure: RFC 5255 section 4.6."""
    return decoded((address[2] or b"") if address else b"")


def display(address):
    """RFC 5957 section 3."""
    if not address:
        return "", True
    name, known = decoded(address[0] or b"")
    known = known and (address[0] or b"").count(b"=?") < 2  # ENVELOPE may have encoded one of the words
    if name:
        return name, known
    if address[2] is not None and address[3] is not None:
        local, sure = mailbox(address)
        return local + "@" + utf8(address[3]), known and sure
    return decoded(address[2] or b"")


def utf8(octets):
    return octets.decode("utf-8", "replace")


WORD = re.compile(rb"=\?([!->@-~]+)\?([bqBQ])\?([!->@-~]*)\?=")


def decoded(octets):
    """RFC 2047: text, and whether the RFC leaves no doubt of it."""
    out, known, at = "", True, 0
    charset_before, bytes_before = None, b""

    def flush():
        nonlocal out, known, bytes_before
        if charset_before:
            try:
                out += bytes_before.decode(charset_before)
            except (LookupError, UnicodeDecodeError):
                known = False
        bytes_before = b""
    for word in WORD.finditer(octets):
        between = octets[at:word.start()]
        charset, data = codec(word[1]), payload(word)
        if at == 0 or between.strip(b" \t\r\n"):
            flush()
            charset_before = None
            out += utf8(between)
            known = known and is_clean(between) and (at == 0 or between[:1] in b" \t") and (not between or between[-1:] in b" \t")
        if charset != charset_before:
            flush()
        known = known and charset is not None and data is not None
        charset_before, bytes_before = charset, bytes_before + (data or b"")
        at = word.end()
    flush()
    rest = octets[at:]
    known = known and is_clean(rest) and b"=?" not in rest and (at == 0 or rest[:1] in (b"", b" ", b"\t"))
    out += utf8(rest)
    return out, known and "=?" not in out  # what looks like a word and is none


def is_clean(octets):
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"=?" not in octets and not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", octets)


def codec(label):
    name = label.split(b"*")[0].decode("ascii", "replace").lower()
    if not re.fullmatch(r"utf-8|us-ascii|iso-8859-(1|2|5|7|9|15)|windows-125[0-2]|koi8-r", name):
        return None
    # the labels of the wild: Latin-1 is windows-1252
    return codecs.lookup({"iso-8859-1": "windows-1252", "us-ascii": "windows-1252"}.get(name, name)).name


def payload(word):
    try:
        if word[2] in b"qQ":
            return quopri.decodestring(word[3].replace(b"_", b"=20"))
        return base64.b64decode(word[3], validate=True)
    except ValueError:
        return None


BLOB = r"\[[^\[\]]*\][ \t]*"
LEADER = re.compile(rf"(?:{BLOB})*(?:re|fwd?)[ \t]*(?:{BLOB})?:|[ \t]", re.I | re.A)
TRAILER = re.compile(r"(\(fwd\)|[ \t])\Z", re.I | re.A)


def base_subject(text):
    """RFC 5256 section 2.1, steps 1 to 7."""
    text = re.sub(r"[ \t\r\n]+", " ", text)
    while True:
        while trailer := TRAILER.search(text):  # 2
            text = text[:trailer.start()]
        while True:
            before = text
            while leader := LEADER.match(text):  # 3
                text = text[leader.end():]
            blob = re.match(BLOB, text)  # 4
            if blob and text[blob.end():]:
                text = text[blob.end():]
            if text == before:  # 5
                break
        if not re.fullmatch(r"(?s)\[fwd:.*\]", text, re.I | re.A):  # 6
            return text
        text = text[5:-1]


DATE = re.compile(r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), *)?(\d{1,2}) +([A-Za-z]{3}) +(\d{4}) +(\d\d):(\d\d)(?::(\d\d))? +([+-])(\d\d)(\d\d)"
                  r"(?: *\([^()]*\))?", re.A)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


def sent_date(octets):
    """Section 2.2: (seconds or None, whether that is sure). The forms of RFC 5322 section 3.3; others are not sure."""
    if octets is None:
        return None, True
    found = DATE.fullmatch(re.sub(rb"[ \t\r\n]+", b" ", octets).strip().decode("ascii", "replace"))
    if not found or found[2].lower() not in MONTHS:
        return None, False
    day, year, hour, minute, second = (int(found[i] or 0) for i in (1, 3, 4, 5, 6))
    month = MONTHS.index(found[2].lower()) + 1
    if not (1900 <= year and 1 <= day <= calendar.monthrange(year, month)[1] and hour < 24 and minute < 60 and second <= 60):
        return None, False
    zone = (int(found[8]) * 60 + int(found[9])) * (-1 if found[7] == "-" else 1)
    if int(found[8]) > 23 or int(found[9]) > 59:
        return None, False
    return calendar.timegm((year, month, day, hour, minute, second)) - zone * 60, True
