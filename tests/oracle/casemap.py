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


# ---- FUZZY (docs/search.md) ----

ALIKE = {"\u00C6": "AE", "\u00D0": "D", "\u00D8": "O", "\u00DE": "TH", "\u00DF": "SS", "\u0110": "D", "\u0126": "H", "\u0138": "K",
         "\u0141": "L", "\u014A": "N", "\u0152": "OE", "\u0166": "T", "\u0197": "I", "\u01B5": "Z", "\u01E4": "G", "\u0243": "B",
         "\u1E9E": "SS", **dict.fromkeys("\u02BC\u2018\u2019\u201B", "'"), **dict.fromkeys("\u201C\u201D\u201F", '"'),
         **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")}


@functools.cache
def dropped():
    """Characters that are not seen, and marks but those that tell words apart (voicing marks of kana, viramas)."""
    out = set()
    with open(DATA, encoding="ascii") as lines:
        for line in lines:
            field = line.split(";")
            if field[3] not in ("0", "8", "9"):
                out.add(chr(int(field[0], 16)))
    with open(DATA.replace("UnicodeData", "DerivedCoreProperties"), encoding="utf-8") as lines:
        for line in lines:
            points, _, rest = line.partition(";")
            if rest.strip().startswith("Default_Ignorable_Code_Point"):
                first, _, last = points.strip().partition("..")
                out.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return out


@functools.cache
def fuzzy_char(char):
    return "".join(ALIKE.get(c, "" if c in dropped() else c) for c in fold(fold(char)))


def fuzzy(text):
    return text.upper() if text.isascii() else "".join(map(fuzzy_char, text))
