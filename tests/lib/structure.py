"""ENVELOPE and BODYSTRUCTURE made comparable: what RFC 3501 calls case-insensitive or unordered is brought to one form."""
import quopri
import re


WORDS = re.compile(rb"=\?unknown-8bit\?Q\?([^?]*)\?=(?:[ \t]+(?==\?unknown-8bit\?))?")


def raw(value):
    """An ENVELOPE with our unknown-8bit words (RFC 1428 section 3: 8-bit header text must not stand raw) as the octets
    they stand for."""
    if isinstance(value, list):
        return [raw(v) for v in value]
    if not isinstance(value, bytes):
        return value
    return WORDS.sub(lambda m: quopri.decodestring(m[1], header=True), value)


def fold(value):
    return value.upper() if isinstance(value, (bytes, str)) else value


def params(value):
    """A parameter list: names folded, sorted; the names of charsets too (RFC 2046 section 4.1.2)."""
    if not isinstance(value, list):
        return value
    pairs = [(fold(value[i]), value[i + 1]) for i in range(0, len(value) - 1, 2)]
    pairs = [(name, fold(text) if name == b"CHARSET" else text) for name, text in pairs]
    return sorted(pairs, key=repr)


def disposition(value):
    if not isinstance(value, list) or len(value) != 2:
        return value
    return [fold(value[0]), params(value[1])]


def body(value):
    """A BODYSTRUCTURE, recursively."""
    if not isinstance(value, list) or not value:
        return value
    if isinstance(value[0], list):
        return multipart(value)
    out = [fold(value[0]), fold(value[1]), params(value[2]), value[3], value[4], fold(value[5]), value[6]]
    at = 7
    if out[:2] == [b"MESSAGE", b"RFC822"] and len(value) > 9 and isinstance(value[7], list):
        out += [value[7], body(value[8]), value[9]]
        at = 10
    elif out[0] == b"TEXT":
        out.append(value[7])
        at = 8
    return out + extension(value[at:])


def multipart(value):
    count = sum(1 for _ in takewhile_list(value))
    rest = value[count:]
    return [[body(part) for part in value[:count]], fold(rest[0]), params(rest[1]) if len(rest) > 1 else None,
            disposition(rest[2]) if len(rest) > 2 else None, *rest[3:]]


def takewhile_list(values):
    for value in values:
        if not isinstance(value, list):
            return
        yield value


def extension(values):
    out = list(values)
    if len(out) > 1:
        out[1] = disposition(out[1])
    return out
