"""Aliases and forwards that lead elsewhere go out through the relay when LMTP has the mail (docs/mta.md)."""
import email
import json
import os
import signal
import time

import pytest

from lib import client, server as posthorn
from lib.smarthost import Smarthost

MESSAGE = b"From: s@far.test\r\nTo: x@a.test\r\nSubject: %s\r\nMessage-ID: <1@far.test>\r\n\r\n.dot\r\nbody\r\n"


@pytest.fixture(name="host")
def one_host():
    host = Smarthost()
    yield host
    host.close()


@pytest.fixture(name="where")
def one_server(host):
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "test_relay_retry_ms": 100, "local_domains": ["a.test"]})
    for user in ("ann", "eve"):
        server.user_add(user)
    yield server
    server.stop()


def verb(where, *words):
    return [json.loads(line) for line in posthorn.run_verb("--json", *words, "--data", where.data).decode().splitlines()]


def wait(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def lmtp(where):
    return client.Lmtp(where.address("lmtp"))


def send(where, recipients, subject=b"one", sender="s@far.test", before=b""):
    """The answer for each recipient, to RCPT or to the message."""
    relay, answers = lmtp(where), {}
    relay.command(f"MAIL FROM:<{sender}>")
    for recipient in recipients:
        try:
            relay.command(f"RCPT TO:<{recipient}>")
            answers[recipient] = None
        except client.Refused as why:
            answers[recipient] = str(why)
    taken = [r for r in recipients if answers[r] is None]
    if taken:
        relay.command("DATA")
        relay.wire.send(before + MESSAGE.replace(b"\r\n.", b"\r\n..") % subject + b".\r\n")
        for recipient in taken:
            answers[recipient] = relay.wire.line().decode()
    relay.close()
    return answers


def inbox(where, user):
    session = where.imap(user)
    n = session.select("INBOX")["EXISTS"]
    session.close()
    return n


def test_an_alias_leads_elsewhere(host, where):
    verb(where, "address", "add", "sales@a.test", "ann", "r@far.test", "q.x@far.test")
    verb(where, "address", "add", "only@a.test", "r@far.test")
    answers = send(where, ["sales@a.test"])
    assert answers["sales@a.test"].startswith("250 2.0.0") and inbox(where, "ann") == 1
    mail, = wait(lambda: host.mails)
    assert mail["from"] == "s@far.test" and sorted(mail["to"]) == ["q.x@far.test", "r@far.test"]
    header = email.message_from_bytes(mail["text"])
    assert header["X-Sieve-Redirected-From"] == "sales@a.test" and header["Return-Path"] is None and header["Delivered-To"] is None
    assert header["Subject"] == "one" and len(header.get_all("Received")) == 1
    assert mail["text"].endswith(b"\r\n\r\n.dot\r\nbody\r\n")
    # two recipients that lead to one address: once
    answers = send(where, ["sales@a.test", "only@a.test"], b"two")
    assert all(answer.startswith("250 ") for answer in answers.values())
    wait(lambda: verb(where, "queue", "count")[0]["mails"] == 0)
    assert sorted(to for mail in host.mails[1:] for to in mail["to"]) == ["q.x@far.test", "r@far.test"]
    assert "lmtp" in where.stderr() and "forwarded" in where.stderr()


def test_a_user_forwards(host, where):
    verb(where, "user", "set", "eve", "forward=eve@far.test", "keep=no")
    assert send(where, ["eve@a.test"])["eve@a.test"].startswith("250 ")
    wait(lambda: len(host.mails) == 1)
    assert host.mails[0]["to"] == ["eve@far.test"]
    verb(where, "user", "set", "eve", "keep=yes")
    assert send(where, ["eve+lists@a.test"], b"kept")["eve+lists@a.test"].startswith("250 ")
    wait(lambda: len(host.mails) == 2)
    assert inbox(where, "eve") == 1
    # a report (from <>) goes on as one, and nothing comes back of it
    host.answers["RCPT"] = lambda session, line: "550 5.1.1 no"
    assert send(where, ["eve@a.test"], b"bounce", sender="")["eve@a.test"].startswith("250 ")
    wait(lambda: verb(where, "queue", "count")[0]["failed"] == 1)
    assert host.commands[-4].startswith("MAIL FROM:<> ") or any(c.startswith("MAIL FROM:<>") for c in host.commands)
    assert inbox(where, "eve") == 2  # and it is not lost: the user keeps it
    # one from a user here that cannot go there comes back to them
    assert send(where, ["eve@a.test"], b"back", sender="ann@a.test")["eve@a.test"].startswith("250 ")
    wait(lambda: inbox(where, "ann") == 1)


def test_local_parts_elsewhere_stay_as_given(host, where):
    """RFC 5321 section 2.4: what they mean is for others to say; those here are one in any case."""
    verb(where, "address", "add", "sales@a.test", "Sales.Team@Far.TEST", '"A,b"@far.test', "Ann@A.test")
    assert send(where, ["SALES@a.test"])["SALES@a.test"].startswith("250 ") and inbox(where, "ann") == 1
    mail, = wait(lambda: host.mails)
    assert sorted(mail["to"]) == ['"A,b"@far.test', "Sales.Team@far.test"]
    assert {row["target"] for row in verb(where, "address", "list")} == {"Sales.Team@far.test", "A,b@far.test", "ann@a.test"}
    assert [row["target"] for row in verb(where, "address", "list", "sales.team@far.test")] == ["Sales.Team@far.test"]
    verb(where, "address", "delete", "sales@a.test", "sales.TEAM@far.test", "ANN@a.test")
    assert [row["target"] for row in verb(where, "address", "list")] == ["A,b@far.test"]
    verb(where, "user", "set", "eve", "forward=Eve@Far.test,ANN@a.test", "keep=no")
    assert send(where, ["eve@a.test"], b"two")["eve@a.test"].startswith("250 ")
    wait(lambda: len(host.mails) == 2)
    assert host.mails[1]["to"] == ["Eve@far.test"] and inbox(where, "ann") == 2 and inbox(where, "eve") == 0


def test_loops_end(host, where):
    verb(where, "user", "set", "eve", "forward=eve@far.test", "keep=no")
    verb(where, "address", "add", "both@a.test", "ann", "r@far.test")
    send(where, ["eve@a.test"])
    wait(lambda: len(host.mails) == 1)
    came_back = b"X-Sieve-Redirected-From: eve@a.test\r\n"
    assert send(where, ["eve@a.test"], before=came_back)["eve@a.test"].startswith("554 5.4.6")
    assert send(where, ["Eve@A.test"], before=b"Received: by x; y\r\n" * 120)["Eve@A.test"].startswith("554 5.4.6")
    # where somebody here has it it is no error
    assert send(where, ["both@a.test"], before=b"X-Sieve-Redirected-From: both@a.test\r\n")["both@a.test"].startswith("250 ")
    assert inbox(where, "ann") == 1 and "not forwarded" in where.stderr()
    time.sleep(0.3)
    assert len(host.mails) == 1


def test_it_is_on_disk_before_250(host, where):
    verb(where, "address", "add", "sales@a.test", "r@far.test")
    host.answers["RCPT"] = lambda session, line: "451 4.7.1 later"
    for n in range(6):
        assert send(where, ["sales@a.test"], b"mail %d" % n)["sales@a.test"].startswith("250 ")
        for pid in where.pids("relay") if n % 2 else where.pids("mail"):
            os.kill(pid, signal.SIGKILL)
        wait(lambda: where.pids("relay") and where.pids("mail"))
        wait(lambda: can_connect(where))
    host.answers.clear()
    wait(lambda: set(host.subjects()) == {f"mail {n}" for n in range(6)})


def can_connect(where):
    try:
        verb(where, "queue", "count")
        lmtp(where).close()
        return True
    except (OSError, RuntimeError, client.Refused, EOFError):
        return False


def test_without_the_relay_nobody_is_told_ok(host, where):
    """What cannot be queued is answered 4xx, and those who have it by then do not get it twice."""
    verb(where, "address", "add", "sales@a.test", "ann", "r@far.test")
    for pid in where.pids("relay"):
        os.kill(pid, signal.SIGSTOP)
    try:
        queue = where.data / "queue"
        os.rename(queue, where.data / "queue.away")
    finally:
        for pid in where.pids("relay"):
            os.kill(pid, signal.SIGKILL)
    os.rename(where.data / "queue.away", queue)
    answer = send(where, ["sales@a.test"])["sales@a.test"]
    for _ in range(50):
        if answer.startswith("250 "):
            break
        assert answer.startswith("4")
        time.sleep(0.1)
        answer = send(where, ["sales@a.test"])["sales@a.test"]
    assert answer.startswith("250 ") and inbox(where, "ann") == 1
    wait(lambda: len(host.mails) == 1)


def test_without_relay_host():
    server = posthorn.Server({"local_domains": ["a.test"]})
    try:
        server.user_add("ann")
        with pytest.raises(RuntimeError, match="set relay_host"):
            verb(server, "address", "add", "x@a.test", "r@far.test")
        with pytest.raises(RuntimeError, match="set relay_host"):
            verb(server, "user", "set", "ann", "forward=r@far.test")
    finally:
        server.stop()
