"""i;unicode-casemap as RFC 5051 section 2 says, from UnicodeData.txt alone: each character's simple titlecase, then its
decomposition (canonical or compatibility), taken apart until nothing comes apart."""
import functools

DATA = "/usr/share/unicode/UnicodeData.txt"  # package unicode-data


@functools.cache
def tables():
    title, apart = {}, {}
    with open(DATA, encoding="ascii") as lines:
        for line in lines:
            field = line.rstrip("\n").split(";")
            code = int(field[0], 16)
            if field[14] or field[12]:
                title[code] = int(field[14] or field[12], 16)  # no titlecase: UnicodeData's rule is the uppercase one
            if field[5]:
                apart[code] = [int(c, 16) for c in field[5].split() if not c.startswith("<")]
    return title, apart


def hangul(code):
    """Unicode 3.12: the decomposition of syllables is arithmetic."""
    at = code - 0xAC00
    if not 0 <= at < 11172:
        return None
    tail = 0x11A7 + at % 28
    return [0x1100 + at // 588, 0x1161 + at % 588 // 28] + ([tail] if tail != 0x11A7 else [])


@functools.cache
def folded(char):
    title, apart = tables()

    def take(code):
        parts = apart.get(code) or hangul(code)
        return "".join(map(take, parts)) if parts else chr(code)

    return take(title.get(ord(char), ord(char)))


def fold(text):
    return text.upper() if text.isascii() else "".join(map(folded, text))
