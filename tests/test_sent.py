"""The copy in Sent (docs/decisions/0029-sent.md) through the real server: SMTP submits, IMAP appends, kill -9 comes between."""
import os
import re
import signal
import smtplib
import time

import pytest

from lib import client, server as posthorn
from lib.smarthost import Smarthost
from lib.waiting import wait_for as wait
from lib.wire import client_tls

SERVICES = (*posthorn.SERVICES, "submission", "submissions")
ORIGINAL = "From: x@example.org\r\nTo: alice@example.test\r\nSubject: Question {0}\r\nMessage-ID: <q{0}@example.org>\r\nDate: Mon, 2 Jan 2023 10:00:00 +0000\r\n\r\nwhy?\r\n"
REPLY = ("From: alice@example.test\r\nTo: x@example.org\r\n{1}Subject: Re: Question {0}\r\nMessage-ID: <a{0}@example.test>\r\nIn-Reply-To: <q{0}@example.org>\r\n"
         "Date: Mon, 2 Jan 2023 11:00:00 +0000\r\n\r\nbecause\r\n")


@pytest.fixture(name="where", scope="module")
def one_server():
    host = Smarthost()
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["example.test"]}, services=SERVICES)
    yield server
    server.stop()
    host.close()


def connect(where, user="alice"):
    smtp = smtplib.SMTP("127.0.0.1", where.ports["submission"], timeout=60)
    smtp.starttls(context=client_tls())
    smtp.login(user, posthorn.PASSWORD)
    return smtp


def submit(where, text):
    smtp = connect(where)
    smtp.sendmail("alice@example.test", ["x@example.org"], text.encode())
    smtp.quit()


def append(where, mailbox, text, flags=""):
    """The UID that APPENDUID tells."""
    imap = where.imap("alice")
    try:
        return imap.append(mailbox, text.encode(), flags)
    finally:
        imap.close()


def flags_of(value):
    """However the client reads a list."""
    return set(re.findall(r"[\\$\w]+", value.decode() if isinstance(value, bytes) else " ".join(map(str, value)))) - {"\\Recent"}


def look(where, mailbox):
    """UID -> (flags, Message-ID)."""
    imap = where.imap("alice")
    n = imap.select(mailbox)["EXISTS"]
    rows = imap.fetch(f"1:{n}", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])") if n else {}
    imap.close()
    found = {}
    for row in rows.values():
        header = next(v for k, v in row.items() if k.startswith("BODY["))
        found[int(row["UID"])] = (flags_of(row["FLAGS"]), re.search(rb"<(.*?)>", header)[1].decode())
    return found


def test_one_copy(where):
    """Whoever is first, whatever the octets: one copy; what was answered is marked."""
    append(where, "INBOX", ORIGINAL.format(1))
    submit(where, REPLY.format(1, ""))
    (uid, (flags, message_id)), = look(where, "Sent").items()
    assert (flags, message_id) == ({"\\Seen"}, "a1@example.test")
    assert {flags_and_id[1]: flags_and_id[0] for flags_and_id in look(where, "INBOX").values()}["q1@example.org"] == {"\\Answered"}
    assert append(where, "Sent", REPLY.format(1, ""), "\\Flagged") == uid
    assert look(where, "Sent")[uid][0] == {"\\Seen", "\\Flagged"}
    with_bcc = append(where, "Sent", REPLY.format(1, "Bcc: eve@example.org\r\n"))
    assert list(look(where, "Sent")) == [with_bcc] and with_bcc > uid
    append(where, "Sent", REPLY.format(2, ""))
    submit(where, REPLY.format(2, ""))
    assert sorted(row[1] for row in look(where, "Sent").values()) == ["a1@example.test", "a2@example.test"]


def until(imap, what):
    """The lines up to one that has it."""
    lines = [b""]
    while what not in lines[-1]:
        lines.append(imap.wire.line())
    return b"".join(lines).decode()


def test_other_devices(where):
    """Whoever looks at Sent sees the copy at once (IDLE, NOTIFY), and at once that the client's own has taken its place; who comes later hears
    of both by QRESYNC."""
    submit(where, REPLY.format("first", ""))  # so that there is a Sent
    idle, far, later = where.imap("alice"), where.imap("alice"), where.imap("alice")
    later.command("ENABLE QRESYNC")
    n = idle.select("Sent")["EXISTS"]
    text = str(later.command("STATUS Sent (UIDVALIDITY HIGHESTMODSEQ UIDNEXT)"))
    known = {name: re.search(rf"{name} \(?(\d+)", text)[1] for name in ("UIDVALIDITY", "HIGHESTMODSEQ", "UIDNEXT")}
    far.select("INBOX")
    far.command("NOTIFY SET (PERSONAL (MessageNew MessageExpunge))")
    idle.send("IDLE")
    until(idle, b"+")
    submit(where, REPLY.format("seen", ""))
    until(idle, b"* %d EXISTS" % (n + 1))
    told = until(far, b"* STATUS")
    assert "Sent" in told and f"UIDNEXT {int(known['UIDNEXT']) + 1}" in told
    mine = append(where, "Sent", REPLY.format("seen", "Bcc: eve@example.org\r\n"), "\\Seen")
    told = until(idle, b"EXPUNGE") if mine else ""
    told += until(idle, b"EXISTS") if "EXISTS" not in told else ""
    assert f"* {n + 1} EXPUNGE" in told or f"* {n + 2} EXISTS" in told, told
    assert f"UIDNEXT {mine + 1}" in until(far, b"* STATUS")
    changed = str(later.command(f"SELECT Sent (QRESYNC ({known['UIDVALIDITY']} {known['HIGHESTMODSEQ']}))"))
    assert f"VANISHED (EARLIER) {known['UIDNEXT']}" in changed and f"UID {mine}" in changed, changed
    for imap in (idle, far, later):
        imap.close()


def test_for_whom_it_is_off(where):
    posthorn.run_verb("user", "set", "alice", "sent_copy=no", "--data", where.data)
    before = len(look(where, "Sent"))
    submit(where, REPLY.format("off", ""))
    posthorn.run_verb("user", "set", "alice", "sent_copy=default", "--data", where.data)
    assert len(look(where, "Sent")) == before
    submit(where, REPLY.format("on", ""))
    assert len(look(where, "Sent")) == before + 1


def test_kill_at_any_moment(where):
    """kill -9 of mail while copies are filed: copy and mark are both there, or neither, and what was answered 250 is filed. A copy that
    the client appends afterwards, as clients do, is never a second one."""
    answered = set()
    for n in range(10, 22):
        append(where, "INBOX", ORIGINAL.format(n))
        smtp = connect(where)
        smtp.mail("alice@example.test")
        smtp.rcpt("x@example.org")
        smtp.docmd("DATA")
        smtp.sock.sendall(REPLY.format(n, "").encode() + b".\r\n")
        time.sleep(0.002 * (n - 10))
        for pid in where.pids("mail"):
            os.kill(pid, signal.SIGKILL)
        try:
            answered |= {n} if smtp.getreply()[0] == 250 else set()
        except (smtplib.SMTPServerDisconnected, OSError):
            pass
        smtp.close()
        wait(lambda: can_connect(where))
    sent = [row[1] for row in look(where, "Sent").values()]
    marked = {row[1]: "\\Answered" in row[0] for row in look(where, "INBOX").values()}
    for n in range(10, 22):
        copies = sent.count(f"a{n}@example.test")
        assert copies in (0, 1) and marked[f"q{n}@example.org"] == (copies == 1), n
        assert copies == 1 or n not in answered, n
    for n in range(10, 22):
        append(where, "Sent", REPLY.format(n, ""))
    sent = [row[1] for row in look(where, "Sent").values()]
    assert [sent.count(f"a{n}@example.test") for n in range(10, 22)] == [1] * 12


def can_connect(where):
    try:
        where.imap("alice").close()
        connect(where).quit()
        return True
    except (OSError, EOFError, smtplib.SMTPException, client.Refused):
        return False
