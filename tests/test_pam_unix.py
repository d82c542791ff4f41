"""The real pam_unix: accounts of this machine, made by useradd, chpasswd, chage and passwd in an /etc that only this server and they see."""
import os
import pathlib

import pytest

from lib import server as posthorn
from lib.client import Imap
from lib.mountedserver import MountedServer
from lib.wire import Closed, begin_login
from test_pam import GRANTED, WRONG, login
from test_user_databases import rcpt

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECRET = "Correct Horse 7"
OVERLAY = """mkdir "$1/space"; mount -t tmpfs -o mode=755 tmpfs "$1/space"
mkdir "$1/space/up" "$1/space/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/space/up,workdir=$1/space/work" overlay /etc
"""


def service_of_the_documents():
    """docs/users.md says what /etc/pam.d/posthorn may be."""
    text = (ROOT / "docs/users.md").read_text()
    lines = [line for line in ("@include common-auth", "account required pam_unix.so") if f"`{line}`" in text]
    assert len(lines) == 2
    return "\n".join(lines) + "\n"


@pytest.fixture(name="server", scope="module")
def one_server():
    if os.getuid() != 0:
        pytest.skip("pam_unix judges others' passwords for root alone")
    before = pathlib.Path("/etc/shadow").read_bytes()
    own = MountedServer(OVERLAY, {"user_databases": ["own", "pam"], "userdb_pam_service": "posthorn", "userdb_cache": "0s", "test_recheck_ms": 300, "local_domains": ["example.org"]})
    try:
        own.run("sh", "-c", "cat > /etc/pam.d/posthorn", stdin=service_of_the_documents())
        for name, more in (("pamela", ()), ("oldhash", ()), ("locked", ()), ("expired", ()), ("mustchange", ()), ("nopass", ()), ("daemonish", ("-r",))):
            own.run("useradd", "-M", "-s", "/usr/sbin/nologin", *more, name)
        own.run("chpasswd", stdin="".join(f"{name}:{SECRET}\n" for name in ("pamela", "locked", "expired", "mustchange", "daemonish")))
        own.run("chpasswd", "-c", "SHA512", stdin=f"oldhash:{SECRET}\n")
        own.run("passwd", "-q", "-l", "locked")
        own.run("passwd", "-q", "-d", "nopass")
        own.run("chage", "-E", "1", "expired")
        own.run("chage", "-d", "0", "mustchange")
        yield own
    finally:
        own.stop()
    assert pathlib.Path("/etc/shadow").read_bytes() == before and not pathlib.Path("/etc/pam.d/posthorn").exists()


def test_passwords(server):
    for user in ("pamela", "oldhash", "PAMELA"):
        assert login(server, user, SECRET).startswith(GRANTED), user
    refused = (("pamela", "wrong"), ("pamela", SECRET + " "), ("pamela", SECRET[:-1]), ("pamela", ""), ("oldhash", "wrong"), ("nobody-here", SECRET),
               ("root", SECRET), ("locked", SECRET), ("locked", ""), ("expired", SECRET), ("mustchange", SECRET), ("nopass", ""), ("nopass", "x"),
               ("daemonish", SECRET))
    lines = [begin_login(server, user, password) for user, password in refused]  # together: each is kept back for a while
    assert [line.line().decode().startswith(WRONG) for line in lines] == [True] * len(refused)
    for line in lines:
        line.close()
    assert login(server, "alice", posthorn.PASSWORD).startswith(GRANTED)


def test_mail_comes(server):
    assert {name: rcpt(server, f"{name}@example.org") for name in ("pamela", "locked", "mustchange", "expired", "daemonish", "root", "nobody-here")} == \
        {"pamela": 250, "locked": 250, "mustchange": 250, "expired": 550, "daemonish": 550, "root": 550, "nobody-here": 550}


def test_a_session_and_what_changes(server):
    session = Imap(server.address("imap"), "pamela", SECRET)
    session.append("INBOX", b"Subject: x\r\n\r\nx\r\n")
    assert session.select("INBOX")["EXISTS"] == 1
    server.run("chpasswd", stdin="pamela:another one\n")
    assert login(server, "pamela", SECRET).startswith(WRONG) and login(server, "pamela", "another one").startswith(GRANTED)
    assert posthorn.auth_test(server, "pamela", "another one")[1][0]["database"] == "pam"
    session.command("NOOP")  # a changed password ends no session
    server.run("chage", "-E", "1", "pamela")
    assert login(server, "pamela", "another one").startswith(WRONG)
    with pytest.raises(Closed):  # an expired account does
        while True:
            session.wire.line(60)
    server.run("chage", "-E", "-1", "pamela")
    assert login(server, "pamela", "another one").startswith(GRANTED)
    server.run("userdel", "oldhash")
    assert login(server, "oldhash", SECRET).startswith(WRONG) and rcpt(server, "oldhash@example.org") == 550


def test_who_runs_as_root(server):
    """The role pam and the supervisor; nobody else reads /etc/shadow."""
    found = {role: {pathlib.Path(f"/proc/{pid}").stat().st_uid for pid in pids} for role, pids in server.roles().items()}
    assert found["pam"] == {0} and all(0 not in uids for role, uids in found.items() if role not in ("pam", "supervisor")), found
    assert SECRET not in server.stderr() and "another one" not in server.stderr()
