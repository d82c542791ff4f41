"""docs/rfcs.md is what the binary says of itself (`posthorn capabilities`). --write brings it up to date."""
import re
import subprocess
import sys

import source

BINARY = "build/release/src/main/posthorn"
PAGE = "docs/rfcs.md"
HEAD = """# What Posthorn implements

Made from the descriptors in src/imap (`posthorn capabilities`) by `tests/house/check_rfcs.py --write`; `./check house`
compares. Every verb, word and capability of these rows has a transcript in tests/transcripts.

| file | capabilities | specification |
|---|---|---|
"""


def links(text):
    return re.sub(r"RFC (\d+)", r"[RFC \1](https://www.rfc-editor.org/rfc/rfc\1)", text)


def page():
    done = subprocess.run([source.ROOT / BINARY, "capabilities"], stdout=subprocess.PIPE, check=True)
    rows = []
    for line in done.stdout.decode().strip().split("\n"):
        name, capabilities, rfcs = re.fullmatch(r"(\S+)\s+(.*?)\s*\b(RFC .*)", line).groups()
        folder = "ext" if (source.ROOT / f"src/imap/ext/{name}.c").exists() else "base"
        rows.append(f"| src/imap/{folder}/{name}.c | {capabilities} | {links(rfcs)} |\n")
    return HEAD + "".join(rows)


def same(root):
    path = root / PAGE
    if not path.exists() or path.read_text() != page():
        yield f"{PAGE} is not what the binary says; run tests/house/check_rfcs.py --write"


def files(root):
    """Every row's file is there, and every file has a row."""
    told = set(re.findall(r"^\| (\S+\.c) ", (root / PAGE).read_text(), re.M))
    listed = re.findall(r"^EXT\((\w+)\)", (root / "src/imap/ext.def").read_text(), re.M)
    yield from (f"{PAGE}: {name} does not exist" for name in sorted(told) if not (root / name).exists())
    yield from (f"{PAGE}: nothing about {name}" for name in listed if not any(t.endswith(f"/{name}.c") for t in told))


if "--write" in sys.argv:
    (source.ROOT / PAGE).write_text(page())
else:
    source.main({"docs/rfcs.md": (same, {PAGE: "# old\n"}),
                 "its files": (files, {PAGE: "| src/imap/ext/none.c | X | RFC 1 |\n", "src/imap/ext.def": "EXT(idle)\n"})})
