"""Debian's Cyrus, unpacked into a folder of its own (its packages and Dovecot's conflict), run as nobody."""
import os
import subprocess

from . import npm, peers, unpacked

PACKAGES = ("cyrus-imapd", "cyrus-common", "cyrus-pop3d")
UNPACKED = npm.WORK / "cyrus"

# Durable as it comes. A login is believed without a look at the password; INBOX is made at the first login or delivery.
IMAPD = """
configdirectory: {dir}/conf
partition-default: {dir}/spool
defaultpartition: default
sievedir: {dir}/sieve
cyrus_user: nobody
cyrus_group: nogroup
servername: localhost
allowplaintext: yes
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN LOGIN
autocreate_quota: 0
autocreate_post: yes
duplicatesuppression: no
search_engine: {engine}
tls_server_cert: {dir}/cert.pem
tls_server_key: {dir}/key.pem
"""

CYRUS = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {dir}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {dir}/imapd.conf" listen="127.0.0.1:{imap}" prefork=4 maxchild=6000
  imaps cmd="{bin}/imapd -C {dir}/imapd.conf -s" listen="127.0.0.1:{imaps}" prefork=4 maxchild=6000
  pop3 cmd="{bin}/pop3d -C {dir}/imapd.conf" listen="127.0.0.1:{pop3}" prefork=1 maxchild=100
  lmtp cmd="{bin}/lmtpd -C {dir}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=1 maxchild=100
}}
DAEMON {{
  idled cmd="{bin}/idled -C {dir}/imapd.conf"
}}
"""


def fetch():
    return unpacked.unpack(UNPACKED, PACKAGES)


def version():
    """Of what was unpacked before; nothing is fetched for it."""
    done = UNPACKED / "done"
    return done.read_text() if done.exists() else "?"


class Cyrus(peers.Private):
    name = "Cyrus"
    apart = True
    services = ("imap", "imaps", "pop3", "lmtp")
    more = ""  # settings of imapd.conf
    bin = UNPACKED / "root/usr/lib/cyrus/bin"

    def prepare(self):
        fetch()
        for name in ("", "spool", "sieve", "conf", *(f"conf/{n}" for n in ("db", "proc", "socket", "lock", "msg", "log"))):
            (self.dir / name).mkdir(exist_ok=True)
        self.configure_search("none")
        (self.dir / "cyrus.conf").write_text(CYRUS.format(dir=self.dir, bin=self.bin, **self.ports))
        for path in (self.dir, *self.dir.rglob("*")):
            os.chown(path, 65534, 65534)

    def configure_search(self, engine):
        """squat answers from its index alone: with no index, nothing is found."""
        (self.dir / "imapd.conf").write_text(IMAPD.format(dir=self.dir, engine=engine) + self.more)

    def as_nobody(self, program):
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", f"LD_LIBRARY_PATH={unpacked.libraries(UNPACKED)}", self.bin / program]

    def run(self, program, *words):
        """One of its tools, to its end."""
        subprocess.run([*self.as_nobody(program), "-C", self.dir / "imapd.conf", *words], check=True)

    def command(self):
        return [*self.as_nobody("master"), "-l", "1024", "-C", self.dir / "imapd.conf", "-M", self.dir / "cyrus.conf", "-p", self.dir / "pid"]
