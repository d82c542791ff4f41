"""The store as its keeper sees it: backup and restore, rebuild, verify, the codec on disk, compaction."""
import os
import pathlib
import re
import resource
import signal
import subprocess
import time

import pytest

from lib import server as posthorn
from lib.client import Imap
from lib.terminal import heed

NUMBERS = ("UIDVALIDITY", "UIDNEXT", "MESSAGES")
SMALL = b"From: a@example.org\r\nSubject: Zebrafinch %d\r\nMessage-ID: <%d@x>\r\n\r\nUnmistakable pelican %d\r\n"


def small(n):
    return SMALL % (n, n, n)


def large(n, size=400_000):
    line = b"Unmistakable pelican %d " % n + b"x" * 50 + b"\r\n"
    return b"Subject: Zebrafinch %d\r\n\r\n" % n + line * (size // len(line))


def session(server, user="alice"):
    return Imap(server.address("imap"), user, server.password)


def fill(server):
    c = session(server)
    c.command('CREATE "Projects/2026"')
    for n in range(6):
        c.append("INBOX", small(n), "\\Seen" if n % 2 else "$Work")
    c.append("Projects/2026", large(1))
    c.select("INBOX")
    c.command("STORE 2 +FLAGS (\\Deleted)")
    c.command("EXPUNGE")
    c.command("STORE 1 +FLAGS (\\Flagged $Later)")
    c.close()


def picture(server, user="alice"):
    """{mailbox: (UIDVALIDITY, UIDNEXT, {UID: (flags, body)})}"""
    c = session(server, user)
    found = {}
    lines, _ = c.command('LIST "" "*"')
    for line in lines:
        name = re.search(rb'"/" "?([^"]+)"?$', line)[1].decode()
        status = c.command(f'STATUS "{name}" (UIDVALIDITY UIDNEXT MESSAGES)')[0][0]
        numbers = {k: int(re.search(rb"%s (\d+)" % k.encode(), status)[1])
                   for k in NUMBERS}
        rows = {}
        if numbers["MESSAGES"]:
            c.command(f'EXAMINE "{name}"')
            for items in c.fetch("1:*", "(UID FLAGS BODY.PEEK[])").values():
                flags = frozenset(f for f in map(str, items["FLAGS"]) if f.lower() != "\\recent")
                rows[items["UID"]] = (flags, bytes(items["BODY[]"]))
        found[name] = (numbers["UIDVALIDITY"], numbers["UIDNEXT"], rows)
    c.close()
    return found


def verb(server, *words, good=True, **how):
    if server.process is None or server.process.poll() is not None:
        posthorn.give_to_service(server.data)
    done = subprocess.run([posthorn.binary(), *words, "-c", str(server.config)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=posthorn.environment(), timeout=60, check=False, **how)
    if good:
        assert done.returncode == 0, done.stdout.decode(errors="replace")
    return done


def pause(server):
    """The server ends; its data stays."""
    server.process.terminate()
    assert server.process.wait(20) == 0
    server.check_reports()


def test_backup_restore(make, tmp_path):
    server = make()
    fill(server)
    before = picture(server)
    verb(server, "backup", str(tmp_path / "all"))
    session(server).append("INBOX", small(99))  # after the backup: not in it
    tmp_path.chmod(0o755)
    again = make(start=False)
    subprocess.run(["rm", "-rf", str(again.data)], check=True)
    verb(again, "restore", str(tmp_path / "all"))
    users = again.data / "users"
    if not users.exists():
        subprocess.run(["cp", "-a", str(server.data / "users"), str(users)], check=True)
    again.write_config()
    again.start()
    verb(again, "verify")
    after = picture(again)
    assert set(after) == set(before)
    for name, (validity, uidnext, rows) in before.items():
        restored = after[name]
        assert restored[0] == validity
        assert uidnext + 2 ** 20 <= restored[1] < uidnext + 2 ** 21, name
        assert restored[2] == rows
    c = session(again)
    assert c.append("INBOX", small(7)) >= before["INBOX"][1] + 2 ** 20
    c.close()


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_failed_backup(make, tmp_path):
    """It leaves nothing that would be in the way of the next one, and what was there stays."""
    server = make()
    fill(server)
    path = tmp_path / "all"
    done = verb(server, "backup", str(path), good=False, preexec_fn=limit_files)
    assert done.returncode == 1 and b"File too large" in done.stdout and not path.exists(), done.stdout
    verb(server, "backup", str(path))
    before = path.read_bytes()
    done = verb(server, "backup", str(path), good=False)
    assert done.returncode == 1 and b"File exists" in done.stdout and path.read_bytes() == before, done.stdout


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_backup_is_ended(make, tmp_path, number):
    """By a signal, halfway: what there is of the file goes."""
    server = make()
    c = server.imap()
    for _ in range(3):
        c.append("INBOX", b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 600_000)
    c.close()
    path, ended = tmp_path / "all", 0
    for _ in range(5):  # one may be ready before the signal comes
        command = subprocess.Popen([posthorn.binary(), "backup", path, "-c", server.config], env=posthorn.environment(), preexec_fn=heed)
        while not path.exists() and command.poll() is None:
            time.sleep(0.001)
        command.send_signal(number)
        ended += command.wait(60) == -number
        assert path.exists() == (command.returncode == 0)
        path.unlink(missing_ok=True)
    assert ended > 0


def test_backup_is_nobody_elses(make, tmp_path):
    """All mail and all password hashes are in it."""
    before = os.umask(0)
    try:
        verb(make(), "backup", str(tmp_path / "all"))
    finally:
        os.umask(before)
    assert (tmp_path / "all").stat().st_mode & 0o777 == 0o600


def test_restore_cut_at_its_end(make, tmp_path):
    """All mail is there, but not the users: it is not served."""
    server = make()
    verb(server, "backup", str(tmp_path / "all"))
    (tmp_path / "cut").write_bytes((tmp_path / "all").read_bytes()[:-1])
    tmp_path.chmod(0o755)
    again = make(start=False)
    subprocess.run(["rm", "-rf", str(again.data)], check=True)
    assert b"cut short" in verb(again, "restore", str(tmp_path / "cut"), good=False).stdout
    refused = verb(again, "verify", good=False)
    assert refused.returncode != 0 and b"was not finished" in refused.stdout
    subprocess.run(["rm", "-rf", str(again.data)], check=True)
    verb(again, "restore", str(tmp_path / "all"))
    again.start()
    session(again).close()


def test_rebuild(make):
    server = make()
    fill(server)
    before = picture(server)
    done = verb(server, "rebuild", good=False)
    assert done.returncode != 0  # refused while the server runs
    pause(server)
    subprocess.run(["rm", "-rf", str(server.data / "index")], check=True)
    verb(server, "rebuild")
    server.write_config()
    server.start()
    assert picture(server) == before
    verb(server, "verify")


def test_flipped_bit(make):
    server = make()
    fill(server)
    pause(server)
    verb(server, "verify")
    segment = sorted((server.data / "journal").glob("*.seg"))[0]
    with open(segment, "r+b") as f:
        text = f.read()
        at = text.index(b"Unmistakable pelican 4")
        f.seek(at)
        f.write(bytes([text[at] ^ 0x10]))
    done = verb(server, "verify", good=False)
    assert done.returncode != 0
    assert segment.stem.lstrip("0") in done.stdout.decode()
    with open(segment, "r+b") as f:
        f.seek(at)
        f.write(text[at:at + 1])
    verb(server, "verify")
    server.write_config()
    server.start()


def test_scrambled(make):
    server = make(settings={"test_codec": "scramble"})
    fill(server)
    assert len(picture(server)["INBOX"][2]) == 5
    verb(server, "verify")
    server.restart()
    before = picture(server)
    assert before["INBOX"][2][1][1] == small(0)
    pause(server)
    for secret in ("Zebrafinch", "pelican", "Projects"):
        hits = subprocess.run(["grep", "-rlaF", secret, str(server.data)], stdout=subprocess.PIPE, check=False).stdout
        assert hits == b"", secret
    server.write_config()
    server.start()


def octets(data, *parts):
    used = 0
    for part in parts or ("journal", "bodies"):
        used += sum(p.stat().st_blocks * 512 for p in pathlib.Path(data, part).rglob("*") if p.is_file())
    return used


def test_compaction(make):
    server = make(settings={"retention": 1})
    c = session(server)
    for n in range(3):
        c.append("INBOX", large(n, 8_000_000))
    c.append_all("INBOX", [large(n, 120_000) for n in range(600)])  # more than a segment
    c.append("INBOX", small(5))
    assert c.select("INBOX")["EXISTS"] == 604
    full = octets(server.data)
    c.command("STORE 1:603 +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    c.close()
    time.sleep(2.5)
    verb(server, "compact")
    assert octets(server.data) < full - 80_000_000
    rows = picture(server)["INBOX"][2]
    assert [r[1] for r in rows.values()] == [small(5)]
    server.restart()
    assert [r[1] for r in picture(server)["INBOX"][2].values()] == [small(5)]
    verb(server, "verify")
def test_compaction_of_the_open_segment(make):
    server = make(settings={"retention": 1})
    c = session(server)
    for n in range(3):
        c.append("INBOX", large(n, 8_000_000))
    c.append("INBOX", small(5))
    c.select("INBOX")
    assert octets(server.data, "bodies") > 20_000_000
    c.command("STORE 1:3 +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    c.close()
    time.sleep(2.5)
    verb(server, "compact")
    # the journal's next segment takes its room in advance
    assert octets(server.data, "bodies") < 1_000_000
    server.restart()
    assert [r[1] for r in picture(server)["INBOX"][2].values()] == [small(5)]
    verb(server, "verify")


def blocks(server):
    """Octets that the journal takes on the disk, and those it shows."""
    found = [path.stat() for path in (server.data / "journal").iterdir()]
    return sum(s.st_blocks * 512 for s in found), sum(s.st_size for s in found)


def test_a_small_server_takes_little_room():
    """The first segment grows with what it holds: du of a fresh server is not 64 MiB."""
    server = posthorn.Server()
    try:
        assert max(blocks(server)) < 3 << 20, blocks(server)
        c = session(server)
        for n in range(60):
            c.append("INBOX", large(n, 60_000))
        c.close()
        taken, shown = blocks(server)
        assert 3 << 20 < taken < 12 << 20 and 3 << 20 < shown < 12 << 20, (taken, shown)
        server.kill()
        server.start()
        assert session(server).select("INBOX")
    finally:
        server.stop()
