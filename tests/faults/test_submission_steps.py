"""A role ends before each call of a submission - its mail into the queue, the copy into Sent, the way out: what was answered 250 goes out and
is in Sent once; a client that heard nothing sends again, and has one copy all the same (decision 0029). Twice goes out what RFC 5321
section 4.1.1.4 leaves open: a text whose 250 was not written down, or not heard."""
import collections
import os
import pathlib
import re
import subprocess

import pytest

from lib import client
from lib.long import LONG
from lib.smarthost import Smarthost, queue_is_empty
from lib.waiting import wait_for
from test_submission import Sender, Talk

MOST = 400 if LONG else 5  # calls of one role that are tried, evenly chosen
CALLS = ("openat", "write", "pwrite64", "pwritev", "writev", "fsync", "fdatasync", "fallocate", "linkat", "unlinkat", "renameat", "sendto", "sendmsg", "connect", "recvmsg")
TEXT = "From: alice@example.test\r\nMessage-ID: <{0}@example.test>\r\nSubject: {0}\r\n\r\nbody\r\n.\r\n"


@pytest.fixture(name="host", scope="module")
def one_host():
    host = Smarthost()
    yield host
    host.close()


@pytest.fixture(name="server", scope="module")
def one_server(host):
    server = Sender(host, test_relay_retry_ms=100)
    yield server
    server.stop()


def tasks(pid):
    return list(pathlib.Path(f"/proc/{pid}/task").iterdir())


def is_traced(task):
    try:
        return "\nTracerPid:\t0\n" not in (task / "status").read_text()
    except OSError:
        return True  # it has ended


class Trace:
    """strace on a role, until the role or this ends."""

    def __init__(self, server, role, file, *options):
        self.pid = wait_for(lambda: server.pids(role))[0]
        self.file = file
        self.process = subprocess.Popen(["strace", "-f", "-qq", "-o", file, "-p", str(self.pid), *options],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.process.poll() is not None or all(is_traced(task) for task in tasks(self.pid)), "strace does not attach")

    def has_killed(self):
        return self.process.poll() is not None or not pathlib.Path(f"/proc/{self.pid}").exists()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)

    def cases(self):
        """(call, which one of its thread): each is a place where the role can end."""
        counts = collections.Counter(re.findall(r"(?m)^(\d+) +(\w+)\(", pathlib.Path(self.file).read_text()))
        most = collections.Counter()
        for (_, call), n in counts.items():
            most[call] = max(most[call], n)
        return sorted((call, n) for call, total in most.items() for n in range(1, total + 1))


def submit(server, subject):
    """Was it answered 250?"""
    try:
        talk = Talk(server.ports["submission"])
        try:
            talk.begin()
            return talk.data(TEXT.format(subject)).startswith("250 ")
        finally:
            talk.close()
    except (OSError, AssertionError, EOFError):
        return False


def in_sent(server, subject):
    imap = server.imap("alice")
    try:
        there = imap.select("Sent")["EXISTS"]
        rows = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if there else {}
        return sum(f"Subject: {subject}\r\n".encode() in b"".join(v for v in row.values() if isinstance(v, bytes)) for row in rows.values())
    finally:
        imap.close()


def settled(server):
    def look():
        try:
            return queue_is_empty(server) and in_sent(server, "none") == 0
        except (OSError, EOFError, client.Refused, RuntimeError):
            return False
    wait_for(look, "the server is not back")


def chosen_of(cases):
    """So many, evenly, and in any case where something is written or becomes durable."""
    most = min(len(cases), MOST)
    some = {cases[i * (len(cases) - 1) // (most - 1)] for i in range(most)}
    return sorted(some | {(call, n) for call, n in cases if call in ("fdatasync", "pwrite64", "pwritev") and n <= 2})


@pytest.mark.parametrize("role", ["relay", "mail"])
def test_every_call(host, server, role, tmp_path, capsys):
    submit(server, f"first-{role}")
    settled(server)
    seen = Trace(server, role, tmp_path / "seen", "-e", "trace=" + ",".join(CALLS))
    assert submit(server, f"seen-{role}")
    settled(server)
    seen.end()
    cases = seen.cases()
    assert len({call for call, _ in cases}) >= 4, cases
    chosen = chosen_of(cases)
    killed = twice = 0
    for call, n in chosen:
        subject = f"{role}-{call}-{n}"
        trace = Trace(server, role, tmp_path / subject, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}")
        tries = 1
        heard = submit(server, subject)
        try:
            wait_for(lambda s=subject, t=trace: t.has_killed() or (s in host.subjects() and queue_is_empty(server)), "neither killed nor sent")
        finally:
            was_killed = trace.has_killed()
            trace.end()
        settled(server)
        where = f"{role} ended before {call} {n}: {was_killed}, answered {heard}"
        if heard:
            assert in_sent(server, subject) == 1 and subject in host.subjects(), where
        else:
            assert was_killed and in_sent(server, subject) <= 1, where
            assert host.subjects().count(subject) <= 1 + (role == "relay"), where
            while not submit(server, subject):
                tries += 1
                assert tries < 50, where
            tries += 1
            settled(server)
        assert in_sent(server, subject) == 1, where
        assert 1 <= host.subjects().count(subject) <= tries + (role == "relay"), where
        killed += was_killed
        twice += host.subjects().count(subject) > 1
    assert killed >= len(chosen) // 2, f"{killed} of {len(chosen)}"
    assert not [name for name in os.listdir(server.data / "queue") if not name.endswith(".mail")]
    server.check_reports()
    with capsys.disabled():
        print(f"\n{role}: {len(chosen)} of {len(cases)} calls, {killed} kills, {twice} mails twice", end="")
