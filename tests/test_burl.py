"""BURL (RFC 4468): mail sent by the URL of a message that lies here, as clients of the Lemonade profile do (RFC 5550). What is on no other
server is fetched from none, and nobody sends what they may not read."""
import re
import time

import pytest

from lib import client, server as posthorn
from lib.scram import b64
from lib.smarthost import Smarthost
from lib.waiting import wait_for as wait
from test_submission import Sender, Talk, arrived

DRAFT = "From: Alice <alice@example.test>\r\nTo: x@example.org\r\nMessage-ID: <{0}@example.test>\r\nSubject: {0}\r\n\r\nbody of {0}\r\n"
WAITING = "250 2.5.0"


@pytest.fixture(name="host", scope="module")
def one_host():
    host = Smarthost(offers=("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN"))
    yield host
    host.close()


@pytest.fixture(name="sender", scope="module")
def one_sender(host):
    server = Sender(host, message_size_max="200K")
    yield server
    server.stop()


@pytest.fixture(name="talk")
def one_talk(sender):
    talk = Talk(sender.ports["submission"])
    yield talk
    talk.close()


@pytest.fixture(name="imap")
def one_imap(sender):
    imap = sender.imap()
    yield imap
    imap.close()


def said(imap, command, data=None):
    untagged, tagged = imap.command(command, data)
    return b"".join([*untagged, tagged]).decode()


def append(imap, text, mailbox="Drafts"):
    """The UID."""
    return str(imap.append(mailbox, text.encode()))


def found(imap, keys):
    return re.search(r"\* SEARCH([ \d]*)", said(imap, f"UID SEARCH {keys}"))[1].split()


def url(uid, mailbox="Drafts", rest="", user="alice@", host="localhost"):
    return f"imap://{user}{host}/{mailbox}/;UID={uid}{rest}"


def signed(imap, uid, access="submit+alice", rest="", **where):
    rump = f"{url(uid, rest=rest, **where)};URLAUTH={access}"
    return re.search(r"imap://\S+:internal:[0-9a-f]+", said(imap, f'GENURLAUTH "{rump}" INTERNAL'))[0]


def again(talk):
    """The transaction is over."""
    assert talk.ask("RCPT TO:<x@example.org>").startswith("503"), talk.lines
    assert talk.ask("NOOP").startswith("250"), talk.lines


# ---- what is offered ----

def test_capability(sender, talk):
    """Section 3.1: before and after AUTH."""
    stranger = Talk(sender.ports["submission"], user=None)
    stranger.ask("EHLO x")
    assert "250-BURL imap" in stranger.lines
    assert stranger.ask("BURL imap://localhost/INBOX/;UID=1 LAST").startswith("530 5.7.0")
    stranger.close()
    talk.ask("EHLO x")
    assert "250-BURL imap imap://localhost" in talk.lines and "250-8BITMIME" in talk.lines


# ---- the Lemonade profile ----

def test_forward_without_download(sender, host, talk, imap):
    """RFC 5550 section 8.4.1: the message is put together in Sent by CATENATE, authorised and submitted; its copy there stays the only one."""
    original = append(imap, DRAFT.format("original"), "INBOX")
    head = "From: alice@example.test\r\nMessage-ID: <lemonade@example.test>\r\nSubject: lemonade\r\n\r\nSee:\r\n"
    answer = said(imap, f'APPEND Sent (\\Seen) CATENATE (TEXT {{{len(head)}+}}\r\n{head} URL "/INBOX/;UID={original}/;SECTION=TEXT")')
    uid = re.search(r"APPENDUID \d+ (\d+)", answer)[1]
    ticket = signed(imap, uid, mailbox="Sent", rest=f";EXPIRE={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 3600))}")
    talk.send(f"MAIL FROM:<alice@example.test>\r\nRCPT TO:<x@example.org>\r\nBURL {ticket} LAST\r\n")
    assert [talk.answer()[:3] for _ in range(3)] == ["250"] * 3, talk.lines
    assert arrived(host, "lemonade")["text"].endswith(b"\r\n\r\nSee:\r\nbody of original\r\n")
    said(imap, "SELECT Sent")
    assert found(imap, "HEADER Message-ID lemonade@example.test") == [uid]
    again(talk)


def test_draft_is_filed(sender, host, talk, imap):
    """A draft that is sent by its URL is in Sent once, marked as what it answers; the draft stays."""
    append(imap, DRAFT.format("asked"), "INBOX")
    draft = append(imap, "In-Reply-To: <asked@example.test>\r\n" + DRAFT.format("answer").replace("Subject: answer", "Subject: Re: asked"))
    talk.begin()
    assert talk.ask(f"burl {signed(imap, draft)} last").startswith("250 2.0.0 Queued as")
    arrived(host, "Re: asked")
    said(imap, "SELECT Sent")
    assert len(found(imap, "HEADER Message-ID answer@example.test")) == 1
    said(imap, "SELECT INBOX")
    assert len(found(imap, "ANSWERED HEADER Message-ID asked@example.test")) == 1
    assert "urls=1" in sender.stderr()


def test_pieces(host, talk, imap):
    """RFC 5550 section 8.4.2: chunks and URLs in turns, pipelined; sections and ranges, with the octets that FETCH tells."""
    picture = "From: bob@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n" \
        "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naVZCT1J3MEtHZ28=\r\n--b--\r\n"
    uid = append(imap, picture, "INBOX")
    head = b"From: alice@example.test\r\nSubject: pieces\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nlook\r\n--x\r\n"
    tail = b"\r\n--x--\r\n"
    mime, body = (signed(imap, uid, mailbox="INBOX", rest=f"/;SECTION=2{part}") for part in (".MIME", ""))
    some = url(uid, "INBOX", "/;SECTION=2/;PARTIAL=0.4")
    talk.send(b"MAIL FROM:<alice@example.test> BODY=BINARYMIME\r\nRCPT TO:<x@example.org>\r\nBDAT %d\r\n%sBURL %s\r\nBURL %s\r\nBURL %s\r\nBDAT %d LAST\r\n%s" % (
        len(head), head, mime.encode(), body.encode(), some.encode(), len(tail), tail))
    answers = [talk.answer() for _ in range(7)]
    assert [a[:3] for a in answers] == ["250"] * 7 and [a[:9] for a in answers].count(WAITING) == 3, answers
    assert arrived(host, "pieces")["text"].endswith(
        head[-18:] + b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naVZCT1J3MEtHZ28=aVZC" + tail)


def test_header_by_url(host, talk, imap):
    """The header that is judged may come in pieces of any kind; also nothing but a header."""
    uid = append(imap, DRAFT.format("header"))
    talk.begin()
    assert talk.ask(f"BURL {url(uid, rest='/;SECTION=HEADER', user='')}").startswith(WAITING)
    talk.send(b"BDAT 6 LAST\r\nmore\r\n")
    assert talk.answer().startswith("250 2.0.0")
    assert arrived(host, "header")["text"].endswith(b"\r\n\r\nmore\r\n")


def test_shared_mailbox(sender, host, imap):
    """What somebody may read they may send: by their own URL, and by the ticket of its owner."""
    uid = append(imap, DRAFT.format("shared").replace("Alice <alice@", "Bob <bob@"), "INBOX")
    said(imap, "SETACL INBOX bob lr")
    try:
        bob = Talk(sender.ports["submission"], user="bob")
        name, reader = "Shared/alice/INBOX", sender.imap("bob")
        wait(lambda: name in said(reader, 'LIST "" "Shared/*"'))
        reader.close()
        bob.begin(sender="bob@example.test")
        assert bob.ask(f"BURL imap://bob@localhost/{name}/;UID={uid} LAST").startswith("250 2.0.0"), bob.lines
        bob.begin(sender="bob@example.test")
        assert bob.ask(f"BURL {signed(imap, uid, 'submit+bob', mailbox='INBOX')} LAST").startswith("250 2.0.0"), bob.lines
    finally:
        said(imap, "DELETEACL INBOX bob")
    wait(lambda: host.subjects().count("shared") == 2)
    bob.begin(sender="bob@example.test")
    assert bob.ask(f"BURL imap://bob@localhost/{name}/;UID={uid} LAST").startswith("554 5.6.6")
    bob.close()


# ---- what is refused ----

def test_state(talk):
    line = "BURL imap://alice@localhost/Drafts/;UID=1 LAST"
    assert talk.ask(line).startswith("503 5.5.1")
    assert talk.ask("MAIL FROM:<alice@example.test>").startswith("250")
    assert talk.ask(line).startswith("554 5.5.0")  # section 6
    again(talk)


@pytest.mark.parametrize("rest,want", [
    ("", "501 5.5.4"), (" ", "501 5.5.4"), (" {url} FIRST", "501 5.5.4"), (" {url} LAST LAST", "501 5.5.4"), (" /Drafts/;UID={uid} LAST", "501 5.5.4"),
    (" ;UID={uid}", "501 5.5.4"), (" http://localhost/", "501 5.5.4"), (" imap://alice@localhost/ LAST", "501 5.5.4"), (" imap://alice@localhost/Drafts LAST", "501 5.5.4"),
    (" imap://alice@localhost/Drafts/;UID=0 LAST", "501 5.5.4"), (" imap://alice@localhost/Drafts/;UID=%00 LAST", "501 5.5.4"),
    (" imap://alice@169.254.169.254/latest/;UID=1 LAST", "554 5.7.14"), (" imap://alice@localhost:25/Drafts/;UID={uid} LAST", "554 5.7.14"),
    (" imap://[::1]/Drafts/;UID={uid} LAST", "554 5.7.14"), (" imap://alice@imap.example.org/Drafts/;UID=1;URLAUTH=submit+alice:internal:{zeros} LAST", "554 5.7.14"),
    (" imap://bob@localhost/INBOX/;UID=1 LAST", "554 5.6.6"), (" imap://nobody@localhost/INBOX/;UID=1 LAST", "554 5.6.6"),
    (" imap://alice@localhost/Nowhere/;UID=1 LAST", "554 5.6.6"), (" imap://alice@localhost/Drafts/;UID=4000000000 LAST", "554 5.6.6"),
    (" {url}/;SECTION=9 LAST", "554 5.6.6"), (" imap://alice@localhost/Drafts;UIDVALIDITY=1/;UID={uid} LAST", "554 5.6.6"),
    (" {url};URLAUTH=submit+alice:internal:{zeros} LAST", "554 5.6.6"), (" {url};URLAUTH=submit+alice LAST", "554 5.6.6"),
    (" {url};URLAUTH=submit+bob:internal:{zeros} LAST", "554 5.7.0"), (" {url};URLAUTH=user+bob:internal:{zeros} LAST", "554 5.6.6"),
    (" {url};EXPIRE=2001-01-01T00:00:00Z;URLAUTH=submit+alice:internal:{zeros} LAST", "554 5.6.6"),
    (" {url};URLAUTH=submit+alice:other:{zeros} LAST", "554 5.6.6"), (" imap://localhost/;UID=1 LAST", "501 5.5.4"),
    (" imap://localhost/Nowhere/;UID=1 LAST", "554 5.6.6")])
def test_refused(talk, imap, host, rest, want):
    """And what was pipelined behind it sends nothing (section 3.2)."""
    uid = append(imap, DRAFT.format("refused"))
    line = "BURL" + rest.replace("{url}", url(uid)).replace("{uid}", uid).replace("{zeros}", "01" + "0" * 64)
    talk.send(f"MAIL FROM:<alice@example.test>\r\nRCPT TO:<x@example.org>\r\n{line}\r\nBDAT 17 LAST\r\nSubject: refused\nNOOP\r\n")
    answers = [talk.answer() for _ in range(5)]
    assert answers[2].startswith(want) and answers[3].startswith("503") and answers[4].startswith("250"), answers
    assert "refused" not in host.subjects()


def test_tickets(sender, talk, imap):
    """Who may use a ticket, and for how long (RFC 4467 section 3, RFC 4468 section 3.3)."""
    uid = append(imap, DRAFT.format("ticket"))
    for access, want in (("submit+alice", "250 2.0.0"), ("submit+ALICE", "250 2.0.0"), ("user+alice", "250 2.0.0"), ("authuser", "250 2.0.0"), ("anonymous", "250 2.0.0"),
                         ("submit+bob", "554 5.7.0"), ("user+bob", "554 5.6.6"), ("submit+nobody", "554 5.7.0")):
        talk.begin()
        assert talk.ask(f"BURL {signed(imap, uid, access)} LAST").startswith(want), (access, talk.lines)
    good = signed(imap, uid)
    for bad in (good[:-1] + ("0" if good[-1] != "0" else "1"), good.replace(f"UID={uid}", f"UID={int(uid) + 1}"), good[:-1], good + "0"):
        talk.begin()
        assert talk.ask(f"BURL {bad} LAST").startswith("554 5.6.6"), bad
    short = signed(imap, uid, rest=f";EXPIRE={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 60))}")
    talk.begin()
    assert talk.ask(f"BURL {short} LAST").startswith("554 5.6.6")
    said(imap, "RESETKEY Drafts")
    talk.begin()
    assert talk.ask(f"BURL {good} LAST").startswith("554 5.6.6")
    fresh = signed(imap, uid)
    said(imap, "SELECT Drafts")
    said(imap, f"UID STORE {uid} +FLAGS (\\Deleted)")
    said(imap, "EXPUNGE")
    talk.begin()
    assert talk.ask(f"BURL {fresh} LAST").startswith("554 5.6.6")
    again(talk)


def test_password_for_submission_alone(sender, imap):
    """It is no way to read mail: only what IMAP has authorised goes."""
    uid = append(imap, DRAFT.format("device"), "INBOX")
    done = posthorn.run_verb("user", "password", "add", "alice", "printer", "--protocol", "submission", "--data", sender.data).decode()
    secret = re.search(r"\b(?:[a-z0-9]{4,}-){2,}[a-z0-9]{4,}\b", done)[0]
    talk = Talk(sender.ports["submission"], user=None)
    talk.ask("EHLO x")
    assert talk.ask("AUTH PLAIN " + b64(f"\0alice\0{secret}".encode())).startswith("235")
    talk.ask("EHLO x")
    assert "250-BURL imap" in talk.lines
    talk.begin()
    assert talk.ask(f"BURL {url(uid, 'INBOX')} LAST").startswith("554 5.7.0")
    talk.begin()
    assert talk.ask(f"BURL {signed(imap, uid, mailbox='INBOX')} LAST").startswith("250 2.0.0")
    talk.close()


def test_texts(talk, imap, host):
    """What comes by a URL is judged as what comes by DATA."""
    for text, want in ((DRAFT.format("lines").replace("body", "bo\ndy"), "554 5.6.0"), (DRAFT.format("stranger").replace("alice@", "bob@"), "550 5.7.1"),
                       ("From: alice@example.test\r\nFrom: bob@example.test\r\n\r\nx\r\n", "554 5.6.0"), ("X: " + "x" * 150000 + "\r\n" + DRAFT.format("wide"), "250 2.0.0")):
        uid = append(imap, text)
        talk.begin()
        assert talk.ask(f"BURL {url(uid)} LAST").startswith(want), talk.lines
    uid = append(imap, DRAFT.format("eight") + "\xe4\r\n")
    talk.begin(params=" BODY=8BITMIME")
    assert talk.ask(f"BURL {url(uid)} LAST").startswith("250 2.0.0")
    assert arrived(host, "eight")["text"].endswith("\xe4\r\n".encode())


def test_sizes(talk, imap, host):
    """RFC 5550 section 4.4: the sum counts, and what does not fit costs the mail and not the session."""
    uid = append(imap, DRAFT.format("large") + "x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 1300)
    assert 90000 < len(DRAFT.format("large")) + 72 * 1301 < 100000
    for pieces, want in ((2, "250 2.0.0"), (3, "552 5.3.4")):
        talk.begin()
        answers = [talk.ask(f"BURL {url(uid)}{' LAST' if n == pieces - 1 else ''}")[:9] for n in range(pieces)]
        assert answers == [WAITING] * (pieces - 1) + [want], answers
    again(talk)
    assert host.subjects().count("large") <= 1


def test_the_longest_url(talk, imap, host):
    """Every URL that GENURLAUTH gives BURL takes; what would be longer with its token GENURLAUTH refuses."""
    uid = append(imap, DRAFT.format("longest"))
    whole = signed(imap, uid)
    rest = "/;SECTION=HEADER.FIELDS%20(Subject{})"
    room = 8192 - len(signed(imap, uid, rest=rest.format("%20X")))
    assert room > 7500
    ticket = signed(imap, uid, rest=rest.format("%20X" + "y" * room))
    assert len(ticket) == 8192
    rump = f"{url(uid, rest=rest.format('%20X' + 'y' * (room + 1)))};URLAUTH=submit+alice"
    with pytest.raises(client.Refused, match=r"NO \[LIMIT\]"):
        said(imap, f'GENURLAUTH "{rump}" INTERNAL')
    talk.begin()
    assert talk.ask(f"BURL {ticket[:-8]}{'0' * 8} LAST").startswith("554 5.6.6")
    again(talk)
    talk.begin()
    assert talk.ask(f"BURL {whole}").startswith(WAITING)
    assert talk.ask(f"BURL {ticket}").startswith(WAITING) and talk.ask(f"BURL {ticket} LAST").startswith("250 2.0.0")
    wait(lambda: "longest" in host.subjects())
    talk.begin()
    assert talk.ask(f"BURL {ticket}x LAST").startswith("500 5.5.2")
    assert talk.ask("RSET").startswith("250") and talk.ask("NOOP " + "x" * 4100).startswith("500 5.5.2")


def test_too_many(talk, imap):
    uid = append(imap, DRAFT.format("many"))
    talk.begin()
    talk.send(f"BURL {url(uid, rest='/;SECTION=TEXT/;PARTIAL=0.1')}\r\n" * 1001)
    answers = [talk.answer()[:9] for _ in range(1001)]
    assert answers == [WAITING] * 1000 + ["452 4.5.3"]
    again(talk)


def test_fails_at_once(talk, imap):
    """After a piece that is not taken nothing is fetched, and the mail is over."""
    uid = append(imap, DRAFT.format("late"))
    talk.begin()
    talk.send(b"BDAT 6\r\nX: a\nb")
    assert talk.answer().startswith("250")
    assert talk.ask(f"BURL {url(uid)}").startswith("554 5.6.0")
    again(talk)
    talk.begin()
    assert talk.ask(f"BURL {url(uid)}").startswith(WAITING)
    assert talk.ask("DATA").startswith("503") and talk.ask("RCPT TO:<y@example.org>").startswith("503")
    assert talk.ask("RSET").startswith("250")
    again(talk)


def test_rawlog_hides_tickets(sender, talk, imap):
    uid = append(imap, DRAFT.format("rawlog"))
    ticket = signed(imap, uid)
    posthorn.run_verb("rawlog", "alice", "on", "--data", sender.data)
    talk.begin()
    assert talk.ask(f"BURL {ticket} LAST").startswith("250")
    talk.ask("QUIT")
    posthorn.run_verb("rawlog", "alice", "off", "--data", sender.data)
    told = wait(lambda: [t for t in (p.read_bytes() for p in (sender.data / "rawlog").iterdir()) if b"BURL" in t and b"221" in t])[0]
    assert b"URLAUTH=submit+alice:internal:[hidden] LAST\r\n" in told
    assert ticket[-20:] not in told.decode(errors="replace") and ticket[-20:] not in sender.stderr()
