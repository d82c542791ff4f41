"""From the gate to mail and back: nothing is lost, nothing is doubled, nothing is used twice."""
import base64
import socket
import threading
import time

import pytest

from lib import scram, server
from lib.wire import Closed, Wire
from .conftest import PATIENCE


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("pieces", [1, 7, 0])
def test_commands_behind_login(target, tls, pieces):
    """Pipelined behind LOGIN, in one segment or octet by octet, a literal among them."""
    wire = target.raw("imaps" if tls else "imap", tls=tls)
    text = (b"a LOGIN alice secret\r\nb NOOP\r\nc CREATE {5+}\r\nhello\r\nd SELECT INBOX\r\n"
            b"e APPEND INBOX {17+}\r\nSubject: x\r\n\r\nx\r\n\r\nf DELETE hello\r\ng LOGOUT\r\n")
    size = max(len(text) // pieces, 1) if pieces else 1
    for at in range(0, len(text), size):
        wire.send(text[at:at + size])
    tags = []
    while b"g" not in tags:
        line = wire.line()
        if not line.startswith((b"* ", b"+ ")):
            assert line[2:4] == b"OK", line
            tags.append(line[:1])
    assert tags == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    wire.close()


@pytest.mark.parametrize("tls", [False, True])
def test_much_behind_login(target, tls):
    """More than the gate reads ahead, sent before the login is through."""
    wire = target.raw("imaps" if tls else "imap", tls=tls)
    wire.send(b"a LOGIN alice secret\r\nb APPEND Trash {300000+}\r\nSubject: x\r\n\r\n" + b"x" * 299986 + b"\r\nc NOOP\r\n" * 1)
    while not (line := wire.line()).startswith(b"c "):
        assert line[2:4] == b"OK" or line[:1] == b"*", line
    wire.close()


def test_literals_of_the_login(target):
    wire = target.raw()
    wire.send(b"a LOGIN {5}\r\n")
    assert wire.line().startswith(b"+")
    wire.send(b"alice {6}\r\n")
    assert wire.line().startswith(b"+")
    wire.send(b"secret\r\nb NOOP\r\n")
    assert wire.line().startswith(b"a OK")
    assert wire.line().startswith(b"b OK")
    wire.close()


def plain(wire, tag, user, password):
    wire.send(f"{tag} AUTHENTICATE PLAIN {base64.b64encode(f'{chr(0)}{user}{chr(0)}{password}'.encode()).decode()}\r\n".encode())
    return wire.line()


def login(wire, tag, user, password):
    wire.send(f"{tag} LOGIN {user} {password}\r\n".encode())
    return wire.line()


@pytest.mark.parametrize("how", [scram.login, plain, login])
@pytest.mark.parametrize("tls", [False, True])
def test_quick_logins(target, how, tls):
    count = 30 if target.sanitized else 100  # both TLS and not: 200 of each
    took = []
    with target.unharmed(memory=24 << 20):
        for _ in range(count):
            began = time.monotonic()
            wire = target.raw("imaps" if tls else "imap", tls=tls)
            assert how(wire, "a", "alice", "secret").startswith(b"a OK")
            wire.send(b"b NOOP\r\n")
            assert wire.line().startswith(b"b OK")
            wire.close()
            took.append(time.monotonic() - began)
    assert sorted(took)[count // 4] < 0.25 * PATIENCE, took  # a stall would meet them all; a busy machine some


@pytest.mark.parametrize("how", [scram.login, plain, login])
def test_wrong_passwords(target, how):
    wire = target.raw()
    assert how(wire, "a", "alice", "wrong").startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert how(wire, "b", "nobody-here", "wrong").startswith(b"b NO [AUTHENTICATIONFAILED]")
    assert how(wire, "c", "alice", "secret").startswith(b"c OK")
    wire.close()


def test_client_goes_in_the_middle(target):
    """Gone after LOGIN, before its answer: no session is left behind."""
    user = target.fresh_user("gone")
    with target.unharmed(memory=24 << 20):
        for i in range(120):
            wire = target.raw("imaps" if i % 2 else "imap", tls=bool(i % 2))
            wire.send(f"a LOGIN {user} secret\r\nb SELECT INBOX\r\n".encode())
            if i % 3:
                time.sleep(0.003 * (i % 5))
            wire.close()
        time.sleep(1)
        client = target.imap(user)
        assert client.select("INBOX")["EXISTS"] == 0
        from lib import server as posthorn
        listed = posthorn.run_verb("who", "--data", target.data).decode()
        assert listed.count(user) == 1, listed
        client.close()


def test_tls_bytes_in_both_directions(target):
    """8 MiB up and down at once through the pump, byte-exact."""
    user = target.fresh_user("pump")
    client = target.imap(user, tls=True, timeout=60)
    body = b"Subject: pump\r\n\r\n" + b"".join(b"%016x\r\n" % i for i in range(450_000))
    client.append("INBOX", body)
    client.select("INBOX")
    fetched = []
    reader = threading.Thread(target=lambda: fetched.append(client.fetch(1, "(BODY.PEEK[])")))
    reader.start()
    reader.join()
    assert body in bytes(str(fetched[0]), "latin-1") or list(fetched[0][1].values())[0] == body
    client.close()


def test_closing_one_side(target):
    """A client that shuts down its sending side still gets its answers."""
    import socket
    sock = target.open()
    sock.sendall(b"a LOGIN alice secret\r\nb LIST \"\" *\r\nc LOGOUT\r\n")
    sock.shutdown(socket.SHUT_WR)
    got = b""
    while data := sock.recv(65536):
        got += data
    assert b"a OK" in got and b"b OK" in got and b"c OK" in got


@pytest.mark.parametrize("tls", [False, True])
def test_back_and_forth(target, tls):
    """RFC 8437: the same connection, logged in again and again, all of it pipelined."""
    wire = target.raw("imaps" if tls else "imap", tls=tls)
    for n in range(20):
        user = b"alice" if n % 2 else b"bob"
        wire.send(b"l%d LOGIN %s secret\r\nn%d SELECT INBOX\r\nu%d UNAUTHENTICATE\r\n" % (n, user, n, n))
    tags = []
    while len(tags) < 60:
        line = wire.line()
        if not line.startswith(b"* "):
            assert line.split()[1] == b"OK", line
            tags.append(line.split()[0])
    assert tags == [b"%s%d" % (letter, n) for n in range(20) for letter in (b"l", b"n", b"u")]
    wire.close()


@pytest.mark.parametrize("tls", [False, True])
def test_much_behind_unauthenticate(target, tls):
    """More than the gate would hold before a login: answered or ended, never half taken."""
    wire = target.raw("imaps" if tls else "imap", tls=tls)
    wire.send(b"a LOGIN alice secret\r\n")
    wire.line()
    try:
        wire.send(b"b UNAUTHENTICATE\r\n" + b"c NOOP\r\n" * 20000)
        while True:
            assert wire.line()[:4] in (b"b OK", b"c OK", b"* BY")
    except (Closed, OSError):
        pass
    again = target.raw("imaps" if tls else "imap", tls=tls)
    again.send(b"a LOGIN alice secret\r\n")
    assert again.line().startswith(b"a OK")
    again.close()


def test_unauthenticate_unread(target):
    """A client that does not read: the OK goes out before the descriptor does, however late."""
    wire = target.raw("imap")
    wire.send(b"a LOGIN alice secret\r\n")
    wire.line()
    wire.send(b"b CAPABILITY\r\n" * 3000)
    wire.send(b"c UNAUTHENTICATE\r\nd LOGIN bob secret\r\ne NOOP\r\n")
    time.sleep(0.5)
    while not (line := wire.line()).startswith(b"e "):
        assert line.startswith(b"* CAPABILITY") or line[2:4] == b"OK", line
    wire.close()


def test_unauthenticate_switched_off():
    """RFC 8437 section 8: there is a way to disable it. It is neither told nor known then."""
    own = server.Server({"unauthenticate": False})
    try:
        name = own.fresh_user("ann")
        wire = Wire(own.address("imap"))
        wire.line()
        wire.send(f"a LOGIN {name} {own.password}\r\nb UNAUTHENTICATE\r\nc NOOP\r\n".encode())
        line = wire.line()
        assert line.startswith(b"a OK") and b"UNAUTHENTICATE" not in line
        assert wire.line().startswith(b"b BAD")
        assert wire.line().startswith(b"c OK")
        wire.close()
    finally:
        own.stop()


def read_to(wire, end):
    line = b""
    while not line.startswith(end):
        line = wire.line()
    return line


def test_gives_back_what_is_not_read():
    """The passage to a client that reads nothing lasts longer than a login may: what it comes back to is still there."""
    own = server.Server({"test_preauth_time": 2})
    try:
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(own.address("imaps"))
            wire = Wire(own.address("imaps"), timeout=30)
            wire.sock.close()
            wire.sock = plain
            wire.sock.settimeout(30)
            wire.start_tls()
            assert wire.line().startswith(b"* OK")
            assert login(wire, "a", "alice", "secret").startswith(b"a OK")
            text = b"Subject: x\r\n\r\n" + b"x" * 3_000_000
            wire.send(b"b APPEND INBOX {%d+}\r\n" % len(text) + text + b"\r\nc SELECT INBOX\r\n")
            assert read_to(wire, b"c ").startswith(b"c OK")
            wire.send(b"d FETCH 1 BODY.PEEK[]\r\ne UNAUTHENTICATE\r\n")
            time.sleep(4)
            assert read_to(wire, b"e ").startswith(b"e OK")
            assert login(wire, "f", "bob", "secret").startswith(b"f OK")
            wire.close()
        own.check_reports()
    finally:
        own.stop()


@pytest.mark.parametrize("tls", [False, True])
def test_message_behind_unauthenticate(tls):
    """RFC 8437 section 3: pipelined, and more than a message between roles takes. Mail reads no further than the command."""
    own = server.Server({"test_split_io": True})
    text = b"Subject: x\r\n\r\n" + b"x" * 40_000
    try:
        wire = Wire(own.address("imaps" if tls else "imap"), tls=tls, timeout=60)
        assert wire.line().startswith(b"* OK")
        assert login(wire, "a", "alice", "secret").startswith(b"a OK")
        wire.send(b"b UNAUTHENTICATE\r\nc LOGIN bob secret\r\nd APPEND INBOX {%d+}\r\n" % len(text) + text + b"\r\ne SELECT INBOX\r\n"
                  b"f FETCH 1 BODY.PEEK[]\r\n")
        for tag in (b"b", b"c", b"d", b"e"):
            assert read_to(wire, tag + b" ").startswith(tag + b" OK")
        assert text in wire.line()
        wire.close()
    finally:
        own.stop()
