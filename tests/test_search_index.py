"""SEARCH answers the same with and without its index: as it grows, after expunge, move, restart and rebuild, when it is damaged
and when its disk is full, and after a kill. The index is asked only where it helps."""
import os
import random
import re
import time

import pytest

from lib import server as posthorn
from lib.searchindex import asked, state, wait_indexed
from lib.waiting import wait_for

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima", "Straße", "naïve", "Ελλάδα", "привет",
         "report", "invoice", "meeting", "quarter", "2026", "x-ray", "re:union"]
KEYS = ["SUBJECT", "FROM", "TO", "CC", "BODY", "TEXT", "HEADER X-Tag"]


def mail(rng, number):
    def words(n):
        return " ".join(rng.choice(WORDS) for _ in range(n))
    head = (f"From: {rng.choice(WORDS)} <{number}@from.example>\r\nTo: {words(2)} <to{number % 7}@example.org>\r\nX-Tag: {rng.choice(WORDS)}\r\n"
            f"Subject: {words(4)} no{number}\r\nMIME-Version: 1.0\r\n")
    if number % 3 == 0:
        return (head + 'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
                f"{words(20)}\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{words(5)} <b>{words(2)}</b></p>\r\n--b--\r\n").encode()
    if number % 5 == 0:
        return (head + "Content-Type: message/rfc822\r\n\r\n" + f"Subject: inner {words(2)}\r\n\r\n{words(9)}\r\n").encode()
    return (head + f"Content-Type: text/plain; charset=utf-8\r\n\r\n{words(30)} unique{number}\r\n").encode()


def queries(rng, n):
    for _ in range(n):
        parts = []
        for _ in range(rng.choice((1, 1, 2))):
            word = rng.choice(WORDS + [f"unique{rng.randrange(300)}", f"no{rng.randrange(300)}", "absent", "to3@example", "inner"])
            if rng.random() < 0.3:
                word += " " + rng.choice(WORDS)
            start = rng.randrange(max(1, len(word) - 2))
            needle = word[start:start + rng.choice((1, 2, 3, 5, 20))].strip() or "a"
            parts.append(f'{"NOT " if rng.random() < 0.2 else ""}{rng.choice(KEYS)} "{needle}"')
        yield ("OR " + " ".join(parts)) if len(parts) == 2 and rng.random() < 0.5 else " ".join(parts)


def search(c, keys):
    keys = keys.encode()
    if not keys.isascii():
        keys = b"CHARSET UTF-8 " + keys  # quoted 8-bit is taken
    out = []
    pieces = re.split(rb'"([^"]*)"', keys)
    for i, piece in enumerate(pieces):
        out.append(piece if i % 2 == 0 else b"{%d+}\r\n%s" % (len(piece), piece))
    c.count += 1
    tag = f"t{c.count}"
    c.wire.send(tag.encode() + b" UID SEARCH " + b"".join(out) + b"\r\n")
    lines, _ = c.answer(tag)
    return [int(n) for line in lines if line.startswith(b"* SEARCH") for n in line.split()[2:]]


@pytest.fixture
def make():
    made = []

    def one(**settings):
        server = posthorn.Server({"log_level": "debug", **settings})
        made.append(server)
        return server
    yield one
    for server in made:
        server.stop()


def fill(server, user, n, seed=1, first=0):
    rng = random.Random(seed)
    c = server.imap(user)
    c.append_all("INBOX", [mail(rng, first + i) for i in range(n)])
    c.command("SELECT INBOX")
    return c


def answers(c, n=60, seed=2):
    rng = random.Random(seed)
    return {q: search(c, q) for q in queries(rng, n)}


def without(server, c, n=60, seed=2):
    server.reload(search_index="false")
    found = answers(c, n, seed)
    server.reload(search_index="true")
    return found


def test_agrees(make):
    server = make(test_index_after=40)
    user = server.fresh_user("agrees")
    c = fill(server, user, 300)
    wait_indexed(server, user, 200)
    before = without(server, c)
    assert sum(map(len, before.values())) > 1000
    count = len(asked(server))
    assert answers(c) == before
    assert len(asked(server)) >= count + 25  # they came from the index
    # half built: what came since is scanned
    fill(server, user, 30, 3, 300).wire.close()
    c.command("NOOP")
    assert answers(c, 40, 4) == without(server, c, 40, 4)
    # two mailboxes share what a copy is of; moved and expunged ones
    c.command("CREATE Other")
    c.command("COPY 1:50 Other")
    c.command("MOVE 100:160 Other")
    c.command("STORE 1:40 +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    assert answers(c, 40, 5) == without(server, c, 40, 5)
    c.command("SELECT Other")
    other = answers(c, 40, 6)
    assert sum(map(len, other.values())) > 100
    assert other == without(server, c, 40, 6)
    c.wire.close()
    server.restart()
    c = server.imap(user)
    c.command("SELECT Other")
    assert answers(c, 40, 6) == other
    documents = state(server, user)["documents"]
    assert documents >= 200  # the restart found it
    c.wire.close()
    server.process.terminate()
    assert server.process.wait(30) == 0
    assert (server.data / "derived").is_dir() and any((server.data / "derived").iterdir())
    posthorn.run_verb("rebuild", "-c", str(server.config))
    assert not any((server.data / "derived").iterdir())
    server.start()
    c = server.imap(user)
    c.command("SELECT Other")
    assert answers(c, 40, 6) == other
    wait_indexed(server, user, 200)
    assert answers(c, 40, 6) == other
    c.wire.close()
    posthorn.run_verb("verify", "-c", str(server.config))


def test_asked_only_where_it_helps(make):
    server = make(test_index_after=40)
    user = server.fresh_user("plan")
    c = fill(server, user, 400)
    wait_indexed(server, user, 300)
    count = len(asked(server))
    assert search(c, "FLAGGED TEXT alpha") == []
    assert search(c, 'UID 1:10 BODY "alpha bravo"') is not None
    assert len(asked(server)) == count
    found = search(c, "TEXT unique101")
    assert len(found) == 1
    open_still = state(server, user)["unindexed"]  # these are scanned
    assert open_still < 40
    assert asked(server)[-1] == (1 + open_still, 1)
    for needle in ("unique", "alpha bravo", "lta ech", "no39"):
        found = search(c, f'TEXT "{needle}"')
        candidates, matches = asked(server)[-1]
        assert matches == len(found) and candidates <= 2 * matches + open_still, (needle, candidates, matches)
    # once for all mailboxes of an account (RFC 7377)
    for part in range(5):
        c.command(f"CREATE Part{part}")
        c.command(f"COPY {part * 70 + 1}:{part * 70 + 70} Part{part}")
    count = server.stderr().count("The text index is asked")
    lines, _ = c.command('ESEARCH IN (mailboxes (INBOX Part0 Part1 Part2 Part3 Part4)) RETURN (COUNT) BODY "unique101"')
    assert sorted(re.search(rb"MAILBOX (\w+) .* COUNT (\d+)", line).groups() for line in lines if b"ESEARCH" in line) == \
        [(b"INBOX", b"1"), (b"Part1", b"1")]
    assert server.stderr().count("The text index is asked") == count + 1
    c.wire.close()


def files(server):
    return [p for p in sorted((server.data / "derived").glob("*/*")) if p.is_file()]


def drop_lines(server):
    return len(re.findall(r"search index is damaged", server.stderr()))


@pytest.mark.parametrize("way", ("flip", "cut", "empty"))
def test_damaged(make, way):
    server = make(test_index_after=40)
    user = server.fresh_user("damaged")
    c = fill(server, user, 300)
    wait_indexed(server, user, 200)
    want = without(server, c)
    c.wire.close()
    names = [p.name for p in files(server)]
    assert len(names) >= 3
    dropped = 0
    for at_rest in (True, False):
        for name in names:
            path = next((p for p in files(server) if p.name == name), None)
            if path is None:
                continue
            if at_rest:
                server.process.terminate()
                assert server.process.wait(30) == 0
            size = path.stat().st_size
            with open(path, "r+b") as f:
                if way == "flip":
                    f.seek(size * 2 // 3)
                    octet = f.read(1)
                    f.seek(size * 2 // 3)
                    f.write(bytes([octet[0] ^ 0x40]))
                else:
                    f.truncate(0 if way == "empty" else size - 7)
            if at_rest:
                server.start()
            c = server.imap(user)
            c.command("SELECT INBOX")
            assert answers(c) == want
            wait_indexed(server, user, 200)
            assert answers(c) == want
            c.wire.close()
            dropped = max(dropped, drop_lines(server))
    assert dropped > 0


def spelled(page):
    """The terms of a page of the index (docs/format.md), one after the other; of another page anything."""
    terms, term, at = [], b"", 14
    end = min(at + int.from_bytes(page[4:6], "big"), len(page) - 40)
    while at < end:
        shared, own = divmod(page[at], 8)
        at += 1
        if own == 7:
            own, at = page[at] - 1, at + 1
        term = term[:shared] + page[at:at + own + 1]
        at += own + 1
        terms.append(term)
    return b"\xff".join(terms)


def kept(server, octets):
    """Files that have it, as it is or in a term of the index."""
    found = []
    for path in files(server):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # a merge took it away since it was listed
            continue
        pages = [data[i:i + 16384] for i in range(0, len(data), 16384)] if path.name.endswith("-t") else []
        if octets in data or any(octets in spelled(page) for page in pages):
            found.append(path.name)
    return found


@pytest.mark.parametrize("way", ("round", "verb", "off"))
def test_nothing_of_the_gone_is_kept(make, way):
    """Within a round, and when the verb is used: words of expunged messages leave the index, texts of attachments their cache."""
    server = make(test_index_after=1, **({} if way == "verb" else {"test_index_round": "2s"}))
    user = server.fresh_user("gone")
    c = fill(server, user, 30)
    broken = ("Subject: secretword\r\nMIME-Version: 1.0\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nno PDF secretname\r\n").encode()
    c.append_all("INBOX", [broken] * 3)
    assert search(c, "BODY zebrafish") == []  # reads the attachments
    wait_indexed(server, user, 33)
    wait_for(lambda: len([p for p in files(server) if p.name.startswith("files-")]) > 0, "the cache is not written")
    assert kept(server, b"SECRETWORD") and kept(server, b"UNIQUE1")
    listed = posthorn.run_verb("attachments", user, "--json", "--data", server.data).count(b"damaged")
    assert listed == 3
    c.command("UID STORE 31:32 +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    if way == "verb":
        state(server, user)
    if way == "off":
        server.reload(search_index="false")
    wait_for(lambda: posthorn.run_verb("attachments", user, "--json", "--data", server.data).count(b"damaged") == 1, "texts of attachments")
    assert kept(server, b"SECRETWORD") or way == "off"  # one is there yet
    c.command("UID STORE 1:33 +FLAGS.SILENT (\\Deleted)")
    c.command("EXPUNGE")
    if way == "verb":
        state(server, user)
    wait_for(lambda: not kept(server, b"SECRETWORD") and not kept(server, b"UNIQUE1"), "words of the gone")
    wait_for(lambda: not [p for p in files(server) if p.name.startswith("files-")], "packs")
    c.wire.close()


def test_unreadable(make):
    """A body that cannot be read does not keep the others from the index; it is scanned, told once, and tried again."""
    server = make(test_index_after=1, test_index_round="1s")
    user = server.fresh_user("unread")
    server.reload(search_index="false")
    c = fill(server, user, 30)
    c.append_all("INBOX", [b"Subject: large\r\n\r\n" + b"words of it\r\n" * 20000])
    fill(server, user, 30, 3, 30).wire.close()
    bodies = [p for p in (server.data / "bodies").rglob("*") if p.is_file()]
    assert len(bodies) == 1
    mode = bodies[0].stat().st_mode
    owner = bodies[0].stat().st_uid
    server.process.terminate()
    assert server.process.wait(30) == 0
    os.chown(bodies[0], 0, 0)
    bodies[0].chmod(0)
    server.settings["search_index"] = "true"
    server.write_config()
    server.start()
    c = server.imap(user)
    c.command("SELECT INBOX")
    wait_for(lambda: b"documents" in posthorn.run_verb("mailbox", "index", user, "-c", server.config) and state(server, user)["documents"] == 60, "the others")
    told = server.stderr().count("messages are not in the search index")
    assert told >= 1 and "search index rests" not in server.stderr()
    os.chown(bodies[0], owner, -1)
    bodies[0].chmod(mode)
    wait_for(lambda: state(server, user)["documents"] == 61, "it is tried again")
    assert search(c, 'TEXT "rds of it"') == [31]
    c.wire.close()


def test_merged_when_it_is_asked(make):
    """Segments stay as they are until they are many, or are often asked."""
    server = make(test_index_after=40)
    user = server.fresh_user("merged")
    for i in range(9):
        c = fill(server, user, 40, i, 40 * i)
        now = wait_indexed(server, user, 40 * (i + 1))
    assert now["segments"] == 9
    before = answers(c, 20)
    for i in range(40):
        assert not search(c, " ".join(f'TEXT "absent{k}"' for k in range(8)))
    wait_for(lambda: state(server, user)["segments"] == 2, "they are merged")
    assert state(server, user)["documents"] == 360
    assert answers(c, 20) == before == without(server, c, 20)


def test_killed(make):
    """kill -9 anywhere while it is made: the index is whole or absent."""
    server = make(test_index_after=20)
    user = server.fresh_user("killed")
    c = fill(server, user, 250)
    want = without(server, c, 20, 7)
    c.wire.close()
    for i in range(6):
        server.kill()
        server.start()
        c = server.imap(user)
        c.command("SELECT INBOX")
        time.sleep(0.05 * i)
        assert {q: [n for n in found if n <= 250] for q, found in answers(c, 20, 7).items()} == want
        c.append_all("INBOX", [b"Subject: none\r\n\r\n\r\n"] * 25)
        c.wire.close()
    c = server.imap(user)
    c.command("SELECT INBOX")
    wait_indexed(server, user, 200)
    assert answers(c, 20, 7) == without(server, c, 20, 7)
    c.wire.close()
    posthorn.run_verb("verify", "-c", str(server.config))


def test_off(make):
    server = make(test_index_after=20, search_index="false")
    user = server.fresh_user("off")
    c = fill(server, user, 100)
    time.sleep(0.5)
    now = state(server, user)
    assert now["documents"] == 0 and not now["on"] and now["unindexed"] == 100
    assert len(search(c, "TEXT unique41")) == 1
    assert asked(server) == []
    c.wire.close()


def test_disk_refuses(make):
    """The index cannot be written: one line says so, mail and searches go on."""
    server = make(test_index_after=20)
    user = server.fresh_user("full")
    derived = server.data / "derived"
    derived.chmod(0o500)
    os.chown(derived, 0, 0)
    c = fill(server, user, 120)
    want = without(server, c, 20, 7)
    end = time.monotonic() + 30
    while "search index rests" not in server.stderr():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert answers(c, 20, 7) == want
    fill(server, user, 60, 3, 120).wire.close()
    c.command("NOOP")
    assert len(search(c, "ALL")) == 180
    time.sleep(0.5)
    assert server.stderr().count("search index rests") == 1
    assert state(server, user)["resting"]
    c.wire.close()
