"""A ledger with a clock: what was acknowledged at each position of the event log, to judge a disk cut at any of them."""
import hashlib

import ledger
from lib import client


def digest(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Session(client.Imap):
    """Tells its worker before each command and after each OK."""

    def __init__(self, worker, *rest, **more):
        self.worker = worker
        super().__init__(*rest, **more)

    def send(self, text, data=None):
        self.worker.note_sent(data)
        return super().send(text, data)

    def answer(self, tag):
        answered = super().answer(tag)
        self.worker.acked = self.worker.server.event_log.position()
        return answered


class Worker(ledger.Worker):
    def __init__(self, server, user, seed):
        super().__init__(server, user, seed)
        self.timeline, self.acked, self.digests = [], 0, {}
        self.floor = dict.fromkeys(ledger.BOXES, 0)

    def connect(self):
        self.connection = Session(self, self.server.address("imap"), self.user, self.server.password, timeout=20)
        self.selected = None

    def note_sent(self, data):
        if data is not None:
            self.digests[ledger.ID.search(data)[1].decode()] = digest(data)
        boxes = {name: dict(rows) for name, rows in self.boxes.items()}
        self.timeline.append((self.acked, boxes, dict(self.highest), self.open, self.server.event_log.position()))

    # -- judgement of a cut --------------------------------------------------------------------
    def then(self, position):
        """The entries that can be true of a cut at this position: the last acknowledged state, with what was open."""
        known = [entry for entry in self.timeline if entry[0] <= position]
        return [entry for entry in known if entry[0] == known[-1][0]] if known else []

    def judge_cut(self, listing, position, certain):
        """`certain`: what was not synced is not there, so of two cuts the later one has all of the other."""
        account = listing.accounts.get(self.user)
        if account is None:
            raise ledger.Lost(f"{self.user}: the account is gone")
        now = {box: self.rows(account, box) for box in ledger.BOXES}
        entries, right = self.then(position), []
        for entry in entries:
            right += self.outcomes_of(entry, now, position)
        if entries and now not in right:
            self.boxes, self.open = entries[-1][1], entries[-1][3]
            raise ledger.Lost(f"{self.user}: open {self.open}\n" + "\n".join(self.explain(b, now[b]) for b in ledger.BOXES))
        for box in ledger.BOXES if entries else ():
            self.judge_numbers(account, account.boxes[box], box, entries[-1][2])
            self.floor[box] = max(self.floor[box], account.boxes[box].modseq) if certain else self.floor[box]

    def rows(self, account, box):
        if box not in account.boxes:
            raise ledger.Lost(f"{self.user}: {box} is gone")
        rows = {}
        for uid, (body, ident, flags, _) in account.boxes[box].rows.items():
            if self.digests.get(ident) != body:
                raise ledger.Lost(f"{self.user}/{box}: UID {uid} ({ident}) is not what was sent")
            rows[uid] = (ident, flags)
        return rows

    def outcomes_of(self, entry, now, position):
        ghost = ledger.Worker(None, self.user, 0)
        _, ghost.boxes, ghost.highest, ghost.open, sent = entry
        ghost.open = ghost.open if sent <= position else None
        return list(ghost.outcomes(now))

    def judge_numbers(self, account, box, name, highest):
        if self.validity.setdefault(name, box.validity) != box.validity:
            raise ledger.Lost(f"{self.user}/{name}: UIDVALIDITY changed")
        if box.uidnext <= max([highest[name], *box.rows]):
            raise ledger.Lost(f"{self.user}/{name}: UIDNEXT {box.uidnext} after UID {highest[name]}")
        if not self.floor[name] <= box.modseq <= account.modseq:
            raise ledger.Lost(f"{self.user}/{name}: HIGHESTMODSEQ {box.modseq} after {self.floor[name]}")
        if any(row[3] > box.modseq for row in box.rows.values()):
            raise ledger.Lost(f"{self.user}/{name}: a message has a MODSEQ above the mailbox's")


class Courier(ledger.Courier):
    def __init__(self, server, user):
        super().__init__(server, user)
        self.sent, self.acks = {}, {}
        self.twin = server.fresh_user("twin")

    def work(self):
        log = self.server.event_log
        try:
            connection = client.Lmtp(self.server.address("lmtp"), timeout=20)
            while True:
                self.number += 1
                self.open = f"{self.user}-{self.number}"
                self.sent[self.open] = log.position()
                self.deliver(connection)
                self.acks[self.open] = log.position()
                self.delivered.add(self.open)
                self.open = None
                self.acknowledged += 1
        except (*ledger.GONE, client.Refused) as gone:
            if isinstance(gone, client.Refused) and not str(gone).startswith("421"):
                raise

    def deliver(self, connection):
        """Every fifth goes to a twin as well and is large: its body has two names."""
        if self.number % 5:
            connection.deliver(self.user, ledger.message(self.open, 2000))
            return
        connection.command("MAIL FROM:<>")
        for user in (self.twin, self.user):
            connection.command(f"RCPT TO:<{user}>")
        connection.command("DATA")
        connection.wire.send(ledger.message(self.open, 200000) + b".\r\n")
        for _ in range(2):
            connection.reply()

    def judge(self):
        position = self.server.event_log.position()
        before = set(self.delivered)
        super().judge()
        for ident in self.delivered - before:  # seen by a client: from now on it must stay
            self.acks[ident] = position

    def judge_cut(self, listing, position, certain):
        account = listing.accounts.get(self.user)
        found = [row[1] for row in account.boxes["INBOX"].rows.values()] if account else []
        lost = {i for i, at in self.acks.items() if at <= position} - set(found)
        extra = set(found) - {i for i, at in self.sent.items() if at <= position}
        if lost or extra or len(found) != len(set(found)):
            raise ledger.Lost(f"{self.user}: lost {lost}, not sent yet {extra}, found {found}")
