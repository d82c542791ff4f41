"""SEARCH of the server and of the oracle agree: random queries over real and ugly mail, whatever has happened to the mailbox
and its index. POSTHORN_SEED picks the queries, POSTHORN_LONG has ten times as many over all of the corpus."""
import datetime
import os
import pathlib
import random
import re

import pytest

from lib import client, corpus, long

from . import queries, search

MAIL = pathlib.Path(__file__).resolve().parents[1] / "mail"
SEED = int(os.environ.get("POSTHORN_SEED", "5"))
MESSAGES, QUERIES = (100000, 5000) if long.LONG else (600, 500)
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
        found = set()
        for first, last in re.findall(rb"(\d+)(?::(\d+))?", sets):
            found.update(range(int(first), int(last or first) + 1))
        return found

    def number(self):
        for seq, message in enumerate(self.messages, 1):
            message.seq = seq

    def agree(self, count, seed):
        """Random queries; what differs, as text."""
        self.number()
        asked, differences, answers, open_answers = queries.Queries(self.messages, KEYWORDS, seed), [], 0, 0
        hits = 0
        for _ in range(count):
            query, program = asked.query()
            got = self.search(program)
            for message in self.messages:
                expected = search.matches(query, message)
                answers += 1
                open_answers += expected is None
                hits += expected is True
                if expected is not None and expected != (message.uid in got):
                    differences.append(f"UID {message.uid}: {program!r}\n   oracle {expected}, server {message.uid in got}")
        assert not differences, f"seed {seed}: {len(differences)} differ\n" + "\n".join(differences[:20])
        assert hits > answers * 0.02 and open_answers < answers * MAYBE, (hits, open_answers, answers)


@pytest.fixture(scope="module")
def mail():
    many = [data for _, data in corpus.messages() if b"\0" not in data]
    chance = random.Random(SEED)
    return own_mail() + chance.sample(many, min(MESSAGES, len(many)))


@pytest.fixture
def mailbox(server, mail):
    box = Mailbox(server, server.fresh_user("oracle"), "INBOX")
    box.fill(mail, random.Random(SEED))
    box.session.select("INBOX")
    yield box
    box.session.close()


def test_agree(server, mailbox):
    """As it came; after messages are gone and others have moved away and come back; after a restart."""
    mailbox.agree(QUERIES, SEED)
    chance = random.Random(SEED + 1)
    gone = {m.uid for m in chance.sample(mailbox.messages, len(mailbox.messages) // 5)}
    mailbox.session.command(f"UID STORE {','.join(map(str, sorted(gone)))} +FLAGS.SILENT (\\Deleted)")
    mailbox.session.command(f"UID EXPUNGE {','.join(map(str, sorted(gone)))}")
    mailbox.messages = [m for m in mailbox.messages if m.uid not in gone]
    mailbox.agree(QUERIES // 4, SEED + 2)
    mailbox.fill(own_mail()[:20], chance)
    mailbox.session.command("NOOP")
    mailbox.agree(QUERIES // 4, SEED + 3)
