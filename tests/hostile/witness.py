"""A bystander in a process of its own: NOOP on every home thread, all the time. A line on stdin asks for what the answers took
since the line before: {"count": n, "p99": seconds, "most": seconds}. Time in which this process or the mail role wanted a
processor and had none is not counted: other programs have it, not the server."""
import contextlib
import json
import os
import pathlib
import select
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from lib.client import Imap  # noqa: E402

PAUSE = 0.005  # between two NOOPs


class Waiting:
    """Seconds that this process and the thread of the mail role that waited longest had no processor."""

    def __init__(self, pid):
        tasks = pathlib.Path(f"/proc/{pid}/task")
        self.files = [open(f"/proc/{p}/schedstat") for p in ("self", *(f"{pid}/task/{t}" for t in os.listdir(tasks)))]

    def now(self):
        found = []
        for file in self.files:
            file.seek(0)
            found.append(int(file.read().split()[1]) / 1e9)
        return found

    def since(self, before):
        own, *mail = (after - b for after, b in zip(self.now(), before))
        return own + max(mail)


def told(took):
    took.sort()
    return json.dumps({"count": len(took), "p99": took[(len(took) - 1) * 99 // 100], "most": took[-1]})


def watch(sessions, waiting):
    took, turn = [], 0
    while True:
        before, began = waiting.now(), time.perf_counter()
        sessions[turn % len(sessions)].command("NOOP")
        took.append(time.perf_counter() - began - waiting.since(before))
        turn += 1
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            if not sys.stdin.readline():
                return
            print(told(took), flush=True)
            took = []


def main():
    port, pid, password, *users = sys.argv[1:]
    with contextlib.suppress(OSError):
        os.nice(-10)  # what is measured is the server, not who gets the processor
    sessions = [Imap(("127.0.0.1", int(port)), user, password, timeout=60) for user in users]
    print("ready", flush=True)
    watch(sessions, Waiting(pid))


main()
