"""Do the harnesses notice? Builds the server with one careless change after the other (faults.def) and plays stories against each, or
the harness that the row names; every one must fail. python3 -m model.faults [NAME...], from tests/; the last line is "N passed, N failed"."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STORIES = "model/test_model.py::test_story"
HARNESSES = (STORIES, "model/test_register.py", "model/test_private.py", "faults/test_submission_steps.py")


def table():
    for line in (ROOT / "tests/model/faults.def").read_text().split("\n"):
        if line and not line.startswith("#"):
            name, path, before, after, *test = (part.replace("\\n", "\n") for part in line.split(" | "))
            yield name, path, before, after, f"{test[0]}.py" if test else STORIES


def copy(source, target):
    """Only what differs: the build goes by the time of change, and a fault that was taken back is one."""
    old, new = pathlib.Path(target), pathlib.Path(source).read_bytes()
    if not old.exists() or old.read_bytes() != new:
        old.write_bytes(new)
        old.chmod(pathlib.Path(source).stat().st_mode)


def run(folder, *words, env=None):
    return subprocess.run([str(w) for w in words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          env={**os.environ, **(env or {})}, text=True)


def build(tree):
    done = run(tree, "ninja", "-C", "build", "src/main/posthorn")
    if done.returncode:
        raise SystemExit(f"it does not build:\n{done.stdout[-3000:]}")


def play(tree, test):
    """(does it pass, how it failed)"""
    done = run(tree, "/usr/bin/python3", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{test}",
               env={"POSTHORN_BINARY": str(tree / "build/src/main/posthorn"), "POSTHORN_LONG": "", "POSTHORN_MODEL_SECONDS": "25"})
    why = re.findall(r"^E +(?:\w+(?:Error|Timeout|Closed)\b.*)$", done.stdout, re.M)
    return done.returncode == 0, (why or done.stdout.strip().split("\n"))[-1].strip()[:200]


def noticed(tree, fault):
    _, path, before, after, test = fault
    file = tree / path
    text = file.read_text()
    if text.count(before) < 1:
        return False, f"{path} has no {before!r} any more"
    file.write_text(text.replace(before, after, 1))
    try:
        build(tree)
        passed, why = play(tree, test)
        return not passed, "nothing failed" if passed else why
    finally:
        file.write_text(text)


def main(names):
    tree = pathlib.Path(os.environ.get("POSTHORN_FAULTS_TREE") or tempfile.mkdtemp(prefix="posthorn-faults-"))
    tally = [0, 0]
    try:
        for part in ("src", "tests", "meson.build", "meson_options.txt", "LICENSE"):
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, tree / part, copy_function=copy, dirs_exist_ok=True)
            else:
                copy(ROOT / part, tree / part)
        if not (tree / "build/build.ninja").exists():
            run(tree, "meson", "setup", "build", "--buildtype=debug", "-Dwerror=false")
        build(tree)
        for test in HARNESSES:
            whole, why = play(tree, test)
            tally[not whole] += 1
            print(f"{'passes' if whole else 'FAILS'}: nothing broken, {test}: {why}", flush=True)
        for fault in table():
            if not names or any(n in fault[0] for n in names):
                good, why = noticed(tree, fault)
                tally[not good] += 1
                print(f"{'noticed' if good else 'NOT NOTICED'}: {fault[0]}: {why}", flush=True)
    finally:
        if not os.environ.get("POSTHORN_FAULTS_TREE"):
            shutil.rmtree(tree, ignore_errors=True)
    print(f"{tally[0]} passed, {tally[1]} failed")
    return 1 if tally[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
