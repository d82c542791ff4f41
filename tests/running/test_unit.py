"""The shipped unit: how exposed systemd finds it, and the server as systemd runs it."""
import re
import socket
import ssl
import subprocess
import time

import pytest

from lib.asker import Asker
from lib.client import Imap, Lmtp, Refused
from lib.peers import make_certificate
from lib.server import PASSWORD, REPORT, ROOT
from lib.wire import Closed

from . import machine as machines

MAIL = b"From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n"
PORTS = 'imap = { "127.0.0.1:143" }\nimaps = { "127.0.0.1:993" }\n'
CONFIG = """version = 1
hostname = "localhost"
sandbox = "required"
plaintext_auth = true
test_probe = true
tls { certificate = "/etc/posthorn/cert.pem"  key = "/etc/posthorn/key.pem" }
"""
# The leak check of a build with AddressSanitizer traces the process, which the unit forbids.
NO_LEAK_CHECK = "Environment=ASAN_OPTIONS=detect_leaks=0\n"


def exposure(folder, text):
    path = folder / "posthorn.service"
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout.decode())[1])


def test_exposure(tmp_path):
    text = machines.unit_text()
    assert exposure(tmp_path, text) <= 2.0
    assert exposure(tmp_path, re.sub(r"^(SystemCall|Protect|Restrict).*\n", "", text, flags=re.M)) > 2.0


class Host(machines.Machine):
    """A machine where the README's steps were done: users, folders, certificate, configuration, one account."""

    def __init__(self, config=CONFIG + PORTS, unit=None, more=""):
        super().__init__(unit, NO_LEAK_CHECK + more)
        self.etc = self.root / "etc/posthorn"
        self.write_config(config)
        self.certify()
        self.run("posthorn", "user", "add", "alice", "-c", "/etc/posthorn/posthorn.conf", stdin=PASSWORD.encode() + b"\n")

    def write_config(self, text):
        (self.etc / "posthorn.conf").write_text(text)

    def certify(self):
        make_certificate(self.etc)
        self.run("sh", "-c", "chgrp posthorn /etc/posthorn/*.pem && chmod 640 /etc/posthorn/*.pem")
        return (self.etc / "cert.pem").read_text()

    def login(self):
        return self.inside(Imap, ("127.0.0.1", 993), "alice", PASSWORD, tls=True)

    def certificate(self):
        return self.inside(ssl.get_server_certificate, ("127.0.0.1", 993))

    def log(self):
        path = self.root / "run/log-of-posthorn"
        return path.read_text(errors="replace") if path.exists() else ""

    def main_status(self):
        """/proc/PID/status of the service's first process."""
        pid = self.show("MainPID")
        text = self.run("cat", f"/proc/{pid}/status")
        return dict(line.split(":\t", 1) for line in text.strip().split("\n"))

    def wait(self, name, value, seconds=120):
        end = time.monotonic() + seconds
        while self.show(name) != value:
            assert time.monotonic() < end, f"{name} is {self.show(name)}, not {value}\n{self.said()}"
            time.sleep(0.1)

    def wait_login(self):
        end = time.monotonic() + 120
        while True:
            try:
                return self.login()
            except (OSError, Closed, Refused):
                assert time.monotonic() < end, self.said()
                time.sleep(0.1)


@pytest.fixture
def host():
    """Makes hosts, ends them, and holds a sanitizer's words against the test."""
    reason, hosts = machines.missing(), []
    if reason:
        pytest.skip(reason)

    def make(*words, **more):
        hosts.append(Host(*words, **more))
        return hosts[-1]

    yield make
    try:
        for own in hosts:
            assert not REPORT.search(own.log()), own.log()
    finally:
        for own in hosts:
            own.close()


def test_life_under_systemd(host):
    own = host()
    own.run("systemctl", "start", "posthorn")
    assert own.show("ActiveState") == "active" and own.show("StatusText") == "serving"
    confined(own)
    session = own.login()
    session.append("INBOX", MAIL)
    assert session.select("INBOX")["EXISTS"] == 1
    assert session.fetch(1, "BODY.PEEK[]")[1]["BODY[]"] == MAIL
    reloads(own)
    session.command("NOOP")
    session.close()
    a_role_dies(own)
    own.run("systemctl", "stop", "posthorn")
    assert own.show("Result") == "success" and own.show("NRestarts") == "0"
    own.run("systemctl", "start", "posthorn")
    again = own.login()
    assert again.select("INBOX")["EXISTS"] == 1
    again.close()
    own.run("systemctl", "stop", "posthorn")
    assert own.show("Result") == "success"


def confined(own):
    """The unit's lines hold, and the roles' own sandbox is whole inside them."""
    status = own.main_status()
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    assert status["Uid"].split() == [own.run("id", "-u", "posthorn").strip()] * 4
    assert own.log().count("probe: the sandbox holds") >= 3 and "DOES NOT HOLD" not in own.log(), own.log()
    assert own.run("stat", "-c", "%U %a", "/var/lib/posthorn").strip() == "posthorn 700"
    own.run("nsenter", "-t", own.show("MainPID"), "-m", "sh", "-c",
            "! touch /usr/x /etc/posthorn/x /var/x 2>/dev/null && touch /var/lib/posthorn/x && rm /var/lib/posthorn/x")


def reloads(own):
    before, new = own.certificate(), own.certify()
    own.run("systemctl", "reload", "posthorn")
    assert before != new == own.certificate()
    own.write_config(CONFIG + PORTS + "nonsense = 1\n")
    with pytest.raises(RuntimeError, match="posthorn.service failed"):
        own.run("systemctl", "reload", "posthorn")
    assert "there is no setting 'nonsense'" in own.log()
    assert own.show("ActiveState") == "active" and own.certificate() == new
    own.write_config(CONFIG + PORTS)
    own.run("systemctl", "reload", "posthorn")
    own.wait("StatusText", "serving")


def a_role_dies(own):
    """The supervisor starts it again, under the filter too."""
    old = own.run("pgrep", "-f", "^posthorn: auth").strip()
    own.run("kill", "-9", old)
    end = time.monotonic() + 120
    while own.run("pgrep", "-f", "^posthorn: (auth|gate)").count("\n") < 2 or f"pid={old}, signal=9" not in own.log():
        assert time.monotonic() < end, own.said()
        time.sleep(0.1)
    own.wait_login().close()
    assert own.run("pgrep", "-f", "^posthorn: auth").strip() != old


def test_systemd_restarts_what_does_not_answer(host):
    """The shipped watchdog waits for two minutes; here 3 seconds."""
    own = host(more="WatchdogSec=3\nTimeoutAbortSec=5\n")
    own.run("systemctl", "start", "posthorn")
    time.sleep(5)
    assert own.show("NRestarts") == "0", own.said()
    old = own.show("MainPID")
    own.run("kill", "-STOP", old)
    own.wait("NRestarts", "1")
    own.wait("ActiveState", "active")
    assert own.show("MainPID") != old
    own.wait_login().close()


def test_sockets_of_systemd(host):
    maps = "unix:/var/spool/postfix/private/posthorn-maps"  # by the setting forwards are known to have a way out
    own = host(config=CONFIG + f'local_domains = {{ "example.org" }}\nmaps = {{ "{maps}" }}\n')
    units = sorted(unit.name for unit in (ROOT / "dist").glob("*.socket"))
    assert all(f"'{unit}'" in (ROOT / "dist/meson.build").read_text() for unit in units) and len(units) >= 6
    own.run("systemctl", "start", *units)
    private = "/var/spool/postfix/private"
    path = f"{private}/posthorn-lmtp"
    for name in ("lmtp", "maps", "policy", "auth"):
        assert own.run("stat", "-c", "%U %a", f"{private}/posthorn-{name}").strip() == "postfix 600"
    assert own.show("ActiveState") == "inactive"
    own.login().close()  # a connection starts the service
    own.inside(Imap, ("::1", 143), "alice", PASSWORD).close()
    lmtp = Lmtp(f"{own.root}{path}")
    lmtp.deliver("alice", MAIL)
    for_postfix(own, private, lmtp)
    lmtp.close()
    own.run("systemctl", "stop", "posthorn")
    assert own.show("Result") == "success"
    session = own.login()  # the sockets stayed, and start it again
    assert session.select("INBOX")["EXISTS"] == 2
    session.close()


def ask(own, path, text, end):
    """What a service of one question after the other answers."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(f"{own.root}{path}")
        line.sendall(text)
        said = b""
        while not said.endswith(end):
            said += line.recv(4096) or pytest.fail(f"closed behind {said!r}")
        return said


def for_postfix(own, private, lmtp):
    """Maps, policy and logins; mail that a forward leads away comes here to stay, since Postfix asks where it goes."""
    own.run("posthorn", "user", "set", "alice", "forward=alice@elsewhere.example", "-c", "/etc/posthorn/posthorn.conf")
    assert ask(own, f"{private}/posthorn-maps", b"23:alias alice@example.org,", b",") == b"26:OK alice@elsewhere.example,"
    assert ask(own, f"{private}/posthorn-policy", b"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=alice@example.org\n\n", b"\n\n") == b"action=DUNNO\n\n"
    auth = Asker(f"{own.root}{private}/posthorn-auth")
    assert auth.login("alice", PASSWORD, "secured").user == "alice"
    lmtp.deliver("alice", MAIL)


@pytest.mark.parametrize("call, why", [
    ("capset", "no sandbox: capset: Operation not permitted"),
    ("landlock_restrict_self", "no sandbox: "),
    ("seccomp", "no sandbox: seccomp: not in this kernel, or forbidden by a filter around us"),
    ("memfd_create", "the server cannot go on: shared memory: Operation not permitted"),
    ("pidfd_open", "pidfd_open: Operation not permitted"),
])
def test_a_call_that_is_forbidden_is_named(host, call, why):
    """No call is asked for without need, and one that is missing ends the start at once."""
    own = host(unit=machines.unit_text().replace("SystemCallErrorNumber", f"SystemCallFilter=~{call}\nSystemCallErrorNumber"),
               more="Restart=no\n")
    with pytest.raises(RuntimeError, match="posthorn.service failed"):
        own.run("systemctl", "start", "posthorn", timeout=60)
    assert why in own.log(), own.log()
    assert own.show("Result") == "exit-code"
