"""Reload: what the new configuration says holds for what comes, what runs goes on, and a wrong one changes nothing."""
import os
import pathlib
import pty
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lib.client import Imap, Lmtp, Refused
from lib.peers import free_ports, make_certificate
from lib.server import PASSWORD, binary, give_to_service, run_verb
from lib.terminal import Terminal
from lib.waiting import wait_for
from lib.wire import Closed, Wire

from .manager import Ear, Managed

MAIL = b"From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n"


@pytest.fixture
def server():
    own = Managed()
    own.wait_log("is ready")
    yield own
    own.stop()


def reload(server):
    return run_verb("reload", "--data", server.data).decode()


def refused(server):
    """What the verb says when the reload is refused."""
    with pytest.raises(RuntimeError) as error:
        reload(server)
    return str(error.value)


def login(server, tls=False):
    return Imap(("127.0.0.1", server.ports["imaps" if tls else "imap"]), "alice", PASSWORD, tls=tls)


def certificate(server):
    return ssl.get_server_certificate(("127.0.0.1", server.ports["imaps"]))


def capabilities(server):
    wire = Wire(("127.0.0.1", server.ports["imap"]))
    wire.line()
    wire.send(b"a CAPABILITY\r\n")
    line = wire.line()
    wire.close()
    return line


def lists(server, service):
    """Whether somebody accepts on the service's port."""
    try:
        socket.create_connection(("127.0.0.1", server.ports[service]), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


def test_nothing_changed(server):
    assert "nothing" in reload(server)


def test_new_certificate_and_old_sessions(server):
    before = certificate(server)
    session, plain = login(server, tls=True), login(server)
    old = session.wire.sock.getpeercert(binary_form=True)
    make_certificate(server.dir)
    assert reload(server) == "reloaded: other certificates\n"
    assert certificate(server) != before
    assert certificate(server) == (server.dir / "cert.pem").read_text()
    session.command("NOOP")
    plain.append("INBOX", MAIL)
    assert session.select("INBOX")["EXISTS"] == 1
    assert session.wire.sock.getpeercert(binary_form=True) == old
    session.close()
    plain.close()


def stand_still(pid):
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 60
    while pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_every_gate():
    """Who answers is not ours to choose, so gates are stopped until one is left."""
    server = Managed({"gate_processes": 3, "role_timeout": "0s"})
    server.wait_log("is ready")
    gates = server.roles()["gate"]
    assert len(gates) == 3
    make_certificate(server.dir)
    server.settings["plaintext_auth"] = False
    server.write_config()
    reload(server)
    for chosen in gates:
        os.kill(chosen, signal.SIGCONT)
        for pid in set(gates) - {chosen}:
            stand_still(pid)
        assert certificate(server) == (server.dir / "cert.pem").read_text()
        assert b"LOGINDISABLED" in capabilities(server)
    for pid in gates:
        os.kill(pid, signal.SIGCONT)
    server.stop()


@pytest.mark.parametrize("role", ["auth", "gate"])
def test_done_means_done_everywhere(role):
    """While one role has not taken it, neither the verb ends nor is the manager told."""
    ear = Ear(True)
    server = Managed({"role_timeout": "0s"}, ear=ear)
    ear.wait("READY")
    pid = server.roles()[role][0]
    stand_still(pid)
    make_certificate(server.dir)
    said = []
    verb = threading.Thread(target=lambda: said.append(reload(server)))
    verb.start()
    ear.wait("RELOADING")
    verb.join(2)
    assert verb.is_alive() and len(ear.times("READY")) == 1
    os.kill(pid, signal.SIGCONT)
    verb.join()
    assert said == ["reloaded: other certificates\n"] and ear.wait("READY", 2)
    assert certificate(server) == (server.dir / "cert.pem").read_text()
    server.stop()
    ear.close()


class Handshake:
    """A TLS handshake that goes on only when it is told to."""

    def __init__(self, server):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = socket.create_connection(("127.0.0.1", server.ports["imaps"]), timeout=60)
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes, server_hostname="localhost")

    def step(self):
        """What the client says next, not sent; None when the handshake is done. May wait for the server."""
        try:
            self.tls.do_handshake()
            return None
        except ssl.SSLWantReadError:
            return self.goes.read()

    def receive(self):
        self.came.write(self.sock.recv(65536))

    def finish(self):
        """To the end and the greeting; the certificate that was shown."""
        while (more := self.step()) is not None:
            self.sock.sendall(more) if more else self.receive()
        self.sock.sendall(self.goes.read())
        greeting = b""
        while not greeting:
            self.receive()
            try:
                greeting = self.tls.read(10)
            except ssl.SSLWantReadError:
                pass
        assert greeting.startswith(b"* OK")
        self.sock.close()
        return self.tls.getpeercert(binary_form=True)


def test_handshakes_under_way(server):
    """One has sent half of its ClientHello, the other has the server's answer: both end well, each with one certificate."""
    half, answered = Handshake(server), Handshake(server)
    hello = half.step()
    half.sock.sendall(hello[:len(hello) // 2])
    answered.sock.sendall(answered.step())
    answered.receive()
    old = ssl.PEM_cert_to_DER_cert((server.dir / "cert.pem").read_text())
    make_certificate(server.dir)
    assert reload(server) == "reloaded: other certificates\n"
    new = ssl.PEM_cert_to_DER_cert((server.dir / "cert.pem").read_text())
    assert answered.finish() == old
    half.sock.sendall(hello[len(hello) // 2:])
    assert half.finish() in (old, new)


def test_connections_of_before_and_starttls(server):
    """Connections that were opened before the reload and ask for TLS after it."""
    silent = socket.create_connection(("127.0.0.1", server.ports["imaps"]))
    greeted = Wire(("127.0.0.1", server.ports["imap"]))
    greeted.line()
    make_certificate(server.dir)
    reload(server)
    new = ssl.PEM_cert_to_DER_cert((server.dir / "cert.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(silent, server_hostname="localhost") as late:
        assert late.getpeercert(binary_form=True) == new
        assert late.recv(10).startswith(b"* OK")
    greeted.send(b"a STARTTLS\r\n")
    assert greeted.line().startswith(b"a OK")
    greeted.start_tls()
    assert greeted.sock.getpeercert(binary_form=True) == new
    greeted.close()


def test_signal(server):
    make_certificate(server.dir)
    server.process.send_signal(signal.SIGHUP)
    server.wait_log("reloaded: other certificates")
    assert certificate(server) == (server.dir / "cert.pem").read_text()


def test_signal_before_it_can_reload():
    """It waits: the certificate is a pipe that nobody writes to yet, so the server is still reading what it needs to start."""
    own = Managed(start=False)
    path = own.dir / "cert.pem"
    text = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    own.launch("")
    with open(path, "wb") as pipe:  # opens when it is read
        own.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert own.process.poll() is None
        path.unlink()
        path.write_bytes(text)
        pipe.write(text)
    own.wait_log(": nothing that can change without a restart has changed")
    login(own).close()
    own.stop()


def test_signal_to_all(server):
    """`systemctl kill -s HUP`, or the terminal that the server was started from is closed."""
    session = login(server)
    make_certificate(server.dir)
    os.killpg(server.process.pid, signal.SIGHUP)
    server.wait_log("reloaded: other certificates")
    session.command("NOOP")
    session.close()


@pytest.mark.parametrize("line, why", [
    ("plaintext_auth = maybe", "posthorn.conf:LAST: 'plaintext_auth' cannot be 'maybe'"),
    ("retentoin = 3d", "posthorn.conf:LAST: there is no setting 'retentoin'; did you mean 'retention'?"),
    ("memory_soft = 5G", "memory_hard must not be below memory_soft"),
    ('tls { certificate = "/nowhere.pem"  key = "/nowhere.pem" }', "/nowhere.pem"),
    ('imaps = { "127.0.0.1:1", "127.0.0.1:1" }', "is used by imaps already"),
])
def test_wrong_configuration_changes_nothing(server, line, why):
    text = server.config.read_text() + 'hostname = "other"\nplaintext_auth = false\n' + line + "\n"
    server.config.write_text(text)
    why = why.replace("LAST", str(text.count("\n")))
    session = login(server)
    before = capabilities(server)
    said = refused(server)
    assert "the old configuration stays" in said and why in said, said
    server.wait_log("reload: the old configuration stays")
    assert capabilities(server) == before
    session.command("NOOP")
    session.close()
    login(server).close()
    for service in ("imap", "imaps", "lmtp"):
        assert lists(server, service)


def test_wrong_certificate_changes_nothing(server):
    before = certificate(server)
    (server.dir / "key.pem").write_text("nonsense")
    assert "cert.pem: no key in PEM form" in refused(server)
    assert certificate(server) == before
    make_certificate(server.dir)
    reload(server)
    assert certificate(server) != before


@pytest.mark.parametrize("setting", ["tls.certificate", "tls.client_ca"])
def test_a_chain_that_is_cut(server, setting):
    """What a full disk leaves of a file: the certificates in it that are whole are not all."""
    path, before = server.dir / "cert.pem", certificate(server)
    if setting == "tls.client_ca":
        path = server.dir / "ca.pem"
        shutil.copy(server.dir / "cert.pem", path)
        server.config.write_text(server.config.read_text() + f'tls {{ client_ca = "{path}" }}\n')
        reload(server)
    text = path.read_text()
    path.write_text(text + text[:len(text) // 2])
    assert f"{path}: certificate: error:" in refused(server)
    assert certificate(server) == before
    path.write_text(text + text + "and some words\n")
    reload(server)


def test_key_with_a_passphrase():
    """Nobody is asked for it, at the terminal that the server was started from either."""
    own = Managed(start=False)
    (own.dir / "stderr").touch()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(own.command()[0], list(map(str, own.command())), own.environment())
    try:
        wait_for(lambda: lists(own, "imap") and (own.data / "admin.sock").exists(), seconds=60)
        subprocess.run(["openssl", "ec", "-in", own.dir / "key.pem", "-aes256", "-passout", "pass:hello", "-out", own.dir / "key.pem"], check=True, capture_output=True)
        assert "cert.pem: no key in PEM form" in refused(own)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
        own.stop()


def test_settings_that_change_live(server):
    session = login(server)
    assert b"AUTH=PLAIN" in capabilities(server)
    server.settings.update(plaintext_auth=False, message_size_max="5K", log_level="debug", lmtp_networks=["10.0.0.0/8"],
                           filters=["mine UNSEEN", 'work X-GM-RAW "from:me label:work has:nouserlabels"'])
    server.write_config()
    assert b"no mistakes found" in run_verb("config", "check", "-c", server.config)
    said = reload(server)
    assert said.split("changed ")[1] == "lmtp_networks, plaintext_auth, filters, message_size_max, log_level\n"
    session.command("EXAMINE INBOX")
    session.command("SEARCH FILTER mine")
    session.command("SEARCH FILTER work")
    assert b"LOGINDISABLED" in capabilities(server)
    with pytest.raises(Refused, match="TOOBIG|LIMIT"):
        session.append("INBOX", MAIL + b"x" * 6000)
    with pytest.raises((Closed, Refused, OSError)):
        Lmtp(("127.0.0.1", server.ports["lmtp"]))
    session.close()
    server.settings.update(plaintext_auth=True, message_size_max="1M", log_level="info", lmtp_networks=["127.0.0.0/8"], filters=["wrong OR SEEN"])
    server.write_config()
    with pytest.raises(RuntimeError, match="filters: 'wrong OR SEEN' is no search"):
        run_verb("config", "check", "-c", server.config)
    reload(server)
    again = login(server)
    again.command("EXAMINE INBOX")
    with pytest.raises(Refused, match="UNDEFINED-FILTER mine"):
        again.command("SEARCH FILTER mine")
    again.append("INBOX", MAIL + b"x" * 6000)
    Lmtp(("127.0.0.1", server.ports["lmtp"])).close()
    again.close()


def test_local_domains(server):
    server.user_add("dora@example.org")
    with pytest.raises(Refused):
        Imap(("127.0.0.1", server.ports["imap"]), "dora", PASSWORD)
    server.settings["local_domains"] = ["example.org"]
    server.write_config()
    assert "local_domains" in reload(server)
    Imap(("127.0.0.1", server.ports["imap"]), "dora", PASSWORD).close()


def test_listeners_come_and_go(server):
    session = login(server)
    old = dict(server.ports)
    server.ports.update(dict(zip(("imap", "lmtp"), free_ports(2))))
    server.write_config()
    assert reload(server) == "reloaded: changed imap, lmtp\n"
    for service in ("imap", "imaps", "lmtp"):
        assert lists(server, service)
    session.append("INBOX", MAIL)
    session.close()
    new, server.ports = server.ports, old
    assert not lists(server, "imap") and not lists(server, "lmtp")
    server.ports = new
    login(server).close()
    Lmtp(("127.0.0.1", new["lmtp"])).close()


def test_unix_sockets_come_and_go(server):
    path = server.dir / "lmtp.sock"
    server.settings["lmtp"] = [f"unix:{path}"]
    server.write_config()
    server.config.write_text("\n".join(l for l in server.config.read_text().split("\n") if not l.startswith("lmtp = { \"127")))
    reload(server)
    lmtp = Lmtp(str(path))
    del server.settings["lmtp"]
    server.write_config()
    reload(server)
    assert not path.exists()
    lmtp.deliver("alice", MAIL)
    lmtp.close()


@pytest.mark.parametrize("setting", ("lmtp_user", "auth_service_user"))
def test_owners_of_sockets(server, setting):
    """`config check` tells of one who is misspelt."""
    server.settings[setting] = "nobody"
    server.write_config()
    run_verb("config", "check", "-c", server.config)
    server.settings[setting] = "postfx"
    server.write_config()
    with pytest.raises(RuntimeError, match=f"{setting}: there is no user 'postfx'"):
        run_verb("config", "check", "-c", server.config)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives sockets away")
def test_owner_of_a_socket():
    """A name that is wrong is told: the socket would be one that its user cannot open."""
    for user, owners in (("daemon", {"daemon"}), ("nosuchuser", {}), ("", {"postfix", "nobody"})):
        own = Managed({"lmtp_user": user}, start=False)
        os.chmod(own.dir, 0o777)
        own.settings["policy"] = [f"unix:{own.dir}/policy"]
        own.write_config()
        own.launch("")
        if owners:
            own.wait_log("is ready")
            assert (own.dir / "policy").owner() in owners
        else:
            assert own.process.wait(60) == 1
            own.process = None
            assert "the owner of a socket of policy: no user nosuchuser on this machine" in own.stderr()
        own.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="only root could change what is behind the link")
def test_a_link_in_the_place_of_a_socket():
    """Whoever owns the folder puts it there between bind and chmod; what it leads to keeps its mode."""
    own = Managed(start=False)
    folder, victim = own.dir / "folder", own.dir / "victim"
    folder.mkdir()
    victim.write_text("")
    victim.chmod(0o644)
    own.settings["policy"] = [f"unix:{folder}/policy"]
    own.write_config()
    slow = ["strace", "-f", "-o", "/dev/null", "-e", "trace=chmod,fchmodat", "-e", "inject=chmod,fchmodat:delay_enter=1000000"]
    with open(own.dir / "stderr", "wb") as log:
        own.process = subprocess.Popen([*slow, *own.command()], stdout=log, stderr=log, env={**own.environment(), "ASAN_OPTIONS": "detect_leaks=0"},
                                       start_new_session=True)
    wait_for((folder / "policy").is_socket)
    (folder / "policy").unlink()
    (folder / "policy").symlink_to(victim)
    wait_for(lambda: own.process.poll() is not None or "is ready" in own.stderr())
    assert victim.stat().st_mode & 0o777 == 0o644
    if own.process.poll() is None:
        os.killpg(own.process.pid, signal.SIGKILL)
        own.process.wait()
    own.process = None
    own.stop()


def test_a_port_changes_its_service(server):
    server.ports["imap"], server.ports["imaps"] = server.ports["imaps"], server.ports["imap"]
    server.write_config()
    assert "imap, imaps" in reload(server)
    login(server).close()
    login(server, tls=True).close()


def test_a_port_in_use(server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.config.write_text(server.config.read_text() + f'imap = {{ "127.0.0.1:{taken.getsockname()[1]}" }}\n')
        assert "Address already in use" in refused(server)
    login(server).close()


def test_a_port_on_other_addresses(server):
    own = f"127.0.0.1:{server.ports['imap']}"
    server.config.write_text(server.config.read_text() + f'imap = {{ "0.0.0.0:{server.ports["imap"]}" }}\n')
    assert f"the port is open on {own}; only a restart opens it" in refused(server)
    login(server).close()


def test_what_needs_a_restart_is_named(server):
    data = server.data
    server.data = server.dir / "elsewhere"
    server.settings.update(mail_threads=3, retention="3d")
    text = server.config.read_text()
    server.config.write_text(text.replace(str(data), str(server.data)).replace("mail_threads = 2", "mail_threads = 3"))
    server.data = data
    said = reload(server)
    assert "needs a restart: data, mail_threads" in said, said
    server.wait_log("reload: needs a restart: data, mail_threads")
    # a gate that dies now must not learn of them either
    os.kill(server.roles()["gate"][0], signal.SIGKILL)
    server.wait_log("signal=9")
    end = time.monotonic() + 60
    while True:
        try:
            login(server).close()
            break
        except (OSError, Closed, Refused):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_certificates_withdrawn(server):
    text = server.config.read_text()
    server.config.write_text("\n".join(l for l in text.split("\n") if not l.startswith(("tls", "imaps"))))
    session = login(server, tls=True)
    assert "other certificates" in reload(server)
    assert b"STARTTLS" not in capabilities(server)
    assert not lists(server, "imaps")
    session.command("NOOP")
    session.close()
    server.config.write_text(text)
    reload(server)
    assert b"STARTTLS" in capabilities(server)
    login(server, tls=True).close()


def test_under_load(server):
    """20 reloads with other certificates: no session, no login and no delivery fails."""
    wrong, over = [], threading.Event()

    def noop(tls):
        session = login(server, tls)
        while not over.is_set():
            session.command("NOOP")
        session.close()

    def logins():
        while not over.is_set():
            login(server, True).close()

    def deliveries():
        while not over.is_set():
            lmtp = Lmtp(("127.0.0.1", server.ports["lmtp"]))
            lmtp.deliver("bob", MAIL)
            lmtp.close()

    def keep(fn, *args):
        try:
            fn(*args)
        except Exception as error:  # what went wrong is the result
            wrong.append(repr(error))

    threads = [threading.Thread(target=keep, args=a) for a in ((noop, False), (noop, True), (logins,), (deliveries,))]
    for t in threads:
        t.start()
    for _ in range(20):
        make_certificate(server.dir)
        assert reload(server) == "reloaded: other certificates\n"
    over.set()
    for t in threads:
        t.join()
    assert wrong == []
    assert server.stderr().count("reloaded: other certificates") == 20


def test_wrong_key(server):
    """Another certificate's key is told by the reload and by doctor, and not once more when something else is wrong."""
    good, path = (server.dir / "key.pem").read_bytes(), server.dir / "cert.pem"
    (server.dir / "other").mkdir()
    make_certificate(server.dir / "other")
    shutil.copy(server.dir / "other/key.pem", server.dir / "key.pem")
    assert "does not belong" in refused(server)
    done = subprocess.run([binary(), "doctor", "-c", str(server.config)], capture_output=True, env=server.environment(), timeout=60, check=False)
    assert done.returncode == 1 and b"key.pem is not its own" in done.stdout
    (server.dir / "key.pem").write_bytes(good)
    path.write_bytes(b"")
    said = refused(server)
    assert "no certificate in PEM form" in said and "mismatch" not in said


def test_doctor_asks_for_no_passphrase(server, tmp_path):
    """The server cannot use such a key, and nobody at the terminal is asked for it."""
    subprocess.run(["openssl", "ec", "-in", server.dir / "key.pem", "-aes256", "-passout", "pass:hello", "-out", server.dir / "key.pem"], check=True,
                   capture_output=True)
    with Terminal([binary(), "doctor", "-c", server.config], tmp_path) as terminal:
        terminal.wait("cert.pem")
        terminal.wait_end()
        assert "pass phrase" not in terminal.shown


DEFAULT = """
set -e
mount --bind "$1" /etc
setpriv --reuid=nobody --regid=nogroup --clear-groups "$2" serve 2>> "$3" & child=$!
trap "kill $child" EXIT
until grep -q 'is ready' "$3"; do kill -0 $child; sleep 0.1; done
chown root /etc/posthorn/posthorn.conf
chmod 600 /etc/posthorn/posthorn.conf
! "$2" reload || exit 1
! setpriv --reuid=nobody --regid=nogroup --clear-groups "$2" config check || exit 1
mv /etc/posthorn/posthorn.conf /etc/posthorn/away
! "$2" reload --data "$4" || exit 1
: < /dev/tcp/127.0.0.1/$5
"""


@pytest.mark.skipif(os.getuid() != 0, reason="a configuration at its usual place needs root")
def test_default_file():
    """The file that nobody names: when it cannot be read, or is gone, the defaults do not take its place."""
    server = Managed(start=False)
    etc = server.dir / "etc"
    subprocess.run(["cp", "-a", "/etc", str(etc)], check=True)
    (etc / "posthorn").mkdir(exist_ok=True)
    shutil.copy(server.config, etc / "posthorn/posthorn.conf")
    log = server.dir / "stderr"
    log.touch()
    give_to_service(server.dir)
    words = [str(etc), binary(), str(log), str(server.data), str(server.ports["imap"])]
    done = subprocess.run(["unshare", "-m", "bash", "-c", DEFAULT, "bash", *words], capture_output=True, env=server.environment(), timeout=120, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and b"no mistakes" not in said, said
    assert said.count(b"posthorn.conf: Permission denied") == 2 and said.count(b"posthorn.conf: No such file") == 1, said


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes what belongs to root")
def test_data_from_before_there_was_a_service_user():
    """`user add` came first, and all is root's: start and doctor tell what to do, and the start changes nothing."""
    own = Managed(start=False)
    own.data = own.dir / "made-by-root"
    own.write_config()
    run_verb("user", "add", "zoe", "--data", own.data, stdin=b"secret\n")
    subprocess.run(["chown", "-R", "root:root", own.data], check=True)

    def said(verb):
        done = subprocess.run([binary(), verb, "-c", own.config], capture_output=True, env=own.environment(), timeout=60, check=False)
        assert done.returncode == 1
        return (done.stdout + done.stderr).decode()

    advice = f"run: chown -R {pwd.getpwnam('nobody').pw_uid} {own.data}\n"
    assert advice in said("serve") and own.data.stat().st_uid == 0
    subprocess.run(["chown", "nobody", own.data], check=True)  # as older servers left it
    assert advice in said("serve") and advice in said("doctor")
