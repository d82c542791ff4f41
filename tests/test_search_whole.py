"""SEARCH never answers from a part of what it was asked about: fields that the cache has only the beginning of, headers that
are longer than any buffer; and it ends when its client is gone."""
import re

import pytest

from lib import server as posthorn
from lib.waiting import wait_for


@pytest.fixture(scope="module")
def server():
    own = posthorn.Server({"search_index": False, "log_level": "debug"})
    yield own
    own.stop()


def addresses(name, n, start=0):
    lines = [f" {name}{i:04d} person <{name}{i:04d}@list.example>" for i in range(start, start + n)]
    return ",\r\n".join(lines)


def search(c, keys):
    lines, _ = c.command(f"UID SEARCH {keys}")
    return [int(n) for line in lines if line.startswith(b"* SEARCH") for n in line.split()[2:]]


def test_fields_longer_than_the_summary(server):
    c = server.imap(server.fresh_user("fields"))
    long = "".join(f"From:\r\n{addresses('sender', 400)}\r\nTo:\r\n{addresses('reader', 2000)}\r\nCc:\r\n{addresses('copied', 1000)}\r\n"
                   f"Bcc:\r\n{addresses('hidden', 400)}\r\nSubject: first\r\nSubject:{' many words' * 900} lastword\r\n\r\nbody\r\n")
    spread = "".join(f"To: one{i:04d}@spread.example\r\n" for i in range(1500)) + "Subject: x\r\n\r\nbody\r\n"
    short = "From: a@b\r\nTo: c@d\r\nSubject: short\r\n\r\nbody\r\n"
    first = c.append("INBOX", long.encode())
    second = c.append("INBOX", spread.encode())
    third = c.append("INBOX", short.encode())
    c.command("SELECT INBOX")
    for key, needle in (("FROM", "sender0399"), ("TO", "READER1999 person"), ("CC", "copied0999@list"), ("BCC", "hidden0399"),
                        ("SUBJECT", "words lastword"), ("SUBJECT", "words many"), ("TO", "reader0000")):
        assert search(c, f'{key} "{needle}"') == [first], (key, needle)
        assert search(c, f'NOT {key} "{needle}"') == [second, third], (key, needle)
    assert search(c, 'TO "one1499@spread"') == [second]
    assert search(c, 'TO "one1498@spread.example, one1499"') == [second]
    assert search(c, 'SUBJECT "first"') == []  # the last one is the subject
    for key, needle in (("FROM", "reader0001"), ("TO", "sender0001"), ("TO", "reader2000"), ("SUBJECT", "lastwords")):
        assert search(c, f'{key} "{needle}"') == []
    assert search(c, 'OR TO "reader1500" TEXT "one0002"') == [first, second]
    c.wire.close()


def test_header_longer_than_what_is_kept_of_it(server):
    c = server.imap(server.fresh_user("header"))
    filler = "".join(f"X-Filler-{i}: {'abcdefgh ' * 8}\r\n" for i in range(60000))  # 5 MB
    one = filler + f"X-Long: {'z' * 700000}\r\n {'y' * 700000}\r\nX-Behind: findme\r\nTo: late@end.example\r\nSubject: late subject\r\n\r\nbody text\r\n"
    assert len(one) > 5 << 20
    uid = c.append("INBOX", one.encode())
    c.command("SELECT INBOX")
    for keys in ('HEADER X-Behind findme', 'TEXT "X-Behind: findme"', 'TO late@end', 'SUBJECT "late subject"', 'BODY "body text"',
                 'TEXT "X-Filler-59999"', 'HEADER X-Long zzz'):
        assert search(c, keys) == [uid], keys
    for keys in ('HEADER X-Behind lost', 'TEXT "X-Beyond"', 'TO late@start', 'BODY findme'):
        assert search(c, keys) == [], keys
    c.wire.close()


@pytest.mark.parametrize("charset, texts", (("UTF-16BE", 2), ("SCSU", 3), ("UTF-8", 2)))
def test_texts_that_grow_when_they_are_converted(server, charset, texts):
    """U+FDFA is folded to 33 octets; two of UTF-16 are one, and one of SCSU. A search of more UTF-8 than a command has is refused."""
    c = server.imap(server.fresh_user("grow"))
    c.append("INBOX", b"Subject: short\r\n\r\nbody\r\n")
    c.command("SELECT INBOX")
    raw = {"UTF-16BE": "\ufdfa".encode("utf-16-be") * 250000, "SCSU": b"\x18\xa3" + b"\xfa" * 250000,
           "UTF-8": "\ufdfa".encode() * 150000}[charset]
    c.wire.send(f"s1 UID SEARCH CHARSET {charset}".encode() + (b" BODY {%d+}\r\n" % len(raw) + raw) * texts + b"\r\n")
    lines = [c.wire.line()]
    while not lines[-1].startswith(b"s1 "):
        lines.append(c.wire.line())
    assert lines[-1].startswith(b"s1 OK" if charset == "UTF-8" else b"s1 NO [LIMIT]"), lines
    assert search(c, 'BODY "body"') == [1]
    c.wire.close()


def cpu(server):
    """Seconds of CPU of the mail role."""
    total = 0
    for pid in server.pids("mail"):
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def test_page_of_a_sort_is_saved_in_the_time_of_the_sort(server):
    """Its UIDs are in no order: to put each into the set by itself took a minute of the thread for a million."""
    c = server.imap(server.fresh_user("saved"))
    c.append_all("INBOX", [b"Subject: s%d\r\n\r\nx\r\n" % (i * 37 % 64) for i in range(64)])
    c.command("SELECT INBOX")
    for _ in range(10):
        c.command("COPY 1:* INBOX")
    c.command("UID SORT RETURN (COUNT) (SUBJECT) UTF-8 ALL")
    took = []
    for options in ("PARTIAL 1:60000", "SAVE PARTIAL 1:60000"):
        begin = cpu(server)
        c.command(f"UID SORT RETURN ({options}) (SUBJECT) UTF-8 ALL")
        took.append(cpu(server) - begin)
    assert took[1] < 5 * took[0] + 0.5, took
    lines, _ = c.command("UID SEARCH RETURN (COUNT) $")
    assert b"COUNT 60000" in lines[0]
    c.wire.close()


LOGGED = re.compile(r"search: messages=(\d+), .*bodies=(\d+)")


@pytest.mark.parametrize("way", ("plain", "tls"))
def test_ends_with_its_client(server, way):
    user = server.fresh_user("gone")
    c = server.imap(user)
    text = b"".join(b"line %d of what is searched for long\r\n" % i for i in range(400000))
    c.append("INBOX", b"Subject: large\r\n\r\n" + text)
    c.command("SELECT INBOX")
    for _ in range(12):
        c.command("COPY 1:* INBOX")
    other = server.imap(user, way == "tls")
    other.command("SELECT INBOX")
    logged, worked = len(LOGGED.findall(server.stderr())), cpu(server)
    other.send('SEARCH BODY "this is nowhere in them"')
    wait_for(lambda: cpu(server) - worked > 0.3, "it does not work")
    other.wire.sock.close()
    wait_for(lambda: len(LOGGED.findall(server.stderr())) > logged, "it goes on")
    messages, bodies = map(int, LOGGED.findall(server.stderr())[logged])
    assert 0 < bodies < messages < 1 << 12  # it ended in its midst
    c.command("NOOP")
    c.wire.close()


def test_header_by_what_is_cached(server):
    """A field that is there once is looked for in what is cached of it; of odd and doubled ones the header is read."""
    c = server.imap(server.fresh_user("cached"))

    def append(*fields):
        return c.append("INBOX", "".join(f"{f}\r\n" for f in fields).encode() + b"\r\nbody\r\n")
    once = append("Message-ID: <once@ids.example>", "In-Reply-To: <before@ids.example>", "From: A <a@one.example>")
    twice = append("Message-ID: <once@ids.example>", "Message-Id: <second@ids.example>", "From: A <a@one.example>", "From: b@two.example")
    bare = append("Message-ID: <once@ids.example> (twisted)", "In-Reply-To: Your mail <before@ids.example>", "To: c@three.example")
    none = append("Subject: no ids")
    c.command("SELECT INBOX")

    def read():
        wait_for(lambda: server.stderr().count("search: messages=") > read.told, "the search is not in the log")
        found = LOGGED.findall(server.stderr())
        read.told = len(found)
        return int(found[-1][1])
    read.told = server.stderr().count("search: messages=")
    for keys, want, bodies in (('HEADER Message-ID "once@ids"', [once, twice, bare], 2), ('HEADER message-id "<SECOND@"', [twice], 2),
                               ('HEADER MESSAGE-ID "twisted"', [bare], 2), ('HEADER Message-ID ""', [once, twice, bare], 2),
                               ('NOT HEADER Message-ID ""', [none], 2), ('HEADER Message-ID "once@ids.example> "', [bare], 2),
                               ('HEADER In-Reply-To "your MAIL"', [bare], 1), ('HEADER In-Reply-To "<before@ids.example>"', [once, bare], 1),
                               ('HEADER References ""', [], 0), ('HEADER From "a@one"', [once, twice], 1), ('FROM ""', [once, twice], 1),
                               ('HEADER From "example>, b"', [], 1), ('FROM "example>, b"', [twice], 0), ('HEADER To "c@three"', [bare], 0),
                               ('HEADER Subject "no  ids"', [], 0), ('SUBJECT "no ids"', [none], 0), ('HEADER Date ""', [], 4)):
        assert search(c, keys) == want, keys
        assert read() == bodies, keys
    c.wire.close()
