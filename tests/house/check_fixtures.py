"""The newest fixture (tests/fixtures) has every record kind, setting, password scheme, file and format number of this version,
and those of earlier versions are as they were released."""
import hashlib
import json
import re
import struct
import sys
import tarfile

import source

sys.path.insert(0, str(source.ROOT / "tests/fixtures"))

import archive

AGAIN = "make the fixture again: tests/fixtures/make.py"
# What a verb writes by this sink, and where that is in a fixture.
SINKS = {"sink_script": [],  # a user's own octets
         "sink_pull": [],  # what another server sent: mail, which is in the store
         "sink_file": [("backup.xz", "")], "sink_export": [("export.tar.xz", "maildir/cur/"), ("export.tar.xz", "mbox/INBOX.mbox")]}
FILES = [r"format", r"uuid", r"journal/\d{8}\.seg", r"journal/\d{8}\.idx", r"bodies/[0-9a-f]{2}/[0-9a-f]{16}", r"index/0/data\.mdb",
         r"users/users\.db"]


def newest():
    found = archive.versions()
    return found[-1] if found else None


def table(root, path, pattern):
    file = root / path
    return re.findall(pattern, file.read_text(), re.M) if file.exists() else []


def whole(rule):
    """A rule about the newest fixture; without one there is only that to say."""
    def checked(root):
        if newest() is None:
            yield f"there is no fixture; {AGAIN}"
        else:
            yield from rule(root)
    return checked


@whole
def record_kinds(root):
    there = {kind for kind, *_ in archive.journal(newest() / "store.tar.xz")}
    for name, number, rest in table(root, "src/store/record.def", r"^RECORD\((\w+),\s*(\d+)\)(.*)$"):
        if int(number) not in there and "// reserved" not in rest:
            yield f"record.def: {newest().name} has no {name} record; {AGAIN}"


@whole
def settings(root):
    texts = [p.read_text() for p in sorted((newest() / "config").glob("form-*.conf"))]
    values = [json.loads(p.read_text()) for p in sorted((newest() / "config").glob("form-*.json"))]
    rows = table(root, "src/ctl/config.def", r'^SETTING\(\w+,\s*(\w+),\s*\w+,\s*"([^"]*)",\s*"[^"]*",\s*"([^"]*)"')
    for kind, name, words in rows:
        written = re.compile(rf"^\s*(?:tls \{{.*)?\b{re.escape(name.removeprefix('tls.'))} ?= ?", re.M)
        if not all(written.search(text) for text in texts) or not any(name in v for v in values):
            yield f"config.def: no configuration of {newest().name} has {name}; {AGAIN}"
        said = "\n".join(texts)
        for word in words.split() if kind == "CHOICE" else ():
            if not re.search(rf"^(?:tls \{{.*|\s+)?\b{re.escape(name.removeprefix('tls.'))} ?= ?\"?{word}\"?(?: \}}|\s)", said, re.M):
                yield f"config.def: no configuration of {newest().name} has {name} = {word}; {AGAIN}"


@whole
def schemes(root):
    listed = (newest() / "users.txt").read_text()
    for name in table(root, "src/auth/schemes.def", r'^SCHEME\("([^"]+)"'):
        if f'"{name.lower()}@' not in listed:
            yield f"schemes.def: {newest().name} has no user with {name}; {AGAIN}"


def has(name, start):
    path = newest() / name
    return path.exists() and (not start or any(n.startswith(start) for n in archive.names(path)))


@whole
def files(root):
    for verb, sink in table(root, "src/ctl/verbs.def", r'^\w+\(\s*"([^"]+)",[^\n]*\b(sink_\w+),'):
        if sink == "sink_nothing":
            continue
        for name, start in SINKS.get(sink, [("?", "")]):
            if not has(name, start):
                yield f"verbs.def: {newest().name} has nothing that `{verb}` wrote ({name} {start}); {AGAIN}"
    there = archive.names(newest() / "store.tar.xz")
    for pattern in FILES:
        if not any(re.fullmatch(pattern, name) for name in there):
            yield f"{newest().name}: no file {pattern} in store.tar.xz; {AGAIN}"


def index_format(octets):
    """The highest, since LMDB keeps old pages."""
    return max(struct.unpack_from(">I", octets, m.end())[0] for m in re.finditer(rb"format(?=\0\0\0)", octets))


NUMBERS = [  # what, where it is defined, the file, how to read it there
    ("segments", "src/store/layout.h", r"\bLAYOUT_VERSION = (\d+)", "journal/00000001.seg", lambda d: struct.unpack_from(">H", d, 4)[0]),
    ("the index", "src/store/index.h", r"\bINDEX_FORMAT = (\d+)", "index/0/data.mdb", index_format),
    ("data/format", "src/store/folder.h", r"\bFOLDER_FORMAT = (\d+)", "format", lambda d: int(d.split()[-1])),
    ("users.db", "src/auth/userdb_file.c", r"\bSCHEMA_VERSION = (\d+)", "users/users.db", lambda d: struct.unpack_from(">I", d, 60)[0]),
]


@whole
def formats(root):
    with tarfile.open(newest() / "store.tar.xz") as tar:
        for what, path, pattern, name, read in NUMBERS:
            now = table(root, path, pattern)
            there = read(tar.extractfile(name).read())
            if (root / path).exists() and now != [str(there)]:
                yield f"{path}: {what} have format {there} in {newest().name} and {', '.join(now) or 'none'} here; {AGAIN}"


def digests(folder):
    return {p.relative_to(folder.parent).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def released(root):
    """SUMS has every file of every fixture but the newest; make.py writes it."""
    sums = root / "tests/fixtures/SUMS"
    want = dict(reversed(line.split("  ")) for line in sums.read_text().splitlines()) if sums.exists() else {}
    there = {}
    for folder in archive.versions()[:-1]:
        there.update(digests(folder))
    for name in sorted(set(want) | set(there)):
        if want.get(name) != there.get(name):
            yield f"tests/fixtures/{name} is not what was released"


@whole
def version(root):
    now = table(root, "meson.build", r"^project\(.* version: '([0-9.]+)'")
    if now and now != [newest().name]:
        yield f"meson.build: this is {now[0]}, the newest fixture is of {newest().name}; {AGAIN}"


SAMPLE = {
    "meson.build": "project('posthorn', 'c', version: '0.0.0', license: 'x')\n",
    "src/store/record.def": "RECORD(ACCOUNT, 1)\nRECORD(NEVER, 99)\n",
    "src/ctl/config.def": 'SETTING(never, TEXT, LIVE, "never", "", "", "a setting")\n',
    "src/auth/schemes.def": 'SCHEME("NEVER", plain, 0, TEXT, FAST, "")\n',
    "src/ctl/verbs.def": 'STORE("never", "", 0, 0, verb_never, NULL, sink_never, "writes a file")\n',
    "src/store/index.h": "enum { INDEX_FORMAT = 99 };\n",
    "tests/fixtures/SUMS": "0000  0.0.0/store.txt\n",
}
if __name__ == "__main__":
    source.main({
        "record kinds": (record_kinds, SAMPLE), "settings": (settings, SAMPLE), "password schemes": (schemes, SAMPLE),
        "files": (files, SAMPLE), "format numbers": (formats, SAMPLE), "released fixtures": (released, SAMPLE),
        "version": (version, SAMPLE),
    })
