"""import over IMAP: the mail role ends before each of its calls, the process that reads dies at each command to the source. The
same command again brings the rest: nothing is lost, nothing twice, every UID as it is there."""
import pathlib
import os
import signal
import subprocess

import pytest

import eventlog
from eventlog import release_binary  # noqa: F401
from lib import accounts, fakegmail, fakeimap
from lib.long import LONG

MOST = 200 if LONG else 5


def body(i):
    return b"Subject: n%d\r\nX-Id: %d\r\n\r\n" % (i, i) + b"x" * (90000 if i == 4 else 70) + b"\r\n"


def plain():
    source = fakeimap.FakeImap({"INBOX": {3 * i: body(i) for i in range(1, 7)}, "Work": {2: body(8)}})
    source.flags["INBOX", 6] = "\\Seen $Label1"
    return source


def gmail():
    source = fakegmail.FakeGmail(["Work"])
    for i in range(1, 5):
        source.add(i, body(i), "\\Inbox", "Work")
    source.label(2, "\\Starred", "Hidden")
    return source


@pytest.fixture(scope="module")
def server():
    os.environ.setdefault("POSTHORN_BINARY", eventlog.release("src/main/posthorn"))
    own = eventlog.Server({"test_segment_size": 64 << 10})
    yield own
    own.stop()


@pytest.fixture(params=[plain, gmail])
def source(request):
    one = request.param()
    yield one
    one.stop()


def start(server, source, user):
    words = [eventlog.posthorn.binary(), "import", f"imap://ann@127.0.0.1:{source.port}", "-u", user, "--plaintext", "--data", str(server.data)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=eventlog.posthorn.environment())


def finish(running):
    said = running.communicate(b"secret\n", timeout=60)[0].decode()
    return running.returncode, said


def state(server, user):
    found, _ = accounts.seen(server.address("imap"), user, server.password)
    return {name: (rows[1], rows[2]) for name, rows in found.items()}


def wanted(server, source):
    """What an import without a fault makes, and what it takes: calls of the mail role, commands to the source."""
    user, far = server.fresh_user("whole"), 1 << 40
    state(server, user)
    server.event_log.set(kill_after=far)
    code, said = finish(start(server, source, user))
    calls = far - server.event_log.get("kill_after")
    server.event_log.set(kill_after=0)
    assert code == 0, said
    return state(server, user), calls, len(source.said)


def chosen(count):
    return sorted({1 + i * (count - 1) // (MOST - 1) for i in range(MOST)})


def again(server, source, user, will, where):
    code, said = finish(start(server, source, user))
    assert code == 0 and state(server, user) == will, (where, said)
    code, said = finish(start(server, source, user))
    assert code == 0 and "imported 0 messages" in said, (where, said)


def test_mail_dies(server, source):
    will, calls, _ = wanted(server, source)
    assert calls >= 8
    broken = 0
    for call in chosen(calls):
        user = server.fresh_user("mail")
        state(server, user)
        server.event_log.set(kill_after=call)
        code, said = finish(start(server, source, user))
        broken += code != 0  # the last calls are behind the import's end
        server.kill()
        server.event_log.set(kill_after=0)
        server.start()
        again(server, source, user, will, f"mail ended before call {call} of {calls}")
    assert broken >= len(chosen(calls)) * 3 // 5, (broken, calls)
    server.check_reports()


def child_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])


def test_reader_dies(server, source):
    will, _, commands = wanted(server, source)
    for number in chosen(commands - 1):  # at LOGOUT all is told
        user, running = server.fresh_user("reader"), None
        state(server, user)
        source.said.clear()

        def die(count, number=number):
            if count == number:
                os.kill(child_of(running.pid), signal.SIGKILL)
        source.hook = die
        running = start(server, source, user)
        code, said = finish(running)
        source.hook = None
        assert code == 1 and "the process that reads from 127.0.0.1 died" in said, (number, said)
        again(server, source, user, will, f"the reader died at command {number} of {commands}")
