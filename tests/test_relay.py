"""Mail that goes out: the queue, the role relay, SMTP with smarthosts good and bad, reports, `posthorn queue`."""
import email
import json
import os
import re
import signal
import subprocess
import time

import pytest

from lib import server as posthorn
from lib.smarthost import Smarthost

TEXT = "From: alice@example.test\nTo: x@example.org\nSubject: {}\n\n.dots\n..\n.\nbody\n"


def wait(what, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
        return self.verb("count")[0]

    def is_empty(self):
        return self.count()["mails"] == 0

    def wait_empty(self, seconds=60):
        wait(self.is_empty, seconds)

    def files(self):
        return sorted(p.name for p in (self.data / "queue").iterdir())

    def inbox(self, user="alice"):
        """The texts of a user's INBOX."""
        imap = self.imap(user)
        imap.command("SELECT INBOX")
        rows = imap.command("UID FETCH 1:* BODY.PEEK[]")
        imap.logout() if hasattr(imap, "logout") else None
        return rows


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
    wait(lambda: sender.count()["deferred"])
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
    wait(host.subjects)
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
    return wait(look)


def fields(report):
    """Of the delivery status: the fields of the message, and of each recipient."""
    status = report.get_payload()[1]
    parts = status.get_payload() if status.is_multipart() else [  # message/global-delivery-status is text to this library
        email.message_from_string(text) for text in re.split(r"\r?\n\r?\n", status.get_payload().strip())]
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
    wait(lambda: len(host.mails) == 2)
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
    wait(lambda: sender.count()["failed"] == 2)
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
        assert (fields(by)[1]["Action"], fields(by)[1]["Status"]) == ("failed", "5.4.7") and "Deliver-By-Date" in fields(by)[0]
    finally:
        sender.stop()


def answer(text):
    return lambda session, line: text


def test_settings(tmp_path):
    """What does not go together is told with the fix."""
    for lines, words in (('relay_host = "mail.example.org"', "mail.example.org:587"), ('relay_host = "a:25"\nrelay_tls = none', "this machine only"),
                         ('relay_host = "a:25"\nrelay_user = "x"', "go together"), ('relay_host = "::1:25"', "no host and port")):
        path = tmp_path / "posthorn.conf"
        path.write_text("version = 1\n" + lines + "\n")
        with pytest.raises(RuntimeError, match=re.escape(words)):
            posthorn.run_verb("config", "check", "-c", path)


# ---- crashes ----

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
    """A file that is cut or changed is told and kept; whole ones beside it go out; leftovers of a crash go."""
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
    wait(lambda: sender.count()["mails"] == 3)  # the one that is cut cannot be read
    assert "0123456789abcdef.mail.new" not in sender.files()
    sender.verb("retry", "all")
    wait(lambda: sorted(host.subjects()) == ["m0", "m3"])
    wait(lambda: sender.count()["mails"] == 0)
    assert sorted(sender.files()) == sorted(f.name for f in files[1:3])
    assert sender.stderr().count("it stays where it is") >= 2


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
        wait(lambda: sender.count()["deferred"])
        (folder / "filler").write_bytes(b"x" * (1 << 19))
        with open(folder / "filler", "ab", buffering=0) as filler:
            with pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
        with pytest.raises(RuntimeError, match="DISK"):
            sender.add("second")
        host.answers.clear()
        sender.verb("retry", first)
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


def test_no_relay():
    """Without relay_host nothing is queued, and no role runs; a role that is away answers for now."""
    server = posthorn.Server()
    try:
        assert "relay" not in server.roles()
        with pytest.raises(RuntimeError, match="no relay_host"):
            posthorn.run_verb("queue", "add", "a@b.c", "d@e.f", "-", "--data", server.data, stdin=b"x\n")
    finally:
        server.stop()
