"""Accounts with quotas to play on (RFC 9208): users who do whatever adds to an account or takes from it, and count what is there by
themselves, by STATUS and FETCH, beside the server's figures."""
import json
import random
import re
import smtplib

from . import client, server as posthorn
from .scanners import EICAR
from .wire import client_tls

USERS = ("anna@d.test", "bob", "carl@d.test")
OPEN = "(STORAGE 1000000 MESSAGE 1000000 MAILBOX 1000 ANNOTATION-STORAGE 1000000)"
SCRIPT = b'require ["fileinto", "copy"]; if header :is "X-File" "yes" { fileinto :copy "Trash"; }'
FULL = re.compile(r"OVERQUOTA|4\.2\.2|are over|over its quota|over quota")


def quota(admin, root):
    """{resource: (used, limit)}"""
    lines, _ = admin.command(f'GETQUOTA "{root}"')
    words = re.search(rb"\((.*)\)", lines[0])[1].decode().split()
    return {words[i]: (int(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 3)}


def verb(where, *words):
    """Rows of `posthorn quota ...`."""
    out = posthorn.run_verb("quota", *words, "--json", "--data", where.data)
    return [json.loads(line) for line in out.splitlines()]


def message(size):
    return b"Subject: x\r\n\r\n".ljust(size, b"y")


def unit(octets):
    return -(-octets // 1024)


class Actor:
    """A user with a session, who counts by STATUS and FETCH what is there."""

    def __init__(self, where, name):
        self.where, self.name = where, name
        self.connect()

    def connect(self):
        self.session = self.where.imap(self.name)

    def boxes(self):
        lines, _ = self.session.command('LIST "" "*" RETURN (STATUS (MESSAGES SIZE))')
        counts = {}
        for line in lines:
            found = re.match(rb'\* STATUS "?(.*?)"? \(MESSAGES (\d+) SIZE (\d+)\)', line)
            if found and not found[1].startswith(b"Shared/"):
                counts[found[1].decode()] = (int(found[2]), int(found[3]))
        return counts

    def values(self, boxes):
        octets = 0
        for box in ["", *boxes]:
            lines, _ = self.session.command(f'GETMETADATA (DEPTH infinity) "{box}" (/private /shared)')
            octets += sum(len(value) for line in lines for value in re.findall(rb'["\n](v+)', line))
        return octets

    def sizes(self, boxes):
        total = [0, 0]
        for box in boxes:
            self.session.command(f'EXAMINE "{box}"')
            for values in self.session.fetch("1:*", "(RFC822.SIZE)").values() if boxes[box][0] else ():
                total[0] += 1
                total[1] += int(values["RFC822.SIZE"])
        self.session.command("UNSELECT")
        return tuple(total)

    def recount(self, by_fetch=False):
        boxes = self.boxes()
        messages, octets = (sum(v[i] for v in boxes.values()) for i in (0, 1))
        if by_fetch:
            assert self.sizes(boxes) == (messages, octets)
        return {"messages": messages, "storage": octets, "mailboxes": len(boxes), "annotations": self.values(boxes)}


KINDS = ("append", "append", "several", "copy", "copy", "move", "move", "replace", "replace", "expunge", "expunge", "create", "delete", "rename", "value",
         "lmtp", "limit", "domain", "labels", "undelete", "mbox", "script", "submit", "quarantine", "label")


def owner(box, user):
    """Whose account a mailbox of this user's tree is in."""
    return box.split("/")[1] if box.startswith("Shared/") else user


class World:
    def __init__(self, where, seed):
        self.where, self.random = where, random.Random(seed)
        self.actors = [Actor(where, user) for user in USERS]
        self.admin = where.imap("root@x.test")
        for user in USERS:
            self.admin.command(f"SETQUOTA user/{user} {OPEN}")
            self.posthorn("sieve", "put", "main", "-", "--user", user, stdin=SCRIPT)
            self.posthorn("sieve", "activate", "main", "--user", user)
        self.actors[0].session.command(f"SETACL INBOX {USERS[2]} lrswipkxte")
        self.admin.command(f"SETQUOTA domain/d.test {OPEN}")
        self.names = iter(range(10 ** 9))
        self.deck = []

    def back(self):
        for actor in self.actors:
            actor.connect()
        self.admin = self.where.imap("root@x.test")

    # -- what happens
    def posthorn(self, *words, stdin=b""):
        return posthorn.run_verb(*words, "--data", self.where.data, stdin=stdin)

    def step(self):
        actor = self.random.choice(self.actors)
        if not self.deck:
            self.deck = self.random.sample(KINDS, len(KINDS))
        kind = self.deck.pop()
        try:
            getattr(self, kind)(actor)
        except (client.Refused, RuntimeError, smtplib.SMTPException) as why:
            assert FULL.search(str(why)), (kind, why)
            return kind, True
        return kind, False

    def box(self, actor, shared=True):
        own = sorted(actor.boxes())
        if shared and actor.name != "bob":
            own += ["Shared/bob/INBOX"] * 2
        if shared and actor.name == USERS[2]:
            own += [f"Shared/{USERS[0]}/INBOX"] * 2
        return self.random.choice(own)

    def numbers(self, actor, box):
        """Selects it; some of its messages, or None."""
        exists = actor.session.select(box)["EXISTS"]
        if not exists:
            return None
        first = self.random.randint(1, exists)
        return f"{first}:{min(exists, first + self.random.randint(0, 2))}"

    def size(self):
        return self.random.choice((20, 900, 1024, 5000))

    def append(self, actor):
        actor.session.append(self.box(actor), message(self.size()))

    def several(self, actor):
        text = f'APPEND "{self.box(actor)}"'
        for _ in range(2):
            data = message(self.size())
            text += f" {{{len(data)}+}}\r\n{data.decode()}"
        actor.session.command(text)

    def copy(self, actor, word="COPY"):
        numbers = self.numbers(actor, self.box(actor))
        if numbers:
            actor.session.command(f'{word} {numbers} "{self.box(actor)}"')

    def move(self, actor):
        box, to = self.box(actor), self.box(actor)
        numbers = self.numbers(actor, box)
        within = owner(box, actor.name) == owner(to, actor.name)
        try:
            if numbers and box != to:
                actor.session.command(f'MOVE {numbers} "{to}"')
        except client.Refused:
            assert not within, "MOVE within an account is never refused"
            raise

    def replace(self, actor):
        numbers = self.numbers(actor, self.box(actor))
        if numbers:
            actor.session.command(f'REPLACE {numbers.split(":")[0]} "{self.box(actor)}"', message(self.size()))

    def expunge(self, actor):
        numbers = self.numbers(actor, self.box(actor))
        if numbers:
            actor.session.command(f"STORE {numbers} +FLAGS.SILENT (\\Deleted)")
            actor.session.command("EXPUNGE")

    def create(self, actor):
        actor.session.command(f"CREATE n{next(self.names)}/m{next(self.names)}")

    def delete(self, actor):
        name = f"n{next(self.names)}/m{next(self.names)}"
        actor.session.command(f"CREATE {name}")
        try:
            actor.session.append(name, message(self.size()))
        finally:
            actor.session.command(f"DELETE {name}")

    def rename(self, actor):
        if self.random.random() < 0.5:
            actor.session.command(f"RENAME INBOX n{next(self.names)}")
            return
        leaves = [box for box in actor.boxes() if re.fullmatch(r"n\d+/m\d+", box)]
        if leaves:
            actor.session.command(f"RENAME {self.random.choice(leaves)} n{next(self.names)}/m{next(self.names)}")

    def value(self, actor):
        box, entry = self.box(actor, shared=False), self.random.choice(("/private/comment", "/shared/vendor/x/y"))
        value = self.random.choice(("NIL", '"' + "v" * self.random.randint(1, 2000) + '"'))
        actor.session.command(f'SETMETADATA "{box}" ({entry} {value})')

    def lmtp(self, actor):
        lmtp = client.Lmtp(self.where.address("lmtp"))
        try:
            lmtp.deliver(actor.name, message(self.size()))
        finally:
            lmtp.close()

    def labels(self, actor):
        """Rarely: it takes a process."""
        if self.random.random() < 0.2:
            try:
                self.where.labels(actor.name, self.random.choice(("on", "off")))
            except RuntimeError as why:
                assert "OVERQUOTA" in str(why) or "are over" in str(why), why
            actor.connect()  # its selected mailbox may have gone

    def undelete(self, actor):
        """All that was expunged in some mailbox, or of the account."""
        folder = ["--folder", self.random.choice(sorted(actor.boxes()))] if self.random.random() < 0.7 else []
        self.posthorn("mailbox", "undelete", actor.name, *folder)

    def mbox(self, actor):
        path = self.where.dir / "import"
        path.write_bytes(b"".join(b"From x@y Thu Jan  1 00:00:00 2026\n" + message(self.size()) + b"\n\n" for _ in range(2)))
        self.posthorn("import", "mbox", str(path), "-u", actor.name, "--folder", f"n{next(self.names)}")

    def script(self, actor):
        """Kept, and a copy in a folder: two messages, or none."""
        lmtp = client.Lmtp(self.where.address("lmtp"))
        try:
            lmtp.deliver(actor.name, b"X-File: yes\r\n" + message(self.size()))
        finally:
            lmtp.close()

    def submit(self, actor):
        """Whoever is over quota sends without a copy in Sent."""
        with smtplib.SMTP("127.0.0.1", self.where.ports["submission"], timeout=60) as smtp:
            smtp.starttls(context=client_tls())
            smtp.login(actor.name, posthorn.PASSWORD)
            sender = actor.name if "@" in actor.name else actor.name + "@d.test"
            smtp.sendmail(sender, ["x@example.org"], b"From: %s\r\n" % sender.encode() + message(self.size()))

    def quarantine(self, actor):
        lmtp = client.Lmtp(self.where.address("lmtp"))
        try:
            lmtp.deliver(actor.name, message(self.size()) + EICAR)
        finally:
            lmtp.close()
        rows = [json.loads(line) for line in self.posthorn("quarantine", "list", actor.name, "--json").splitlines()]
        ids = [row["id"] for row in rows if "id" in row]
        try:
            self.posthorn("quarantine", "release", self.random.choice(ids))
        finally:
            for one in ids if len(ids) > 3 else ():
                self.random.random() < 0.5 and self.posthorn("quarantine", "delete", one)

    def label(self, actor):
        """X-GM-LABELS: one more mailbox for a message."""
        numbers = self.numbers(actor, self.box(actor, shared=False))
        label = self.random.choice(sorted(actor.boxes()))
        if numbers:
            actor.session.command(f'STORE {numbers} {self.random.choice("+-")}X-GM-LABELS ("{label}")')

    def limit(self, actor, root=None):
        if self.random.random() < 0.5:  # else hardly anything would happen
            self.admin.command(f"SETQUOTA {root or 'user/' + actor.name} {OPEN}")
            return
        used = quota(self.admin, root or f"user/{actor.name}")
        around = {name: now + self.random.choice((-1, 0, 1, 2, 5, 100)) for name, (now, _) in used.items()}
        limits = " ".join(f"{name} {max(n, 0)}" for name, n in around.items())
        self.admin.command(f"SETQUOTA {root or 'user/' + actor.name} ({limits})")

    def domain(self, actor):
        self.limit(actor, "domain/d.test")

    # -- what holds
    def check(self, by_fetch=False):
        counted = {actor.name: actor.recount(by_fetch) for actor in self.actors}
        for name, count in counted.items():
            self.equal(quota(self.admin, f"user/{name}"), count)
        together = {k: counted["anna@d.test"][k] + counted["bob"][k] + counted["carl@d.test"][k] for k in counted["bob"]}
        self.equal(quota(self.admin, "domain/d.test"), together)
        return counted

    @staticmethod
    def equal(told, count):
        want = {"STORAGE": unit(count["storage"]), "MESSAGE": count["messages"], "MAILBOX": count["mailboxes"],
                "ANNOTATION-STORAGE": unit(count["annotations"])}
        assert {name: used for name, (used, _) in told.items()} == want

    def exact(self):
        counted = self.check(by_fetch=True)
        told = {row["name"]: row for row in verb(self.where, "list")}
        for name, count in counted.items():
            assert {k: told[name][k] for k in count} == count
        for k in counted["bob"]:
            assert told["@d.test"][k] == sum(count[k] for count in counted.values())
