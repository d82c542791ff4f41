"""NOTIFY bombs (RFC 5465 section 9): too many names, mailboxes and events, and clients that do not read what they asked for."""
import pytest

from .conftest import refusal

MESSAGE = b"Subject: x\r\n\r\nx\r\n"


def test_many_mailboxes(session):
    """10,048 mailboxes, 64 levels by each CREATE: to watch them all is refused, a part of them is not."""
    for tree in range(157):
        session.command(f"CREATE t{tree}/" + "/".join("x" * 63))
    assert "[NOTIFICATIONOVERFLOW]" in refusal(session, "NOTIFY SET STATUS (personal (MessageNew MessageExpunge))")
    assert "[NOTIFICATIONOVERFLOW]" in refusal(session, "NOTIFY SET (selected NONE) (inboxes (MailboxName))")
    lines, _ = session.command("NOTIFY SET STATUS (subtree (t0 t1 t2) (MessageNew MessageExpunge))")
    assert len(lines) == 3 * 64


@pytest.mark.parametrize("groups", [
    "(mailboxes (" + " ".join(f"n{n}" for n in range(1001)) + ") (MessageNew MessageExpunge))",
    " ".join(["(personal NONE)"] * 1001),
    " ".join(f"(subtree (a{n} b{n}) (MailboxName))" for n in range(400)),
], ids=["names", "groups", "both"])
def test_many_names(session, groups):
    assert "[NOTIFICATIONOVERFLOW]" in refusal(session, f"NOTIFY SET {groups}")
    session.command("NOOP")


def test_long_names(target, session):
    """Names of a megabyte, in literals: they are not kept, and the last NOTIFY stays as it was."""
    session.command("NOTIFY SET (mailboxes INBOX (MessageNew MessageExpunge))")
    name = "n" * 30000
    names = " ".join(f"{{{len(name)}+}}\r\n{name}" for _ in range(30))
    for _ in range(20):
        assert "[NOTIFICATIONOVERFLOW]" in refusal(session, f"NOTIFY SET (mailboxes ({names}) (MailboxName))")
    items = " ".join(f"BODY.PEEK[HEADER.FIELDS ({{{len(name)}+}}\r\n{name})]" for _ in range(3))
    assert "[NOTIFICATIONOVERFLOW]" in refusal(session, f"NOTIFY SET (selected (MessageNew ({items}) MessageExpunge))")
    other = target.imap(session.user, timeout=60)
    other.append("INBOX", MESSAGE)
    other.close()
    assert session.wire.line(30).startswith(b"* STATUS INBOX")
    session.command("NOOP")


@pytest.mark.parametrize("text", [
    "NOTIFY SET " + "(" * 5000,
    "NOTIFY SET (mailboxes " + "(" * 100 + "a",
    "NOTIFY SET (selected (MessageNew (" + "BODY[" * 2000,
    "NOTIFY SET (personal (" + "MailboxName " * 5000 + "MailboxName))",
    "NOTIFY SET (personal " + "(MailboxName) " * 100 + ")",
])
def test_odd_grammar(session, text):
    session.wire.send(f"x1 {text}\r\n".encode())
    assert session.wire.line(30).startswith((b"x1 BAD", b"x1 OK"))
    session.command("NOOP")


def test_again_and_again(target, session):
    """A thousand NOTIFYs, each in place of the one before: memory stays, and the last one holds."""
    with target.unharmed():
        for n in range(1000):
            names = " ".join(f"box{n}-{k}" for k in range(100))
            session.command(f"NOTIFY SET (mailboxes ({names}) (MessageNew MessageExpunge FlagChange MailboxName))")
        session.command("NOTIFY NONE")


def test_never_read(target):
    """A client that asks for whole messages of a busy mailbox and reads nothing: what waits for it is bounded, others go on."""
    user = target.fresh_user("mallory")
    writer, deaf = target.imap(user, timeout=120), target.imap(user, timeout=120)
    deaf.select("INBOX")
    deaf.command("NOTIFY SET (selected (MessageNew (uid body.peek[]) MessageExpunge FlagChange)) "
                 "(personal (MessageNew MessageExpunge MailboxName))")
    with target.unharmed():
        writer.append_all("INBOX", [b"Subject: x\r\n\r\n" + b"x" * 70000 + b"\r\n"] * 200)
        for n in range(200):
            writer.command(f"CREATE box{n}")
    deaf.close()
    writer.close()
