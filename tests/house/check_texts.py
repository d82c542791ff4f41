"""Every text of an IMAP response is a row of src/imap/texts.def, in each language, with the same arguments; no text goes past the table. The
same of POP3 and src/pop3/texts.def, but for the last: its answers are made by one function."""
import re

import source

STRING = r'"(?:[^"\\\n]|\\.)*"'
STRINGS = re.compile(rf"{STRING}(?:\s*{STRING})*")
ROW = re.compile(rf"^(TEXT|PREFIX)\(\s*({STRING}(?:\s*{STRING})*)\s*,\s*({STRING}(?:\s*{STRING})*)\s*\)", re.M)
CONVERSION = re.compile(r"%(?:%|[-+ #0]*\d*(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z])")
# Who says texts: which of the strings in a call are texts ("first": the format, what follows are its arguments).
SAYERS = {"imap_bye": "all", "imap_text": "all", "imap_say": "rest", "imap_answer": "first", "imap_answer_no": "first",
          "imap_untagged": "first", "imap_preauth_say": "rest", "imap_preauth_say_bad": "all", "imap_preauth_bye": "all",
          "give_up": "all"}
POP3_SAYERS = {"pop3_text": "all", "pop3_reply_put": "all", "pop3_say": "all", "say_bad": "all", "pop3_preauth_say": "all",
               "pop3_preauth_say_bad": "all", "give_up": "all"}
POP3_CODE = re.compile(r"[A-Z/-]*")
HEAD = re.compile(r"^(?:(?:OK|NO|BAD|BYE) )?(?:\[.*?\] )?", re.S)
STATUS = re.compile(r"(?:^|\* | )(?:OK|NO|BAD|BYE|PREAUTH) (?:\[[^\]]*\] )?[A-Za-z]|^\)?\] ?[A-Z]")


def joined(strings):
    octets = "".join(part[1:-1] for part in re.findall(STRING, strings))
    return octets.replace('\\"', '"').replace("\\\\", "\\")


def rows(root):
    return [(kind, joined(a), joined(b)) for kind, a, b in ROW.findall((root / "src/imap/texts.def").read_text())]


def sources(root):
    for path in source.files(root, ".c"):
        place = path.relative_to(root / "src")
        if (place.parts[0] == "imap" or place.name == "mail_gate.c") and not path.stem.endswith("_test"):
            yield place, re.sub(r"//[^\n]*", "", path.read_text())


def calls(text, name):
    """The arguments of each call, as text and where it is."""
    for found in re.finditer(rf"\b{name}\(", text):
        depth, at = 1, found.end()
        while depth > 0 and at < len(text):
            string = re.match(STRING, text[at:])
            if string:
                at += string.end()
                continue
            depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        yield found.start(), text[found.end():at - 1]


def texts_in(text):
    """(where, text) of all texts that are said."""
    for name, which in SAYERS.items():
        for at, arguments in calls(text, name):
            said = [joined(s[0]) for s in STRINGS.finditer(arguments)]
            if which == "first":
                said = said[:1]
            elif which == "rest":
                said = said[1:]
            for one in said:
                if name != "imap_untagged" or re.match(r"(?:OK|NO|BAD|BYE) ", one):
                    yield at, HEAD.sub("", one)
    for table in re.finditer(r"(?:fault_texts|byes)\[[A-Z_]*\] = \{(.*?)\};", text, re.S):
        for one in STRINGS.finditer(table[1]):
            yield table.start(1) + one.start(), HEAD.sub("", joined(one[0]))


def all_texts(root):
    for place, text in sources(root):
        for at, said in texts_in(text):
            yield f"{place}:{text.count(chr(10), 0, at) + 1}", said
    reply = root / "src/imap/preauth_reply.def"
    if reply.exists():
        for said in re.findall(rf"^PREAUTH_REPLY\(\w+,\s*\"\w+\",\s*({STRING})", reply.read_text(), re.M):
            yield "preauth_reply.def", HEAD.sub("", joined(said))


def pop3_texts(root):
    for path in source.files(root, ".c"):
        place, text = path.relative_to(root / "src"), re.sub(r"//[^\n]*", "", path.read_text())
        if place.parts[0] != "pop3" or path.stem.endswith("_test"):
            continue
        for name in POP3_SAYERS:
            for _, arguments in calls(text, name):
                yield from ((place, joined(one[0])) for one in STRINGS.finditer(arguments))
        for table in re.finditer(r"(?:byes\[\] = \{(.*?)\};|const char \*text =(.*?);)", text, re.S):
            yield from ((place, joined(one[0])) for one in STRINGS.finditer(table[1] or table[2]))
    reply = root / "src/pop3/preauth_reply.def"
    if reply.exists():
        for said in re.findall(rf"^PREAUTH_REPLY\(\w+,\s*\"[^\"]*\",\s*({STRING})", reply.read_text(), re.M):
            yield "preauth_reply.def", joined(said)


def pop3(root):
    """What is said has a row, and what has a row is said."""
    table = root / "src/pop3/texts.def"
    have = [joined(a) for _, a, _ in ROW.findall(table.read_text())] if table.exists() else []
    said = {text: place for place, text in pop3_texts(root) if not POP3_CODE.fullmatch(text)}
    yield from (f'{place}: "{text}" has no row' for text, place in said.items() if text not in have)
    yield from (f'pop3: "{text}" is said nowhere' for text in have if text not in said)


def missing(root):
    have = {english for kind, english, _ in rows(root) if kind == "TEXT"}
    for where, said in all_texts(root):
        if said not in have:
            yield f'{where}: "{said}" has no row'


def unused(root):
    said = {text for _, text in all_texts(root)}
    for kind, english, _ in rows(root):
        if kind == "TEXT" and english not in said:
            yield f'"{english}" is said nowhere'


def translated(root):
    pop3_table = root / "src/pop3/texts.def"
    more = ROW.findall(pop3_table.read_text()) if pop3_table.exists() else []
    seen = set()
    for kind, english, german in rows(root) + [("POP3", joined(a), joined(b)) for _, a, b in more]:
        if not german or not english:
            yield f'"{english}" has no text'
        if (kind, english) in seen:
            yield f'"{english}" has two rows'
        seen.add((kind, english))
        if CONVERSION.findall(english) != CONVERSION.findall(german):
            yield f'"{english}" and "{german}" have different arguments'
        if not english.isascii() or german.startswith("[") or re.search(r"[\x00-\x1f\x7f]", english + german):
            yield f'"{english}": not what RFC 5255 section 3.5 allows'


def bypassing(root):
    """A status word or a code with a text behind it in one string that no sayer was given."""
    for place, text in sources(root):
        given = set()
        for name in SAYERS:
            for at, arguments in calls(text, name):
                given.update(range(at, at + len(arguments) + len(name) + 1))
        for one in STRINGS.finditer(text):
            if one.start() not in given and STATUS.search(joined(one[0])) and '"+ OK' not in one[0]:
                yield f"{place}:{text.count(chr(10), 0, one.start()) + 1}: {one[0]} does not go through imap_text"


DEF = 'TEXT("Done", "Fertig")\nTEXT("%s of %u", "%s von %u")\n'


def broken(c, table=DEF):
    return {"src/imap/texts.def": table, "src/imap/a.c": c}


if __name__ == "__main__":
    source.main({
        "missing": (missing, broken('imap_answer(c, "[X %s] Undone", "Done");\n')),
        "unused": (unused, broken('imap_answer(c, "[X] Done");\n')),
        "translated": (translated, broken("", 'TEXT("%s of %u", "%u von %s")\n')),
        "pop3": (pop3, {"src/pop3/texts.def": DEF, "src/pop3/a.c": 'pop3_say(s, true, "", "Undone");\n'}),
        "bypassing": (bypassing, broken('conn_write_str(c, "* OK Done\\r\\n");\n')),
    })
