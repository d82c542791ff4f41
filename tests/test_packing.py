"""Accounts that are packed, and rid of all that can be made anew, at any moment: a server that does so at random answers as one that does not."""
import random
import re

import pytest

from lib import client, server as posthorn
from lib.long import LONG
from lib.managesieve import Sieve, literal
from lib.pop3 import Pop3, with_pop3
from lib.wire import Wire

STEPS, SEEDS = (1500, range(1, 9)) if LONG else (260, range(1, 3))
SETTINGS = {"local_domains": ["localhost"], "quota_messages": 100000}
FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "\\Deleted \\Seen", "$Junk", "kw1", "kw2 \\Answered", "kw3"]
NAMES = ["Box", "Box/Below", "Archive/2026", "Third", "Box2"]
SHARED = [f"Shared/alice/{name}" for name in ("Box", "Third", "INBOX")]
SCRIPTS = ['keep;', 'require "fileinto"; if header :contains "subject" "1" { fileinto "Third"; }', 'require "imap4flags"; addflag "kw1"; keep;',
           'require ["fileinto", "mailbox", "copy"]; fileinto :copy :create "Box";', 'if size :over 1K { discard; }']
# What differs from server to server, or by who is faster of two sessions: numbers of a clock or of chance, and \Recent.
MASKS = [(re.compile(pattern, re.I), to) for pattern, to in (
    (rb"(UIDVALIDITY|APPENDUID|COPYUID) \d+", rb"\1 N"), (rb"\b(MAILBOXID|EMAILID|THREADID) \([^)]*\)", rb"\1 (I)"), (rb'INTERNALDATE "[^"]*"', rb"INTERNALDATE D"),
    (rb" ?\\Recent\b", rb""), (rb"\( ", rb"("), (rb"\b(RFC822\.SIZE|SIZE|STORAGE) \d+", rb"\1 N"), (rb"\[MODIFIED[^\]]*\]", rb"M"), (rb"(\+OK \d+) \d+", rb"\1 N"), (rb"\bRECENT \d+", rb"RECENT N"))]
LATEST = re.compile(rb"\* (?:\d+ (EXISTS)|STATUS (\S+) \(.*|(\d+ FETCH \(.*?FLAGS \().*)$", re.I)
RECENT = re.compile(rb"\* \d+ RECENT$", re.I)


def masked(line):
    for pattern, to in MASKS:
        line = pattern.sub(to, line)
    return line


def settled(lines):
    """What was told of one thing several times, until something was expunged, counts as it was told last; RECENT goes to who is first."""
    told, epoch = {}, 0
    for number, line in enumerate(masked(line) for line in lines if not RECENT.match(line)):
        epoch += b" EXPUNGE" in line
        found = LATEST.match(line)
        key = (epoch, found[1] or found[2] or found[3]) if found else number
        told.pop(key, None)
        told[key] = line
    return list(told.values())


class Side:
    """One of the two servers, and all sessions with it."""

    def __init__(self, packing):
        self.server = with_pop3({**SETTINGS, "test_packing": packing})
        self.alice, self.again, self.bob = (self.session(name) for name in ("alice", "alice", "bob"))
        self.idler, self.watcher = self.session("alice"), self.session("bob")
        self.lmtp, self.idling = client.Lmtp(self.server.address("lmtp")), None

    def session(self, name):
        return client.Imap(self.server.address("imap"), name, self.server.password)

    def begin(self):
        """Shared mailboxes, who waits in one, and who is told of all."""
        for name in NAMES:
            self.alice.command(f"CREATE {name}")
        for name in ("INBOX", "Box", "Third"):
            self.alice.command(f"SETACL {name} bob lrswipkxtea")
        self.idler.command("SELECT INBOX")
        self.watcher.command("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName SubscriptionChange)) "
                             "(subtree Shared (MessageNew MessageExpunge FlagChange)) (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))")
        self.watcher.command("SELECT Shared/alice/Box")
        self.idle()

    def idle(self):
        self.idling = self.idler.send("IDLE")
        lines = []
        while not lines or not lines[-1].startswith(b"+"):
            lines.append(self.idler.wire.line())
        return lines[:-1]

    def told(self):
        """Of what everybody was told since the last time."""
        self.idler.wire.send(b"DONE\r\n")
        lines, _ = self.idler.answer(self.idling)
        return [settled(lines + self.idle()), settled(self.watcher.command("NOOP")[0])]

    def do(self, who, text, data=None):
        session = getattr(self, who)
        tag, lines = session.send(text, data), []
        while not (lines and lines[-1].startswith(tag.encode() + b" ")):
            lines.append(session.wire.line())
        return settled(lines)

    def at_once(self, commands):
        """All of them are on their way before the first answer is read."""
        tags = [(who, getattr(self, who).send(text)) for who, text in commands]
        return [settled(sum(getattr(self, who).answer(tag)[:1], [])) for who, tag in tags]

    def deliver(self, user, data):
        self.lmtp.deliver(user, data)

    def pop(self, user, deletes):
        with Pop3(self.server.pop3, user) as pop:
            sizes = [line.split()[0] for line in pop.all("LIST")]
            texts = [pop.message(f"TOP {number.decode()} 0") for number in sizes[:3]]
            for number in sizes[:deletes]:
                pop.ok(f"DELE {number.decode()}")
            pop.ok("QUIT")
            return sizes, [re.findall(rb"Subject: .*", text) for text in texts]

    def script(self, user, text):
        with Sieve(self.server.address("managesieve")) as sieve:
            sieve.login(user)
            return [sieve.ask(words)[:2] for words in (b'PUTSCRIPT "s" ' + literal(text.encode()), 'SETACTIVE "s"', "LISTSCRIPTS")]

    def come_and_go(self, user, mailbox):
        wire = Wire(self.server.address("imap"), timeout=60)
        wire.send(f"a LOGIN {user} {self.server.password}\r\nb EXAMINE {mailbox}\r\nc FETCH 1:* (UID FLAGS)\r\nd LOGOUT\r\n".encode())
        lines = []
        while not lines or not lines[-1].startswith(b"d "):
            lines.append(wire.line())
        wire.close()
        return settled(line for line in lines if b"CAPABILITY" not in line and b"OK [" not in line)

    def end(self):
        """How often an account was packed."""
        for session in (self.alice, self.again, self.bob, self.idler, self.watcher, self.lmtp):
            session.close()
        family = self.server.process
        self.server.process.terminate()
        assert family.wait(30) == 0
        times = sum(map(int, re.findall(r"Accounts were packed: (\d+)", self.server.stderr())))
        self.server.process = None
        return times


class Dice(random.Random):
    def numbers(self):
        return self.choice(["1", "1:*", "*", "2:4", f"{self.randint(1, 9)}:{self.randint(1, 9)}"])

    def message(self):
        number = self.randint(1, 40)
        return f"From: a{number}@example.org\r\nSubject: number {number}\r\nDate: {self.randint(1, 28)} Jan 2026 10:00:00 +0000\r\nMessage-ID: <{self.random()}@x>\r\n\r\n{'text ' * self.choice([3, 500])}\r\n".encode()

    def mailbox(self, who):
        return self.choice(SHARED if who == "bob" and self.random() < 0.7 else [*NAMES, "INBOX"])

    def command(self, who):
        box, other, flags = self.mailbox(who), self.mailbox(who), self.choice(FLAGS)
        return self.choice([
            f"SELECT {box}", f"SELECT {box}", f"EXAMINE {box}", "CLOSE", "UNSELECT", "EXPUNGE", "NOOP", "CHECK",
            f"STORE {self.numbers()} {self.choice('+-')}FLAGS ({flags})", f"STORE {self.numbers()} FLAGS.SILENT ({flags})", f"UID STORE 1:* (UNCHANGEDSINCE 40) +FLAGS ({flags})",
            f"FETCH {self.numbers()} (UID FLAGS INTERNALDATE MODSEQ)", f"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODYSTRUCTURE)", f"FETCH {self.numbers()} BODY[TEXT]",
            f"COPY {self.numbers()} {other}", f"MOVE {self.numbers()} {other}", f"UID MOVE 3:7 {other}",
            "SEARCH KEYWORD kw1 OR DELETED TEXT number", "UID SEARCH RETURN (ALL COUNT) SUBJECT 1", "SORT (SUBJECT REVERSE DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
            f"STATUS {box} (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ DELETED)", 'LIST "" * RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES UNSEEN))', 'LIST (SUBSCRIBED) "" *',
            f"CREATE {box}/New{self.randint(1, 3)}", f"DELETE {box}/New{self.randint(1, 3)}", f"RENAME {box}/New1 {other}/New{self.randint(2, 4)}",
            f"SUBSCRIBE {box}", f"UNSUBSCRIBE {box}", f"GETACL {box}", f"MYRIGHTS {box}", f"SETACL {self.choice(NAMES)} carol {self.choice(['lr', 'lrs', 'lrswi'])}", f"GETQUOTAROOT {box}",
            f'SETMETADATA {box} (/{self.choice(["private", "shared"])}/comment "{self.randint(1, 99)}")', f"SETMETADATA {box} (/private/comment NIL)", f"GETMETADATA (DEPTH infinity) {box} (/private /shared)",
            "ENABLE CONDSTORE", "NAMESPACE"])

    def step(self):
        """(name of a method, its arguments)"""
        who, kind = self.choice(["alice", "alice", "again", "bob"]), self.random()
        if kind < 0.2:
            return "do", (who, f"APPEND {self.mailbox(who)} ({self.choice(FLAGS)})", self.message())
        if kind < 0.3:
            return "deliver", (self.choice(["alice", "alice", "bob", "carol"]), self.message())
        if kind < 0.34:
            return "pop", ("carol", self.randint(0, 2))
        if kind < 0.37:
            return "script", (self.choice(["alice", "carol"]), self.choice(SCRIPTS))
        if kind < 0.42:
            return "come_and_go", (self.choice(["alice", "bob"]), "INBOX")
        if kind < 0.48:
            return "at_once", ([(each, 'LIST "" * RETURN (STATUS (MESSAGES UIDNEXT))') for each in ("alice", "again", "bob")],)
        return "do", (who, self.command(who))


@pytest.mark.parametrize("seed", SEEDS)
def test_as_if_never_packed(seed):
    dice, sides, log = Dice(seed), [], []
    try:
        for packing in (False, True):
            sides.append(Side(packing))
            sides[-1].begin()
        for number in range(STEPS):
            name, words = dice.step()
            log.append(f"{number} {name} {str(words)[:200]}")
            plain, packed = ((getattr(side, name)(*words), side.told()) for side in sides)
            assert plain == packed, "\n".join(log[-25:])
        never, often = (side.end() for side in sides)
        assert never == 0 and often > STEPS
    finally:
        for side in sides:
            side.server.stop()
