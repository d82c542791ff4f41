"""HOSTILE.md A and B for POP3: injection at every cut, lines without an end, commands that break, clients that do not read."""
import random
import socket
import ssl
import time

import pytest

from lib.mutate import Mutator
from lib.pop3 import Pop3
from lib.server import SERVICES
from .conftest import Target, rest_of
from .test_before_login import start_tls

INJECTED = b"STLS\r\nUSER eve\r\n"
SCRIPT = [b"CAPA", b"USER alice", b"PASS secret", b"STAT", b"LIST", b"LIST 1", b"UIDL", b"RETR 1", b"TOP 1 2", b"DELE 1", b"RSET", b"NOOP", b"LANG de",
          b"LANG", b"UTF8", b"AUTH PLAIN =", b"AUTH PLAIN", b"APOP a b", b"STLS", b"LAST"]


@pytest.fixture(scope="module", name="target")
def with_pop3():
    own = Target(services=(*SERVICES, "pop3"))
    yield own
    own.stop()


def test_injection_at_every_cut(target):
    """RFC 2595: nothing that came in the clear is answered inside TLS, however it is cut."""
    for cut in range(1, len(INJECTED) + 1):
        with target.open("pop3") as sock:
            sock.recv(4096)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(INJECTED[:cut])
            time.sleep(0.002)
            try:
                sock.sendall(INJECTED[cut:])
                sock.settimeout(3)
                line = b""
                while not line.endswith(b"\n") and (octet := sock.recv(1)):
                    line += octet
                if not line.startswith(b"+OK"):
                    continue
                tls = start_tls(sock)
                tls.sendall(b"PASS x\r\nQUIT\r\n")
                answer, _ = rest_of(tls, 3)
            except (ssl.SSLError, OSError):
                continue
            assert not answer.startswith(b"+OK N"), (cut, answer)


@pytest.mark.parametrize("login", [False, True])
def test_broken_commands(target, login):
    """Each of them is answered by one line or ends the session; the mailbox is as it was."""
    imap = target.imap("alice")
    imap.append("INBOX", b"Subject: one\r\n\r\nx\r\n")
    imap.close()
    chance = random.Random(7)
    mutator = Mutator(chance, SCRIPT)
    steps = [mutator.flip, mutator.insert, mutator.cut, mutator.drop, mutator.double]
    with target.unharmed():
        for _ in range(40):
            whole = b"\r\n".join(chance.choice(steps)(line) if chance.random() < 0.4 else line for line in SCRIPT) + b"\r\n"
            with Pop3(target.ports["pop3"], "alice" if login else None, timeout=20) as c:
                try:
                    c.send(whole)
                    c.sock.shutdown(socket.SHUT_WR)
                    answer = c.file.read()
                except OSError:
                    continue
                assert answer == b"" or answer.endswith(b"\r\n")
    with Pop3(target.ports["pop3"], "alice") as c:
        assert b"+OK 0 0" != c.ask("STAT")


def test_lines_without_end(target):
    with target.unharmed():
        for user in (None, "alice"):
            for octet in (b"A", b"\0", b" ", b"\r", b"\xff"):
                with Pop3(target.ports["pop3"], user) as c:
                    try:
                        for _ in range(64):
                            c.send(octet * 65536)
                        assert c.file.read().startswith(b"-ERR")
                    except OSError:
                        pass


def test_client_that_does_not_read(target):
    """10,000 RETR of 100 KB and nobody takes them: memory stays bounded."""
    user = target.fresh_user("dora")
    imap = target.imap(user)
    imap.append("INBOX", b"Subject: large\r\n\r\n" + b"x" * 70 * 1400 + b"\r\n")
    imap.close()
    with target.unharmed():
        clients = [Pop3(target.ports["pop3"], user) for _ in range(8)]
        for c in clients:
            c.sock.setblocking(False)
            try:
                c.sock.send(b"RETR 1\r\n" * 10000)
            except BlockingIOError:
                pass
        time.sleep(1)
        for c in clients:
            c.close()


def test_numbers(target):
    with target.unharmed(), Pop3(target.ports["pop3"], "alice") as c:
        for number in ("0", "-1", "4294967296", "18446744073709551616", "1 1", "x", "1e1", "0x1", "+1", "9" * 200):
            c.err(f"RETR {number}")
            c.err(f"DELE {number}")
            c.err(f"TOP {number} 1 1")
            c.ok("NOOP")
        for lines in ("-1", "18446744073709551616", "x", "1 1", ""):
            c.err(f"TOP 1 {lines}")
            c.ok("NOOP")
