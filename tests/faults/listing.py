"""What a data directory holds, by store_list.c: no server is needed."""
import dataclasses
import subprocess

import eventlog

BITS = ((1, "\\Seen"), (2, "\\Answered"), (4, "\\Flagged"), (8, "\\Deleted"), (16, "\\Draft"))


@dataclasses.dataclass
class Box:
    validity: int
    uidnext: int
    modseq: int
    rows: dict  # UID -> (digest, X-Id, flags, modseq)


@dataclasses.dataclass
class Account:
    user: str
    modseq: int
    boxes: dict
    subscribed: set


@dataclasses.dataclass
class Listing:
    fault: str = None
    errors: int = None
    reports: list = dataclasses.field(default_factory=list)
    accounts: dict = dataclasses.field(default_factory=dict)  # by user


class Lister:
    """One process that lists one store after another."""

    def __init__(self, segment_size=0, program=None, everything=False):
        self.process = subprocess.Popen([program or eventlog.release("src/store/store_list"), str(segment_size),
                                         *(["all"] if everything else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def lines(self, path):
        """All lines about one store, as store_list.c says them."""
        self.process.stdin.write(f"{path}\n".encode())
        self.process.stdin.flush()
        said = []
        while True:
            line = self.process.stdout.readline().decode(errors="replace")
            if not line:
                raise AssertionError(f"store_list ended with {self.process.wait()} after {said[-20:]}")
            if line == "end\n":
                return said
            said.append(line.rstrip("\n"))

    def list(self, path):
        found = Listing()
        for line in self.lines(path):
            self.take(found, line)
        return found

    def take(self, found, line):
        word, _, rest = line.partition(" ")
        fields = rest.split(" ")
        if word == "fault":
            found.fault = rest
        elif word == "report":
            found.reports.append(rest)
        elif word == "errors":
            found.errors = int(rest)
        elif word == "account":
            self.account = found.accounts[fields[1]] = Account(fields[1], int(fields[2]), {}, set())
        elif word == "box":
            self.box = self.account.boxes[text(fields[0])] = Box(*map(int, fields[1:4]), {})
        elif word == "row":
            flags = frozenset([name for bit, name in BITS if int(fields[1]) & bit] + fields[5:])
            self.box.rows[int(fields[0])] = (fields[3], fields[4], flags, int(fields[2]))
        elif word == "subscribed":
            self.account.subscribed.add(text(fields[0]))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def text(hexadecimal):
    return bytes.fromhex(hexadecimal).decode()


def one(path, segment_size=0):
    lister = Lister(segment_size)
    try:
        return lister.list(path)
    finally:
        lister.close()
