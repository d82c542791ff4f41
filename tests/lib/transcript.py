"""Transcripts: protocol tests as stories with actors. tests/transcripts/README describes the notation."""
import base64
import re
import ssl
import time

from . import pattern
from .view import View
from .wire import Closed, Timeout, Wire

ONLY = re.compile(r"^\[(\w+)\] (?=[a-z])")
STEP = re.compile(r"^(?:\[(?P<only>\w+)\] )?(?P<actor>[A-Z]\d?)(?P<op>>>|>\||>|<\?|<!|<=|<)(?: (?P<text>.*))?$")
COLUMN = re.compile(r"\s{2,}(?=[A-Z]\d?(?:>>|>\||>|<\?|<!|<=|<) )")
TAGGED = re.compile(r"^(ok|no|bad|done)\b ?(.*)$")
LITERAL = re.compile(r'(~?)\{(?:"((?:[^"\\]|\\.)*)"|([A-Za-z][\w.-]*))(\+?)\}')
WORDS = ("message", "mailbox", "needs", "preauth", "on", "actor", "wait", "close", "starttls",
         "server", "timeout", "let", "compress", "uncompress", "labels")


class Failure(AssertionError):
    pass


class Skip(Exception):
    pass


class Step:
    def __init__(self, number, word, text, actor=None, only=None):
        self.number, self.word, self.text, self.actor, self.only = number, word, text, actor, only


class Script:
    """A parsed file. Raises ValueError with file and line when it is not a transcript."""

    def __init__(self, path, text=None):
        self.path = path
        self.head = ""
        self.messages, self.steps, self.mailboxes = {}, [], []
        self.needs, self.actors, self.on = [], {}, {}
        self.preauth, self.server, self.timeout = False, "default", 10.0
        text = text if text is not None else open(path, encoding="utf-8").read()
        self.lines = text.split("\n")
        self.parse()

    def parse(self):
        at = 0
        while at < len(self.lines):
            line = self.lines[at]
            at += 1
            if line.startswith("#") and not self.head:
                self.head = line[1:].strip()
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("message "):
                at = self.parse_message(line, at)
            else:
                for piece in COLUMN.split(line.rstrip()):
                    self.parse_line(piece, at)
        if not self.head:
            raise ValueError(f"{self.path}: the first comment line must say what is shown")

    def parse_message(self, line, at):
        words = line.split()
        body = []
        while at < len(self.lines) and (self.lines[at].startswith("    ") or not self.lines[at].strip()):
            body.append(self.lines[at][4:])
            at += 1
        while body and not body[-1]:
            body.pop()
        if words[2:] == ["raw"]:
            self.messages[words[1]] = pattern.unescape("".join(body))
        else:
            self.messages[words[1]] = b"".join(pattern.unescape(b) + b"\r\n" for b in body)
        return at

    def parse_line(self, line, number):
        step = STEP.match(line)
        if step:
            self.steps.append(Step(number, step["op"], step["text"] or "", step["actor"], step["only"]))
            return
        only = ONLY.match(line)
        word, _, rest = (line[only.end():] if only else line).partition(" ")
        if word not in WORDS:
            raise ValueError(f"{self.path}:{number}: not understood: {line}")
        if word == "needs":
            self.needs += rest.split()
        elif word == "preauth":
            self.preauth = True
        elif word == "actor":
            name, *kinds = rest.split()
            self.actors[name] = kinds
        elif word == "on":
            peer, verdict, *reason = rest.split(" ", 2)
            if verdict not in ("skip", "differs") or not reason:
                raise ValueError(f"{self.path}:{number}: on PEER skip|differs REASON")
            self.on[peer] = (verdict, reason[0])
        elif word == "server":
            self.server = rest
        elif word == "timeout":
            self.timeout = float(rest)
        elif word == "mailbox":
            self.mailboxes.append((number, rest))
        else:
            self.steps.append(Step(number, word, rest, only=only[1] if only else None))


class Actor:
    def __init__(self, name, wire, user):
        self.name, self.wire, self.user = name, wire, user
        self.pending, self.count = [], 0
        self.view, self.back = View(), []

    def tag(self):
        self.count += 1
        tag = f"{self.name.lower()}{self.count}"
        self.pending.append(tag)
        return tag


class Run:
    """One script against one server (lib.server.Server or lib.peers.Peer)."""

    def __init__(self, script, server, mapper=None):
        self.script, self.server = script, server
        self.map = mapper or (lambda text: text)
        self.actors, self.log = {}, []
        self.users, self.variables, self.over = {}, {}, False

    # -- connections -------------------------------------------------------------------------
    def user(self, name):
        if name not in self.users:
            self.users[name] = self.server.fresh_user(name)
            self.variables[name] = self.users[name]
            secret = self.server.password
            self.variables["password"] = secret
            plain = f"\0{self.users[name]}\0{secret}".encode()
            for key, text in ((name, self.users[name]), ("password", secret)):
                self.variables[key + "_base64"] = base64.b64encode(text.encode()).decode()
            self.variables["plain_" + name] = base64.b64encode(plain).decode()
            self.variables[f"plain_{name}_as_bob"] = base64.b64encode(b"bob" + plain).decode()
        return self.users[name]

    def open(self, name):
        kinds = self.kinds(name)
        service = "lmtp" if "lmtp" in kinds else "pop3" if "pop3" in kinds else "imap"
        service += "s" if "tls" in kinds else ""
        address = self.server.address(service)
        if address is None:
            raise Skip(f"no {service} at {self.server.name}")
        plain = [k for k in kinds if k not in ("lmtp", "pop3", "tls", "preauth", "starttls", "rev2")]
        user = self.user(plain[0] if plain else "alice")
        actor = Actor(name, Wire(address, tls="tls" in kinds, timeout=self.script.timeout), user)
        self.actors[name] = actor
        if service == "lmtp":
            return actor
        if "preauth" in kinds or self.script.preauth:
            return actor
        self.enter(actor, kinds)
        return actor

    def kinds(self, name):
        return self.script.actors.get(name, {"L": ["lmtp"], "P": ["pop3"]}.get(name, []))

    def enter_pop3(self, actor, kinds):
        commands = ["STLS"] if "starttls" in kinds else []
        actor.wire.line()
        for command in commands + [f"USER {actor.user}", f"PASS {self.server.password}"]:
            actor.wire.send(command.encode() + b"\r\n")
            line = actor.wire.line()
            if not line.startswith(b"+OK"):
                raise Failure(f"{command!r} was answered {line!r}")
            if command == "STLS":
                actor.wire.start_tls()

    def enter(self, actor, kinds):
        if "pop3" in kinds:
            self.enter_pop3(actor, kinds)
            return
        actor.wire.line()
        if "starttls" in kinds:
            self.quiet(actor, b"STARTTLS")
            actor.wire.start_tls()
        self.quiet(actor, f'LOGIN "{actor.user}" "{self.server.password}"'.encode())
        if "rev2" in kinds:
            self.quiet(actor, b"ENABLE IMAP4rev2")

    def quiet(self, actor, command):
        """A command of the runner's own: must be OK; the untagged lines are returned."""
        actor.wire.send(b"x0 " + command + b"\r\n")
        lines = []
        while True:
            line = actor.wire.line()
            if line.startswith(b"x0 "):
                if not line.upper().startswith(b"X0 OK"):
                    raise Failure(f"{command!r} was answered {line!r}")
                return lines
            lines.append(line)

    def get(self, name):
        return self.actors.get(name) or self.open(name)

    # -- preparation -------------------------------------------------------------------------
    def prepare(self):
        if not (self.script.needs or self.script.mailboxes):
            self.user("alice")
            return
        wire = Wire(self.server.address("imap"), timeout=self.script.timeout)
        actor = Actor("x", wire, self.user("alice"))
        self.enter(actor, [])
        self.check_needs(b" ".join(self.quiet(actor, b"CAPABILITY")).decode().upper().split())
        for number, text in self.script.mailboxes:
            self.fill(actor, text)
        self.quiet(actor, b"LOGOUT")
        wire.close()

    def check_needs(self, have):
        for need in self.script.needs:
            if any(cap == need.upper() or cap.startswith(need.upper() + "=") for cap in have):
                continue
            if self.server.name == "posthorn":
                raise Failure(f"the server does not have {need}: {' '.join(have)}")
            raise Skip(f"{self.server.name} has no {need}")

    def fill(self, actor, text):
        """mailbox NAME message(flags) message ...: created when it is not INBOX, messages appended."""
        name, rest = re.match(r'("(?:[^"\\]|\\.)*"|\S+)\s*(.*)', text).groups()
        name = self.map("status " + name + " ()")[7:-3]
        if name.strip('"').upper() != "INBOX" and name.strip('"').split("/")[-1].upper() != "INBOX":
            try:
                self.quiet(actor, b"CREATE " + name.encode())
            except Failure as failure:
                if "[ALREADYEXISTS]" not in str(failure):
                    raise
        for word, flags, times in re.findall(r"([\w.-]+)(\([^)]*\))?(?:\*(\d+))?", rest):
            data = self.script.messages.get(word) or self.server.message(word)
            for _ in range(int(times or 1)):
                head = f"x1 APPEND {name} {flags + ' ' if flags else ''}{{{len(data)}}}\r\n"
                actor.wire.send(head.encode())
                if not self.continued(actor):
                    raise Failure(f"preparing {name}: {actor.back[0]!r}")
                actor.wire.send(data + b"\r\n")
                while not (line := actor.wire.line()).startswith(b"x1 "):
                    pass
                if not line.upper().startswith(b"X1 OK"):
                    raise Failure(f"preparing {name}: {line!r}")

    def continued(self, actor):
        """Whether the server asks for the literal; its refusal is kept for the expectations."""
        while True:
            line = actor.wire.line()
            if line.startswith(b"+"):
                return True
            if not line.startswith(b"* "):
                actor.back.append(line)
                return False
            actor.back.append(line)

    # -- sending -----------------------------------------------------------------------------
    def note(self, actor, sign, data):
        self.log.append(f"{actor.name}{sign} {data.decode('utf-8', 'backslashreplace')}")

    def expand(self, text):
        def value(match):
            if match[1] not in self.variables:
                return match[0]
            return self.variables[match[1]]
        return re.sub(r"\$(\w+)", value, text)

    def data_of(self, match):
        if match[2] is not None:
            return pattern.unescape(match[2])
        data = self.script.messages.get(match[3]) or self.server.message(match[3])
        if data is None:
            raise ValueError(f"no message named {match[3]}")
        return data

    def send_command(self, actor, text):
        """The command with its literals, each synchronising one after the server's +."""
        untagged = {"lmtp", "pop3"} & set(self.kinds(actor.name))
        text = self.map(self.expand(text))
        actor.view.sent(text)
        out = b"" if untagged else (actor.tag() + " ").encode()
        at = 0
        for match in LITERAL.finditer(text):
            data = self.data_of(match)
            out += pattern.unescape_wire(text[at:match.start()])
            out += f"{match[1]}{{{len(data)}{match[4]}}}\r\n".encode()
            at = match.end()
            if not match[4]:
                self.note(actor, ">", out)
                actor.wire.send(out)
                out = b""
                if not self.continued(actor):
                    return
            out += data
        out += pattern.unescape_wire(text[at:]) + b"\r\n"
        self.note(actor, ">", out[:-2])
        actor.wire.send(out)

    def send_raw(self, actor, text, end):
        text = self.expand(text)
        whole = re.fullmatch(r"\{([A-Za-z][\w.-]*)\}", text)
        if whole:
            data = self.script.messages.get(whole[1]) or self.server.message(whole[1])
        else:
            data = pattern.unescape(text)
        self.note(actor, ">>", data)
        actor.wire.send(data + end)

    # -- expecting ---------------------------------------------------------------------------
    def expect(self, actor, steps):
        """One group of expectations: up to a tagged answer, or until all of them are met."""
        last = steps[-1]
        tagged = TAGGED.match(last.text) if last.word == "<" else None
        kinds = self.kinds(actor.name)
        if last.text == "eof":
            self.expect_end(actor, steps)
        elif "lmtp" in kinds or "pop3" in kinds:
            for step in steps:
                self.expect_reply(actor, step, "lmtp" in kinds)
        elif tagged:
            self.expect_tagged(actor, steps, tagged)
        else:
            self.expect_lines(actor, steps)

    def read(self, actor, step):
        try:
            line = actor.back.pop(0) if actor.back else actor.wire.line(self.script.timeout)
        except Timeout:
            raise Failure(self.say(step, "nothing more came")) from None
        except Closed:
            self.log.append(f"{actor.name}: closed by the server")
            raise Failure(self.say(step, "the connection was closed")) from None
        self.note(actor, "<", line)
        wrong = actor.view.seen(line)
        if wrong:
            raise Failure(self.say(step, f"the view is broken: {wrong}"))
        return line

    def expect_reply(self, actor, step, lmtp):
        """One LMTP reply, however many lines: the pattern is for its last line or for the whole. A line of POP3."""
        lines = [self.read(actor, step)]
        while lmtp and lines[-1][3:4] == b"-":
            lines.append(self.read(actor, step))
        line = b"\r\n".join(lines)
        if not self.matches(step, lines[-1]) and not self.matches(step, line):
            raise Failure(self.say(step, f"instead of {line!r}"))

    def expect_end(self, actor, steps):
        lines, last = [], steps[-1]
        try:
            while True:
                line = actor.wire.line(self.script.timeout)
                self.note(actor, "<", line)
                lines.append(line)
        except Timeout:
            raise Failure(self.say(last, "the connection stays open")) from None
        except Closed:
            self.judge(steps[:-1], lines)

    def expect_tagged(self, actor, steps, tagged):
        if not actor.pending:
            raise Failure(self.say(steps[-1], "no command is waiting"))
        tag = actor.pending.pop(0)
        lines = []
        while True:
            line = self.read(actor, steps[-1])
            word = line.split(b" ", 1)[0]
            if word == tag.encode():
                break
            if word not in (b"*", b"+"):
                raise Failure(self.say(steps[-1], f"an answer for another command: {line!r}"))
            lines.append(line)
        word = "$_" if tagged[1] == "done" else tagged[1]
        answer = f"{tag} {word}" + (f" {tagged[2]}" if tagged[2] else " ...")
        if tagged[2].startswith("[") and tagged[2].endswith("]"):
            answer += "..."
        if not self.matches(steps[-1], line, answer):
            raise Failure(self.say(steps[-1], f"instead of {line!r}"))
        self.judge(steps[:-1], lines)

    def expect_lines(self, actor, steps):
        lines, wanted = [], [s for s in steps if s.word in ("<", "<=")]
        if not wanted:
            raise Failure(self.say(steps[-1], "only a tagged answer can end this group"))
        left = list(wanted)
        while left:
            line = self.read(actor, left[0])
            lines.append(line)
            hit = next((s for s in left if self.matches(s, line, keep=False)), None)
            if hit:
                self.matches(hit, line)
                left.remove(hit)
        self.judge(steps, lines)

    def judge(self, steps, lines):
        """Every wanted line is among those received (once each, <= after its predecessor); no unwanted is."""
        used, previous = set(), -1
        for step in (s for s in steps if s.word in ("<", "<=", "<?")):
            start = previous + 1 if step.word == "<=" else 0
            found = next((i for i in range(start, len(lines))
                          if i not in used and self.matches(step, lines[i])), None)
            if found is None and step.word != "<?":
                raise Failure(self.say(step, "did not come"))
            if found is not None:
                used.add(found)
                previous = found
        for step in (s for s in steps if s.word == "<!"):
            for i, line in enumerate(lines):
                if i not in used and self.matches(step, line, keep=False):
                    raise Failure(self.say(step, f"must not come, but did: {line!r}"))

    def matches(self, step, line, text=None, keep=True):
        text = self.map(text or step.text)
        if text.startswith("* ") and text.endswith("]") and text.startswith(("* OK [", "* NO [", "* BYE [")):
            text += "..."
        messages = Messages(self.script.messages, self.server)
        try:
            found = pattern.match(text, line, messages, self.variables)
        except ValueError as error:
            raise Failure(self.say(step, str(error))) from None
        if found is None:
            return False
        if keep:
            self.variables.update(found)
        return True

    def say(self, step, what):
        talk = "\n".join("    " + line for line in self.log[-40:])
        return (f"{self.script.path}:{step.number}: {step.actor or ''}{step.word} {step.text}\n"
                f"  {what}\n  the conversation so far:\n{talk}")

    # -- the story ---------------------------------------------------------------------------
    def run(self):
        try:
            self.prepare()
            self.play([s for s in self.script.steps if s.only in (None, self.server.name)])
        except (Closed, ConnectionError) as error:
            talk = "\n".join("    " + line for line in self.log[-40:])
            raise Failure(f"{self.script.path}: closed: {error}\n{talk}") from None
        finally:
            for actor in self.actors.values():
                actor.wire.close()

    def play(self, steps):
        at = 0
        while at < len(steps) and not self.over:
            step = steps[at]
            if step.word.startswith("<"):
                end = at + 1
                while (end < len(steps) and steps[end].actor == step.actor and steps[end].word.startswith("<")
                       and not (steps[end - 1].word == "<" and TAGGED.match(steps[end - 1].text))):
                    end += 1
                self.expect(self.get(step.actor), steps[at:end])
                at = end
            else:
                self.act(step)
                at += 1

    def start_tls(self, step):
        """starttls ACTOR [or-closed]: or-closed allows the server to have ended the connection instead."""
        name, _, mercy = step.text.partition(" ")
        try:
            self.get(name).wire.start_tls()
        except (OSError, ssl.SSLError) as error:
            if mercy != "or-closed":
                raise Failure(self.say(step, f"no TLS: {error}")) from None
            self.over = True

    def act(self, step):
        if step.word == ">":
            self.send_command(self.get(step.actor), step.text)
        elif step.word == ">>":
            self.send_raw(self.get(step.actor), step.text, b"\r\n")
        elif step.word == ">|":
            self.send_raw(self.get(step.actor), step.text, b"")
        elif step.word == "wait":
            time.sleep(float(step.text))
        elif step.word == "close":
            self.actors.pop(step.text).wire.close()
        elif step.word == "starttls":
            self.start_tls(step)
        elif step.word == "compress":
            self.get(step.text).wire.compress()
        elif step.word == "uncompress":
            self.get(step.text).wire.uncompress()
        elif step.word == "labels":
            self.server.labels(self.user("alice"), step.text)
        elif step.word == "let":
            name, _, value = step.text.partition(" ")
            self.variables[name] = self.expand(value)


class Messages(dict):
    """The file's own messages first, then those of tests/mail."""

    def __init__(self, own, server):
        super().__init__(own)
        self.server = server

    def __contains__(self, name):
        return dict.__contains__(self, name) or self.server.message(name) is not None

    def __missing__(self, name):
        return self.server.message(name)


def run_file(path, server, mapper=None):
    """Runs one file. Returns ("pass"|"skip"|"differs", reason); raises Failure."""
    script = Script(path)
    verdict, reason = script.on.get(server.name, (None, None))
    if verdict == "skip":
        return "skip", reason
    try:
        chosen = server.for_script(script)
        Run(script, chosen, mapper).run()
        chosen.check_reports()
    except Skip as skip:
        return "skip", str(skip)
    except Failure:
        if verdict == "differs":
            return "differs", reason
        raise
    if verdict == "differs":
        raise Failure(f"{path}: said to differ on {server.name} ({reason}) but passes")
    return "pass", ""
