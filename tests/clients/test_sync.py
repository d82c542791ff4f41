"""mbsync and offlineimap: both ways, twice; the second run changes nothing on either side."""
import subprocess

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


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=120, **options)
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def settings(where, user, work):
    maildir = work / "mail"
    maildir.mkdir()
    return {"port": where.address("imaps")[1], "user": user, "password": where.password, "work": work,
            "maildir": maildir, "certificate": where.dir / "cert.pem"}


def test_mbsync(where, user, tmp_path):
    values = settings(where, user, tmp_path)
    config = tmp_path / "mbsyncrc"
    config.write_text(MBSYNC.format(**values).replace("\nIMAPStore", "\n\nIMAPStore").replace("\nMaildirStore", "\n\nMaildirStore")
                      .replace("\nChannel", "\n\nChannel"))
    both_ways(where, user, values["maildir"], lambda: run("mbsync", "-c", config, "-a"))


def test_offlineimap(where, user, tmp_path):
    values = settings(where, user, tmp_path)
    config = tmp_path / "offlineimaprc"
    config.write_text(OFFLINEIMAP.format(**values))
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    both_ways(where, user, values["maildir"], lambda: run("offlineimap", "-o", "-c", config, env=env))


