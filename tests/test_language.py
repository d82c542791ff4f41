"""LANGUAGE (RFC 5255) beyond its transcripts: in German every text a client is told is a German row of texts.def, as section 3.5 lets
it be written, and the log stays English."""
import pathlib
import re
import sys

import pytest

from lib import grammar, server as posthorn
from lib.wire import Wire

sys.path.insert(0, str(pathlib.Path(__file__).parent / "house"))
import check_texts  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = [(english, german) for kind, english, german in check_texts.rows(ROOT) if kind == "TEXT"]
MAIL = b"Subject: x\r\n\r\ny\r\n"
BEFORE = ["NOOP", "CAPABILITY", 'ID ("name" "x")', "FOO", "LOGIN nobody wrong", "LANGUAGE tlh"]
AFTER = [
    "NOOP", "FOO", "SELECT nowhere", "CREATE a", "CREATE a", "CREATE b/c", "DELETE b", "SELECT a", "APPEND a {%d+}\r\n%s",
    "APPEND a {%d+}\r\n%s", "FETCH 1 FLAGS", "FETCH 9 FLAGS", "UID FETCH 1 FLAGS", "COPY 1 b/c", "MOVE 2 b/c", "COPY 1 nowhere",
    "STORE 1 (UNCHANGEDSINCE 1) FLAGS (\\Seen)", "UID SEARCH CHARSET x-no TEXT y", "SEARCH RETURN (SAVE) ALL", "COMPARATOR i;no",
    "LANGUAGE", "LANGUAGE tlh", "NAMESPACE", "STATUS a (MESSAGES)", "GETMETADATA a /private/x", "RESETKEY a", "RESETKEY",
    "NOTIFY SET (SELECTED (Nonsense))", "NOTIFY NONE", "EXAMINE a", "STORE 1 FLAGS (\\Seen)", "UNSELECT", "FETCH 1 FLAGS",
    "ENABLE UIDONLY", "SELECT a", "FETCH 1 FLAGS", "RENAME a d", "IDLE", "CLOSE", "LOGOUT",
]


def pattern(text):
    return ".+".join(map(re.escape, check_texts.CONVERSION.split(text)))


GERMAN = re.compile("|".join(pattern(german) for _, german in TEXTS))
STATUS = re.compile(r"\S+ (?:OK|NO|BAD|BYE) (?:\[[^\]]*\] )?(.*)")


@pytest.fixture(scope="module")
def own():
    server = posthorn.Server({})
    yield server
    server.stop()


def check_line(line):
    grammar.check(line)
    status = STATUS.fullmatch(line.decode())
    if not status:
        return None
    assert GERMAN.fullmatch(status[1]), line
    return status[1]


def texts_of(wire, command):
    said = set()
    if "%d" in command:
        command = command % (len(MAIL), MAIL.decode())
    wire.send(f"t {command}\r\n".encode())
    if command == "IDLE":
        assert wire.line().startswith(b"+")
        wire.send(b"DONE\r\n")
    while True:
        line = wire.line()
        said.add(check_line(line))
        if line.startswith(b"t "):
            return said


def begin(server):
    wire = Wire(server.address("imap"), timeout=60)
    wire.line()
    wire.send(b"l LANGUAGE de\r\n")
    assert wire.line() == b"* LANGUAGE (de)"
    assert wire.line() == b"l OK Ab jetzt auf Deutsch"
    return wire


def test_all_texts_are_german(own):
    user = own.fresh_user("german")
    wire = begin(own)
    said = set()
    for command in BEFORE:
        said |= texts_of(wire, command)
    said |= texts_of(wire, f"LOGIN {user} {own.password}")
    for command in AFTER:
        said |= texts_of(wire, command)
    assert len(said) > 45, sorted(filter(None, said))
    log = own.stderr()
    assert "Disconnected: Logged out" in log
    assert not any(german in log for english, german in TEXTS if "%" not in german and german != english)
