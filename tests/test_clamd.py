"""Debian's clamd, with one signature of our own and nothing fetched: what it finds, what is too large for it, and mail while it is away."""
import base64
import os
import shutil
import subprocess

import pytest

from lib import client, scratch, server as posthorn
from lib.long import LONG
from lib.waiting import wait_for

pytestmark = pytest.mark.skipif(not LONG, reason="the long form installs clamd")
VIRUS = "550 5.7.1 Refused: the message contains a virus"
SIGN = b"posthorn-clamd-test-signature"
CONF = """LogFile {dir}/log
LocalSocket {dir}/clamd.ctl
LocalSocketMode 666
DatabaseDirectory {dir}/db
TemporaryDirectory {dir}
Foreground yes
StreamMaxLength 100K
MaxThreads 4
SelfCheck 0
"""


class Clamd:
    """Its own folder, its own database. It is never told to fetch anything: that is freshclam's business, which does not run."""

    def __init__(self):
        assert shutil.which("clamd"), "apt-get install clamav-daemon"
        self.dir, self.process = scratch.folder("clamd"), None
        (self.dir / "db").mkdir()
        (self.dir / "db/own.ndb").write_text(f"Posthorn.Test:0:*:{SIGN.hex()}\n")
        (self.dir / "conf").write_text(CONF.format(dir=self.dir))
        os.chmod(self.dir, 0o755)
        self.socket = self.dir / "clamd.ctl"
        self.start()

    def start(self):
        with open(self.dir / "out", "ab") as out:
            self.process = subprocess.Popen(["clamd", "-c", self.dir / "conf"], stdout=out, stderr=out)
        wait_for(lambda: self.socket.exists() or self.process.poll() is not None, "clamd does not begin", 300)
        assert self.process.poll() is None, (self.dir / "out").read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.socket.unlink(missing_ok=True)


@pytest.fixture(scope="module", name="clamd")
def one_clamd():
    clamd = Clamd()
    yield clamd
    if clamd.process.poll() is None:
        clamd.stop()


@pytest.fixture(scope="module", name="where")
def one_server(clamd):
    server = posthorn.Server({"clamd_socket": f"unix:{clamd.socket}", "virus_action": "refuse", "scan_timeout": "60s"})
    yield server
    server.stop()


def deliver(where, user, subject, body, head=b""):
    """LMTP's answer."""
    end = client.Lmtp(where.address("lmtp"), timeout=240)
    for line in ("MAIL FROM:<s@far.test>", f"RCPT TO:<{user}>", "DATA"):
        end.command(line)
    end.wire.send(b"From: s@far.test\r\nSubject: " + subject.encode() + b"\r\n" + head + b"\r\n" + body + b"\r\n.\r\n")
    said = end.wire.line().decode()
    end.close()
    return said


def inbox(where, user):
    """{subject: the field that says what was found}"""
    session = where.imap(user)
    rows = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT X-VIRUS-STATUS)])") if session.select("INBOX")["EXISTS"] else {}
    session.close()
    found = {}
    for row in rows.values():
        fields = dict(line.split(": ", 1) for line in row["BODY[HEADER.FIELDS (SUBJECT X-VIRUS-STATUS)]"].decode().split("\r\n") if line)
        found[fields["Subject"]] = fields.get("X-Virus-Status")
    return found


ATTACHED = (b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n",
            base64.encodebytes(b"MZ " + SIGN * 3).replace(b"\n", b"\r\n"))


def test_what_it_finds(where):
    user = where.fresh_user("clam")
    assert deliver(where, user, "clean", b"hello").startswith("250 ")
    for name, head, body in (("plain", b"", b"x " + SIGN), ("attached", *ATTACHED)):
        said = deliver(where, user, name, body, head)
        assert said.startswith(VIRUS), said
    assert inbox(where, user) == {"clean": "clean"}
    where.reload(virus_action="quarantine")
    try:
        assert deliver(where, user, "kept", b"x " + SIGN).startswith("250 ")
    finally:
        where.reload(virus_action="refuse")
    assert set(inbox(where, user)) == {"clean"}
    assert "Posthorn.Test" in posthorn.run_verb("quarantine", "list", user, "--data", where.data).decode()


def test_too_large_for_it(where):
    """What is above its StreamMaxLength is what scan_too_large says, though it hangs up in the middle; what is below is read to its end."""
    user = where.fresh_user("clam")
    near, above = (b"y" * 70 + b"\r\n") * 1300, (b"y" * 70 + b"\r\n") * 40000
    assert len(near) < 100 << 10 < len(above)
    assert deliver(where, user, "near", near).startswith("250 ")
    assert deliver(where, user, "at its end", near + SIGN).startswith(VIRUS)
    assert deliver(where, user, "above", above + SIGN).startswith("250 ")
    assert inbox(where, user) == {"near": "clean", "above": "unscanned (too large)"}
    where.reload(scan_too_large="refuse")
    try:
        assert deliver(where, user, "refused", above).startswith("550 5.7.1 Refused: the message is too large to be scanned")
    finally:
        where.reload(scan_too_large="deliver")


def test_away_and_back(where, clamd):
    user = where.fresh_user("clam")
    clamd.stop()
    try:
        assert deliver(where, user, "away", b"x " + SIGN).startswith("250 ")
        where.reload(scan_unavailable="defer")
        assert deliver(where, user, "later", b"hello").startswith("451 4.3.0")
        assert inbox(where, user) == {"away": "unscanned (no answer)"} and "clamd cannot be reached" in where.stderr()
        clamd.start()
        assert deliver(where, user, "later", b"hello").startswith("250 ")
        assert deliver(where, user, "found", b"x " + SIGN).startswith(VIRUS)
    finally:
        where.reload(scan_unavailable="deliver")
        if clamd.process.poll() is not None:
            clamd.start()
    assert inbox(where, user) == {"away": "unscanned (no answer)", "later": "clean"}
