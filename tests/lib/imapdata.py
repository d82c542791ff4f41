"""IMAP data as Python values: lists, bytes for strings, None for NIL, int for numbers, str for other atoms."""
import re

ATOM = re.compile(rb'[^\s()"{}\[]+(?:\[[^\]]*\](?:<\d+>)?)?')
LITERAL = re.compile(rb"~?\{(\d+)\}\r\n")


def parse(data, at=0):
    """All values from `at` to the end or the closing parenthesis: (values, position after them)."""
    values = []
    while at < len(data):
        c = data[at:at + 1]
        if c == b" ":
            at += 1
        elif c == b"(":
            value, at = parse(data, at + 1)
            values.append(value)
        elif c == b")":
            return values, at + 1
        elif c == b'"':
            value, at = quoted(data, at + 1)
            values.append(value)
        else:
            value, at = plain(data, at)
            values.append(value)
    return values, at


def quoted(data, at):
    out = bytearray()
    while data[at:at + 1] != b'"':
        if data[at:at + 1] == b"\\":
            at += 1
        out += data[at:at + 1]
        at += 1
    return bytes(out), at + 1


def plain(data, at):
    literal = LITERAL.match(data, at)
    if literal:
        end = literal.end() + int(literal[1])
        return data[literal.end():end], end
    atom = ATOM.match(data, at)
    if not atom:
        raise ValueError(f"not IMAP data: {data[at:at + 40]!r}")
    word = atom[0]
    if word.upper() == b"NIL":
        return None, atom.end()
    return (int(word) if word.isdigit() else word.decode("latin-1")), atom.end()


def fetched(line):
    """(sequence number, {ITEM: value}) of a FETCH line, else None."""
    head = re.match(rb"\* (\d+) FETCH \(", line, re.I)
    if not head:
        return None
    values, _ = parse(line, head.end())
    return int(head[1]), {str(values[i]).upper(): values[i + 1] for i in range(0, len(values) - 1, 2)}


def numbers(text):
    """The members of a sequence set, in its order."""
    out = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        out += range(int(first), int(last or first) + 1)
    return out
