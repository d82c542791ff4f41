"""The tables of tests/sieve through the door: each script is put by ManageSieve, its message comes by LMTP, and what is in the folders and
at the smarthost then is what the table wants."""
import collections
import itertools
import re
import subprocess

import pytest

from lib import client, imapdata, scratch, server as posthorn
from lib.managesieve import Sieve, literal
from lib.sievecases import Action, TABLES, read
from lib.smarthost import Smarthost, queue_is_empty
from lib.waiting import wait_for

SPAM = "X-Spam-Score"
OFFERS = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "DELIVERBY")
TRACE = re.compile(rb"^(?:Return-Path: <[^\r]*\r\n|Delivered-To: [^\r]*\r\n|X-Original-To: [^\r]*\r\n|Received: from client\.example[^\r]*\r\n(?:\t[^\r]*\r\n)*)", re.M)
numbers = itertools.count(1)


class Zoned(posthorn.Server):
    """Two hours east, as the tables are."""

    def environment(self):
        return {**super().environment(), "TZ": "<+02>-2"}


def crlf(text):
    return text.replace("\n", "\r\n").encode()


def domains(cases):
    return sorted({case.lines["to"].partition("@")[2] for case in cases if "to" in case.lines})


@pytest.fixture(scope="module", name="door")
def make_door():
    cases = [case for table in TABLES for case in read(table)]
    host, folder = Smarthost(offers=OFFERS), scratch.folder("global")
    for case in cases:
        for kind, name, text in (fact.split(" ", 2) for fact in case.facts("script")):
            if kind == "global":
                (folder / f"{name}.sieve").write_text(text)
    posthorn.give_to_service(folder)
    server = Zoned({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["d.test", *domains(cases)], "log_level": "warning",
                    "sieve_global": [str(folder)], "sieve_spam_header": SPAM, "sieve_spam_score": 100, "sieve_virus_header": "X-Virus",
                    "admin_users": ["alice"]})
    names = [user_of(case) for case in cases]
    users = server.dir / "users"
    users.write_text("".join(f"{name}:{{PLAIN}}{posthorn.PASSWORD}::::::\n" for name in sorted(set(names))))
    posthorn.run_verb("user", "load", users, "--data", server.data)
    made = Door(server, host)
    try:
        yield made
        made.check_nothing_else()
    finally:
        server.stop()
        host.close()


def user_of(case):
    """Each case has a user of its own."""
    named = [rest.split(" ")[2] for rest in case.lines["fact"] if rest.startswith("environment vnd.dovecot.username ")]
    return named[0] if named else "u" + re.sub(r"\W", "", case.where)


def word(name):
    """A mailbox's name in a command."""
    return f"{{{len(name.encode())}+}}\r\n{name}"


def named(value):
    return value.decode() if isinstance(value, bytes) else str(value)


class Door:
    def __init__(self, server, host):
        self.server, self.host = server, host
        self.owner = {}  # address: the user who has it now
        self.admin = server.imap("alice")
        self.lmtp = client.Lmtp(server.address("lmtp"))
        self.seen = 0  # recipients of mails that went out

    def verb(self, *words):
        posthorn.run_verb(*words, "--data", self.server.data)

    def lead(self, address, user):
        """Mail for the address goes to this user from now on."""
        if address in self.owner:
            self.verb("address", "delete", address)
        self.verb("address", "add", address, user)
        self.owner[address] = user

    def mails(self, n):
        """What went out since the last case, once it has n recipients."""
        wait_for(lambda: len(self.sent()) >= self.seen + n, f"{n} recipients of mail that goes out")
        found = self.sent()[self.seen:]
        self.seen += len(found)
        return found

    def sent(self):
        with self.host.lock:
            return [(to, line, mail) for mail in self.host.mails for to, line in zip(mail["to"], mail["rcpt"])]

    def check_nothing_else(self):
        """Nothing went out but what was waited for."""
        wait_for(lambda: queue_is_empty(self.server))
        assert len(self.sent()) == self.seen, self.sent()[self.seen:]


class Run:
    """A case at the door."""

    def __init__(self, door, case):
        self.door, self.case, self.user = door, case, user_of(case)
        self.script, self.wrong = case.script, []
        self.sender = case.lines.get("from", "sender@far.test").replace("<>", "")
        self.imap = door.server.imap(self.user)
        self.imap.command("ENABLE UTF8=ACCEPT")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.imap.close()

    # ---- before ----

    def put(self, sieve, name, text):
        return sieve.ask(b'PUTSCRIPT "%s" %s' % (name.encode(), literal(text)))

    def prepare(self, sieve):
        for name in self.case.facts("mailbox"):
            self.create(name)
        for rest in self.case.facts("use"):
            use, name = rest.split(" ")
            for old in ("\\Junk", "\\Archive"):
                self.imap.command(f'SETMETADATA "{self.with_use(old)}" (/private/specialuse NIL)')
            self.create(name)
            self.imap.command(f'SETMETADATA "{name}" (/private/specialuse {word(use)})')
        for rest in self.case.facts("id"):
            number, name = rest.split(" ")
            self.create(name)
            lines, _ = self.imap.command(f'STATUS "{name}" (MAILBOXID)')
            self.script = self.script.replace(number, re.search(rb"MAILBOXID \((.*?)\)", lines[0])[1].decode())
        for address in self.case.facts("own"):
            self.door.lead(address, self.user)
        for rest in self.case.facts("metadata"):
            self.set_metadata(*re.match(r"(?:(\w+) )?(/\S+) ?(.*)", rest).groups())
        for kind, name, text in (rest.split(" ", 2) for rest in self.case.facts("script")):
            assert kind == "global" or self.put(sieve, name, text)[0] == "OK"
        for name in {a.target for a in self.case.actions() if a.word == "fileinto" and not a.all("create")}:
            self.create(name)
        for name in self.case.facts("seen"):
            self.deliver_seen(sieve, f':uniqueid "{name}"')
        for rest in self.case.facts("handled"):
            handle, unique = rest.split(" ", 1)
            self.deliver_seen(sieve, f':handle "{handle}" :uniqueid "{unique}"')

    def create(self, name):
        """A name that IMAP takes; mail for others is kept in INBOX."""
        try:
            self.imap.command("CREATE", name.encode())
        except client.Refused:
            pass

    def set_metadata(self, mailbox, entry, value):
        by, octets = self.door.admin if entry.startswith("/shared/") else self.imap, value.replace("\\n", "\n").encode()
        by.command(f'SETMETADATA "{mailbox or ""}" ({entry} {word(octets.decode())})')

    def deliver_seen(self, sieve, words):
        """A message came that asked `duplicate` for this."""
        self.activate(sieve, f'require "duplicate"; if duplicate {words} {{ stop; }} discard;')
        self.deliver(b"Subject: before\r\n\r\n")

    def activate(self, sieve, text):
        answer = self.put(sieve, "main", text)
        assert answer[0] == "OK" and sieve.ask('SETACTIVE "main"')[0] == "OK", (self.case.where, answer)

    def message(self):
        scored = [f"{SPAM}: {rest.split(' ')[1]}\n" for rest in self.case.facts("spam")]
        scored += ["X-Virus: infected\n" for rest in self.case.facts("virus") if rest == "5"]
        return crlf("".join(scored) + self.case.message)

    def deliver(self, data):
        """LMTP's answer."""
        lmtp, given = self.door.lmtp, dict(rest.split(" ") for rest in self.case.facts("envelope"))
        to = self.case.lines.get("to", f"{self.user}@d.test")
        mail = "".join(f" ENVID={value}" for part, value in given.items() if part == "envid")
        rcpt = "".join(f" NOTIFY={value}" for part, value in given.items() if part == "notify")
        lmtp.command("RSET")
        lmtp.command(f"MAIL FROM:<{self.sender}>{mail}")
        lmtp.command(f"RCPT TO:<{to}>{rcpt}")
        lmtp.command("DATA")
        lmtp.wire.send(re.sub(rb"(?m)^\.", b"..", data) + b".\r\n")
        lines = [lmtp.wire.line().decode()]
        while lines[-1][3:4] == "-":
            lines.append(lmtp.wire.line().decode())
        return "\n".join(lines)

    # ---- after ----

    def folders(self):
        """{name: how many}, of those that are not empty."""
        lines, _ = self.imap.command('LIST "" "*" RETURN (STATUS (MESSAGES))')
        rows = [imapdata.parse(line[9:])[0] for line in lines if line.startswith(b"* STATUS ")]
        return {named(name): values[1] for name, values in rows if values[1]}

    def with_use(self, use):
        lines, _ = self.imap.command('LIST (SPECIAL-USE) "" "*"')
        rows = [imapdata.parse(line[7:])[0] for line in lines]
        return next((named(row[2]) for row in rows if use in row[0]), None)

    def texts(self, name):
        """[(flags, octets)]"""
        self.imap.command("SELECT", name.encode())
        return [(tuple(sorted(flag.lower() for flag in row["FLAGS"] if flag != "\\Recent")), row["BODY[]"])
                for row in self.imap.fetch("1:*", "(FLAGS BODY.PEEK[])").values()]

    def expect(self):
        """{folder: flags}"""
        found = {}
        for act in self.case.actions():
            flags = tuple(sorted(act.get("flags", "").lower().split()))
            if act.word == "keep":
                found["INBOX"] = flags
            elif act.word == "fileinto":
                found[self.place(act, act.target)] = flags
        return found

    def place(self, act, name):
        """Where it should be: the folder with the id, or the use, or the name, if it is one."""
        ids = dict(rest.split(" ") for rest in self.case.facts("id"))
        if act.get("mailboxid") in ids:
            return ids[act.get("mailboxid")]
        if act.get("specialuse") and self.with_use(act.get("specialuse")):
            return self.with_use(act.get("specialuse"))
        if name.upper() == "INBOX":
            return "INBOX"
        try:
            self.imap.command(f"STATUS {word(name)} (MESSAGES)")
        except client.Refused:
            return "INBOX"
        return name

    def say(self, *what):
        self.wrong.append(f"{self.case.where} {self.case.name}: " + " ".join(map(str, what)))

    def check_stored(self, data):
        """The folders, the flags and the octets."""
        want, found = self.expect(), self.folders()
        copies = {self.place(act, act.get("fcc")): tuple(sorted(act.get("flags", "").lower().split()))
                  for act in self.case.actions() if act.get("fcc")}
        notices = len(self.case.lines["failed"])
        counts = collections.Counter([*want, *copies, *["INBOX"] * notices])
        if found != dict(counts):
            self.say("stored in", found, "and not in", dict(counts))
            return
        for name, flags in want.items():
            rows = self.texts(name)
            if rows[0][0] != flags:
                self.say(name, "has the flags", rows[0][0], "and not", flags)
            self.check_octets(name, rows[0][1], data)
            if name == "INBOX" and notices:
                self.check_notice(rows[1][1])
        for name, flags in copies.items():
            if self.texts(name)[-1][0] != flags:
                self.say("the copy of what was sent has the flags", self.texts(name)[-1][0])

    def check_octets(self, name, octets, data):
        """As it came, behind the trace fields; or as the table says."""
        stored = self.case.lines["stored"].get(name)
        bare = TRACE.sub(b"", octets)
        if stored is None:
            if bare != data:
                self.say(name, "has other octets:", octets)
        elif not re.fullmatch(re.escape(crlf(stored)).replace(rb"\(\*\)", rb"[^\r]*"), bare):
            self.say(name, "has", bare.decode(errors="replace"), "\nand not", stored)

    def check_notice(self, octets):
        """The user is told which line failed, and why."""
        where, text = self.case.lines["failed"][0].split(" ", 1)
        said = re.sub(r"\s+", " ", octets.decode(errors="replace"))
        if f"line {where.split(':')[0]}:" not in said or re.sub(r"\s+", " ", text) not in said:
            self.say("the notice is", octets)

    def check_sent(self):
        """What goes out: to whom, and what is said in it."""
        expected = []
        for act in self.case.actions():
            if act.word in ("redirect", "report"):
                expected.append((act.target, act))
            elif act.word == "vacation":
                expected.append((self.sender, act))
            elif act.word == "notify":
                expected += [(recipient, act) for recipient in act.all("recipient")]
        if "SUCCESS" in dict(rest.split(" ") for rest in self.case.facts("envelope")).get("notify", ""):
            expected.append((self.sender, Action("success", [], "")))
        got = self.door.mails(len(expected))
        for act in self.case.actions():
            if act.all("bytrace"):
                self.wait_for_trace()
        if sorted(to for to, _ in expected) != sorted(to for to, _, _ in got):
            self.say("went to", [to for to, _, _ in got], "and not to", [to for to, _ in expected])
            return
        for (to, act), (_, line, mail) in zip(sorted(expected, key=lambda e: e[0]), sorted(got, key=lambda g: g[0])):
            check = getattr(self, "sent_" + act.word)
            check(act, line, mail, mail["text"].decode(errors="replace"))

    def sent_redirect(self, act, line, mail, text):
        if not text.endswith("\r\n\r\n" + self.message().decode().partition("\r\n\r\n")[2]) or "X-Sieve-Redirected-From:" not in text:
            self.say("redirected is", text)
        if act.get("notify") and f"NOTIFY={act.get('notify').upper()}" not in line:
            self.say("redirected with", line)
        if self.is_owners(act) and mail["from"] != self.own_address():
            self.say("redirected from", mail["from"])
        if act.get("ret") and f"RET={act.get('ret')}" not in mail["mail"] or act.get("bymode") and not re.search(r" BY=\d+;RT", mail["mail"]):
            self.say("redirected with", mail["mail"])

    def sent_success(self, _act, _line, mail, text):
        """RFC 3461 section 5.2.3: filed is delivered."""
        if mail["from"] != "" or "\r\nAction: delivered\r\n" not in text:
            self.say("told of success with", text)

    def own_address(self):
        return self.case.lines.get("to", f"{self.user}@d.test")

    def is_owners(self, act):
        """RFC 6009 sections 6.1 and 7.1: who asks for reports gets them."""
        return bool(self.sender) and any(act.all(word) for word in ("notify", "ret", "bytimerelative", "bytimeabsolute"))

    def wait_for_trace(self):
        """RFC 2852 section 4.1.4.2: who asked for a trace, here the script's owner, is told that it was relayed."""
        def traced():
            return "INBOX" in self.folders() and any(b"\r\nAction: relayed\r\n" in octets for _, octets in self.texts("INBOX"))
        wait_for(traced, "the trace of a redirect")

    def sent_vacation(self, act, line, mail, text):
        subject = act.get("subject") or "Auto: "
        if mail["from"] != "" or not re.search(r"^Auto-Submitted: auto-replied", text, re.M) or not re.search(rf"^Subject: .*{re.escape(subject)}", text, re.M):
            self.say("answered", mail["mail"], text)
        if "NOTIFY=NEVER" not in line:  # RFC 5230 section 5.1
            self.say("answered with", line)
        if not act.all("mime") and not text.endswith(act.target.rstrip("\r\n") + "\r\n"):
            self.say("answered", text)

    def sent_notify(self, act, _line, _mail, text):
        subject = act.get("message") or act.get("subject")
        if not re.search(r"^Auto-Submitted: auto-notified", text, re.M) or (subject and f"Subject: {subject}\r\n" not in text):
            self.say("notified", text)
        importance = {"1": "high", "3": "low"}.get(act.get("importance"))
        if importance and f"Importance: {importance}\r\n" not in text:
            self.say("notified", text)

    def sent_report(self, act, _line, _mail, text):
        if "Feedback-Type: " + act.get("type") not in text or act.get("text") not in text:
            self.say("reported", text)

    def check_answer(self, answer):
        refused = [act for act in self.case.actions() if act.word in ("reject", "ereject")]
        said = [line[10:] for line in answer.split("\n")]
        if not re.match("550[ -]5.7.1 " if refused else "250 ", answer) or (refused and said != refused[0].target.split("\r\n")[:len(said)]):
            self.say("LMTP says", answer)

    def check_mistake(self, answer):
        """ManageSieve's answer has line, column and text of the table."""
        where, text = self.case.lines["error"][0].replace("\\n", "\r\n").split(" ", 1)
        line, column = where.split(":")
        if answer[0] != "NO" or f"line {line}, column {column}: {text}" not in answer[2]:
            self.say("ManageSieve says", answer)

    def whole(self):
        with Sieve(self.door.server.address("managesieve")) as sieve:
            assert sieve.login(self.user, posthorn.PASSWORD)[0] == "OK"
            if self.case.lines["error"]:
                self.check_mistake(self.put(sieve, "main", self.script))
                return
            if "to" in self.case.lines:
                self.door.lead(self.case.lines["to"], self.user)
            self.prepare(sieve)
            self.activate(sieve, self.script)
        data = self.message()
        self.check_answer(self.deliver(data))
        if not any(act.all("bytrace") for act in self.case.actions()):  # of which INBOX is told, at any time
            self.check_stored(data)
        self.check_sent()


@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.stem)
def test_through_the_door(door, table):
    wrong, asked = [], 0
    for case in read(table):
        if "door" in case.lines:
            continue
        asked += 1
        with Run(door, case) as run:
            try:
                run.whole()
            except (client.Refused, AssertionError) as error:
                run.say(error)
            wrong += run.wrong
    assert asked and not wrong, f"{len(wrong)} of {asked}\n" + "\n".join(wrong)
