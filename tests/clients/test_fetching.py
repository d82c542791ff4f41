"""Debian's fetchmail, getmail6, mpop and curl fetch by POP3: each message once, over TLS, with and without leaving it on the server."""
import mailbox
import os
import subprocess
from email import message_from_bytes

import pytest

from lib.pop3 import Pop3, with_pop3
from lib.server import PASSWORD

MESSAGES = [b"From: a@example.org\r\nSubject: one\r\nMessage-ID: <1@x>\r\n\r\n.dot\r\n.\r\nend\r\n",
            "From: b@example.org\r\nSubject: Grüße\r\nMessage-ID: <2@x>\r\n\r\nbody\r\n".encode(),
            b"From: c@example.org\r\nSubject: large\r\nMessage-ID: <3@x>\r\n\r\n" + b"0123456789abcdef" * 4 + b"\r\n" + b".x\r\n" * 50000]


@pytest.fixture(scope="module", name="server")
def one_server():
    server = with_pop3()
    yield server
    server.stop()


@pytest.fixture(name="user")
def fresh(server):
    name = server.fresh_user("f")
    deliver(server, name, MESSAGES)
    return name


def deliver(server, user, messages):
    imap = server.imap(user)
    imap.append_all("INBOX", messages)
    imap.close()


def left(server, user):
    with Pop3(server.pop3, user) as c:
        return int(c.ask("STAT").split()[1])


def run(*words, codes=(0,), **more):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False, **more)
    assert done.returncode in codes, done.stdout.decode(errors="replace")
    return done.stdout


def written(path, text):
    path.write_text(text)
    os.chmod(path, 0o600)
    return path


def ids(messages):
    found = [(str(m["Message-ID"]), m.as_bytes().replace(b"\r\n", b"\n")) for m in messages]
    large = dict(found)["<3@x>"]
    assert large.count(b"\n.x") == 50000 and b"\n..x" not in large
    return sorted(ident for ident, _ in found)


def deliverer(folder, box):
    """A program that puts what it reads into a file of its own."""
    mda = written(folder / "mda", f'#!/bin/sh\ncat > "$(mktemp {box}/XXXXXX)"\n')
    os.chmod(mda, 0o700)
    return mda


ALL = ["<1@x>", "<2@x>", "<3@x>"]


def test_fetchmail(server, user, tmp_path):
    """UIDL and keep: a second run finds nothing; without keep nothing is left."""
    box = tmp_path / "box"
    mda = deliverer(tmp_path, box)
    box.mkdir()

    def fetch(keep, codes=(0,)):
        rc = written(tmp_path / "rc", f'set idfile "{tmp_path}/ids"\npoll localhost protocol POP3 port {server.pop3} uidl\n'
                     f'  user "{user}" password "{PASSWORD}" {keep} sslproto "tls1.2+" no sslcertck mda "{mda}"\n')
        run("fetchmail", "-f", rc, "--nosyslog", "--pidfile", tmp_path / "pid", codes=codes,
            env={**os.environ, "HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)})
        return len(list(box.iterdir()))
    assert fetch("keep") == 3
    assert fetch("keep", (1,)) == 3
    deliver(server, user, [b"Subject: four\r\n\r\nx\r\n"])
    assert fetch("nokeep") == 4
    assert fetch("fetchall nokeep", (0, 1)) == 7 and left(server, user) == 0


def test_getmail(server, user, tmp_path):
    box = tmp_path / "box"
    box.mkdir()
    mda = deliverer(tmp_path, box)

    def fetch(delete):
        written(tmp_path / "rc", f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {server.pop3s}\nusername = {user}\n"
                f"password = {PASSWORD}\n[destination]\ntype = MDA_external\npath = {mda}\nallow_root_commands = true\n[options]\n"
                f"read_all = false\ndelete = {delete}\ndelivered_to = false\nreceived = false\n")
        run("getmail", "--rcfile", tmp_path / "rc", "--getmaildir", tmp_path)
        return ids(message_from_bytes(path.read_bytes()) for path in box.iterdir())
    assert fetch("false") == ALL
    assert fetch("false") == ALL and left(server, user) == 3
    assert fetch("true") == ALL and left(server, user) == 0


def test_mpop(server, user, tmp_path):
    """Pipelining."""
    folder = tmp_path / "mail"
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)

    def fetch(keep):
        rc = written(tmp_path / "rc", f"account default\nhost localhost\nport {server.pop3}\ntls on\ntls_starttls on\ntls_certcheck off\nauth plain\n"
                     f"user {user}\npassword {PASSWORD}\nkeep {keep}\npipelining on\nreceived_header off\nuidls_file {tmp_path}/uidls\n"
                     f"delivery maildir {folder}\n")
        run("mpop", "-C", rc)
        return ids(mailbox.Maildir(folder, create=False))
    assert fetch("on") == ALL
    assert fetch("on") == ALL and left(server, user) == 3
    assert fetch("off") == ALL and left(server, user) == 0


def test_curl(server, user):
    def ask(url, *more):
        return run("curl", "--silent", "--show-error", "--insecure", "--user", f"{user}:{PASSWORD}", *more, url)
    assert ask(f"pop3s://127.0.0.1:{server.pop3s}/1") == MESSAGES[0]
    assert ask(f"pop3://127.0.0.1:{server.pop3}/3", "--ssl-reqd") == MESSAGES[2]
    assert len(ask(f"pop3://127.0.0.1:{server.pop3}/", "--ssl-reqd", "-X", "UIDL").split(b"\r\n")) == 4
    ask(f"pop3s://127.0.0.1:{server.pop3s}/1", "--request", "DELE", "--head")
    assert left(server, user) == 2
