"""`restore --user`: one folder or one message of a backup comes back into the mail of a user; nothing twice, nothing false."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from lib import server as posthorn
from lib.client import Imap
from lib.long import LONG

ITEMS = "(UID FLAGS INTERNALDATE EMAILID THREADID BODY.PEEK[])"
LARGE = 3_000_000
MANY = 20_000 if LONG else 1_500


@pytest.fixture(scope="module")
def server():
    own = posthorn.Server()
    yield own
    own.stop()
    assert not leftovers(own)


@pytest.fixture
def user(server):
    return server.fresh_user("lost")


def leftovers(server):
    return sorted(p.name for p in pathlib.Path(server.data).glob("restoring*"))


def login(server, user):
    return Imap(server.address("imap"), user, server.password)


def mail(n, size=0):
    return b"Subject: letter %d\r\nMessage-ID: <%d@x>\r\n\r\nUnmistakable pelican %d\r\n" % (n, n, n) + b"x" * 70 * (size // 70)


def fill(session, box, *numbers, size=0):
    for n in numbers:
        session.command(f'APPEND "{box}" (\\Flagged $Work Later{n}) "0{1 + n % 9}-Jan-2020 10:00:00 +0{n % 10}00"', mail(n, size))


def backup(server, name="backup"):
    path = server.dir / name
    path.unlink(missing_ok=True)
    posthorn.run_verb("backup", path, "-c", server.config)
    return path


def call(server, path, user, *more, **how):
    done = subprocess.run([posthorn.binary(), "restore", str(path), "--user", user, *map(str, more), "-c", str(server.config)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=posthorn.environment(), timeout=120, check=False, **how)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert not posthorn.REPORT.search(text), text
    assert not leftovers(server), "the unpacked backup is still there"
    return done.returncode, text


def restore(server, path, user, *more):
    """(messages, folders, there already) of the last line."""
    code, text = call(server, path, user, *more)
    assert code == 0, text
    found = re.search(r"^(\d+) messages \(\d+ octets\) in (\d+) folders (?:were|would be) restored; (\d+) were there already, 0 left out(?:; \d+ scripts.*)?$",
                      text, re.M)
    return tuple(map(int, found.groups()))


def refused(server, path, user, *more):
    code, text = call(server, path, user, *more)
    assert code in (1, 2), text
    return text


def rows(session, box, ids=True):
    """What a client sees of each message, without its UID and \\Recent."""
    if not session.select(box)["EXISTS"]:
        return []
    found = session.fetch("1:*", ITEMS).values()
    return sorted((bytes(r["BODY[]"]), r["INTERNALDATE"], sorted(set(r["FLAGS"]) - {"\\Recent"}),
                   *((r["EMAILID"], r["THREADID"]) if ids else ())) for r in found)


def column(session, box, item):
    if not session.select(box)["EXISTS"]:
        return []
    return [r[item] for r in session.fetch("1:*", ITEMS).values()]


def emailids(session, box):
    return [str(i).strip("()[]'") for i in column(session, box, "EMAILID")]


def verified(server):
    assert b" 0 errors" in posthorn.run_verb("verify", "-c", server.config)


# ---- what comes back ----

def test_folder_with_expunged_messages(server, user):
    """Only what is missing comes, with all it had, under new UIDs; a live session hears of it."""
    one, other = login(server, user), login(server, user)
    fill(one, "INBOX", 1, 2, 3, 4)
    fill(one, "INBOX", 5, size=LARGE)
    before, numbers = rows(one, "INBOX"), column(one, "INBOX", "UID")
    path = backup(server)
    one.expunge("INBOX", "2:3,5")
    left = rows(one, "INBOX")
    other.select("INBOX")
    assert restore(server, path, user, "--folder", "inbox", "--dry-run") == (3, 1, 2)
    assert not any(b"EXISTS" in line for line in other.command("NOOP")[0]), "a dry run did something"
    assert rows(one, "INBOX") == left
    other.select("INBOX")
    assert restore(server, path, user, "--folder", "INBOX") == (3, 1, 2)
    assert b"* 5 EXISTS" in other.command("NOOP")[0]
    assert rows(one, "INBOX") == before
    now = column(one, "INBOX", "UID")
    assert len(now) == 5 and min(set(now) - set(numbers)) > max(numbers), "a UID was used again"
    assert restore(server, path, user, "--folder", "INBOX") == (0, 1, 5), "twice"
    assert rows(one, "INBOX") == before
    verified(server)


def test_equal_messages_are_counted(server, user):
    """Three equal messages, two of them gone: two come back."""
    session = login(server, user)
    for _ in range(3):
        fill(session, "INBOX", 1)
    path = backup(server)
    session.expunge("INBOX", "1:2")
    assert restore(server, path, user, "--folder", "INBOX") == (2, 1, 1)
    assert len(rows(session, "INBOX")) == 3


def test_one_message(server, user):
    """By UID, Message-ID (with and without its brackets) and EMAILID, and from any folder."""
    session = login(server, user)
    session.command("CREATE box")
    fill(session, "INBOX", 1, 2, 3, 4)
    fill(session, "box", 3)
    before, ids, uids = rows(session, "INBOX"), emailids(session, "INBOX"), column(session, "INBOX", "UID")
    path = backup(server)
    ways = [(2, ["--folder", "INBOX", "--uid", uids[1]]), (3, ["--folder", "INBOX", "--message-id", "<3@x>"]),
            (4, ["--folder", "INBOX", "--message-id", "4@x"]), (1, ["--folder", "INBOX", "--emailid", ids[0]]),
            (1, ["--emailid", ids[0]])]
    for n, how in ways:
        session.expunge("INBOX")
        assert restore(server, path, user, *how) == (1, 1, 0)
        assert rows(session, "INBOX") == [r for r in before if b"pelican %d\r" % n in r[0]]
    session.expunge("INBOX")
    assert restore(server, path, user, "--message-id", "3@x") == (1, 2, 1), "one in each of two folders, box has its own"
    assert len(rows(session, "INBOX")) == len(rows(session, "box")) == 1
    assert restore(server, path, user, "--folder", "INBOX", "--uid", uids[0], "--to", "New/Place") == (1, 1, 0)
    assert rows(session, "New/Place") == [r for r in before if b"pelican 1\r" in r[0]]
    for how in (["--uid", "99"], ["--message-id", "none@x"], ["--emailid", "E1"]):
        assert "no such message in that folder" in refused(server, path, user, "--folder", "INBOX", *how)
    verified(server)


def test_deleted_folder_and_what_is_below(server, user):
    session = login(server, user)
    for name in ("Projects", "Projects/2026", "Projects/2026/May", "Projects2", "Projects/empty"):
        session.command(f"CREATE {name}")
    fill(session, "Projects", 1)
    fill(session, "Projects/2026", 2, 3)
    fill(session, "Projects/2026/May", 4)
    fill(session, "Projects2", 5)
    tree = [n for n in sorted(session.names()) if n.startswith("Projects/") or n == "Projects"]
    before = {name: rows(session, name) for name in tree}
    path = backup(server)
    for name in reversed(tree):
        session.command(f'DELETE "{name}"')
    session.expunge("Projects2")
    assert restore(server, path, user, "--folder", "Projects") == (4, 4, 0)
    assert {name: rows(session, name) for name in tree} == before and not rows(session, "Projects2")
    assert restore(server, path, user, "--folder", "Projects", "--to", "Old/One") == (4, 4, 0)
    assert rows(session, "Old/One/2026/May") == before["Projects/2026/May"]
    subscribed = b" ".join(session.command('LSUB "" "*"')[0])
    assert b"Old/One/2026" in subscribed
    verified(server)


def test_deleted_is_not_brought(server, user):
    """What had \\Deleted would go with the next EXPUNGE: the mark is taken off."""
    session = login(server, user)
    session.command("APPEND INBOX (\\Deleted \\Seen)", mail(1))
    path = backup(server)
    session.expunge("INBOX")
    assert restore(server, path, user, "--folder", "INBOX") == (1, 1, 0)
    assert [r[2] for r in rows(session, "INBOX")] == [["\\Seen"]]


def test_standard_input_and_no_server():
    own = posthorn.Server()
    try:
        user = own.fresh_user("kept")
        session = login(own, user)
        fill(session, "INBOX", 1, 2, 3)
        before = rows(session, "INBOX")
        path = backup(own)
        session.expunge("INBOX")
        own.kill()
        posthorn.give_to_service(own.data)
        with open(path, "rb") as file:
            code, text = call(own, "-", user, "--folder", "INBOX", "--uid", "1", stdin=file)
        assert code == 0, text
        assert restore(own, path, user, "--folder", "INBOX") == (2, 1, 1)
        posthorn.run_verb("rebuild", "-c", own.config)
        verified(own)
        own.start()
        session = login(own, user)
        assert rows(session, "INBOX") == before
    finally:
        own.stop()


# ---- EMAILIDs ----

def verb(server, *words):
    return posthorn.run_verb(*words, "-c", server.config).decode()


def beside_mail(server, user, box="Box"):
    """What belongs to the account beside its mail."""
    session = login(server, user)
    said = [session.command(line)[0] for line in (f'GETMETADATA (DEPTH infinity) "{box}" (/private /shared)', f'GETACL "{box}"', f'LIST "" "{box}" RETURN (SUBSCRIBED)')]
    session.close()
    return [sorted(line.replace(box.encode(), b"BOX") for line in lines) for lines in said]


def of_user(server, user):
    return verb(server, "sieve", "list", "--user", user), verb(server, "user", "show", user), "/1073741824" in verb(server, "quota", "show", user)


def test_what_is_no_mail(server, user, tmp_path):
    """Scripts, entries, rights, subscriptions and what is set for the user come back; what is there stays, and what was taken from somebody
    since stays taken. A dry run, and one of a message, bring none of it."""
    session = login(server, user)
    for line in ("CREATE Box", "SUBSCRIBE Box", 'SETMETADATA Box (/private/comment "one" /shared/comment "two")', "SETACL Box bob lrs", "CREATE Kept", "SETACL Kept bob lrs"):
        session.command(line)
    fill(session, "Box", 1)
    fill(session, "Kept", 2)
    (tmp_path / "main").write_text("keep;\n")
    verb(server, "sieve", "put", "main", tmp_path / "main", "--user", user)
    verb(server, "sieve", "activate", "main", "--user", user)
    verb(server, "user", "set", user, "storage=1G", "keep=yes", "retention=9d")
    was, of = beside_mail(server, user), of_user(server, user)
    path = backup(server)
    for line in ("DELETE Box", "UNSUBSCRIBE Box", "DELETEACL Kept bob"):
        session.command(line)
    verb(server, "sieve", "deactivate", "--user", user)
    verb(server, "sieve", "delete", "main", "--user", user)
    verb(server, "user", "set", user, "storage=default", "keep=default", "retention=default")
    restore(server, path, user, "--dry-run")
    restore(server, path, user, "--folder", "Box", "--uid", 1, "--to", "One")
    assert of_user(server, user)[0] != of[0] and of_user(server, user)[1] != of[1] and not session.command('LIST "" Box')[0] and b"bob" not in session.command("GETACL One")[0][0]
    restore(server, path, user, "--folder", "Box", "--to", "Other/Box")
    assert beside_mail(server, user, "Other/Box") == was and of_user(server, user)[0] != of[0] and of_user(server, user)[1] != of[1]
    assert restore(server, path, user)[0] == 1
    assert beside_mail(server, user) == was and of_user(server, user) == of
    assert verb(server, "sieve", "show", "main", "--user", user) == "keep;\n"
    assert b"bob" not in session.command("GETACL Kept")[0][0]
    assert restore(server, path, user)[0] == 0
    session.close()


def test_below_a_shared_folder(server, user):
    """What comes back below a folder that others see is seen by those who saw it, not by whoever sees that one."""
    session, other = login(server, user), login(server, server.fresh_user("guest"))
    guest = other.command("GETACL INBOX")[0][0].split()[3].decode()
    for line in ("CREATE Team", f"SETACL Team {guest} lr", "SETACL Team bob lr", "CREATE Team/Secret", f"DELETEACL Team/Secret {guest}"):
        session.command(line)
    fill(session, "Team/Secret", 1)
    rights = session.command("GETACL Team/Secret")[0]
    path = backup(server)
    session.command("DELETE Team/Secret")
    assert restore(server, path, user, "--folder", "Team/Secret")[0] == 1
    assert session.command("GETACL Team/Secret")[0] == rights and guest not in str(rights)
    session.command("DELETE Team/Secret")
    assert restore(server, path, user, "--folder", "Team/Secret", "--uid", 1)[0] == 1
    assert guest not in str(session.command("GETACL Team/Secret")[0])


def test_another_store(server, user, tmp_path):
    """What comes from elsewhere gets EMAILIDs of ours, also when theirs are free here."""
    session = login(server, user)
    fill(session, "INBOX", *range(10))
    data = server.dir / "foreign"
    if os.getuid() == 0:
        os.chmod(server.dir, 0o777)
    posthorn.run_verb("user", "add", user, "--data", data, stdin=b"secret\n")
    posthorn.give_to_service(data)
    other = posthorn.Server(data=data)
    try:
        theirs = Imap(other.address("imap"), user, "secret")
        fill(theirs, "INBOX", 20, 21)
        path, foreign = server.dir / "their-backup", emailids(theirs, "INBOX")
        path.write_bytes(backup(other).read_bytes())
        picture = rows(theirs, "INBOX", ids=False)
    finally:
        other.stop()
    code, text = call(server, path, user, "--folder", "INBOX", "--to", "theirs")
    assert code == 0 and "2 with a new EMAILID" in text, text
    assert rows(session, "theirs", ids=False) == picture
    assert not set(emailids(session, "theirs")) & set(foreign)
    everything = emailids(session, "theirs") + emailids(session, "INBOX")
    assert len(set(everything)) == 12
    verified(server)


def fork(server):
    """A second server with the same store, which goes its own way."""
    data = server.dir / "twin"
    server.kill()
    subprocess.run(["cp", "-a", "--sparse=always", str(server.data), str(data)], check=True)
    server.start()
    return posthorn.Server(data=data)


def test_never_two_bodies_under_one_emailid():
    """A copy of the store gave the same EMAILIDs to other messages: here they get new ones."""
    own, twin = posthorn.Server(), None
    try:
        user = own.fresh_user("two")
        session = login(own, user)
        fill(session, "INBOX", 1)
        twin = fork(own)
        session, theirs = login(own, user), login(twin, user)
        for box in ("box", "gone", "kept"):
            session.command(f"CREATE {box}")
            theirs.command(f"CREATE {box}")
        for n, box in enumerate(("box", "gone", "kept", "INBOX")):
            fill(session, box, 10 + n)
            fill(theirs, box, 20 + n)
        fill(theirs, "INBOX", *range(30, 40))
        assert [emailids(session, b) for b in ("box", "gone", "kept")] == [emailids(theirs, b) for b in ("box", "gone", "kept")]
        taken = {i for b in ("box", "gone", "kept", "INBOX") for i in emailids(session, b)[-1:]}
        session.expunge("box")
        session.command("DELETE gone")
        path = backup(twin)
        code, text = call(own, path, user, "--folder", "INBOX")
        assert code == 0 and "11 with a new EMAILID" in text and "; 1 there already" in text, text
        for box in ("box", "gone", "kept"):
            code, text = call(own, path, user, "--folder", box, "--to", "From/" + box)
            assert code == 0 and "1 with a new EMAILID" in text, text
            assert not set(emailids(session, "From/" + box)) & taken, box
        every = emailids(session, "INBOX") + emailids(session, "kept") + sum((emailids(session, "From/" + b) for b in ("box", "gone", "kept")), [])
        assert len(set(every)) == len(every)
        fill(session, "INBOX", *range(50, 90))  # ids that the copy has used already
        assert len(set(emailids(session, "INBOX"))) == len(emailids(session, "INBOX"))
        verified(own)
    finally:
        if twin:
            twin.stop()
        own.stop()


def test_same_message_in_another_folder(server, user):
    """What was moved since is under its EMAILID in both folders, like a copy."""
    session = login(server, user)
    fill(session, "INBOX", 1, 2)
    before = rows(session, "INBOX")
    path = backup(server)
    session.select("INBOX")
    session.command("MOVE 1:2 Archive")
    assert restore(server, path, user, "--folder", "INBOX") == (2, 1, 0)
    assert rows(session, "INBOX") == rows(session, "Archive") == before


# ---- what is refused ----

def test_damaged_backup(server, user):
    """A flipped bit anywhere, a missing end, something else: refused before anything is done."""
    session = login(server, user)
    fill(session, "INBOX", 1, 2)
    fill(session, "INBOX", 3, size=LARGE)
    path = backup(server)
    session.expunge("INBOX")
    session.command("DELETE Archive")
    good, tree = path.read_bytes(), session.names()
    bad = server.dir / "bad"
    flips = [5, 30, 60, 100, 180, len(good) // 7, len(good) // 3, len(good) // 2, len(good) - 200_000, len(good) - 40]
    versions = [good[:at] + bytes([good[at] ^ 4]) + good[at + 1:] for at in flips]
    versions += [good[:-1], good[:len(good) // 2], good[:40], b"", b"From: x\r\n\r\nno backup\r\n" * 99, good[:-5] + good[-5:-1] + b"\1"]
    for text in versions:
        bad.write_bytes(text)
        told = refused(server, bad, user, "--folder", "INBOX")
        assert re.search(r"damaged|cut short|checksum|no backup|ends early|malformed|missing|cannot be read|not understood|behind", told), told
        assert not rows(session, "INBOX") and session.names() == tree
    bad.unlink()
    assert restore(server, path, user, "--folder", "INBOX") == (3, 1, 0)
    verified(server)


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text[:-5], lambda text: text + b"x"])
def test_damaged_behind_the_store(server, user, tmp_path, change):
    """A whole restore that ends before it has the users does not look like one that is done."""
    backup, data = tmp_path / "backup", tmp_path / "data"
    posthorn.run_verb("backup", backup, "-c", server.config)
    backup.write_bytes(change(backup.read_bytes()))
    for words in (("restore", backup), ("user", "list"), ("restore", backup)):
        with pytest.raises(RuntimeError):
            posthorn.run_verb(*words, "--data", data)


def test_wrong_words(server, user):
    session = login(server, user)
    fill(session, "INBOX", 1)
    path, tree = backup(server), session.names()
    session.expunge("INBOX")
    cases = [(["--to", "x"], "usage:"), (["--uid", "1"], "usage:"), (["--folder", "INBOX", "--uid", "1", "--emailid", "E5"], "usage:"),
             (["--folder", "INBOX", "--uid", "0"], "--uid takes"), (["--folder", "INBOX", "--uid", "1x"], "--uid takes"),
             (["--folder", "INBOX", "--uid", "4294967296"], "--uid takes"), (["--folder", "INBOX", "--emailid", "5"], "--emailid takes"),
             (["--folder", "INBOX", "--message-id", "<>"], "is empty"), (["--folder", "nowhere"], "no folder 'nowhere'"),
             (["--folder", "INBOX", "--to", "a//b"], ""), (["--folder", "INBOX", "--to", "../../etc"], ""), (["--folder", ".."], ""),
             (["--folder", "INBOX", "--to", "a\x01b"], ""), (["--folder", "INBOX", "--to", "x/" * 500 + "x"], ""),
             (["--folder", "INBOX", "--to", "y" * 5000], "")]
    for more, told in cases:
        assert told in refused(server, path, user, *more), more
        assert session.names() == tree and not rows(session, "INBOX")
    assert "the backup has no user" in refused(server, path, "nobody-there", "--folder", "INBOX")
    assert "No such file" in refused(server, server.dir / "no-such-file", user, "--folder", "INBOX")
    later = server.fresh_user("later")
    assert "the backup has no user" in refused(server, path, later, "--folder", "INBOX")
    code = subprocess.run([posthorn.binary(), "restore", str(path), "--folder", "INBOX", "-c", str(server.config)],
                          stderr=subprocess.PIPE, env=posthorn.environment(), timeout=60, check=False)
    assert code.returncode == 2 and b"usage:" in code.stderr
    posthorn.run_verb("user", "delete", user, "-c", server.config)
    assert "NONEXISTENT" in refused(server, path, user, "--folder", "INBOX", "--json"), "the user is in the backup only"


def test_hostile_names(server, user):
    session = login(server, user)
    session.command("ENABLE IMAP4rev2")
    hostile = ["%s%n%d", "a\\b\"c", "..x", "restoring-", "-u", "--to", "ǘ \u4f60", "x" * 200, " lead", "a/b/c/d/e"]
    quoted = {n: n.replace("\\", "\\\\").replace('"', '\\"') for n in hostile}
    for n, name in enumerate(hostile):
        session.command(f'CREATE "{quoted[name]}"')
        fill(session, quoted[name], n)
    path = backup(server)
    for name in hostile:
        session.command(f'DELETE "{quoted[name]}"')
    for name in hostile:
        assert restore(server, path, user, f"--folder={name}") == (1, 1, 0), name
        assert len(rows(session, quoted[name])) == 1
        assert restore(server, path, user, f"--folder={name}", f"--to=again/{name}")[0] == 1
    verified(server)


# ---- killed in the middle ----

def heeds_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who runs the tests in the background may have it ignored


def start(server, path, user):
    return subprocess.Popen([posthorn.binary(), "restore", str(path), "--user", user, "--folder", "INBOX", "-c", str(server.config)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=posthorn.environment(), start_new_session=True,
                            preexec_fn=heeds_ctrl_c)


def test_killed_in_the_middle():
    """The command, its child or the server dies: the store is whole, and the next run brings the rest, once."""
    own = posthorn.Server()
    try:
        user = own.fresh_user("many")
        session = login(own, user)
        session.append_all("INBOX", [mail(n) for n in range(MANY)])
        path = backup(own)
        before = rows(session, "INBOX")
        partial = 0
        for turn in range(8 if LONG else 4):
            session = login(own, user)
            session.expunge("INBOX")
            run = start(own, path, user)
            session.select("INBOX")
            limit, wanted = time.monotonic() + 60, MANY * turn // 10
            while run.poll() is None and time.monotonic() < limit:
                status = session.command("STATUS INBOX (MESSAGES)")[0][0]
                if int(re.search(rb"MESSAGES (\d+)", status)[1]) >= wanted:
                    break
            if turn % 2:
                own.kill()
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                own.start()
            else:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
            verified(own)
            session = login(own, user)
            had = len(rows(session, "INBOX"))
            partial += 0 < had < MANY
            assert restore(own, path, user, "--folder", "INBOX") == (MANY - had, 1, had)
            assert rows(session, "INBOX") == before
        assert partial > 0, "no run was caught in its middle"
        assert not leftovers(own)
    finally:
        own.stop()


def unpacked(server, session):
    return bool(leftovers(server))


def some_came(server, session):
    return int(re.search(rb"MESSAGES (\d+)", session.command("STATUS INBOX (MESSAGES)")[0][0])[1]) > MANY // 10


@pytest.mark.parametrize("moment", [unpacked, some_came])
def test_interrupted(server, user, moment):
    """Ctrl-C while the backup is being unpacked or read: what is unpacked goes too, and the next run brings the rest."""
    session = login(server, user)
    session.append_all("INBOX", [mail(n) for n in range(MANY)])
    path = backup(server)
    before = rows(session, "INBOX")
    session.expunge("INBOX")
    run = start(server, path, user)
    limit = time.monotonic() + 60
    while not moment(server, session):
        assert run.poll() is None and time.monotonic() < limit, "it had ended before the moment came"
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait() != 0, "it was not interrupted"
    while leftovers(server) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not leftovers(server)
    verified(server)
    had = len(rows(session, "INBOX"))
    assert had < MANY and (had > 0 or moment is unpacked)
    assert restore(server, path, user, "--folder", "INBOX") == (MANY - had, 1, had)
    assert rows(session, "INBOX") == before
