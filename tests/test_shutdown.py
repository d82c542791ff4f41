"""421 when the server ends while mail is brought, by LMTP and submission (RFC 5321 section 3.8): between commands at once, in a text once its
rest did not come. What was answered 250 is there afterwards, and what was not is nowhere."""
import base64
import signal
import threading
import time

import pytest

from lib import server as posthorn
from lib.scanners import Clamd
from lib.smarthost import Smarthost, queue_is_empty
from lib.waiting import wait_for
from lib.wire import Closed, Wire

TEXT = "From: alice@example.test\r\nMessage-ID: <{0}@example.test>\r\nSubject: {0}\r\n\r\n" + "body\r\n" * 5000


class Client:
    """Of one of the two doors."""

    def __init__(self, server, door):
        self.wire = Wire(server.address(door), timeout=240)
        self.answer()
        self.ask("LHLO x" if door == "lmtp" else "EHLO x")
        if door == "submission":
            assert self.ask("AUTH PLAIN " + base64.b64encode(f"\0alice\0{posthorn.PASSWORD}".encode()).decode()).startswith("235 ")
        self.to = ["alice" if door == "lmtp" else "r@far.test"]

    def answer(self):
        """The last line of an answer; empty: the connection ended."""
        try:
            while (line := self.wire.line().decode())[3:4] == "-":
                pass
            return line.rstrip("\r\n")
        except Closed:
            return ""

    def ask(self, line):
        self.wire.send(line.encode() + b"\r\n")
        return self.answer()

    def begin(self):
        assert self.ask("MAIL FROM:<alice@example.test>").startswith("250 ")
        for to in self.to:
            assert self.ask(f"RCPT TO:<{to}>").startswith("250 ")
        return self

    def data(self, text):
        """So far; the end is still to come."""
        assert self.begin().ask("DATA").startswith("354 ")
        self.wire.send(text.encode())
        return self

    def chunk(self, text, more):
        """BDAT of which so many octets are still to come (RFC 3030)."""
        self.begin()
        self.wire.send(f"BDAT {len(text) + more} LAST\r\n{text}".encode())
        return self


@pytest.fixture(name="host")
def one_host():
    host = Smarthost()
    yield host
    host.close()


@pytest.fixture(name="server")
def one_server(host):
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["example.test"], "sent_copy": False},
                             services=(*posthorn.SERVICES, "submission"))
    yield server
    server.stop()


def subjects(server, user="alice"):
    session = server.imap(user)
    rows = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if session.select("INBOX")["EXISTS"] else {}
    session.close()
    return sorted(row["BODY[HEADER.FIELDS (SUBJECT)]"].decode().strip()[9:] for row in rows.values())


def ending(server):
    """It is told to end; who waits for that joins the thread."""
    ended = threading.Thread(target=lambda: (server.process.send_signal(signal.SIGTERM), server.process.wait(60)))
    ended.start()
    return ended


@pytest.mark.parametrize("door", ["lmtp", "submission"])
def test_421(server, host, door):
    idle, between, done = Client(server, door), Client(server, door).begin(), Client(server, door)
    assert done.data(TEXT.format("done")).ask(".").startswith("250 ")
    late, stuck = Client(server, door).data(TEXT.format("late")), Client(server, door).data(TEXT.format("stuck"))
    half = Client(server, door).chunk(TEXT.format("half"), 100)
    ended = ending(server)
    for client in (idle, between, done):
        assert client.answer().startswith("421 4.3.2 ") and client.answer() == ""
    time.sleep(1)  # a role with nothing to do would be gone by now
    said = late.ask(".")  # it has some seconds for that
    assert said[:4] in ("250 ", "421 "), said
    if said.startswith("250 "):
        assert late.answer().startswith("421 4.3.2 ")
    assert late.answer() == ""
    for client in (stuck, half):
        assert client.answer().startswith("421 4.3.2 ") and client.answer() == ""
    ended.join()
    server.start()
    want = sorted(["done"] + (["late"] if said.startswith("250 ") else []))
    if door == "lmtp":
        assert subjects(server) == want
    else:
        wait_for(lambda: queue_is_empty(server), "an empty queue")
        assert sorted(host.subjects()) == want
    assert not list(server.data.glob("staging/*"))


@pytest.mark.parametrize("first", [0, 1])
def test_threads_end_together(first):
    """A session is at home with its first recipient, and visits the second one's thread: that one is there to the end, too."""
    server = posthorn.Server({"mail_threads": 2})
    users = ["alice", "bob"]  # of neighbouring accounts: one in each thread
    try:
        lates = []
        for n in range(2):
            late = Client(server, "lmtp")
            late.to = [users[n], users[1 - n]]
            lates.append(late.data(TEXT.format(f"late {n}")))
        idle = Client(server, "lmtp")
        ended = ending(server)
        assert idle.answer().startswith("421 4.3.2 ")
        said = {}
        for n in (first, 1 - first):
            answers = [lates[n].ask("."), lates[n].answer()]
            assert [line[:4] for line in answers] in (["250 ", "250 "], ["421 ", ""]), answers
            said[n] = dict(zip(lates[n].to, answers))
            time.sleep(0.5)  # a thread with nothing to do would be gone by now
        ended.join()
        server.start()
        for user in users:
            assert subjects(server, user) == [f"late {n}" for n in (0, 1) if said[n][user].startswith("250 ")]
    finally:
        server.stop()


def test_ended_between_two_threads():
    """Sessions that go from home to home with each message: told 421 wherever the end finds them, and what was answered 250 is there."""
    server = posthorn.Server({"mail_threads": 2})
    users = ["alice", "bob"]
    saved = []

    def bring(turn, number):
        client, n, said = Client(server, "lmtp"), 0, "250 "
        while said.startswith("250 "):
            name, n = f"{turn}.{number}.{n}", n + 1
            for lines, good in ((f"MAIL FROM:<a@example.test>\r\nRCPT TO:<{users[n % 2]}>\r\nDATA\r\n", ("250 ", "250 ", "354 ")),
                                (f"Subject: {name}\r\n\r\nbody\r\n.\r\n", ("250 ",))):
                try:
                    client.wire.send(lines.encode())
                except OSError:
                    pass  # the end has come: it was told
                answers = [client.answer() for _ in good]
                said = next((a for a, start in zip(answers, good) if not a.startswith(start)), "250 ")
                if not said.startswith("250 "):
                    break
            else:
                saved.append((users[n % 2], name))
        ends.append(said)

    try:
        for turn in range(3):
            ends, before = [], len(saved)
            clients = [threading.Thread(target=bring, args=(turn, number)) for number in range(8)]
            for client in clients:
                client.start()
            wait_for(lambda: len({name.split(".")[1] for _, name in saved[before:]}) == len(clients))  # all are at it
            ended = ending(server)
            for client in clients:
                client.join(30)
            ended.join()
            assert len(ends) == 8 and all(end.startswith("421 4.3.2 ") for end in ends), ends
            server.start()
            for user in users:
                assert sorted(subjects(server, user)) == sorted(name for whose, name in saved if whose == user)
        assert saved
    finally:
        server.stop()


def test_scanned_to_the_end():
    """What is brought while the server ends is shown to the scanner as ever: it is asked until the sessions are gone."""
    clamd = Clamd()
    server = posthorn.Server({"clamd_socket": clamd.where, "scan_unavailable": "defer"})
    try:
        late = Client(server, "lmtp").data(TEXT.format("late"))
        idle = Client(server, "lmtp")
        ended = ending(server)
        assert idle.answer().startswith("421 4.3.2 ")
        time.sleep(1)
        said = late.ask(".")
        assert said[:4] in ("250 ", "421 "), said
        ended.join()
        server.start()
        assert subjects(server) == (["late"] if said.startswith("250 ") else [])
    finally:
        server.stop()
        clamd.close()


def test_silence_in_a_text(host):
    """RFC 5321 section 4.5.3.2.5: who says nothing in the middle of a text is told so."""
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["example.test"], "test_idle_time": "1s"},
                             services=(*posthorn.SERVICES, "submission"))
    try:
        for begun in (Client(server, "submission").data(TEXT.format("a")), Client(server, "submission").chunk(TEXT.format("b"), 9)):
            assert begun.answer() == "421 4.4.2 No text for too long" and begun.answer() == ""
        assert "Inactivity in a mail" in server.stderr()
    finally:
        server.stop()
    assert not host.mails
