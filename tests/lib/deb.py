"""Files of Debian's packages that are not installed: each is fetched once and unpacked into a folder under tests/.work."""
import fcntl
import pathlib
import subprocess

WORK = pathlib.Path(__file__).resolve().parent.parent / ".work"


def unpack(package):
    """The folder with what the package would put into /."""
    folder = WORK / "deb" / package
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may fetch it too
        if not (folder / "root").is_dir():
            subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found = next(folder.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg", "-x", found, folder / "new"], check=True)
            (folder / "new").rename(folder / "root")
    return folder / "root"
