"""./check: builds, runs every part, sums up. A part that fails does not hide the others."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PYTHON = "/usr/bin/python3"
JOBS = str(os.cpu_count() or 2)
BUILDS = {  # a warning ends them; a compiler that knows more of them is no reason not to start for who only builds
    "asan": ["-Dwerror=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"],
    "tsan": ["-Dwerror=true", "-Db_sanitize=thread", "-Db_lundef=false"],
    "release": ["-Dwerror=true", "--buildtype=release", "-Dhardening=true"],
    "fuzz": ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true",
             "-Dc_args=-fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping",
             "-Dc_link_args=-fprofile-instr-generate"],
}


RELEASE = ("src/main/posthorn", "src/store/store_list")  # what is run of that build
# Nothing for TSan to see: one thread does all, much of it, and some watch the time.
ONE_THREAD = ("wire/", "mime/", "sieve/", "base/log_test", "search/sort_test", "search/text_bounds_test", "search/text_index_test")


PACKAGE = ("tests/running/test_package.py", "tests/running/test_container.py")


class Tally:
    def __init__(self):
        self.passed, self.failed, self.parts = 0, 0, []

    def add(self, name, passed, failed, seconds):
        self.passed += passed
        self.failed += failed
        self.parts.append((name, passed, failed, seconds))
        print(f"-- {name}: {passed} passed, {failed} failed ({seconds:.0f} s)", flush=True)


# What a command begins with that runs only on what other parts leave of the processors. A session of its own: where the
# kernel shares them out by sessions first, each server under test is one.
IDLE = ("sh", "-c", "echo 19 2>/dev/null >/proc/self/autogroup; renice -n 19 $$ >/dev/null; "
        'chrt -i -p 0 $$ 2>/dev/null; exec "$@"', "idle")


BESIDE = []  # what runs so


def run(*words, env=None, show=False, before=()):
    """Runs a command in the root; returns its code and output, shown only when asked for or when it fails."""
    done = subprocess.Popen([*before, *(str(w) for w in words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env={**os.environ, **(env or {})}, start_new_session=bool(before))
    if before:
        BESIDE.append(done)
    text = done.communicate()[0].decode(errors="replace")
    if show or done.returncode:
        print(text, flush=True)
    return done.returncode, text


def build(name, *targets, before=()):
    """Configures and builds build/NAME (or only the targets); returns whether it did."""
    folder = ROOT / "build" / name
    if not (folder / "build.ninja").exists():
        env = {"CC": "clang"} if name == "fuzz" else {}
        if run("meson", "setup", folder, *BUILDS[name], env=env, before=before)[0]:
            return False
    return run("ninja", "-C", folder, "-j", JOBS, "-k", "0", *targets, before=before)[0] == 0


# What only computes, beside the parts that wait or watch the time; the part of that name, near the end, takes the result.
AHEAD = {
    "threads": lambda options: build("tsan", before=IDLE),
    "fuzz": lambda options: build("fuzz", *([f"tests/fuzz/{t}_fuzz" for t in options.target or ()] or ["fuzz"]), before=IDLE),
    "package": lambda options: run("dist/make-deb", "build/package", before=IDLE),
    "tidy": lambda options: run(PYTHON, "tests/house/tidy.py", *(["--all"] if options.long else []), before=IDLE),
}


def part_build(_):
    done = [build("asan"), run("./run", "--build")[0] == 0, build("release", *RELEASE)]
    return done.count(True), done.count(False)


def counts(text):
    """The last "N passed, N failed" of a text."""
    found = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)
    return (int(found[-1][0]), int(found[-1][1])) if found else (0, 1)


def part_house(_):
    passed = failed = 0
    for script in sorted((ROOT / "tests/house").glob("check_*.py")):
        code, text = run(PYTHON, script)
        good, bad = counts(text)
        passed, failed = passed + good, failed + max(bad, 1 if code else 0)
    return passed, failed


def meson_test(name, *which):
    code, text = run("meson", "test", "-C", f"build/{name}", *which, "--print-errorlogs", "-t", "4",
                     "--num-processes", JOBS)
    found = {word: int(n) for word, n in re.findall(r"^(Ok|Expected Fail|Fail|Unexpected Pass|Timeout):\s+(\d+)", text, re.M)}
    good, bad = found.get("Ok", 0), found.get("Fail", 0) + found.get("Timeout", 0) + found.get("Unexpected Pass", 0)
    return good, max(bad, 1 if code or not good else 0)


def part_unit(_):
    return meson_test("asan", "--suite", "unit")


def pytest(*words):
    code, text = run(PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *words)
    last = text.strip().split("\n")[-1] if text.strip() else ""
    found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", last)}
    bad = found.get("failed", 0) + found.get("error", 0)
    return found.get("passed", 0), max(bad, 1 if code else 0)


def pytest_spread(*words, workers=JOBS):
    """The same on all processors, for parts whose tests do not watch the time. Each worker has servers of its own."""
    return pytest("-n", workers, *words)


WAITING = str(2 * int(JOBS))  # workers where tests mostly wait: for timers, clients, children


def pytest_timed(options, *words):
    """For parts that hold the server to times: to the letter in the long form, alone; else generously, and on all processors."""
    return pytest(*words) if options.long else pytest_spread("--dist", "loadfile", *words)


def part_first(_):
    return pytest("tests/test_first_minute.py")


def part_runner(_):
    return pytest("tests/test_runner.py")


def part_transcripts(_):
    return pytest_spread("tests/test_transcripts.py", "-k", "test_transcript[")


def part_variants(_):
    return pytest_spread("tests/test_transcripts.py", "-k", "test_split or test_mounted")


def part_rights(_):
    """On one processor: it watches the server's processor time."""
    return pytest("tests/rights")


def part_dovecot(_):
    return pytest_spread("tests/test_transcripts.py", "-k", "test_dovecot")


def part_clients(_):
    return pytest_spread("--dist", "loadfile", "tests/clients", workers=WAITING)


def part_corpus(_):
    return pytest("tests/corpus")


def part_store(_):
    return pytest_spread("--dist", "loadfile", "tests/store", workers=WAITING)


def part_model(options):
    """The long form also builds the server with one seeded fault after the other, and expects each to be noticed."""
    good, bad = pytest_timed(options, "tests/model")
    if not options.long:
        return good, bad
    code, text = run(PYTHON, "-m", "model.faults", env={"PYTHONPATH": str(ROOT / "tests")}, show=True)
    more, missed = counts(text)
    return good + more, bad + max(missed, 1 if code else 0)


def part_faults(options):
    return pytest_timed(options, "tests/faults")


def part_hostile(options):
    return pytest_timed(options, "tests/hostile")


def part_rest(_):
    """Whatever is in tests/ and in no part above, so that nothing new is forgotten."""
    named = [*PACKAGE, "tests/test_first_minute.py", "tests/test_runner.py", "tests/test_transcripts.py", "tests/clients", "tests/corpus",
             "tests/faults", "tests/hostile", "tests/model", "tests/rights", "tests/store"]
    return pytest_spread("--dist", "loadfile", "tests", *(f"--ignore={path}" for path in named), workers=WAITING)


def part_threads(options):
    built = options.ahead["threads"].result()
    _, listed = run("meson", "test", "-C", "build/tsan", "--list")
    tests = [line.split(" / ")[1] for line in listed.split("\n") if " / " in line]
    good, bad = meson_test("tsan", *(t for t in tests if not t.startswith(ONE_THREAD)))
    return good, bad + (0 if built else 1)


def part_fuzz(options):
    built = options.ahead["fuzz"].result()
    time_for_each = ["--minutes", options.minutes, *["--due"] * options.due] if options.minutes else ["--seconds", 120 if options.long else 2]
    code, text = run(PYTHON, "tests/house/fuzz.py", *time_for_each, *(w for t in options.target or () for w in ("--target", t)))
    good, bad = counts(text)
    good, bad = good + (1 if built else 0), max(bad, 1 if code else 0) + (0 if built else 1)
    if not options.target:
        code, text = run(PYTHON, "tests/house/coverage.py", show=True)
        good, bad = good + counts(text)[0], bad + max(counts(text)[1], 1 if code else 0)
    return good, bad


def part_package(options):
    """The Debian package and the container, on machines of nothing but what they ask for."""
    options.ahead["package"].result()  # the tests build it again, and show what is wrong
    return pytest(*PACKAGE)


def part_tidy(options):
    code, text = options.ahead["tidy"].result()
    good, bad = counts(text)
    return good, max(bad, 1 if code else 0)


PARTS = {name[5:]: function for name, function in list(globals().items()) if name.startswith("part_")}


def run_parts(options, wanted, tally, beside):
    options.ahead = {}
    for name, function in wanted.items():
        began = time.monotonic()
        try:
            good, bad = function(options)
        except Exception as error:  # a part that breaks is a failure, and the next ones still run
            print(f"{name}: {error!r}", flush=True)
            good, bad = 0, 1
        tally.add(name, good, bad, time.monotonic() - began)
        if name == "build":
            options.ahead = {n: beside.submit(work, options) for n, work in AHEAD.items() if n in wanted}


def main():
    parser = argparse.ArgumentParser(prog="./check", description=f"parts: {' '.join(PARTS)}")
    parser.add_argument("--long", action="store_true", help="longer fuzzing, more kill -9, everything under clang-tidy")
    parser.add_argument("--minutes", type=int, help="so long each fuzz target runs, and the ledger in docs/robustness.md has it")
    parser.add_argument("--due", action="store_true", help="with --minutes: no target longer than the ledger says that it lacks")
    parser.add_argument("--target", action="append", help="of these only, by the names of tests/fuzz")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    if options.due and not options.minutes:
        parser.error("--due goes with --minutes")
    unknown = [p for p in options.parts if p not in PARTS]
    if unknown:
        parser.error(f"no part named {' '.join(unknown)}; there are {' '.join(PARTS)}")
    os.environ["POSTHORN_LONG"] = "1" if options.long else ""  # lib/long.py: for every part
    tally = Tally()
    wanted = {name: function for name, function in PARTS.items() if not options.parts or name in options.parts or name == "build"}
    beside = concurrent.futures.ThreadPoolExecutor(1)
    try:
        run_parts(options, wanted, tally, beside)
    except KeyboardInterrupt:
        beside.shutdown(wait=False, cancel_futures=True)
        for one in BESIDE:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
        raise
    print()
    for name, good, bad, seconds in tally.parts:
        print(f"   {name:12} {good:5} passed {bad:4} failed {seconds:6.0f} s")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


sys.exit(main())
