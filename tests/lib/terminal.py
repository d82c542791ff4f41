"""A program on a terminal of its own: keys go in, what it shows is read."""
import fcntl
import os
import pty
import re
import signal
import select
import struct
import subprocess
import termios
import time

ESCAPE = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78MDEHc])")


def heed():
    """Whoever started the tests may have had signals ignored, as nohup does; a program at a terminal has not."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """Use it in a with statement: at its end the program is killed if it still runs."""

    def __init__(self, words, folder, seconds=60, lines=40, columns=120):
        self.parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {**os.environ, "TERM": "xterm", "HOME": str(folder), "LINES": str(lines), "COLUMNS": str(columns)}
        self.process = subprocess.Popen(words, stdin=child, stdout=child, stderr=child, env=env, cwd=folder, start_new_session=True,
                                        preexec_fn=heed)
        os.close(child)
        self.raw, self.at, self.end = b"", 0, time.monotonic() + seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.parent)

    @property
    def shown(self):
        """Everything so far, without what moves the cursor."""
        return ESCAPE.sub(b"", self.raw).decode(errors="replace")

    def read(self):
        """Reads what is there, for a moment; false at the program's end."""
        if not select.select([self.parent], [], [], 0.2)[0]:
            return True
        try:
            more = os.read(self.parent, 65536)
        except OSError:
            return False
        self.raw += more
        return bool(more)

    def wait(self, text):
        """Until the text has been shown, after what was waited for before."""
        while (found := self.shown.find(text, self.at)) < 0:
            assert time.monotonic() < self.end and self.read(), f"{text!r} did not come; shown:\n{self.shown[-3000:]}"
        self.at = found + len(text)

    def keys(self, text):
        os.write(self.parent, text.encode())

    def wait_end(self):
        """Until the program has ended by itself; returns its code."""
        while self.read():
            assert time.monotonic() < self.end, f"it does not end; shown:\n{self.shown[-3000:]}"
        return self.process.wait(max(self.end - time.monotonic(), 1))
