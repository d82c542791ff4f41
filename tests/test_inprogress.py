"""INPROGRESS (RFC 9585) beyond its transcript: never within another answer nor while the client is to send, and at its pace."""
import re
import time

import pytest

from lib import grammar, server as posthorn
from lib.wire import Timeout

LINE = b"line %d of a message that is fetched while the server tells how far it is\r\n"


def mail(octets):
    text = b"Subject: large\r\n\r\n"
    return text + b"".join(LINE % i for i in range(octets // len(LINE)))


@pytest.fixture(scope="module")
def eager():
    """Tells at every tick of its clock, some 8 ms."""
    own = posthorn.Server({"test_progress_ms": 1})
    yield own
    own.stop()


def answers(wire, command):
    """The untagged lines of a command, all by the grammar."""
    lines = []
    wire.send(b"t " + command + b"\r\n")
    while not (line := wire.line()).startswith(b"t "):
        grammar.check(line)
        lines.append(line)
    grammar.check(line)
    assert line.startswith(b"t OK")
    return lines


def put(wire, messages, copies):
    wire.send(b"p SELECT INBOX\r\n")
    while not wire.line().startswith(b"p "):
        pass
    for message in messages:
        answers(wire, b"APPEND INBOX {%d+}\r\n%s" % (len(message), message))
    for _ in range(copies):
        answers(wire, b"COPY 1:* INBOX")
    answers(wire, b"NOOP")


OF_256 = re.compile(rb'\* OK \[INPROGRESS \("t" (?:\d+ (?:256|NIL)|NIL NIL)\)\] ')


def is_word(line):
    return line.startswith(b"* OK [INPROGRESS ")


@pytest.mark.parametrize("way", ("plain", "tls", "compressed"))
def test_not_within_an_answer(eager, way):
    """Literals copied in one piece, streamed in several, and answers that leave in pieces."""
    wire = eager.imap(eager.fresh_user("inside"), way == "tls").wire
    if way == "compressed":
        answers(wire, b"COMPRESS DEFLATE")
        wire.compress()
    messages = [mail(n) for n in (900, 30000, 100000, 400000)]
    put(wire, messages, 6)
    told, rounds, end = False, 0, time.monotonic() + 90
    while rounds < 3 or (way != "tls" and time.monotonic() < end):  # a client that is slower than the server has other lines to read
        rounds += 1
        lines = answers(wire, b"FETCH 1:* (UID BODY.PEEK[] RFC822.SIZE)")
        bodies = [line for line in lines if not is_word(line)]
        assert all(OF_256.match(line) for line in lines if is_word(line))
        assert len(bodies) == 256
        for line in bodies:
            assert any(b"{%d}\r\n%s " % (len(m), m) in line for m in messages)
        told = told or len(lines) > len(bodies)
        if told:
            break
    assert told or way == "tls"


def silent(wire, seconds=0.3):
    with pytest.raises(Timeout):
        wire.line(seconds)


def test_not_while_the_client_is_to_send(eager):
    wire = eager.imap(eager.fresh_user("sends")).wire
    for start in (b"t APPEND INBOX {40}\r\n", b"t APPEND INBOX CATENATE (TEXT {40}\r\n"):
        wire.send(start)
        assert wire.line().startswith(b"+")
        silent(wire)
        wire.send(b"Subject: slow\r\n")
        silent(wire)
        wire.send(b"\r\n" + b"x" * 23 + (b")\r\n" if b"TEXT" in start else b"\r\n"))
        while not (line := wire.line()).startswith(b"t "):
            assert is_word(line)
        assert line.startswith(b"t OK")
    wire.send(b"t IDLE\r\n")
    assert wire.line().startswith(b"+")
    silent(wire)


def test_no_more_often_than_it_may(make):
    own = make({"test_progress_ms": 100})
    wire = own.imap(own.fresh_user("pace")).wire
    put(wire, [mail(30000)], 11)
    began = time.monotonic()
    words = [line for line in answers(wire, b"SEARCH TEXT nowhere") if is_word(line)]
    assert len(words) <= (time.monotonic() - began) / 0.1
    told = [int(line.split()[4]) for line in words if b" NIL NIL" not in line]
    assert told == sorted(told)
