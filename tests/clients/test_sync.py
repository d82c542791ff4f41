"""mbsync and offlineimap: both ways, until a run changes nothing on either side. Neither of them knows CONDSTORE or QRESYNC."""
import subprocess

import pytest

from lib import client

MBSYNC = """
IMAPAccount server
Host localhost
Port {port}
User {user}
Pass {password}
SSLType IMAPS
CertificateFile {certificate}
IMAPStore far
Account server
MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX
SubFolders Verbatim
Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""

OFFLINEIMAP = """
[general]
accounts = a
metadata = {work}/meta
ui = quiet
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {maildir}
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = yes
sslcacertfile = {certificate}
usecompression = {compress}
"""


def message(subject):
    return f"From: a@example.org\r\nSubject: {subject}\r\nMessage-Id: <{subject}@example.org>\r\n\r\nbody of {subject}\r\n".encode()


def server_state(where, user):
    """{mailbox: (uidvalidity, {uid: (flags, subject)})}"""
    connection = client.Imap(where.address("imap"), user, where.password)
    state = {}
    lines, _ = connection.command('LIST "" "*"')
    for name in sorted(line.rsplit(b" ", 1)[1].decode().strip('"') for line in lines):
        known = connection.select(name)
        rows = {}
        if known["EXISTS"]:
            for values in connection.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values():
                subject = next(v for k, v in values.items() if k.startswith("BODY["))
                rows[values["UID"]] = (frozenset(values["FLAGS"]) - {"\\Recent"}, subject.split(b":")[1].strip().decode())
        state[name] = (known["UIDVALIDITY"], rows)
    connection.close()
    return state


def maildir_state(folder):
    """The message files with their flags."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.parent.name in ("cur", "new"))


def subjects(state, mailbox):
    return sorted(subject for _, subject in state[mailbox][1].values())


def local_subjects(folder):
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name in ("cur", "new"):
            found += [line[9:].decode().strip() for line in path.read_bytes().split(b"\n") if line.startswith(b"Subject: ")]
    return sorted(found)


def both_ways(where, user, folder, sync):
    """What every synchroniser must manage."""
    connection = client.Imap(where.address("imap"), user, where.password)
    connection.command("CREATE Lists")
    connection.append("INBOX", message("one"), "\\Seen")
    connection.append("INBOX", message("two"))
    connection.append("Lists", message("three"), "\\Flagged")
    sync()
    assert local_subjects(folder) == ["one", "three", "two"]
    inbox = next(p for p in folder.rglob("*") if p.is_dir() and p.name == "INBOX")
    (inbox / "new" / "1.local.host").write_bytes(message("four").replace(b"\r\n", b"\n"))
    seen = next(p for p in (inbox / "new").iterdir() if b"Subject: two" in p.read_bytes()) if any(
        b"Subject: two" in p.read_bytes() for p in (inbox / "new").iterdir()) else next(
        p for p in (inbox / "cur").iterdir() if b"Subject: two" in p.read_bytes())
    flags = seen.name.split(":2,")[0] + ":2,RS"
    seen.rename(inbox / "cur" / flags)
    connection.select("Lists")
    connection.command("STORE 1 +FLAGS (\\Deleted)")
    connection.command("EXPUNGE")
    connection.close()
    sync()
    state = server_state(where, user)
    assert subjects(state, "INBOX") == ["four", "one", "two"]
    assert subjects(state, "Lists") == []
    assert {"\\Seen", "\\Answered"} <= next(f for f, s in state["INBOX"][1].values() if s == "two")
    assert local_subjects(folder) == ["four", "one", "two"]
    before = (state, maildir_state(folder))
    sync()
    assert (server_state(where, user), maildir_state(folder)) == before


def place(folder, mailbox):
    """The Maildir of a mailbox, however the program spells its levels."""
    return next(p for p in folder.rglob("*") if p.is_dir() and str(p.relative_to(folder)).replace(".", "/") == mailbox)


def local_file(folder, mailbox, subject):
    return next(p for part in ("cur", "new") for p in (place(folder, mailbox) / part).iterdir()
                if b"Subject: %s\n" % subject.encode() in p.read_bytes().replace(b"\r\n", b"\n"))


def set_flags(path, flags):
    """Maildir's letters, as a mail reader would set them."""
    path.rename(path.parent.parent / "cur" / f"{path.name.split(':2,')[0]}:2,{flags}")


def flags_of(state, mailbox, subject):
    return next(flags for flags, found in state[mailbox][1].values() if found == subject)


def make_local(folder, mailbox, subject):
    for part in ("cur", "new", "tmp"):
        (folder / mailbox / part).mkdir(parents=True)
    (folder / mailbox / "new" / "2.local.host").write_bytes(message(subject).replace(b"\r\n", b"\n"))


def everything(where, user, folder, sync):
    """Deletions, flags and new folders of both sides in one run; names beyond ASCII; UIDs and UIDVALIDITY stay."""
    connection = client.Imap(where.address("imap"), user, where.password)
    for name in ("Lists", "Lists/Deep", "B&APw-cher"):
        connection.command(f'CREATE "{name}"')
    for subject in ("gone-here", "gone-there", "flagged-here", "flagged-there", "read-there", "stays"):
        connection.append("INBOX", message(subject), "\\Seen" if subject == "read-there" else "")
    connection.append("Lists/Deep", message("deep"))
    connection.append("B&APw-cher", message("book"), "\\Answered")
    sync()
    assert local_file(folder, "Lists/Deep", "deep") and ":2,R" in local_file(folder, "B&APw-cher", "book").name
    before = server_state(where, user)
    local_file(folder, "INBOX", "gone-here").unlink()
    set_flags(local_file(folder, "INBOX", "flagged-here"), "FS")
    make_local(folder, "M&APY-bel", "chair")
    connection.select("INBOX")
    connection.command("UID STORE 2 +FLAGS (\\Deleted)")
    connection.command("EXPUNGE")
    connection.command("UID STORE 4 +FLAGS (\\Flagged \\Draft)")
    connection.command("UID STORE 5 -FLAGS (\\Seen)")
    connection.command("CREATE New")
    connection.append("New", message("new"))
    connection.close()
    sync()
    after = server_state(where, user)
    assert subjects(after, "INBOX") == ["flagged-here", "flagged-there", "read-there", "stays"]
    assert {uid for uid, _ in after["INBOX"][1].items()} == {3, 4, 5, 6}
    assert flags_of(after, "INBOX", "flagged-here") == {"\\Seen", "\\Flagged"}
    assert subjects(after, "M&APY-bel") == ["chair"]
    assert {name: state[0] for name, state in before.items()}.items() <= {name: state[0] for name, state in after.items()}.items()
    assert local_subjects(folder) == sorted(s for name in after for s in subjects(after, name))
    assert ":2,DF" in local_file(folder, "INBOX", "flagged-there").name
    assert "S" not in local_file(folder, "INBOX", "read-there").name.partition(":2,")[2]
    assert local_file(folder, "New", "new")
    seen = (after, maildir_state(folder))
    sync()
    assert (server_state(where, user), maildir_state(folder)) == seen


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=120, **options)
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def settings(where, user, work):
    maildir = work / "mail"
    maildir.mkdir()
    return {"port": where.address("imaps")[1], "user": user, "password": where.password, "work": work,
            "maildir": maildir, "certificate": where.dir / "cert.pem", "compress": "no" if where.name == "dovecot" else "yes"}


def mbsync(where, user, work):
    """(the folder, a function that synchronises)"""
    values = settings(where, user, work)
    config = work / "mbsyncrc"
    config.write_text(MBSYNC.format(**values).replace("\nIMAPStore", "\n\nIMAPStore").replace("\nMaildirStore", "\n\nMaildirStore")
                      .replace("\nChannel", "\n\nChannel"))
    return values["maildir"], lambda: run("mbsync", "-c", config, "-a")


def offlineimap(where, user, work):
    values = settings(where, user, work)
    config = work / "offlineimaprc"
    config.write_text(OFFLINEIMAP.format(**values))
    env = {"HOME": str(work), "PATH": "/usr/bin:/bin"}
    return values["maildir"], lambda: run("offlineimap", "-o", "-c", config, env=env)


@pytest.mark.parametrize("program", [mbsync, offlineimap])
@pytest.mark.parametrize("story", [both_ways, everything])
def test_sync(where, user, tmp_path, program, story):
    folder, sync = program(where, user, tmp_path)
    story(where, user, folder, sync)
