"""The floors of the house (src/FLOORS): who may include whom, who may know the engine, headers that compile alone."""
import concurrent.futures
import re
import subprocess

import source

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"/]+)/[^"]*"', re.M)
PACKAGES = ["libevent", "openssl", "lmdb", "icu-uc", "libsodium", "libgsasl", "libzstd", "libxxhash", "libconfuse",
            "libseccomp", "gmime-3.0"]


def floors(root):
    table = {}
    for line in (root / "src/FLOORS").read_text().split("\n"):
        words = line.split("#")[0].split()
        if words:
            table[words[0]] = int(words[1])
    return table


def includes(root):
    table = floors(root)
    for path in source.files(root, ".c", ".h", ".def"):
        folder = path.relative_to(root / "src").parts[0]
        if folder not in table:
            yield f"{path.relative_to(root)}: folder {folder} has no floor in src/FLOORS"
            continue
        for other in INCLUDE.findall(path.read_text()):
            if other != folder and table.get(other, 99) >= table[folder]:
                yield f"{path.relative_to(root)}: {folder} (floor {table[folder]}) includes {other}/"


def engine(root):
    for path in source.files(root, ".c", ".h"):
        if path.relative_to(root / "src").parts[0] != "store" and "lmdb.h" in path.read_text():
            yield f"{path.relative_to(root)}: includes lmdb.h, which belongs to src/store"


def cflags():
    done = subprocess.run(["pkg-config", "--cflags", *PACKAGES], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().split()


def alone(root):
    flags = ["-std=gnu17", "-D_GNU_SOURCE", '-DPOSTHORN_VERSION="x"', "-fsyntax-only", "-I", str(root / "src"), *cflags()]

    def one(path):
        text = f'#include "{path.relative_to(root / "src")}"\n'
        done = subprocess.run(["gcc", *flags, "-x", "c", "-"], input=text.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        first = next((line for line in done.stdout.decode().split("\n") if "error" in line), "does not compile")
        return f"{path.relative_to(root)}: does not compile alone: {first}" if done.returncode else None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from (p for p in pool.map(one, source.files(root, ".h")) if p)


FLOORS = {"src/FLOORS": "base 0\nstore 2\nmail 4\n"}
source.main({
    "floors": (includes, {**FLOORS, "src/base/a.c": '#include "mail/b.h"\n'}),
    "engine": (engine, {**FLOORS, "src/mail/a.c": "#include <lmdb.h>\n"}),
    "headers": (alone, {**FLOORS, "src/base/a.h": "struct a { unknown_type x; };\n"}),
})
