"""What is measured: one row each, with issue-level goals as the factor over the peer."""
import dataclasses
import os
import re
import statistics
import subprocess
import sys


@dataclasses.dataclass
class Row:
    name: str
    title: str
    load: str             # operation and options of bench/load; {big} and {bodies} are sizes of mailboxes
    unit: str             # which figure of load's line: rate, messages, mb, p50, memory
    goal: float           # the factor to reach over the peer
    count: tuple = (1, 1)  # --count: quick, full
    before: tuple = ()    # commands sent first (not measured), each a session of its own
    after: tuple = ()
    cold: bool = False    # the server is restarted and its files leave the page cache
    once: bool = False    # only the first run means anything
    flags: bool = False   # of STORE: the peer has to sync flags too (mail_fsync = always)
    port: str = "imap"
    user: int = 1
    peaks: tuple = ()     # absolute goals for Posthorn: (figure, at most)


LOW = ("p50", "memory")  # figures that are better when smaller
BIG, BODIES = "--mailbox Big --range {big}", "--mailbox Bodies --range {bodies}"

ROWS = [
    Row("append-1", "durable APPEND 5 KB, 1 session, /s", "append --size 5000", "rate", 2.4, (600, 8000), user=10),
    Row("append-32", "the same, 32 sessions of 32 users, /s", "append --size 5000 --sessions 32 --users 32", "rate", 5, (4000, 40000),
        user=100, peaks=(("p99", 5),)),
    Row("append-32-one", "the same, 32 sessions of one user, /s", "append --size 5000 --sessions 32", "rate", 8, (3000, 40000),
        user=200, peaks=(("p99", 5),)),
    Row("append-50k", "APPEND 50 KB, 32 sessions, /s", "append --size 50000 --sessions 32 --users 32", "rate", 3, (1000, 10000), user=300),
    Row("lmtp-1", "LMTP 5 KB, 1 session, /s", "lmtp --size 5000", "rate", 4, (300, 4000), port="lmtp", user=400),
    Row("lmtp-32", "LMTP 5 KB, 32 sessions, /s", "lmtp --size 5000 --sessions 32 --users 32", "rate", 6, (2000, 20000), port="lmtp", user=500),
    Row("select-cold", "SELECT of the big mailbox, cold, ms", f"select {BIG}", "p50", 1, cold=True),
    Row("select-new", "the same, a new session, ms", f"select --sessions 20 --serial 1 {BIG}", "p50", 1, (20, 20)),
    Row("select-same", "the same, again in one session, ms", f"select {BIG}", "p50", 1, (1000, 10000)),
    Row("flags-cold", "first FETCH 1:* FLAGS, cold, messages/s", f"fetch-flags {BIG}", "messages", 1, cold=True),
    Row("flags", "FETCH 1:* FLAGS, messages/s", f"fetch-flags {BIG}", "messages", 2, (20, 50)),
    Row("structure-first", "ENVELOPE BODYSTRUCTURE, very first, cold, messages/s", f"fetch-structure {BODIES}", "messages", 1, cold=True, once=True),
    Row("structure", "the same, warm, messages/s", f"fetch-structure {BODIES}", "messages", 2.5, (20, 50)),
    Row("bodies", "bodies, plain, MB/s", f"fetch-bodies {BODIES}", "mb", 3, (5, 5)),
    Row("bodies-tls", "bodies, TLS, MB/s", f"fetch-bodies --tls 1 {BODIES}", "mb", 3, (5, 5), port="imaps"),
    Row("bodies-cold", "bodies, cold pages, MB/s", f"fetch-bodies {BODIES}", "mb", 3, cold=True),
    Row("store-1", "STORE on one message, 1 session, /s", f"store-one {BIG}", "rate", 2, (600, 10000), flags=True),
    Row("store-32", "the same, 32 sessions, /s", f"store-one --sessions 32 {BIG}", "rate", 4, (3000, 30000), flags=True),
    Row("store-all", "STORE 1:* of the big mailbox, ms", f"store-all {BIG}", "p50", 1, (6, 10), flags=True),
    Row("copy", "COPY of the big mailbox, messages/s", f"copy-all {BIG}", "messages", 6, before=("DELETE Copies", "CREATE Copies")),
    Row("move", "MOVE of as many, messages/s", "move-all --mailbox Copies --target Moved --range {big}", "messages", 9,
        before=("DELETE Copies", "CREATE Copies", "DELETE Moved", "CREATE Moved", "SELECT Big;COPY 1:* Copies"), after=("DELETE Moved",)),
    Row("expunge", "EXPUNGE of as many, messages/s", "expunge-all --mailbox Copies --range {big}", "messages", 2.5,
        before=("DELETE Copies", "CREATE Copies", "SELECT Big;COPY 1:* Copies", "SELECT Copies;STORE 1:* +FLAGS.SILENT (\\Deleted)")),
    Row("search-flag", "SEARCH FLAGGED, ms", f"search-flag {BIG}", "p50", 2, (50, 100)),
    Row("search-date", "SEARCH SENTSINCE, ms", f"search-date {BIG}", "p50", 2, (10, 20)),
    Row("search-subject-first", "SEARCH SUBJECT, first, cold, ms", f"search-subject {BIG}", "p50", 1, cold=True, once=True),
    Row("search-subject", "SEARCH SUBJECT, ms", f"search-subject {BIG}", "p50", 2, (5, 10)),
    Row("idle", "memory of an idle session, plain, KB", "idle --sessions {idle} --users {idle} --hold {hold}", "memory", 1, user=1000, cold=True,
        peaks=(("memory", 4),)),
    Row("idle-tls", "memory of an idle session, TLS, KB", "idle --sessions {idle} --users {idle} --hold {hold} --tls 1", "memory", 1,
        port="imaps", user=1000, cold=True, peaks=(("memory", 21),)),
    Row("exists", "EXISTS at an idler after the 250, ms", "exists --sessions {idle} --users {idle}", "p50", 1, (10, 1000), user=1000,
        peaks=(("p50", 1), ("p99", 5))),
    Row("login", "LOGIN and LOGOUT, /s", "login --sessions 8 --users 8", "rate", 8, (1000, 10000), user=600),
    Row("handshake", "TLS connection and greeting, /s", "handshake --sessions 8 --tls 1", "rate", 1, (1000, 5000), port="imaps"),
]


def words_of(text):
    """Options of a load line; the values here hold no blanks."""
    return text.split()


class Bench:
    def __init__(self, servers, chosen):
        self.servers, self.chosen = servers, chosen
        self.load = chosen.build / "bench/load"
        quick = chosen.quick
        self.sizes = {"big": 16000 if quick else 128000, "bodies": 2000 if quick else 10000,
                      "idle": 200 if quick else 1000, "hold": 3 if quick else 60}
        self.filled = set()

    def run(self, server, words, port="imap"):
        """One line of bench/load as a dictionary."""
        command = [self.load, *words, "--port", server.ports[port], "--lmtp", server.ports["lmtp"], "--tree", server.process.pid,
                   "--folder", server.dir]
        done = subprocess.run([str(w) for w in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{server.name}: {done.stderr}")
        found = dict(re.findall(r"(\S+)=(\S+)", done.stdout))
        return {k: float(v) if k != "op" else v for k, v in found.items()}

    def command(self, server, text, must=True):
        prepare, _, command = text.rpartition(";")
        try:
            self.run(server, ["command", "--prepare", prepare or "NOOP", "--command", command])
        except RuntimeError:
            if must:
                raise

    def fill_big(self, server):
        """1,000 messages, doubled by COPY."""
        self.command(server, "CREATE Big")
        self.run(server, words_of("append --size 2000 --pool 1000 --count 1000 --sessions 4 --mailbox Big"))
        for _ in range((self.sizes["big"] // 1000).bit_length() - 1):
            self.command(server, "SELECT Big;COPY 1:* Big")
        self.command(server, "SELECT Big;STORE 1:1000 +FLAGS.SILENT (\\Flagged)")

    def fill_bodies(self, server):
        self.command(server, "CREATE Bodies")
        self.run(server, words_of(f"append --size 0 --pool 500 --count {self.sizes['bodies']} --sessions 4 --mailbox Bodies"))

    def fill(self, row):
        for name in ("big", "bodies"):
            if "{" + name + "}" in row.load and name not in self.filled:
                self.filled.add(name)
                for server in self.servers:
                    getattr(self, f"fill_{name}")(server)

    def once(self, row, server, count):
        for text in row.before:
            self.command(server, text, must=not text.startswith("DELETE"))
        if row.cold:
            server.restart(cold=True)
        words = words_of(row.load.format(**self.sizes))
        found = self.run(server, [*words, "--count", count, "--first", row.user], row.port)
        for text in row.after:
            self.command(server, text, must=False)
        return found

    def measure(self, row):
        """{server's name: medians}, run in turns."""
        self.fill(row)
        count = row.count[0 if self.chosen.quick else 1]
        if not row.once and count >= 100:
            for server in self.servers:
                self.once(row, server, count // 10)
        found = {server.name: [] for server in self.servers}
        for _ in range(1 if row.once else self.chosen.runs):
            for server in self.servers:
                found[server.name].append(self.once(row, server, count))
        medians = {name: {k: statistics.median(run[k] for run in runs) for k in runs[0] if k != "op"} for name, runs in found.items()}
        print(row.name, f"load {os.getloadavg()[0]:.1f}", {n: {k: m[k] for k in (row.unit, "p99", "cpu", "written")} for n, m in medians.items()},
              file=sys.stderr, flush=True)
        return medians
