"""Runs every fuzz target for a while over its corpus, as many at a time as there are processors. Findings are kept in
tests/.work/fuzz to become regression files. With --minutes the processor time is entered in the ledger
(docs/robustness.md): it adds up, as long as the files that the target reads do not change, and since its last finding."""
import argparse
import concurrent.futures
import fcntl
import hashlib
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "tests/fuzz"
LEDGER = ROOT / "docs/robustness.md"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| (\w+) \|$", re.M)
HOUR = 60
HEAD = "| target | minutes, these files | minutes since a finding | files |\n|---|---|---|---|\n"


def binary_of(name):
    return ROOT / f"build/fuzz/tests/fuzz/{name}_fuzz"


def fuzz(name, seconds):
    """The processor time it had, in seconds; None when it found something."""
    corpus = FOLDER / "corpus" / name
    work = ROOT / f"tests/.work/fuzz/{name}_fuzz"
    work.mkdir(parents=True, exist_ok=True)
    folders = [str(work)] + ([str(corpus)] if corpus.is_dir() else [])
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen([binary_of(name), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096",
                                    f"-artifact_prefix={work.parent}/{name}_fuzz-", "-print_final_stats=0", *folders],
                                   stdout=said, stderr=subprocess.STDOUT,
                                   env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
                                        "LLVM_PROFILE_FILE": os.devnull})
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if running.returncode:
        print(f"{name}:\n{text[-6000:]}")
        return None
    return used.ru_utime + used.ru_stime


# ---- the ledger ----

def near(path):
    """The file by this name in src or beside the targets, and what is written for it in C; a header that stands for its
    whole folder has all of it."""
    for root in (ROOT / "src", FOLDER):
        header = root / path
        if header.exists():
            twin = header.with_suffix(".c")
            return [header, *([twin] if twin.exists() or header.suffix != ".h" else sorted(header.parent.glob("*.c")))]
    return []


def read_by(name):
    """The target and all of our files that it stands on, in the folders that it names itself."""
    target = FOLDER / f"{name}_fuzz.c"
    seen, left, named = set(), [target], INCLUDE.findall(target.read_text())
    if "served.h" in named:
        named += [path for file in near("served.h") for path in INCLUDE.findall(file.read_text())]
    folders = {path.split("/")[0] for path in named if "/" in path} - {"base"}
    while left:
        file = left.pop()
        if file in seen or not file.exists():
            continue
        seen.add(file)
        named = INCLUDE.findall(file.read_text())
        left += [f for path in named if "/" not in path or path.split("/")[0] in folders for f in near(path)]
    return sorted(f for f in seen if not f.stem.endswith("_test"))


def digest(name):
    total = hashlib.sha256()
    for file in read_by(name):
        total.update(file.read_bytes())
    return total.hexdigest()[:10]


def enter(text, name, minutes, files):
    """The document with so many minutes more for this target; None: it found something."""
    rows = {row[0]: row for row in ROW.findall(text)}
    _, these, since, before = rows.get(name, (name, 0, 0, ""))
    these, since = (0, 0) if minutes is None else (minutes + (float(these) if before == files else 0), minutes + float(since))
    rows[name] = (name, f"{these:.1f}", f"{since:.1f}", files)
    table = "".join("| `{}` | {} | {} | {} |\n".format(*rows[key]) for key in sorted(rows))
    begin = text.index(HEAD) + len(HEAD)
    return text[:begin] + table + "\n" + ROW.sub("", text[begin:]).lstrip("\n")


def lacks(text, name, files):
    """The minutes that this target lacks: an hour since its last finding, a quarter of it on the files as they are."""
    _, these, since, before = next((row for row in ROW.findall(text) if row[0] == name), (name, 0, 0, ""))
    return max(HOUR - float(since), HOUR / 4 - (float(these) if before == files else 0), 0)


def proof():
    """Minutes add up; they begin again when a file has changed, all of them with a finding."""
    text = f"a\n\n{HEAD}| `b` | 5 | 9 | old |\n\nz\n"
    one = enter(enter(text, "b", 3, "old"), "a", 1, "new")
    two = enter(one, "b", 3, "new")
    return ROW.findall(one) == [("a", "1.0", "1.0", "new"), ("b", "8.0", "12.0", "old")] and two.endswith("|\n\nz\n") \
        and ROW.findall(two)[1] == ("b", "3.0", "15.0", "new") and len(read_by("sieve")) > 10 \
        and ROW.findall(enter(two, "b", None, "new"))[1] == ("b", "0.0", "0.0", "new") \
        and [lacks(two, *row) for row in (("b", "new"), ("b", "newer"), ("c", "new"))] == [45, 45, 60] \
        and [lacks("| `d` | 16.0 | 61.0 | new |", "d", files) for files in ("new", "newer")] == [0, 15]


def keep(name, seconds):
    with open(LEDGER, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = enter(file.read(), name, None if seconds is None else seconds / 60, digest(name))
        file.seek(0)
        file.write(text)
        file.truncate()


def run(name, options):
    """Is all well? With --due no longer than the ledger says that it lacks."""
    minutes = options.minutes
    if options.due:
        due = lacks(LEDGER.read_text(encoding="utf-8"), name, digest(name))
        minutes = min(minutes, due)
        if minutes == 0:
            print(f"{name}: {due:.1f} minutes are due")
            return True
    spent = fuzz(name, math.ceil(minutes * 60) or options.seconds)
    if minutes:
        keep(name, spent)
    return spent is not None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--minutes", type=int, default=0)
    parser.add_argument("--due", action="store_true", help="no target longer than the ledger says that it lacks; without --minutes: only say that")
    parser.add_argument("--target", action="append")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    targets = sorted(options.target or [path.stem.removesuffix("_fuzz") for path in FOLDER.glob("*_fuzz.c")])
    missing = [name for name in targets if not binary_of(name).exists()]
    targets = [name for name in targets if name not in missing]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        good = list(pool.map(lambda target: run(target, options), targets))
    for name in missing:
        print(f"{name}: not built")
    good += [False for _ in missing] + [proof()]
    print(f"{good.count(True)} passed, {good.count(False)} failed")
    return 0 if all(good) else 1


sys.exit(main())
