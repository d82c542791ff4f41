"""clang-tidy over src/**/*.c, two at a time. A file whose text and own headers did not change since it passed is not
read again (build/tidy keeps what passed); --all reads every file, and follows three times as many paths through the few
functions that have more than the analyzer walks in any case."""
import concurrent.futures
import hashlib
import re
import subprocess
import sys

import source

FOLDER = source.ROOT / "build/tidy"
DATABASE = source.ROOT / "build/asan"
DEPTH = [] if "--all" in sys.argv else [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=75000")]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
BROKEN = "#include <stdlib.h>\nint f(void);\nint f(void)\n{\n    int *p = 0;\n    return *p;\n}\n"


def closure(path, seen):
    """The file and every header of ours that it reads."""
    if path in seen or not path.exists():
        return
    seen.add(path)
    for name in INCLUDE.findall(path.read_text()):
        closure(source.ROOT / "src" / name, seen)


def key(path):
    seen = set()
    closure(path, seen)
    digest = hashlib.sha256((source.ROOT / ".clang-tidy").read_bytes() + "".join(DEPTH).encode())
    for part in sorted(seen):
        digest.update(part.read_bytes())
    return digest.hexdigest()


def tidy(path):
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(DATABASE), *DEPTH, str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def one(path):
    mark = FOLDER / key(path)
    if mark.exists() and "--all" not in sys.argv:
        return True
    code, text = tidy(path)
    if code:
        print(text[:3000].replace(f"{source.ROOT}/", ""))
        return False
    mark.touch()
    return True


def proof():
    """The checks do find a fault."""
    with source.sample({"broken.c": BROKEN}) as folder:
        done = subprocess.run(["clang-tidy", "--quiet", f"--config-file={source.ROOT}/.clang-tidy", *DEPTH, str(folder / "broken.c"), "--"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.returncode != 0


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = (DATABASE / "compile_commands.json").read_text()
    paths = [p for p in source.files(source.ROOT, ".c") if str(p.relative_to(source.ROOT)) in known]
    paths.sort(key=lambda path: path.stat().st_size, reverse=True)  # no long one at the end
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, paths)) + [proof()]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if all(results) else 1)


main()
