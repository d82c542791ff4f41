"""What an account's owner may send with MULTIAPPEND, CATENATE and REPLACE."""
import re

import pytest

from lib import server as posthorn
from .conftest import LONG

MIB = 1 << 20


@pytest.fixture
def session(target):
    client = target.imap(target.fresh_user("mallory"), timeout=120)
    yield client
    client.close()


def several(session, messages, verb="APPEND INBOX"):
    """The tagged line of all messages in one command."""
    tag = session.send(verb + "".join(" {%d+}\r\n" % len(m) + m.decode() for m in messages))
    return tagged(session, tag)


def tagged(session, tag):
    while not (line := session.wire.line(120)).startswith(tag.encode() + b" "):
        pass
    return line[len(tag) + 1:]


def exists(session):
    lines, _ = session.command("STATUS INBOX (MESSAGES)")
    return int(re.search(rb"MESSAGES (\d+)", lines[-1])[1])


def bodies(target):
    return sum(1 for path in (target.data / "bodies").rglob("*") if path.is_file())


def test_thousands_of_small_ones(target, session):
    messages = [b"Subject: %d\r\n\r\nx\r\n" % n for n in range(5000)]
    with target.unharmed():
        assert several(session, messages).startswith(b"OK [APPENDUID")
        assert several(session, messages + messages[:1]).startswith(b"NO [LIMIT]")
    assert exists(session) == 5000


def test_many_that_fill_memory(target, session):
    """Bodies just small enough for the journal: 4 MiB of them stay there, the rest is on the disk while it waits."""
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * 130000 + b"\r\n" for n in range(1000 if LONG else 250)]
    with target.unharmed(memory=40 * MIB, peak=48 * MIB):
        assert several(session, messages).startswith(b"OK [APPENDUID")


@pytest.mark.parametrize("mailbox", ["INBOX", "nowhere"])
def test_without_end(target, session, mailbox):
    """What stands between the literals is bounded too, also of a command that is refused already."""
    part = b" (" + b"k" * 200 + b" a" * 20000 + b") {1+}\r\nx"
    with target.unharmed(memory=24 * MIB, peak=32 * MIB):
        session.wire.send(b"a APPEND " + mailbox.encode() + b" {1+}\r\nx" + part * 40)
        answers = []
        while not (answers and (answers[-1].startswith(b"* BYE [TOOBIG]") or answers[-1].startswith(b"a "))):
            answers.append(session.wire.line(120))
        assert answers[-1].startswith(b"* BYE [TOOBIG]"), answers


def test_many_structures(target, session):
    """Each small, its structure large: what is kept of one is given back before the next one comes."""
    parts = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n" * 4000
    with target.unharmed():
        assert several(session, [parts] * 60)[:3] in (b"OK ", b"NO ")
    assert session.command("NOOP")


def test_cancelled_ones_leave_nothing(target, session):
    before = bodies(target)
    messages = [b"Subject: x\r\n\r\n" + b"x" * 200000] * 40
    with target.unharmed():
        for end in (b"", b"\0"):
            assert several(session, messages + [end])[:3] in (b"NO ", b"BAD")
    assert exists(session) == 0
    assert bodies(target) == before
    # and when the client goes away in the middle of one
    user = target.fresh_user("mallory")
    gone = target.imap(user)
    gone.wire.send(b"t1 APPEND INBOX" + b" {15+}\r\nSubject: x\r\n\r\n\n" * 20 + b" {200000+}\r\n" + b"y" * 150000)
    gone.close()
    again = target.imap(user)
    assert exists(again) == 0
    again.close()


def catenate(*urls):
    return "APPEND INBOX CATENATE (" + " ".join(f'URL "{u}"' for u in urls) + ")"


def test_doubling(target, session):
    """Each message is two times the one before: it ends at the size of a message."""
    session.append("INBOX", b"Subject: x\r\n\r\n" + b"x" * (3 * MIB))
    with target.unharmed():
        for uid in range(1, 8):
            line = tagged(session, session.send(catenate(f"/INBOX/;UID={uid}", f"/INBOX/;UID={uid}")))
            if not line.startswith(b"OK"):
                break
        assert line.startswith(b"NO [TOOBIG]"), line
    assert exists(session) == 6  # 3, 6, ..., 96 MiB


def test_parts_without_end(target, session):
    session.append("INBOX", b"Subject: x\r\n\r\n" + b"x" * 50000)
    url = "/INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=0.1"
    with target.unharmed():
        assert tagged(session, session.send(catenate(*[url] * 1000))).startswith(b"OK")
        assert tagged(session, session.send(catenate(*[url] * 1001))).startswith(b"NO [LIMIT]")
        tag = session.send("APPEND INBOX CATENATE (" + "TEXT {1+}\r\nx " * 1001 + "TEXT {1+}\r\nx)")
        assert tagged(session, tag).startswith(b"NO [LIMIT]")
        assert tagged(session, session.send("APPEND INBOX CATENATE (" * 60)).startswith((b"BAD", b"NO"))
    assert exists(session) == 2


def test_urls_too_long(target, session):
    session.append("INBOX", b"Subject: x\r\n\r\nx")
    with target.unharmed():
        line = tagged(session, session.send(catenate("/INBOX/;UID=1/;SECTION=" + "1." * 4100 + "1")))
        assert line.startswith(b"NO [BADURL ")
        line = tagged(session, session.send("APPEND INBOX CATENATE (URL {8193+}\r\n" + "/" * 8193 + ")"))
        assert line.startswith(b"NO [LIMIT]")
        line = tagged(session, session.send("APPEND INBOX CATENATE (URL {2000000000}"))
        assert line.startswith(b"NO [LIMIT]")
        for name in ("../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "%0d%0aA1%20OK", "INBOX/../../bob/INBOX"):
            assert tagged(session, session.send(catenate(f"/{name}/;UID=1"))).startswith(b"NO [BADURL /")
    assert exists(session) == 1


def test_replace_races(target):
    """Several sessions replace the same message: one wins each time, nothing is there twice."""
    user = target.fresh_user("mallory")
    clients = [target.imap(user) for _ in range(5)]
    with target.unharmed():
        for round_ in range(10):
            if round_ == 0:
                clients[0].append("INBOX", b"Subject: first\r\n\r\n")
            uid = clients[0].select("INBOX")["UIDNEXT"] - 1
            for client in clients[1:]:
                client.select("INBOX")
            tags = [c.send(f"UID REPLACE {uid} INBOX", b"Subject: %d\r\n\r\n" % n) for n, c in enumerate(clients)]
            answers = [tagged(c, tag)[:2] for c, tag in zip(clients, tags)]
            assert sorted(answers) == [b"NO"] * 4 + [b"OK"], answers
    assert exists(clients[0]) == 1
    for client in clients:
        client.close()
    assert posthorn.run_verb("verify", "--data", target.data) is not None
