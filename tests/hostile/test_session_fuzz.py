"""Sessions of the transcripts, replayed up to a line of chance and then broken. Whatever was sent, every response parses,
every tag that is owed an answer gets exactly one, the session goes on or ends with BYE, and another session sees its
mailbox in order.
POSTHORN_SEED=N repeats a run (1 is the short form's); POSTHORN_LONG=1 plays for ten minutes, with a seed of its own."""
import os
import random
import re
import shlex
import time

import pytest

from lib import grammar, mutate, server as posthorn, transcript
from lib.client import Imap, Refused
from lib.long import LONG
from lib.view import View
from lib.wire import Closed, Timeout, Wire

TRANSCRIPTS = sorted((posthorn.ROOT / "tests/transcripts").rglob("*.txt"))
SEED = os.environ.get("POSTHORN_SEED") or (str(random.randrange(10 ** 9)) if LONG else "1")
CASES_MIN = 20
SECONDS = int(os.environ.get("POSTHORN_FUZZ_SECONDS", "0"))
MESSAGES = ("tiny", "alt", "smith", "mooch", "gray", "utf8", "nested-mixed", "plain")
LITERAL_ROOM = 200000  # more octets of a literal than this are not waited for
LEAVES_PLAIN_TEXT = ("starttls", "compress")  # test_before_login.py and test_compress.py have those


class Story:
    """The commands of one transcript: for IMAP without their tags, for LMTP as they are."""

    def __init__(self, path, target, user):
        self.name = path.stem
        self.script = transcript.Script(path)
        self.target, self.user = target, user
        self.imap = [self.octets(s) for s in self.script.steps if s.word == ">" and not self.is_lmtp(s.actor)
                     and not s.text.lower().startswith(LEAVES_PLAIN_TEXT)]
        self.lmtp = [self.octets(s) for s in self.script.steps if s.word in (">", ">>", ">|") and self.is_lmtp(s.actor)]
        self.preauth = self.script.preauth or any("preauth" in k for k in self.script.actors.values())

    def is_lmtp(self, actor):
        return actor == "L" or "lmtp" in self.script.actors.get(actor, [])

    def message(self, name):
        return self.script.messages.get(name) or self.target.message(name) or b""

    def octets(self, step):
        """Literals do not wait here, so that a story is played without answers."""
        text = re.sub(r"\$(\w+)", lambda m: self.user if m[1] in posthorn.USERS else posthorn.PASSWORD
                      if m[1] == "password" else "1", step.text)
        if step.word != ">":
            whole = re.fullmatch(r"\{([A-Za-z][\w.-]*)\}", text)
            data = self.message(whole[1]) if whole else transcript.pattern.unescape(text)
            return data + (b"\r\n" if step.word == ">>" else b"")

        def literal(match):
            data = transcript.pattern.unescape(match[2]) if match[2] is not None else self.message(match[3])
            return f"{match[1]}{{{len(data)}+}}\r\n{data.decode('latin-1')}"
        end = b"\r\n" if self.is_lmtp(step.actor) else b""
        return transcript.LITERAL.sub(literal, transcript.pattern.unescape_wire(text).decode("latin-1")).encode("latin-1") + end


class Player:
    """One user's sessions: the one that is attacked, and a witness."""

    def __init__(self, target):
        self.target = target
        self.user = target.fresh_user("mallory")
        self.wire, self.count, self.sent = None, 0, []
        self.view = View()  # the witness's
        self.witness = Imap(target.address("imap"), self.user, posthorn.PASSWORD)
        self.fill()
        self.witness.select("INBOX")

    def fill(self):
        data = [self.target.message(name) for name in MESSAGES]
        self.witness.append_all("INBOX", [d for d in data if d])

    # -- one connection
    def open(self, login=True):
        self.close()
        self.wire = Wire(self.target.address("imap"), timeout=30)
        self.wire.line()
        if login:
            self.play(f'LOGIN "{self.user}" "{posthorn.PASSWORD}"'.encode())

    def close(self):
        if self.wire:
            self.wire.close()
        self.wire = None

    def tag(self):
        self.count += 1
        return b"f%d" % self.count

    def send(self, data):
        self.sent.append(data)
        try:
            self.wire.send(data)
        except Closed:
            pass  # it is read to its end all the same

    def play(self, command):
        """One command as it is in the story, to its answer; its end is no failure: stories say LOGOUT."""
        tag = self.tag()
        self.send(tag + b" " + command + b"\r\n")
        while True:
            line = self.wire.line()
            grammar.check(line)
            if line.startswith(tag + b" "):
                break
            if line.startswith(b"+") and command.upper().startswith((b"IDLE", b"AUTHENTICATE")):
                self.send(b"DONE\r\n")
        if command.upper().startswith(b"LOGOUT"):
            raise Closed

    # -- what is broken
    def read_to(self, tag):
        """(responses, whether the connection ended)."""
        lines, deadline = [], time.monotonic() + 30
        while True:
            try:
                line = self.wire.line(max(deadline - time.monotonic(), 0.01))
            except Closed:
                assert not self.wire.buffer, f"half a response: {self.wire.buffer!r}"
                return lines, True
            except Timeout:
                raise AssertionError(f"no answer to {tag!r} after {lines[-5:]!r}") from None
            grammar.check(line)
            lines.append(line)
            if line.startswith(tag + b" "):
                return lines, False

    def attack(self, mutator, commands, login):
        broken = b"".join(self.tag() + b" " + mutator.command(c) + b"\r\n" for c in commands)
        for piece in mutator.pieces(broken):
            self.send(piece)
        owed = mutate.Framing(broken, []).owed
        for match in re.finditer(rb"\{(\d+)\+?\}", broken):  # whichever of them it reads as a literal
            owed = max(owed, int(match[1]))
        if owed > LITERAL_ROOM:
            self.close()
            return
        first, last = self.tag(), self.tag()  # the first may end a literal, IDLE or an exchange
        filling = owed if b"{" in broken else 0
        self.send(b"\r\n" + (b"x" * 70 + b"\r\n") * (filling // 72 + (1 if filling else 0)))
        self.send(first + b" NOOP\r\n" + last + b" NOOP\r\n")
        lines, ended = self.read_to(last)
        self.judge(broken, lines, ended, filling)
        if ended or not login:
            self.close()

    def judge(self, broken, lines, ended, filling):
        tagged = [line.split(b" ", 1)[0] for line in lines if line[:2] not in (b"* ", b"+ ", b"+")]
        own = [t for t in tagged if re.fullmatch(rb"f\d+", t)]
        assert len(own) == len(set(own)), f"answered twice: {own}"
        known = set(re.findall(rb"f\d+", b"".join(self.sent)))
        assert set(own) <= known, f"answers for nobody: {set(own) - known}"
        if ended:
            assert any(line.startswith(b"* BYE") for line in lines), f"closed without BYE: {lines[-3:]!r}"
            return
        answers = [None if line[:1] == b"+" else line.split(b" ", 1)[0] for line in lines if line[:2] != b"* "]
        framing = mutate.Framing(broken, answers)
        if framing.certain and not filling and len(set(framing.tags)) == len(framing.tags):
            got = [t for t in tagged if t in framing.tags]
            assert got == framing.tags, f"owed {framing.tags}, answered {tagged}"

    def check(self):
        try:
            self.look()
        except (Closed, Refused):
            if not self.regain():
                raise
            self.look()

    def regain(self):
        """A story may take rights on INBOX from its own user ("-anyone"), which ends the witness's view. Were they?"""
        self.witness.wire.close()
        self.view, self.witness = View(), Imap(self.target.address("imap"), self.user, posthorn.PASSWORD)
        (line, *_), _ = self.witness.command("GETACL INBOX")
        entries = shlex.split(line.decode())[3:]
        taken = any(name.startswith("-") for name in entries[::2]) or not {"l", "r", "i"} <= set(entries[1])
        for name in entries[::2]:
            self.witness.command(f'DELETEACL INBOX "{name}"')
        self.witness.select("INBOX")
        return taken

    def look(self):
        """The witness: its view is never contradicted, and a new view of INBOX agrees with itself."""
        tag = self.witness.send("NOOP")
        lines, _ = self.witness.answer(tag)
        for line in lines:
            grammar.check(line)
            wrong = self.view.seen(line)
            assert not wrong, wrong
        known = self.witness.select("INBOX")
        if known["EXISTS"] < len(MESSAGES) // 2:
            self.fill()
            known = self.witness.select("INBOX")
        rows = self.witness.fetch("1:*", "(UID FLAGS)") if known["EXISTS"] else {}
        uids = [rows[n]["UID"] for n in sorted(rows)]
        assert len(rows) == known["EXISTS"] and uids == sorted(set(uids)), (known, uids)
        assert not uids or uids[-1] < known["UIDNEXT"]
        self.view = View()
        self.view.uids = uids


def one_imap(player, stories, dice):
    story = dice.choice([s for s in stories if s.imap])
    at = dice.randrange(len(story.imap))
    login = not (story.preauth and dice.random() < 0.7)
    player.sent = []
    if not (login and player.wire and dice.random() < 0.8):  # a session that bore the last story bears more
        player.open(login)
    mutator = mutate.Mutator(dice, [c for s in stories for c in s.imap])
    try:
        for command in story.imap[:at]:
            player.play(command)
    except Closed:
        player.close()
        return
    more = [dice.choice(mutator.others) for _ in range(dice.choice((0, 0, 1, 2)))]
    player.attack(mutator, [story.imap[at], *more], login)


def one_lmtp(player, stories, dice):
    """Broken at a line; then every end of a message and QUIT: the server answers in replies and closes."""
    story = dice.choice([s for s in stories if s.lmtp])
    at = dice.randrange(len(story.lmtp))
    mutator = mutate.Mutator(dice, [c for s in stories for c in s.lmtp])
    data = b"".join(story.lmtp[:at]) + mutator.command(story.lmtp[at]) + b"".join(story.lmtp[at + 1:at + 3])
    wire = Wire(player.target.address("lmtp"), timeout=30)
    player.sent = [data]
    try:
        for piece in mutator.pieces(data):
            wire.send(piece)
        wire.send(b"\r\n.\r\nQUIT\r\n")
        wire.sock.shutdown(1)
    except (Closed, OSError):
        pass
    try:
        while True:
            grammar.check_lmtp(wire.line())
    except Closed:
        assert not wire.buffer, f"half a reply: {wire.buffer!r}"
    finally:
        wire.close()


def seconds(long_form):
    return SECONDS or (600 if long_form else 18)


def test_broken_sessions(target, long_form):
    player = Player(target)
    stories = [Story(path, target, player.user) for path in TRANSCRIPTS]
    family, cases, until = sorted(target.family()), 0, time.monotonic() + seconds(long_form)
    print(f"POSTHORN_SEED={SEED}")
    while time.monotonic() < until or cases < CASES_MIN:
        dice = random.Random(f"{SEED}-{cases}")
        cases += 1
        try:
            (one_lmtp if dice.random() < 0.1 else one_imap)(player, stories, dice)
            player.check()
            target.check_reports()
            assert sorted(target.family()) == family, "a process died"
        except (AssertionError, Closed, Timeout) as error:
            text = b"".join(player.sent).decode("latin-1").encode("unicode_escape").decode()
            pytest.fail(f"POSTHORN_SEED={SEED}, case {cases - 1}: {error!r}\nsent: {text[-6000:]}\n{target.stderr()[-2000:]}")
    player.close()
    print(f"{cases} sessions")


# -- the harness itself --------------------------------------------------------------------------
WRONG = [b"* 1 FETCH (FLAGS (\\Seen)", b"* 1 FETCH (UID 0x1)", b'* 1 FETCH (ENVELOPE (NIL))', b"* OK", b"* FOO", b"a1 MAYBE x",
         b'* LIST (\\Seen) "/" a b', b"* SEARCH 1 x", b"* 1 FETCH (BODY[] {5}\r\nabc)", b'* 1 FETCH (BODY[] "a\0b")',
         b"* OK [UIDNEXT] x", b"* 01 EXISTS", b"* 0 EXPUNGE", b"* STATUS a (FOO 1)", b'* 1 FETCH (BODY ("TEXT" "PLAIN" NIL))',
         b"* OK [NOSUCHCODE] x", b"a1 OK ", b"* OK a\rb"]
RIGHT = [b"* 1 FETCH (FLAGS (\\Seen) UID 7)", b'* LIST (\\Noselect) "/" ""', b"* SEARCH", b"+ OK", b"a1 OK [APPENDUID 1 2] Done",
         b"* 1 FETCH (BODY[] {3}\r\na\r\n)", b'* ESEARCH (TAG "a1") UID COUNT 3 ALL 1:2,7', b"* BYE x", b"* 0 EXISTS"]


@pytest.mark.parametrize("response", WRONG)
def test_grammar_refuses(response):
    with pytest.raises(grammar.Wrong):
        grammar.check(response)


@pytest.mark.parametrize("response", RIGHT)
def test_grammar_accepts(response):
    grammar.check(response)


def test_framing():
    """Tags that are owed an answer, read independently of the server."""
    framing = mutate.Framing(b"f1 NOOP\r\nf2 CREATE {3+}\r\na\r\n x\r\nf3 CREATE {1}\r\nf4 NOOP\r\n", [b"f1", b"f2", b"f3", b"f4"])
    assert framing.tags == [b"f1", b"f2", b"f3", b"f4"] and framing.certain
    framing = mutate.Framing(b"f1 CREATE {3}\r\nabc\r\nf2 NOOP\r\n", [None, b"f1", b"f2"])
    assert framing.tags == [b"f1", b"f2"] and framing.certain
    assert mutate.Framing(b"f1 CREATE {9+}\r\nab", []).owed == 7
