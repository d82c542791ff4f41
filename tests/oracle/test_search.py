"""SEARCH of the server and of the oracle agree: random queries over real and ugly mail, whatever has happened to the mailbox
and its index. POSTHORN_SEED picks the queries, POSTHORN_LONG has eight times as many over all of the corpus (half an hour)."""
import datetime
import os
import pathlib
import random
import re

import pytest

from lib import client, corpus, long, server as posthorn
from lib.imapdata import numbers
from lib.searchindex import asked, wait_indexed

from . import queries, search

MAIL = pathlib.Path(__file__).resolve().parents[1] / "mail"
SEED = int(os.environ.get("POSTHORN_SEED", "5"))
MESSAGES, QUERIES = (100000, 2000) if long.LONG else (600, 250)
KEYWORDS = ["$Work", "later", "$Forwarded"]
FLAGS = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", *KEYWORDS]
DAYS = 900
MAYBE = 0.12  # of all answers, the oracle may leave so many open


def own_mail():
    """The ugly collection, and mail whose text lies where it is easily missed."""
    ugly = [path.read_bytes() for path in sorted(MAIL.glob("*.eml"))]
    return [data for data in ugly if data and b"\0" not in data]


class Mailbox:
    """What is in it, as the server and as the oracle have it."""

    def __init__(self, server, user, name):
        self.session = client.Imap(server.address("imap"), user, server.password)
        self.name, self.messages = name, []
        self.answers = self.open_answers = self.hits = 0

    def fill(self, many, chance):
        for data in many:
            flags = chance.sample(FLAGS, chance.choice((0, 0, 1, 2, 3)))
            zone = datetime.timezone(datetime.timedelta(minutes=chance.choice((0, 60, -480, 330))))
            date = datetime.datetime(2002, 1, 1, tzinfo=zone) + datetime.timedelta(seconds=chance.randrange(DAYS * 86400))
            stamp = f"{date.day:2}-{queries.MONTHS[date.month - 1]}-{date:%Y %H:%M:%S %z}"
            tag = self.session.send(f'APPEND {self.name} ({" ".join(flags)}) "{stamp}"', data)
            _, tagged = self.session.answer(tag)
            uid = int(re.search(rb"APPENDUID \d+ (\d+)", tagged)[1])
            self.messages.append(search.Message(data, uid, flags, date))

    def search(self, program):
        self.session.count += 1
        tag = f"q{self.session.count}"
        self.session.wire.send(tag.encode() + b" UID SEARCH RETURN () " + program + b"\r\n")
        lines, _ = self.session.answer(tag)
        sets = b"".join(re.findall(rb"^\* ESEARCH .* ALL ([\d:,]+)", b"\r\n".join(lines), re.M))
        return set(numbers(sets)) if sets else set()

    def number(self):
        for seq, message in enumerate(self.messages, 1):
            message.seq = seq

    def agree(self, count, seed):
        """Random queries; what differs, as text."""
        self.number()
        asked, differences = queries.Queries(self.messages, KEYWORDS, seed), []
        for _ in range(count):
            query, program = asked.query()
            got = self.search(program)
            for message in self.messages:
                expected = search.matches(query, message)
                self.answers += 1
                self.open_answers += expected is None
                self.hits += expected is True
                if expected is not None and expected != (message.uid in got):
                    differences.append(f"UID {message.uid}: {program!r}\n   oracle {expected}, server {message.uid in got}")
        assert not differences, f"seed {seed}: {len(differences)} differ\n" + "\n".join(differences[:20])

    def enough(self):
        """Of all queries together: a few dozen may well be odd ones."""
        tally = (self.hits, self.open_answers, self.answers)
        assert self.hits > self.answers * 0.02 and self.open_answers < self.answers * MAYBE, tally


@pytest.fixture(scope="module")
def mail():
    many = [data for _, data in corpus.messages() if b"\0" not in data]
    chance = random.Random(SEED)
    chosen = own_mail() + chance.sample(many, min(MESSAGES, len(many)))
    return chance.sample(chosen, len(chosen))


def opened(server, box, user):
    box.session = client.Imap(server.address("imap"), user, server.password)
    box.session.select(box.name)


@pytest.mark.parametrize("indexed", ("true",) if long.LONG else ("true", "asked"))
def test_agree(mail, indexed):
    """Without an index, with one of half the messages, with a whole one; after messages are gone, and others moved away and came
    back; after a restart; when the index is made anew."""
    server = posthorn.Server({"test_index_after": 100, "search_index": indexed, "log_level": "debug"})
    try:
        user, chance = server.fresh_user("oracle"), random.Random(SEED)
        box = Mailbox(server, user, "INBOX")
        half = len(mail) // 2
        box.fill(mail[:99], chance)
        box.session.select("INBOX")
        box.agree(QUERIES // 5, SEED)
        assert not asked(server)
        box.fill(mail[99:half], chance)
        wait_indexed(server, user, 99)
        box.fill(mail[half:], chance)
        box.session.command("NOOP")
        box.agree(QUERIES // 3, SEED + 1)
        wait_indexed(server, user, half)
        box.agree(QUERIES, SEED + 2)
        box.session.command("CREATE Other")
        gone = {m.uid for m in chance.sample(box.messages, len(box.messages) // 5)}
        for verb in ("STORE {} +FLAGS.SILENT (\\Deleted)", "EXPUNGE {}"):
            box.session.command("UID " + verb.format(",".join(map(str, sorted(gone)))))
        box.messages = [m for m in box.messages if m.uid not in gone]
        moved = box.messages[::7]
        _, tagged = box.session.command(f"UID COPY {','.join(str(m.uid) for m in moved)} INBOX")
        copies = numbers(re.search(rb"COPYUID \d+ \S+ (\S+)\]", tagged)[1])
        box.messages += [search.Message(m.data, uid, m.flags, m.date) for m, uid in zip(moved, copies)]
        box.session.command("NOOP")
        box.agree(QUERIES // 4, SEED + 3)
        box.session.close()
        server.restart()
        opened(server, box, user)
        box.agree(QUERIES // 8, SEED + 4)
        box.session.close()
        server.process.terminate()
        assert server.process.wait(30) == 0
        posthorn.run_verb("rebuild", "-c", server.config)
        server.start()
        opened(server, box, user)
        box.agree(QUERIES // 8, SEED + 5)
        wait_indexed(server, user, half)
        box.agree(QUERIES // 8, SEED + 6)
        box.enough()
        box.session.close()
        found = asked(server)
        # a needle of words and their gaps may be looked for in vain, but not often
        assert len(found) > QUERIES // 2 and sum(c for c, _ in found) < 2 * sum(m for _, m in found), found
    finally:
        server.stop()
