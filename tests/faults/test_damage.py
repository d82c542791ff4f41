"""Damaged files. The index is made anew with everything a client knows, at rest and live; damage of the journal and of
bodies is found by verify, and by FETCH of that message alone. Backups hold what was acknowledged before they began."""
import os
import pathlib
import random
import re
import shutil
import subprocess
import threading
import time

import pytest

import ledger
import listing
from eventlog import release_binary  # noqa: F401
from lib import client
from lib import server as posthorn
from lib.damage import flip
from lib.long import LONG
from test_disk_errors import eventually, idents, login, message

LARGE = 300000  # its body has a file of its own


def fill(server, name):
    """Something of each kind that an index keeps."""
    session = login(server, name)
    for i in range(6):
        session.append("INBOX", message(f"m{i}", LARGE if i == 5 else 500))
    for command in ("CREATE box/below", "SUBSCRIBE box/below", "SUBSCRIBE gone", "SELECT INBOX", "STORE 1 +FLAGS (\\Seen $One)",
                    "STORE 2:3 +FLAGS ($Two \\Flagged)", "COPY 1:2 box/below", "MOVE 3 box", "STORE 2 +FLAGS (\\Deleted)",
                    "EXPUNGE", "CREATE old", "RENAME old new", "CREATE dead", "DELETE dead"):
        session.command(command)
    return session


def facts(server):
    """All that the store holds; the server must not run."""
    copy = server.dir / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(server.data), str(copy)], check=True)
    found = listing.one(copy)
    assert found.fault is None and found.errors == 0, found
    return found.accounts


def stop(server):
    server.process.terminate()
    server.process.wait(20)
    server.process = None


def remove(path):
    path.unlink()


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def noise(path):
    chance = random.Random(7)
    with open(path, "r+b") as file:
        for at in range(0, path.stat().st_size, 512):
            file.seek(at)
            file.write(chance.randbytes(300))


def flip_pages(path):
    """Some octets in each page but the two that LMDB checks."""
    chance = random.Random(8)
    with open(path, "r+b") as file:
        for at in range(8192, path.stat().st_size, 4096):
            file.seek(at + chance.randrange(16))
            file.write(chance.randbytes(24))


DAMAGES = (remove, cut, empty, noise, flip_pages)
FILES = ("index/0/data.mdb", "index/0/lock.mdb")


@pytest.fixture(name="server")
def own_server():
    own = posthorn.Server()
    yield own
    own.stop()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_index_at_rest(server, damage, file):
    name = server.fresh_user("ann")
    fill(server, name).close()
    stop(server)
    before = facts(server)
    damage(server.data / file)
    server.start()
    uid = eventually(lambda: login(server, name).append("INBOX", message("later")))
    assert uid == 7
    stop(server)
    after = facts(server)
    del after[list(after)[0]].boxes["INBOX"].rows[7]
    assert everything(after, skip="INBOX") == everything(before, skip="INBOX")
    assert after[list(after)[0]].boxes["INBOX"].rows == before[list(before)[0]].boxes["INBOX"].rows
    server.start()


def everything(accounts, skip=None):
    return {user: (account.subscribed, {name: box for name, box in account.boxes.items() if name != skip})
            for user, account in accounts.items()}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_index_live(server, damage, file):
    """Under a server that works: sessions may be dropped once, then all is there."""
    name = server.fresh_user("ann")
    session = fill(server, name)
    time.sleep(0.8)
    want = idents(server, name)
    damage(server.data / file)
    try:  # makes it read and write the index
        for i in range(3):
            session.append("new", message(f"more{i}"))
            time.sleep(0.4)
    except (*ledger.GONE, client.Refused):
        pass
    assert eventually(lambda: idents(server, name), 30) == want
    eventually(lambda: login(server, name).append("new", message("last")), 30)
    server.kill()
    server.start()
    eventually(lambda: idents(server, name), 30)
    assert eventually(lambda: idents(server, name), 30) == want
    posthorn.run_verb("verify", "--data", server.data)


# -- bits ------------------------------------------------------------------------------------
def test_flipped_body(server):
    """In a segment and in a body file: verify says so, FETCH of that message fails, all others are served."""
    name = server.fresh_user("ann")
    fill(server, name).close()
    stop(server)
    segment = server.data / "journal/00000001.seg"
    flip(segment, segment.read_bytes().index(b"X-Id: m0\r\n\r\nxxxx") + 20)
    (body,) = (p for p in (server.data / "bodies").rglob("*") if p.is_file())
    flip(body, body.stat().st_size // 2)
    server.start()
    session = login(server, name)
    session.select("INBOX")
    for uid in (1, 6):
        for items in ("BODY.PEEK[]", "UID BODY.PEEK[] FLAGS", "BINARY.PEEK[]", "BODY.PEEK[TEXT]", "RFC822"):
            with pytest.raises(client.Refused, match="CORRUPTION"):
                session.command(f"UID FETCH {uid} ({items})")
    # What can be read of a message comes, and of the others everything.
    session.send("UID FETCH 6 (UID BODY.PEEK[]<0.120000> BODY.PEEK[] FLAGS)")
    assert b"BODY[]<0> {120000}" in session.wire.line()
    assert b" NO [CORRUPTION]" in session.wire.line()
    tag = session.send("UID FETCH 1:* (UID BODY.PEEK[])")
    seen = set()
    while not (line := session.wire.line()).startswith(tag.encode()):
        seen.add(int(re.search(rb"UID (\d+)", line)[1]))
    assert b" NO [CORRUPTION]" in line and seen == {4, 5}, (line[:80], seen)
    assert "a checksum is wrong" in server.stderr()
    for uid in (4, 5):
        assert len(session.fetch(uid, "(BODY.PEEK[])", uid=True)) == 1
    assert len(session.fetch("1:*", "(UID FLAGS ENVELOPE)")) == 4
    with pytest.raises(RuntimeError) as said:
        posthorn.run_verb("verify", "--data", server.data)
    assert "2 errors" in str(said.value), server.stderr()
    assert len(server.pids("mail")) == 1


def test_every_flip_is_found(tmp_path):
    """One bit anywhere among the records of a segment, or in a body file: verification finds it."""
    server = posthorn.Server()
    try:
        name = server.fresh_user("ann")
        fill(server, name).close()
        stop(server)
        segment, chance = "journal/00000001.seg", random.Random(int(os.environ.get("POSTHORN_SEED", "1")))
        (body,) = (p.relative_to(server.data) for p in (server.data / "bodies").rglob("*") if p.is_file())
        end = len((server.data / segment).read_bytes().rstrip(b"\0"))
        lister = listing.Lister()
        for i in range(400 if LONG else 60):
            shutil.rmtree(tmp_path / "data", ignore_errors=True)
            subprocess.run(["cp", "-a", "--sparse=always", str(server.data), str(tmp_path / "data")], check=True)
            file, most = (segment, end) if i % 3 else (body, (server.data / body).stat().st_size)
            at = chance.randrange(most)
            flip(tmp_path / "data" / file, at)
            found = lister.list(tmp_path / "data")
            reserved = file == body and 32 <= at < 56
            assert found.fault or found.errors or reserved, f"octet {at} of {file}: not noticed"
        lister.close()
        server.start()
    finally:
        server.stop()


# -- backups -----------------------------------------------------------------------------------
def restored(server, file, folder):
    """A second server on what the backup holds."""
    data = pathlib.Path(folder) / "data"
    data.parent.mkdir(mode=0o755)
    posthorn.run_verb("restore", str(file), "--data", data)
    return posthorn.Server(data=data)


def test_backup_under_load(server):
    """All that was acknowledged before it began is in it, nothing is half, and UIDs given later are not given again."""
    workers = [ledger.Worker(server, server.fresh_user("worker"), seed) for seed in range(3)]
    for worker in workers:
        worker.prepare()
    threads = [threading.Thread(target=worker.work) for worker in workers]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    before = {w.user: {ident for box in w.boxes.values() for ident, _ in list(box.values())} for w in workers}
    posthorn.run_verb("backup", str(server.dir / "backup"), "--data", server.data)
    time.sleep(0.5)
    server.kill()
    for thread in threads:
        thread.join(30)
    server.start()
    gone = {w.user: {i for i in before[w.user] if i not in {r[0] for b in w.boxes.values() for r in b.values()}} for w in workers}
    second = restored(server, server.dir / "backup", server.dir / "second")
    try:
        posthorn.run_verb("verify", "--data", second.data)
        for worker in workers:
            found = {i for box in ledger.BOXES for i in idents(second, worker.user, box).values()}
            assert before[worker.user] - gone[worker.user] <= found, worker.user
    finally:
        second.stop()


def synchronise(server, name, known):
    """A client that trusts (UIDVALIDITY, UID): what it has once seen under them must be the same."""
    session = login(server, name)
    for box in ("INBOX", "other"):
        validity = session.select(box)["UIDVALIDITY"]
        for uid, ident in idents(server, name, box).items():
            assert known.setdefault((box, validity, uid), ident) == ident, f"{box} UID {uid} was {known[box, validity, uid]}"
    session.close()


def test_restore_gives_no_uid_again(server):
    name, known = server.fresh_user("ann"), {}
    session = login(server, name)
    session.command("CREATE other")
    for i in range(5):
        session.append(("INBOX", "other")[i % 2], message(f"before{i}"))
    posthorn.run_verb("backup", str(server.dir / "backup"), "--data", server.data)
    for i in range(7):
        session.append(("INBOX", "other")[i % 2], message(f"after{i}"))
    client.Lmtp(server.address("lmtp")).deliver(name, message("delivered"))
    synchronise(server, name, known)
    second = restored(server, server.dir / "backup", server.dir / "second")
    try:
        synchronise(second, name, known)
        session = login(second, name)
        for i in range(9):
            session.append(("INBOX", "other")[i % 2], message(f"again{i}"))
        client.Lmtp(second.address("lmtp")).deliver(name, message("redelivered"))
        synchronise(second, name, known)
        assert len({ident for ident in known.values()}) == 5 + 8 + 10
    finally:
        second.stop()
