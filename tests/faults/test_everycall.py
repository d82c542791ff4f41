"""The mail role ends before every single write, sync, rename, link and unlink of each kind of change: nothing that was
acknowledged is lost, the change itself happened wholly or not at all, and the server starts within a second."""
import os
import re
import time

import pytest

import eventlog
import ledger
from eventlog import release_binary  # noqa: F401
from lib import client
from lib.long import LONG

MOST = 400 if LONG else 6  # calls of one change that are tried, evenly chosen
LARGE = b"Subject: large\r\nX-Id: large\r\n\r\n" + b"x" * 300000 + b"\r\n"
TRACE = re.compile(rb"(?m)^(?:Delivered-To: |Received: from )(?:[^\n]|\n\t)*\n")  # the user's name, a random id, the time
SMALL = b"Subject: small\r\nX-Id: small\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def server():
    os.environ.setdefault("POSTHORN_BINARY", eventlog.release("src/main/posthorn"))
    own = eventlog.Server({"test_segment_size": 64 << 10, "retention": 0})
    yield own
    own.stop()


@pytest.fixture(scope="module")
def keeper(server):  # pylint: disable=unused-argument
    """A server that keeps what is deleted."""
    own = eventlog.Server({"test_segment_size": 64 << 10})
    yield own
    own.stop()


class Account:
    """A user of the test's own, in a known state: three messages in INBOX, a folder `box` with one below it."""

    def __init__(self, server):
        self.server, self.name = server, server.fresh_user("kill")
        self.session = self.login()
        for data in (SMALL, LARGE, SMALL):
            self.session.append("INBOX", data)
        for command in ("CREATE box", "CREATE box/below", "SUBSCRIBE box", "SELECT INBOX"):
            self.session.command(command)

    def login(self):
        return client.Imap(self.server.address("imap"), self.name, self.server.password, timeout=20)

    def state(self):
        """Everything a client can see: {mailbox: (UIDVALIDITY, UIDNEXT, {UID: (flags, size, body)})}."""
        session, found = self.login(), {}
        lines, _ = session.command('LIST "" "*"')
        for line in lines:
            name = line.split(b' "/" ', 1)[1].strip(b'"').decode()
            if b"\\Noselect" in line or b"\\NonExistent" in line:
                found[name] = None
                continue
            known = session.select(name)
            rows = session.fetch("1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[])") if known["EXISTS"] else {}
            messages = {r["UID"]: (frozenset(r["FLAGS"]) - {"\\Recent"}, r["RFC822.SIZE"] - len(r["BODY[]"]), TRACE.sub(b"", r["BODY[]"])) for r in rows.values()}
            found[name] = (known["UIDVALIDITY"], known["UIDNEXT"], messages)
        session.close()
        return found


def imap(*commands):
    def run(account):
        for command in commands:
            account.session.command(*command) if isinstance(command, tuple) else account.session.command(command)
    return run


def verb(*words):
    def run(account):
        eventlog.posthorn.run_verb(*[w.replace("USER", account.name) for w in words], "--data", account.server.data)
    return run


def bury(account):
    """Many messages, expunged: compaction has something to do."""
    session = account.session
    session.append_all("INBOX", [SMALL + b"y" * 9000] * 15 + [LARGE] * 2)
    session.command("STORE 4:* +FLAGS.SILENT (\\Deleted)")
    session.command("EXPUNGE")
    session.append_all("box/below", [SMALL + b"z" * 30000] * 4)


def lose(account):
    """A tree is deleted, what is in INBOX is expunged."""
    account.session.append("box", SMALL, "\\Flagged $Word")
    account.session.append("box/below", LARGE, "\\Seen")
    for command in ("DELETE box/below", "DELETE box", "STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE"):
        account.session.command(command)


def labels_mode(account):
    account.session.command("COPY 1 box")
    verb("mailbox", "labels", "USER", "on")(account)
    account.session.command("NOOP")


def marked_in_all(account):
    labels_mode(account)
    for command in ("SELECT \"All Mail\"", "STORE 1:2 +FLAGS (\\Deleted)"):
        account.session.command(command)


def maildir(account):
    folder = account.server.dir / account.name
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    for i in range(3):
        (folder / "cur" / f"{i}.x:2,S").write_bytes(SMALL.replace(b"small", b"imported%d" % i))
    (folder / "cur" / "9.x:2,F").write_bytes(LARGE)
    return folder


def script(account):
    """Three folders get what comes, one of them with another header; its id is remembered."""
    text = """require ["fileinto", "copy", "duplicate", "editheader", "imap4flags"];
if duplicate { discard; stop; }
fileinto :copy :flags "\\\\Flagged" "box"; addheader "X-Script" "yes"; fileinto :copy "box/below"; keep;
"""
    where = ("--user", account.name, "--data", account.server.data)
    eventlog.posthorn.run_verb("sieve", "put", "main", "-", *where, stdin=text.encode())
    eventlog.posthorn.run_verb("sieve", "activate", "main", *where)


def deliver(account):
    client.Lmtp(account.server.address("lmtp")).deliver(account.name, b"Message-ID: <once@x>\r\n" + LARGE)


# name: (what happens before, the change, whether its steps may be seen one by one after a crash)
CHANGES = {
    "append": (None, imap(("APPEND INBOX (\\Seen)", SMALL)), False),
    "append-large": (None, imap(("APPEND INBOX ()", LARGE)), False),
    "filtered": (script, deliver, False),
    "store": (None, imap("STORE 1:3 +FLAGS (\\Flagged $Word)"), False),
    "copy": (None, imap("COPY 1:3 box"), False),
    "move": (None, imap("MOVE 1:2 box"), False),
    "expunge": (imap("STORE 1,3 +FLAGS.SILENT (\\Deleted)"), imap("EXPUNGE"), False),
    "labels": (None, imap("STORE 1:3 +X-GM-LABELS (box \\Sent \\Starred)"), False),
    "labels-away": (imap("STORE 1:3 +X-GM-LABELS (box)"), imap("STORE 1:2 -X-GM-LABELS (INBOX)"), False),
    "labels-mode-append": (labels_mode, imap(("APPEND box (\\Seen $Word)", SMALL)), False),
    "labels-mode-store": (labels_mode, imap("STORE 1:3 +FLAGS (\\Flagged $Word)"), False),
    "labels-mode-expunge": (marked_in_all, imap("EXPUNGE"), False),
    "labels-on": (imap("COPY 1 box", "STORE 1 +FLAGS (\\Flagged $Word)"), verb("mailbox", "labels", "USER", "on"), True),
    "labels-off": (labels_mode, verb("mailbox", "labels", "USER", "off"), False),
    "create": (None, imap("CREATE new/deep"), False),
    "rename": (None, imap("RENAME box other"), False),
    "delete": (None, imap("DELETE box/below"), False),
    "checkpoint": (None, None, False),
    "compact": (bury, verb("compact"), True),
    "import": (maildir, None, True),
    "undelete": (lose, verb("mailbox", "undelete", "USER"), True),
}


def change_of(name, account):
    """The function that makes the change; `checkpoint` is what happens by itself 0.5 s after one."""
    if name == "import":
        return verb("import", "maildir", str(account.server.dir / account.name), "-u", "USER")
    if name == "checkpoint":
        return lambda a: (a.session.command("STORE 1 +FLAGS (\\Flagged)"), time.sleep(0.9), a.session.command("NOOP"))
    return CHANGES[name][1]


def prepare(server, name):
    account = Account(server)
    if CHANGES[name][0]:
        CHANGES[name][0](account)
    if name in ("checkpoint", "compact"):
        time.sleep(0.7)  # what was before is folded into the index
    return account


def calls_of(server, name):
    """How many calls the change makes, counted by the countdown; what it looked like before and after."""
    account, far = prepare(server, name), 1 << 40
    before = account.state()
    server.event_log.set(kill_after=far)
    change_of(name, account)(account)
    calls = far - server.event_log.get("kill_after")
    server.event_log.set(kill_after=0)
    return calls, shape(before), shape(account.state())


def shape(state):
    """A state without the numbers that differ between users."""
    return {name: box and (box[1], box[2]) for name, box in state.items()}


def kill_at(server, name, call):
    """Makes the change and ends the role before this call. Returns what was before, after, whether the change was answered, and
    the seconds from the start to the first login."""
    account, log = prepare(server, name), server.event_log
    before = account.state()
    log.set(kill_after=call)
    try:
        change_of(name, account)(account)
        answered = True
    except (*ledger.GONE, RuntimeError):
        answered = False
    server.kill()
    assert log.get("kill_after") <= 0 or answered, f"{name}: no answer, but the role was not ended at call {call}"
    log.set(kill_after=0)
    began = time.monotonic()
    server.start()
    account.login().close()
    seconds = time.monotonic() - began
    return before, account.state(), answered, seconds


def is_between(before, seen, after):
    """Each mailbox as before or after or, of those that grow or shrink message by message, between."""
    for name in seen:
        was, will = before.get(name), after.get(name)
        if seen[name] in (was, will):
            continue
        if not seen[name] or not will or not set(seen[name][1].items()) <= set(will[1].items()) | set((was or (0, {}))[1].items()):
            return False
    return set(seen) <= set(before) | set(after)


@pytest.mark.parametrize("name", CHANGES)
def test_every_call(server, keeper, name, capsys):
    server = keeper if name == "undelete" else server
    calls, was, will = calls_of(server, name)
    assert calls >= 2, f"{name} makes {calls} calls"
    chosen = sorted({1 + i * (calls - 1) // max(min(calls, MOST) - 1, 1) for i in range(min(calls, MOST))})
    took = []
    for call in chosen:
        before, after, answered, seconds = kill_at(server, name, call)
        took.append(seconds)
        assert shape(before) == was
        where = f"{name}: ended before call {call} of {calls}, answered {answered}"
        for box in before:
            if box in after and before[box] and after[box]:
                assert before[box][0] == after[box][0], f"{where}: UIDVALIDITY of {box}"
        seen = shape(after)
        if answered:
            assert seen == will, where
        elif CHANGES[name][2]:
            assert is_between(was, seen, will), where
        else:
            assert seen in (was, will), where
    server.check_reports()
    ledger.check_starts(took)
    out = eventlog.posthorn.run_verb("verify", "--data", server.data).decode()
    assert " 0 errors" in out
    with capsys.disabled():
        print(f"\n{name}: {len(chosen)} of {calls} calls, started in {max(took):.2f} s at most", end="")


def test_forgotten_writes_are_found(server):
    """The proof that the harness can fail: a server whose writes do nothing, as one that acknowledges too early."""
    account = prepare(server, "append")
    was = shape(account.state())
    server.event_log.set(forgetting=1)
    change_of("append", account)(account)
    server.kill()
    server.event_log.set(forgetting=0)
    server.start()
    assert shape(account.state()) == was, "what was never written is there"
