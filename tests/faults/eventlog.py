"""The log and the control page of powercut.c, and a server that runs with it."""
import collections
import mmap
import os
import pathlib
import struct
import subprocess

import pytest

from lib import scratch, server as posthorn

HERE = pathlib.Path(__file__).resolve().parent
CONTROL = 4096
CAPACITY = 1 << 30  # sparse
HEAD = struct.Struct("=IIQQQII")
WRITE, SYNC, SYNC_ONE, TRUNCATE, GROW, CREATE, FOLDER, RENAME, LINK, UNLINK, FAILED = range(1, 12)
FIELDS = ("tail", "capacity", "kill_after", "sync_errno", "write_errno", "fail_ino", "clock_s", "allocations", "counted", "starts",
          "forgetting", "fail_after")
Event = collections.namedtuple("Event", "at kind ino a b data more")

_library = None


def library():
    """powercut.so, compiled once for each run of the tests."""
    global _library
    if _library is None:
        _library = scratch.folder("powercut") / "powercut.so"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-shared", "-fPIC",
                        "-o", _library, HERE / "powercut.c"], check=True)
    return _library


def release(name):
    """A program of the release build: what is preloaded does not get on with AddressSanitizer."""
    root = pathlib.Path(os.environ.get("POSTHORN_RELEASE", posthorn.ROOT / "build/release"))
    found = root / name
    if not found.exists():
        pytest.fail(f"{found} is missing: ./check build makes it")
    return str(found)


@pytest.fixture(autouse=True)
def release_binary(monkeypatch):
    """For modules that import it: the release build serves."""
    monkeypatch.setenv("POSTHORN_BINARY", release("src/main/posthorn"))


class Log:
    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "events"
        with open(self.path, "wb") as file:
            file.truncate(CAPACITY)
        os.chmod(self.path, 0o666)
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), CAPACITY)
        self.set(tail=CONTROL)

    def set(self, **values):
        for name, value in values.items():
            struct.pack_into("=q", self.map, 8 * FIELDS.index(name), value)

    def get(self, name):
        return struct.unpack_from("=q", self.map, 8 * FIELDS.index(name))[0]

    def position(self):
        return self.get("tail")

    def events(self, since=CONTROL):
        at, end = since, self.position()
        while at < end:
            size, kind, ino, a, b, n, m = HEAD.unpack_from(self.map, at)
            data = at + HEAD.size
            yield Event(at, kind, ino, a, b, self.map[data:data + n], self.map[data + n:data + n + m])
            at += size

    def close(self):
        self.map.close()
        self.file.close()
        self.path.unlink(missing_ok=True)


class Server(posthorn.Server):
    """A server whose mail role is under the library. `logged` False: it starts without."""

    def __init__(self, settings=None, logged=True, **more):
        self.logged, self.event_log = logged, None
        super().__init__(settings, start=False, **more)
        self.event_log = Log(self.dir)
        self.start()

    def environment(self):
        env = super().environment()
        if self.logged:
            env |= {"LD_PRELOAD": str(library()), "POWERCUT_LOG": str(self.event_log.path)}
        return env

    def stop(self):
        self.event_log.set(kill_after=0, sync_errno=0, write_errno=0, allocations=0, forgetting=0, fail_after=0)
        super().stop()
        self.event_log.close()
