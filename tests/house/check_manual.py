"""Every verb, option, setting and role has its text, each at its one place, and the manual pages that are made of them are clean."""
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import source

STRING = r'"(?:[^"\\\n]|\\.)*"'
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")
PAGES = ("posthorn.1", "posthorn.conf.5", "posthorn.8")


def rows(root, path, kinds):
    """(first argument, all its strings) of each row of a table; rows may go over lines."""
    text = (root / path).read_text() if (root / path).exists() else ""
    for found in re.finditer(rf"(?m)^(?:{kinds})\(((?:{STRING}|[^()\"]|\([^()]*\))*)\)", text):
        yield found[1].split(",")[0].strip().strip('"'), re.findall(STRING, found[1])


def texts(root):
    for path, kinds, where in (("src/ctl/verbs.def", "[A-Z]+", "the last string of its row, the help"),
                               ("src/ctl/options.def", "OPTION", "the last string of its row"),
                               ("src/ctl/topics.def", "TOPIC", "the last string of its row"),
                               ("src/ctl/config.def", "SETTING", "the last string of its row"),
                               ("src/os/roles.def", "ROLE", "the last string of its row: what the process is for")):
        for name, strings in rows(root, path, kinds):
            text = strings[-1][1:-1] if strings else ""
            if len(text) < 10:
                yield f"{path}: {name} has no text; write it as {where}"


def topics(root):
    """The first word of each verb has a row in the list that `posthorn help` shows, and the other way round."""
    first = {verb.split()[0] for verb, _ in rows(root, "src/ctl/verbs.def", "[A-Z]+")}
    listed = [name for name, _ in rows(root, "src/ctl/topics.def", "TOPIC")]
    for word in sorted(first ^ set(listed)) + sorted(w for w in set(listed) if listed.count(w) > 1):
        yield f"src/ctl/topics.def: '{word}' has to have one row, as it is the first word of a verb in src/ctl/verbs.def"


def options(root):
    """An option that a usage names has a row, and the other way round."""
    have = {name for name, _ in rows(root, "src/ctl/options.def", "OPTION")}
    named = set()
    for verb, strings in rows(root, "src/ctl/verbs.def", "[A-Z]+"):
        for option in OPTION.findall(strings[1]):
            named.add(option)
            if option not in have:
                yield f'src/ctl/verbs.def: {verb} takes {option}; give it a row with its text in src/ctl/options.def'
    for option in have - named - GENERAL:
        yield f"src/ctl/options.def: {option} is in no usage of src/ctl/verbs.def"


COMMAND = re.compile(r"`posthorn ([^`]*)`|^(?:    |\t|\.Dl )(?:\$ |# |sudo )?posthorn (.*)$", re.M)
GENERAL = {"-c", "--data", "--json", "--version", "-h", "--help"}


def commands(text):
    """(line number, words) of each command that a document shows."""
    for found in COMMAND.finditer(text):
        shown = re.split(r"\s[#|>&]|;|\.\.\.", (found[1] or found[2] or "").replace("\\-", "-"))[0]
        if shown:
            yield text.count("\n", 0, found.start()) + 1, re.sub(r"\|\S*", "", shown).split()


def mentions(root):
    """What the documents tell to type exists: the verb, and its options."""
    usages = {verb: strings[1] for verb, strings in rows(root, "src/ctl/verbs.def", "[A-Z]+")}
    for path in sorted([root / "README.md", *root.glob("docs/*.md"), *root.glob("dist/man/*.in")]):
        if path.name == "format.md":  # it has the first words of files: "posthorn store N"
            continue
        for line, words in commands(path.read_text()) if path.exists() else ():
            where = f"{path.relative_to(root)}:{line}"
            named = [w for w in words if not w.startswith("-")]
            verb = next((" ".join(named[:n]) for n in (3, 2, 1) if " ".join(named[:n]) in usages), None)
            if verb is None:
                if named and not any(v == named[0] or (v + " ").startswith(" ".join(named[:2]) + " ") for v in usages):
                    yield f"{where}: there is no verb `posthorn {' '.join(words[:3])}`"
                continue
            for option in OPTION.findall(" ".join(words)):
                if option not in GENERAL and option not in OPTION.findall(usages[verb]) and not re.match(r"-[a-z]{2}", option):
                    yield f"{where}: `posthorn {verb}` takes no {option}"


LONE = re.compile(r'(?m)^ {4,}(?:\w+ *= *\{? *)?"(?:[^"\\\n]|\\["\\$])*\\[^"\\$]')


def backslashes(root):
    """In the configuration's quotation marks a lone backslash is lost: \\Junk would be the name Junk, and no use."""
    for path in sorted([root / "README.md", *root.glob("docs/*.md"), *root.glob("dist/*.conf")]):
        text = path.read_text() if path.exists() else ""
        for found in LONE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(root)}:{line}: a backslash in quotation marks is written twice: {found[0].strip()}"


def quotes(root):
    """A macro takes quotation marks around its arguments for its own: they would not be in the page."""
    for path in sorted(root.glob("dist/man/*.in")):
        for line, text in enumerate(path.read_text().splitlines(), 1):
            if re.match(r'\.(?:Ql|Li|Dl)\b.* "', text):
                yield f"{path.relative_to(root)}:{line}: write \\(dq for a quotation mark in {text}"


def generator(root):
    spec = importlib.util.spec_from_file_location("make_manual", root / "dist/man/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complaints(path):
    """What mandoc and man say of a page."""
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    shown = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}, check=False)
    for line in (lint.stdout + shown.stderr).decode(errors="replace").splitlines():
        yield f"{path.name}: {line}"


def pages(root):
    """Made as the build makes them; in a broken sample: the page itself."""
    if not shutil.which("mandoc"):
        yield "mandoc is missing: tests/house/install.sh tests/house/packages.txt"
        return
    program = pathlib.Path(os.environ.get("POSTHORN_BINARY", root / "build/asan/src/main/posthorn"))
    if root == source.ROOT and not program.exists():
        yield f"{program} is not built"
        return
    with tempfile.TemporaryDirectory(prefix="posthorn-manual-") as folder:
        for name in PAGES:
            template = root / "dist/man" / (name + ".in")
            if not template.exists():
                continue
            path = pathlib.Path(folder) / name
            text = generator(root).page(program, "0", template.read_text()) if root == source.ROOT else template.read_text()
            path.write_text(text)
            yield from complaints(path)


BROKEN = {"src/ctl/verbs.def": 'LOCAL("x", "[--lost]", 0, 0, f, "")\n', "README.md": '`posthorn y --lost`, and `posthorn x --found`\n\n    imapsieve = { "COPY \\Junk: before /x" }\n',
          "src/ctl/options.def": 'OPTION("--spare", spare, "", "a long enough text")\n',
          "dist/man/posthorn.1.in": ".Dd November 27, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n.Ql \"a\"\n.Bl -tag\n.It a\n"}
source.main({"texts": (texts, BROKEN), "topics": (topics, BROKEN), "options": (options, BROKEN), "mentions": (mentions, BROKEN), "backslashes": (backslashes, BROKEN),
             "quotes": (quotes, BROKEN), "pages": (pages, BROKEN)})
