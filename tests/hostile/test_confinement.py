"""The roles are locked in, and one that dies takes only what is its own with it."""
import os
import pathlib
import re
import signal
import ssl
import threading
import time

import pytest

from lib import server as posthorn
from lib.client import Imap
from .conftest import Target

UNVERIFIED = ssl._create_unverified_context()
ROLES = ("gate", "auth", "mail", "extract")
ATTEMPTS = ("open a foreign file", "open another role's file", "write in /tmp", "connect", "make a unix socket", "exec", "fork",
            "trace the parent", "signal the parent", "map writable code")
FILE_ATTEMPTS = ATTEMPTS[:3]


@pytest.fixture
def own():
    server = Target()
    yield server
    server.stop()


def has_landlock():
    return "landlock" in pathlib.Path("/sys/kernel/security/lsm").read_text() if os.path.exists("/sys/kernel/security/lsm") else \
        os.system("grep -q landlock_create_ruleset /proc/kallsyms 2>/dev/null") == 0


def test_roles_cannot_get_out():
    """From inside each role of the running server; a sanitizer's build needs some of it itself."""
    target = Target({"test_probe": True})
    try:
        time.sleep(0.5)
        log = target.stderr()
        for role in ROLES:
            said = dict(re.findall(rf"main\({role}\): Info: probe: ([^:\n]+): (\w+) \(", log))
            assert set(said) >= set(ATTEMPTS), (role, said)
            bad = [name for name in ATTEMPTS if said[name] == "ALLOWED"]
            if "no Landlock" in log or "Landlock" in log and "missing" in log:
                bad = [name for name in bad if name not in FILE_ATTEMPTS]
            assert not bad, f"{role}: {bad}\n{log}"
    finally:
        target.stop()


def status(pid, field):
    return re.search(rf"^{field}:\s*(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]


def test_what_the_kernel_says(own):
    """no_new_privs, a filter on every thread, no capability, not root, no core, untraceable, few descriptors."""
    for role in ROLES:
        pids = own.pids(role)
        assert pids
        for pid in pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                assert status(f"{pid}/task/{task}", "NoNewPrivs") == "1"
                assert status(f"{pid}/task/{task}", "Seccomp") == "2"
                assert int(status(f"{pid}/task/{task}", "CapEff"), 16) == 0
                assert "0" not in status(f"{pid}/task/{task}", "Uid").split()
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size\s+0\s+0", limits)
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            if role == "gate":
                assert not [link for link in links if link.startswith(str(own.data))], links
            if role == "auth":
                assert not [link for link in links if "/journal" in link or "/bodies" in link or "/index" in link], links
            if role == "mail":
                assert not [link for link in links if "/users" in link], links


def kill_role(target, role):
    pids = target.pids(role)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def wait_new(target, role, old):
    began = time.monotonic()
    while time.monotonic() - began < 10:
        new = target.pids(role)
        if new and not set(new) & set(old):
            return time.monotonic() - began
        time.sleep(0.02)
    pytest.fail(f"{role} did not come back")


def alive(client):
    try:
        client.command("NOOP")
        return True
    except Exception:  # noqa: BLE001 - whatever it is: the session is gone
        return False


def test_gate_takes_its_tls_sessions_only(own):
    plain, tls = own.imap("alice"), own.imap("alice", tls=True)
    old = kill_role(own, "gate")
    assert wait_new(own, "gate", old) < 1
    assert alive(plain) and not alive(tls)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert alive(own.imap("alice", tls=True))
            break
        except OSError:
            time.sleep(0.05)
    assert time.monotonic() < deadline
    # Mail has noticed that the TLS sessions are gone.
    time.sleep(0.2)
    assert len(posthorn.run_verb("who", "--data", own.data).decode().splitlines()) <= 4


def test_auth_takes_none(own):
    plain, tls = own.imap("alice"), own.imap("alice", tls=True)
    stranger = own.raw()
    old = kill_role(own, "auth")
    stranger.send(b"a LOGIN alice secret\r\n")
    assert wait_new(own, "auth", old) < 1
    assert stranger.line(5).startswith(b"a OK")
    assert alive(plain) and alive(tls)


def test_auth_dies_in_an_exchange(own):
    """SASL that had begun cannot go on elsewhere: a clear answer, and the connection can try again."""
    stranger = own.raw()
    stranger.send(b"a AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==\r\n")
    assert stranger.line().startswith(b"+ ")
    kill_role(own, "auth")
    time.sleep(0.3)
    stranger.send(b"AAAA\r\n")
    assert b"NO [UNAVAILABLE]" in stranger.line(10)
    stranger.send(b"b LOGIN alice secret\r\n")
    assert stranger.line(10).startswith(b"b OK")


def test_mail_takes_the_sessions_and_strangers_wait(own):
    clients = [own.imap("alice"), own.imap("bob", tls=True)]
    strangers = [own.raw(), own.raw("imaps", tls=True)]
    old = kill_role(own, "mail")
    for stranger in strangers:
        stranger.send(b"a LOGIN alice secret\r\n")
    assert wait_new(own, "mail", old) < 1
    for stranger in strangers:
        assert stranger.line(10).startswith((b"a OK", b"a NO [UNAVAILABLE]", b"* BYE"))
    assert not any(alive(client) for client in clients)
    assert alive(own.imap("alice"))


def test_the_supervisors_death_ends_all(own):
    family = own.family()
    assert len(family) == 5
    os.kill(own.process.pid, signal.SIGKILL)
    own.process.wait()
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and any(os.path.exists(f"/proc/{pid}/fd") for pid in family[1:]):
        time.sleep(0.05)
    left = [pid for pid in family[1:] if os.path.exists(f"/proc/{pid}/fd")]
    own.process = None
    assert not left
    own.start()
    own.imap("alice").close()


def test_kills_under_load(own):
    """Roles die while clients come and go: nobody gets a wrong answer, and all is well afterwards."""
    wrong, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            try:
                session = Imap(own.address("imap"), "bob", posthorn.PASSWORD, timeout=10)
                session.select("INBOX")
                session.close()
            except Exception as error:  # noqa: BLE001 - told apart below
                if "AUTHENTICATIONFAILED" in str(error):
                    wrong.append(str(error))
                time.sleep(0.05)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for role in ("auth", "gate", "mail", "extract", "auth", "gate"):
        time.sleep(0.4)
        kill_role(own, role)
        time.sleep(0.4)
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    own.imap("bob").close()
