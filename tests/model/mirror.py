"""A QRESYNC client as RFC 7162 section 6 has it, without a model beside it: what it cached is compared with the mailbox at the end."""
import re

from lib import client

from .actor import FETCH, HIGHEST, VANISHED, items_of, plain_flags, set_of, uids_of


class Mirror:
    losses = 0.03  # of the answers

    def __init__(self, server, user, dice):
        self.server, self.user, self.dice = server, user, dice
        self.cache, self.highest, self.validity, self.upto = {}, None, None, 0
        self.begun, self.last = None, []  # last: lines, for the report
        self.connect()

    def connect(self):
        """New connections, until one lasts for all that changed since the old one."""
        while not self.synchronise():
            self.last.append("(lost)")

    def synchronise(self):
        self.imap = client.Imap(self.server.address("imap"), self.user, self.server.password)
        self.imap.command("ENABLE QRESYNC")
        self.code, self.batch, self.synchronised = None, 0, False
        since = ""
        if self.highest is not None:
            known = self.dice.choice(["", f" {set_of(self.cache)}"]) if self.cache else ""
            since = f" (QRESYNC ({self.validity} {self.highest}{known}))"
        if not self.whole(f"SELECT INBOX{since}"):
            return False
        begun = self.begun
        if not self.fetch_new():
            return False
        self.highest, self.synchronised = begun, True
        return True

    def fetch_new(self):
        """Messages above the last UID up to which it has everything."""
        if not self.whole(f"UID FETCH {self.upto + 1}:* (UID FLAGS MODSEQ)"):
            return False
        self.upto = max([self.upto, *self.cache])
        return True

    def play(self, text, data=None):
        if not self.whole(text, data) or (self.synchronised and not self.fetch_new()):
            self.last.append("(lost)")
            self.connect()

    def whole(self, text, data=None):
        """False: the connection was lost in the middle of the answer."""
        self.last = self.last[-60:] + [f"C: {text}"]
        tag = self.imap.send(text, data).encode() + b" "
        left = self.dice.randint(0, 6) if self.dice.random() < self.losses else -1
        while left != 0:
            line = self.imap.wire.line()
            self.last.append(f"S: {line[:200].decode(errors='replace')}")
            self.take(line)
            if line.startswith(tag):
                self.tagged()
                return True
            left -= 1
        self.imap.close()
        return False

    def take(self, line):
        fetch, vanished, code = FETCH.match(line), VANISHED.match(line), HIGHEST.search(line)
        if fetch:
            items = items_of(line, fetch)
            self.cache[items["UID"]] = plain_flags(items["FLAGS"])
            self.batch = max(self.batch, items["MODSEQ"][0])
        for uid in uids_of(vanished[2]) if vanished else []:
            self.cache.pop(uid, None)
        self.code = int(code[1]) if code else self.code
        validity = re.search(rb"\[UIDVALIDITY (\d+)\]", line)
        self.validity = int(validity[1]) if validity else self.validity

    def tagged(self):
        self.begun = self.code or self.begun
        if self.synchronised:
            self.highest = self.code or max(self.highest, self.batch)
        self.code, self.batch = None, 0
