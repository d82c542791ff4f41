"""MOVE and REPLACE into another account, and the role ends before every single write and sync of it: no message is lost, and once the accounts were
opened again none is in both. And the disk is full from one of them on: what the client is then told and does loses nothing."""
import errno
import os
import time

import pytest

import eventlog
import ledger
from eventlog import release_binary  # noqa: F401
from lib import client
from lib.long import LONG

MOST = 60 if LONG else 6
OWNER = "olga"
MESSAGES = [b"Subject: moved\r\nX-Id: %d\r\n\r\nx\r\n" % n for n in range(3)]
NEW = b"Subject: new\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def server():
    os.environ.setdefault("POSTHORN_BINARY", eventlog.release("src/main/posthorn"))
    own = eventlog.Server({"test_segment_size": 64 << 10, "test_mount": f"{OWNER} lrswipkxte"})
    own.user_add(OWNER)
    yield own
    own.stop()


class Scene:
    """A user with three messages and a mailbox of the owner that they go to, or come from."""

    def __init__(self, server, inward):
        self.server, self.name = server, server.fresh_user("mover")
        self.session = self.login()
        self.session.command(f"CREATE Shared/{OWNER}/{self.name}")
        own, shared = "INBOX", f"Shared/{OWNER}/{self.name}"
        self.source, self.target = (shared, own) if inward else (own, shared)
        for data in MESSAGES:
            self.session.append(self.source, data, "\\Seen $Word")
        self.session.command(f"SELECT {self.source}")

    def login(self):
        return client.Imap(self.server.address("imap"), self.name, self.server.password, timeout=20)

    def move(self):
        self.session.command(f"MOVE 1:2 {self.target}")

    def replace(self):
        self.session.command(f"REPLACE 1 {self.target} (\\Seen) {{{len(NEW)}+}}\r\n{NEW.decode()}")

    def found(self, session, mailbox):
        known = session.select(mailbox)
        rows = session.fetch("1:*", "(FLAGS EMAILID BODY.PEEK[])") if known["EXISTS"] else {}
        assert all("\\Seen" in row["FLAGS"] for row in rows.values())
        return sorted(row["BODY[]"] for row in rows.values())

    def settled(self, may_go=()):
        """What is in source and target; what was left undone is done when an account is opened."""
        session, deadline = self.login(), time.monotonic() + 20
        while True:
            left, came = self.found(session, self.source), self.found(session, self.target)
            lost = set(MESSAGES) - set(left) - set(came) - (set(may_go) if NEW in came else set())
            assert not lost, f"lost: {lost}"
            if len(left) + len(came) == len(MESSAGES) or time.monotonic() > deadline:
                session.close()
                return left, came
            time.sleep(0.05)


def kill_at(server, inward, call, act=Scene.move, may_go=()):
    scene, log = Scene(server, inward), server.event_log
    log.set(kill_after=call)
    try:
        act(scene)
        answered = True
    except (*ledger.GONE, RuntimeError):
        answered = False
    server.kill()
    log.set(kill_after=0)
    server.start()
    return answered, scene.settled(may_go)


def calls_of(server, inward, act):
    """How many writes and syncs it is, and the scene afterwards."""
    scene, far = Scene(server, inward), 1 << 40
    server.event_log.set(kill_after=far)
    act(scene)
    calls = far - server.event_log.get("kill_after")
    server.event_log.set(kill_after=0)
    return calls, scene


def moments(calls):
    return sorted({1 + i * (calls - 1) // (min(calls, MOST) - 1) for i in range(min(calls, MOST))})


@pytest.mark.parametrize("inward", [False, True], ids=["own to shared", "shared to own"])
def test_every_call(server, inward):
    calls, scene = calls_of(server, inward, Scene.move)
    assert calls >= 6, f"three commits are {calls} calls"
    whole = (sorted(MESSAGES[2:]), sorted(MESSAGES[:2]))
    assert scene.settled() == whole
    for call in moments(calls):
        answered, seen = kill_at(server, inward, call)
        where = f"ended before call {call} of {calls}, answered {answered}"
        assert seen == whole or (not answered and seen == (sorted(MESSAGES), [])), where
    server.check_reports()
    assert " 0 errors" in eventlog.posthorn.run_verb("verify", "--data", server.data).decode()


def test_replace_at_every_call(server):
    """The old one may go only where the new one has come; once the accounts were opened again, not both are there."""
    calls, scene = calls_of(server, True, Scene.replace)
    assert calls >= 6, f"three commits are {calls} calls"
    old, whole = MESSAGES[:1], (sorted(MESSAGES[1:]), [NEW])
    assert scene.settled(old) == whole
    for call in moments(calls):
        answered, seen = kill_at(server, True, call, Scene.replace, old)
        where = f"ended before call {call} of {calls}, answered {answered}"
        assert seen == whole or (not answered and seen == (sorted(MESSAGES), [])), where
    server.check_reports()


def full_from(server, inward, call):
    """True when the move was refused: the client then takes away what came, and all it had is where it was."""
    scene, log = Scene(server, inward), server.event_log
    log.set(fail_after=call, write_errno=errno.ENOSPC)
    try:
        scene.move()
        refused = False
    except client.Refused:
        refused = True
    log.set(write_errno=0, fail_after=0)
    if refused:
        deadline = time.monotonic() + 20
        while server.stderr().count("failed is not undone yet") > server.stderr().count("failed is undone"):
            assert time.monotonic() < deadline, "it is not tried again"
            time.sleep(0.05)
        if scene.found(scene.session, scene.target):
            scene.session.command("STORE 1:* +FLAGS (\\Deleted)")
            scene.session.command("EXPUNGE")
    server.kill()
    server.start()
    session = scene.login()
    if refused:
        time.sleep(0.3)  # what would still take them away has begun with the login
    left = scene.found(session, scene.source)
    session.close()
    assert left == (sorted(MESSAGES) if refused else sorted(MESSAGES[2:])), f"full from call {call}, refused {refused}"
    return refused


def test_full_from_every_call(server):
    results = [full_from(server, inward, call) for call in range(20 if LONG else 5) for inward in (False, True)]
    assert True in results and False in results
