"""Mail that goes out: the queue, the role relay, SMTP with smarthosts good and bad, reports, `posthorn queue`."""
import email
import email.utils
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time

import pytest

from lib import long, server as posthorn
from lib.peers import make_certificate
from lib.smarthost import Smarthost
from lib.waiting import wait_for

TEXT = "From: alice@example.test\nTo: x@example.org\nSubject: {}\n\n.dots\n..\n.\nbody\n"


class Sender(posthorn.Server):
    """A server that sends through this smarthost."""

    def __init__(self, host, **settings):
        super().__init__({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "relay_delay_report": "0s",
                          "test_relay_retry_ms": 200, "local_domains": ["example.test"], **settings})

    def verb(self, *words, stdin=b""):
        out = posthorn.run_verb("--json", "queue", *words, "--data", self.data, stdin=stdin)
        return [json.loads(line) for line in out.decode().splitlines()]

    def add(self, subject="one", to=("x@example.org",), sender="alice@example.test", text=None, **options):
        text = TEXT.format(subject).encode() if text is None else text
        words = [f"{name}={value}" for name, value in options.items()]
        return self.verb("add", sender, *to, *words, "-", stdin=text)[0]["id"]

    def count(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.verb("count")[0]
            except RuntimeError as error:  # the role was killed, and is not back yet
                if "UNAVAILABLE" not in str(error) or time.monotonic() > deadline:
                    raise

    def is_empty(self):
        return self.count()["mails"] == 0

    def wait_empty(self, seconds=60):
        wait_for(self.is_empty, seconds=seconds)

    def files(self):
        return sorted(p.name for p in (self.data / "queue").iterdir())


@pytest.fixture(name="host")
def one_host():
    host = Smarthost()
    yield host
    host.close()


@pytest.fixture(name="sender")
def one_sender(host):
    server = Sender(host)
    yield server
    server.stop()


def test_a_mail_goes_out(host, sender):
    first = sender.add("first", to=["x@example.org", "y@example.org"], notify="success,failure", ret="hdrs", envid="a+b=c")
    sender.wait_empty()
    assert host.subjects() == ["first"] and sender.files() == []
    mail = host.mails[0]
    assert mail["from"] == "alice@example.test" and mail["to"] == ["x@example.org", "y@example.org"]
    assert mail["text"] == TEXT.format("first").replace("\n", "\r\n").encode()
    assert mail["mail"] == f"MAIL FROM:<alice@example.test> SIZE={len(mail['text'])} RET=HDRS ENVID=a+2Bb+3Dc"
    assert mail["rcpt"][0] == "RCPT TO:<x@example.org> NOTIFY=SUCCESS,FAILURE"
    for n in range(5):
        sender.add(f"more {n}", sender="<>")
    sender.wait_empty()
    assert sorted(host.subjects()) == ["first", *(f"more {n}" for n in range(5))]
    assert host.connections < 5  # they are used again
    assert first in sender.stderr() and sender.count()["sent"] == 7


def test_nothing_smuggles(host, sender):
    """Whatever a text has for line ends, the smarthost sees CRLF only, and one end."""
    ends = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r\n.\r\n", b"\n.\r", b"\r\r\n.\r\r\n", b"\x00\r\n.\r\n"]
    for n, end in enumerate(ends):
        sender.add(text=b"Subject: %d\r\n\r\nbefore" % n + end + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<v@example.org>\r\nDATA\r\n" + end)
    sender.wait_empty()
    assert len(host.mails) == len(ends) and len(host.raw) == len(ends)
    for raw in host.raw:
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\r\n\.\r\n", raw), raw
    assert {mail["from"] for mail in host.mails} == {"alice@example.test"}


@pytest.mark.parametrize("address", ["a@b\r\nRSET", "a@b> NOTIFY=NEVER", "a@b>", "<a@b>", "a b@c", "@x:a@b", "nobody", "", "a@", "a@b\0c", "x" * 1100 + "@b.c",
                                     "a@b c", "a\x7f@b"])
def test_hostile_addresses(sender, address):
    if "\0" in address:
        address = address.replace("\0", "\x01")
    with pytest.raises(RuntimeError):
        sender.add(to=[address if "@" in address else address + "x"] if address else [""])
    with pytest.raises(RuntimeError):
        sender.add(sender=address or "x")
    assert sender.is_empty()


def both(sender, *words):
    """A verb's plain lines and its rows; each value stands in both."""
    plain = posthorn.run_verb("queue", *words, "--data", sender.data).decode().splitlines()
    rows = sender.verb(*words)
    assert len(plain) == len(rows)
    for line, row in zip(plain, rows):
        assert all(str(value) in line for name, value in row.items() if name not in ("type", "next", "age", "tries", "deferred")), (line, row)
    return rows


def test_verbs(host, sender):
    """The verbs in both forms:
    --json: queue add
    --json: queue list
    --json: queue show
    --json: queue count
    --json: queue retry
    --json: queue hold
    --json: queue release
    --json: queue delete
    """
    host.answers["RCPT"] = lambda session, line: "451 4.7.1 greylisted"
    assert both(sender, "list") == []
    one = sender.add("one", sender="alice@example.test")
    wait_for(lambda: sender.count()["deferred"], seconds=60)
    assert both(sender, "hold", one) == [{"type": "held", "id": one}]
    assert [(r["id"], r["state"], r["from"], r["why"], r["waiting"], r["recipients"]) for r in both(sender, "list")] == [
        (one, "held", "alice@example.test", "verb", 1, 1)]
    shown = both(sender, "show", one)
    assert shown[1] == {"type": "recipient", "address": "x@example.org", "state": "waiting", "code": 451, "status": "4.7.1", "reply": "4.7.1 greylisted"}
    host.answers.clear()
    later = sender.add("later", hold="1h")
    assert next(r for r in both(sender, "list") if r["id"] == later)["state"] == "scheduled"
    assert both(sender, "count")[0]["held"] == 1 and host.mails == []
    assert sender.verb("release", one)[0]["type"] == "retried"
    wait_for(host.subjects, seconds=60)
    assert host.subjects() == ["one"]
    assert sender.verb("retry", "all") == [{"type": "retried", "id": later}]
    sender.wait_empty()
    assert host.subjects() == ["one", "later"]
    gone = sender.add("gone", hold="1h")
    assert sender.verb("delete", gone) == [{"type": "deleted", "id": gone}]
    assert sender.is_empty() and sender.files() == []
    for words in (("show", gone), ("retry", "xyz"), ("hold", "f" * 16)):
        with pytest.raises(RuntimeError):
            sender.verb(*words)
    for option, value, words in (("ret", "ful", "ret=full or ret=hdrs"), ("hold", "9223372036854775807s", "a time: "), ("by", "100000000000000d", "a time: ")):
        with pytest.raises(RuntimeError, match=words):
            sender.add("odd", **{option: value})
    assert re.search(rf"verb: queue hold {one}.*uid=", sender.stderr())  # the audit line


# ---- reports ----

def reports(sender, user, count):
    """The mails in a user's INBOX, once there are so many."""
    def look():
        imap = sender.imap(user)
        try:
            if imap.select("INBOX")["EXISTS"] < count:
                return None
            rows = imap.fetch(f"1:{count}", "(BODY.PEEK[])")
            return [email.message_from_bytes(rows[n]["BODY[]"]) for n in sorted(rows)]
        finally:
            imap.close()
    return wait_for(look, seconds=60)


def fields(report):
    """Of the delivery status: the fields of the message, and of each recipient."""
    status = report.get_payload()[1]
    parts = status.get_payload()
    if status.get_content_type() == "message/global-delivery-status":  # which this library does not know
        parts = [email.message_from_string(text) for text in re.split(r"\r?\n\r?\n", parts[0].as_string().strip())]
    return [dict(part.items()) for part in parts]


def test_a_report_comes_back(host, sender):
    """RFC 3464: what failed is told to a user here in INBOX, to others through the smarthost; nothing of what is from <>."""
    host.answers["RCPT"] = lambda session, line: "550 5.1.1 no such user\x07 <x>" if "<bad" in line else None
    sender.add("half", to=["good@example.org", "bad@example.org"], envid="env-1", notify="failure")
    report, = reports(sender, "alice", 1)
    sender.wait_empty()
    assert (report["Return-Path"], report["To"], report["Auto-Submitted"]) == ("<>", "<alice@example.test>", "auto-replied")
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    whole, bad = fields(report)
    assert whole["Original-Envelope-Id"] == "env-1" and whole["Reporting-MTA"] == "dns;localhost"
    assert (bad["Final-Recipient"], bad["Action"], bad["Status"]) == ("rfc822;bad@example.org", "failed", "5.1.1")
    assert bad["Diagnostic-Code"] == "smtp;550 5.1.1 no such user? <x>"
    assert report.get_payload()[2].get_payload()[0]["Subject"] == "half"
    assert host.subjects() == ["half"] and host.mails[0]["to"] == ["good@example.org"]
    sender.add("hdrs", to=["bad2@example.org"], ret="hdrs", sender="carol@elsewhere.test")
    wait_for(lambda: len(host.mails) == 2, seconds=60)
    told = host.mails[1]
    assert (told["from"], told["to"]) == ("", ["carol@elsewhere.test"])
    last = email.message_from_bytes(told["text"]).get_payload()[2]
    assert last.get_content_type() == "text/rfc822-headers" and "dots" not in last.get_payload()
    for options in ({"sender": "<>"}, {"notify": "never"}, {"notify": "delay,success"}):
        sender.add("silent", to=["bad3@example.org"], **options)
    sender.wait_empty()
    assert len(host.mails) == 2 and len(reports(sender, "alice", 1)) == 1
    assert sender.count()["reports"] == 2


def test_no_report_about_a_report(host, sender):
    """A report that nobody takes ends there."""
    host.answers["RCPT"] = lambda session, line: "550 5.7.1 nobody"
    sender.add("lost", sender="carol@elsewhere.test")
    wait_for(lambda: sender.count()["failed"] == 2, seconds=60)
    sender.wait_empty()
    assert sender.count()["reports"] == 1 and host.mails == []


def test_late_and_expired(tmp_path):
    """RFC 3461 section 5.2.5: a sender here is told, though the smarthost is what does not work."""
    host = Smarthost()
    host.close()
    sender = Sender(host, relay_delay_report="1s", relay_expire="3s")
    try:
        sender.add("late", ret="hdrs")
        late, expired = reports(sender, "alice", 2)
        assert (fields(late)[1]["Action"], fields(late)[1]["Status"][:2]) == ("delayed", "4.") and "Will-Retry-Until" in fields(late)[1]
        assert (fields(expired)[1]["Action"], fields(expired)[1]["Status"]) == ("failed", "4.4.7")
        sender.wait_empty()
        # RFC 2852 section 4.1.3
        sender.add("by", **{"return": "1s"})
        by = reports(sender, "alice", 3)[2]
        if fields(by)[1]["Action"] == "delayed":  # it was late first
            by = reports(sender, "alice", 4)[3]
        assert (fields(by)[1]["Action"], fields(by)[1]["Status"]) == ("failed", "5.4.7") and "Deliver-By-Date" in fields(by)[0]
    finally:
        sender.stop()


SIGNED = """Subject: signed
MIME-Version: 1.0
Content-Type: multipart/signed; boundary=b; protocol="application/pgp-signature"

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße
--b
Content-Type: application/pgp-signature

xyz
--b--
"""


def leaves(text):
    """What a reader gets: type and decoded octets of each leaf, lines ending with LF, and all fields but those of the encoding."""
    message = email.message_from_bytes(text.replace(b"\r\n", b"\n"))
    found = []
    for part in message.walk():
        fields = [(k, v) for k, v in part.items() if k.lower() not in ("content-transfer-encoding", "mime-version")]
        payload = None if part.is_multipart() else part.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip(b"\n")
        found.append((fields, payload))
    return found


def test_mail_is_recoded():
    """A smarthost without 8BITMIME (RFC 6152 section 3) is sent lines of ASCII that say the same; what cannot be said so comes back."""
    host = Smarthost(offers=("PIPELINING", "SIZE"))
    sender = Sender(host)
    plain = "Subject: {}\nMIME-Version: 1.0\nContent-Type: text/{}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}\n"
    texts = {
        "plain": plain.format("plain", "plain", "Ein Gruß aus der Küche.\n.\nFrom here\n-- \nann"),
        "russian": plain.format("russian", "plain", "Съешь же ещё этих мягких французских булок"),
        "long": plain.format("long", "html", "<p>ä" + "word " * 60000 + "</p>"),
        "mixed": "Subject: mixed\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_b\"\nContent-Transfer-Encoding: 8bit\n\n--=_b\n"
                 "Content-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\n\nÄpfel in ASCII-Umgebung\n\n--c\n"
                 "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=84\n\n--c--\n\n--=_b\n"
                 "Content-Type: message/rfc822\n\nSubject: inner\n\n\n--=_b\nContent-Type: image/png\nContent-Transfer-Encoding: 8bit\n\nä\n--=_b--\n",
    }
    try:
        for text in texts.values():
            sender.add(text=text.encode())
        sender.add("ascii")
        sender.wait_empty()
        got = {mail["text"].split(b"Subject: ")[1].split(b"\r\n")[0].decode(): mail for mail in host.mails}
        assert sorted(got) == sorted([*texts, "ascii"])
        for subject, text in texts.items():
            sent = got[subject]["text"]
            assert sent.isascii() and max(map(len, sent.split(b"\r\n"))) <= 998 and "BODY=" not in got[subject]["mail"]
            assert f" SIZE={len(sent)}" in got[subject]["mail"]
            assert leaves(sent) == leaves(text.encode()), subject
        assert b"quoted-printable" in got["plain"]["text"] and b"base64" in got["russian"]["text"]
        assert leaves(got["plain"]["text"])[0][1].decode().startswith("Ein Gruß")
        sender.add(text=SIGNED.encode())
        sender.add(text="Subject: Grüße\n\nx\n".encode())
        words = [fields(report)[1]["Diagnostic-Code"] for report in reports(sender, "alice", 2)]
        assert any("signed as it is" in w for w in words) and any("header has octets beyond" in w for w in words)
        host.offers.append("8BITMIME")
        host.drop()
        sender.add(text=SIGNED.encode())
        sender.wait_empty()
        assert host.mails[-1]["text"] == SIGNED.replace("\n", "\r\n").encode() and host.mails[-1]["mail"].endswith(" BODY=8BITMIME")
        assert len(host.mails) == len(texts) + 2 and [n for n in sender.files() if not n.endswith(".mail")] == []
    finally:
        sender.stop()
        host.close()


BINARY = b"Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256)) * 40 + b"\r\n.\r\nend"


def test_binary_mail():
    """BODY=BINARYMIME and BDAT (RFC 3030) where the smarthost has both; else base64."""
    host = Smarthost(offers=("PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "BINARYMIME"))
    sender = Sender(host)
    try:
        sender.add(text=BINARY, body="binary")
        sender.wait_empty()
        assert host.mails[0]["text"] == BINARY and host.mails[0]["mail"] == f"MAIL FROM:<alice@example.test> SIZE={len(BINARY)} BODY=BINARYMIME"
        assert f"BDAT {len(BINARY)} LAST" in host.commands and "DATA" not in host.commands
        sender.add("lines", body="binary")  # it only says so
        sender.wait_empty()
        host.answers["RCPT"] = lambda session, line: "550 5.1.1 no" if "gone" in line else None
        sender.add(text=BINARY, body="binary", to=["gone@example.org", "x@example.org"])
        sender.add(text=BINARY, body="binary", to=["gone@example.org"])
        reports(sender, "alice", 2)
        assert host.mails[2]["to"] == ["x@example.org"] and len(host.mails) == 3
        host.answers["TEXT"] = lambda session, line: "554 5.6.0 no" if line.startswith("BDAT") else None
        sender.add(text=BINARY, body="binary")
        reports(sender, "alice", 3)
        host.answers.clear()
        for lacking in ("BINARYMIME", "CHUNKING", "8BITMIME"):
            host.offers.remove(lacking)
            host.drop()
            sender.add(text=BINARY, body="binary")
            sender.wait_empty()
            mail = host.mails[-1]
            message = email.message_from_bytes(mail["text"])
            assert message["Content-Transfer-Encoding"] == "base64" and "BODY=" not in mail["mail"], lacking
            assert message.get_payload(decode=True) == BINARY.split(b"\r\n\r\n", 1)[1]
    finally:
        sender.stop()
        host.close()


def test_smtputf8_only_where_needed(host, sender):
    """RFC 6531 section 3.4: what the client said of a text of ASCII is not asked for; without SMTPUTF8 the header is looked at."""
    sender.add("ascii", body="utf8")
    sender.add(text="Subject: ä\n\nx\n".encode(), body="utf8")
    sender.wait_empty()
    assert [" SMTPUTF8" in mail["mail"] for mail in sorted(host.mails, key=lambda mail: mail["text"].isascii())] == [True, False]
    host.offers.remove("SMTPUTF8")
    host.drop()
    sender.add(text="Subject: body\n\nä\n".encode(), body="utf8")
    sender.wait_empty()
    assert host.subjects()[2] == "body" and " SMTPUTF8" not in host.mails[2]["mail"]
    sender.add(text="Subject: part\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Description: ä\n\nx\n--b--\n".encode(), body="utf8")
    assert fields(reports(sender, "alice", 1)[0])[1]["Status"] == "5.6.7"


def test_one_address_needs_smtputf8(host, sender):
    """Who has an address of ASCII gets the mail, whoever else it is for."""
    host.offers.remove("SMTPUTF8")
    sender.add("mixed", to=["jürgen@example.org", "x@example.org", "jörg@example.org", "y@example.org"])
    report, = reports(sender, "alice", 1)
    sender.wait_empty()
    assert [mail["to"] for mail in host.mails] == [["x@example.org", "y@example.org"]] and " SMTPUTF8" not in host.mails[0]["mail"]
    assert [part["Status"] for part in fields(report)[1:]] == ["5.6.7", "5.6.7"]
    sender.add("from", to=["x@example.org"], sender="jürgen@example.test")
    wait_for(lambda: sender.count()["failed"] >= 3, seconds=60)
    assert host.subjects() == ["mixed"]


def test_too_many_before_a_break(host, sender):
    """RFC 5321 section 4.5.3.1.10: 552 to one of many is none for ever, also where the transaction does not come to its end."""
    broken = []

    def data(session, line):
        if not broken:
            broken.append(line)
            raise Smarthost.Close

    host.answers["RCPT"] = lambda session, line: "552 5.5.3 too many" if session.recipients else None
    host.answers["DATA"] = data
    sender.add("many", to=["x@example.org", "y@example.org", "z@example.org"])
    sender.wait_empty()
    assert broken and sorted(mail["to"] for mail in host.mails) == [["x@example.org"], ["y@example.org"], ["z@example.org"]]
    assert sender.count()["failed"] == 0


def test_released_before_its_time(host, sender):
    """FUTURERELEASE (RFC 4865): the list tells until when; `queue release` is durable."""
    later = sender.add("later", hold="1h")
    row, = sender.verb("list")
    assert row["state"] == "scheduled" and 3500 < row["next"] <= 3600
    assert abs(time.mktime(time.strptime(row["hold_until"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime()) - 3600) < 60
    assert re.search(r"held until 2\d\d\d-", posthorn.run_verb("queue", "list", "--data", sender.data).decode())
    host.answers["RCPT"] = lambda session, line: "451 4.7.1 not now"
    assert sender.verb("release", later) == [{"type": "retried", "id": later}]
    wait_for(lambda: sender.count()["deferred"], seconds=60)
    host.answers.clear()
    for pid in sender.pids("relay"):
        os.kill(pid, signal.SIGKILL)
    sender.wait_empty()
    assert host.subjects() == ["later"]


def test_a_released_mail_has_its_time(tmp_path):
    """One that is released is late and comes back as any other; reports say that it was to be held (RFC 4865 section 5.1.2)."""
    host = Smarthost()
    host.answers["RCPT"] = lambda session, line: "451 4.7.1 not now"
    sender = Sender(host, relay_delay_report="1s", relay_expire="3s")
    try:
        later = sender.add("later", hold="1h")
        until, = (row["hold_until"] for row in sender.verb("list"))
        sender.verb("release", later)
        late, expired = reports(sender, "alice", 2)
        assert [fields(report)[1]["Action"] for report in (late, expired)] == ["delayed", "failed"]
        assert {fields(report)[0]["Future-Release-Request"] for report in (late, expired)} == {f"until;{until}"}
        retried = email.utils.parsedate_to_datetime(fields(late)[1]["Will-Retry-Until"]).timestamp()
        assert retried < time.time() + 60
        sender.wait_empty()
    finally:
        sender.stop()
        host.close()


def test_what_the_smarthost_lacks():
    """8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), SIZE (RFC 1870), DELIVERBY (RFC 2852), DSN (RFC 3461 section 5.2.2)."""
    host = Smarthost(offers=("SIZE 500",))
    sender = Sender(host)
    try:
        sender.add(text=SIGNED.encode())
        sender.add(to=["jürgen@example.org"])
        sender.add(text=b"Subject: x\n\n" + b"x" * 600)
        sender.add("by", **{"return": "1h"})
        codes = sorted(fields(report)[1]["Status"] for report in reports(sender, "alice", 4))
        assert codes == ["5.3.3", "5.3.4", "5.6.3", "5.6.7"] and host.mails == []
        sender.add("relayed", notify="success")
        relayed = reports(sender, "alice", 5)[4]
        assert (fields(relayed)[1]["Action"], fields(relayed)[1]["Status"]) == ("relayed", "2.0.0")
        assert host.mails[0]["rcpt"] == ["RCPT TO:<x@example.org>"]
        host.offers[:] = ["8BITMIME", "SMTPUTF8", "DELIVERBY 60", "SIZE"]
        host.drop()
        sender.add("utf8", to=["jürgen@example.org"])
        sender.add("by now", by="1h")
        sender.wait_empty()
        mails = {m["text"].split(b"Subject: ")[1].split(b"\r\n")[0]: m for m in host.mails}
        assert mails[b"utf8"]["to"] == ["jürgen@example.org"] and " SMTPUTF8" in mails[b"utf8"]["mail"]
        assert re.search(r" BY=3[56]\d\d;N$", mails[b"by now"]["mail"])
    finally:
        sender.stop()
        host.close()


# ---- bad smarthosts ----

def hang(_session, _line):
    time.sleep(2)
    raise Smarthost.Close


def close(_session, _line):
    raise Smarthost.Close


def endless(session, _line):
    while True:
        session.send(b"220-" + b"x" * 500 + b"\r\n")


def long_line(session, _line):
    while True:
        session.send(b"x" * 65536)


def answer(text):
    return lambda session, line: text


BAD = {
    "silent": ("GREETING", hang), "endless banner": ("GREETING", endless), "long line": ("GREETING", long_line),
    "garbage": ("GREETING", answer(b"SSH-2.0-OpenSSH\r\n")), "421 first": ("GREETING", answer("421 4.3.2 go away")),
    "554 first": ("GREETING", answer("554 no")), "two codes": ("EHLO", answer(b"250-one\r\n220 two\r\n")),
    "no EHLO": ("EHLO", answer("451 no")), "421 at MAIL": ("MAIL", answer("421 4.7.0 later")), "451 at MAIL": ("MAIL", answer("451 4.7.0 later")),
    "closes at RCPT": ("RCPT", close), "hangs at RCPT": ("RCPT", hang), "451 at DATA": ("DATA", answer("451 no")), "250 at DATA": ("DATA", answer("250 what")),
    "closes at DATA": ("DATA", close), "closes in the text": ("TEXT", close), "hangs at the end": ("TEXT", hang), "452 at the end": ("TEXT", answer("452 4.3.1 full")),
    "three digits": ("TEXT", answer(b"9999\r\n")), "NUL": ("TEXT", answer(b"\0\0\0 \r\n")), "100 at the end": ("TEXT", answer("100 hm")), "354 at the end": ("TEXT", answer("354 more")),
}


@pytest.fixture(name="patient", scope="module")
def one_patient_server():
    host = Smarthost()
    server = Sender(host, test_relay_patience_ms=1000, test_relay_retry_ms=50)
    yield host, server
    server.stop()
    host.close()


@pytest.mark.parametrize("turn", [0, 1] if long.LONG else [0])
def test_bad_smarthosts(patient, turn):
    """Each kind of bad answer keeps the mail; when the smarthost works again it goes out once, whole. Every second kind with PIPELINING,
    and the other way round in the long form, which has all kinds."""
    host, sender = patient
    kinds = list(BAD.items()) if long.LONG else list(BAD.items())[1::2]
    for n, (name, (word, how)) in enumerate(kinds):
        host.mails.clear()
        host.drop()
        host.offers[:] = ["PIPELINING", "8BITMIME"] if n % 2 == turn else ["8BITMIME"]
        host.answers[word] = how
        before = sender.stderr().count(": deferred: ")
        sender.add(name)
        wait_for(lambda: sender.stderr().count(": deferred: ") > before, seconds=60)
        assert host.mails == [] and sender.count()["mails"] == 1, name
        host.drop()  # first: a mail that was just taken, and whose answer is lost, comes twice
        host.answers.clear()
        sender.verb("retry", "all")
        wait_for(host.subjects, seconds=60)
        sender.wait_empty()
        assert host.subjects() == [name] and host.mails[0]["text"] == TEXT.format(name).replace("\n", "\r\n").encode(), name
    sender.check_reports()


def test_early_answers(patient):
    """A 250 before the end of the text is none."""
    host, sender = patient
    host.answers.clear()
    sender.verb("delete", "all")
    host.mails.clear()
    host.drop()
    host.offers[:] = []
    host.answers["DATA"] = answer(b"354 go on\r\n250 2.0.0 thanks\r\n")
    sender.add("early", text=b"Subject: early\r\n\r\n" + (b"x" * 70 + b"\r\n") * 20000)
    wait_for(lambda: any("deferred" in line and "before the end" in line for line in sender.stderr().splitlines()), seconds=60)
    host.answers.clear()
    sender.verb("retry", "all")
    sender.wait_empty()
    assert host.subjects() == ["early"]


def test_many_recipients():
    """More than one transaction takes (RFC 5321 section 4.5.3.1.8), and a smarthost that takes fewer (4.5.3.1.10)."""
    host = Smarthost()
    sender = Sender(host)
    try:
        host.answers["RCPT"] = lambda session, line: "452 4.5.3 too many" if len(session.recipients) >= 10 else None
        names = [f"r{n}@example.org" for n in range(25)]
        sender.add("many", to=names)
        sender.wait_empty()
        assert [len(mail["to"]) for mail in host.mails] == [10, 10, 5] and sum((mail["to"] for mail in host.mails), []) == names
    finally:
        sender.stop()
        host.close()


# ---- TLS and AUTH ----

def tls_of(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_tls(tmp_path):
    """Only who has the right certificate hears of mail or passwords; what came in the clear before does not count."""
    good, evil, password = tmp_path / "good", tmp_path / "evil", tmp_path / "password"
    for folder in (good, evil):
        folder.mkdir()
        make_certificate(folder)
    password.write_text("s3cret\n")
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:3]:
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
    shutil.copy(good / "cert.pem", tmp_path / "ca.pem")
    for implicit in (False, True):
        host = Smarthost(tls=tls_of(evil), implicit=implicit, users={"posthorn": "s3cret"})
        sender = Sender(host, relay_tls="implicit" if implicit else "starttls", relay_ca=tmp_path / "ca.pem", relay_user="posthorn",
                        relay_password_file=password, test_relay_retry_ms=100)
        try:
            sender.add("secret")
            wait_for(lambda s=sender: s.count()["deferred"], seconds=60)
            assert not [line for line in host.commands if not re.match("EHLO|STARTTLS|QUIT", line)]
            why = "the smarthost's certificate is not one for localhost: self-signed certificate"
            assert why in sender.stderr() and why in sender.verb("show", sender.verb("list")[0]["id"])[1]["reply"]
            host.tls, host.mechanisms = tls_of(good), ["PLAIN"]
            if not implicit:
                before = len(host.commands)
                host.answers["STARTTLS"] = answer(b"220 go on\r\n250 injected\r\n")
                sender.verb("retry", "all")
                wait_for(lambda h=host, b=before: len(h.commands) > b + 1, seconds=60)
                assert host.mails == []
                host.answers.clear()
            sender.verb("retry", "all")
            sender.wait_empty()
            host.mechanisms = ["LOGIN"]
            host.drop()
            sender.add("second")
            sender.wait_empty()
            host.mechanisms = ["PLAIN", "SCRAM-SHA-256"]
            host.drop()
            sender.add("third")
            sender.wait_empty()
            assert host.subjects() == ["secret", "second", "third"]
            assert [line for line in host.commands if line.startswith("AUTH SCRAM-SHA-256 ")]
        finally:
            sender.stop()
            host.close()


def test_settings(tmp_path):
    """What does not go together is told with the fix."""
    for lines, words in (('relay_host = "mail.example.org"', "mail.example.org:587"), ('relay_host = "a:25"\nrelay_tls = none', "this machine only"),
                         ('relay_host = "a:25"\nrelay_user = "x"', "go together"), ('relay_host = "::1:25"', "no host and port"),
                         ('relay_host = "a:25"\nrelay_user = "x"\nrelay_password_file = "/nowhere"', "relay_password_file: No such file"),
                         ('relay_host = "a:25"\nrelay_ca = "/nowhere"', "relay_ca: no authorities")):
        path = tmp_path / "posthorn.conf"
        path.write_text("version = 1\n" + lines + "\n")
        with pytest.raises(RuntimeError, match=re.escape(words)):
            posthorn.run_verb("config", "check", "-c", path)


# ---- crashes ----

def acknowledged(sender, subject):
    """None while the role is away."""
    try:
        return sender.add(subject)
    except RuntimeError as error:
        assert "UNAVAILABLE" in str(error)
        return None


def test_kill_of_the_role(tmp_path):
    """kill -9 of relay at any moment: all that was acknowledged goes out, and at most one mail of each connection twice for each kill."""
    host = Smarthost()
    sender = Sender(host, test_relay_retry_ms=100)
    kills, ids = 0, []
    try:
        for n in range(12):
            ids.append((f"mail {n}", wait_for(lambda n=n: acknowledged(sender, f"mail {n}"), seconds=60)))
            if n % 3 == 2:
                time.sleep(0.013 * (n % 7))
                for pid in sender.pids("relay"):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        wait_for(lambda: acknowledged(sender, "last"), seconds=60)
        sender.wait_empty(120)
        subjects = [subject for subject in host.subjects() if subject != "last"]
        assert set(subjects) == {name for name, _ in ids} and kills >= 3
        assert len(subjects) - len(set(subjects)) <= 5 * kills  # one for each connection, and what was not acknowledged
        assert sender.files() == []
    finally:
        sender.stop()
        host.close()


def test_kill_before_the_end_is_written(tmp_path):
    """The classic window: the role dies between the 250 and its note; once more, never less."""
    host = Smarthost()
    sender = Sender(host, test_relay_retry_ms=100)
    seen = []

    def kill(_session, _line):
        if not seen:
            seen.append(1)
            for pid in sender.pids("relay"):
                os.kill(pid, signal.SIGKILL)

    try:
        host.answers["TEXT"] = kill
        sender.add("window")
        sender.wait_empty(120)
        assert host.subjects() in (["window"], ["window"] * 2) and seen
    finally:
        sender.stop()
        host.close()


def test_files_are_looked_at(host, sender):
    """A file that is cut or changed is told and kept, the sender of a changed text told; whole ones beside it go out; leftovers of a crash go."""
    ids = [sender.add(f"m{n}", hold="1h") for n in range(4)]
    folder = sender.data / "queue"
    files = [folder / f"{i}.mail" for i in ids]
    raw = files[0].read_bytes()
    note = raw[-1:]
    files[0].write_bytes(raw + b"\0\0\0\x09torn")  # a note that a crash cut
    text = bytearray(files[1].read_bytes())
    text[-3] ^= 1
    files[1].write_bytes(text)
    files[2].write_bytes(files[2].read_bytes()[:90])
    (folder / "0123456789abcdef.mail.new").write_bytes(b"PHqueue1")
    assert note
    sender.restart()
    wait_for(lambda: sender.count()["mails"] == 3, seconds=60)  # the one that is cut cannot be read
    assert "0123456789abcdef.mail.new" not in sender.files()
    sender.verb("retry", "all")
    wait_for(lambda: sorted(host.subjects()) == ["m0", "m3"], seconds=60)
    wait_for(lambda: sender.count()["mails"] == 0, seconds=60)
    assert sorted(sender.files()) == sorted((files[1].name + ".damaged", files[2].name))
    assert files[2].name[:16] in sender.stderr().split("it stays where it is")[1] and sender.count()["unreadable"] == 1
    report = reports(sender, "alice", 1)[0]
    assert (fields(report)[1]["Action"], fields(report)[1]["Status"]) == ("failed", "5.3.0") and "Diagnostic-Code" not in fields(report)[1]
    assert "damaged on the disk of this server" in report.get_payload()[0].get_payload() and "Subject: m1" in str(report.get_payload()[2])
    sender.restart()
    assert sender.count()["mails"] == 0 and host.subjects().count("m1") == 0


def drop_connection(session, line):
    raise Smarthost.Close


def test_a_text_without_an_answer(host):
    """RFC 5321 section 4.5.3.2.6: the other side may have the mail. It goes out again, but not for ever: then its sender is told."""
    sender, texts = Sender(host, test_relay_retry_ms=20), []
    try:
        host.answers["TEXT"] = lambda session, line: texts.append(line) or drop_connection(session, line)
        sender.add("lost", to=["x@example.org", "y@example.org"])
        report = reports(sender, "alice", 1)[0]
        assert [(f["Action"], f["Status"]) for f in fields(report)[1:]] == [("failed", "5.4.2")] * 2 and "may have arrived" in str(report)
        sender.wait_empty()
        assert len(texts) == 8 and sender.stderr().count("did not say whether it has the mail") == 8
        texts.clear()
        host.answers["TEXT"] = lambda session, line: texts.append(line) or (drop_connection(session, line) if len(texts) < 3 else None)
        sender.add("at last")
        sender.wait_empty()
        assert host.subjects() == ["at last"]
    finally:
        sender.stop()


def test_rested_for_too_long(host):
    """What lay longer than relay_expire - the server was off, somebody held it - is tried before it comes back."""
    sender = Sender(host, relay_expire="2s")
    try:
        host.answers["MAIL"] = answer("451 4.3.0 later")
        held = sender.add("rested")
        sender.verb("hold", held)
        wait_for(lambda: sender.verb("list")[0]["age"] > 3, seconds=60)
        host.answers.clear()
        sender.verb("release", held)
        sender.wait_empty()
        assert host.subjects() == ["rested"] and sender.count()["expired"] == 0
    finally:
        sender.stop()


def test_closed_for_the_next_mail(host):
    """421 to the MAIL of a connection that has sent mail: it goes by another one, at once (RFC 5321 section 3.8)."""
    sender = Sender(host)
    try:
        def once(session, line):
            if hasattr(session, "used"):
                session.send(b"421 4.7.0 one mail for each connection\r\n")
                raise Smarthost.Close
            session.used = True

        host.answers["MAIL"] = once
        for n in range(3):
            sender.add(f"m{n}")
            sender.wait_empty()
        count = sender.count()
        assert host.subjects() == ["m0", "m1", "m2"] and count["deferred"] == 0 and "does not work" not in sender.stderr()
    finally:
        sender.stop()


def test_a_report_for_several(host, sender):
    """The sender is an address of two users, of whom one has no room: the other gets the report once."""
    sender.user_add("full")
    posthorn.run_verb("address", "add", "both@example.test", "alice", "full", "--data", sender.data)
    posthorn.run_verb("quota", "set", "full", "storage=1K", "--data", sender.data)
    host.answers["RCPT"] = answer("550 5.1.1 nobody")
    before = sender.imap("alice").select("INBOX")["EXISTS"]
    for n in range(2):
        sender.add(f"r{n}", sender="both@example.test", text=TEXT.format(f"r{n}").encode() + b"x" * 20000)
        sender.wait_empty()
    assert sender.imap("alice").select("INBOX")["EXISTS"] == before + 2
    assert re.search(r"a report was not saved: user=<full>", sender.stderr())


def test_full_disk(host):
    """A full disk refuses new mail; what waits already goes out all the same, once."""
    if os.getuid() != 0:
        pytest.fail("a small tmpfs cannot be mounted: run this test as root")
    sender = Sender(host)
    folder = sender.data / "queue"
    sender.process.send_signal(signal.SIGTERM)
    sender.process.wait(20)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "none", folder], check=True)
    try:
        sender.start()
        host.answers["RCPT"] = answer("451 4.7.1 later")
        first = sender.add("first")
        wait_for(lambda: sender.count()["deferred"], seconds=60)
        (folder / "filler").write_bytes(b"x" * (1 << 19))
        with open(folder / "filler", "ab", buffering=0) as filler:
            with pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
        with pytest.raises(RuntimeError, match="DISK"):
            sender.add("second")
        host.answers.clear()
        assert first
        sender.verb("retry", "all")
        sender.wait_empty()
        assert host.subjects() == ["first"] and sender.files() == ["filler"]
        (folder / "filler").unlink()
        sender.add("third")
        sender.wait_empty()
        assert host.subjects() == ["first", "third"]
        sender.process.send_signal(signal.SIGTERM)
        sender.process.wait(20)
        sender.process = None
    finally:
        if sender.process:
            sender.kill()
        subprocess.run(["umount", folder], check=True)
    sender.stop()


def limit_files(pid, soft):
    """As the role's own user: nobody else may without more rights than a container has."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    uid, gid = (re.search(rf"{name}:\t(\d+)", status)[1] for name in ("Uid", "Gid"))
    subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "prlimit", "--pid", str(pid), f"--nofile={soft}:"], check=True)


def test_no_descriptor_is_free(host, sender):
    """Mail that comes meanwhile is told to come again; the channel stays, and so does what waits."""
    sender.add("before")
    sender.wait_empty()
    pid, = sender.pids("relay")
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    soft = re.search(r"Max open files +(\d+)", limits)[1]
    limit_files(pid, 3)
    try:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="UNAVAILABLE"):
                sender.add("meanwhile")
    finally:
        limit_files(pid, soft)
    sender.add("after")
    sender.wait_empty()
    assert host.subjects() == ["before", "after"] and sender.pids("relay") == [pid]
    assert sender.stderr().count("no descriptor is free") == 3


def test_no_relay():
    """Without relay_host nothing is queued, and no role runs; a role that is away answers for now."""
    server = posthorn.Server()
    try:
        assert "relay" not in server.roles()
        with pytest.raises(RuntimeError, match="no relay_host"):
            posthorn.run_verb("queue", "add", "a@b.c", "d@e.f", "-", "--data", server.data, stdin=b"x\n")
    finally:
        server.stop()


REPLACED = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
import test_relay
from lib import scratch
etc = scratch.folder("etc")
subprocess.run(["cp", "-a", "/etc/.", str(etc)], check=True)
subprocess.run(["mount", "--bind", str(etc), "/etc"], check=True)
host = test_relay.Smarthost()
own = test_relay.Sender(host)
own.add("one")
own.wait_empty()
(etc / "fresh").write_text((etc / "hosts").read_text())
(etc / "fresh").chmod(0o644)
(etc / "fresh").rename(etc / "hosts")
host.drop()
own.add("two")
own.wait_empty()
assert len(host.mails) == 2 and "a file was replaced: the role begins anew: name=relay, file=/etc/hosts" in own.stderr()
own.stop()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="an /etc of its own needs root")
def test_name_service_is_replaced():
    """As DHCP clients and editors do it: another file under the name. Landlock lets a role read the one of before only."""
    done = subprocess.run(["unshare", "-m", sys.executable, "-c", REPLACED, str(pathlib.Path(__file__).parent)], capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
