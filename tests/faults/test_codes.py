"""What is damaged or missing is said with its response code (RFC 5530), and costs nobody else anything."""
import imaplib
import os
import signal

import pytest

from lib import server as posthorn
from test_roles import login


@pytest.fixture
def server():
    own = posthorn.Server()
    yield own
    own.stop()


def flip(server, marker):
    """Turns one bit of the octet behind the marker in the journal."""
    for path in sorted((server.data / "journal").rglob("*")):
        at = path.read_bytes().find(marker) if path.is_file() else -1
        if at >= 0:
            with open(path, "r+b") as file:
                file.seek(at + len(marker))
                octet = file.read(1)[0]
                file.seek(at + len(marker))
                file.write(bytes([octet ^ 1]))
            return
    raise AssertionError(f"{marker} is nowhere in the journal")


def check(session):
    for number in ("1", "3"):
        assert b"marker" in session.fetch(number, "(BODY.PEEK[])")[1][0][1]
    code, said = session.fetch("2", "(BODY.PEEK[])")
    assert code == "NO" and b"[CORRUPTION]" in said[0], (code, said)
    assert session.fetch("1:3", "(FLAGS UID)")[0] == "OK"


def test_flipped_bit_in_a_body(server):
    name = server.fresh_user("ann")
    session = login(server, name)
    for number in range(3):
        text = os.urandom(40).hex().encode()
        session.append("INBOX", None, None, b"Subject: s\r\n\r\nmarker-%d-" % number + text + b"\r\n")
    session.select("INBOX")
    flip(server, b"marker-1-")
    check(session)
    server.restart()
    session = login(server, name)
    session.select("INBOX")
    check(session)
    session.logout()


def test_auth_stays_away(server):
    name = server.fresh_user("ann")
    before = login(server, name)
    waiting = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    os.kill(server.process.pid, signal.SIGSTOP)  # the supervisor: nobody starts auth again
    try:
        for pid in server.pids("auth"):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(imaplib.IMAP4.error, match=r"\[UNAVAILABLE\]"):
            waiting.login(name, posthorn.PASSWORD)
        assert before.select("INBOX")[0] == "OK"
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert waiting.login(name, posthorn.PASSWORD)[0] == "OK"
