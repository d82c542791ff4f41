"""PAM as a user database: what modules may do, with the names of this machine's own name service."""
import os
import pathlib
import signal
import smtplib

import pytest

from lib import server as posthorn, userbases
from lib.waiting import wait_for
from lib.wire import begin_login

WRONG = "a NO [AUTHENTICATIONFAILED]"
LATER = "a NO [UNAVAILABLE]"
GRANTED = "a OK"
# CAP_CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID, AUDIT_WRITE
CAPABILITIES = 0x200000EF
# name: code of pam_authenticate, code of pam_acct_mgmt, what the module does, the answer for the right password
RULES = {
    "daemon": (0, 0, "", GRANTED),
    "www-data": (0, 0, "twice", GRANTED),
    "bin": (0, 13, "", WRONG),  # PAM_ACCT_EXPIRED
    "sys": (0, 12, "", WRONG),  # PAM_NEW_AUTHTOK_REQD
    "list": (10, 0, "", WRONG),  # PAM_USER_UNKNOWN
    "uucp": (0, 0, "rename=daemon", WRONG),
    "proxy": (0, 0, "echo", WRONG),
    "games": (9, 0, "", LATER),  # PAM_AUTHINFO_UNAVAIL
    "man": (11, 0, "", LATER),  # PAM_MAXTRIES
    "lp": (4, 0, "", LATER),  # PAM_SYSTEM_ERR
    "news": (0, 4, "", LATER),
    "mail": (0, 0, "crash", LATER),
    "sync": (0, 0, "exit", LATER),
    "root": (0, 0, "", WRONG),
    "nobody": (0, 0, "", WRONG),
    "backup": (0, 0, "hang", None),
    "irc": (0, 0, "helper", None),
}
SECRET = "s3cret-of-pam"


@pytest.fixture(name="place", scope="module")
def one_place():
    base = userbases.Pam(named=False)
    for name, (auth, account, how, _) in RULES.items():
        base.rule(name, SECRET, auth, account, how)
    server = posthorn.Server({"userdb_cache": "0s", "userdb_pam_uid_min": 1, "local_domains": ["example.org"], **base.settings})
    yield base, server
    try:
        server.stop()
    finally:
        base.stop()


def login(server, user, password):
    wire = begin_login(server, user, password)
    line = wire.line().decode()
    wire.close()
    return line


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_what_pam_says(place):
    _, server = place
    for name, (_, _, _, expected) in RULES.items():
        if expected is not None:
            assert login(server, name, SECRET).startswith(expected), name
    for name, password in (("daemon", "wrong"), ("daemon", ""), ("daemon", SECRET + "x"), ("no-such-name", SECRET)):
        assert login(server, name, password).startswith(WRONG), name  # a module's delay would last longer than the question may
    assert login(server, "daemon", SECRET).startswith(GRANTED)
    assert login(server, "alice", posthorn.PASSWORD).startswith(GRANTED)
    text = server.stderr()
    for why in ("named another user", "account: ", "crashed", "ended the process"):
        assert why in text, why


def test_what_modules_are_told(place):
    base, _ = place
    seen = base.seen()
    assert "daemon 127.0.0.1 posthorn" in seen
    assert not [line for line in seen if line.split()[0] in ("root", "nobody")]  # not even asked


def test_recipients(place):
    _, server = place
    with smtplib.LMTP(*server.address("lmtp"), timeout=60) as relay:
        relay.ehlo_or_helo_if_needed()
        relay.mail("a@example.net")
        codes = {name: relay.rcpt(f"{name}@example.org")[0] for name in ("daemon", "sys", "games", "bin", "root", "nobody", "no-such-name")}
    assert codes == {"daemon": 250, "sys": 250, "games": 250, "bin": 550, "root": 550, "nobody": 550, "no-such-name": 550}


def test_who_it_runs_as(place):
    _, server = place
    pid = wait_for(lambda: server.pids("pam"))[0]
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["Uid"].split()[0]) == os.getuid()
    assert int(fields["CapPrm"], 16) & ~CAPABILITIES == 0 and int(fields["CapEff"], 16) & ~CAPABILITIES == 0
    assert fields["NoNewPrivs"].strip() == "1"


def test_others_go_on(place):
    """More hang than there are children: one name does not take them all. Nothing of them is left."""
    _, server = place
    pid = wait_for(lambda: server.pids("pam"))[0]
    hanging = [begin_login(server, "backup", SECRET) for _ in range(40)] + [begin_login(server, "irc", SECRET) for _ in range(2)]
    wait_for(lambda: len(children(pid)) >= 6)
    for _ in range(3):
        assert login(server, "daemon", SECRET).startswith(GRANTED)
    for wire in hanging:
        assert wire.line().decode().startswith(LATER)
        wire.close()
    wait_for(lambda: not children(pid))
    assert "PAM took too long" in server.stderr()


def test_the_role_dies(place):
    _, server = place
    pid = wait_for(lambda: server.pids("pam"))[0]
    wire = begin_login(server, "backup", SECRET)
    wait_for(lambda: children(pid))
    child = children(pid)[0]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{child}/fd"))
    assert login(server, "daemon", SECRET).startswith(GRANTED)
    wire.close()


def test_it_ends_while_one_hangs(place):
    """What runs is ended with the role, whose end is a clean one."""
    _, server = place
    pid = wait_for(lambda: server.pids("pam"))[0]
    wire = begin_login(server, "backup", SECRET)
    wait_for(lambda: children(pid))
    child = children(pid)[0]
    server.restart()
    server.check_reports()
    assert not os.path.exists(f"/proc/{child}/fd")
    assert login(server, "daemon", SECRET).startswith(GRANTED)
    wire.close()


def test_nothing_secret_in_the_log(place):
    _, server = place
    assert SECRET not in server.stderr()
