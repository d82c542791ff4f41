"""`mailbox undelete`: what was expunged or deleted comes back, once, with all that it had, within the retention time."""
import json
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from lib import client, server as posthorn
from lib.long import LONG

MANY = 100_000 if LONG else 6_000
ITEMS = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"


@pytest.fixture(scope="module")
def server():
    own = posthorn.Server()
    yield own
    own.stop()


@pytest.fixture
def user(server):
    return server.fresh_user("lost")


def login(server, user):
    return client.Imap(server.address("imap"), user, server.password)


def mail(n):
    return b"Subject: letter %d\r\nMessage-ID: <%d@x>\r\n\r\nUnmistakable pelican %d\r\n" % (n, n, n)


def undelete(server, user, *more):
    return posthorn.run_verb("mailbox", "undelete", user, *more, "-c", server.config).decode()


def brought(text):
    """(messages, folders, left) of the last line."""
    found = re.search(r"^(\d+) messages \(\d+ octets\) in (\d+) folders (?:were|would be) brought back; (\d+) left$", text, re.M)
    return tuple(map(int, found.groups()))


def contents(session, box):
    """What a client sees of each message, without its UID and \\Recent."""
    if not session.select(box)["EXISTS"]:
        return []
    rows = session.fetch("1:*", ITEMS).values()
    return sorted((r["BODY[]"], r["RFC822.SIZE"], r["INTERNALDATE"], sorted(set(r["FLAGS"]) - {"\\Recent"})) for r in rows)


def uids(session, box):
    return [r["UID"] for r in session.fetch("1:*", "(UID)").values()] if session.select(box)["EXISTS"] else []


def fill(session, box, *numbers):
    for n in numbers:
        session.command(f'APPEND "{box}" (\\Flagged $Work Later{n}) "0{1 + n % 9}-Jan-2020 10:00:00 +0{n % 10}00"', mail(n))


# ---- the story ----

def test_expunged_messages_come_back(server, user):
    one, other = login(server, user), login(server, user)
    fill(one, "INBOX", 1, 2, 3, 4)
    before = contents(one, "INBOX")
    one.expunge("INBOX", "2:3")
    left = contents(one, "INBOX")
    other.select("INBOX")
    one.select("INBOX")
    assert brought(undelete(server, user, "--dry-run")) == (2, 1, 0)
    assert not any(b"EXISTS" in line for line in other.command("NOOP")[0]), "a dry run did something"
    assert contents(one, "INBOX") == left
    assert brought(undelete(server, user)) == (2, 1, 0)
    assert b"* 4 EXISTS" in other.command("NOOP")[0]
    assert contents(one, "INBOX") == before
    assert uids(one, "INBOX") == [1, 4, 5, 6], "UIDs are new, and none was used twice"
    assert brought(undelete(server, user)) == (0, 0, 2)
    assert uids(one, "INBOX") == [1, 4, 5, 6]


def test_again_after_it_was_expunged_again(server, user):
    """The second time it comes with the flags it had last, and once."""
    session = login(server, user)
    fill(session, "INBOX", 1)
    for flag in ("\\Answered", "$Second"):
        session.select("INBOX")
        session.command(f"STORE 1 +FLAGS.SILENT ({flag})")
        session.expunge("INBOX")
        assert brought(undelete(server, user))[0] == 1
    (body, _, _, flags), = contents(session, "INBOX")
    assert body == mail(1) and set(flags) == {"\\Flagged", "$Work", "Later1", "\\Answered", "$Second"}


def test_what_was_moved_stays_where_it_is(server, user):
    session = login(server, user)
    fill(session, "INBOX", 1, 2)
    session.select("INBOX")
    session.command("MOVE 1 Archive")
    assert "moved to another folder" in undelete(server, user)
    assert len(uids(session, "INBOX")) == 1 and len(uids(session, "Archive")) == 1
    session.expunge("Archive")
    assert brought(undelete(server, user))[0] == 1
    assert len(uids(session, "INBOX")) == 1 and len(uids(session, "Archive")) == 1


def test_moved_away_after_undelete(server, user):
    session = login(server, user)
    fill(session, "INBOX", 1)
    session.expunge("INBOX")
    undelete(server, user)
    session.select("INBOX")
    session.command("MOVE 1 Archive")
    assert brought(undelete(server, user))[0] == 0
    assert uids(session, "INBOX") == [] and len(uids(session, "Archive")) == 1


def test_since_and_folder(server, user):
    session = login(server, user)
    session.command("CREATE box")
    fill(session, "INBOX", 1)
    fill(session, "box", 2)
    session.expunge("INBOX")
    session.expunge("box")
    time.sleep(2.1)
    assert brought(undelete(server, user, "--since", "1s"))[0] == 0
    assert brought(undelete(server, user, "--folder", "box", "--since", "2h"))[0] == 1
    assert len(uids(session, "box")) == 1 and not uids(session, "INBOX")
    for wrong in (("--since", "2x"), ("--since", "2999-01-01"), ("--folder", "nix"), ("--folder", "a//b")):
        with pytest.raises(RuntimeError, match="(?i)is no time|to come|no folder|name"):
            undelete(server, user, *wrong)
    with pytest.raises(RuntimeError, match="nobody-of-that-name"):
        undelete(server, "nobody-of-that-name")


# ---- mailboxes ----

def make_tree(session):
    for n, box in enumerate(("tree", "tree/a", "tree/a/b", "tree/empty")):
        session.command(f'CREATE "{box}"')
        if box != "tree/empty":
            fill(session, box, n, n + 10)


@pytest.mark.parametrize("order", [
    ("tree/empty", "tree/a/b", "tree/a", "tree"),            # from below
    ("tree", "tree/a", "tree/a/b", "tree/a", "tree/empty", "tree"),  # from above: levels stay until they are empty
])
def test_a_deleted_tree(server, user, order):
    session = login(server, user)
    make_tree(session)
    boxes = ("tree", "tree/a", "tree/a/b", "tree/empty")
    before = {box: contents(session, box) for box in boxes}
    session.select("INBOX")
    for box in order:
        session.command(f'DELETE "{box}"')
    assert not any(n.startswith("tree") for n in session.names())
    assert brought(undelete(server, user)) == (6, 4, 0)
    assert {box: contents(session, box) for box in boxes} == before
    assert brought(undelete(server, user))[:2] == (0, 0)
    assert not any(n.startswith("Restored") for n in session.names())


@pytest.mark.parametrize("order", [("tree/empty", "tree/a/b", "tree/a", "tree"),
                                   ("tree", "tree/a", "tree/a/b", "tree/a", "tree/empty", "tree")])
def test_a_name_that_is_used_again(server, user, order):
    """A new `tree` keeps its name; the old one and all below it come back below Restored."""
    session = login(server, user)
    make_tree(session)
    before = {box: contents(session, box) for box in ("tree", "tree/a", "tree/a/b", "tree/empty")}
    session.select("INBOX")
    for box in order:
        session.command(f'DELETE "{box}"')
    session.command('CREATE "tree"')
    fill(session, "tree", 99)
    new = contents(session, "tree")
    assert brought(undelete(server, user)) == (6, 4, 0)
    assert contents(session, "tree") == new
    assert {box: contents(session, f"Restored/{box}") for box in before} == before
    assert "tree/a" not in session.names()
    assert brought(undelete(server, user))[:2] == (0, 0)


def test_deleted_twice(server, user):
    """Two folders of one name: the last one gets it, the other one is below Restored; deleted again, nothing doubles."""
    session = login(server, user)
    for n in (1, 2):
        session.command("CREATE work")
        fill(session, "work", n)
        session.command("DELETE work")
    assert brought(undelete(server, user)) == (2, 2, 0)
    assert [c[0] for c in contents(session, "work")] == [mail(2)]
    assert [c[0] for c in contents(session, "Restored/work")] == [mail(1)]
    session.select("INBOX")
    session.command("DELETE work")
    assert brought(undelete(server, user))[0] == 1
    assert [c[0] for c in contents(session, "work")] == [mail(2)]
    assert [c[0] for c in contents(session, "Restored/work")] == [mail(1)]


def test_a_level_with_children_becomes_a_mailbox_again(server, user):
    session = login(server, user)
    session.command("CREATE up/down")
    fill(session, "up", 1)
    session.command("DELETE up")
    assert brought(undelete(server, user)) == (1, 1, 0)
    assert [c[0] for c in contents(session, "up")] == [mail(1)] and "up/down" in session.names()


HOSTILE = ("&ZeVnLIqe-", "a b", "100%", "star*", "quote\\\"d", "-dash", "--folder", "~", "x" * 900, "/".join("d" * 60), "Restored")


def test_hostile_names(server, user):
    session = login(server, user)
    for n, name in enumerate(HOSTILE):
        session.command(f'CREATE "{name}"')
        fill(session, name, n)
    before, all_names = {name: contents(session, name) for name in HOSTILE}, session.names()
    session.select("INBOX")
    levels = ["/".join("d" * n) for n in range(59, 0, -1)]
    for name in [*HOSTILE, *levels]:
        session.command(f'DELETE "{name}"')
    undelete(server, user, "--dry-run")
    assert brought(undelete(server, user))[0] == len(HOSTILE)
    assert {name: contents(session, name) for name in HOSTILE} == before
    assert session.names() == all_names
    session.select("INBOX")
    for name in [*HOSTILE, *levels]:
        session.command(f'DELETE "{name}"')
        session.command(f'CREATE "{name}"') if name not in levels else None
    assert brought(undelete(server, user))[0] == len(HOSTILE), "names at the limits, below Restored"
    assert sum(len(uids(session, n)) for n in session.names()) == len(HOSTILE)


# ---- restart, rebuild, no server ----

def test_restart_rebuild_and_a_stopped_store():
    own = posthorn.Server()
    try:
        user = own.fresh_user("kept")
        session = login(own, user)
        session.command("CREATE box")
        fill(session, "INBOX", 1, 2)
        fill(session, "box", 3)
        before = contents(session, "INBOX"), contents(session, "box")
        session.expunge("INBOX", "1")
        session.command("MOVE 1 Archive")
        session.command("DELETE box")
        own.kill()
        posthorn.give_to_service(own.data)
        posthorn.run_verb("rebuild", "-c", own.config)
        assert brought(undelete(own, user, "--dry-run")) == (2, 2, 1)
        assert brought(undelete(own, user)) == (2, 2, 1)
        posthorn.run_verb("rebuild", "-c", own.config)
        assert brought(undelete(own, user))[0] == 0
        own.start()
        session = login(own, user)
        assert contents(session, "INBOX") == before[0][:1] and contents(session, "box") == before[1]
        assert len(uids(session, "Archive")) == 1
        assert b" 0 errors" in posthorn.run_verb("verify", "-c", own.config)
    finally:
        own.stop()


# ---- retention ----

def test_retention():
    """Its last second, and what compaction takes: not what is to come back, not what came back."""
    own = posthorn.Server({"retention": 6})
    try:
        user = own.fresh_user("late")
        session = login(own, user)
        session.command("CREATE box")
        fill(session, "INBOX", 1, 2)
        fill(session, "box", 3)
        session.expunge("INBOX", "1")
        session.command("DELETE box")
        posthorn.run_verb("compact", "-c", own.config)
        assert brought(undelete(own, user, "--dry-run"))[0] == 2
        time.sleep(6.1)
        text = undelete(own, user)
        assert brought(text)[0] == 0 and text.count("the retention is over") == 2, text
        session.expunge("INBOX")
        posthorn.run_verb("compact", "-c", own.config)
        text = undelete(own, user)
        assert brought(text) == (1, 1, 0) and "older ones were compacted away" in text and "box" not in text
        session.expunge("INBOX")
        assert brought(undelete(own, user))[0] == 1
        time.sleep(6.1)
        posthorn.run_verb("compact", "-c", own.config)
        assert [c[0] for c in contents(session, "INBOX")] == [mail(2)], "the body that came back is there"
        assert b" 0 errors" in posthorn.run_verb("verify", "-c", own.config)
    finally:
        own.stop()


def set_retention(server, user, value):
    posthorn.run_verb("user", "set", user, f"retention={value}", "-c", server.config)


def lose(server, user):
    """Expunges a mailbox that is worth a compaction; returns what it held."""
    session = login(server, user)
    session.append_all("INBOX", [mail(n) + os.urandom(80_000).hex().encode() for n in range(12)])
    held = contents(session, "INBOX")
    session.expunge("INBOX")
    session.close()
    return held


def compact(server):
    return int(re.match(rb"(\d+) octets", posthorn.run_verb("compact", "-c", server.config))[1])


def pause(server):
    """It ends; the verbs go on without it."""
    server.process.terminate()
    assert server.process.wait(60) == 0
    posthorn.give_to_service(server.data)


def told(server, *words):
    return [json.loads(line) for line in posthorn.run_verb("user", *words, "--json", "-c", server.config).splitlines()]


def test_retention_of_a_user(tmp_path):
    """Shorter or longer than the setting: kept through kill -9, a rebuild and a backup, with a server and without."""
    own, again = posthorn.Server({"retention": "1h"}), posthorn.Server({"retention": 0}, start=False)
    try:
        brief, plain, long = (own.fresh_user(n) for n in ("brief", "plain", "long"))
        set_retention(own, brief, "0")
        set_retention(own, long, "2h")
        assert told(own, "show", long)[1:] == [{"type": "retention", "name": long, "retention": 7200, "default": False}]
        lose(own, brief), lose(own, plain)
        held = lose(own, long)
        assert brought(undelete(own, brief, "--dry-run")) == (0, 0, 12), "its time is over, compacted or not"
        own.kill()
        own.start()
        assert compact(own) > 12 * 80_000
        assert [brought(undelete(own, u, "--dry-run")) for u in (brief, plain, long)] == [(0, 0, 0), (12, 1, 0), (12, 1, 0)]
        pause(own)
        own.settings["retention"] = 0
        own.write_config()
        posthorn.run_verb("rebuild", "-c", own.config)
        assert compact(own) > 12 * 80_000
        assert brought(undelete(own, plain)) == (0, 0, 0)
        posthorn.run_verb("backup", tmp_path / "all", "-c", own.config)
        tmp_path.chmod(0o755)
        shutil.rmtree(again.data)
        posthorn.run_verb("restore", tmp_path / "all", "-c", again.config)
        again.write_config()
        again.start()
        for server in (again, own):  # the second has no server running
            assert compact(server) == 0
            assert brought(undelete(server, long)) == (12, 1, 0)
        session = login(again, long)
        assert contents(session, "INBOX") == held
        session.expunge("INBOX")
        session.close()
        assert told(again, "set", long, "retention=default") == [{"type": "retention", "name": long, "retention": 0, "default": True}]
        assert len(told(again, "show", long)) == 1
        assert brought(undelete(again, long, "--dry-run")) == (0, 0, 24)
        assert compact(again) > 12 * 80_000
        assert brought(undelete(again, long)) == (0, 0, 0)
        assert b" 0 errors" in posthorn.run_verb("verify", "-c", again.config)
    finally:
        own.stop()
        if again.process:
            again.stop()


# ---- many ----

def peak_kib(server):
    """The mail role's: the largest of the family."""
    most = 0
    for pid in server.family():
        status = open(f"/proc/{pid}/status", encoding="ascii").read()
        most = max(most, int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
    return most


def test_many(server, capsys):
    """So many messages come back in bounded memory, and others wait for nothing."""
    user = server.fresh_user("many")
    session, other = login(server, user), login(server, server.fresh_user("other"))
    session.append_all("INBOX", [mail(n) for n in range(MANY)])
    session.expunge("INBOX")
    before, waits, done = peak_kib(server), [], threading.Event()

    def knock():
        while not done.is_set():
            began = time.monotonic()
            other.command("NOOP")
            waits.append(time.monotonic() - began)
            time.sleep(0.002)

    knocker = threading.Thread(target=knock)
    knocker.start()
    began = time.monotonic()
    text = undelete(server, user)
    seconds = time.monotonic() - began
    done.set()
    knocker.join()
    assert brought(text) == (MANY, 1, 0)
    assert session.select("INBOX")["EXISTS"] == MANY
    grown = peak_kib(server) - before
    assert grown < 65536 + MANY, f"{grown} KiB more"
    assert max(waits) < 2, f"another session waited {max(waits):.3f} s"
    assert brought(undelete(server, user)) == (0, 0, MANY)
    with capsys.disabled():
        print(f"\n{MANY} messages in {seconds:.2f} s, {grown} KiB more, another session's NOOP at most {1000 * max(waits):.1f} ms", end="")


def test_two_at_once(server, user):
    session = login(server, user)
    fill(session, "INBOX", *range(40))
    session.command("CREATE box")
    fill(session, "box", 41)
    session.command("DELETE box")
    session.expunge("INBOX")
    runs = [subprocess.Popen([posthorn.binary(), "mailbox", "undelete", user, "-c", server.config], stdout=subprocess.PIPE,
                             env=posthorn.environment()) for _ in range(4)]
    totals = [brought(run.communicate(timeout=60)[0].decode())[0] for run in runs]
    assert sum(totals) == 41 and len(uids(session, "INBOX")) == 40 and len(uids(session, "box")) == 1
    assert not any(n.startswith("Restored") for n in session.names())
