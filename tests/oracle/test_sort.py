"""SORT against tests/oracle/sort.py: real mail, odd subjects and dates, random lists of keys."""
import pathlib
import random
import re
import time

import pytest

from lib import corpus, grammar, imapdata
from lib.long import LONG

from . import sort as oracle

HERE = pathlib.Path(__file__).resolve().parent

KEYS = ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO", "MODSEQ", "UID")
REAL, ODD, ASKED = (6000, 2000, 6000) if LONG else (400, 300, 300)
PIECES = ("Re:", "re[2]:", "RE :", "Fw:", "fwd [x]:", "(fwd)", "(FWD) ", "[list]", "[a b] ", "[", "]", "[fwd:", "[Fwd: ", " ", "\t", "a", "B", "é",
          "ß", "ｆ", "word", "Word two", "=?utf-8?q?Re=3A?=", "=?utf-8?q?_a?=", "=?iso-8859-1?q?=E9?=", "=?utf-8?b?W2xpc3Rd?=", "forward:", "re",
          "=?utf-8?q?[fwd=3A?=", ":", "ﬁ", "Ǆ", "Å", "z")
PEOPLE = ("a@x", "Anna <a@x>", '"Zed, B." <b@x>', "=?utf-8?q?=C3=89va?= <e@x>", "friends: a@x, b@x;", "undisclosed-recipients:;", "B@x", "(only a comment) c@x",
          "éva@x", '"" <d@x>', "=?utf-8?q?anna?= <q@x>", "")
NOW = 1700000000


def date_text(rng, seconds):
    zone = rng.choice((0, 0, 60, -480, 345))
    shown = time.strftime("%d %b %Y %H:%M:%S", time.gmtime(seconds + zone * 60))
    return f"{shown} {'-' if zone < 0 else '+'}{abs(zone) // 60:02}{abs(zone) % 60:02}"


def odd(rng):
    lines = [f"Subject: {''.join(rng.choice(PIECES) for _ in range(rng.randrange(7)))}"]
    if rng.random() < 0.8:
        lines.append(f"Date: {date_text(rng, NOW + rng.randrange(20) * 1800)}")
    for field in ("From", "To", "Cc"):
        if rng.random() < 0.8:
            lines.append(f"{field}: {', '.join(rng.choice(PEOPLE) for _ in range(rng.choice((1, 1, 2))))}")
    rng.shuffle(lines)
    return ("\r\n".join(lines) + f"\r\n\r\n{'x' * rng.randrange(4)}\r\n").encode()


def real():
    found = [path.read_bytes() for path in sorted((HERE.parent / "mail").glob("*.eml"))]
    return [data for data in found + [data for _, data in corpus.messages()[:REAL]] if b"\0" not in data]


def append_all(connection, rng, mails):
    """What has 8-bit octets elsewhere than in texts of its header is refused."""
    connection.command("ENABLE UTF8=ACCEPT")
    refused = 0
    for data in mails:
        shown = date_text(rng, NOW + rng.randrange(30) * 1200).replace(" ", "-", 2)
        connection.wire.send(f't APPEND INBOX "{shown}" {{{len(data)}+}}\r\n'.encode() + data + b"\r\n")
        while not (line := connection.wire.line()).startswith(b"t "):
            pass
        assert line.startswith((b"t OK", b"t NO [CANNOT]")), line
        refused += line.startswith(b"t NO")
    assert refused < len(mails) / 20


def seconds(internal_date):
    return oracle.sent_date(internal_date.strip().replace(b"-", b" ", 2))[0]


def subjects(header):
    unfolded = re.sub(rb"\r?\n(?=[ \t])", b"", header)
    return [line.partition(b":")[2].strip(b" \t\r") for line in unfolded.split(b"\n") if line.lower().startswith(b"subject")]


def messages_of(connection):
    found = connection.fetch("1:*", "(UID RFC822.SIZE MODSEQ INTERNALDATE ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    made = []
    for number, v in sorted(found.items()):
        header = next(text for item, text in v.items() if item.startswith("BODY["))
        made.append(oracle.Message(number, int(v["UID"]), int(v["RFC822.SIZE"]), int(v["MODSEQ"][0]), seconds(v["INTERNALDATE"]),
                                   v["ENVELOPE"], subjects(header)))
    return made


@pytest.fixture(scope="module", name="mail")
def appended(shared_server):
    rng = random.Random(5256)
    user = shared_server.fresh_user("sorted")
    connection = shared_server.imap(user)
    append_all(connection, rng, [odd(rng) for _ in range(ODD)] + real())
    connection.close()
    connection = shared_server.imap(user)
    connection.select("INBOX")
    some = ",".join(str(rng.randrange(ODD) + 1) for _ in range(ODD // 3))
    connection.command(f"STORE {some} +FLAGS.SILENT (\\Flagged)")
    yield connection, messages_of(connection)
    connection.close()


def asked(rng):
    keys = rng.sample(KEYS, rng.choice((1, 1, 2, 2, 3, 4)))
    return [(k, rng.random() < 0.4) for k in keys]


def spelled(criteria):
    return " ".join("REVERSE " * reverse + key for key, reverse in criteria)


def answer(connection, command):
    lines, _ = connection.command(command)
    line = next(one for one in lines if one.startswith((b"* SORT", b"* ESEARCH")))
    grammar.check(line)
    return line


def check(connection, messages, criteria, rng):
    sure = [m for m in messages if all(m.sure.get(key, True) for key, _ in criteria)]
    if rng.random() < 0.5:
        sure = rng.sample(sure, rng.randrange(len(sure)) + 1)
    numbers = ",".join(f"{a}:{b}" for a, b in runs(sorted(m.number for m in sure)))
    want = oracle.order(criteria, sure)
    if rng.random() < 0.5:
        line = answer(connection, f"SORT ({spelled(criteria)}) UTF-8 {numbers}")
        found = [int(word) for word in line.split()[2:]]
        assert found == [m.number for m in want], difference(criteria, found, want, lambda m: m.number)
    else:
        line = answer(connection, f"UID SORT RETURN (ALL COUNT) ({spelled(criteria)}) UTF-8 {numbers}")
        found = imapdata.numbers(re.search(rb" ALL (\S+)", line)[1])
        assert found == [m.uid for m in want], difference(criteria, found, want, lambda m: m.uid)
    return len(sure)


def runs(numbers):
    first = last = numbers[0]
    for n in numbers[1:]:
        if n != last + 1:
            yield first, last
            first = n
        last = n
    yield first, last


def difference(criteria, found, want, number):
    """The first place that differs, and what stands there."""
    if sorted(found) != sorted(map(number, want)):
        return f"{criteria}: not the same messages"
    at = next(i for i, (a, b) in enumerate(zip(found, want)) if a != number(b))
    there = next(m for m in want if number(m) == found[at])
    shown = [{k: m.values[k] for k, _ in criteria} for m in (there, want[at])]
    return f"{criteria}: place {at}: {found[at]} {shown[0]} instead of {number(want[at])} {shown[1]}"


def test_most_of_it_is_sure(mail):
    _, messages = mail
    for key in ("SUBJECT", "DATE", "FROM", "TO", "CC", "DISPLAYFROM", "DISPLAYTO"):
        doubt = [m for m in messages if not m.sure[key]]
        assert len(doubt) < len(messages) * 0.15, f"{key}: {len(doubt)} of {len(messages)}"


def test_random_keys(mail):
    connection, messages = mail
    rng = random.Random(5957)
    for key in KEYS:
        check(connection, messages, [(key, False)], rng)
    for _ in range(ASKED):
        check(connection, messages, asked(rng), rng)


def test_after_expunge_and_restart(server):
    rng = random.Random(5267)
    connection = server.imap("alice")
    append_all(connection, rng, [odd(rng) for _ in range(120)])
    other = server.imap("alice")
    connection.select("INBOX")
    for _ in range(4):
        append_all(other, rng, [odd(rng) for _ in range(15)])  # what is kept lacks these
        gone = ",".join(str(n) for n in rng.sample(range(1, 60), 15))
        connection.command(f"STORE {gone} +FLAGS.SILENT (\\Deleted)")
        connection.command("EXPUNGE")
        connection.command("COPY 5:15 INBOX")  # one body, several places
        connection.command("NOOP")
        messages = messages_of(connection)
        for _ in range(20):
            check(connection, messages, asked(rng), rng)
    connection.close()
    other.close()
    server.restart()
    connection = server.imap("alice")
    connection.select("INBOX")
    messages = messages_of(connection)
    for _ in range(20):
        check(connection, messages, asked(rng), rng)
    connection.close()


def test_fields_longer_than_the_summary(server):
    """LIMIT_mime_summary is 8,192 octets; a sort reads on."""
    connection = server.imap("alice")
    long = "x" * 120 + " "
    subjects = [long * 100 + "b", "Re: " * 3000 + "b", long * 100 + "a", "Re: " * 3000 + "a", "Fwd: " * 2000, long * 100 + "a (fwd)" * 500]
    for subject in subjects:
        folded = subject.replace(" ", "\r\n ")
        connection.append("INBOX", f"Subject: {folded}\r\nFrom: {'y' * 9000}{subject[-1]}@x\r\n\r\ntext\r\n".encode())
    connection.select("INBOX")
    assert answer(connection, "SORT (SUBJECT) UTF-8 ALL").split()[2:] == [b"5", b"4", b"2", b"3", b"6", b"1"]
    assert answer(connection, "SORT (FROM REVERSE UID) UTF-8 1:4").split()[2:] == [b"4", b"3", b"2", b"1"]
    connection.close()
