"""The tables of tests/sieve (README.md there has their form)."""
import dataclasses
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "sieve"
TABLES = sorted(FOLDER.glob("*.txt"))
MANY = ("want", "error", "failed", "fact")
VALUED = ("flags", "specialuse", "mailboxid", "seconds", "subject", "from", "handle", "fcc", "importance", "message", "recipient", "body", "notify",
          "ret", "bytimerelative", "bytimeabsolute", "bymode", "type", "text")


@dataclasses.dataclass
class Action:
    """A line `want`: its word, its details as (name, value), and its last string."""
    word: str
    details: list
    target: str

    def all(self, name):
        return [value for key, value in self.details if key == name]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)


@dataclasses.dataclass
class Case:
    name: str
    where: str
    message: str
    lines: dict = dataclasses.field(default_factory=lambda: {**{word: [] for word in MANY}, "stored": {}})
    script: str = ""

    def facts(self, word):
        """What stands behind `fact WORD`."""
        return [rest[len(word):].strip() for rest in self.lines["fact"] if rest.split(" ")[0] == word]

    def actions(self):
        return [action(want) for want in self.lines["want"]]


def unquoted(text):
    r"""What a string of the table says: \n is a line's end, and any other octet behind a backslash is itself."""
    return re.sub(r"\\(.)", lambda m: "\r\n" if m[1] == "n" else m[1], text, flags=re.S)


def action(want):
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', want)
    words = [(unquoted(quoted), False) if not bare else (bare, True) for quoted, bare in words]
    details, target, i = [], "", 1
    while i < len(words):
        text, bare = words[i]
        if bare and text[:1] == ":":
            valued = text[1:] in VALUED
            details.append((text[1:], words[i + 1][0] if valued else ""))
            i += valued
        elif not bare:
            target = text
        i += 1
    return Action(words[0][0], details, target)


def text_of(block):
    while block and not block[-1]:
        block.pop()
    return "\n".join(block) + "\n"


def read(path):
    cases, messages, block = [], {}, None
    for number, line in enumerate(path.read_text().split("\n"), 1):
        word, _, rest = line.partition(" ")
        if line.startswith("    ") or (not line and block):
            block.append(line[4:])
        elif word == "message" and not cases:
            block = messages[rest] = []
        elif word == "case":
            cases.append(Case(rest, f"{path.name}:{number}", next(iter(messages))))
            block = None
        elif word == "message":
            cases[-1].message = rest
        elif word == "script":
            block = cases[-1].lines["script"] = []
        elif word == "stored":
            block = cases[-1].lines["stored"][rest] = []
        elif word in ("from", "to", "differs", "skip", "door"):
            cases[-1].lines[word] = rest
        elif word in MANY:
            cases[-1].lines[word].append(rest)
    for case in cases:
        case.script = "\n".join(case.lines["script"]) + "\n"
        case.message = "\n".join(messages[case.message]) + "\n"
        case.lines["stored"] = {name: text_of(block) for name, block in case.lines["stored"].items()}
    return cases
