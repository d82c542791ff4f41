"""The manual pages: texts beside this file, with the tables that `posthorn help` prints in them.
    make.py POSTHORN VERSION TEMPLATE OUTPUT"""
import json
import pathlib
import re
import subprocess
import sys

WHERE = {
    "command": "",
    "both": "Where a server runs on the data, the server does it; else the command itself.",
    "server": "Only while a server runs.",
    "offline": "Works on the data itself: refused while a server runs.",
}


def rows(program, *words):
    """What `posthorn help WORDS` prints, without what is made for every word."""
    said = subprocess.run([program, "help", *words, "--json"], stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in said.decode().splitlines()]


def escaped(text):
    """As roff text. A line never begins with a control character."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    text = re.sub(r"(?<=[a-z)\]]\.) (?=[A-Z])", "\n", text)  # a sentence begins a line
    return re.sub(r"(?m)^\.", r"\\&.", text)


def sentence(text):
    text = escaped(text[:1].upper() + text[1:])
    return text if text.endswith(".") else text + "."


def words(text):
    """As arguments of a macro, none of which is taken for another macro."""
    return " ".join("\\&" + word.replace('"', "\\(dq") for word in escaped(text).split())


def option(row):
    yield f".It Fl {words(row['option'][1:])}" + (f" Ar {words(row['value'])}" if row["value"] else "")
    yield sentence(row["help"])


def general(program):
    for row in rows(program, "all"):
        if row["type"] == "option" and row["general"]:
            yield from option(row)


def taken(verb, row):
    return re.search(rf"(?<![\w-]){re.escape(row['option'])}(?![\w-])", verb["usage"])


def verbs(program):
    table = rows(program, "all")
    options = [row for row in table if row["type"] == "option" and not row["general"]]
    for verb in (row for row in table if row["type"] == "verb"):
        yield f".Ss {words(verb['verb'] + ' ' + verb['usage'])}"
        yield sentence(verb["help"])
        if WHERE[verb["where"]]:
            yield WHERE[verb["where"]]
        mine = [row for row in options if taken(verb, row)]
        if mine:
            yield ".Bl -tag -width indent"
            for row in mine:
                yield from option(row)
            yield ".El"


def settings(program):
    for row in rows(program, "settings"):
        if row["type"] != "setting":
            continue
        yield f".It Ic {words(row['setting'])}"
        kind = f"one of {', '.join(row['words'].split())}" if row["words"] else row["kind"]
        normal = f"default {row['default']}" if row["default"] else "empty at first"
        yield escaped(f"({kind}; {normal}{'; restart' if row['restart'] else ''})")
        yield ".br"
        yield sentence(row["help"])


def roles(program):
    for row in rows(program, "roles"):
        if row["type"] == "role":
            yield f".It {words(row['role'])}"
            yield sentence(row["help"])


TABLES = {"GENERAL_OPTIONS": general, "VERBS": verbs, "SETTINGS": settings, "ROLES": roles}


def page(program, version, template):
    """The text of a page, of the text of its template."""
    text = template.replace("@VERSION@", version)
    return re.sub(r"(?m)^@([A-Z_]+)@$", lambda found: "\n".join(TABLES[found[1]](program)), text)


if __name__ == "__main__":
    _, PROGRAM, VERSION, TEMPLATE, OUTPUT = sys.argv
    pathlib.Path(OUTPUT).write_text(page(PROGRAM, VERSION, pathlib.Path(TEMPLATE).read_text()))
