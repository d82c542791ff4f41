"""The transcript runner itself: it must fail where a server is wrong. A scripted server stands in for one."""
import socket
import threading

import pytest

from lib import pattern, transcript


class Scripted:
    """A server that sends fixed lines: its greeting, then for each line that comes in the next answers."""
    name = "scripted"
    password = "x"

    def __init__(self, *answers):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.answers = answers
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        peer, _ = self.sock.accept()
        peer.sendall(b"* OK hello\r\n")
        lines = peer.makefile("rb")
        for answer in self.answers:
            if not lines.readline():
                break
            peer.sendall(answer.encode())
        peer.close()

    def address(self, _):
        return self.sock.getsockname()

    def fresh_user(self, name):
        return name

    def message(self, _):
        return None

    def for_script(self, _):
        return self

    def check_reports(self):
        pass


def play(text, *answers):
    script = transcript.Script("sample", "# sample\npreauth\ntimeout 0.5\n" + text)
    transcript.Run(script, Scripted(*answers)).run()


GOOD = [
    ("A> noop\nA< ok\n", ["a1 OK done\r\n"]),
    ("A> noop\nA< * 2 EXISTS\nA< ok\n", ["* 2 EXISTS\r\na1 OK done\r\n"]),
    ("A> noop\nA<? * 2 EXISTS\nA< ok\n", ["a1 OK done\r\n"]),
    ('A> noop\nA< * X {"a"}\nA< ok\n', ["* X {1}\r\na\r\na1 OK done\r\n"]),
    ("A> noop\nA< * X (a $v)\nA< ok\n", ["* X (a 1)\r\na1 OK done\r\n"]),
    ("A> noop\nA< * X ({{a, b $v}})\nA< ok [Y $v]\n", ["* X (b 7 a)\r\na1 OK [Y 7] done\r\n"]),
    ("A> logout\nA< ok\nA< eof\n", ["a1 OK done\r\n"]),
]
BAD = [
    ("A> noop\nA< ok\n", ["a1 NO done\r\n"]),
    ("A> noop\nA< ok\n", ["a2 OK done\r\n"]),
    ("A> noop\nA< ok\n", ["* OK done\r\n"]),
    ("A> noop\nA< * 2 EXISTS\nA< ok\n", ["a1 OK done\r\n"]),
    ("A> noop\nA< * 2 EXISTS\nA< * 2 EXISTS\nA< ok\n", ["* 2 EXISTS\r\na1 OK done\r\n"]),
    ("A> noop\nA<! * 2 EXISTS\nA< ok\n", ["* 2 EXISTS\r\na1 OK done\r\n"]),
    ("A> noop\nA< * 1 X\nA<= * 2 X\nA< ok\n", ["* 2 X\r\n* 1 X\r\na1 OK done\r\n"]),
    ('A> noop\nA< * X {"a"}\nA< ok\n', ["* X {1}\r\nb\r\na1 OK done\r\n"]),
    ("A> noop\nA< * X $v $v\nA< ok\n", ["* X 1 2\r\na1 OK done\r\n"]),
    ("A> noop\nA< ok [READ-ONLY]\n", ["a1 OK [READ-WRITE] done\r\n"]),
    ("A> noop\nA< ok\nA< eof\n", ["a1 OK done\r\n", "never\r\n"]),
    ("A> noop\nA< ok\n", ["a1 OK without CR\n"]),
    ("A> noop\nA< ok\n", ["* 3 EXISTS\r\n* 2 EXISTS\r\na1 OK done\r\n"]),
    ("A> noop\nA< ok\n", ["* 3 EXISTS\r\n* 4 EXPUNGE\r\na1 OK done\r\n"]),
    ("A> noop\nA< ok\n", ["* 3 EXISTS\r\n* 1 FETCH (UID 5)\r\n* 1 FETCH (UID 6)\r\na1 OK done\r\n"]),
    ("A> noop\nA< ok\n", ["* 3 EXISTS\r\n* 1 FETCH (UID 5)\r\n* 2 FETCH (UID 4)\r\na1 OK done\r\n"]),
]


@pytest.mark.parametrize("text, answers", GOOD)
def test_passes(text, answers):
    play(text, *answers)


@pytest.mark.parametrize("text, answers", BAD)
def test_fails(text, answers):
    with pytest.raises((transcript.Failure, AssertionError)):
        play(text, *answers)


def test_any_order():
    assert pattern.match("({{\\A \\B}})", b"(\\B \\A)", {}, {}) == {}
    assert pattern.match("({{\\A \\B}})", b"(\\B \\A \\C)", {}, {}) is None
    assert pattern.match("({{\\A \\B ...}})", b"(\\B \\C \\A)", {}, {}) == {}
    assert pattern.match("({{\\A \\B ...}})", b"(\\B \\C)", {}, {}) is None


def test_not_a_transcript():
    with pytest.raises(ValueError):
        transcript.Script("x", "# head\nnonsense here\n")
    with pytest.raises(ValueError):
        transcript.Script("x", "A> noop\n")
