"""Compressed mail (mail_compress): a store with both kinds, through every door and all that its keeper does."""
import random
import subprocess
import time

import pytest

from lib import server as posthorn
from lib.client import Lmtp, Refused
from lib.damage import flip
from lib.pop3 import Pop3
from test_keeping import large, octets, pause, picture, session, small, verb

ZSTD = {"mail_compress": "zstd", "retention": 1000}
EDGES = (900, 1023, 1024, 1025, 5_000, 65_535, 65_536, 65_537, 131_072, 131_073, 400_000)
MARK = b"Unmistakable pelican"
NOISE = bytes(range(128, 160)) + bytes(range(32, 256))  # for translate: no control characters


def text(size, seed=1):
    """A mail of so many octets of words; of noise, which nothing makes smaller, when five divides them."""
    chance = random.Random(size * 100 + seed)
    words = [MARK, b"heron", b"the", b"of", b"gull", b"kittiwake", b"and", b"puffin"]
    lines = [chance.randbytes(70).translate(NOISE) if size % 5 == 0 else b" ".join(chance.choices(words, k=9)) for _ in range(min(size // 60 + 1, 1000))]
    out = b"Subject: edge %d\r\n\r\n" % size + b"\r\n".join(lines * (size // (60 * len(lines)) + 2))
    return out[:size - 2] + b"\r\n"


def switch(server, to):
    """The server goes on with the other setting."""
    pause(server)
    server.settings["mail_compress"] = to
    server.write_config()
    server.start()


def both_kinds(make, **settings):
    """A store in which the kinds take turns: what was compressed is so for good, and so is what was not."""
    server = make(settings={**ZSTD, **settings})
    for turn in range(4):
        if turn:
            switch(server, ("zstd", "none")[turn % 2])
        c = session(server)
        c.append_all("INBOX", [text(size, turn) for size in EDGES])
        c.close()
    return server, [text(size, turn) for turn in range(4) for size in EDGES]


def bodies(server, box="INBOX"):
    return [body for _, body in picture(server)[box][2].values()]


def test_both_kinds(make, tmp_path):
    server, want = both_kinds(make)
    assert bodies(server) == want
    verb(server, "verify")
    before = picture(server)
    verb(server, "backup", str(tmp_path / "all"))
    pause(server)
    subprocess.run(["rm", "-rf", str(server.data / "index")], check=True)
    verb(server, "rebuild")
    server.start()
    assert picture(server) == before
    tmp_path.chmod(0o755)
    again = make(start=False)  # it compresses nothing itself
    subprocess.run(["rm", "-rf", str(again.data)], check=True)
    verb(again, "restore", str(tmp_path / "all"))
    assert (again.data / "format").read_text() == "posthorn store 2\n"
    subprocess.run(["cp", "-a", str(server.data / "users"), str(again.data)], check=True)
    again.write_config()
    again.start()
    verb(again, "verify")
    assert bodies(again) == want


def test_nothing_changes_without(make):
    server = make()
    c = session(server)
    c.append("INBOX", text(5_001))
    c.close()
    pause(server)
    assert (server.data / "format").read_text() == "posthorn store 1\n"
    assert any(MARK in p.read_bytes() for p in (server.data / "journal").glob("*.seg"))
    server.start()


def test_less_on_the_disk(make):
    plain, compressed = make(), make(settings=ZSTD)
    for server in (plain, compressed):
        c = session(server)
        c.append("INBOX", text(3_000_001))
        c.append_all("INBOX", [text(30_001, n) for n in range(200)])
        c.close()
        server.stored = octets(server.data)
    assert bodies(plain) == bodies(compressed)
    assert compressed.stored < plain.stored - 3_000_000
    pause(compressed)
    for part in ("journal", "bodies"):
        assert subprocess.run(["grep", "-rqaF", "kittiwake", str(compressed.data / part)], check=False).returncode == 1, part
    compressed.start()


def partials(c, whole):
    """Pieces of every kind, in order and not, as clients that read in pieces ask for them."""
    size, chance = len(whole), random.Random(1)
    step = size // 7 + 1
    asked = [(at, step) for at in range(0, size, step)] + [(chance.randrange(size), chance.randrange(1, 90_000)) for _ in range(30)]
    for at, n in asked + [(65_530, 12), (65_536, 65_536), (size - 1, 10), (size, 10)]:
        items = c.fetch("1", f"BODY.PEEK[]<{at}.{n}>")[1]
        assert bytes(items[f"BODY[]<{at}>"] or b"") == whole[at:at + n], (at, n)


def test_partials(make):
    server = make(settings=ZSTD)
    c = session(server)
    for size in (5_001, 131_071, 400_001):
        box = f"Box{size}"
        c.command(f"CREATE {box}")
        c.append(box, text(size))
        c.select(box)
        partials(c, text(size))
    c.close()


def test_doors(make):
    """LMTP in, SEARCH, BINARY, COPY, MOVE, and POP3 out."""
    server = make(settings={**ZSTD, "local_domains": ["localhost"]}, services=(*posthorn.SERVICES, "pop3"))
    mail = b"Subject: doors\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + text(150_001).replace(b"puffin", b"puffi=6E")
    Lmtp(server.address("lmtp")).deliver("alice@localhost", mail)
    c = session(server)
    c.command("CREATE Box")
    c.select("INBOX")
    whole = bytes(c.fetch("1", "BODY.PEEK[]")[1]["BODY[]"])
    assert whole.endswith(mail)
    assert c.command('SEARCH BODY "kittiwake"')[0][0].split()[2:] == [b"1"]
    binary = bytes(c.fetch("1", "BINARY.PEEK[1]")[1]["BINARY[1]"])
    assert binary == mail.split(b"\r\n\r\n", 1)[1].replace(b"puffi=6E", b"puffin")
    c.command("COPY 1 Box")
    c.command("MOVE 1 Box")
    c.append("INBOX", text(5_001))
    c.close()
    assert bodies(server, "Box") == [whole, whole]
    pop = Pop3(server.ports["pop3"], "alice", server.password)
    assert pop.message("RETR 1") == text(5_001)


def test_undelete_and_compaction(make):
    server = make(settings={**ZSTD, "retention": 2})
    c = session(server)
    c.append_all("INBOX", [text(size) for size in EDGES])
    c.select("INBOX")
    c.command("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    c.close()
    verb(server, "mailbox", "undelete", "alice")
    assert sorted(bodies(server)) == sorted(text(size) for size in EDGES)
    c = session(server)
    c.append_all("INBOX", [text(5_000_001, n) for n in range(3)] + [text(120_001, n) for n in range(60)])
    c.select("INBOX")
    c.command(f"STORE {len(EDGES) + 1}:* +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    c.close()
    full = octets(server.data, "bodies")
    time.sleep(3.5)
    verb(server, "compact")
    assert octets(server.data, "bodies") < full - 2_000_000
    assert sorted(bodies(server)) == sorted(text(size) for size in EDGES)
    verb(server, "verify")


def test_damage_is_found(make):
    """A bit of a compressed body, in the journal and in a file: verify names it, and only this message is lost."""
    server = make(settings=ZSTD)
    c = session(server)
    c.append_all("INBOX", [large(1, 100_000), small(2), large(3, 300_000)])
    c.close()
    pause(server)
    verb(server, "verify")
    segment, file = (next((server.data / part).rglob(name)) for part, name in (("journal", "*.seg"), ("bodies", "????????????????")))
    for path, uid in ((segment, 1), (file, 3)):
        at = path.read_bytes().index(b"\x28\xb5\x2f\xfd") + 40
        flip(path, at)
        assert verb(server, "verify", good=False).returncode != 0
        server.write_config()
        server.start()
        c = session(server)
        c.select("INBOX")
        with pytest.raises(Refused):
            c.fetch(str(uid), "BODY.PEEK[]")
        assert bytes(c.fetch("2", "BODY.PEEK[]")[2]["BODY[]"]) == small(2)
        c.close()
        pause(server)
        flip(path, at)
        verb(server, "verify")
    server.write_config()
    server.start()
