"""A role that dies is started again; what clients of the other roles notice is a wait at most."""
import contextlib
import imaplib
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from lib import server as posthorn
from lib.long import LONG
from lib.peers import free_ports
from lib.waiting import wait_for
from lib.wire import Closed, Wire

UNVERIFIED = ssl._create_unverified_context()


@pytest.fixture
def server():
    own = posthorn.Server()
    yield own
    own.stop()


def kill(server, role):
    victims = server.pids(role)
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    posthorn.wait_gone(victims)


def login(server, name, tls=False):
    session = (imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=UNVERIFIED) if tls
               else imaplib.IMAP4("127.0.0.1", server.ports["imap"]))
    session.login(name, posthorn.PASSWORD)
    return session


def test_all_roles_together(tmp_path, make):
    """What starts a role of its own is asked for at once."""
    (tmp_path / "passwd").write_text("")
    own = make({"user_databases": ["own", "passwd-file", "pam"], "userdb_passwd_file": tmp_path / "passwd", "http": [f"127.0.0.1:{free_ports(1)[0]}"],
                "oauth_issuer": "https://id.example.org", "oauth_audience": ["posthorn"], "oauth_jwks_url": "https://id.example.org/keys",
                "relay_host": "localhost:9", "relay_tls": "none", "rspamd_url": "http://127.0.0.1:9", "sieve_pipe_dir": tmp_path})
    wait_for(lambda: set(own.roles()) == {"auth", "directory", "extract", "gate", "http", "mail", "oauth", "pam", "pipe", "relay", "scan"})
    assert login(own, "alice").noop()[0] == "OK"


def test_auth_dies_before_a_login(server):
    name = server.fresh_user("ann")
    waiting = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    kill(server, "auth")
    assert waiting.login(name, posthorn.PASSWORD)[0] == "OK"


def test_mail_dies_and_logins_wait(server):
    name = server.fresh_user("ann")
    session = login(server, name)
    session.append("INBOX", None, None, b"Subject: kept\r\n\r\nx\r\n")
    kill(server, "mail")
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        session.noop()
    assert login(server, name, tls=True).select() == ("OK", [b"1"])


def test_gate_dies_and_plaintext_sessions_go_on(server):
    name = server.fresh_user("ann")
    plain, tls = login(server, name), login(server, name, tls=True)
    kill(server, "gate")
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        tls.noop()
    assert plain.noop()[0] == "OK"
    for _ in range(50):
        try:
            assert login(server, name, tls=True).noop()[0] == "OK"
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the gate did not come back")


def test_gate_dies_before_unauthenticate(server):
    """RFC 8437 section 3: no NO; where the connection cannot go back it ends by BYE."""
    name = server.fresh_user("ann")
    wire = Wire(server.address("imap"))
    wire.line()
    wire.send(f"a LOGIN {name} {posthorn.PASSWORD}\r\n".encode())
    assert wire.line().startswith(b"a OK")
    kill(server, "gate")
    for _ in range(100):
        wire.send(b"b NOOP\r\n")
        assert wire.line().startswith(b"b OK")
        if server.pids("gate"):
            break
        time.sleep(0.1)
    wire.send(b"c UNAUTHENTICATE\r\n")
    assert wire.line().startswith(b"* BYE [UNAVAILABLE]")
    with pytest.raises(Closed):
        wire.line()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_cores_change(make):
    """A gate that starts then finds as many threads of mail as there are."""
    own = make({"mail_threads": 0, "gate_processes": 0})
    wait_for(lambda: "is ready" in own.stderr())
    for cores in (set(sorted(os.sched_getaffinity(0))[:1]), os.sched_getaffinity(0)):
        os.sched_setaffinity(own.process.pid, cores)
        before = own.pids("gate")
        kill(own, "gate")
        wait_for(lambda: len(own.pids("gate")) == len(before) and not set(own.pids("gate")) & set(before))
        for name in posthorn.USERS:  # they have different homes
            assert login(own, name).noop()[0] == "OK"


def test_damaged_index_is_made_anew(server):
    name = server.fresh_user("ann")
    session = login(server, name)
    for _ in range(3):
        session.append("INBOX", None, None, b"Subject: kept\r\n\r\nx\r\n")
    uids = session.select() and session.uid("SEARCH", "ALL")
    session.logout()
    index = pathlib.Path(server.data) / "index/0/data.mdb"
    server.restart()
    os.truncate(index, 4096)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            session = login(server, name)
            assert session.select() == ("OK", [b"3"])
            assert session.uid("SEARCH", "ALL") == uids
            return
        except (imaplib.IMAP4.abort, OSError):
            time.sleep(0.2)
    pytest.fail("the index was not made anew")


def test_sigterm_says_bye_to_everybody(server):
    name = server.fresh_user("ann")
    session = login(server, name, tls=True)
    stranger = socket.create_connection(("127.0.0.1", server.ports["imap"]))
    stranger.recv(1000)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert session.readline().startswith(b"* BYE")
    assert stranger.recv(1000).startswith(b"* BYE")
    assert server.process.wait(10) == 0
    assert time.monotonic() - began < 6
    server.start()


def test_kick_and_who(server):
    ann, bob = server.fresh_user("ann"), server.fresh_user("bob")
    first, second = login(server, ann), login(server, bob, tls=True)
    listed = posthorn.run_verb("who", "--data", server.data)
    assert ann in str(listed) and bob in str(listed)
    posthorn.run_verb("kick", ann, "--data", server.data)
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        first.noop()
    assert second.noop()[0] == "OK"


def tls_session(server, version, session=None):
    """The session of a new TLS connection, and whether the one given was resumed."""
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = version
    context = session[0] if session else context
    with socket.create_connection(("127.0.0.1", server.ports["imaps"]), 20) as plain:
        with context.wrap_socket(plain, session=session[1] if session else None) as tls:
            assert tls.recv(4096).startswith(b"* OK")  # TLS 1.3 tickets come before that
            return (context, tls.session), tls.session_reused


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_any_gate_resumes_a_tls_session(server, version):
    """RFC 8446 section 2.2, RFC 5077: also one that has started after the ticket was made."""
    session, resumed = tls_session(server, version)
    assert not resumed
    assert all(tls_session(server, version, session)[1] for _ in range(12))
    before = server.pids("gate")
    kill(server, "gate")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        now = server.pids("gate")
        if len(now) == len(before) and not set(now) & set(before):
            break
        time.sleep(0.05)
    for _ in range(8):
        assert tls_session(server, version, session)[1]


@contextlib.contextmanager
def stopped(server, role):
    """Its processes do nothing meanwhile."""
    pids = wait_for(lambda: server.pids(role))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def stranger(server, name):
    """Has asked to log in."""
    wire = Wire(server.address("imap"), timeout=60)
    wire.line()
    wire.send(f"a LOGIN {name} {posthorn.PASSWORD}\r\n".encode())
    return wire


@pytest.mark.parametrize("verb", [("user", "disable"), ("user", "passwd")])
def test_revoked_before_the_session_is_there(verb):
    """Auth has said yes, mail asks it who that is, and then the answer and the revocation come together."""
    own = posthorn.Server({"mail_threads": 1, "role_timeout": 0})
    try:
        with stopped(own, "mail"):
            wire = stranger(own, "alice")
            wait_for(lambda: "Login: user=<alice>" in own.stderr())
            time.sleep(0.5)
        with stopped(own, "auth"):
            time.sleep(1)
            command = subprocess.Popen([posthorn.binary(), *verb, "alice", "-c", str(own.config)], stdin=subprocess.PIPE, env=posthorn.environment())
            command.stdin.write(b"other\n")
            command.stdin.close()
            time.sleep(3)
            for pid in own.pids("mail"):
                os.kill(pid, signal.SIGSTOP)
        with stopped(own, "mail"):
            time.sleep(0.5)
        assert command.wait(60) == 0
        line = wire.line()
        assert line.startswith((b"a NO [AUTHENTICATIONFAILED]", b"a OK"))
        if line.startswith(b"a OK"):  # on a busy machine the answer came first
            with pytest.raises((Closed, OSError)):
                wire.line()
        wait_for(lambda: posthorn.run_verb("who", "-c", own.config) == b"", seconds=10)
    finally:
        own.stop()


@pytest.mark.skipif(not LONG, reason="a ticket lives for 30 s; ./check --long")
def test_mail_is_away_for_long():
    """A login waits for as long as the client does; when it is too old by then, no password is to be asked for again."""
    own = posthorn.Server({"role_timeout": 0})
    try:
        with stopped(own, "mail"):
            wire = stranger(own, "alice")
            wait_for(lambda: "Login: user=<alice>" in own.stderr())
            time.sleep(31)
        assert wire.line().startswith(b"a NO [UNAVAILABLE]")
    finally:
        own.stop()


def test_a_granted_login_is_no_failed_one(make):
    """Mail does not come back in time: the log does not say what filters ban for."""
    own = make({"test_preauth_time": "1s"})
    wait_for(lambda: "is ready" in own.stderr())
    supervisor = own.process.pid
    os.kill(supervisor, signal.SIGSTOP)
    try:
        kill(own, "mail")
        wire = stranger(own, "alice")
        assert wire.line().startswith(b"* BYE")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    wait_for(lambda: re.search(r"Disconnected: Inactivity \(internal failure, 1 successful auths in \d+ secs\): user=<alice>", own.stderr()))
    assert "auth failed" not in own.stderr()


def test_a_login_that_nobody_judged_is_no_failed_one(server):
    """Auth does not come back in time: the same."""
    wait_for(lambda: "is ready" in server.stderr())
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        kill(server, "auth")
        wire = stranger(server, "alice")
        assert wire.line().startswith(b"a NO [UNAVAILABLE]")
        wire.close()
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    wait_for(lambda: re.search(r"Disconnected \(internal failure, 0 successful auths in \d+ secs\): user=<alice>", server.stderr()))
    assert "auth failed" not in server.stderr()
    wait_for(lambda: server.pids("auth"))


def logs_in(own, **how):
    with contextlib.suppress(Closed, OSError, imaplib.IMAP4.error):
        return login(own, "alice", **how).noop()[0] == "OK"
    return False


class Narrow(posthorn.Server):
    """May open few files."""
    most = 90

    def command(self):
        return ["prlimit", f"-n={self.most}:{self.most}", *super().command()]


def test_auth_dies_while_a_gate_has_no_descriptors_left():
    """Some are kept for the new one's channel, and the gate's sessions live on."""
    own, held = Narrow(), []
    try:
        first = login(own, "alice", tls=True)
        gate, = own.pids("gate")
        with contextlib.suppress(Closed, OSError, imaplib.IMAP4.error):
            for _ in range(60):
                held.append(login(own, "bob", tls=True))
        held += [socket.create_connection(own.address("imap"), 10) for _ in range(40)]
        wait_for(lambda: "accept failed; waiting" in own.stderr())
        kill(own, "auth")
        wait_for(lambda: own.pids("auth"))
        time.sleep(2)
        assert own.pids("gate") == [gate] and first.noop()[0] == "OK"
        for one in held:
            one.shutdown() if isinstance(one, imaplib.IMAP4) else one.close()
        wait_for(lambda: logs_in(own, tls=True))
    finally:
        own.stop()


def test_auth_dies_while_mail_has_no_descriptors_left():
    """Nor does it die of a listener that a reload adds; who logs in is told to come later."""
    own, held = Narrow(), []
    try:
        first = login(own, "alice")
        mail, = own.pids("mail")
        held += [socket.create_connection(own.address("lmtp"), 10) for _ in range(90)]
        wait_for(lambda: "accept failed; waiting" in own.stderr())
        assert stranger(own, "bob").line().startswith(b"a NO [UNAVAILABLE]")
        kill(own, "auth")
        own.ports["policy"], = free_ports(1)
        own.write_config()
        own.process.send_signal(signal.SIGHUP)
        wait_for(lambda: own.pids("auth") and " reloaded" in own.stderr())
        time.sleep(2)
        assert own.pids("mail") == [mail] and first.noop()[0] == "OK"
        for one in held:
            one.close()
        wait_for(lambda: logs_in(own))
        socket.create_connection(own.address("policy"), 10).close()
    finally:
        own.stop()


def test_a_gate_has_no_descriptors_for_a_session():
    """Who proved to be somebody is told so, and may log in on the same connection later."""
    own, held = Narrow(services=(*posthorn.SERVICES, "pop3s")), []
    try:
        imap, pop3 = (Wire(own.address(service), tls=True, timeout=60) for service in ("imaps", "pop3s"))
        assert imap.line().startswith(b"* OK") and pop3.line().startswith(b"+OK")
        sessions = [login(own, "carol", tls=True) for _ in range(14)]
        held = [socket.create_connection(own.address("imap"), 10) for _ in range(40)]
        wait_for(lambda: "accept failed; waiting" in own.stderr())
        for says in ((b"a NO [UNAVAILABLE] Temp", b"-ERR [SYS/TEMP]"), (b"a OK", b"+OK")):
            imap.send(f"a LOGIN alice {posthorn.PASSWORD}\r\n".encode())
            pop3.send(f"USER bob\r\nPASS {posthorn.PASSWORD}\r\n".encode())
            assert imap.line().startswith(says[0])
            assert pop3.line().startswith(b"+OK") and pop3.line().startswith(says[1])
            for one in held:
                one.close()
            time.sleep(1)
        assert all(one.noop()[0] == "OK" for one in sessions)
    finally:
        own.stop()
