"""METADATA under strain: too many entries, values that are too large, deep names; memory stays bounded, entries whole."""
import pytest

from lib.client import Refused
from .conftest import refusal

ENTRIES, VALUE, OCTETS = 1000, 65536, 4194304


def pairs(first, last):
    return "(" + " ".join(f'/private/e{n} "x"' for n in range(first, last)) + ")"


def names(session, box="INBOX"):
    lines, _ = session.command(f"GETMETADATA (DEPTH infinity) {box} /private")
    return sum(line.count(b"/private/") for line in lines)


def test_many_entries(session):
    """10,000 entries: the first 1,000 are taken, what goes beyond is refused whole; removing one makes room."""
    refused = 0
    for first in range(0, 10 * ENTRIES, 500):
        try:
            session.command(f"SETMETADATA INBOX {pairs(first, first + 500)}")
        except Refused as answer:
            assert "[METADATA TOOMANY]" in str(answer)
            refused += 1
    assert refused == 18 and names(session) == ENTRIES
    assert "[METADATA TOOMANY]" in refusal(session, 'SETMETADATA INBOX (/private/e1 "new" /private/more "x")')
    session.command('SETMETADATA INBOX (/private/e1 NIL /private/more "x")')
    session.command('SETMETADATA INBOX (/shared/own "x")')
    assert names(session) == ENTRIES


def test_octets_of_all(session):
    """Values of the greatest size until all together are too many; then smaller ones may be set still."""
    value = "v" * VALUE
    set_ = 0
    with pytest.raises(Refused) as refused:
        for n in range(OCTETS // VALUE + 1):
            session.command(f"SETMETADATA INBOX (/private/v{n} {{{VALUE}+}}\r\n{value})")
            set_ += 1
    assert "[OVERQUOTA]" in str(refused.value) and set_ == OCTETS // VALUE - 1
    session.command('SETMETADATA INBOX (/private/v0 "small")')
    lines, tagged = session.command("GETMETADATA (MAXSIZE 65535) INBOX (/private/v0 /private/v1)")
    assert lines == [b'* METADATA INBOX (/private/v0 "small")'] and b"[METADATA LONGENTRIES 65536]" in tagged


def test_rename_inbox_of_several_owners(session):
    """RENAME INBOX gives its entries to the new mailbox, too; what others own does not count against them."""
    value = "v" * VALUE
    for n in range(28):
        session.command(f"SETMETADATA INBOX (/private/v{n} {{{VALUE}+}}\r\n{value})")
    session.command("CREATE Box")
    for n in range(28):
        session.command(f"SETMETADATA Box (/shared/v{n} {{{VALUE}+}}\r\n{value})")
    session.command("RENAME INBOX Old")
    lines, _ = session.command("GETMETADATA (DEPTH infinity MAXSIZE 1) Old (/private /shared)")
    assert lines == [b"* METADATA Old (/shared NIL)"]  # those of /private are there, and too long
    assert "[OVERQUOTA]" in refusal(session, "RENAME INBOX Again")


def test_large_values(session):
    """10 MB that nobody asked for are dropped as they come; the session goes on and nothing was set."""
    for mark in (b"", b"~"):
        session.wire.send(b'x1 SETMETADATA INBOX (/private/a "x" /private/b %s{10485760+}\r\n' % mark)
        for _ in range(160):
            session.wire.send(b"y" * VALUE)
        session.wire.send(b" /private/c {3+}\r\nabc)\r\n")
        assert session.wire.line(60).startswith(b"x1 NO [METADATA MAXSIZE 65536]")
    assert names(session) == 0
    lines, _ = session.command("GETMETADATA INBOX /private/a")
    assert lines == [b"* METADATA INBOX (/private/a NIL)"]


def test_deep_names(session):
    deep = "/private" + "/a" * 252
    assert len(deep) == 512
    session.command(f'SETMETADATA INBOX ({deep} "x")')
    lines, _ = session.command("GETMETADATA (DEPTH infinity) INBOX /private")
    assert lines == [f'* METADATA INBOX ({deep} "x")'.encode()]
    lines, _ = session.command("GETMETADATA (DEPTH 1) INBOX /private")
    assert lines == [b"* METADATA INBOX (/private NIL)"]
    session.wire.send(f'x2 SETMETADATA INBOX ({deep}/b "x")\r\n'.encode())
    assert session.wire.line().startswith(b"x2 BAD")


def test_watchers_fall_behind(target):
    """More changes than are kept for a session that was not told: it is told of all entries there are."""
    user = target.fresh_user("mallory")
    slow, fast = target.imap(user, timeout=60), target.imap(user, timeout=60)
    slow.command("ENABLE METADATA")
    for first in range(0, ENTRIES, 500):
        fast.command(f"SETMETADATA INBOX {pairs(first, first + 500)}")
    fast.command("CREATE Box")
    fast.command(f"SETMETADATA Box {pairs(0, 500)}")
    lines, _ = slow.command("NOOP")
    told = {name for line in lines if line.startswith(b"* METADATA INBOX") for name in line.split()[3:]}
    assert len(told) == ENTRIES
    assert sum(len(line.split()) - 3 for line in lines if line.startswith(b"* METADATA Box")) == 500
    lines, _ = slow.command("NOOP")
    assert not lines
    slow.close()
    fast.close()
