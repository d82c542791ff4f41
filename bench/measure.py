"""Fills the mailboxes, runs the rows on each server in turn, and takes the medians."""
import os
import pathlib
import re
import statistics
import subprocess
import sys

import servers
from lib import corpus
from place import Disk, Raised

HERE = pathlib.Path(__file__).resolve().parent

QUICK = {"big": 16000, "texts": 10000, "sorted": 16000, "half": 8000, "million": 64000, "bodies": 2000,
         "idle": 200, "idlers": 200, "notified": 200, "hold": 10, "limit": 6}
FULL = {"big": 100000, "texts": 100000, "sorted": 100000, "half": 50000, "million": 1000000, "bodies": 10000,
        "idle": 5000, "idlers": 1000, "notified": 1000, "hold": 60, "limit": 20}
# A peer has a process for each session: what one costs does not change with their number, and 5,000 do not fit.
PEER_IDLE = 1000
# Of a row's sessions so many in a hundred come and go before its memory is measured.
FIRST_PERCENT, FIRST_LEAST = 1, 2
# In one COPY; beyond that Dovecot ends at its own limit of memory.
COPY_MOST = 100000


def words_of(text):
    """Options of a load line; the values here hold no blanks."""
    return text.split()


class Loads:
    """Runs bench/load on a server."""

    def __init__(self, chosen):
        self.load = chosen.build / "bench/load"
        self.folder = chosen.folder
        self.sizes = QUICK if chosen.quick else FULL

    def sizes_for(self, server):
        most = self.sizes["idle"] if server.name == "Posthorn" else min(self.sizes["idle"], PEER_IDLE)
        return {**self.sizes, "idle": most}

    def run(self, server, words, port="imap", disk=False):
        """One line of bench/load as a dictionary."""
        command = [self.load, *words, "--port", server.ports[port], "--lmtp", server.ports["lmtp"], "--tree", server.process.pid]
        if disk:
            command += ["--folder", server.dir]
        return self.line(command, server.name)

    def line(self, command, name):
        done = subprocess.run([str(w) for w in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {' '.join(map(str, command[1:4]))}: {done.stderr.strip()[:300]}")
        found = dict(re.findall(r"(\S+)=(\S+)", done.stdout))
        return {k: float(v) for k, v in found.items() if k != "op"}

    def command(self, server, text, must=True, user=1):
        prepare, _, command = text.rpartition(";")
        try:
            self.run(server, ["command", "--prepare", prepare or "NOOP", "--command", command, "--first", user])
        except RuntimeError:
            if must:
                raise

    def openssl(self):
        return self.line([self.load, "openssl", "--count", 2000], "openssl")


class Fill:
    """Mailboxes as the rows want them, made once on each server."""

    def __init__(self, loads):
        self.loads = loads

    def __call__(self, name, server):
        state = server.__dict__.setdefault("filled", {})
        if name not in state:
            state[name] = "broken off"
            getattr(self, name)(server, self.loads.sizes_for(server))
            state[name] = "full"
        if state[name] != "full":
            raise RuntimeError(f"{server.name}: {name} was {state[name]}")

    def grown(self, server, mailbox, count, user=1):
        """1,000 messages appended, then copied until there are `count`."""
        self.loads.command(server, f"CREATE {mailbox}", user=user)
        self.loads.run(server, words_of(f"append --size 2000 --pool 1000 --count 1000 --sessions 4 --mailbox {mailbox} --first {user}"))
        there = 1000
        while there < count:
            more = min(there, count - there, COPY_MOST)
            self.loads.command(server, f"SELECT {mailbox};COPY 1:{more} {mailbox}", user=user)
            there += more
        self.loads.command(server, f"SELECT {mailbox};STORE 1:1000 +FLAGS.SILENT (\\Flagged)", user=user)

    def big(self, server, sizes):
        self.grown(server, "Big", sizes["big"])

    def sorted(self, server, sizes):
        """Each message a different one: a copy's summary would be read once for all."""
        self.loads.command(server, "CREATE Sorted", user=3)
        self.loads.run(server, words_of(
            f"append --size 2000 --pool {sizes['sorted']} --count {sizes['sorted']} --sessions 8 --mailbox Sorted --first 3"))

    def texts(self, server, sizes):
        """Realistic messages, each another one (mails.py), indexed by who indexes by itself."""
        mbox = self.loads.folder / f"texts-{sizes['texts']}.mbox"
        if not mbox.exists():
            part = mbox.with_suffix(".part")
            subprocess.run([sys.executable, HERE / "mails.py", corpus.fetch(), str(sizes["texts"]), part], check=True)
            part.rename(mbox)
        self.loads.command(server, "CREATE Texts", user=4)
        self.loads.run(server, ["append", "--mbox", mbox, *words_of(
            f"--pool {sizes['texts']} --count {sizes['texts']} --sessions 8 --mailbox Texts --first 4")])
        server.wait_indexed("u4", sizes["texts"])

    def small(self, server, _sizes):
        self.grown(server, "Small", 1000)

    def million(self, server, sizes):
        self.grown(server, "Million", sizes["million"], user=2)

    def half(self, server, sizes):
        self("big", server)
        self.loads.command(server, "CREATE Half")
        self.loads.command(server, f"SELECT Big;COPY 1:{sizes['half']} Half")

    def bodies(self, server, sizes):
        self.loads.command(server, "CREATE Bodies")
        self.loads.run(server, words_of(f"append --size 0 --pool 500 --count {sizes['bodies']} --sessions 4 --mailbox Bodies"))

    def idle(self, server, sizes):
        """Accounts of six folders, INBOX of 1,000: 8 appended and doubled to 512, then 488 more."""
        script = [f"CREATE F{n}" for n in range(1, 6)] + ["APPEND INBOX"] * 8 + ["SELECT INBOX"] + ["COPY 1:* INBOX"] * 6
        script += ["COPY 1:488 INBOX", "LOGOUT"]
        words = words_of(f"account --sessions 16 --size 2000 --first 1000 --count {sizes['idle']} --users {sizes['idle']}")
        self.loads.run(server, [*words, "--command", ";".join(script)])
        server.wait_rest()

    def drop(self, server, sizes):
        """An INBOX as a POP3 client finds it."""
        self.loads.run(server, words_of(f"append --size 2000 --count {sizes['bodies']} --sessions 4 --mailbox INBOX --first 5"))
        server.wait_indexed("u5", sizes["bodies"])

    @staticmethod
    def rules(server, _sizes):
        """32 users, each with a script of ten rules (usual.sieve); a quarter of the messages meet one of them."""
        for number in range(700, 732):
            server.put_script(f"u{number}", HERE / "usual.sieve")

    def folders(self, server, sizes):
        """Accounts of 200 folders more: ten chains of twenty levels."""
        script = ["CREATE " + "/".join([f"T{n}"] + ["x"] * 19) for n in range(10)] + ["LOGOUT"]
        words = words_of(f"account --sessions 16 --first 6500 --count {sizes['notified']} --users {sizes['notified']}")
        self.loads.run(server, [*words, "--command", ";".join(script)])


class Bench:
    def __init__(self, chosen):
        self.chosen = chosen
        self.loads = Loads(chosen)
        self.fill = Fill(self.loads)
        self.kinds = [k for k in servers.ALL if k.name in chosen.servers]
        self.running, self.disks = [], {}
        self.disk_refused = False
        self.limit = None

    def start(self):
        self.limit = Raised("/proc/sys/fs/inotify/max_user_instances", 20000)
        for kind in self.kinds:
            self.running.append(kind(self.chosen.folder, self.chosen))

    def stop(self):
        for server in self.running:
            server.stop()
        for disk, server in self.disks.values():
            if server:
                server.stop()
            disk.stop()
        if self.limit:
            self.limit.stop()

    def first_few(self, row, server, sizes, tail):
        """What a server loads and makes at its first sessions, once, is no part of what each costs: a few like them come, idle a second and go, and it rests."""
        few = {name: max(sizes[name] * FIRST_PERCENT // 100, FIRST_LEAST) for name in ("idle", "notified")}
        self.loads.run(server, [*words_of(row.load.format(**{**sizes, **few, "hold": 1})), *tail], row.port)
        server.wait_rest(steady=True)

    def once(self, row, server, count, disk=False):
        for text in row.before:
            self.loads.command(server, text, must=not text.startswith("DELETE"), user=row.user)
        if row.cold:
            server.restart(cold=True)
        sizes = self.loads.sizes_for(server)
        tail = ["--count", count, "--first", row.user, "--limit", sizes["limit"]]
        if row.warm:
            self.first_few(row, server, sizes, tail)
        base = self.loads.run(server, [*words_of(row.minus), *tail])["cpu"] if row.minus else 0
        found = self.loads.run(server, [*words_of(row.load.format(**sizes)), *tail], row.port, disk)
        for text in row.after:
            self.loads.command(server, text, must=False, user=row.user)
        if not disk:
            found.pop("written")  # of a disk that others use too
        return {**found, "net": found["cpu"] - base}

    def ready(self, row, server):
        for name in row.fill:
            self.fill(name, server)
        server.adopt(row.way)

    def on_disk(self, row, kind):
        """The server of this kind on a disk of its own, running."""
        if kind not in self.disks:
            disk = Disk(self.chosen.folder)
            self.disks[kind] = (disk, None)
            self.disks[kind] = (disk, kind(disk.mount, self.chosen))
        elif self.disks[kind][1] is None:
            raise RuntimeError(f"{kind.name} did not start there before")
        else:
            self.disks[kind][1].start()
        self.ready(row, self.disks[kind][1])
        return self.disks[kind][1]

    def written(self, row, kind, count):
        """Bytes for each operation; none where the machine has no loop devices."""
        if self.disk_refused:
            return None
        try:
            server = self.on_disk(row, kind)
        except RuntimeError as refused:
            self.disk_refused = kind not in self.disks
            if not self.disk_refused:
                raise
            print(f"bytes written are not measured: {refused}", file=sys.stderr)
            return None
        try:
            self.once(row, server, max(count // 10, 1))
            return self.once(row, server, count, disk=True)["written"]
        finally:
            server.end()

    def measure(self, row):
        """{server's name: medians}, run in turns. A server that fails has {"failed": why}."""
        count = row.count[0 if self.chosen.quick else 1]
        found, failed = {}, {}
        ours = [s for s in self.running if not row.only or s.name in row.only]
        for turn in range(-1, 1 if row.once else self.chosen.runs):
            for server in [s for s in ours if s.name not in failed]:
                try:
                    if turn < 0:
                        self.prepare(row, server, count)
                    else:
                        found.setdefault(server.name, []).append(self.once(row, server, count))
                except (RuntimeError, OSError) as why:
                    failed[server.name] = {"failed": str(why)}
                    print(f"{row.name}: {why}", file=sys.stderr, flush=True)
        medians = {name: {k: statistics.median(run[k] for run in runs) for k in runs[0]} for name, runs in found.items()}
        for server in ours if row.disk else ():
            try:
                octets = None if server.name in failed else self.written(row, type(server), count)
            except (RuntimeError, OSError) as why:  # its other figures are kept
                print(f"{row.name}, bytes written: {why}", file=sys.stderr, flush=True)
                octets = None
            if octets is not None:
                medians[server.name]["written"] = octets
        if row.finds:
            self.compare_answers(medians)
        self.tell(row, medians)
        return {**medians, **failed}

    @staticmethod
    def compare_answers(medians):
        """Marks the peers whose answers hold less than half of ours."""
        ours = medians.get("Posthorn", {}).get("octets", 0)
        for figures in medians.values():
            if ours >= 400 and figures["octets"] < ours / 2:  # less than that is no list
                figures["less"] = True

    def prepare(self, row, server, count):
        self.ready(row, server)
        if not row.once and count >= 100:
            self.once(row, server, count // 10)

    @staticmethod
    def tell(row, medians):
        shown = {name: {line.figure: round(m[line.figure], 3) for line in row.lines if line.figure in m} | {k: m[k] for k in ("octets", "less") if row.finds and k in m} for name, m in medians.items()}
        print(row.name, f"load {os.getloadavg()[0]:.1f}", shown, file=sys.stderr, flush=True)
