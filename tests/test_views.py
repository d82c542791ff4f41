"""Four sessions change one mailbox at random: no line contradicts what a session was told, and after NOOP all agree
(RFC 3501 sections 5.2, 7.3.1 and 7.4.1, RFC 2180)."""
import random
import re
import time

import pytest

from lib import client, server as posthorn, view

SECONDS = 8
FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "\\Deleted \\Seen", *(f"kw{i}" for i in range(5))]
BY_NUMBER = re.compile(r"(FETCH|STORE|SEARCH)\b")


class Session:
    def __init__(self, server, user, dice):
        self.dice, self.view = dice, view.View()
        self.imap = client.Imap(server.address("imap"), user, server.password)
        if dice.random() < 0.5:
            self.imap.command("ENABLE IMAP4rev2")
        self.do("SELECT INBOX")

    def do(self, text, data=None):
        """Plays a command; NO is an answer like OK (messages may be gone), BAD is not."""
        self.view.sent(text)
        tag, lines = self.imap.send(text, data), []
        while not (lines and lines[-1].startswith(tag.encode() + b" ")):
            lines.append(self.imap.wire.line())
            assert not self.view.seen(lines[-1]), (text, self.view.seen(lines[-1]))
            assert not (BY_NUMBER.match(text) and view.EXPUNGE.match(lines[-1])), (text, lines)
        assert not lines[-1].startswith(tag.encode() + b" BAD"), (text, lines)
        return lines

    def numbers(self):
        last = len(self.view.uids or [])
        first, second = self.dice.randint(1, last), self.dice.randint(1, last)
        return self.dice.choice([f"{first}", f"{first}:{second}", f"{first}:*", f"{first},{second}", "*"])

    def act(self):
        flags = self.dice.choice(FLAGS)
        if not self.view.uids or self.dice.random() < 0.25:
            return self.do(f"APPEND INBOX ({flags})", b"Subject: x\r\n\r\nbody\r\n")
        sign, silent = self.dice.choice(["+", "+", "-", ""]), self.dice.choice(["", ".SILENT"])
        return self.do(self.dice.choice([
            f"STORE {self.numbers()} {sign}FLAGS{silent} ({flags})", f"UID STORE {self.dice.randint(1, 300)}:* +FLAGS ({flags})",
            f"FETCH {self.numbers()} (UID FLAGS)", f"FETCH {self.numbers()} (UID BODY[])", "SEARCH DELETED", "SEARCH BODY body",
            "EXPUNGE", f"UID EXPUNGE 1:{self.dice.randint(1, 300)}", f"COPY {self.numbers()} INBOX",
            f"MOVE {self.numbers()} INBOX", f"MOVE {self.numbers()} Trash", "NOOP", "NOOP", "SELECT INBOX"]))

    def picture(self):
        self.do("NOOP")
        return self.imap.fetch("1:*", "(UID FLAGS)") if self.view.uids else {}


@pytest.mark.parametrize("seed", [1, 2])
def test_views_agree(seed):
    server, dice = posthorn.Server({"test_packing": seed % 2 == 0}), random.Random(seed)
    try:
        user = server.fresh_user("alice")
        sessions = [Session(server, user, dice) for _ in range(4)]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _ in range(40):
                dice.choice(sessions).act()
            pictures = [session.picture() for session in sessions]
            plain = [{n: (int(m["UID"]), sorted(set(m["FLAGS"]) - {"\\Recent"})) for n, m in p.items()} for p in pictures]
            assert all(p == plain[0] for p in plain)
    finally:
        server.stop()
