"""What the service manager is told, the watchdog, and the sockets it gives."""
import os
import signal
import socket
import time

import pytest

from lib.client import Imap, Lmtp
from lib.server import PASSWORD, run_verb
from lib.wire import Wire

from .manager import Ear, Managed


@pytest.fixture(params=["path", "abstract"])
def ear(request):
    own = Ear(request.param == "abstract")
    yield own
    own.close()


@pytest.fixture
def abstract():
    own = Ear(True)
    yield own
    own.close()


def test_life(ear):
    server = Managed(ear=ear)
    assert ear.wait("READY")["STATUS"] == "serving"
    assert ear.said[0][1] == {"STATUS": "starting"}
    before = time.monotonic_ns() // 1000
    run_verb("reload", "--data", server.data)
    told = ear.wait("RELOADING")
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert ear.wait("READY", 2)["READY"] == "1"
    server.config.write_text(server.config.read_text() + "nonsense = 1\n")
    server.process.send_signal(signal.SIGHUP)
    assert "failed" in ear.wait("READY", 3)["STATUS"]
    assert not ear.times("WATCHDOG")
    server.stop()
    assert ear.wait("STOPPING")["STOPPING"] == "1"
    order = [next(iter(said)) for _, said in ear.said]
    assert order == ["STATUS", "READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]


def test_roles_do_not_inherit_it(abstract):
    server = Managed(ear=abstract, watchdog_s=60)
    abstract.wait("READY")
    for pids in server.roles().values():
        for pid in pids:
            with open(f"/proc/{pid}/environ", "rb") as f:
                assert not {b"NOTIFY_SOCKET", b"WATCHDOG_USEC"} & {e.split(b"=")[0] for e in f.read().split(b"\0")}
    server.stop()


@pytest.mark.parametrize("role", ["auth", "mail", "gate"])
def test_a_hung_role_is_replaced(abstract, role):
    server = Managed({"role_timeout": "2s"}, ear=abstract, watchdog_s=40)
    abstract.wait("READY")
    before = server.roles()[role][0]
    others = {name: pids for name, pids in server.roles().items() if name != role}
    session = Imap(("127.0.0.1", server.ports["imap"]), "alice", PASSWORD) if role == "auth" else None
    os.kill(before, signal.SIGSTOP)
    began = time.monotonic()
    server.wait_log("a role has not answered: it is ended and started again: name=")
    assert time.monotonic() - began >= 1.4
    server.wait_log(f"a role died: name={role}, index=0, pid={before}, signal=9")
    if session:
        session.command("NOOP")
        session.close()
    end = time.monotonic() + 60
    while True:
        try:
            Imap(("127.0.0.1", server.ports["imap"]), "alice", PASSWORD).close()
            break
        except Exception as error:
            assert time.monotonic() < end, error
            time.sleep(0.1)
    assert server.roles()[role][0] != before
    assert {name: pids for name, pids in server.roles().items() if name != role} == others
    count = len(abstract.times("WATCHDOG"))
    abstract.wait("WATCHDOG", count + 2)
    server.stop()


def test_the_watchdog_starves_while_a_role_hangs(abstract):
    """role_timeout = 0: nobody is ended here, so the manager has to see it."""
    server = Managed({"role_timeout": "0s"}, ear=abstract, watchdog_s=2)
    abstract.wait("READY")  # one that is not ready yet is not asked
    abstract.wait("WATCHDOG", 2)
    pid = server.roles()["mail"][0]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)
    count = len(abstract.times("WATCHDOG"))
    time.sleep(3)
    assert len(abstract.times("WATCHDOG")) == count
    os.kill(pid, signal.SIGCONT)
    abstract.wait("WATCHDOG", count + 2)
    assert server.roles()["mail"] == [pid]
    server.stop()


def test_a_paused_server_ends_nobody(abstract):
    """The whole tree stands still for longer than role_timeout: afterwards all are there still."""
    server = Managed({"role_timeout": "1s"}, ear=abstract, watchdog_s=40)
    abstract.wait("WATCHDOG")
    family = server.family()
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)
    count = len(abstract.times("WATCHDOG"))
    abstract.wait("WATCHDOG", count + 4)
    assert sorted(server.family()) == sorted(family)
    server.stop()


def given_server(names, sockets, keep=()):
    server = Managed(given=sockets, start=False)
    lines = server.config.read_text().split("\n")
    server.config.write_text("\n".join(l for l in lines if l.split(" = ")[0] not in {"imap", "imaps", "lmtp"} - set(keep)))
    server.launch(names)
    return server


def test_given_sockets(abstract):
    imap, imaps, more = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    path = abstract.folder / "given.sock"
    lmtp = socket.socket(socket.AF_UNIX)
    lmtp.bind(str(path))
    lmtp.listen()
    server = given_server("lmtp:imaps:imap:imap", [lmtp, imaps, more, imap])
    server.wait_log("is ready")
    server.ports = {"imap": imap.getsockname()[1], "imaps": imaps.getsockname()[1]}
    Imap(("127.0.0.1", server.ports["imap"]), "alice", PASSWORD).close()
    Imap(more.getsockname(), "alice", PASSWORD).close()
    Imap(("127.0.0.1", server.ports["imaps"]), "alice", PASSWORD, tls=True).close()
    session = Lmtp(str(path))
    session.deliver("alice", b"Subject: given\r\n\r\nx\r\n")
    session.close()
    # a reload leaves them, and an address that is given and configured too is opened once
    server.config.write_text(server.config.read_text() + f'imap = {{ "127.0.0.1:{server.ports["imap"]}" }}\n')
    run_verb("reload", "--data", server.data)
    Imap(("127.0.0.1", server.ports["imap"]), "alice", PASSWORD).close()
    server.config.write_text(server.config.read_text().replace("imap = {", "imap = { #"))
    assert path.exists()
    server.stop()
    assert path.exists(), "a given socket belongs to the manager"
    path.unlink()
    for s in (imap, imaps, more, lmtp):
        s.close()


@pytest.mark.parametrize("given", (True, False))
def test_given_maps_are_the_setting(given):
    """A socket of systemd for `maps` is a way out for forwards, as the setting is: in every role, after a reload too."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    server = Managed({"local_domains": ["here.example"]}, given=sockets[:1 + given], start=False)
    lines = server.config.read_text().split("\n")
    server.config.write_text("\n".join(l for l in lines if l.split(" = ")[0] not in {"imap", "imaps", "maps"}))
    server.launch("imap:maps" if given else "imap")
    server.wait_log("is ready")
    for n in range(2):
        forward = ("user", "set", "alice", f"forward=alice{n}@elsewhere.example", "--data", server.data)
        if given:
            run_verb(*forward)
        else:
            with pytest.raises(RuntimeError, match="maps"):
                run_verb(*forward)
        run_verb("reload", "--data", server.data)
    server.stop()
    for s in sockets:
        s.close()


@pytest.mark.parametrize("names, why", [
    ("imap:pigeons", "there is no service 'pigeons'; use FileDescriptorName=imap, imaps, "),
    ("posthorn.socket:imap", "there is no service 'posthorn.socket'"),
    ("imap", "no name for socket 2 of 2"),
])
def test_unknown_names(names, why):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    server = given_server(names, sockets)
    assert server.process.wait(60) == 1
    assert why in server.stderr()
    server.process = None
    server.stop()
    for s in sockets:
        s.close()


def test_a_file_is_no_socket():
    server = Managed(start=False)
    with open(server.config) as file:
        server.given = [type("Given", (), {"fileno": file.fileno})]
        server.launch("imap")
        assert server.process.wait(60) == 1
    assert "descriptor 3 ('imap') is no listening stream socket" in server.stderr()
    server.process = None
    server.stop()


def test_sockets_for_another_process_are_left_alone():
    server = Managed(start=False)
    os.environ.update(LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="pigeons")
    try:
        server.start()
    finally:
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            del os.environ[name]
    wire = Wire(("127.0.0.1", server.ports["imap"]))
    assert wire.line().startswith(b"* OK")
    wire.close()
    server.stop()
