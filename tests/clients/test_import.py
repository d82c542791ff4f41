"""import and export: a Maildir that Dovecot made, an mbox, a run that was killed; what comes out is what went in."""
import gzip
import mailbox
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from lib import client, peers, server as posthorn
from lib.waiting import wait_for

# A literal holds no NUL (RFC 9051 section 9), and Dovecot refuses a message of no octets.
NAMES = [n for n in sorted(p.stem for p in peers.MAIL.glob("*.eml")) if b"\0" not in peers.read_message(n) != b""]


@pytest.fixture(scope="module")
def dovecot():
    peer = peers.Dovecot()
    yield peer
    peer.stop()


@pytest.fixture
def server():
    own = posthorn.Server()
    yield own
    own.check_reports()
    own.stop()


def verb(where, *words, want=0):
    """An admin verb on this server's data; returns what it said."""
    done = subprocess.run([posthorn.binary(), *map(str, words), "-c", str(where.config)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=posthorn.environment(), timeout=120, check=False)
    assert done.returncode == want, done.stdout.decode()
    return done.stdout.decode()


def state(where, user):
    """{mailbox: (UIDVALIDITY, UIDNEXT, {uid: (flags, date, octets)})}"""
    connection = client.Imap(where.address("imap"), user, where.password)
    lines, _ = connection.command('LIST "" "*"')
    found = {}
    for name in sorted(re.search(rb'" "?([^"]*)"?$', line)[1].decode() for line in lines):
        known = connection.select(name)
        rows = {}
        if known["EXISTS"]:
            for values in connection.fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])").values():
                flags = frozenset(str(f) for f in values["FLAGS"]) - {"\\Recent"}
                rows[values["UID"]] = (flags, values["INTERNALDATE"].strip().zfill(26), values["BODY[]"])
        found[name] = (known["UIDVALIDITY"], known["UIDNEXT"], rows)
    connection.close()
    return found


def fill(where, user):
    """Some of everything: keywords, gaps in the UIDs, a UIDNEXT above all, children, a name beyond ASCII."""
    connection = client.Imap(where.address("imap"), user, where.password)
    lines, _ = connection.command('LIST "" "Archive"')
    for name in ("Lists", "Lists/C&AOQ-") + (() if lines else ("Archive",)):
        connection.command(f'CREATE "{name}"')
    uids = []
    for i, name in enumerate(NAMES):
        flags = ("", "\\Seen", "\\Flagged $Label1", "\\Answered NonJunk \\Seen", "\\Draft", "$Forwarded")[i % 6]
        connection.command(f'APPEND INBOX ({flags}) "{1 + i % 28:2d}-Feb-2004 10:11:12 +0000"', peers.read_message(name))
        uids.append(i + 1)
    connection.append("Lists/C&AOQ-", peers.read_message("plain"), "\\Deleted")
    connection.append("Sent", peers.read_message("utf8"), "\\Seen")
    connection.select("INBOX")
    connection.command(f"STORE 3,7,{len(uids)} +FLAGS (\\Deleted)")
    connection.command("EXPUNGE")
    connection.close()


def assert_same(was, now, numbers=True):
    """Every mailbox that held mail, or was numbered, is the same."""
    for name, (validity, uidnext, rows) in was.items():
        assert now[name][2] == rows, name
        if numbers and (rows or uidnext > 1):
            assert now[name][:2] == (validity, uidnext), name


def test_maildir_of_dovecot(dovecot, server):
    user = dovecot.fresh_user("import")
    fill(dovecot, user)
    was = state(dovecot, user)
    maildir = dovecot.dir / "home" / user / "Maildir"
    said = verb(server, "import", "maildir", maildir, "-u", "alice")
    assert " 0 left out" in said
    assert_same(was, state(server, "alice"))
    again = verb(server, "import", "maildir", maildir, "-u", "alice")
    assert "imported 0 messages" in again
    assert_same(was, state(server, "alice"))


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_round_trip(server, tmp_path, form):
    fill(server, "alice")
    was = state(server, "alice")
    verb(server, "export", form, tmp_path / "out", "-u", "alice")
    verb(server, "import", form, tmp_path / "out", "-u", "bob")
    assert_same(was, state(server, "bob"))
    assert "not empty" in verb(server, "export", form, tmp_path / "out", "-u", "alice", want=1)


def test_export_for_dovecot(dovecot, server, tmp_path):
    """Dovecot shows the exported Maildir as we do, but for messages with line ends that it would change."""
    fill(server, "alice")
    was = state(server, "alice")
    user = dovecot.fresh_user("export")
    home = dovecot.dir / "home" / user
    home.mkdir()
    verb(server, "export", "maildir", home / "Maildir", "-u", "alice")
    owner = (dovecot.dir / "home").stat()
    for path in [home, *home.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    now = state(dovecot, user)
    for name, (validity, uidnext, rows) in was.items():
        assert now[name][0] == validity and now[name][1] == uidnext, name
        assert {u: r[:2] for u, r in rows.items()} == {u: r[:2] for u, r in now[name][2].items()}, name
        for uid, (_, _, octets) in rows.items():
            if octets.count(b"\n") == octets.count(b"\r\n"):
                assert now[name][2][uid][2] == octets


def test_mbox_of_python(server, tmp_path):
    """As Python writes one: Status headers, From lines quoted, LF line ends."""
    box = mailbox.mbox(str(tmp_path / "box"))
    for i in range(3):
        message = mailbox.mboxMessage(f"From: a@example.org\nSubject: {i}\n\nFrom me\nto you\n".encode())
        message.set_from("a@example.org", time.gmtime(1_000_000_000 + i))
        message.set_flags(("", "RO", "ROFA")[i])
        box.add(message)
    box.close()
    verb(server, "import", "mbox", tmp_path / "box", "-u", "alice", "--folder", "Old/Box")
    rows = state(server, "alice")["Old/Box"][2]
    assert [r[0] for r in rows.values()] == [set(), {"\\Seen"}, {"\\Seen", "\\Flagged", "\\Answered"}]
    assert [r[2] for r in rows.values()] == [b"From: a@example.org\r\nSubject: %d\r\n\r\nFrom me\r\nto you\r\n" % i
                                             for i in range(3)]
    assert "imported 0 messages" in verb(server, "import", "mbox", tmp_path / "box", "-u", "alice", "--folder", "Old/Box")


def make_maildir(path, count, folder=None):
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    for i in range(count):
        file = path / "cur" / f"{1000000000 + i}.M{i}.host:2,S"
        file.write_bytes(b"Subject: %d\n\nbody %d\n" % (i, i) + b"x" * 70 * (i % 50) + b"\n")
    return path


def test_one_folder_out(server, tmp_path):
    """That one and what is below it; none whose name differs in case only, but INBOX in any."""
    for name in ("lists", "lists/sub", "Lists", "Lists/sub", "listsx"):
        verb(server, "mailbox", "create", "alice", name)
    for number, (folder, count) in enumerate((("lists", 2), ("lists/", 2), ("Lists/sub", 1), ("inbox", 1))):
        said = verb(server, "export", "maildir", tmp_path / str(number), "-u", "alice", "--folder", folder)
        assert f" of {count} mailboxes; 0 left out" in said, (folder, said)
    assert "there is no such mailbox" in verb(server, "export", "maildir", tmp_path / "none", "-u", "alice", "--folder", "LISTS", want=1)


def test_special_use(server, tmp_path):
    make_maildir(tmp_path / "md", 0)
    for name in (".Sent Items", ".Sent Items.2004", ".Gel&APY-schte Elemente", ".[Gmail].Spam", ".Sent Messages"):
        make_maildir(tmp_path / "md" / name, 1)
    said = verb(server, "import", "maildir", tmp_path / "md", "-u", "alice")
    assert "Sent Items goes to Sent" in said
    now = state(server, "alice")
    assert len(now["Sent"][2]) == len(now["Sent/2004"][2]) == 1
    assert "Sent Items" not in now


def test_damaged(server, tmp_path):
    """What cannot be read is told and does not stop the rest; when it can be read it is added."""
    path = make_maildir(tmp_path / "md", 4)
    lines = "".join(f"{i + 1} :{1000000000 + i}.M{i}.host\n" for i in range(4))
    (path / "dovecot-uidlist").write_text("3 V77 N9 Gx\n" + lines)
    hidden = path / "cur" / "1000000001.M1.host:2,S"
    data, times = hidden.read_bytes(), (hidden.stat().st_atime, hidden.stat().st_mtime)
    hidden.unlink()
    hidden.mkdir()
    said = verb(server, "import", "maildir", path, "-u", "alice", want=1)
    assert "M1.host" in said and "imported 3 messages" in said
    assert sorted(state(server, "alice")["INBOX"][2]) == [1, 3, 4]
    hidden.rmdir()
    hidden.write_bytes(data)
    os.utime(hidden, times)
    assert "imported 1 messages" in verb(server, "import", "maildir", path, "-u", "alice")
    validity, uidnext, rows = state(server, "alice")["INBOX"]
    assert (validity, uidnext, sorted(rows)) == (77, 10, [1, 3, 4, 9])
    assert "imported 0 messages" in verb(server, "import", "maildir", path, "-u", "alice")


@pytest.mark.parametrize("header, uid, want", [
    ("V77 N4294967295", 4294967294, (None, 2, "leave no room")),
    ("V77 N9", 4294967294, (77, 10, "1 got a new UID")),
    ("V4294967295 N9", 7, (None, 2, "leave no room"))], ids=["uidnext", "uid", "uidvalidity"])
def test_no_room_behind(server, tmp_path, header, uid, want):
    """UIDs are taken over as long as there is room for mail that comes later; it is told when they are not."""
    path = make_maildir(tmp_path / "md", 1)
    (path / "dovecot-uidlist").write_text(f"3 {header} Gx\n{uid} :1000000000.M0.host\n")
    validity, uidnext, told = want
    own = state(server, "alice")["INBOX"][0]
    assert told in verb(server, "import", "maildir", path, "-u", "alice")
    assert state(server, "alice")["INBOX"][:2] == (validity or own, uidnext)
    assert "imported 0 messages" in verb(server, "import", "maildir", path, "-u", "alice")
    connection = client.Imap(server.address("imap"), "alice", server.password)
    connection.append("INBOX", b"Subject: x\r\n\r\nbody\r\n")
    connection.close()
    assert state(server, "alice")["INBOX"][1] == uidnext + 1


def test_again_after_delete(server, tmp_path):
    """What was exported comes back with its UIDs, unless the folder that was deleted since had given more of them."""
    path = tmp_path / "out"
    connection = client.Imap(server.address("imap"), "alice", server.password)
    connection.command("CREATE Lists")
    connection.append("Lists", b"Subject: 1\r\n\r\nbody\r\n")
    verb(server, "export", "maildir", path, "-u", "alice")
    was = state(server, "alice")["Lists"]
    connection.command("DELETE Lists")
    assert "new ones" not in verb(server, "import", "maildir", path, "-u", "alice")
    assert state(server, "alice")["Lists"] == was
    connection.append("Lists", b"Subject: 2\r\n\r\nbody\r\n")
    connection.command("DELETE Lists")
    assert "more UIDs" in verb(server, "import", "maildir", path, "-u", "alice")
    validity, uidnext, _ = state(server, "alice")["Lists"]
    assert validity != was[0] and uidnext == 2
    connection.close()


def test_options_of_another_server(server, tmp_path):
    """What files cannot do is refused: a trial that imports would be none."""
    path = make_maildir(tmp_path / "md", 2)
    for words in (["--dry-run"], ["--rate", "9"], ["--plaintext"], ["--password-file", "/dev/null"]):
        assert "--dry-run" in verb(server, "import", "maildir", path, "-u", "alice", *words, want=2)
    assert state(server, "alice")["INBOX"][2] == {}


def test_compressed(server, tmp_path):
    """Dovecot's mail_compress: octets that are no message are told, not taken for one."""
    path = make_maildir(tmp_path / "md", 1)
    (path / "cur" / "1000000009.M9.host,S=9:2,S").write_bytes(gzip.compress(b"Subject: z\n\nz\n"))
    said = verb(server, "import", "maildir", path, "-u", "alice", want=1)
    assert "M9.host" in said and "is compressed" in said and "imported 1 messages" in said


def test_linked_folder(server, tmp_path):
    """A folder that is a symbolic link is left out, and told."""
    path = make_maildir(tmp_path / "md", 1)
    make_maildir(tmp_path / "other", 1)
    (path / ".Linked").symlink_to(tmp_path / "other")
    assert ".Linked: is a symbolic link" in verb(server, "import", "maildir", path, "-u", "alice", want=1)


def test_very_many_problems(server, tmp_path):
    """A list of subscriptions that is nothing but damage is told line by line."""
    path = make_maildir(tmp_path / "md", 1)
    (path / "subscriptions").write_bytes(b"\xff\xfe\n" * 40000)
    said = verb(server, "import", "maildir", path, "-u", "alice", want=1)
    assert said.count("neither modified UTF-7") == 40000 and "imported 1 messages" in said


def test_dates_before_1970(server, tmp_path):
    """A message that claims to be older than the clock stays a message of its own in an mbox."""
    connection = client.Imap(server.address("imap"), "alice", server.password)
    for date in (" 1-Jan-2004 00:00:00 +0000", "31-Dec-1969 20:00:00 -0500", " 1-Jan-1960 00:00:00 +0000"):
        connection.command(f'APPEND INBOX "{date}"', peers.read_message("plain"))
    connection.close()
    verb(server, "export", "mbox", tmp_path / "out", "-u", "alice")
    verb(server, "import", "mbox", tmp_path / "out", "-u", "bob")
    assert_same(state(server, "alice"), state(server, "bob"))


def test_slow_reader(tmp_path):
    """Every message that is left out is told, also to one who reads late."""
    own = posthorn.Server({"quota_messages": 5})
    try:
        path = make_maildir(tmp_path / "md", 0)
        for i in range(5000):
            (path / "cur" / f"{1000000000 + i}.{'x' * 180}:2,S").write_bytes(b"Subject: %d\n\n" % i)
        words = [posthorn.binary(), "import", "maildir", str(path), "-u", "alice", "-c", str(own.config)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=posthorn.environment()) as late:
            time.sleep(10)  # until all that is between the two is full
            _, problems = late.communicate(timeout=120)
        assert b"4995 were left out" in problems and problems.count(b"are over 5") == 4995, problems[-300:]
        own.check_reports()
    finally:
        own.stop()


@pytest.mark.parametrize("victim", ["command", "server"])
@pytest.mark.parametrize("uids", [True, False])
def test_resume_after_kill(server, tmp_path, victim, uids):
    count = 1500
    path = make_maildir(tmp_path / "md", count)
    if uids:
        lines = "".join(f"{2 * i + 1} :{1000000000 + i}.M{i}.host\n" for i in range(count))
        (path / "dovecot-uidlist").write_text("3 V77 N5000 Gx\n" + lines)
    inject = f"openat:signal={'SIGKILL' if victim == 'command' else 'SIGSTOP'}:when={count // 2}"  # of the command: it opens each message
    words = [posthorn.binary(), "import", "maildir", str(path), "-u", "alice", "-c", str(server.config)]
    tracer = subprocess.Popen(["strace", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=openat", "-e", f"inject={inject}", *words],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=posthorn.environment())
    trace = tmp_path / "trace"
    if victim == "server":
        wait_for(lambda: trace.exists() and "SIGSTOP" in trace.read_text())
        stopped = int(pathlib.Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()[0])
        server.kill()
        tracer.kill()
        os.kill(stopped, signal.SIGKILL)
    assert tracer.wait(120) != 0
    assert 1 < trace.read_text().count('"cur/') < count
    if victim == "server":
        server.start()
    verb(server, "import", "maildir", path, "-u", "alice")
    validity, uidnext, rows = state(server, "alice")["INBOX"]
    assert sorted(r[2] for r in rows.values()) == sorted(
        p.read_bytes().replace(b"\n", b"\r\n") for p in (path / "cur").iterdir())
    if uids:
        assert (validity, uidnext, sorted(rows)) == (77, 5000, [2 * i + 1 for i in range(count)])


def test_without_a_server(tmp_path):
    data = tmp_path / "data"
    posthorn.run_verb("user", "add", "alice", "--data", data, stdin=b"secret\n")
    path = make_maildir(tmp_path / "md", 20)
    posthorn.run_verb("import", "maildir", path, "-u", "alice", "--data", data)
    posthorn.run_verb("export", "mbox", tmp_path / "out", "-u", "alice", "--data", data)
    assert len(mailbox.mbox(str(tmp_path / "out" / "INBOX.mbox"))) == 20


def facts(server, user):
    """What belongs to the account beside its mail, as a client of IMAP and the administrator see it."""
    connection = client.Imap(server.address("imap"), user, server.password)
    said = {}
    for command in ('GETMETADATA (DEPTH infinity) "" (/private)', 'GETMETADATA (DEPTH infinity) Box (/private /shared)', "GETACL Box",
                    'LIST "" (INBOX Box Post Archive Sent) RETURN (SPECIAL-USE SUBSCRIBED)'):
        lines = [line for line in connection.command(command)[0] if b"/import/" not in line]
        said[command] = sorted(line.replace(user.encode(), b"OWNER") for line in lines)
    connection.close()
    said["scripts"] = verb(server, "sieve", "list", "--user", user), verb(server, "sieve", "show", "main", "--user", user)
    said["settings"] = [verb(server, *words, user).replace(user, "OWNER") for words in (("user", "show"), ("quota", "show"))]
    return said


SETTINGS = ("protocols=imap,lmtp", "forward=a@example.org,b@example.org", "keep=yes", "size_limit=5M", "folder_language=de", "pop3_delete=hide", "pop3_delete_after=40",
            "sent_copy=no", "retention=40d", "storage=2G", "messages=none", "annotations=1M")


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_what_belongs_to_an_account(server, tmp_path, form):
    """export and import bring scripts, the active one, entries of METADATA, special uses, rights, subscriptions, what is set for the user;
    again: nothing changes."""
    there, here = server.fresh_user("facts"), server.fresh_user("facts")
    client.Imap(server.address("imap"), here, server.password).close()
    connection = client.Imap(server.address("imap"), there, server.password)
    for command in ("CREATE Box", "CREATE Post", "SUBSCRIBE Box", 'SETMETADATA Archive (/private/specialuse NIL)', 'SETMETADATA Post (/private/specialuse "\\\\Archive")',
                    'SETMETADATA "" (/private/filters/values/mine "SEEN" /private/comment "me")', 'SETMETADATA Box (/private/comment "one")',
                    "SETACL Box bob lrs", "SETACL Box anyone lr"):
        connection.command(command)
    connection.command('SETMETADATA Box (/shared/comment "two \\"lines\\"")')
    connection.append("Box", peers.read_message("plain"))
    connection.close()
    for name, text in (("main", 'require "fileinto";\r\nfileinto "Box"; # ü\r\n'), ("other", "keep;\r\n")):
        (tmp_path / name).write_bytes(text.encode())
        verb(server, "sieve", "put", name, tmp_path / name, "--user", there)
    verb(server, "sieve", "activate", "main", "--user", there)
    verb(server, "user", "set", there, *SETTINGS)
    verb(server, "export", form, tmp_path / "out", "-u", there)
    assert (tmp_path / "out/posthorn-account").stat().st_mode & 0o777 == 0o600
    was = facts(server, there)
    assert all(word.split("=")[0] in was["settings"][0] for word in SETTINGS[:9])
    assert b"bob" in was["GETACL Box"][0] and "main" in was["scripts"][0]
    verb(server, "import", form, tmp_path / "out", "-u", here)
    assert facts(server, here) == was
    verb(server, "import", form, tmp_path / "out", "-u", here)
    assert facts(server, here) == was


def test_account_file_is_judged(server, tmp_path):
    """What is wrong in posthorn-account is told, and what is here stays."""
    path = make_maildir(tmp_path / "md", 1)
    user = server.fresh_user("judged")
    (tmp_path / "mine").write_text("discard;\n")
    verb(server, "sieve", "put", "main", tmp_path / "mine", "--user", user)
    verb(server, "user", "set", user, "storage=1G")

    def lines(*rows):
        text = b"".join(b"".join(b"%d:%s," % (len(f), f) for f in row) + b"\n" for row in rows)
        (path / "posthorn-account").write_bytes(b"posthorn-account 1\n" + text)
    lines((b"script", b"", b"main", b"keep;"), (b"script", b"", b"bad", b"nonsense("), (b"active", b"", b"none", b""),
          (b"acl", b"INBOX", b"bob", b"Q"), (b"acl", b"nowhere", b"bob", b"l"), (b"metadata", b"INBOX", b"/x/y", b"z"), (b"other", b"", b"", b""),
          (b"setting", b"", b"storage", b"5G"), (b"setting", b"", b"nonsense", b"1"), (b"setting", b"", b"keep", b"yes protocols=none"))
    said = verb(server, "import", "maildir", path, "-u", user, want=1)
    assert "imported 1 messages" in said and " 10 left out" in said, said
    assert "storage_limit=1073741824" in verb(server, "quota", "show", user, "--json").replace('":', "=").replace('"', "")
    assert "protocols" not in verb(server, "user", "show", user)
    assert verb(server, "sieve", "show", "main", "--user", user) == "discard;\n"
    for wrong in (b"", b"posthorn-account 2\n", b"posthorn-account 1\n4:abcd", b"posthorn-account 1\n99999999:a,", b"posthorn-account 1\n1:a,1:b,1:c,1:d,x"):
        (path / "posthorn-account").write_bytes(wrong)
        assert "posthorn-account" in verb(server, "import", "maildir", path, "-u", user, want=1)
