"""Packages of npm's registry, each fetched once into a folder of its own under tests/.work."""
import fcntl
import pathlib
import subprocess

WORK = pathlib.Path(__file__).resolve().parent.parent / ".work"


def fetch(package, folder):
    """The package (NAME or NAME@VERSION) with what it needs; returns the folder of node_modules."""
    modules = WORK / folder / "node_modules"
    name = package[0] + package[1:].split("@")[0]
    (WORK / folder).mkdir(parents=True, exist_ok=True)
    with open(WORK / folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may fetch it too
        if not (modules / name).is_dir():
            subprocess.run(["npm", "install", "--prefix", ".", "--no-audit", "--no-fund", "--no-save", package],
                           cwd=WORK / folder, check=True, stdout=subprocess.DEVNULL)
    return modules
