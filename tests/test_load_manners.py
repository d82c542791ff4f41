"""How the server behaves under load, where no transcript can tell: settings, and what one user may take."""
import threading
import time

import pytest

from lib.client import Refused
from lib.server import PASSWORD, run_verb
from lib.wire import Wire

BACKGROUND = 'ID ("name" "com.apple.email.maild" "event" "indexer")'


def refuses(server):
    """Before login, after login: is a download in the background refused?"""
    stranger = Wire(server.address("imap"))
    stranger.line()
    stranger.send(f"a {BACKGROUND}\r\n".encode())
    line = stranger.line()
    stranger.close()
    user = server.imap()
    try:
        user.command(BACKGROUND)
        after = False
    except Refused as error:
        after = "NO [UNAVAILABLE]" in str(error)
    user.close()
    return line.startswith(b"a NO [UNAVAILABLE]"), after


def test_background_downloads(make):
    server = make({"test_overload": True})
    assert refuses(server) == (True, True)
    server.reload(shed_background=False)
    assert refuses(server) == (False, False)
    server.reload(shed_background=True)
    assert refuses(server) == (True, True)
    server.reload(test_overload=False)
    assert refuses(server) == (False, False)


def from_address(server, source, user):
    """LOGIN from another address of this machine; the tagged answer."""
    wire = Wire(server.address("imap"), source=source)
    wire.line()
    wire.send(f"a LOGIN {user} {PASSWORD}\r\n".encode())
    return wire, wire.line()


# However many addresses a user comes from; and another user of the same address is not hit by it.
def test_sessions_per_user(make):
    server = make({"sessions_per_user": 3})
    sources = [f"127.0.0.{i}" for i in range(2, 7)]
    open_ = [from_address(server, source, "alice") for source in sources]
    assert [line.split()[1] for _, line in open_] == [b"OK"] * 3 + [b"NO"] * 2, open_
    assert all(line.startswith(b"a NO [LIMIT]") for _, line in open_[3:])
    other, line = from_address(server, sources[0], "bob")
    assert line.startswith(b"a OK")
    server.reload(sessions_per_user=4)
    more, line = from_address(server, sources[4], "alice")
    assert line.startswith(b"a OK")
    for wire in [w for w, _ in open_] + [other, more]:
        wire.close()


# A hundred commands of one user wait for their literals; the next one is refused, others' are not. What is refused may be a FETCH by number:
# no EXPUNGE comes with it (RFC 9051 section 7.5.1).
def test_commands_per_user(make):
    server = make()
    path = server.dir / "passwd"
    path.write_text("many:{PLAIN}" + PASSWORD + "\n")
    run_verb("user", "load", path, "-c", server.config)
    sessions = [server.imap("many") for _ in range(101)]
    sessions[100].append("INBOX", b"Subject: x\r\n\r\n")
    sessions[100].select("INBOX")
    sessions[1].expunge("INBOX")
    for session in sessions[:100]:
        session.wire.send(b"x APPEND INBOX {9}\r\n")
        assert session.wire.line().startswith(b"+")
    tag = sessions[100].send("FETCH 1 FLAGS").encode()
    assert sessions[100].wire.line().startswith(tag + b" NO [LIMIT]")
    other = server.imap("bob")
    other.command("NOOP")
    sessions[0].wire.send(b"Subject:x\r\n")
    assert sessions[0].wire.line().startswith(b"x OK")
    assert b"* 1 EXPUNGE" in sessions[100].command("NOOP")[0]
    for session in [*sessions, other]:
        session.wire.close()


def wait_beside(asks, other, command, data=None):
    """The longest time that another session waited for an answer while this one searched, as a share of the time of the search."""
    waits, over = [0.0], threading.Event()

    def ask_beside():
        while not over.is_set():
            begin = time.monotonic()
            other.command("NOOP")
            waits.append(time.monotonic() - begin)
    beside = threading.Thread(target=ask_beside)
    beside.start()
    begin = time.monotonic()
    asks.command(command, data)
    took = time.monotonic() - begin
    over.set()
    beside.join()
    return max(waits) / took


# Each of a thousand labels is looked for among a thousand names of mailboxes.
def test_many_labels(make):
    server = make()
    asks, other = server.imap(timeout=120), server.imap()
    name = "n" * 890
    for tag in [asks.send(f'CREATE "{name}{i}"') for i in range(1000, 1500)]:
        asks.answer(tag)
    asks.command("EXAMINE INBOX")
    labels = " ".join(f"in:{name}z{i}" for i in range(100, 900)).encode()
    assert wait_beside(asks, other, "UID SEARCH X-GM-RAW", labels) < 0.5
    asks.close()
    other.close()


# Hundreds of keys are asked of each message: of long fields beyond ASCII, of many fields of one name, of many keywords.
def test_many_keys(make):
    server = make()
    asks, other = server.imap(timeout=120), server.imap()
    names = ", ".join(f"Jürgen Müllér{i} <u{i}@example.org>" for i in range(190))
    asks.append_all("INBOX", [f"Subject: s\r\nTo: {names}\r\n\r\nx\r\n".encode()] * 64)
    asks.command("SELECT INBOX")
    assert wait_beside(asks, other, "UID SEARCH " + " ".join(f"NOT TO zq{i}" for i in range(200))) < 0.5
    asks.append("INBOX", "X:ä\r\n".encode() * 9000 + b"Subject: s\r\n\r\nx\r\n")
    assert wait_beside(asks, other, "UID SEARCH 65 " + " ".join(f"NOT HEADER X zq{i}" for i in range(200))) < 0.5
    asks.command(f"STORE 1:64 +FLAGS.SILENT ({' '.join(f'k{i:04d}' for i in range(1000))})")
    assert wait_beside(asks, other, "UID SEARCH " + " ".join(f"UNKEYWORD z{i:04d}" for i in range(500))) < 0.5
    asks.close()
    other.close()


# A word is scored by where it stands, and may stand in thousands of places.
def test_many_scores(make):
    server = make()
    asks, other = server.imap(timeout=120), server.imap()
    asks.append_all("INBOX", [b"Subject: " + b"a" * 8000 + b"\r\n\r\nx\r\n"] * 60)
    asks.command("SELECT INBOX")
    assert wait_beside(asks, other, f"UID SORT (RELEVANCY) UTF-8{' FUZZY SUBJECT a' * 300}") < 0.5
    asks.close()
    other.close()
