"""The servers that are compared: each private, on loopback, run as nobody, with users u1, u2, ... and one password."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from lib import peers
from lib.cyrus import Cyrus

from place import ROOT, drop_pages

USERS = 8000

# Every message of the corpus has a PDF of its own, whose text is not read: pdftotext takes 10 ms for each, which is minutes of a processor
# behind a row of seconds, and no peer does that.
POSTHORN = """
version = 1
hostname = "localhost"
user = "nobody"
data = "{dir}/data"
imap = {{ "127.0.0.1:{imap}" }}
imaps = {{ "127.0.0.1:{imaps}" }}
lmtp = {{ "127.0.0.1:{lmtp}" }}
pop3 = {{ "127.0.0.1:{pop3}" }}
tls {{ certificate = "{dir}/cert.pem"  key = "{dir}/key.pem" }}
plaintext_auth = true
auth_penalty = false
log_level = "warning"
search_attachments = false
"""

# Defaults but for limits; login processes serve many clients ("high-performance mode").
DOVECOT = """
mail_location = {format}:~/mail
protocols = imap lmtp pop3
default_client_limit = 20000
default_process_limit = 6000
service imap-login {{
  client_limit = 5000
  process_min_avail = 2
}}
service pop3-login {{
  chroot =
  client_limit = 5000
  process_min_avail = 2
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""
# Dovecot's, by what the row asks. Flags reach its disk some time later, unless it is told to sync always. "bare" is without an index for
# text, which only Posthorn has where nothing is asked.
WAYS = {
    "": "",
    "bare": "",
    "sync": "mail_fsync = always\n",
    # Debian's dovecot-sieve: each user's ~/.dovecot.sieve, compiled at the first delivery.
    "rules": "protocol lmtp {\n  mail_plugins = sieve\n}\n",
    # Debian's dovecot-fts-xapian, as its README has it; it finds words and their parts of 3 to 20 octets, not every substring.
    "index": """
mail_plugins = fts fts_xapian
plugin {
  fts = xapian
  fts_xapian = partial=3 full=20 verbose=0
  fts_autoindex = yes
  fts_enforced = yes
}
""",
    "hibernate": """
imap_hibernate_timeout = 2s
service imap {
  unix_listener imap-master {
    user = nobody
  }
}
service imap-hibernate {
  chroot =
  unix_listener imap-hibernate {
    user = nobody
    mode = 0600
  }
}
""",
}


def build(folder):
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", folder, ROOT, "--buildtype=release", "-Dhardening=true"], check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "src/main/posthorn", "bench/load"], check=True, stdout=subprocess.DEVNULL)


class Measured:
    """What the bench asks of any of them."""
    way = ""
    services = ("imap", "imaps", "lmtp", "pop3")

    def adopt(self, way):
        """Another configuration, where the server has such a choice."""

    def wait_indexed(self, user, messages):
        """Until the text of so many messages is indexed, where the server does that by itself."""

    def spent(self):
        """CPU in us of the server's processes and of those that ended, from clock ticks: 10 ms each, little beside thousands of messages; and their
        resident pages."""
        left, ticks, pages = [self.process.pid], 0, 0
        while left:
            pid = left.pop()
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    left += [int(n) for n in (task / "children").read_text(encoding="ascii").split()]
            except (FileNotFoundError, ProcessLookupError):  # it ended just now: its parent has its time
                continue
            ticks += sum(int(n) for n in fields[11:15])
            pages += int(fields[21])
        return ticks * 10000, pages

    def wait_rest(self, steady=False):
        """Until it has worked off what the load left: no more than 1 % of a processor for 25 s (an index is made 20 s after the last
        message came). steady: nor does its memory grow or shrink by more than 1 % meanwhile, as it does while all indexes are looked at."""
        since, (before, held) = time.monotonic(), self.spent()
        for _ in range(3600):
            time.sleep(1)
            now, pages = self.spent()
            if now - before > 10000 or (steady and abs(pages - held) > held / 100):
                since, held = time.monotonic(), pages
            elif time.monotonic() - since >= 25:
                return
            before = now
        raise RuntimeError(f"{self.name} does not come to rest in an hour")

    def restart(self, cold):
        self.end()
        if cold:
            drop_pages(self.dir)
        self.start()


class MeasuredPosthorn(Measured, peers.Private):
    name = "Posthorn"

    def __init__(self, folder, chosen):
        self.binary = chosen.build / "src/main/posthorn"
        super().__init__(folder)

    def prepare(self):
        os.chown(self.dir, 65534, 65534)
        self.configure("")
        users = self.dir / "users"
        users.write_text("".join(f"u{n}:{{PLAIN}}{self.password}::::::\n" for n in range(1, USERS + 1)))
        subprocess.run([self.binary, "user", "load", users, "--data", self.dir / "data"], check=True, user="nobody",
                       group="nogroup", extra_groups=[], stdout=subprocess.DEVNULL)

    def configure(self, way):
        off = "search_index = false\n" if way == "bare" else ""
        (self.dir / "posthorn.conf").write_text(POSTHORN.format(dir=self.dir, **self.ports) + off)

    def adopt(self, way):
        if (way == "bare") != (self.way == "bare"):
            self.end()
            self.configure(way)
            self.start()
        self.way = way

    def wait_indexed(self, user, messages):
        if self.way == "bare":
            return
        for _ in range(6000):
            said = subprocess.run([self.binary, "mailbox", "index", user, "-c", self.dir / "posthorn.conf", "--json"], check=True,
                                  stdout=subprocess.PIPE).stdout
            state = json.loads(said)
            if state["unindexed"] < messages / 20 and not state["working"]:
                print(f"search index: {said.decode().strip()}", file=sys.stderr, flush=True)
                return
            time.sleep(0.1)
        raise RuntimeError(f"not indexed in 600 s: {state}")

    def command(self):
        return [self.binary, "serve", "-c", self.dir / "posthorn.conf"]

    def put_script(self, user, path):
        for words in (("put", "usual", path), ("activate", "usual")):
            subprocess.run([self.binary, "sieve", *words, "--user", user, "-c", self.dir / "posthorn.conf"], check=True, stdout=subprocess.DEVNULL)


class MeasuredDovecot(Measured, peers.Dovecot):
    name = "Dovecot"

    def __init__(self, folder, chosen):
        self.format = chosen.format
        super().__init__(folder)

    def configure(self, more=""):
        self.more = DOVECOT.format(format=self.format, **self.ports)
        super().configure(more)

    def put_script(self, user, path):
        home = self.dir / "home" / user
        home.mkdir(exist_ok=True)
        shutil.copy(path, home / ".dovecot.sieve")
        for name in (home, home / ".dovecot.sieve"):
            os.chown(name, 65534, 65534)

    def adopt(self, way):
        if way != self.way:
            self.way = way
            self.end()
            self.configure(WAYS[way])
            self.start()
        if way == "index":
            self.make_index("u4", "Texts")

    def configure_index(self):
        self.configure(WAYS["index"])

    def make_index(self, user, mailbox):
        subprocess.run(["doveadm", "-c", self.dir / "dovecot.conf", "index", "-u", user, mailbox], check=True)


class MeasuredCyrus(Measured, Cyrus):
    name = "Cyrus"

    def __init__(self, folder, _chosen):
        super().__init__(folder)

    def adopt(self, way):
        if (way == "index") != (self.way == "index"):
            self.end()
            if way == "index":
                self.configure_index()
            else:
                self.configure_search("none")
            self.start()
        if way == "index" and self.way != way:
            self.make_index("u4", "Texts")
        self.way = way

    def configure_index(self):
        self.configure_search("squat")

    def make_index(self, user, mailbox):
        self.run("squatter", f"user/{user}" if mailbox == "INBOX" else f"user/{user}/{mailbox}")


ALL = (MeasuredPosthorn, MeasuredDovecot, MeasuredCyrus)
