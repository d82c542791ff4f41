"""Deliveries that scripts file and send on, and the scripts themselves, under kills, a disk that fails or is full, and damage: a message is
in all folders that its script names or in none, what was answered by 250 is there, and a script is an old version or the new one, whole."""
import subprocess
import threading

import pytest

import eventlog
import ledger
from eventlog import release_binary  # noqa: F401
from lib import client, server as posthorn
from lib.long import LONG
from lib.managesieve import Sieve
from lib.scripts import put
from lib.smarthost import Smarthost, queue_is_empty
from lib.waiting import wait_for
from test_damage import FILES, cut, flip, noise, remove
from test_disk_errors import EIO, eventually, refused, small_disk  # noqa: F401

MOST = 400 if LONG else 6  # calls that are tried, evenly chosen
FILE_AND_SEND = """require "fileinto";
fileinto "box";
fileinto "box/below";
redirect "%s@far.test";
"""
OLD, NEW = 'require "fileinto"; fileinto "old";', 'require "fileinto"; fileinto "new";'
MESSAGE = b"Message-ID: <once@x>\r\nSubject: once\r\n\r\n" + b"x" * 300000 + b"\r\n"  # its body has a file of its own


@pytest.fixture(name="host", scope="module")
def make_host():
    made = Smarthost()
    yield made
    made.close()


@pytest.fixture(name="server", scope="module")
def make_server(host):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTHORN_BINARY", eventlog.release("src/main/posthorn"))
        own = eventlog.Server({"test_segment_size": 64 << 10, "relay_host": f"localhost:{host.port}", "relay_tls": "none"})
        yield own
        own.stop()


def verb(server, *words, text=b""):
    return posthorn.run_verb(*words, "--data", server.data, stdin=text)


def prepare(server, script, folders):
    """A user of the test's own, with this script and these folders."""
    name = server.fresh_user("rules")
    session = client.Imap(server.address("imap"), name, server.password)
    for folder in folders:
        session.command(f"CREATE {folder}")
    session.close()
    put(server, name, script.replace("%s", name))
    return name


def counts(server, name, folders):
    session = client.Imap(server.address("imap"), name, server.password)
    found = [session.select(folder)["EXISTS"] for folder in folders]
    session.close()
    return found


def deliver(server, name, data=MESSAGE):
    client.Lmtp(server.address("lmtp")).deliver(name, data)


def sent(host, name):
    with host.lock:
        return sum(f"{name}@far.test" in mail["to"] for mail in host.mails)


# -- a kill at each step ---------------------------------------------------------------------
def calls_of(server):
    name, far = prepare(server, FILE_AND_SEND, ("box", "box/below")), 1 << 40
    server.event_log.set(kill_after=far)
    deliver(server, name)
    calls = far - server.event_log.get("kill_after")
    server.event_log.set(kill_after=0)
    return calls


def kill_at(server, call):
    """The user, and whether the message was taken before the role ended."""
    name, log = prepare(server, FILE_AND_SEND, ("box", "box/below")), server.event_log
    log.set(kill_after=call)
    try:
        deliver(server, name)
        taken = True
    except (*ledger.GONE, client.Refused):
        taken = False
    server.kill()
    log.set(kill_after=0)
    server.start()
    return name, taken


def test_killed_between_folders_and_redirect(server, host, capsys):
    """Both folders have the message or none; it went on before the answer. Who got no 250 sends it again: then it is in both, and it went on."""
    calls = calls_of(server)
    assert calls >= 2
    chosen = sorted({1 + i * (calls - 1) // max(min(calls, MOST) - 1, 1) for i in range(min(calls, MOST))})
    for call in chosen:
        name, taken = kill_at(server, call)
        where = f"ended before call {call} of {calls}, taken {taken}"
        box, below, inbox = counts(server, name, ("box", "box/below", "INBOX"))
        assert box == below <= 1 and inbox == 0 and (box or not taken), where
        if not taken:
            eventually(lambda: deliver(server, name))  # pylint: disable=cell-var-from-loop
        box, below, inbox = counts(server, name, ("box", "box/below", "INBOX"))
        assert 1 <= box == below <= 2 and inbox == 0, where
        wait_for(lambda: queue_is_empty(server) and sent(host, name) > 0, f"an empty queue, {where}")
        assert sent(host, name) <= 3, where  # each try, and once more what the smarthost took as the server was ended
    server.check_reports()
    assert " 0 errors" in verb(server, "verify").decode()
    with capsys.disabled():
        print(f"\nfiled and sent on: {len(chosen)} of {calls} calls", end="")


def test_killed_while_a_script_is_put(server):
    """PUTSCRIPT on the active script: after a kill at any step mail goes by the old version or by the new one, and by the new one if it was answered."""
    name, log, far = prepare(server, OLD, ("old", "new")), server.event_log, 1 << 40
    log.set(kill_after=far)
    put(server, name, OLD)
    calls = far - log.get("kill_after")
    log.set(kill_after=0)
    for call in range(1, calls + 1):
        name = prepare(server, OLD, ("old", "new"))
        log.set(kill_after=call)
        try:
            verb(server, "sieve", "put", "main", "-", "--user", name, text=NEW.encode())
            stored = True
        except RuntimeError:
            stored = False
        server.kill()
        log.set(kill_after=0)
        server.start()
        text = verb(server, "sieve", "show", "main", "--user", name).decode()
        eventually(lambda: deliver(server, name, b"Subject: x\r\n\r\nx\r\n"))  # pylint: disable=cell-var-from-loop
        assert text in (OLD, NEW) and (text == NEW or not stored), (call, text)
        assert counts(server, name, ("old", "new", "INBOX")) == ([1, 0, 0] if text == OLD else [0, 1, 0]), call


# -- a disk that fails, or is full -----------------------------------------------------------
def test_failed_sync():
    """EIO: neither a message nor a script is acknowledged, in no folder is half of it, and the script that was acknowledged is active later."""
    server = eventlog.Server()
    try:
        name, log = prepare(server, 'require "fileinto"; fileinto "box"; fileinto "box/below";', ("box", "box/below")), server.event_log
        with Sieve(server.address("managesieve")) as s:
            assert s.login(name, server.password)[0] == "OK"
            segments = sorted((server.data / "journal").glob("*.seg"))
            log.set(fail_ino=segments[-1].stat().st_ino, sync_errno=EIO)
            for data in (MESSAGE, b"Subject: small\r\n\r\nx\r\n"):
                assert refused(lambda: deliver(server, name, data)).startswith("4")  # pylint: disable=cell-var-from-loop
                assert counts(server, name, ("box", "box/below", "INBOX")) == [0, 0, 0]
            log.set(fail_ino=0, sync_errno=0)
            for command in (b'PUTSCRIPT "main" "keep;"', b'SETACTIVE ""', b'RENAMESCRIPT "main" "x"'):
                assert s.ask(command)[:2] == ("NO", "TRYLATER"), command
            assert s.ask("LISTSCRIPTS")[3] == [[b"main", "ACTIVE"]]
        server.kill()
        server.start()
        box, below, inbox = counts(server, name, ("box", "box/below", "INBOX"))
        assert box == below <= 1 and inbox == 0  # what was not synced may be there, whole
        eventually(lambda: deliver(server, name, b"Subject: later\r\n\r\nx\r\n"))
        assert counts(server, name, ("box", "box/below", "INBOX")) == [box + 1, below + 1, 0]
    finally:
        server.stop()


def test_no_room(small_disk):  # noqa: F811
    """A full disk: 452, and the message is in no folder; PUTSCRIPT is refused, and the old script stays. With room again all goes on."""
    subprocess.run(["cp", "-a", "--sparse=always", str(posthorn.template()), str(small_disk / "data")], check=True)
    server = posthorn.Server({"test_segment_size": 1 << 20}, data=small_disk / "data")
    try:
        name = prepare(server, 'require "fileinto"; fileinto "box"; fileinto "box/below";', ("box", "box/below"))
        ballast = small_disk / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        taken, answer = 0, None
        while answer is None and taken < 200:
            answer = refused(lambda: deliver(server, name))
            taken += answer is None
        assert answer.startswith("452"), answer
        assert counts(server, name, ("box", "box/below", "INBOX")) == [taken, taken, 0]
        with Sieve(server.address("managesieve")) as s:
            assert s.login(name, server.password)[0] == "OK"
            big = b"# " + b"y" * 900000 + b"\r\n"
            answers = [s.ask(b'PUTSCRIPT "main" {%d+}\r\n' % len(big) + big)[:2] for _ in range(3)]
            assert ("NO", "TRYLATER") in answers or answers == [("NO", "QUOTA")] * 3, answers
        ballast.unlink()
        eventually(lambda: deliver(server, name), 5)
        assert counts(server, name, ("box", "box/below", "INBOX")) == [taken + 1, taken + 1, 0]
    finally:
        server.stop()


# -- damage ----------------------------------------------------------------------------------
def stop(server):
    server.process.terminate()
    server.process.wait(20)
    server.process = None


@pytest.mark.parametrize("damage", [remove, cut, noise])
def test_scripts_outlive_the_index(damage):
    """The index is made anew from the journal, with the scripts, the active one and what `duplicate` remembers."""
    server = posthorn.Server()
    try:
        name = prepare(server, 'require ["fileinto", "duplicate"]; if duplicate { fileinto "old"; } else { fileinto "new"; }', ("old", "new"))
        verb(server, "sieve", "put", "other", "-", "--user", name, text=b"keep;")
        deliver(server, name)
        listed, text = verb(server, "sieve", "list", "--user", name), verb(server, "sieve", "show", "main", "--user", name)
        stop(server)
        for file in FILES:
            damage(server.data / file)
        server.start()
        assert verb(server, "sieve", "list", "--user", name) == listed and b"active" in listed
        assert verb(server, "sieve", "show", "main", "--user", name) == text
        eventually(lambda: deliver(server, name))
        assert counts(server, name, ("old", "new", "INBOX")) == [1, 1, 0]
    finally:
        server.stop()


def test_a_script_with_a_flipped_bit():
    """In the journal: verify finds it. The index has the script still, and mail goes by it."""
    server = posthorn.Server()
    try:
        name = prepare(server, OLD, ("old",))
        deliver(server, name)
        stop(server)
        segment = server.data / "journal/00000001.seg"
        flip(segment, segment.read_bytes().index(b'fileinto "old";') + 3)
        with pytest.raises(RuntimeError) as said:
            verb(server, "verify")
        assert "error" in str(said.value), said.value
        server.start()
        eventually(lambda: deliver(server, name, b"Subject: again\r\n\r\nx\r\n"))
        assert counts(server, name, ("old", "INBOX")) == [2, 0]
    finally:
        server.stop()


# -- the active script goes ------------------------------------------------------------------
def test_the_active_script_goes(server):
    """It is not deleted while it is active; when it is none any more, each message goes by it as a whole, or is in INBOX."""
    script = 'require "fileinto"; fileinto "box"; fileinto "box/below";'
    name = prepare(server, script, ("box", "box/below"))
    with pytest.raises(RuntimeError):
        verb(server, "sieve", "delete", "main", "--user", name)
    sender = threading.Thread(target=lambda: [deliver(server, name, b"Subject: %d\r\n\r\nx\r\n" % i) for i in range(40)])
    sender.start()
    rounds = 0
    while sender.is_alive() or rounds < 2:
        rounds += 1
        verb(server, "sieve", "deactivate", "--user", name)
        verb(server, "sieve", "delete", "main", "--user", name)
        put(server, name, script)
    sender.join()
    box, below, inbox = counts(server, name, ("box", "box/below", "INBOX"))
    assert box == below and box + inbox == 40
