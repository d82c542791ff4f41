"""A service manager for tests: a NOTIFY_SOCKET that keeps what it is told, and sockets that are given to the server."""
import os
import socket
import subprocess
import sys
import threading
import time

from lib import scratch
from lib.peers import wait_port
from lib.server import Server, binary

# Becomes the server with the given sockets as descriptors 3, 4, ...
GIVER = """
import os, sys
count, names, given = int(sys.argv[1]), sys.argv[2], [int(n) for n in sys.argv[3].split(",") if n]
high = [os.dup2(fd, 40 + i) for i, fd in enumerate(given)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execv(sys.argv[4], sys.argv[4:])
"""


class Ear:
    """Receives what the server tells its manager: [(seconds, {NAME: value})]."""

    def __init__(self, abstract):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.folder = scratch.folder("ear")
        self.name = f"@posthorn-test-{os.getpid()}-{id(self)}" if abstract else str(self.folder / "notify")
        self.sock.bind(self.name.replace("@", "\0", 1) if abstract else self.name)
        self.said, self.over = [], False
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        self.sock.settimeout(0.1)
        while not self.over:
            try:
                text = self.sock.recv(4096).decode()
            except socket.timeout:
                continue
            self.said.append((time.monotonic(), dict(line.split("=", 1) for line in text.split("\n"))))

    def times(self, name):
        return [at for at, said in list(self.said) if name in said]

    def wait(self, name, count=1, seconds=60):
        """Until `name` was said `count` times; the last such message."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [said for _, said in list(self.said) if name in said]
            if len(found) >= count:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"{name} was not said {count} times: {self.said}")

    def close(self):
        self.over = True
        self.thread.join()
        self.sock.close()
        if (self.folder / "notify").exists():
            (self.folder / "notify").unlink()
        self.folder.rmdir()


class Managed(Server):
    """A server started by such a manager."""

    def __init__(self, settings=None, ear=None, watchdog_s=None, given=(), **more):
        self.ear, self.watchdog_s, self.given = ear, watchdog_s, given
        super().__init__(settings, **more)

    def environment(self):
        env = super().environment()
        if self.ear:
            env["NOTIFY_SOCKET"] = self.ear.name
        if self.watchdog_s:
            env["WATCHDOG_USEC"] = str(int(self.watchdog_s * 1000000))
        return env

    def launch(self, names):
        """names: those of the given sockets, as LISTEN_FDNAMES has them."""
        fds = [s.fileno() for s in self.given]
        self.log = open(self.dir / "stderr", "ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", GIVER, str(len(fds)), names, ",".join(map(str, fds)), binary(), "serve", "-c",
             str(self.config)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment(),
            pass_fds=fds, start_new_session=True)

    def start_given(self, names):
        self.launch(names)
        for s in self.given:
            if s.family == socket.AF_INET:
                wait_port(s.getsockname()[1], self.process, 60)

    def wait_log(self, text, count=1, seconds=60):
        end = time.monotonic() + seconds
        while self.stderr().count(text) < count:
            assert time.monotonic() < end, f"the log does not say {text!r}\n{self.stderr()[-3000:]}"
            time.sleep(0.02)
