"""FUZZY and RELEVANCY (RFC 6203) by the rules of docs/search.md, written again in Python, on random mail and random keys."""
import random
import re
import unicodedata

import pytest

from lib import client, grammar, long, server as posthorn

WORDS = ["alpha", "alphabet", "Straße", "strasse", "Ærø", "aero", "łódź", "lodz", "naïve", "naive", "beta-max", "beta", "über", "uber!", "x", "日本語",
         "日本", "é", "e", "don't", "(don)", "Ωmega", "ωmega", "42", "4200"]
LIKE = {"ß": "ss", "ẞ": "ss", "æ": "ae", "Æ": "ae", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "ı": "i", "’": "'"}
FIELDS = ("subject", "from", "to", "cc", "bcc")
RUN = re.compile(r"[0-9a-z\u0080-\U0010ffff]+")


def fold(text):
    text = "".join(LIKE.get(c, c) for c in text)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c for c in unicodedata.normalize("NFKD", text.upper().lower()) if not unicodedata.combining(c))


def quoted(text):
    data = text.encode()
    return "{%d+}\r\n%s" % (len(data), text)


class Mail:
    def __init__(self, rng):
        words = lambda most: " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, most)))  # noqa: E731
        self.text = {"subject": words(4), "from": f"{words(2)} <a@example.org>", "to": f"{words(2)} <b@example.org>", "body": words(9)}

    def octets(self):
        word = lambda text: f"=?utf-8?q?{''.join('=%02X' % o for o in text.encode())}?="  # noqa: E731
        named = lambda text: f"{word(text.split(' <')[0])} <{text.split(' <')[1]}"  # noqa: E731
        return (f"Subject: {word(self.text['subject'])}\r\nFrom: {named(self.text['from'])}\r\nTo: {named(self.text['to'])}\r\n"
                f"Content-Type: text/plain; charset=utf-8\r\n\r\n{self.text['body']}\r\n").encode()

    def all(self):
        return "\n".join([f"{name}: {text}" for name, text in self.text.items() if name != "body"]
                         + ["content-type: text/plain; charset=utf-8", self.text["body"]])


class Key:
    def __init__(self, rng):
        self.name = rng.choice(["SUBJECT", "FROM", "TO", "BODY", "TEXT"])
        self.text = " ".join(rng.choice(WORDS)[:rng.choice([1, 2, 9])] for _ in range(rng.randrange(1, 4)))
        self.words = RUN.findall(fold(self.text))

    def zone(self, mail):
        return fold(mail.all() if self.name == "TEXT" else mail.text[self.name.lower()])

    def matches(self, mail):
        zone = self.zone(mail)
        return all(word in zone for word in self.words) if self.words else fold(self.text) in zone

    def score(self, mail):
        scores = [self.worth(word, mail) for word in self.words or [fold(self.text)]]
        mean = sum(scores) // len(scores)
        in_order = any(fold(self.text) in fold(mail.text.get(field, "")) for field in FIELDS)
        return mean if len(self.words) < 2 or in_order else mean * 90 // 100

    def worth(self, word, mail):
        own = self.name.lower() if self.name in ("SUBJECT", "FROM", "TO") else None
        tables = {own: (60, 80, 100)} if own else {"subject": (60, 80, 100), "from": (45, 60, 75), "to": (30, 40, 50)}
        best = 20
        for field, table in tables.items():
            text = fold(mail.text[field])
            for found in re.finditer(f"(?={re.escape(word)})", text):
                begins = not RUN.match(text[found.start() - 1:found.start()])
                ends = not RUN.match(text[found.start() + len(word):])
                best = max(best, table[2 if begins and ends else 1 if begins else 0])
        return best


@pytest.fixture(scope="module")
def server():
    own = posthorn.Server()
    yield own
    own.stop()


def answer(session, text):
    """(UIDs, scores)"""
    lines, _ = session.command(text)
    line = next(line for line in lines if line.startswith(b"* ESEARCH"))
    grammar.check(line)
    found, scores = re.search(rb" ALL (\S+)", line), re.search(rb"RELEVANCY \(([^)]*)\)", line)
    uids = []
    for part in found[1].decode().split(",") if found else []:
        first, _, last = part.partition(":")
        uids += range(int(first), int(last or first) + 1)
    return uids, [int(n) for n in scores[1].split()] if scores else []


def test_by_the_rules(server):
    rng = random.Random(6203)
    session = client.Imap(server.address("imap"), server.fresh_user("fuzzy"), server.password)
    mails = {session.append("INBOX", mail.octets()): mail for mail in (Mail(rng) for _ in range(40))}
    session.command("SELECT INBOX")
    hits = different = 0
    for _ in range(3000 if long.LONG else 200):
        key = Key(rng)
        want = [uid for uid, mail in mails.items() if key.matches(mail)]
        uids, scores = answer(session, f"UID SEARCH RETURN (ALL RELEVANCY) CHARSET UTF-8 FUZZY {key.name} {quoted(key.text)}")
        assert uids == want, f"{key.name} {key.text!r}"
        assert scores == [key.score(mails[uid]) for uid in uids], f"{key.name} {key.text!r}"
        exact, _ = answer(session, f"UID SEARCH RETURN (ALL) CHARSET UTF-8 {key.name} {quoted(key.text)}")
        assert set(exact) <= set(uids), f"{key.name} {key.text!r}"
        hits += len(uids)
        different += len(uids) > len(exact)
    assert hits > 200 and different > 50


def test_too_many_words(server):
    session = client.Imap(server.address("imap"), server.fresh_user("words"), server.password)
    session.append("INBOX", b"Subject: a\r\n\r\n" + b"a b " * 2000 + b"\r\n")
    session.command("SELECT INBOX")
    words = "a b " * 900
    assert answer(session, f"SEARCH RETURN (ALL) FUZZY TEXT {quoted(words)}") == ([1], [])
    with pytest.raises(client.Refused, match="LIMIT"):
        session.command(f"SEARCH FUZZY TEXT {quoted(words * 2)}")
    with pytest.raises(client.Refused, match="LIMIT"):
        session.command(f"SEARCH FUZZY (TEXT {quoted(words)} BODY {quoted(words)})")
    with pytest.raises(client.Refused, match="LIMIT"):
        session.command("SEARCH " + "FUZZY " * 200 + "ALL")
