"""HOSTILE.md B: what an account's owner may send."""
import contextlib
import socket
import threading
import time

import pytest

from lib.client import Refused
from lib.wire import Closed
from .conftest import PATIENCE


@pytest.fixture(scope="module")
def users():
    """Of the test functions, one each: all rows of one share it."""
    return {}


@pytest.fixture
def session(target, users, request):
    name = request.node.originalname
    if name not in users:
        users[name] = target.fresh_user("mallory")
    client = target.imap(users[name], timeout=30)
    yield client
    client.close()


def quick(session, text, data=None, seconds=1.0):
    """The tagged line, whatever it says; asserts that it came in time."""
    began = time.monotonic()
    tag = session.send(text, data)
    while True:
        line = session.wire.line(60)
        if line.startswith(tag.encode() + b" "):
            break
    took = time.monotonic() - began
    assert took < seconds * PATIENCE, f"{text[:60]}: {took:.2f} s"
    return line[len(tag) + 1:]


# -- names ---------------------------------------------------------------------------------------
BAD_NAMES = ["", "/", "//", "a//b", "/etc/passwd", ".", "..", "../x", "a/../../b", "a/..", "./a", "INBOX/../y", "INBOX//y",
             "a\tb", "a\x1bb", "a\x7fb", "x" * 5000, "x" * 1001]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_refused(target, session, name):
    raw = name.encode()
    answer = quick(session, "CREATE", raw)
    assert answer.startswith((b"NO", b"BAD")), (name, answer)
    for verb in ("SELECT", "STATUS", "DELETE", "SUBSCRIBE"):
        if verb == "STATUS":
            tag = session.send('STATUS ""'[:6] + ' {%d+}\r\n' % len(raw) + name + " (MESSAGES)")
            while not (line := session.wire.line()).startswith(tag.encode()):
                pass
        else:
            line = quick(session, verb, raw)
            if verb != "SUBSCRIBE":
                assert line.startswith((b"NO", b"BAD")), (verb, name, line)
    assert quick(session, "NOOP").startswith(b"OK")


OPAQUE_NAMES = ["~bob", "~", "a%2f..%2fb".replace("%", "+"), "%n".replace("%", "n"), "$(id)", "a;rm", "NUL", "a:b", "x" * 250,
                "'; DROP TABLE users", "a b", "-rf"]


@pytest.mark.parametrize("name", OPAQUE_NAMES)
def test_names_taken_as_they_are(session, name):
    """A name is data: it is kept as it is, or refused, and never becomes a path."""
    answer = quick(session, "CREATE", name.encode())
    assert answer.startswith((b"OK", b"NO"))
    lines, _ = session.command('LIST "" *')
    if answer.startswith(b"OK"):
        assert any(name.encode() in line for line in lines)


WRONG_SPELLINGS = [b"&AC8-", b"&AC4ALgAvAHg-", b"a&", b"&", b"&AGE-", b"&&", b"&AAA-", b"&2D0-", b"&3AA-", b"&A-", b"&AAAA*-",
                   b"a\xffb", b"\xc0\xaf", b"\xed\xa0\x80", b"&" + b"A" * 4000, b"&" + b"A" * 4000 + b"-", b"&AAo-", b"&ABs-"]


@pytest.mark.parametrize("name", WRONG_SPELLINGS)
def test_wrong_utf7(session, name):
    """RFC 3501 section 5.1.3: no other spelling of ASCII, no slash by the back door, no half surrogates."""
    assert quick(session, "CREATE", name).startswith((b"NO", b"BAD"))


def test_twins_of_unicode(session):
    """NFC and NFD of one name are one mailbox, or clearly two: never one that cannot be reached."""
    session.command("ENABLE IMAP4rev2")
    first = quick(session, "CREATE", "caf\u00e9".encode())
    second = quick(session, "CREATE", "cafe\u0301".encode())
    assert first.startswith(b"OK")
    lines, _ = session.command('LIST "" "caf%"')
    assert len(lines) == (2 if second.startswith(b"OK") else 1)
    for line in lines:
        name = line.split(b' "/" ', 1)[1].strip(b'"').rsplit(b"}\r\n", 1)[-1]
        assert quick(session, "SELECT", name).startswith(b"OK")


def test_nul_in_a_name(session):
    """Dovecot 2.3.19 made the mailbox "a" of it."""
    assert quick(session, "CREATE", b"a\0b").startswith(b"BAD")
    lines, _ = session.command('LIST "" a*')
    assert not lines


def test_long_part(session):
    assert quick(session, "CREATE", b"y" * 1000).startswith((b"OK", b"NO"))
    assert quick(session, "CREATE", b"z/" * 20 + b"y" * 1000).startswith(b"NO")


def test_depth_bomb(target, session):
    with target.unharmed():
        assert quick(session, "CREATE", "/".join("a" * 2000).encode()).startswith(b"NO")
        assert quick(session, "CREATE", "/".join("a" * 60).encode()).startswith(b"OK")
        for i in range(200):
            assert quick(session, "RENAME a b" if i % 2 == 0 else "RENAME b a").startswith(b"OK")
        assert quick(session, 'CREATE b').startswith(b"OK")
        # Deeper by renaming into itself or beneath another deep tree.
        assert quick(session, 'RENAME b a/' + "/".join("a" * 59) + "/b").startswith((b"NO", b"OK"))
        deep = "c/" * 63 + "c"
        assert quick(session, f"CREATE {deep}").startswith((b"OK", b"NO"))
        assert quick(session, f"RENAME a {'/'.join('d' * 30)}/a").startswith((b"NO", b"OK"))
        assert quick(session, 'LIST "" *').startswith(b"OK")


# -- LIST ----------------------------------------------------------------------------------------
def test_list_blow_up(target, session):
    with target.unharmed():
        for i in range(300):
            session.send(f"CREATE {'ab' * 20}{i}/{'ba' * 20}")
        quick(session, "NOOP", seconds=20)
        for pattern in ("%*" * 500, "*" * 1000, "%" * 1000, "*a" * 300, "a*" * 300, "*a%b" * 200, "%/" * 400):
            assert quick(session, f'LIST "" "{pattern}"', seconds=2).startswith((b"OK", b"NO", b"BAD"))
        many = " ".join(f'"*a*b*{i}"' for i in range(1000))
        assert quick(session, f'LIST "" ({many})').startswith((b"NO [LIMIT]", b"BAD", b"NO"))
        many = " ".join(f'"*a*b*a*b*{i}"' for i in range(100))
        assert quick(session, f'LIST "" ({many})', seconds=3).startswith(b"OK")


# -- numbers ---------------------------------------------------------------------------------------
@pytest.fixture
def selected(session):
    for i in range(session.select("INBOX")["EXISTS"], 3):
        session.append("INBOX", b"Subject: %d\r\n\r\nbody\r\n" % i)
    session.command("SELECT INBOX")
    return session


OVERFLOWS = ["0", "4294967296", "18446744073709551617", "18446744073709551616", "1:4294967297", "0:*", "-1", "1:-1", "1,,2", ",1", "1,",
             "1:2:3", "*:*:*", "1" * 100, "+1", "1 2", "٣", "1:18446744073709551617", "4294967297"]


@pytest.mark.parametrize("numbers", OVERFLOWS)
@pytest.mark.parametrize("form", ["FETCH {} (FLAGS)", "UID FETCH {} (FLAGS)", "STORE {} +FLAGS (x)", "UID COPY {} Trash",
                                  "UID EXPUNGE {}", "SEARCH UID {}", "UID SEARCH {}"])
def test_number_overflows(selected, numbers, form):
    """Dovecot 2.3.19 took 18446744073709551617 for message 1."""
    if form.startswith("UID SEARCH") and numbers == "1 2":
        return  # two sets
    if form == "SEARCH UID {}" and numbers == "1 2":
        return
    answer = quick(selected, form.format(numbers))
    assert answer.startswith(b"BAD"), answer


@pytest.mark.parametrize("form", ["FETCH {} (FLAGS)", "UID FETCH {} (FLAGS)", "UID SEARCH UID {}"])
def test_many_ranges(target, selected, form):
    with target.unharmed():
        for numbers in (",".join(["1:3"] * 8000), ",".join(["3:1", "*:1"] * 4000), ",".join(str(i) for i in range(1, 8000)),
                        ",".join(["1:*"] * 10000)):
            answer = quick(selected, form.format(numbers), seconds=2)
            assert answer.startswith((b"OK", b"BAD", b"NO")), answer
        assert quick(selected, form.format("1:4294967295"), seconds=2).startswith((b"OK", b"BAD"))


def test_empty_mailbox_ranges(session):
    session.command("SELECT Trash")
    for text in ("FETCH 1:4294967295 FLAGS", "FETCH * FLAGS", "UID FETCH 1:4294967295 FLAGS", "UID FETCH * FLAGS", "SEARCH 1:*",
                 "UID SEARCH 1:4294967295", "STORE 1:* FLAGS (x)", "COPY 1:* INBOX", "UID MOVE 1:* INBOX"):
        assert quick(session, text).startswith((b"OK", b"BAD", b"NO"))


PARTIALS = [("<18446744073709551615.1>", b"BAD"), ("<0.4294967296>", b"OK"), ("<0.0>", b"BAD"), ("<-1.5>", b"BAD"),
            ("<9223372036854775808.1>", b"BAD"), ("<0.18446744073709551617>", b"BAD"), ("<1>", b"BAD"), ("<1.>", b"BAD"),
            ("<0.4294967295>", b"OK"), ("<4294967295.4294967295>", b"OK"), ("<4294967295.1>", b"OK")]


@pytest.mark.parametrize("partial, want", PARTIALS)
@pytest.mark.parametrize("item", ["BODY.PEEK[]", "BODY.PEEK[TEXT]", "BODY.PEEK[HEADER]", "BINARY.PEEK[1]", "BODY.PEEK[1]"])
def test_partial_overflows(selected, partial, want, item):
    assert quick(selected, f"FETCH 1 {item}{partial}").startswith(want)


@pytest.mark.parametrize("section", ["1." * 200 + "1", "0", "4294967296", "18446744073709551617", "1.0", "1..2", "MIME", "1.MIME.MIME",
                                     "HEADER.FIELDS ()", "HEADER.FIELDS", "HEADER.FIELDS (" + "a " * 9000 + "a)", "-1", "1." * 3000 + "1"])
def test_odd_sections(target, selected, section):
    with target.unharmed():
        assert quick(selected, f"FETCH 1 BODY.PEEK[{section}]").startswith((b"OK", b"BAD", b"NO"))


def test_many_items(target, selected):
    with target.unharmed():
        for items in ("FLAGS " * 9000, "BODY.PEEK[] " * 5000, "ENVELOPE BODYSTRUCTURE " * 2000, "BODY.PEEK[HEADER.FIELDS (A)] " * 1500):
            assert quick(selected, f"FETCH 1:3 ({items.strip()})", seconds=5).startswith((b"OK", b"BAD", b"NO"))


def test_many_items_that_make_a_long_line(target, session):
    """More in one answer than a line may hold before it is sent: it leaves piece by piece."""
    session.append("INBOX", b"Subject: long\r\n\r\n" + (b"x" * 998 + b"\r\n") * 100)
    session.command("SELECT INBOX")
    with target.unharmed():
        items = "BODY.PEEK[]<0.4000> " * 20 + "BODY.PEEK[] " * 700
        tag = session.send(f"FETCH 1 ({items.strip()})").encode()
        octets, tail, deadline = 0, b"", time.monotonic() + 60
        while not tail.endswith(b"\r\n") or b")\r\n" + tag + b" OK" not in tail:
            session.wire.fill(deadline)
            octets += len(session.wire.buffer)
            tail = (tail + session.wire.buffer)[-200:]
            session.wire.buffer = b""
        assert octets > 20 * 4000 + 700 * 100_000
        assert quick(session, "NOOP").startswith(b"OK")


# -- SEARCH ------------------------------------------------------------------------------------------
SEARCHES = ["NOT " * 10_000 + "ALL", "NOT " * 50 + "ALL", "(" * 5000 + "ALL" + ")" * 5000, "(" * 40 + "ALL" + ")" * 40,
            "OR ALL " * 3000 + "ALL", "OR " * 3000 + "ALL " * 3000 + "ALL", "OR OR " * 40 + "ALL " * 81, "ALL " * 9000 + "ALL",
            "TEXT x " * 1900 + "ALL", "HEADER a b " * 1900 + "ALL", "(" * 9000, ")" * 9000, "OR " * 9000, "NOT " * 9000,
            "KEYWORD " + "k" * 60_000, "SUBJECT " + "s" * 60_000, "FUZZY " * 5000 + "ALL", "1:* " * 5000 + "ALL",
            "LARGER 18446744073709551617", "SMALLER -1", "MODSEQ 18446744073709551617", "SINCE 99-Foo-99999", "SINCE 31-Feb-2020",
            "CHARSET " + "x" * 5000 + " ALL", "CHARSET ../../etc/passwd ALL", "CHARSET UTF-7 TEXT a"]


@pytest.mark.parametrize("keys", SEARCHES, ids=lambda k: k[:16])
def test_search_blow_ups(target, selected, keys):
    with target.unharmed(memory=32 << 20):
        answer = quick(selected, f"SEARCH {keys}", seconds=2)
        assert answer.startswith((b"OK", b"BAD", b"NO")), answer
        assert quick(selected, "NOOP").startswith(b"OK")


def test_literals_of_more_than_a_line(selected):
    """Several, the next line cut in the middle: what is held back must not stop the reading."""
    selected.wire.send(b"x SEARCH OR" + b" TEXT {60000+}\r\n" + b"x" * 60000 + b" OR TEXT {60000+}\r\n" + b"x" * 60000 + b" TEX")
    time.sleep(0.1)
    selected.wire.send(b"T a\r\n")
    while not (line := selected.wire.line(5)).startswith(b"x "):
        pass
    assert line.startswith(b"x OK"), line


def test_search_with_many_literals(target, session):
    with target.unharmed(memory=32 << 20), contextlib.suppress(Closed, OSError):
        session.command("SELECT INBOX")
        session.wire.send(b"x SEARCH")
        for _ in range(200):
            session.wire.send(b" TEXT {60000+}\r\n" + b"x" * 60000)
        session.wire.send(b"\r\n")
        line = session.wire.line(5)
        assert line.startswith((b"x BAD", b"x NO", b"* BYE")), line


# -- keywords -------------------------------------------------------------------------------------------
def test_keyword_bombs(target, selected):
    with target.unharmed(memory=32 << 20):
        assert quick(selected, "STORE 1 +FLAGS (" + "k" * 60_000 + ")").startswith((b"NO", b"BAD"))
        refused = 0
        for base in range(0, 6000, 500):
            words = " ".join(f"key{i}" for i in range(base, base + 500))
            refused += quick(selected, f"STORE 1 +FLAGS ({words})", seconds=3).startswith(b"NO [LIMIT]")
        assert refused > 0
        assert quick(selected, "SELECT INBOX").startswith(b"OK")
        assert quick(selected, "STORE 1:3 FLAGS (\\Seen)").startswith(b"OK")
        for flags in ("\\", "\\Bogus", "(", "a(b", "\\Recent", "]", "a]", "é"):
            assert quick(selected, f"STORE 1 +FLAGS ({flags})").startswith((b"BAD", b"NO", b"OK"))


@pytest.mark.parametrize("flood", ["(", ")", "(()(()", "{", "[", '"', "\\", "{1}", "~{"])
@pytest.mark.parametrize("command", ["ID ", "SEARCH ", 'LIST "" ', "FETCH 1 ", "STORE 1 FLAGS ", "STATUS INBOX ", "APPEND INBOX "])
def test_floods_after_login(target, selected, flood, command):
    with target.unharmed(memory=32 << 20), contextlib.suppress(Closed, OSError):
        selected.wire.send(b"f " + (command + flood * (60_000 // len(flood))).encode() + b"\r\n")
        while not (line := selected.wire.line(2)).startswith((b"f ", b"* BYE", b"+")):
            pass
        assert line.startswith((b"f BAD", b"f NO", b"* BYE", b"+")) or flood == "[" and command[:4] == "LIST", line


def test_endless_line_after_login(target, session):
    with target.unharmed(memory=16 << 20):
        with contextlib.suppress(Closed, OSError):
            for _ in range(100):
                session.wire.send(b"x" * 65536)
        with contextlib.suppress(Closed):
            while True:
                session.wire.line(5)


def test_endless_line_while_idling(target, session):
    with target.unharmed(memory=16 << 20):
        session.send("IDLE")
        session.wire.line()
        with contextlib.suppress(Closed, OSError):
            for _ in range(100):
                session.wire.send(b"x" * 65536)
        with contextlib.suppress(Closed):
            while True:
                session.wire.line(5)


def test_bad_commands_end_a_session(session):
    for _ in range(60):
        session.wire.send(b"a BOGUS\r\n")
    count = 0
    with pytest.raises(Closed):
        while True:
            count += session.wire.line(5).startswith(b"a BAD")
    assert count <= 20


APPENDS = [b"{-1}", b"{99999999999999999999}", b"{4294967296000}", b"{}", b"{0x10}", b"{200000000}", b"~{99999999999999999999}"]


@pytest.mark.parametrize("literal", APPENDS)
def test_append_sizes(target, session, literal):
    with target.unharmed(memory=8 << 20):
        session.wire.send(b"a APPEND INBOX " + literal + b"\r\n")
        line = session.wire.line(2)
        assert line.startswith((b"a NO", b"a BAD", b"* BYE")), line


def test_half_appends_leave_nothing(target, session):
    """Cut in the middle of a literal: no message, no memory, no file."""
    name = target.fresh_user("half")
    bodies = lambda: sum(1 for p in (target.data / "bodies").rglob("*") if p.is_file())  # noqa: E731
    before = bodies()
    with target.unharmed(memory=16 << 20):
        for size in (1000, 500_000, 50_000_000):
            for _ in range(10):
                client = target.imap(name)
                client.wire.send(b"a APPEND INBOX {%d+}\r\n" % size + b"x" * min(size // 2, 400_000))
                client.close()
        time.sleep(0.5)
    assert target.imap(name).select("INBOX")["EXISTS"] == 0
    assert bodies() == before


# -- those who do not read ----------------------------------------------------------------------------------
def test_fetch_never_read(target):
    """100 MB asked for by somebody who never reads: a bounded queue, and the others go on."""
    name = target.fresh_user("slow")
    client = target.imap(name)
    body = b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * 10_000
    for _ in range(10):
        client.append("INBOX", body)
    client.close()
    for tls in (False, True):
        with target.unharmed(memory=24 << 20):
            stalled = []
            for _ in range(4):
                slow = target.imap(name, tls=tls)
                slow.command("SELECT INBOX")
                slow.wire.send(b"x FETCH 1:* (BODY.PEEK[])\r\n")
                stalled.append(slow)
            time.sleep(1)
            assert target.memory() < 2 << 30
            other = target.imap(name)
            other.select("INBOX")
            assert quick(other, "FETCH 1:10 (FLAGS)").startswith(b"OK")
            assert quick(other, "APPEND INBOX", b"Subject: x\r\n\r\nx\r\n").startswith(b"OK")
            other.close()
            for slow in stalled:
                slow.close()
            time.sleep(0.3)


def test_list_and_search_never_read(target):
    name = target.fresh_user("slow")
    client = target.imap(name)
    for i in range(300):
        client.send(f"CREATE {'box' * 30}{i}")
    client.command("NOOP")
    with target.unharmed(memory=24 << 20):
        slow = target.imap(name)
        slow.wire.sock.settimeout(2)
        with contextlib.suppress(socket.timeout, OSError):
            for _ in range(2000):
                slow.wire.sock.sendall(b'x LIST "" *\r\n' * 100)
        assert quick(client, 'LIST "" *').startswith(b"OK")
        slow.close()
    client.close()


def test_pipelined_noops_after_login(target, session):
    count = 20_000 if target.sanitized else 100_000
    with target.unharmed(memory=16 << 20):
        sender = threading.Thread(target=session.wire.sock.sendall, args=(b"a NOOP\r\n" * count,))
        sender.start()
        time.sleep(0.5)
        for _ in range(count):
            assert session.wire.line(60).startswith(b"a OK")
        sender.join()


def test_sessions_of_one_user_are_capped(target):
    name = target.fresh_user("many")
    clients = []
    with target.unharmed(memory=48 << 20):
        with pytest.raises((Refused, Closed)):
            for _ in range(210):
                clients.append(target.imap(name))
        assert len(clients) >= 200
        for client in clients:
            client.close()
        time.sleep(0.5)
        target.imap(name).close()
