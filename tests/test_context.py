"""Contexts (RFC 5267): a client that keeps results by ADDTO and REMOVEFROM has, after every change, what a fresh search finds."""
import random
import re

import pytest

from lib import server as posthorn
from lib.context import ESEARCH, Keeper
from lib.imapdata import numbers
from lib.long import LONG

ALL = re.compile(rb" ALL (\S+)")
FLAGS = ["\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "$Junk", "work"]
PROGRAMS = [
    "UNSEEN", "ALL", "DELETED", "KEYWORD $Junk", "UNKEYWORD work FLAGGED", "OR FLAGGED (SEEN NOT ANSWERED)",
    "SUBJECT apple", "BODY pear UNSEEN", "UID 10:*", "UID *", "LARGER 200", "RECENT", "NEW", "MODSEQ 40", "NOT UID 5:9,20:*",
    "OR TEXT plum FROM carol", "1:5", "*", "NOT 3:7 UNSEEN", "SINCE 1-Jan-2020", "OLDER 2", "YOUNGER 3", "OR OLDER 4 FLAGGED",
]
NUMBERS = re.compile(r"(^|NOT |UTF-8 )[\d*]")
SORTS = [f"SORT ({criteria})" for criteria in (
    "ARRIVAL", "REVERSE ARRIVAL", "SUBJECT", "REVERSE SUBJECT SIZE", "MODSEQ", "REVERSE MODSEQ", "FROM REVERSE MODSEQ", "SIZE",
    "REVERSE UID", "DATE", "DISPLAYFROM SUBJECT ARRIVAL")]


def message(rng):
    subject, body = rng.choice(["apple", "pear", "plum"]), rng.choice(["apple", "pear", "plum"]) * rng.randint(1, 60)
    sender = rng.choice(["bob", "carol"])
    return f"From: {sender}@example.org\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


class Follower:
    """A session that follows searches and can check them."""

    def __init__(self, server, user, enable, select="SELECT", uid=None, notify=None):
        self.imap = server.imap(user)
        self.keeper = Keeper()
        self.programs = {}
        self.uid = uid
        if enable:
            self.imap.command(f"ENABLE {enable}")
        self.run(f"{select} INBOX")
        if notify:
            self.run(f"NOTIFY SET ({notify})")

    def run(self, text, data=None):
        lines, tagged = self.imap.command(text, data)
        self.keeper.lines(lines)
        return lines, tagged

    def found(self, lines, tag):
        for line in lines:
            told = ESEARCH.match(line)
            if told and told[1] == tag:
                every = ALL.search(told[3])
                return numbers(every[1]) if every else []
        raise AssertionError(f"no ESEARCH for {tag}: {lines}")

    def follow(self, verb, program, uid, ordered=False):
        tag = self.imap.send(f"{'UID ' if uid else ''}{verb} RETURN (UPDATE ALL) {program}")
        lines, _ = self.imap.answer(tag)
        mine = [n for n, line in enumerate(lines) if ALL.search(line) or line.startswith(b'* ESEARCH (TAG "%s")' % tag.encode())]
        self.keeper.lines(lines[:mine[0]])
        self.keeper.follow(tag.encode(), uid, self.found(lines[mine[0]:], tag.encode()), ordered)
        self.programs[tag] = (verb, program, uid)
        self.keeper.lines(lines[mine[0] + 1:])
        assert tag.encode() not in self.keeper.refused
        return tag

    def cancel(self, tag):
        del self.programs[tag], self.keeper.results[tag.encode()]
        self.run(f'CANCELUPDATE "{tag}"')

    def check(self):
        """Numbers in a program are those of when it was followed: such ones are checked by their ADDTO alone."""
        self.run("NOOP")
        for tag, (verb, program, uid) in self.programs.items():
            if NUMBERS.search(program):
                continue
            for _ in range(20):
                fresh_tag = self.imap.send(f"{'UID ' if uid else ''}{verb} RETURN (ALL) {program}")
                lines, _ = self.imap.answer(fresh_tag)
                fresh = self.found(lines, fresh_tag.encode())
                self.keeper.lines(lines)
                if self.keeper.results[tag.encode()].known == fresh:
                    break
                assert "OLDER" in program or "YOUNGER" in program, \
                    (tag, verb, program, self.keeper.results[tag.encode()].known, fresh)
                self.run("NOOP")  # a second has ended between the two
            else:
                raise AssertionError((tag, program, self.keeper.results[tag.encode()].known, fresh))


class Story:
    """Random changes by several sessions, the followers' own among them."""

    def __init__(self, server, seed, followers, verbs):
        self.rng = random.Random(seed)
        self.server, self.user = server, server.fresh_user("alice")
        self.writer = server.imap(self.user)
        self.writer.append_all("INBOX", [message(self.rng) for _ in range(25)])
        self.writer.command("CREATE Box")
        self.writer.command("SELECT INBOX")
        self.followers = [Follower(server, self.user, *f) for f in followers]
        self.verbs = verbs

    def anybody(self):
        follower = self.rng.choice([None, *self.followers])
        return self.writer.command if follower is None else follower.run

    def some(self):
        first = self.rng.randint(1, 60)
        return f"{first}:{first + self.rng.randint(0, 4)}"

    def change(self):
        run, rng = self.anybody(), self.rng
        kind = rng.random()
        if kind < 0.5:
            flags = " ".join(rng.sample(FLAGS, rng.randint(1, 2)))
            run(f"UID STORE {self.some()} {rng.choice(['+', '-', ''])}FLAGS{rng.choice(['', '.SILENT'])} ({flags})")
        elif kind < 0.75:
            run("APPEND INBOX (%s)" % " ".join(rng.sample(FLAGS, rng.randint(0, 2))), message(rng))
        elif kind < 0.82:
            run(f"UID COPY {self.some()} INBOX")
        elif kind < 0.88:
            run(f"UID MOVE {self.some()} Box")
        elif kind < 0.94:
            run(f"UID FETCH {self.some()} (BODY[])")
        else:
            run("UID EXPUNGE 1:*")

    def turn(self, follower):
        if len(follower.programs) < 12 and self.rng.random() < 0.6:
            uid = follower.uid or self.rng.random() < 0.5
            program = self.rng.choice(PROGRAMS)
            if uid and follower.uid and NUMBERS.search(program):
                return
            verb = self.rng.choice(self.verbs)
            sort = verb.partition(" ")[2]
            follower.follow(verb.split()[0], f"{sort} UTF-8 {program}" if sort else program, uid, bool(sort))
        elif follower.programs and self.rng.random() < 0.3:
            follower.cancel(self.rng.choice(list(follower.programs)))

    def tell(self, steps):
        for step in range(steps):
            for follower in self.followers:
                if step % 5 == 0:
                    self.turn(follower)
            self.change()
            for follower in self.followers:
                if self.rng.random() < 0.4:
                    follower.run("FETCH 1 (UID)" if not follower.uid and follower.keeper.exists else "NOOP")
            if step % 3 == 0:
                for follower in self.followers:
                    follower.check()
        for follower in self.followers:
            follower.check()
            follower.imap.close()
        self.writer.close()


@pytest.fixture(scope="module", name="shared")
def a_server():
    server = posthorn.Server()
    yield server
    server.stop()


KINDS = [("", "SELECT", None), ("IMAP4rev2", "SELECT", None), ("QRESYNC", "SELECT", True), ("UIDONLY", "SELECT", True),
         ("", "SELECT", None, "SELECTED (MessageNew (FLAGS) MessageExpunge FlagChange)")]


@pytest.mark.parametrize("seed", range(12 if LONG else 2))
def test_kept_result_is_the_fresh_one(shared, seed):
    Story(shared, seed, KINDS, ["SEARCH"] * 6 + SORTS).tell(400 if LONG else 90)
