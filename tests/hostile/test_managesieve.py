"""HOSTILE.md A and B of ManageSieve: what strangers send, and what users do to a server that reads their scripts."""
import threading

import pytest

from lib.managesieve import Closed, Sieve, literal


def connect(target, user=None):
    made = Sieve(target.address("managesieve"))
    assert user is None or made.login(user)[0] == "OK"
    return made


def pour(sieve, data, times=1):
    """Sends until it is not taken any more."""
    try:
        for _ in range(times):
            sieve.send(data)
    except OSError:
        pass


def answers(sieve):
    found = []
    try:
        while True:
            found.append(sieve.answer())
    except Closed:
        return found


@pytest.mark.parametrize("octets", [b"x", b" ", b"\0", b"\xff", b"\"", b"{1+}\r\n"])
@pytest.mark.parametrize("user", [None, "alice"])
def test_endless_command(target, octets, user):
    with target.unharmed(memory=8 << 20):
        s = connect(target, user)
        pour(s, octets * 65536, 40)
        assert answers(s)[-1][0] == "BYE"


def test_endless_literal(target):
    """It is thrown away as it comes; nobody else waits."""
    with target.unharmed(memory=8 << 20, peak=32 << 20):
        s = connect(target, "alice")
        s.send(b'PUTSCRIPT "x" {4294967295+}\r\n')
        pour(s, b"x" * (1 << 20), 200)
        s.close()


@pytest.mark.parametrize("user", [None, "alice"])
def test_pipelined_noops(target, user):
    """By somebody who reads late: all answered, none of them queued in memory."""
    count = 100_000 if not target.sanitized else 20_000
    with target.unharmed(memory=16 << 20):
        s = connect(target, user)
        sender = threading.Thread(target=pour, args=(s, b"NOOP\r\n" * count))
        sender.start()
        for _ in range(count):
            assert s.answer()[0] == "OK"
        sender.join()
        s.close()


def test_answers_that_nobody_reads(target):
    """Large ones."""
    with target.unharmed(memory=32 << 20):
        s = connect(target, "alice")
        assert s.ask(b'PUTSCRIPT "large" ' + literal(b"#" * 1_000_000 + b"\n"))[0] == "OK"
        s.socket.settimeout(2)
        pour(s, b'GETSCRIPT "large"\r\n' * 1000)
        s.close()


BOMBS = {
    "nested": b"if not " * 140_000, "blocks": b"if true {" * 100_000, "tests": b"if anyof(" * 100_000, "commands": b"keep;" * 170_000,
    "strings": b"redirect [" + b'"a",' * 250_000, "variables": b'require "variables";' + b"".join(b'set "v%d" "";' % n for n in range(40_000)),
    "regex": b'require "regex";' + b'if header :regex "a" "' + b"(a{1,50}){1,50}" * 1000 + b'" {keep;}', "brackets": b"[" * 1_000_000, "comment": b"/*" * 500_000,
    "text": b"redirect text:\r\n" + b".\r" * 400_000, "references": b'require ["encoded-character"]; redirect "' + b"${hex:" * 150_000,
}


def test_scripts_that_are_bombs(target):
    """Each is refused in time, while others are served."""
    with target.unharmed(memory=32 << 20):
        s = connect(target, "alice")
        for name, script in BOMBS.items():
            assert len(script) <= 1 << 20, name
            assert s.ask(b"CHECKSCRIPT " + literal(script))[0] == "NO", name
        s.close()


def test_strangers_guess_and_leave(target):
    """Exchanges that are left in the middle leave nothing behind."""
    with target.unharmed(memory=8 << 20):
        for n in range(30):
            s = connect(target)
            s.send(b'AUTHENTICATE "PLAIN"\r\n' if n % 2 else b'AUTHENTICATE "SCRAM-SHA-256" "bix1PXgscj15"\r\n')
            if n % 3:
                s.line()
                s.send(b'"' if n % 5 else b"{100+}\r\n")
            s.close()
