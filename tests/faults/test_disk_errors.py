"""What the operating system refuses: syncs, room, descriptors, memory, a steady clock. Never an OK for what is not on disk;
what was acknowledged stays."""
import os
import pathlib
import shlex
import socket
import subprocess
import time

import pytest

import eventlog
import ledger
from eventlog import release_binary  # noqa: F401
from lib import client, scratch, server as posthorn

EIO, ENOSPC = 5, 28
YEARS = 10 * 365 * 86400


def message(ident, size=500):
    return ledger.message(ident, size)


def login(server, name, timeout=20):
    return client.Imap(server.address("imap"), name, server.password, timeout=timeout)


def idents(server, name, box="INBOX"):
    session = login(server, name)
    count = session.select(box)["EXISTS"]
    rows = session.fetch("1:*", "(UID BODY.PEEK[HEADER.FIELDS (X-ID)])").values() if count else ()
    found = {r["UID"]: ledger.ID.search(next(v for k, v in r.items() if k.startswith("BODY[")))[1].decode() for r in rows}
    session.close()
    return found


def eventually(what, seconds=20):
    """Calls until it raises nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return what()
        except (*ledger.GONE, client.Refused):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture
def server():
    own = eventlog.Server()
    yield own
    own.stop()


# -- syncs -----------------------------------------------------------------------------------
def refused(act):
    try:
        act()
    except client.Refused as error:
        return str(error)
    return None


def test_failed_sync(server):
    """EIO once: no OK ever after in this process, no second try, a clear line; all acknowledged is there later."""
    name, log = server.fresh_user("ann"), server.event_log
    session = login(server, name)
    kept = [session.append("INBOX", message(f"kept{i}")) for i in range(5)]
    log.set(sync_errno=EIO)
    assert refused(lambda: session.append("INBOX", message("lost"))).split()[1] == "NO"
    log.set(sync_errno=0)
    failed = next(e for e in log.events() if e.kind == eventlog.FAILED)
    for act in (lambda: session.append("INBOX", message("later")), lambda: session.command("CREATE later"),
                lambda: client.Lmtp(server.address("lmtp")).deliver(name, message("delivered"))):
        assert refused(act), "a change was acknowledged after a failed sync"
    session.select("INBOX")
    assert len(session.fetch("1:*", "(UID BODY.PEEK[])")) == 5
    again = [e for e in log.events() if e.at > failed.at and e.ino == failed.ino and e.kind in (eventlog.SYNC, eventlog.WRITE)]
    assert not again, "the file was synced or written again"
    assert "fdatasync" in server.stderr()
    server.kill()
    server.start()
    found = idents(server, name)
    assert set(found) >= set(kept) and set(found.values()) <= {f"kept{i}" for i in range(5)} | {"lost"}
    assert login(server, name).append("INBOX", message("after")) > max(found)


def test_failed_sync_of_a_body(server):
    """A body file that cannot be synced: that message is refused."""
    name, log = server.fresh_user("ann"), server.event_log
    session = login(server, name)
    log.set(sync_errno=EIO)
    assert refused(lambda: session.append("INBOX", message("large", 400000)))
    log.set(sync_errno=0)
    server.kill()
    server.start()
    assert idents(server, name) == {}


# -- room ------------------------------------------------------------------------------------
@pytest.fixture
def small_disk():
    """A file system of 24 MB."""
    tmp_path = scratch.folder("small")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "none", tmp_path], check=False)
    if done.returncode:
        pytest.fail("a small tmpfs cannot be mounted: run this test as root")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)
    tmp_path.rmdir()


def test_no_room(small_disk):
    """NO and 452 while it lasts; FETCH and EXPUNGE work; all goes on without a restart when there is room again."""
    subprocess.run(["cp", "-a", "--sparse=always", str(posthorn.template()), str(small_disk / "data")], check=True)
    server = posthorn.Server({"test_segment_size": 1 << 20}, data=small_disk / "data")
    try:
        name = server.fresh_user("ann")
        session = login(server, name)
        kept = [session.append("INBOX", message(f"m{i}", 3000)) for i in range(20)]
        ballast = small_disk / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        refusals = fill(session, kept)
        lmtp = client.Lmtp(server.address("lmtp"))
        assert "452" in (refused(lambda: [lmtp.deliver(name, message(f"d{i}", 90000)) for i in range(40)]) or "no refusal")
        assert all(r.split()[1] == "NO" for r in refusals), refusals
        session.select("INBOX")
        assert len(session.fetch("1:*", "(UID BODY.PEEK[])")) >= len(kept)
        session.command("NOOP")
        ballast.unlink()
        uid = eventually(lambda: session.append("INBOX", message("again", 90000)), 5)
        session.command("STORE 1:5 +FLAGS (\\Deleted)")
        session.command("EXPUNGE")
        assert len(server.pids("mail")) == 1
        found = idents(server, name)
        assert uid in found and set(kept[5:]) <= set(found)
        server.restart()
        assert idents(server, name) == found
    finally:
        server.stop()


def fill(session, kept):
    """APPENDs until three were refused."""
    refusals = []
    for i in range(400):
        answer = refused(lambda: kept.append(session.append("INBOX", message(f"f{i}", 60000))))  # pylint: disable=cell-var-from-loop
        if answer:
            refusals.append(answer)
        if len(refusals) == 3:
            return refusals
    raise AssertionError("the disk never became full")


def test_no_room_for_flags_and_expunge(server):
    """ENOSPC at every write: changes are refused, nothing else happens, and it ends when there is room."""
    name, log = server.fresh_user("ann"), server.event_log
    session = login(server, name)
    for i in range(5):
        session.append("INBOX", message(f"m{i}"))
    session.select("INBOX")
    time.sleep(0.7)
    log.set(write_errno=ENOSPC)
    for command in ("STORE 1 +FLAGS (\\Seen)", "COPY 1 INBOX", "CREATE none"):
        assert refused(lambda: session.command(command)).split()[1] == "NO"  # pylint: disable=cell-var-from-loop
    assert len(session.fetch("1:*", "(UID BODY.PEEK[])")) == 5
    log.set(write_errno=0)
    session.command("STORE 1 +FLAGS (\\Deleted)")
    session.command("EXPUNGE")
    assert sorted(idents(server, name).values()) == ["m1", "m2", "m3", "m4"]


# -- descriptors, memory -----------------------------------------------------------------------
def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def few_descriptors(tmp_path, monkeypatch):
    """The server is started with 48 descriptors for each process."""
    program = tmp_path / "posthorn"
    program.write_text(f'#!/bin/sh\n[ "$1" != serve ] || ulimit -n 48\nexec {shlex.quote(posthorn.binary())} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("POSTHORN_BINARY", str(program))


def test_no_descriptors(release_binary, few_descriptors):  # noqa: F811
    """A role without descriptors refuses or keeps waiting without spinning, serves who is in, and recovers."""
    server = posthorn.Server()
    try:
        name = server.fresh_user("ann")
        session, inside, failed = login(server, name), [], 0
        while failed < 3 and len(inside) < 60:
            try:
                inside.append(login(server, name, timeout=1))
            except (*ledger.GONE, client.Refused):
                failed += 1
        assert failed == 3, "the limit did not bite"
        mail, gate = server.pids("mail"), server.pids("gate")
        waiting = [socket.create_connection(server.address(service)) for service in ("lmtp", "lmtp", "imap")]
        spent = [cpu_of(pid) for pid in mail + gate]
        time.sleep(1)
        assert all(cpu_of(pid) - was < 0.3 for pid, was in zip(mail + gate, spent)), "it spins"
        assert session.append("INBOX", message("during")) == 1
        for one in inside + waiting:
            one.close()
        eventually(lambda: login(server, name, timeout=2), 10)
        assert server.pids("mail") == mail
        assert list(idents(server, name).values()) == ["during"]
    finally:
        server.stop()


def test_no_memory():
    """Allocations that fail one by one: the role ends and is started again; the ledger holds."""
    server = eventlog.Server()
    try:
        worker = ledger.Worker(server, server.fresh_user("worker"), 1)
        worker.prepare()
        ended = 0
        for number in (3, 41, 400, 1501):
            starts = server.event_log.get("starts")
            server.event_log.set(allocations=number)
            worker.connection.wire.sock.settimeout(5)
            try:
                while server.event_log.get("allocations") > 0:
                    worker.step()
            except (*ledger.GONE, client.Refused):
                pass
            eventually(lambda: login(server, worker.user))
            ended += server.event_log.get("starts") - starts
            worker.judge()
            server.kill()  # so that the supervisor does not wait longer each time
            server.start()
            worker.judge()
        assert ended >= 2, "no allocation failed where it matters"
    finally:
        server.stop()


# -- the clock -------------------------------------------------------------------------------
def test_clock_jumps(server):
    """Ten years to and fro: sessions live, UIDVALIDITY of the same name only grows, UIDs go on, mail is not lost."""
    name, log = server.fresh_user("ann"), server.event_log
    session, validities, uids = login(server, name), [], []
    for shift in (0, YEARS, -YEARS, 0, 5, -5):
        log.set(clock_s=shift)
        session.command("CREATE again")
        validities.append(session.select("again")["UIDVALIDITY"])
        session.command("SELECT INBOX")
        session.command("DELETE again")
        uids.append(session.append("INBOX", message(f"m{len(uids)}")))
        session.command("NOOP")
        login(server, name).close()
    assert validities == sorted(set(validities)), validities
    assert uids == sorted(set(uids))
    assert len(server.pids("mail")) == 1 and server.event_log.get("starts") == 1
    log.set(clock_s=-YEARS)
    server.kill()
    server.start()
    assert list(idents(server, name)) == uids
    session = login(server, name)
    session.command("CREATE again")
    assert session.select("again")["UIDVALIDITY"] > validities[-1]
