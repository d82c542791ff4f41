"""NOTIFY (RFC 5465) where no command runs: what is pushed, how bursts come together, and whose mailboxes are seen."""
import re
import time

import pytest

from lib import server as posthorn

MESSAGE = b"Subject: x\r\n\r\nx\r\n"
STATUS = re.compile(rb"\* STATUS (\S+) \(MESSAGES (\d+) ")
MESSAGES = "(MessageNew MessageExpunge)"


@pytest.fixture(scope="module", name="shared")
def a_server_with_a_mounted_tree():
    server = posthorn.Server({"test_mount": "bob lrswipkxte"})
    yield server
    server.stop()


@pytest.fixture(name="pair")
def two_sessions_of_one_user(shared):
    """One works, the other is told."""
    user = shared.fresh_user("alice")
    writer, watcher = shared.imap(user), shared.imap(user)
    yield writer, watcher
    watcher.close()
    writer.close()


def pushed(watcher, pattern, seconds=30):
    """Lines that come without a command, up to the first that fits."""
    lines, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        lines.append(watcher.wire.line(max(end - time.monotonic(), 0.01)))
        if re.match(pattern, lines[-1]):
            return lines
    raise AssertionError(f"{pattern} did not come: {lines}")


def test_pushed_to_many_sessions(shared):
    """Ten sessions of one user, each with names of its own: each is told of these, and of nothing else."""
    user = shared.fresh_user("alice")
    writer = shared.imap(user)
    for n in range(10):
        writer.command(f"CREATE box{n}")
    watchers = [shared.imap(user) for _ in range(10)]
    for n, watcher in enumerate(watchers):
        watcher.command(f"NOTIFY SET (mailboxes (box{n} box{(n + 1) % 10}) {MESSAGES})")
    for n in range(10):
        writer.append(f"box{n}", MESSAGE)
    for n, watcher in enumerate(watchers):
        told = {STATUS.match(line)[1] for line in pushed(watcher, b".*box%d" % n) + watcher.command("NOOP")[0]}
        assert told == {b"box%d" % n, b"box%d" % ((n + 1) % 10)}
        watcher.close()
    writer.close()


def test_burst_is_few_lines(pair):
    """A hundred deliveries to one mailbox: STATUS comes a few times, and the last one is right."""
    writer, watcher = pair
    writer.command("CREATE Box")
    watcher.command(f"NOTIFY SET (personal {MESSAGES})")
    began = time.monotonic()
    writer.append_all("Box", [MESSAGE] * 100)
    lines = pushed(watcher, rb"\* STATUS Box \(MESSAGES 100 ")
    assert len(lines) <= 3 + 2 * (time.monotonic() - began)


def test_half_a_command_is_no_obstacle(pair):
    """The client has sent a part of a command, or owes a literal: it is told all the same, and the command works."""
    writer, watcher = pair
    writer.command("CREATE Box")
    watcher.command(f"NOTIFY SET (personal {MESSAGES})")
    watcher.wire.send(b"x1 STATUS Box (MESS")
    writer.append("Box", MESSAGE)
    pushed(watcher, rb"\* STATUS Box \(MESSAGES 1 ")
    watcher.wire.send(b"AGES)\r\nx2 STATUS {3}\r\n")
    lines = pushed(watcher, rb"\+")
    assert b"* STATUS Box (MESSAGES 1)" in lines
    writer.append("Box", MESSAGE)
    pushed(watcher, rb"\* STATUS Box \(MESSAGES 2 ")
    watcher.wire.send(b"Box (MESSAGES)\r\n")
    assert b"* STATUS Box (MESSAGES 2)" in pushed(watcher, rb"x2 OK")


def test_nothing_is_lost_between_two_notifies(pair):
    """Deliveries while a session changes its mind again and again: in the end it knows all."""
    writer, watcher = pair
    writer.command("CREATE Box")
    watcher.command(f"NOTIFY SET STATUS (personal {MESSAGES})")
    known = 0
    for n in range(40):
        tag = writer.send('APPEND "Box" ()', MESSAGE)
        groups = f"(subtree Box {MESSAGES})" if n % 2 else f"(personal {MESSAGES}) (mailboxes other (MailboxName))"
        lines, _ = watcher.command(f"NOTIFY SET {groups}")
        known = max([known, *(int(m[2]) for m in map(STATUS.match, lines) if m)])
        writer.answer(tag)
    while known < 40:
        known = int(STATUS.match(pushed(watcher, STATUS)[-1])[2])


def test_mounted_tree(shared):
    """bob's tree at Shared/bob: by its own names, not as PERSONAL; his subscriptions are his own."""
    bob, alice, other = (shared.imap(n) for n in ("bob", "alice", "carol"))
    alice.command("NOTIFY SET (personal (MailboxName SubscriptionChange MessageNew MessageExpunge FlagChange))")
    lines, _ = other.command(f"NOTIFY SET STATUS (subtree Shared (MailboxName SubscriptionChange)) "
                             f"(mailboxes Shared/bob/inbox {MESSAGES})")
    assert [STATUS.match(line)[1] for line in lines] == [b"Shared/bob/INBOX"]
    bob.append("INBOX", MESSAGE)
    pushed(other, rb"\* STATUS Shared/bob/INBOX \(MESSAGES 1 ")
    bob.command("CREATE top/below")
    bob.command("SUBSCRIBE top")
    pushed(other, rb'\* LIST \(\\HasNoChildren\) "/" Shared/bob/top/below')
    bob.command("RENAME top tip")
    lines = pushed(other, rb'\* LIST \(\\HasChildren\) "/" Shared/bob/tip \("OLDNAME" \(Shared/bob/top\)\)')
    assert not any(b"Subscribed" in line for line in lines)
    other.command("SUBSCRIBE Shared/bob/tip")  # its own: not told
    third = shared.imap("carol")
    third.command("UNSUBSCRIBE Shared/bob/tip")
    lines = pushed(other, rb'\* LIST \(\\HasChildren\) "/" Shared/bob/tip$')
    lines, _ = alice.command("NOOP")
    assert not any(b"Shared" in line for line in lines)
    for one in (bob, alice, other, third):
        one.close()


def events_of(server):
    """What carol is told at first, and what she hears while bob does one thing of each kind."""
    bob, carol = server.imap("bob"), server.imap("carol")
    said, _ = carol.command("NOTIFY SET STATUS (subtree Shared (MessageNew MessageExpunge FlagChange MailboxName "
                            "MailboxMetadataChange)) (mailboxes Shared/bob/INBOX (MessageNew MessageExpunge))")
    bob.command("CREATE secret")
    bob.append("secret", MESSAGE)
    bob.select("secret")
    bob.command("STORE 1 +FLAGS (\\Seen \\Deleted)")
    bob.command('SETMETADATA secret (/shared/comment "secret")')
    bob.command("EXPUNGE")
    bob.command("RENAME secret hidden")
    bob.command("DELETE hidden")
    time.sleep(2)
    heard, _ = carol.command("NOOP")
    bob.close()
    carol.close()
    return said, heard


@pytest.mark.parametrize("rights,words", [("lr", {"LIST", "METADATA"}), ("li", {"LIST", "METADATA"}), ("riswp", set()), ("l", {"LIST"})])
def test_rights(make, rights, words):
    """Without l nothing is known; l is enough for the name; entries need one of r, s, w, i, p beside it; messages need r, without
    which the mailbox is \\NoAccess."""
    said, heard = events_of(make({"test_mount": f"bob {rights}"}))
    seen, listed, reads = b"\n".join(said), "l" in rights, rights == "lr"
    assert (b"Shared/bob/INBOX" in seen) == listed and (b"\\NoAccess" in seen) == (listed and not reads)
    assert (b"* STATUS Shared/bob/INBOX" in seen) == reads
    assert {line.split()[1].decode() for line in heard} - {"STATUS"} == words, heard
    assert reads or not any(b"STATUS" in line for line in heard)
    assert not words or any(b"Shared/bob/secret" in line or b"hidden" in line for line in heard)


def test_overflow(pair):
    """More names change than are kept for a session that is not told: NOTIFICATIONOVERFLOW, and NOTIFY is over."""
    writer, watcher = pair
    watcher.command("NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))")
    watcher.wire.send(b"x1 APPEND INBOX {%d}\r\n" % len(MESSAGE))
    pushed(watcher, rb"\+")  # a command is under way: nothing is told
    for n in range(66):
        writer.command(f"CREATE t{n}/" + "/".join("x" * 63))
    watcher.wire.send(MESSAGE + b"\r\n")
    lines = pushed(watcher, rb"x1 OK")
    assert any(b"* OK [NOTIFICATIONOVERFLOW] " in line for line in lines) and not any(b"* LIST" in line for line in lines)
    writer.append("INBOX", MESSAGE)
    lines, _ = watcher.command("NOOP")
    assert not lines
    watcher.command(f"NOTIFY SET (personal {MESSAGES})")
    writer.append("INBOX", MESSAGE)
    pushed(watcher, rb"\* STATUS INBOX \(MESSAGES 3 ")
