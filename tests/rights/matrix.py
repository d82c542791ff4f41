"""Plays the table of rights on a server: each row on mailboxes of alice that lack one right for bob, and on such that are not there.

For each row and each of these mailboxes there is a cell: what was answered, and whether it was done. Rows that change
nothing share their mailboxes. Everything is pipelined; the server's sessions run one command after the other."""
import dataclasses
import re

from lib.long import LONG

from .table import RIGHTS, ROWS, Row

MESSAGE = (b"From: Secret <secret@example.org>\r\nTo: secret@example.org\r\nSubject: secret-subject\r\nDate: Thu, 1 Feb 2024 10:00:00 +0000\r\n"
           b"Message-ID: <secret-id@example.org>\r\n\r\nsecret-body\r\n")
SECRETS = (b"secret-", b"secret@")
# What is not there: for bob all of them are one, octet for octet. "l" of the variants below is the hidden mailbox.
ABSENT = {"absent": "Shared/alice/{}", "foreign": "Shared/zelda/{}", "nobody": "Shared/nobdy/{}"}
WINDOW = 60  # commands under way
# RFC 4314 section 2.1.1: an old right is some of the new ones, also where it is taken away
VIRTUAL = {"c": "kx", "d": "te"}


@dataclasses.dataclass
class Ask:
    """A row in one session's form, on one mailbox."""
    row: Row
    form: str      # the session: rev1, modern
    name: str
    variant: str   # the right that is missing ("-r": by a negative right); "all", "enough", "never LETTERS", or of ABSENT
    box: str = ""
    number: int = 0
    rights: str | None = None  # None: not there
    lines: list = dataclasses.field(default_factory=list)
    tagged: bytes = b""

    @property
    def key(self):
        return f"{self.name} [{self.form}] {self.variant}"

    @property
    def wanted(self):
        """Is it to be done?"""
        needs, rights = self.row.needs, self.rights
        if needs == "":
            return True
        if needs is None or rights is None or "l" not in rights or self.variant.startswith("never"):
            return False
        return self.variant == "enough" or set(needs) <= set(rights)

    @property
    def done(self):
        said = b"\r\n".join([*self.lines, self.tagged]) + b"\r"
        if self.row.shows is None:
            return self.tagged.startswith(b"OK")
        return re.search(self.row.shows.replace(b"{box}", re.escape(self.box.encode())), said, re.M) is not None

    def told(self):
        """The answers, with the name out of it."""
        return [re.sub(rb'TAG "t\d+"', b"TAG", line).replace(self.box.encode(), b"BOX").replace(self.inside.encode(), b"NAME")
                for line in [*self.lines, self.tagged]]

    @property
    def inside(self):
        """The name within the tree."""
        return self.box.split("/", {"Public": 1, "Shared": 2}.get(self.box.split("/", 1)[0], 0))[-1]


def without(rights):
    return "".join(right for right in RIGHTS if right not in rights)


def variants(row, more):
    yield from ((right, without(right)) for right in RIGHTS)
    yield from ((old, without(rights)) for old, rights in VIRTUAL.items())
    negative = RIGHTS if LONG or not row.changes else row.needs or ""
    yield from ((f"-{right}", without(right)) for right in negative if more)
    yield "all", RIGHTS
    if row.needs is not None:
        yield "enough", "".join(sorted({"l", *(row.enough or row.needs)}, key=RIGHTS.index))
    yield from ((f"never {rights}", rights) for rights in row.never)


def grants(variant, rights):
    if variant in VIRTUAL:
        return f"bob {RIGHTS}", f"bob -{variant}"
    return (f"bob {RIGHTS}", f"-bob {variant[1:]}") if variant[0] == "-" else (f"bob {rights}",)


def forms(row):
    """(session, the word before the verb)"""
    uses = any("{u}" in command for command in row.commands)
    both = (("rev1", ""), ("modern", "UID ")) if uses else (("rev1", ""),) if row.changes else (("rev1", ""), ("modern", ""))
    return [f for f in both if row.forms in ("both", f[0])] or [("modern", "UID " if uses else "")]


class Matrix:
    def __init__(self, server, rows=None, more=True):
        """more: rights are taken away by negative ones, too."""
        self.server, self.asks, self.boxes = server, [], {}
        for i, row in enumerate(ROWS if rows is None else rows):
            for form, u in forms(row):
                for variant, rights in variants(row, more):
                    self.add(row, form, u, variant, rights, i)
                for variant in ABSENT:
                    self.add(row, form, u, variant, None, i)

    def add(self, row, form, u, variant, rights, i):
        """Mailboxes of one length, so that answers can be compared; those of rows that only read are shared."""
        kind = "n" + form[0] + "-" + variant if not row.changes and not row.inner else f"{i}{form[0]}-{variant}"
        if rights is not None and not row.changes and not row.inner:
            kind = "r-" + (variant if variant[0] == "-" else rights)
        number = self.boxes.setdefault((kind, row.inner), (len(self.boxes), rights, row if row.changes else None, variant))[0]
        name = f"{'in/' if row.inner else ''}b{number:05}"
        box = ABSENT.get(variant, "Shared/alice/{}").format(name)
        self.asks.append(Ask(row, form, row.name.replace("{u}", u), variant, box, number, rights))

    # ---- the owner's part
    def owner_commands(self):
        text = MESSAGE.decode()
        for (_, inner), (number, rights, row, variant) in self.boxes.items():
            inside = f"{'in/' if inner else ''}b{number:05}"
            if rights is not None:
                yield f"CREATE {inside}", None
                yield from ((f"SETACL {inside} {grant}", None) for grant in grants(variant, rights))
                yield f"APPEND {inside} (\\Deleted) {{{len(text)}+}}\r\n{text} () {{{len(text)}+}}\r\n{text}", None
            if rights is not None and row is None:
                yield f'SETMETADATA {inside} (/shared/comment "commented")', None
            for command in row.setup if row else ():
                if rights is not None or "{inside}" not in command:
                    yield command.format(inside=inside, n=number), None

    def prepare(self):
        server = self.server
        alice, bob, zelda = server.imap("alice"), server.imap("bob"), server.imap("zelda")
        for session, names in ((alice, ("open", "kept", "labelled", "in")), (bob, ("Stock", "Taken", "Flagged"))):
            for name in names:
                session.command(f"CREATE {name}")
        alice.append("labelled", MESSAGE)
        for box, rights in (("open", "lx"), ("kept", "lr"), ("labelled", "lrswi"), ("in", "lk")):
            alice.command(f"SETACL {box} bob {rights}")
        zelda.command("CREATE own")
        bob.append("Flagged", MESSAGE, "\\Seen \\Flagged $Work \\Deleted")
        bob.command('SETMETADATA "" (/private/filters/values/mine "ALL")')
        bob.append_all("Stock", [b"Subject: stock\r\n\r\nx\r\n"] * (sum(ask.row.changes for ask in self.asks) + 1))
        for (_, inner), (number, rights, _, variant) in self.boxes.items():
            if variant == "foreign":
                zelda.send(f"CREATE {'in/' if inner else ''}b{number:05}")
                zelda.answer(f"t{zelda.count}")
        pipelined(alice, self.owner_commands())
        for session in (alice, bob, zelda):
            session.close()

    def state(self):
        """What the owner sees: the mailboxes, and a number that rises with each change of one."""
        alice = self.server.imap("alice")
        lines, _ = alice.command('LIST "" "*" RETURN (STATUS (MESSAGES UIDNEXT HIGHESTMODSEQ MAILBOXID))')
        found = dict(re.match(rb'\* STATUS "?(.*?)"? \((.*)\)$', line).groups() for line in lines if line.startswith(b"* STATUS"))
        alice.close()
        return found

    # ---- the second user's
    def play(self):
        self.prepare()
        self.before = self.state()
        for form in ("rev1", "modern"):
            session = self.server.imap("bob")
            if form == "modern":
                session.command("ENABLE IMAP4rev2 QRESYNC UIDONLY METADATA UTF8=ACCEPT")
            u = "UID " if form == "modern" else ""
            asks = sorted((ask for ask in self.asks if ask.form == form), key=lambda ask: (ask.row.changes, ask.row.selected, ask.variant))
            self.run(session, asks, u)
            session.close()
        self.after = self.state()
        return self.asks

    def commands_of(self, ask, u, selected):
        words = {"box": ask.box, "inside": ask.inside, "u": u, "n": ask.number, "size": len(MESSAGE), "message": MESSAGE.decode()}
        if ask.row.selected and selected != ask.box:
            yield f"SELECT {ask.box}", None
        begun = not names_box(ask.row)
        for command in ask.row.commands:
            begun = begun or "{box}" in command or "{inside}" in command
            yield command.format(**words), ask if begun else None  # what goes before is not about the mailbox
        yield "NOOP", None  # many BAD in a row would end the session

    def run(self, session, asks, u):
        first = {}  # of rows that name no mailbox: one answer is for all

        def each():
            selected = None
            for ask in asks:
                if ask.row.selected or names_box(ask.row) or first.setdefault(ask.name, ask) is ask:
                    yield from self.commands_of(ask, u, selected)
                    selected = ask.box if ask.row.selected else None
        for ask, lines, tagged in pipelined(session, each()):
            if ask is not None:
                ask.lines += [line for line in lines if not unrelated(line)]
                ask.tagged = tagged
        for ask in asks:
            if ask.name in first:
                ask.lines, ask.tagged = first[ask.name].lines, first[ask.name].tagged


class OwnMatrix(Matrix):
    """The same for the owner: no mailbox is another's, and l and a cannot be taken."""

    def add(self, row, form, u, variant, rights, i):
        if form == "rev1" and rights is not None and not variant.startswith(("enough", "never", *VIRTUAL)):
            super().add(row, form, u, variant, rights if set("la") <= set(rights) else RIGHTS, i)
            ask = self.asks[-1]
            ask.box = ask.box.removeprefix("Shared/alice/")

    def owner_commands(self):
        held = None  # what is in the mailbox comes before the right to put it there goes
        for command, what in super().owner_commands():
            if command.startswith("SETACL b"):
                held = command.replace(" bob ", " alice "), what
                continue
            yield command, what
            if held and command.startswith("APPEND"):
                yield held
                held = None

    def play(self):
        self.prepare()
        session = self.server.imap("alice")
        for name in ("Stock", "Taken", "Flagged"):
            session.command(f"CREATE {name}")
        session.append_all("Stock", [b"Subject: stock\r\n\r\nx\r\n"] * (sum(ask.row.changes for ask in self.asks) + 1))
        session.append("Flagged", MESSAGE, "\\Seen \\Flagged $Work \\Deleted")
        self.run(session, self.asks, "")
        session.close()
        return self.asks


def names_box(row):
    return any("{box}" in command or "{inside}" in command or "{n}" in command for command in row.commands)


def unrelated(line):
    """What a session is told of its own selected mailbox or of its quota, whatever it asked."""
    return re.match(rb"\* (\d+ (EXISTS|RECENT|EXPUNGE)|OK \[CLOSED\]|VANISHED)", line) is not None


def pipelined(session, commands):
    """Sends (text, what) so that some are always under way; [(what, untagged lines, tagged line without tag)]."""
    waiting, done = [], []

    def take():
        tag, what = waiting.pop(0)
        lines = []
        while not (line := session.wire.line()).startswith(tag.encode() + b" "):
            lines.append(line)
        done.append((what, lines, line.split(b" ", 1)[1]))

    for text, what in commands:
        waiting.append((session.send(text), what))
        if len(waiting) >= WINDOW:
            take()
    while waiting:
        take()
    return done
