"""Submission (RFC 6409): users send mail through the server and its smarthost. Every reply code, what becomes of a text, who may send as
whom, nothing smuggled, nothing acknowledged lost."""
import base64
import os
import re
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import time

import pytest

from lib import server as posthorn
from lib.scram import b64
from lib.smarthost import Smarthost
from lib.submitting import scram_client
from lib.wire import client_tls
from lib.waiting import wait_for as wait

SERVICES = (*posthorn.SERVICES, "submission", "submissions")
PLAIN = b64(b"\0alice\0" + posthorn.PASSWORD.encode())
TEXT = "From: Alice <alice@example.test>\r\nTo: x@example.org\r\nSubject: {}\r\n\r\nbody\r\n"


class Sender(posthorn.Server):
    def __init__(self, host, **settings):
        super().__init__({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "relay_delay_report": "0s", "test_relay_retry_ms": 200,
                          "local_domains": ["example.test"], **settings}, services=SERVICES)

    def queue(self):
        return [p.name for p in (self.data / "queue").iterdir()]


class Talk:
    """Lines as they are."""

    def __init__(self, port, user="alice"):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.sock.makefile("rb")
        self.greeting = self.answer()
        if user:
            assert self.ask("EHLO client.example").startswith("250 ")
            assert self.ask("AUTH PLAIN " + b64(f"\0{user}\0{posthorn.PASSWORD}".encode())).startswith("235 2.7.0")

    def send(self, octets):
        self.sock.sendall(octets if isinstance(octets, bytes) else octets.encode())

    def answer(self):
        """The last line of an answer; "" at the end."""
        self.lines = []
        while True:
            line = self.file.readline().decode()
            self.lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return self.lines[-1]

    def ask(self, line):
        self.send(line + "\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.answer()

    def begin(self, to="x@example.org", sender="alice@example.test", params=""):
        assert self.ask(f"MAIL FROM:<{sender}>{params}").startswith("250 2.1.0"), self.lines
        assert self.ask(f"RCPT TO:<{to}>").startswith("250 2.1.5"), self.lines

    def data(self, text):
        assert self.ask("DATA").startswith("354")
        self.send(text)
        return self.answer()

    def close(self):
        self.sock.close()


@pytest.fixture(name="host", scope="module")
def one_host():
    host = Smarthost(offers=("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "DSN", "DELIVERBY"))
    yield host
    host.close()


@pytest.fixture(name="sender", scope="module")
def one_sender(host):
    server = Sender(host)
    wait(lambda: "SCRAM" in mechanisms(server))
    yield server
    server.stop()


def mechanisms(server):
    """Until auth has said what it offers, these are PLAIN and LOGIN."""
    talk = Talk(server.ports["submission"], user=None)
    talk.ask("EHLO x")
    talk.close()
    return " ".join(line for line in talk.lines if "AUTH" in line)


@pytest.fixture(name="talk")
def one_talk(sender):
    talk = Talk(sender.ports["submission"])
    yield talk
    talk.close()


def arrived(host, subject):
    return wait(lambda: [m for m in host.mails if b"Subject: " + subject.encode() + b"\r\n" in m["text"]])[0]


# ---- before login ----

def test_capabilities(sender):
    talk = Talk(sender.ports["submission"], user=None)
    assert talk.greeting == "220 localhost ESMTP Posthorn ready"
    talk.ask("EHLO client.example")
    words = [line[4:] for line in talk.lines]
    assert words[0] == "localhost"
    for want in ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES", "DSN", "DELIVERBY", "STARTTLS", "LIMITS RCPTMAX=1000",
                 "SIZE 104857600"):
        assert want in words, want
    future = [w for w in words if w.startswith("FUTURERELEASE 31536000 ")]
    until = time.mktime(time.strptime(future[0].split()[2], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert abs(until - time.time() - 31536000) < 120
    assert {"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set([w for w in words if w.startswith("AUTH ")][0].split())
    talk.ask("AUTH PLAIN " + PLAIN)
    talk.ask("EHLO again.example")
    assert not [line for line in talk.lines if "AUTH" in line or "STARTTLS" in line] and "250-CHUNKING" in talk.lines
    talk.close()


@pytest.mark.parametrize("line,want", [
    ("MAIL FROM:<alice@example.test>", "530 5.7.0"), ("RCPT TO:<x@example.org>", "530 5.7.0"), ("DATA", "530 5.7.0"), ("VRFY x", "530 5.7.0"),
    ("BDAT 5", "530 5.7.0"), ("NOOP", "250 2.0.0"), ("RSET", "250 2.0.0"), ("HELP", "214 2.0.0"), ("QUIT", "221 2.0.0"), ("HELO x", "250 localhost"),
    ("EHLO", "501 5.5.4"), ("EHLO a b", "501 5.5.4"), ("FOO", "500 5.5.2"), ("", "500 5.5.2"), ("NO\0OP", "500 5.5.2"), ("NO\rOP", "500 5.5.2"),
    ("NO\nOP", "500 5.5.2"), ("AUTH PLAIN " + PLAIN, "503 5.5.1"), ("STARTTLS now", "501 5.5.4"), ("STARTTLS", "220 2.0.0"), ("x" * 5000, "500 5.5.2"),
    ("x" * 20000, "500 5.5.2"), ("GET / HTTP/1.1", "554 5.7.0")])
def test_before_login(sender, line, want):
    talk = Talk(sender.ports["submission"], user=None)
    assert talk.ask(line).startswith(want)
    talk.close()


@pytest.mark.parametrize("line,want", [
    ("AUTH", "501 5.5.4"), ("AUTH NTLM", "504 5.5.4"), ("AUTH PLAIN !!!", "501 5.5.2"), ("AUTH PLAIN " + b64(b"\0alice\0wrong"), "535 5.7.8"),
    ("AUTH PLAIN " + b64(b"\0nobody\0wrong"), "535 5.7.8"), ("AUTH PLAIN " + b64(b"x"), "501 5.5.2"), ("auth plain " + PLAIN, "235 2.7.0")])
def test_auth_answers(sender, line, want):
    talk = Talk(sender.ports["submission"], user=None)
    talk.ask("EHLO x")
    assert talk.ask(line).startswith(want), talk.lines
    if want == "235 2.7.0":
        assert talk.ask("AUTH PLAIN " + PLAIN).startswith("503 5.5.1") and talk.ask("STARTTLS").startswith("503 5.5.1")
    talk.close()


def test_long_initial_response(sender):
    """Tokens are long (RFC 4954 section 4); other commands are not."""
    talk = Talk(sender.ports["submission"], user=None)
    talk.ask("EHLO client.example")
    assert talk.ask("AUTH PLAIN " + b64(b"\0alice\0" + b"x" * 4500)).startswith("535 5.7.8")
    assert talk.ask("NOOP " + "x" * 5000).startswith("500 5.5.2")
    talk.close()


def test_auth_dialogues(sender):
    talk = Talk(sender.ports["submission"], user=None)
    talk.ask("EHLO x")
    assert talk.ask("AUTH PLAIN") == "334 "
    assert talk.ask("*").startswith("501 5.7.0")
    assert talk.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert talk.ask(b64(b"alice")) == "334 UGFzc3dvcmQ6"
    assert talk.ask(b64(posthorn.PASSWORD.encode())).startswith("235")
    talk.close()
    for mechanism in ("SCRAM-SHA-256",):
        smtp = smtplib.SMTP("127.0.0.1", sender.ports["submission"], timeout=60)
        smtp.ehlo()
        assert smtp.auth(mechanism, scram_client("alice", posthorn.PASSWORD))[0] == 235
        assert smtp.mail("alice@example.test")[0] == 250
        smtp.close()


def test_three_bad_commands_end_it(sender):
    talk = Talk(sender.ports["submission"], user=None)
    assert [talk.ask("FOO")[:3] for _ in range(3)] == ["500"] * 3
    assert talk.answer().startswith("421 4.7.0") and talk.answer() == ""


def test_injection_around_starttls(sender):
    """RFC 3207 section 4.2: what came before the handshake is not answered in it."""
    for tail in (b"EHLO injected\r\n", b"X", b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n"):
        talk = Talk(sender.ports["submission"], user=None)
        talk.ask("EHLO x")
        talk.send(b"STARTTLS\r\n" + tail)
        assert talk.answer() == ""
        talk.close()
    smtp = smtplib.SMTP("127.0.0.1", sender.ports["submission"], timeout=60)
    smtp.ehlo()
    smtp.starttls(context=client_tls())
    assert smtp.docmd("AUTH", "PLAIN " + PLAIN)[0] == 503  # EHLO is forgotten (section 4.2)
    smtp.ehlo()
    assert not smtp.has_extn("starttls") and smtp.docmd("STARTTLS")[0] == 503
    smtp.login("alice", posthorn.PASSWORD)
    smtp.close()


def test_plaintext_is_refused(host):
    server = Sender(host, plaintext_auth=False)
    try:
        talk = Talk(server.ports["submission"], user=None)
        talk.ask("EHLO x")
        assert not [line for line in talk.lines if "AUTH" in line]
        assert talk.ask("AUTH PLAIN " + PLAIN).startswith("530 5.7.0")
        talk.close()
        smtp = smtplib.SMTP_SSL("127.0.0.1", server.ports["submissions"], context=client_tls(), timeout=60)
        smtp.login("alice", posthorn.PASSWORD)
        smtp.sendmail("alice@example.test", "x@example.org", TEXT.format("over tls"))
        smtp.quit()
        text = arrived(host, "over tls")["text"].decode()
        assert "by localhost with ESMTPSA id " in text and "127.0.0.1" not in text
    finally:
        server.stop()


# ---- commands ----

@pytest.mark.parametrize("line,want", [
    ("NOOP", "250 2.0.0"), ("RSET", "250 2.0.0"), ("HELP", "214 2.0.0"), ("VRFY x", "252 2.5.0"), ("VRFY", "501 5.5.4"), ("EXPN x", "502 5.5.1"), ("HELO", "501 5.5.4"),
    ("FOO", "500 5.5.2"), ("QUIT", "221 2.0.0"), ("RCPT TO:<x@example.org>", "503 5.5.1"), ("DATA", "503 5.5.1"), ("BDAT x", "501 5.5.4"),
    ("BDAT 0 LAST", "503 5.5.1"), ("MAIL FROM:<bob@example.test>", "553 5.7.1"), ("MAIL FROM:<alice@elsewhere.example>", "553 5.7.1"),
    ("MAIL FROM:<alice@example.test> SIZE=104857601", "552 5.3.4"), ("MAIL FROM:alice@example.test", "501 5.5.4"),
    ("MAIL FROM:<alice@example.test> FOO", "555 5.5.4"), ("MAIL FROM:<alice>", "553 5.1.7"), ("MAIL FROM:<>", "250 2.1.0"),
    ("MAIL FROM: <alice@example.test> AUTH=<>", "250 2.1.0"), ("MAIL FROM:<alice+x@example.test>", "250 2.1.0"),
    ("MAIL FROM:<\"\"@example.test>", "501 5.5.4"), ("x" * 5000, "500 5.5.2")])
def test_commands(talk, line, want):
    assert talk.ask(line).startswith(want), talk.lines


@pytest.mark.parametrize("line,want", [
    ("RCPT TO:<nobody@example.test>", "550 5.1.1"), ("RCPT TO:<bob@example.test>", "250 2.1.5"), ("RCPT TO:<x@nodots>", "550 5.1.2"),
    ("RCPT TO:<x>", "553 5.1.3"), ("RCPT TO:<x@example.org> NOTIFY=SOON", "501 5.5.4"), ("RCPT TO:<x@example.org> FOO=1", "555 5.5.4"),
    ("RCPT TO:<x@example.org>\rRCPT TO:<y@example.org>", "500 5.5.2"), ("RCPT TO:<\xe4@example.org>", "553 5.6.7"), ("MAIL FROM:<alice@example.test>", "503 5.5.1"),
    ("DATA", "554 5.5.1"), ("DATA now", "501 5.5.4"), ("RCPT TO:<>", "501 5.5.4"), ("RCPT TO:<x@[127.0.0.1]>", "250 2.1.5")])
def test_recipients(talk, line, want):
    assert talk.ask("MAIL FROM:<alice@example.test>").startswith("250")
    assert talk.ask(line).startswith(want), talk.lines


def test_most_recipients(talk, host):
    """RFC 9422: RCPTMAX, and not one more."""
    talk.ask("MAIL FROM:<alice@example.test>")
    talk.send("".join(f"RCPT TO:<x{n}@example.org>\r\n" for n in range(1001)))
    answers = [talk.answer()[:9] for _ in range(1001)]
    assert answers == ["250 2.1.5"] * 1000 + ["452 4.5.3"]
    assert talk.data(TEXT.format("many") + ".\r\n").startswith("250 2.0.0")
    wait(lambda: sum(len(m["to"]) for m in host.mails if b"Subject: many\r\n" in m["text"]) == 1000)


# ---- texts ----

def test_what_goes_out(talk, host, sender):
    talk.begin(params=" RET=HDRS ENVID=a+2Bb")
    talk.ask("RCPT TO:<y@example.org> NOTIFY=NEVER ORCPT=rfc822;z@example.org")
    answer = talk.data("To: x@example.org\r\nBcc: y@example.org,\r\n z@example.org\r\nSubject: whole\r\n\r\n..dot\r\n\xe4\r\n.\r\n".encode())
    assert re.fullmatch("250 2.0.0 Queued as [0-9a-f]{16}", answer)
    mail = arrived(host, "whole")
    text = mail["text"].decode()
    assert re.match(r"Received: by localhost with ESMTPA id [0-9a-f]{16};\r\n\t\w{3}, .*\r\nTo: ", text) and "Bcc" not in text and "z@" not in text
    assert "\r\nFrom: <alice@example.test>\r\n" in text and "\r\nDate: " in text and "@localhost>\r\n\r\n.dot\r\n\xe4\r\n" in text
    assert mail["mail"].endswith("RET=HDRS ENVID=a+2Bb") and mail["rcpt"][1].endswith("NOTIFY=NEVER ORCPT=rfc822;z@example.org")
    imap = sender.imap()
    imap.command("SELECT Sent")
    copies = str(imap.command('UID SEARCH HEADER "Bcc" "y@example.org"'))
    assert re.search(r"SEARCH \d+", copies), copies  # the copy has all


@pytest.mark.parametrize("head,want", [
    ("From: bob@example.test\r\n", "550 5.7.1"), ("From: alice@example.test\r\nSender: bob@example.test\r\n", "550 5.7.1"),
    ("From: alice@example.test, bob@example.test\r\n", "550 5.7.1"), ("From: alice@example.test\r\nFrom: alice@example.test\r\n", "554 5.6.0"),
    ("From: <alice@example.test> <bob@example.test>\r\n", "554 5.6.0"), ("From: bob@example.test <alice@example.test>\r\n", "554 5.6.0"),
    ("From: \r\n", "554 5.6.0"), ("From: x:;\r\n", "554 5.6.0"), ("From : bob@example.test\r\n", "550 5.7.1"), ("FROM:\r\n\tbob@example.test\r\n", "550 5.7.1"),
    ("Received: x\r\n" * 101, "554 5.4.6"), ("X: " + "x" * 530000 + "\r\n", "552 5.3.4"), ("X: \0\r\n", "554 5.6.0"),
    ("From: Alice <ALICE@example.test>\r\n", "250 2.0.0"), ("Subject: no From\r\n", "250 2.0.0")])
def test_headers(talk, head, want):
    talk.begin()
    assert talk.data(head + "\r\ntext\r\n.\r\n").startswith(want), talk.lines
    assert talk.ask("NOOP").startswith("250") and talk.ask("RCPT TO:<x@example.org>").startswith("503")


def test_no_header_is_a_body(talk, host):
    talk.begin()
    assert talk.data("just a line, From: bob\r\nSubject: not one\r\n.\r\n").startswith("250")
    mail = wait(lambda: [m for m in host.mails if b"just a line" in m["text"]])[0]
    assert mail["text"].endswith(b"\r\n\r\njust a line, From: bob\r\nSubject: not one\r\n")


ENDS = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\n.\r"]


@pytest.mark.parametrize("end", ENDS)
def test_nothing_smuggles(talk, host, end):
    """Only CRLF.CRLF ends a text, and no text with other line ends goes on; cut at every octet."""
    evil = b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<evil@example.org>\r\nDATA\r\nSubject: evil\r\n"
    octets = b"Subject: smuggled\r\n\r\nbefore" + end + evil + b"\r\n.\r\n"
    for at in range(18, 18 + 16 + len(end)):
        talk.begin()
        assert talk.ask("DATA").startswith("354")
        talk.send(octets[:at])
        if at % 4 == 0:
            time.sleep(0.002)
        talk.send(octets[at:])
        assert talk.answer().startswith("554 5.6.0")
        assert talk.ask("NOOP").startswith("250 2.0.0")
    assert not [m for m in host.mails if b"smuggled" in m["text"] or "evil@example.org" in m["to"]]


def test_chunks(talk, host):
    """RFC 3030: chunks, pipelined; and what is wrong with them."""
    text = TEXT.format("chunks").encode()
    talk.send(b"MAIL FROM:<alice@example.test> BODY=8BITMIME\r\nRCPT TO:<x@example.org>\r\nBDAT 10\r\n" + text[:10] + b"BDAT %d\r\n" % (len(text) - 10) + text[10:] + b"BDAT 0 LAST\r\n")
    assert [talk.answer()[:3] for _ in range(5)] == ["250"] * 5
    assert arrived(host, "chunks")["text"].endswith(b"\r\n\r\nbody\r\n")
    talk.begin()
    talk.send(b"BDAT 3\r\nX: RCPT TO:<y@example.org>\r\nDATA\r\nRSET\r\n")
    assert [talk.answer()[:9] for _ in range(4)] == ["250 2.0.0", "503 5.5.1", "503 5.5.1", "250 2.0.0"]
    talk.begin()
    talk.send(b"BDAT 8 LAST\r\nX: a\nb\r\n")
    assert talk.answer().startswith("554 5.6.0")
    talk.send(b"BDAT 6\r\nNOOP\r\n")  # octets that belong to nothing
    assert talk.answer().startswith("503 5.5.1") and talk.ask("NOOP").startswith("250")
    talk.begin(params=" BODY=BINARYMIME")
    assert talk.ask("DATA").startswith("503 5.5.1")
    binary = b"Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n\n\xff"
    talk.send(b"BDAT %d LAST\r\n" % len(binary) + binary)
    assert talk.answer().startswith("250 2.0.0")
    sent = arrived(host, "binary")["text"]
    assert base64.b64decode(sent.split(b"\r\n\r\n", 1)[1]) == b"\0\r\n\n\xff"
    assert talk.ask("BDAT 99999999999999999999 LAST").startswith("501 5.5.4") and talk.answer() == ""


def test_future_release(talk, sender, host):
    talk.begin(params=" HOLDFOR=86400")
    assert talk.data(TEXT.format("later") + ".\r\n").startswith("250")
    rows = posthorn.run_verb("queue", "list", "--data", sender.data).decode()
    assert "submission" in rows or "scheduled" in rows, rows
    assert not [m for m in host.mails if b"Subject: later" in m["text"]]
    posthorn.run_verb("queue", "delete", "all", "--data", sender.data)


def test_utf8(talk, host):
    talk.begin(params=" SMTPUTF8", to="\xfc@example.org")
    assert talk.data(TEXT.format("utf8 \xe4") + ".\r\n").startswith("250")
    mail = arrived(host, "utf8 \xe4")
    assert mail["to"] == ["\xfc@example.org"] and b"with UTF8SMTPA id" in mail["text"]


def test_null_sender(talk, host):
    talk.begin(sender="")
    assert talk.data("Subject: whose\r\n\r\n.\r\n").startswith("554 5.6.0")
    talk.begin(sender="")
    assert talk.data(TEXT.format("notice") + ".\r\n").startswith("250")
    assert arrived(host, "notice")["from"] == ""


def test_who_and_log(talk, sender):
    assert b"client.example" in posthorn.run_verb("who", "alice", "--data", sender.data)
    talk.ask("MAIL FROM:<bob@example.test>")
    wait(lambda: "Refused: from=<bob@example.test>, user=<alice>" in sender.stderr())
    Talk(sender.ports["submission"], user=None).close()
    if shutil.which("fail2ban-regex"):
        bad = Talk(sender.ports["submission"], user=None)
        bad.ask("EHLO x")
        bad.ask("AUTH PLAIN " + b64(b"\0alice\0wrong"))
        lines = "\n".join(line for line in sender.stderr().splitlines() if "service=submission" in line)
        done = subprocess.run(["fail2ban-regex", lines.splitlines()[-1], str(posthorn.ROOT / "dist/fail2ban/filter.d/posthorn.conf")], stdout=subprocess.PIPE, check=True)
        assert b"1 matched" in done.stdout, done.stdout


# ---- settings ----

def test_rates_and_client(host):
    server = Sender(host, submission_mails=3, submission_recipients=4, submission_client=True)
    try:
        talk = Talk(server.ports["submission"])
        for n in range(2):
            talk.begin()
            assert talk.data(TEXT.format(f"rate {n}") + ".\r\n").startswith("250")
        text = arrived(host, "rate 1")["text"].decode()
        assert text.startswith("Received: from client.example ([127.0.0.1])\r\n\tby localhost with ESMTPA id ")
        talk.begin()
        talk.ask("RCPT TO:<y@example.org>")
        assert talk.ask("RCPT TO:<z@example.org>").startswith("450 4.7.1")
        assert talk.data(TEXT.format("rate 2") + ".\r\n").startswith("250")
        assert talk.ask("MAIL FROM:<alice@example.test>").startswith("450 4.7.1")
        other = Talk(server.ports["submission"], user="bob")
        other.begin(sender="bob@example.test")
        server.reload(submission_mails=0, submission_recipients=0)
        talk.begin()
    finally:
        server.stop()


def test_memory_on_the_way(host):
    """What waits for the relay counts as memory: over the limit it is 452, and the server goes on."""
    server = Sender(host, memory_soft="12M", memory_hard="24M")
    talks = [Talk(server.ports["submission"]) for _ in range(6)]
    relays, body = server.pids("relay"), ("y" * 76 + "\r\n") * 130000
    try:
        for pid in relays:
            os.kill(pid, signal.SIGSTOP)
        for n, talk in enumerate(talks):
            talk.begin()
            assert talk.ask("DATA").startswith("354")
            talk.send(TEXT.format(f"large {n}") + body + ".\r\n")
        wait(lambda: "memory budget" in server.stderr())
    finally:
        for pid in relays:
            os.kill(pid, signal.SIGCONT)
    try:
        answers = [talk.answer()[:9] for talk in talks]
        assert set(answers) == {"250 2.0.0", "452 4.3.1"}, answers
        again = Talk(server.ports["submission"])
        again.begin()
        assert again.data(TEXT.format("small") + ".\r\n").startswith("250")
    finally:
        server.stop()


def test_rates_of_many_at_once(host):
    """What is on its way counts already."""
    server = Sender(host, submission_mails=3)
    talks = [Talk(server.ports["submission"]) for _ in range(8)]
    relays = server.pids("relay")
    try:
        for talk in talks:
            talk.begin()
            assert talk.ask("DATA").startswith("354")
        for pid in relays:
            os.kill(pid, signal.SIGSTOP)
        for n, talk in enumerate(talks):
            talk.send(TEXT.format(f"burst {n}") + ".\r\n")
        wait(lambda: len(select.select([talk.sock for talk in talks], [], [], 0)[0]) == 5, seconds=60)
    finally:
        for pid in relays:
            os.kill(pid, signal.SIGCONT)
    try:
        answers = sorted(talk.answer()[:9] for talk in talks)
        assert answers == ["250 2.0.0"] * 3 + ["450 4.7.1"] * 5
    finally:
        server.stop()


def test_app_password_and_address(host):
    server = Sender(host)
    try:
        posthorn.run_verb("user", "set", "bob", "protocols=imap", "--data", server.data)
        talk = Talk(server.ports["submission"], user=None)
        talk.ask("EHLO x")
        assert talk.ask("AUTH PLAIN " + b64(b"\0bob\0" + posthorn.PASSWORD.encode())).startswith("535 5.7.8")
        posthorn.run_verb("address", "add", "sales@example.test", "alice", "send=yes", "--data", server.data)
        alice = Talk(server.ports["submission"])
        alice.begin(sender="sales@example.test")
        assert alice.data("From: sales@example.test\r\nSubject: as sales\r\n\r\n.\r\n").startswith("250")
        assert arrived(host, "as sales")["from"] == "sales@example.test"
        done = posthorn.run_verb("user", "password", "add", "alice", "reader", "--protocol", "submission", "--read-only", "--data", server.data).decode()
        secret = re.search(r"\b(?:[a-z0-9]{4,}-){2,}[a-z0-9]{4,}\b", done)[0]
        reader = Talk(server.ports["submission"], user=None)
        reader.ask("EHLO x")
        assert reader.ask("AUTH PLAIN " + b64(f"\0alice\0{secret}".encode())).startswith("235")
        assert reader.ask("MAIL FROM:<alice@example.test>").startswith("550 5.7.1")
    finally:
        server.stop()


def test_rawlog(talk, sender):
    posthorn.run_verb("rawlog", "alice", "on", "--data", sender.data)
    talk.begin()
    talk.ask("AUTH PLAIN c2VjcmV0")
    talk.ask("c2VjcmV0")
    talk.data(TEXT.format("raw") + ".\r\n")
    talk.ask("QUIT")
    posthorn.run_verb("rawlog", "alice", "off", "--data", sender.data)
    said = wait(lambda: [t for t in (p.read_bytes() for p in (sender.data / "rawlog").iterdir()) if b"Bye" in t])[0]
    assert b"MAIL FROM:<alice@example.test>\r\n" in said and b"250 2.0.0 Queued as" in said and b"octets hidden]" in said
    assert b"c2VjcmV0" not in said


def test_no_smarthost():
    with pytest.raises(RuntimeError, match="needs relay_host"):
        posthorn.Server({}, services=SERVICES)


def test_relay_away(host):
    """The role relay is gone, and nobody starts it again: 451, and the mail is not taken."""
    server = Sender(host)
    try:
        talk = Talk(server.ports["submission"])
        talk.begin()
        os.kill(server.process.pid, signal.SIGSTOP)
        for pid in server.pids("relay"):
            os.kill(pid, signal.SIGKILL)
        assert talk.data(TEXT.format("away") + ".\r\n").startswith("451 4.3.0")
        os.kill(server.process.pid, signal.SIGCONT)

        def is_back():
            talk.begin()
            return talk.data(TEXT.format("back") + ".\r\n").startswith("250")
        wait(is_back)
        arrived(host, "back")
        assert not [m for m in host.mails if b"Subject: away" in m["text"]]
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        server.stop()


def test_killed(host):
    """kill -9 of all of it at any moment: what was answered 250 goes out."""
    server = Sender(host)
    taken = []
    try:
        for round_ in range(4):
            talk = Talk(server.ports["submission"])
            for n in range(6):
                talk.begin()
                subject = f"killed {round_} {n}"
                talk.ask("DATA")
                talk.send(TEXT.format(subject) + ".\r\n")
                if n == 5:
                    time.sleep(0.003 * round_)
                    break
                assert talk.answer().startswith("250 ")
                taken.append(subject)
            server.kill()
            server.start()
        for subject in taken:
            arrived(host, subject)
        wait(lambda: not [name for name in server.queue() if "." not in name])
    finally:
        server.stop()


# ---- clients ----

@pytest.mark.skipif(not shutil.which("swaks"), reason="swaks is not installed")
def test_swaks(sender, host):
    for port, tls in (("submission", "--tls"), ("submissions", "--tlsc")):
        for mechanism in ("PLAIN", "LOGIN"):
            subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(sender.ports[port]), tls, "--auth", mechanism, "--auth-user", "alice", "--auth-password",
                            posthorn.PASSWORD, "--from", "alice@example.test", "--to", "x@example.org", "--header", f"Subject: swaks {port} {mechanism}",
                            "--pipeline"], check=True, stdout=subprocess.DEVNULL)
            arrived(host, f"swaks {port} {mechanism}")


@pytest.mark.skipif(not shutil.which("msmtp"), reason="msmtp is not installed")
def test_msmtp(sender, host):
    subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={sender.ports['submission']}", "--tls=on", "--tls-starttls=on", "--tls-certcheck=off", "--auth=plain",
                    "--user=alice", f"--passwordeval=echo {posthorn.PASSWORD}", "--from=alice@example.test", "x@example.org"],
                   input=b"Subject: msmtp\n\nbody\n", check=True)
    arrived(host, "msmtp")


def test_curl(sender, host):
    subprocess.run(["curl", "-sS", "--insecure", "--url", f"smtps://127.0.0.1:{sender.ports['submissions']}", "--user", f"alice:{posthorn.PASSWORD}", "--mail-from",
                    "alice@example.test", "--mail-rcpt", "x@example.org", "-T", "-"], input=TEXT.format("curl").encode(), check=True)
    arrived(host, "curl")
