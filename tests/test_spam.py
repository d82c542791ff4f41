"""Scanners at LMTP, learning, the push hook, threads that are muted: with a fake rspamd, clamd and receiver (tests/lib/scanners.py), good and
hostile ones."""
# --json: quarantine list
# --json: quarantine show
# --json: quarantine release
# --json: quarantine delete
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from lib import client, scratch, scripts, server as posthorn
from lib.long import LONG
from lib.peers import free_ports, wait_port
from lib.scanners import EICAR, GTUBE, Clamd, Receiver, Rspamd, is_signed
from lib.waiting import wait_for

numbers = itertools.count(1)
SECRET = "s3cret/with=marks"


def answer(end):
    lines = [end.wire.line()]
    while lines[-1][3:4] == b"-":
        lines.append(end.wire.line())
    return b"\n".join(line.rstrip(b"\r\n") for line in lines).decode()


class User:
    def __init__(self, server, script=None):
        self.server, self.name = server, f"spam{next(numbers)}"
        server.user_add(self.name, posthorn.PASSWORD)
        self.imap = server.imap(self.name)
        if script:
            scripts.put(server, self.name, script)

    def deliver(self, fields="Subject: x", body="hello", to=None, more=()):
        """The answers to all recipients."""
        return deliver(self.server, [to or self.name, *more], fields, body)

    def subjects(self, folder):
        found = self.imap.select(folder)["EXISTS"]
        rows = self.imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if found else {}
        return {re.sub(r"^Subject: |\r\n", "", r["BODY[HEADER.FIELDS (SUBJECT)]"].decode()): set(r["FLAGS"]) - {"\\Recent"} for r in rows.values()}

    def whole(self, folder):
        self.imap.select(folder)
        return self.imap.fetch("*", "(BODY.PEEK[])").popitem()[1]["BODY[]"].decode(errors="replace")


def deliver(server, to, fields="Subject: x", body="hello", timeout=120):
    lmtp = client.Lmtp(server.address("lmtp"), timeout=timeout)
    data = body if isinstance(body, bytes) else body.encode()
    lines = ["MAIL FROM:<sender@example.org>", *(f"RCPT TO:<{name}>" for name in to), "DATA"]
    lmtp.wire.send("".join(line + "\r\n" for line in lines).encode())
    for _ in lines:
        lmtp.reply()
    lmtp.wire.send(f"From: Ann <ann@example.org>\r\n{fields}\r\n\r\n".encode() + data + b"\r\n.\r\n")
    try:
        return [answer(lmtp) for _ in to]
    finally:
        lmtp.close()


def metrics(server):
    with urllib.request.urlopen(f"http://{server.http}/metrics", timeout=20) as page:
        return page.read().decode()


def number(server, name):
    return float(re.search(rf"^posthorn_{re.escape(name)} (.*)$", metrics(server), re.M)[1])


@pytest.fixture(scope="module", name="where")
def make_where():
    """One server with all of it."""
    folder = scratch.folder("clamd")
    rspamd, clamd, receiver = Rspamd(password="pw"), Clamd(folder / "clamd.ctl"), Receiver()
    os.chmod(folder, 0o755)
    port = free_ports(1)[0]
    server = posthorn.Server({"rspamd_url": rspamd.url, "rspamd_learn_url": rspamd.url + "/", "rspamd_password": "pw", "clamd_socket": clamd.where,
                              "scan_timeout": "2s", "push_url": receiver.url, "push_secret": SECRET, "push_token": "tok", "sieve_spam_score": 15,
                              "http": [f"127.0.0.1:{port}"], "log_level": "debug"})
    server.http, server.rspamd, server.clamd, server.receiver = f"127.0.0.1:{port}", rspamd, clamd, receiver
    try:
        yield server
    finally:
        server.stop()
        for fake in (rspamd, clamd, receiver):
            fake.close()


@pytest.fixture(autouse=True)
def tame(request):
    yield
    if "where" in request.fixturenames:
        server = request.getfixturevalue("where")
        server.rspamd.say = server.clamd.say = None
        server.receiver.failures.clear()


def test_verdicts(where):
    """Ham stays, spam goes into \\Junk, each scanner sees a message once and as it came, whoever gets it."""
    ann, bob = User(where), User(where)
    before = len(where.rspamd.scans), len(where.clamd.streams)
    head = ("Received: from mx.example.net (mx.example.net [192.0.2.7])\r\n\tby here (Postfix) with ESMTP id 1;\r\n\tFri, 27 Nov 2026 01:00:00 +0000\r\n"
            "X-Spam-Flag: YES\r\nX-Spam-Status: Yes,\r\n\tscore=99\r\nX-Virus-Status: infected\r\nX-Score: {}\r\nSubject: {}")
    assert all(a.startswith("250") for a in ann.deliver(head.format("1.25", "ham"), more=[bob.name]))
    assert ann.deliver(head.format("7.5", "spam"), "a\r\n..b")[0].startswith("250")
    assert ann.deliver(head.format("20", "sure"))[0].startswith("250")
    assert set(ann.subjects("INBOX")) == {"ham"} and set(bob.subjects("INBOX")) == {"ham"}
    assert set(ann.subjects("Junk")) == {"spam", "sure"}
    assert (len(where.rspamd.scans), len(where.clamd.streams)) == (before[0] + 3, before[1] + 3)
    path, fields, recipients, body = where.rspamd.scans[before[0]]
    assert path == "/checkv2" and recipients == [ann.name, bob.name] and "Deliver-To" not in fields
    assert (fields["From"], fields["IP"], fields["Helo"]) == ("sender@example.org", "192.0.2.7", "mx.example.net")
    assert body.startswith(b"From: Ann <ann@example.org>\r\nReceived: from mx") and b"X-Spam-Flag: YES" in body
    assert where.rspamd.scans[before[0] + 1][1]["Deliver-To"] == ann.name
    assert where.rspamd.scans[before[0] + 1][3].endswith(b"\r\n\r\na\r\n.b\r\n") and where.clamd.streams[-2] == where.rspamd.scans[-2][3]
    text = bob.whole("INBOX")
    assert text.startswith("Return-Path: <sender@example.org>\r\n") and "X-Spam-Flag" not in text
    assert "X-Spam-Status: No, score=1.25 required=15.00\r\n\ttests=TEST(1.25)\r\n" in text
    assert "X-Spam-Score: 1.25\r\n" in text and "X-Spam-Level: *\r\n" in text and "X-Virus-Status: clean\r\n" in text
    assert text.count("X-Spam-") == 3 and "score=99" not in text and "infected" not in text and text.endswith("\r\n\r\nhello\r\n")
    ann.imap.select("Junk")
    assert "X-Spam-Flag: YES\r\n" in ann.imap.fetch("1", "(BODY.PEEK[])").popitem()[1]["BODY[]"].decode()


def test_scripts(where):
    """spamtest, spamtestplus and virustest (RFC 5235) go by what the scanners said; what a script says goes before Junk."""
    ann = User(where, """require ["spamtest", "spamtestplus", "virustest", "relational", "comparator-i;ascii-numeric", "fileinto", "editheader", "mailbox"];
if spamtest :value "eq" :comparator "i;ascii-numeric" "0" { addheader "X-R" "untested"; }
if spamtest :value "eq" :comparator "i;ascii-numeric" "5" { addheader "X-R" "five"; }
if spamtest :percent :value "eq" :comparator "i;ascii-numeric" "50" { addheader "X-R" "half"; }
if spamtest :percent :value "eq" :comparator "i;ascii-numeric" "100" { addheader "X-R" "all"; }
if virustest :value "eq" :comparator "i;ascii-numeric" "1" { addheader "X-R" "clean"; }
if virustest :value "eq" :comparator "i;ascii-numeric" "0" { addheader "X-R" "unseen"; }
if header :is "subject" "kept" { keep; }
if header :is "subject" "filed" { fileinto :create "Mine"; }
if header :is "subject" "dropped" { discard; }
""")
    for subject in ("kept", "filed", "dropped", "unsaid"):
        assert ann.deliver(f"X-Score: 7.5\r\nSubject: {subject}")[0].startswith("250")
    assert set(ann.subjects("INBOX")) == {"kept"} and set(ann.subjects("Mine")) == {"filed"} and set(ann.subjects("Junk")) == {"unsaid"}
    assert set(re.findall(r"X-R: (.*)\r", ann.whole("INBOX"))) == {"half", "clean", "five"}  # 1 + 9 * 7.5 / 15, and 50 per cent
    ann.deliver("X-Score: 15\r\nSubject: kept")
    assert set(re.findall(r"X-R: (.*)\r", ann.whole("INBOX"))) == {"all", "clean"}
    where.clamd.say = lambda sock, body: sock.sendall(b"INSTREAM size limit exceeded. ERROR\0") or True
    where.rspamd.say = lambda handler, path, body: handler.answer(b"{}") or True
    ann.deliver("X-Spam-Score: 15\r\nSubject: kept")
    assert set(re.findall(r"X-R: (.*)\r", ann.whole("INBOX"))) == {"untested", "unseen"}


def test_detail_and_no_junk(where):
    """Spam goes into Junk, not into the detail's folder; without a folder Junk it stays in INBOX."""
    ann = User(where)
    ann.imap.command("CREATE lists")
    ann.deliver("X-Score: 9\r\nSubject: one", to=f"{ann.name}+lists")
    ann.deliver("X-Score: 0\r\nSubject: two", to=f"{ann.name}+lists")
    assert set(ann.subjects("Junk")) == {"one"} and set(ann.subjects("lists")) == {"two"}
    ann.imap.command("SELECT INBOX")
    ann.imap.command("DELETE Junk")
    ann.deliver("X-Score: 9\r\nSubject: three")
    assert set(ann.subjects("INBOX")) == {"three"}


def test_refuse_and_reload(where):
    """550, by settings that a reload changes; a virus that either scanner finds."""
    ann = User(where)
    where.reload(spam_sure_action="refuse", spam_action="none", virus_action="refuse")
    try:
        assert ann.deliver("X-Score: 15\r\nSubject: a") == ["550 5.7.1 Refused: the message is spam"]
        assert ann.deliver("X-Score: 7\r\nSubject: b")[0].startswith("250")
        assert ann.deliver("Subject: c", EICAR) == ["550 5.7.1 Refused: the message contains a virus"]
        assert ann.deliver("Subject: d", "rspamd-virus") == ["550 5.7.1 Refused: the message contains a virus"]
        assert set(ann.subjects("INBOX")) == {"b"} and ann.subjects("Junk") == {}
    finally:
        where.reload(spam_sure_action="junk", spam_action="junk", virus_action="quarantine")


def test_doctor(where):
    """It shows a small mail to each scanner, and says what is wrong."""
    def row():
        done = subprocess.run([posthorn.binary(), "doctor", "-c", where.config], stdout=subprocess.PIPE, check=False, timeout=120)
        return next(line.split(None, 2) for line in done.stdout.decode().splitlines() if line.startswith("scanners"))

    assert row()[1:] == ["ok", f"{where.rspamd.url}, {where.clamd.where} answer"]
    where.clamd.say = lambda sock, body: sock.sendall(b"what?\0") or True
    assert row()[1:] == ["WRONG", "clamd's answer is not what its protocol says"]


def test_too_large(where):
    """What is larger than scanners see (50 MiB, or what clamd takes) is delivered unseen, whole, with a mark, and others' fields go all the same; or
    as scan_too_large has it."""
    ann, before = User(where), len(where.rspamd.scans)
    body = b"\r\n".join([b"x" * 998] * (53 << 10))
    assert ann.deliver("X-Spam-Flag: YES\r\nSubject: large", body)[0].startswith("250")
    assert len(where.rspamd.scans) == before
    text = ann.whole("INBOX")
    assert text.endswith("\r\n\r\n" + body.decode() + "\r\n") and "X-Spam-" not in text[:2000]
    assert text.count("X-Virus-Status: unscanned (too large)\r\n") == 1 and text.index("X-Virus") < text.index("From: Ann")
    assert "too large for the scanners" in where.stderr()
    where.clamd.say = lambda sock, body: sock.sendall(b"INSTREAM size limit exceeded. ERROR\0") or True
    try:
        for action, want in (("deliver", "250 2.0.0"), ("refuse", "550 5.7.1 Refused: the message is too large to be scanned"),
                             ("quarantine", "250 2.0.0")):
            where.reload(scan_too_large=action, scan_unavailable="defer")
            for text in (body, b"small"):
                assert ann.deliver(f"Subject: {action}", text)[0].startswith(want)
    finally:
        where.reload(scan_too_large="deliver", scan_unavailable="deliver")
    assert set(ann.subjects("INBOX")) == {"large", "deliver"} and "X-Virus-Status: unscanned (too large)\r\n" in ann.whole("INBOX")
    entries = rows_of_quarantine(where, "list", ann.name)[:-1]
    assert [e["reason"] for e in entries] == ["too large for a scanner"] * 2
    for entry in entries:
        quarantine(where, "delete", entry["id"])


def test_no_room_for_the_trace():
    """A mail that fails before a scanner has seen any of it is refused for that reason."""
    rspamd = Rspamd()
    server = posthorn.Server({"rspamd_url": rspamd.url, "message_size_max": "100", "spam_headers": False})
    try:
        ann = User(server)
        for _ in range(3):
            assert ann.deliver("Subject: x")[0].startswith("552 5.3.4")
    finally:
        server.stop()
        rspamd.close()


def test_no_memory_for_scanners():
    """Without memory to keep a mail for the scanners it is one that they did not see: scan_unavailable."""
    rspamd = Rspamd()
    server = posthorn.Server({"rspamd_url": rspamd.url, "memory_soft": "12M", "memory_hard": "20M", "scan_unavailable": "defer"})
    try:
        ann, body = User(server), b"\r\n".join([b"x" * 998] * (30 << 10))
        assert ann.deliver("Subject: large", body)[0].startswith("451") and "there is no memory to keep it" in server.stderr()
        server.reload(scan_unavailable="deliver")
        assert ann.deliver("Subject: large", body)[0].startswith("250")
        assert not rspamd.scans and "X-Virus-Status: unscanned (no answer)\r\n" in ann.whole("INBOX")[:2000]
    finally:
        server.stop()
        rspamd.close()


def test_too_many_for_slow_scanners(where):
    """Who waited for a scanner for as long as one message may waits no longer: mail is not held up by the mail before it."""
    where.rspamd.say = lambda handler, path, body: time.sleep(4)
    users = [User(where) for _ in range(4)]
    threads = [threading.Thread(target=u.deliver, args=(f"Subject: {i}",)) for u in users for i in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert all(len(u.subjects("INBOX")) == 14 for u in users)
    assert "too many messages wait for it" in where.stderr()


def test_no_scanner():
    """Without one no role runs, and fields stay as they came; one that died before the first mail is as one that does not answer."""
    server = posthorn.Server()
    try:
        assert "scan" not in server.roles()
        ann = User(server)
        ann.deliver("X-Spam-Flag: YES\r\nX-Spam-Status: Yes\r\nSubject: x")
        assert "X-Spam-Flag: YES\r\nX-Spam-Status: Yes\r\n" in ann.whole("INBOX")
    finally:
        server.stop()


def test_sandbox():
    """The role tries to leave its sandbox (os/probe.h)."""
    server = posthorn.Server({"rspamd_url": "http://127.0.0.1:9", "test_probe": True})
    try:
        wait_for(lambda: "(scan): Info: probe: the sandbox holds" in server.stderr(), "the probe ends")
        assert "DOES NOT HOLD" not in server.stderr()
    finally:
        server.stop()


def quarantine(where, *words):
    return posthorn.run_verb("quarantine", *words, "--data", where.data).decode()


def rows_of_quarantine(where, *words):
    return [json.loads(line) for line in quarantine(where, *words, "--json").splitlines()]


def test_quarantine(where):
    """Per recipient, durable, in nobody's quota; listed, shown, released, deleted; gone with its time."""
    ann, bob = User(where), User(where)
    used = posthorn.run_verb("quota", "show", ann.name, "--data", where.data)
    assert ann.deliver("Subject: evil", b"x\r\n" + EICAR, more=[bob.name]) == [f"250 2.0.0 <{u.name}> Saved" for u in (ann, bob)]
    assert ann.subjects("INBOX") == ann.subjects("Junk") == {}
    assert posthorn.run_verb("quota", "show", ann.name, "--data", where.data) == used
    row, count = quarantine(where, "list", ann.name).splitlines()
    one = row.split("\t")[0]
    assert re.fullmatch(rf"[0-9a-f]{{16}}\t20\S+\t{ann.name}\tfrom <sender@example.org> to <{ann.name}>\t\d+ octets\tvirus Eicar-Test", row), row
    assert count == "1 message"
    two = quarantine(where, "list", bob.name).split("\t")[0]
    shown = quarantine(where, "show", one)
    assert shown.startswith(row) and "\tSubject: evil" in shown and "\tX-Virus-Status: infected (Eicar-Test)" in shown
    entry, total = rows_of_quarantine(where, "list", ann.name)
    assert total == {"type": "quarantine", "messages": 1} and entry.pop("octets") > 0 and entry.pop("since").startswith("20")
    assert entry == {"type": "quarantined", "id": one, "user": ann.name, "from": "sender@example.org", "to": ann.name, "reason": "virus Eicar-Test"}
    told, *header = rows_of_quarantine(where, "show", one)
    assert told["id"] == one and {"type": "header", "line": "Subject: evil"} in header
    where.kill()
    where.start()
    ann.imap = where.imap(ann.name)
    assert quarantine(where, "release", one) == f"{one} is in INBOX now\n"
    assert set(ann.subjects("INBOX")) == {"evil"} and EICAR.decode() in ann.whole("INBOX")
    assert quarantine(where, "list", ann.name) == "0 messages\n"
    for words in (("release", one), ("show", one), ("delete", one), ("show", "x")):
        with pytest.raises(RuntimeError, match="nothing in quarantine has that id|an id as"):
            quarantine(where, *words)
    assert quarantine(where, "delete", two) == f"{two} deleted\n"
    assert quarantine(where, "list") == "0 messages\n"
    for verb, done in (("release", "is in INBOX now"), ("delete", "deleted")):
        ann.deliver("Subject: evil again", b"x\r\n" + EICAR)
        entry, _ = rows_of_quarantine(where, "list")
        assert rows_of_quarantine(where, verb, entry["id"]) == [{"type": "quarantine", "id": entry["id"], "done": done}]
    posthorn.run_verb("verify", "--data", where.data)


HOSTILE = {
    "garbage": lambda h: h.answer(b"\0\xff" * 1000),
    "not what it should be": lambda h: h.answer({"score": [], "action": 1}),
    "endless": lambda h: h.answer(b"{" + b" " * 3000000),
    "status": lambda h: h.answer({"error": "x"}, 500),
    "redirect": lambda h: (h.send_response(302), h.send_header("Location", "http://127.0.0.1:1/"), h.send_header("Content-Length", "0"), h.end_headers()),
    "cut": lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"score\":"), h.wfile.flush(), h.connection.shutdown(socket.SHUT_RDWR)),
    "no HTTP": lambda h: h.wfile.write(b"220 smtp.example ESMTP\r\n"),
    "silent": lambda h: time.sleep(4),
    "trickle": lambda h: [h.wfile.write(b"HTTP/1.1 200 OK\r\n")] + [(h.wfile.write(b"X-A: b\r\n"), time.sleep(0.2)) for _ in range(20)],
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_rspamd(where, how):
    """Whatever it says, the mail is delivered, or comes again, as the setting has it; and it takes no longer than scan_timeout."""
    ann = User(where)
    where.rspamd.say = lambda handler, path, body: HOSTILE[how](handler) or True
    failed, begun = number(where, "scans_failed_total"), time.monotonic()
    assert ann.deliver("Subject: in")[0].startswith("250")
    assert time.monotonic() - begun < 20  # 2 s, on a slow machine
    assert number(where, "scans_failed_total") == failed + 1
    assert set(ann.subjects("INBOX")) == {"in"} and "X-Virus-Status: clean" in ann.whole("INBOX") and "X-Spam-" not in ann.whole("INBOX")
    where.reload(scan_unavailable="defer")
    try:
        assert ann.deliver("Subject: later")[0].startswith("451 4.3.0")
        where.rspamd.say = None
        assert ann.deliver("Subject: later")[0].startswith("250")
    finally:
        where.reload(scan_unavailable="deliver")
    assert set(ann.subjects("INBOX")) == {"in", "later"}


CLAMD = {
    "garbage": lambda sock: sock.sendall(b"\xff" * 100 + b"\0"),
    "endless": lambda sock: sock.sendall(b"stream: " + b"A" * 1000000),
    "mute": lambda sock: None,
    "silent": lambda sock: time.sleep(4),
    "half": lambda sock: sock.sendall(b"stream: OK"),
}


@pytest.mark.parametrize("how", CLAMD)
def test_hostile_clamd(where, how):
    ann = User(where)
    where.clamd.say = lambda sock, body: CLAMD[how](sock) or True
    failed = number(where, "scans_failed_total")
    assert ann.deliver("X-Score: 7\r\nSubject: in")[0].startswith("250")
    assert number(where, "scans_failed_total") == failed + 1
    assert set(ann.subjects("Junk")) == {"in"} and "X-Virus-Status: unscanned (no answer)\r\n" in ann.whole("Junk")


def test_many_at_once(where):
    """Slow scanners hold up nobody who has no part in it."""
    users = [User(where) for _ in range(4)]
    where.rspamd.say = lambda handler, path, body: time.sleep(0.3)
    threads = [threading.Thread(target=u.deliver, args=(f"Subject: {i}",)) for u in users for i in range(10)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    users[0].imap.command("NOOP")
    assert time.monotonic() - begun < 5
    for thread in threads:
        thread.join(120)
    assert all(len(u.subjects("INBOX")) == 10 for u in users)


def test_role_killed(where):
    """kill -9 of the role while mail flows: everything that was answered 250 is there once, with a score; nothing else was answered."""
    ann, stop, answers = User(where), threading.Event(), []

    def flow(k):
        for i in itertools.count():
            if stop.is_set():
                return
            answers.append((f"m{k}-{i}", ann.deliver(f"X-Score: 1\r\nSubject: m{k}-{i}")[0]))

    threads = [threading.Thread(target=flow, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.7)
        for pid in where.pids("scan"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: where.pids("scan"), "the role comes back")
    time.sleep(0.7)
    stop.set()
    for thread in threads:
        thread.join(120)
    assert {a[1][:3] for a in answers} == {"250"}
    ann.imap.select("INBOX")
    found = [re.sub(r"^Subject: |\r\n", "", r["BODY[HEADER.FIELDS (SUBJECT)]"].decode())
             for r in ann.imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values()]
    assert sorted(found) == sorted(a[0] for a in answers)
    deaths = [line for line in where.stderr().splitlines() if "a role died" in line and "name=scan" in line]
    assert len(deaths) >= 3


# ---- learning ----

def lessons_of(where, subject):
    return [what for what, of in where.rspamd.lessons() if of == subject]


def test_learning(where):
    """COPY, MOVE, APPEND and the keywords; not what a rule filed, not to Trash; each once."""
    ann = User(where)
    mail = lambda subject: ann.deliver(f"Subject: {subject}")
    for subject in ("moved", "copied", "flagged", "notjunk", "trash"):
        mail(ann.name + subject)
    ann.deliver(f"X-Score: 9\r\nSubject: {ann.name}rule")
    ann.deliver(f"X-Score: 9\r\nSubject: {ann.name}thrown")
    ann.imap.select("INBOX")
    ann.imap.command("MOVE 1 Junk")
    ann.imap.command("COPY 1 Junk")
    ann.imap.command("STORE 2 +FLAGS ($Junk)")
    ann.imap.command("STORE 2 +FLAGS (\\Seen)")
    ann.imap.command("STORE 3 +FLAGS ($NotJunk)")
    ann.imap.command("MOVE 4 Trash")
    ann.imap.append("Junk", f"Subject: {ann.name}appended\r\n\r\nx\r\n".encode())
    wait_for(lambda: lessons_of(where, ann.name + "appended"), "it is learnt")
    for subject, want in (("moved", ["spam"]), ("copied", ["spam"]), ("flagged", ["spam"]), ("notjunk", ["ham"]), ("trash", []), ("rule", []), ("appended", ["spam"])):
        assert lessons_of(where, ann.name + subject) == want, subject
    found = ann.subjects("Junk")
    assert set(found) == {ann.name + s for s in ("rule", "thrown", "moved", "copied", "appended")}
    for subject, folder in (("thrown", "Trash"), ("rule", "INBOX"), ("moved", "INBOX")):
        lines, _ = ann.imap.command(f"SEARCH SUBJECT {ann.name}{subject}")
        ann.imap.command(f"MOVE {lines[0].split()[2].decode()} {folder}")
    wait_for(lambda: lessons_of(where, ann.name + "moved") == ["spam", "ham"], "it is learnt")
    assert lessons_of(where, ann.name + "rule") == ["ham"] and lessons_of(where, ann.name + "thrown") == []
    told = next(t for t in where.rspamd.learnt if f"Subject: {ann.name}moved".encode() in t[3])
    assert told[1]["Deliver-To"] == ann.name and b"\r\n\r\nhello\r\n" in told[3]


def test_learning_in_labels_mode(where):
    """Labels instead of folders (decision 0009)."""
    ann = User(where)
    ann.deliver(f"Subject: {ann.name}one")
    where.labels(ann.name, "on")
    ann.imap = where.imap(ann.name)
    ann.imap.select("INBOX")
    ann.imap.command('STORE 1 +X-GM-LABELS ("\\\\Spam")')
    wait_for(lambda: lessons_of(where, ann.name + "one") == ["spam"], "it is learnt")
    ann.imap.select("INBOX")
    ann.imap.command('STORE 1 -X-GM-LABELS ("\\\\Spam")')
    wait_for(lambda: lessons_of(where, ann.name + "one") == ["spam", "ham"], "it is learnt")


def test_learning_waits_for_nobody(where):
    """A controller that hangs, refuses, or is not there: the command is done at once; the rest is logged and counted."""
    ann = User(where)
    for i in range(3):
        ann.deliver(f"Subject: {ann.name}{i}")
    where.rspamd.say = lambda handler, path, body: path != "/checkv2" and (handler.answer({"error": "no"}, 400) or True)
    failed = number(where, 'learnt_total{result="failed"}')
    ann.imap.select("INBOX")
    ann.imap.command("MOVE 1 Junk")
    wait_for(lambda: number(where, 'learnt_total{result="failed"}') == failed + 1, "it is counted")
    where.rspamd.say = lambda handler, path, body: path != "/checkv2" and (time.sleep(1.5) or True)
    begun = time.monotonic()
    ann.imap.command("MOVE 1 Junk")
    ann.imap.command("NOOP")
    assert time.monotonic() - begun < 1.4
    where.rspamd.say = None
    wait_for(lambda: "spam" in lessons_of(where, ann.name + "1"), "it is learnt at the next try")


def test_learning_has_bounds(where):
    """More at once than the queue takes: 1,000 are tried, the others logged and counted, and the command waits for none."""
    ann = User(where)
    ann.imap.append_all("INBOX", [b"Subject: %d\r\n\r\nx\r\n" % i for i in range(1200)])
    where.rspamd.say = lambda handler, path, body: path != "/checkv2" and (handler.answer({"error": "no"}, 400) or True)
    failed = number(where, 'learnt_total{result="failed"}')
    ann.imap.select("INBOX")
    ann.imap.command("STORE 1:* +FLAGS.SILENT ($Junk)")
    wait_for(lambda: number(where, 'learnt_total{result="failed"}') >= failed + 1200, "all are counted")
    assert f"not all messages are learnt: too many wait: user=<{ann.name}>" in where.stderr()


# ---- the push hook ----

def test_push(where):
    """What comes within a moment is one POST, signed; no senders, no subjects; nobody is told of junk."""
    ann = User(where)
    for i in range(3):
        ann.deliver(f"Subject: {i}")
    ann.deliver("X-Score: 9\r\nSubject: junk")
    wait_for(lambda: sum(t["new"] for t in where.receiver.told(ann.name)) == 3, "it is told")
    text = where.receiver.told(ann.name)[0]
    assert text["event"] == "new" and text["mailboxes"][0]["name"] == "INBOX" and "messages" not in text and set(text) == {"event", "user", "new", "mailboxes"}
    body, fields = where.receiver.texts[-1], where.receiver.headers[-1]
    assert fields["Authorization"] == "Bearer tok" and fields["Content-Type"] == "application/json"
    assert is_signed(fields["X-Posthorn-Signature"], SECRET, body) and not is_signed(fields["X-Posthorn-Signature"], "other", body)


def test_push_details_and_retry(where):
    """A receiver that is down is asked again; what it refuses is given up."""
    ann = User(where)
    where.reload(push_details=True)
    try:
        where.receiver.failures[:] = [503, 500]
        ann.deliver("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=")
        told = wait_for(lambda: where.receiver.told(ann.name), "it is told")
        assert told[0]["messages"] == [{"mailbox": "INBOX", "uidvalidity": told[0]["messages"][0]["uidvalidity"], "uid": 1,
                                        "from": "Ann <ann@example.org>", "subject": "Grüße"}]
        failed = number(where, 'pushes_total{result="failed"}')
        where.receiver.failures[:] = [410]
        ann.deliver("Subject: gone")
        wait_for(lambda: number(where, 'pushes_total{result="failed"}') == failed + 1, "it is given up")
        ann.deliver("Subject: next")
        wait_for(lambda: len(where.receiver.told(ann.name)) == 2, "it is told")
    finally:
        where.reload(push_details=False)


# ---- threads (RFC 9979) ----

def reply(ann, subject, of, more=""):
    return ann.deliver(f"Message-ID: <{subject.replace(' ', '')}{next(numbers)}@x>\r\nIn-Reply-To: <{of}@x>\r\n{more}Subject: Re: {of}")[0]


def test_muted(where):
    """Mail of a muted thread is archived, read, and nobody is told; $followed wins; a script's word goes before."""
    ann = User(where)
    for of in ("a", "b"):
        assert ann.deliver(f"Message-ID: <{of}@x>\r\nSubject: {of}")[0].startswith("250")
    wait_for(lambda: where.receiver.told(ann.name), "it is told")
    ann.imap.select("INBOX")
    ann.imap.command("STORE 1 +FLAGS ($muted)")
    told = sum(t["new"] for t in where.receiver.told(ann.name))
    reply(ann, "one", "a")
    reply(ann, "two", "b")
    assert ann.subjects("Archive") == {"Re: a": {"\\Seen"}} and set(ann.subjects("INBOX")) == {"a", "b", "Re: b"}
    wait_for(lambda: sum(t["new"] for t in where.receiver.told(ann.name)) == told + 1, "b is told")
    ann.imap.select("INBOX")
    ann.imap.command("STORE 1 +FLAGS ($followed)")
    reply(ann, "three", "a")
    assert ann.subjects("INBOX")["Re: a"] == {"$notify"} and len(ann.subjects("Archive")) == 1
    reply(ann, "four", "a", "X-Score: 9\r\n")
    assert "Re: a" in ann.subjects("Junk")


def test_muted_with_a_script(where):
    ann = User(where, 'if header :is "x-keep" "yes" { keep; }')
    ann.deliver("Message-ID: <c@x>\r\nSubject: c")
    ann.imap.select("INBOX")
    ann.imap.command("STORE 1 +FLAGS ($muted)")
    reply(ann, "one", "c")
    assert ann.subjects("Archive") == {"Re: c": {"\\Seen"}}
    reply(ann, "two", "c", "X-Keep: yes\r\n")
    assert ann.subjects("INBOX")["Re: c"] == set()


def test_muted_in_labels_mode(where):
    """There it loses the label of INBOX: it is in \\All alone."""
    ann = User(where)
    ann.deliver("Message-ID: <d@x>\r\nSubject: d")
    where.labels(ann.name, "on")
    ann.imap = where.imap(ann.name)
    ann.imap.select("INBOX")
    ann.imap.command("STORE 1 +FLAGS ($muted)")
    reply(ann, "one", "d")
    assert set(ann.subjects("INBOX")) == {"d"} and set(ann.subjects("All Mail")) == {"d", "Re: d"}
    assert "\\Seen" in ann.subjects("All Mail")["Re: d"]


# ---- the true rspamd (Debian's), in the long form ----

CONF = """
options {{ pidfile = "{run}/pid"; filters = "regexp"; dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }} tempdir = "{run}"; history_file = ""; rrd = ""; }}
logging {{ type = "file"; filename = "{run}/log"; level = "info"; }}
actions {{ reject = 15; add_header = 14; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
worker "normal" {{ bind_socket = "127.0.0.1:{scan}"; count = 1; }}
worker "controller" {{ bind_socket = "127.0.0.1:{learn}"; count = 1; password = "pw"; enable_password = "pw"; secure_ip = []; }}
classifier "bayes" {{ tokenizer {{ name = "osb"; }} backend = "sqlite3"; min_tokens = 2; min_learns = 1; cache {{ type = "sqlite3"; path = "{run}/cache"; }}
  statfile {{ symbol = "BAYES_HAM"; path = "{run}/ham"; spam = false; }} statfile {{ symbol = "BAYES_SPAM"; path = "{run}/spam"; spam = true; }} }}
"""


@pytest.mark.skipif(not LONG, reason="the long form installs rspamd")
def test_true_rspamd():
    """GTUBE is spam, other mail is not; it learns what is moved, and says so when it knows it already."""
    folder = scratch.folder("rspamd")
    scan, learn = free_ports(2)
    (folder / "conf").write_text(CONF.format(run=folder, scan=scan, learn=learn))
    process = subprocess.Popen(["rspamd", "-f", "-i", "-c", folder / "conf", f"--var=DBDIR={folder}", f"--var=RUNDIR={folder}"])
    server = None
    try:
        for port in (scan, learn):
            wait_port(port, process, 300)
        server = posthorn.Server({"rspamd_url": f"http://127.0.0.1:{scan}", "rspamd_learn_url": f"http://127.0.0.1:{learn}", "rspamd_password": "pw"})
        ann = User(server)
        assert ann.deliver("Date: Fri, 27 Nov 2026 01:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nSubject: lunch", "Are you coming to lunch at noon?")[0].startswith("250")
        assert ann.deliver("Subject: spam", GTUBE)[0].startswith("250")
        assert set(ann.subjects("INBOX")) == {"lunch"} and set(ann.subjects("Junk")) == {"spam"}
        assert "X-Spam-Status: No, score=" in ann.whole("INBOX") and "GTUBE" in ann.whole("Junk")
        bob = User(server)
        bob.deliver("Date: Fri, 27 Nov 2026 01:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nSubject: lunch", "Are you coming to lunch at noon?")
        for user in (ann, bob):  # the second time it says 404, already learned
            user.imap.select("INBOX")
            user.imap.command("MOVE 1 Junk")
            wait_for(lambda: f"learnt: user=<{user.name}>" in server.stderr(), "it says what became of it")
        assert "not learnt" not in server.stderr(), server.stderr()[-2000:]
    finally:
        if server:
            server.stop()
        process.terminate()
        process.wait(60)
