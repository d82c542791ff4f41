"""Compressed mail (mail_compress): a store with both kinds, through every door and all that its keeper does."""
import random
import subprocess
import time

import pytest

from lib import scripts, server as posthorn
from lib.client import Lmtp, Refused
from lib.damage import flip
from lib.pop3 import Pop3
from lib.smarthost import Smarthost
from lib.waiting import wait_for
from test_burl import said, signed
from test_submission import Sender, Talk
from test_keeping import large, octets, pause, picture, session, small, verb

ZSTD = {"mail_compress": "zstd", "retention": 1000}
EDGES = (900, 1023, 1024, 1025, 5_000, 65_535, 65_536, 65_537, 131_072, 131_073, 400_000)
SIZES = (5_001, 100_001, 400_001)  # of one frame; of two, in the journal; with a file of its own
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


def bodies(server, box="INBOX", user="alice"):
    return [body for _, body in picture(server, user)[box][2].values()]


def filled(server, box="INBOX"):
    """What it has there then."""
    c = session(server)
    c.command("CREATE Desk")
    c.append_all(box, [text(size) for size in SIZES])
    c.close()
    return [text(size) for size in SIZES]


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


def test_pop3(make):
    server = make(settings=ZSTD, services=(*posthorn.SERVICES, "pop3"))
    want = filled(server)
    with Pop3(server.ports["pop3"], "alice", server.password) as pop:
        for n, mail in enumerate(want, 1):
            assert pop.message(f"RETR {n}") == mail
            assert pop.message(f"TOP {n} 2") == b"\r\n".join(mail.split(b"\r\n")[:4]) + b"\r\n"


def test_between_accounts(make):
    """COPY and MOVE out of a shared mailbox."""
    server = make(settings=ZSTD)
    bob, want = server.fresh_user("bob"), filled(server, "Desk")
    alice, c = session(server), session(server, bob)
    alice.command(f"SETACL Desk {bob} lrswite")
    c.select("Shared/alice/Desk")
    c.command("COPY 1:* INBOX")
    c.command("MOVE 1:* INBOX")
    c.select("INBOX")
    assert [bytes(items["BODY[]"]) for items in c.fetch("1:*", "BODY.PEEK[]").values()] == want * 2
    alice.close()
    c.close()
    assert not bodies(server, "Desk")


@pytest.mark.parametrize("form", ("maildir", "mbox"))
def test_export_and_import(make, tmp_path, form):
    server = make(settings=ZSTD)
    bob, want = server.fresh_user("bob"), filled(server)
    verb(server, "export", form, str(tmp_path / "out"), "-u", "alice")
    verb(server, "import", form, str(tmp_path / "out"), "-u", bob)
    assert bodies(server, "INBOX", bob) == want


def test_restore_of_a_user(make, tmp_path):
    server = make(settings=ZSTD)
    want = filled(server)
    verb(server, "backup", str(tmp_path / "all"))
    c = session(server)
    c.expunge("INBOX")
    c.close()
    assert not bodies(server)
    verb(server, "restore", str(tmp_path / "all"), "--user", "alice")
    assert sorted(bodies(server)) == sorted(want)


@pytest.fixture(name="host")
def one_host():
    host = Smarthost(offers=("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME"))
    yield host
    host.close()


@pytest.fixture(name="sender")
def one_sender(host):
    server = Sender(host, **ZSTD)
    yield server
    server.stop()


def sent(host):
    wait_for(lambda: host.mails, "a mail that goes out")
    return host.take()[0]["text"]


def test_redirect(sender, host):
    """The next hop has the octets that came (RFC 5228 section 4.2)."""
    scripts.put(sender, "alice", 'require "copy"; redirect :copy "x@example.org";')
    for size in SIZES:
        Lmtp(sender.address("lmtp")).deliver("alice@example.test", text(size))
        assert sent(host).endswith(text(size))
    assert [body[-size:] for body, size in zip(bodies(sender), SIZES)] == [text(size) for size in SIZES]


def test_urls(sender, host):
    """BURL, URLFETCH and CATENATE (RFC 4468, 4467, 4469), of all and of a part that lies in two frames."""
    c, talk = sender.imap(), Talk(sender.ports["submission"])
    c.command("CREATE Desk")
    for size in SIZES:
        mail = b"From: alice@example.test\r\nMessage-ID: <%d@example.test>\r\n" % size + text(size)
        uid, body = c.append("Drafts", mail), mail.split(b"\r\n\r\n", 1)[1]
        talk.begin()
        assert talk.ask(f"BURL {signed(c, uid)} LAST").startswith("250"), talk.lines
        assert sent(host).endswith(body)
        assert body in said(c, f'URLFETCH "{signed(c, uid, access="authuser")}"').encode()
        said(c, f'APPEND Desk CATENATE (TEXT {{9+}}\r\nA: b\r\n\r\n! URL "/Drafts/;UID={uid}/;SECTION=TEXT/;PARTIAL=4000.70000")')
        assert bodies(sender, "Desk")[-1] == b"A: b\r\n\r\n!" + body[4000:74000]
    talk.close()
    c.close()


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
    for path, uid, last in ((segment, 1, False), (file, 3, False), (file, 3, True)):
        found = path.read_bytes()
        at = (found.rindex if last else found.index)(b"\x28\xb5\x2f\xfd") + 40
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
