"""Servers under attack. Each test says what it sends; `target` watches the rest: the server lives, another session's
NOOP is answered within a second, memory stays bounded.
POSTHORN_LONG=1 (./check --long) runs the forms that
take minutes."""
import contextlib
import os
import pathlib
import socket
import time

import pytest

from lib import server as posthorn
from lib.client import Imap
from lib.wire import Wire

SANITIZED = b"__asan_init" in pathlib.Path(posthorn.binary()).read_bytes() if os.path.exists(posthorn.binary()) else False


@pytest.fixture(scope="session")
def long_form():
    return bool(os.environ.get("POSTHORN_LONG"))


class Target(posthorn.Server):
    """A server whose memory can be measured: the sanitizer's quarantine of freed blocks is kept small."""
    sanitized = SANITIZED
    bystander = None

    def environment(self):
        env = super().environment()
        env["ASAN_OPTIONS"] += ":quarantine_size_mb=2:thread_local_quarantine_size_kb=64:malloc_context_size=5"
        return env

    def start(self):
        """Up when every role answers: the sockets are there before."""
        super().start()
        with self.open("lmtp") as sock:
            assert sock.recv(100)
        self.imap("alice").close()

    def forget_peaks(self):
        for pid in self.family():
            with contextlib.suppress(OSError):
                pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def memory(self, fields=("VmRSS:", "VmPTE:")):
        """RSS and page tables of all roles, in octets."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(fields):
                        total += int(line.split()[1]) * 1024
        return total

    def role_pids(self, role):
        found = []
        for pid in self.family():
            with contextlib.suppress(OSError):
                title = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
                if title == f"posthorn: {role}":
                    found.append(pid)
        return found

    def raw(self, service="imap", tls=False, timeout=10.0):
        """A connection before login, its greeting read."""
        wire = Wire(self.address(service), tls=tls, timeout=timeout)
        wire.line()
        return wire

    def open(self, service="imap"):
        return socket.create_connection(self.address(service), timeout=10)

    def imap(self, user="alice", tls=False, timeout=30):
        return Imap(self.address("imaps" if tls else "imap"), user, posthorn.PASSWORD, tls=tls, timeout=timeout)

    def stop(self):
        if self.bystander is not None:
            self.bystander.close()
        super().stop()

    def witness(self):
        """A bystander's session, kept from test to test."""
        if self.bystander is None:
            self.bystander = self.imap("carol")
        return self.bystander

    @contextlib.contextmanager
    def unharmed(self, memory=64 << 20, peak=128 << 20, noop=1.0):
        """What is done inside costs at most so much memory, afterwards and on the way, and leaves a bystander unharmed."""
        witness = self.witness()
        before, pids = self.memory(), self.family()
        self.forget_peaks()
        yield
        began = time.monotonic()
        witness.command("NOOP")
        assert time.monotonic() - began < noop, "a bystander's NOOP was slow"
        assert sorted(self.family()) == sorted(pids), "a process died\n" + self.stderr()[-3000:]
        self.check_reports()
        grown = self.memory() - before
        assert grown < memory * (3 if SANITIZED else 1), f"memory grew by {grown >> 20} MiB"
        highest = self.memory(("VmHWM:",)) - before
        assert highest < peak * (3 if SANITIZED else 1), f"memory grew by {highest >> 20} MiB on the way"


@pytest.fixture(scope="module")
def target():
    own = Target()
    yield own
    own.stop()


def rest_of(sock, seconds=5.0):
    """Everything until the server closes, or nothing comes for so long: (octets, closed)."""
    got = b""
    sock.settimeout(seconds)
    try:
        while True:
            data = sock.recv(65536)
            if not data:
                return got, True
            got += data
    except socket.timeout:
        return got, False
    except (ConnectionResetError, BrokenPipeError, OSError):
        return got, True
