"""THREAD against tests/oracle/thread.py: forests of every odd form, and real mail."""
import email.utils
import pathlib
import random
import re
import sys
import time

import pytest

from lib import corpus, grammar
from lib.long import LONG

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import thread as oracle  # noqa: E402

ALGORITHMS = ("ORDEREDSUBJECT", "REFERENCES", "REFS")
FORESTS = 8000 if LONG else 400
SUBJECTS = ("", "S", "Re: S", "re[2]: s", "T", "Fwd: T", "[list] S (fwd)", "[Fwd: Re: T]", "Re:", "[blob]", "fw : [a][b]  t")
START = 1700000000


def date(seconds, zone=0):
    shown = time.strftime("%d %b %Y %H:%M:%S", time.gmtime(seconds + zone * 60))
    return f"{shown} {'-' if zone < 0 else '+'}{abs(zone) // 60:02}{abs(zone) % 60:02}"


def spelled(rng, one):
    """One id in one of its spellings."""
    left, right = one.split("@")
    return "<" + rng.choice((one, f'"{left}"@{right}', f"{left} @ {right}", f"(c) {one}", f'"{left[0]}\\{left[1:]}"@{right}')) + ">"


def header(rng, forest, sent):
    """A header that refers to anything: itself, what is not there, what was there, what is no id."""
    pool = [f"i{k}.{forest}@x" for k in range(rng.choice((3, 6, 12)))]
    lines = [f"Subject: {rng.choice(SUBJECTS)}"]
    if rng.random() < 0.9:
        lines.append(f"Message-ID: {spelled(rng, rng.choice(pool))}")
    if rng.random() < 0.7:
        refs = [spelled(rng, rng.choice(pool)) for _ in range(rng.choice((0, 1, 1, 2, 3, 5)))]
        if rng.random() < 0.2:
            refs.insert(rng.randrange(len(refs) + 1), rng.choice(("<no id>", "(<c@x>)", "words", "<a<b", "<@>")))
        lines.append("References: " + rng.choice((" ", "\r\n\t", "")).join(refs))
    if rng.random() < 0.4:
        lines.append(f"In-Reply-To: {rng.choice(('', 'Your mail of <Monday> '))}{spelled(rng, rng.choice(pool))}, <later@x>")
    if sent is not None:
        lines.append(f"Date: {date(sent, rng.choice((0, 0, -480, 330)))}")
    return "\r\n".join(lines) + "\r\n"


def forest_of(rng, forest):
    """(header, arrived, sent) of each message."""
    made = []
    for _ in range(rng.choice((1, 2, 3, 5, 8, 12))):
        sent = START + rng.randrange(10) * 3600 if rng.random() < 0.9 else None
        made.append((header(rng, forest, sent), START + rng.randrange(12) * 1800, sent))
    return made


def append_all(connection, mails, batch=200):
    for first in range(0, len(mails), batch):
        parts = b""
        for head, arrived, _ in mails[first:first + batch]:
            data = head.encode() + b"\r\nx\r\n"
            shown = f'"{date(arrived)}"'.replace(" ", "-", 2)
            parts += b" %s {%d+}\r\n%s" % (shown.encode(), len(data), data)
        connection.command(f"APPEND INBOX{parts.decode()}")


def answer(connection, command):
    wire = connection.wire
    wire.send(f"t {command}\r\n".encode())
    found = None
    while not (line := wire.line()).startswith(b"t "):
        if line.startswith(b"* THREAD"):
            grammar.check(line)
            found = line[len(b"* THREAD"):].strip().decode()
    assert line.startswith(b"t OK"), line
    return found


@pytest.fixture(scope="module", name="forests")
def appended(shared_server):
    rng = random.Random(5256)
    forests = [forest_of(rng, i) for i in range(FORESTS)]
    connection = shared_server.imap(shared_server.fresh_user("forests"))
    append_all(connection, [mail for forest in forests for mail in forest])
    connection.select("INBOX")
    yield connection, forests
    connection.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_forests(forests, algorithm):
    connection, mails = forests
    first = 1
    for forest in mails:
        messages = [oracle.Message(first + i, *mail) for i, mail in enumerate(forest)]
        got = answer(connection, f"UID THREAD {algorithm} UTF-8 UID {first}:{first + len(forest) - 1}")
        assert got == oracle.thread(algorithm, messages), forest
        first += len(forest)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_parts_of_forests(forests, algorithm):
    """What is not searched is not there: its ids are those of dummies."""
    connection, mails = forests
    rng = random.Random(6)
    everything = [mail for forest in mails for mail in forest]
    for _ in range(600 if LONG else 60):
        first = rng.randrange(len(everything))
        chosen = [i for i in range(first, min(first + 40, len(everything))) if rng.random() < 0.6] or [first]
        messages = [oracle.Message(i + 1, *everything[i]) for i in chosen]
        got = answer(connection, f"THREAD {algorithm} US-ASCII {','.join(str(i + 1) for i in chosen)}")
        assert got == oracle.thread(algorithm, messages)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_forests(forests, algorithm):
    connection, mails = forests
    messages = [oracle.Message(i + 1, *mail) for i, mail in enumerate(mail for forest in mails for mail in forest)]
    assert answer(connection, f"THREAD {algorithm} UTF-8 ALL") == oracle.thread(algorithm, messages)


def check_parts(connection, mails, rng):
    for algorithm in ALGORITHMS:
        for share in (1.0, 0.8, 0.2):
            chosen = [i for i in range(len(mails)) if rng.random() < share]
            messages = [oracle.Message(i + 1, *mails[i]) for i in chosen]
            got = answer(connection, f"THREAD {algorithm} UTF-8 {','.join(str(i + 1) for i in chosen)}")
            assert got == oracle.thread(algorithm, messages)


def test_growth_expunge_and_restart(server):
    """What is kept of ids and subjects lacks what came since, and has what went."""
    rng = random.Random(8)
    connection, other = server.imap("alice"), server.imap("alice")
    connection.select("INBOX")
    everything = []
    for forest in range(4):
        fresh = [mail for k in range(8) for mail in forest_of(rng, 10 * forest + k)] + forest_of(rng, 0)
        append_all(other, fresh)
        everything += fresh
        connection.command("NOOP")
        gone = sorted(rng.sample(range(len(everything)), 5), reverse=True)
        for i in gone:
            del everything[i]
        connection.command(f"STORE {','.join(str(i + 1) for i in gone)} +FLAGS.SILENT (\\Deleted)")
        answer(connection, "THREAD REFERENCES UTF-8 ALL")  # they are kept
        connection.command("EXPUNGE")
        check_parts(connection, everything, rng)
    connection.close()
    other.close()
    server.restart()
    connection = server.imap("alice")
    connection.select("INBOX")
    check_parts(connection, everything, rng)
    connection.close()


# ---- real mail ----

# of 1900 or later (RFC 5322 section 3.3): 0102 is to the server what 102 is, 2002 (section 4.3), to the oracle an age ago
DATE = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} (?:19|[2-9]\d)\d\d \d\d:\d\d:\d\d [-+]\d{4}(?: \([A-Z]+\))?")


def plain(data):
    """The header of mail that is read in one way only: ASCII, each field once, a date that follows RFC 5322."""
    end = re.search(rb"\r\n\r\n", data)
    head = data[:end.end() if end else len(data)]
    if not head.isascii() or b"=?" in head or b"\0" in head or re.search(rb"(?<!\r)\n|\r(?!\n)", head):
        return None
    head = head.decode()
    for name in ("date", "subject", "message-id", "references", "in-reply-to"):
        if len(re.findall(rf"^{name}[ \t]*:", head, re.I | re.M)) > 1:
            return None
    fields = oracle.unfold(head)
    if fields.get("message-id") and not oracle.valid_ids(fields["message-id"]):
        return None  # the server takes an id without brackets
    return head if DATE.fullmatch(fields.get("date", "")) else None


def test_real_mail(shared_server):
    found = [head for _, data in corpus.messages() if (head := plain(data))]
    found = found[:len(found) if LONG else 1200]
    assert len(found) >= 1200
    mails = [(head[:-2], START + i // 3, email.utils.mktime_tz(email.utils.parsedate_tz(oracle.unfold(head)["date"])))
             for i, head in enumerate(found)]
    connection = shared_server.imap(shared_server.fresh_user("real"))
    append_all(connection, mails)
    connection.select("INBOX")
    for algorithm in ALGORITHMS:
        messages = [oracle.Message(i + 1, *mail) for i, mail in enumerate(mails)]
        assert answer(connection, f"THREAD {algorithm} UTF-8 ALL") == oracle.thread(algorithm, messages)
    connection.close()
