"""Folders of a run: gone at its end; of those that their owner kept because something failed the last few stay."""
import atexit
import os
import pathlib
import shutil
import sys
import tempfile

KEPT = 4
_folders, _failed = [], []


def folder(name, parent=None, mode=0o755):
    """A new one, which others may enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"posthorn-{name}-", dir=parent))
    os.chmod(path, mode)
    _folders.append(path)
    return path


def keep(path):
    """Something went wrong there: somebody will want to look."""
    _failed.append(path)


@atexit.register
def sweep():
    kept = [path for path in _failed if path.exists()][-KEPT:]
    for path in kept:
        print(f"kept: {path}", file=sys.stderr)
    for path in set(_folders) - set(kept):
        shutil.rmtree(path, ignore_errors=True)
