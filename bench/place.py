"""Where the servers keep their mail: a folder, or a small disk of its own on which nothing else writes."""
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BYTES = 24 << 30


class Raised:
    """A limit of the kernel, raised while the bench runs: all servers run as one user, and Dovecot neither tells idlers nor lets
    them hibernate when that user has no inotify instance left (128 by default)."""

    def __init__(self, path, least):
        self.path = pathlib.Path(path)
        self.was = int(self.path.read_text())
        if self.was < least:
            self.path.write_text(str(least))

    def stop(self):
        self.path.write_text(str(self.was))


def files(folder):
    """Each once, however many links it has (a peer's COPY makes links)."""
    seen, left = set(), [folder]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif entry.is_file(follow_symlinks=False) and entry.inode() not in seen:
                    seen.add(entry.inode())
                    yield entry.path


def drop_pages(folder):
    """Writes the folder's files back and drops them from the page cache."""
    os.sync()
    for path in files(folder):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


class Disk:
    """An ext4 of its own on a loop device: what its device was told to write is what one server wrote, the file system's
    journal and metadata with it. Nothing is initialised later (lazy_*), which would be counted."""

    def __init__(self, folder):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-disk-", dir=folder))
        self.image, self.mount, self.device = self.dir / "image", self.dir / "mount", None
        try:
            self.make()
        except (subprocess.CalledProcessError, FileNotFoundError) as refused:
            self.stop()
            raise RuntimeError(f"no loop device of its own: {refused}") from None

    def make(self):
        with open(self.image, "wb") as image:
            image.truncate(BYTES)
        self.mount.mkdir()
        done = subprocess.run(["losetup", "--find", "--show", self.image], check=True, stdout=subprocess.PIPE, text=True)
        self.device = done.stdout.strip()
        subprocess.run(["mkfs.ext4", "-q", "-N", "500000", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.device], check=True)
        subprocess.run(["mount", "-t", "ext4", self.device, self.mount], check=True)
        self.dir.chmod(0o755)

    def stop(self):
        if self.mount.is_mount():
            subprocess.run(["umount", self.mount], check=True)
        if self.device:
            subprocess.run(["losetup", "--detach", self.device], check=True)
        shutil.rmtree(self.dir, ignore_errors=True)
