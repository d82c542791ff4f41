"""Other servers, private, on loopback: to test the tests, and (bench/servers.py) to measure beside."""
import fcntl
import itertools
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import scratch

MAIL = pathlib.Path(__file__).resolve().parent.parent / "mail"

# Debian's Dovecot on loopback, all of it as one user, one password for whoever comes. Settings of `more` override these.
DOVECOT = """
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
mail_home = {dir}/home/%u
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
last_valid_uid = 0
first_valid_gid = 1
default_internal_user = {owner}
default_login_user = {owner}
default_internal_group = {group}
mail_max_userip_connections = 10000
hostname = localhost
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@localhost
}}
"""

# What the transcripts and the clients expect of it.
TESTED = """
auth_mechanisms = plain login
mail_location = maildir:~/Maildir
recipient_delimiter = +
maildir_stat_dirs = yes
imap_idle_notify_interval = 2 mins
service imap-login {
  client_limit = 200
}
service imap {
  process_limit = 200
}
namespace inbox {
""" + "".join(f"""  mailbox {name} {{
    auto = subscribe
    special_use = \\{name}
  }}
""" for name in ("Drafts", "Sent", "Junk", "Trash", "Archive")) + "}\n"


PORTS = 512  # of one process
_slot = None


def slot():
    """The first of PORTS ports that this process alone gives out, until it ends, whatever other tests run on the machine. They
    lie below those that the kernel gives to outgoing connections: a test's own thousands of clients cannot take them while a
    server is away."""
    global _slot
    if _slot is None:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            lowest = min(int(file.read().split()[0]), 60000)
        firsts = list(range(lowest // 3, lowest - PORTS, PORTS))
        random.shuffle(firsts)
        for first in firsts:
            lock = open(pathlib.Path(tempfile.gettempdir()) / f"posthorn-ports-{first}", "w", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            _slot = lock, itertools.cycle(range(first, first + PORTS))
            return _slot[1]
        raise RuntimeError("no free ports")
    return _slot[1]


def free_ports(count):
    """Free ports that no other process of the tests gives out."""
    ports = []
    for port in itertools.islice(slot(), PORTS):
        if is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("no free ports")


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ends of old connections do not count
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_offset(standard):
    """An offset at which all of these ports are free."""
    for _ in range(50):
        offset = random.randrange(1025, 32768 - max(standard))
        if all(is_free(offset + p) for p in standard):
            return offset
    raise RuntimeError("no free ports")


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_authority(folder, names=("localhost",)):
    """Replaces the server's certificate by one for these names that an authority of its own has signed: FOLDER/authority.pem."""
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    subprocess.run(["openssl", "req", "-x509", *new_key, "-subj", "/CN=Test authority", "-keyout", "authority-key.pem",
                    "-out", "authority.pem"], **quiet)
    subprocess.run(["openssl", "req", "-x509", *new_key, "-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={','.join('DNS:' + n for n in names)}",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-CA", "authority.pem", "-CAkey", "authority-key.pem",
                    "-keyout", "key.pem", "-out", "cert.pem"], **quiet)


def wait_port(port, process, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode} before it was ready") from None
            time.sleep(0.05)
    raise RuntimeError(f"port {port} does not answer")


class Private:
    """A server in a folder of its own, on ports of its own, ended by its pid. Others say prepare() and command()."""
    password = "secret"
    apart = False  # in a process group of its own, since it ends its whole group
    services = ("imap", "imaps", "lmtp")

    def __init__(self, folder=None, start=True):
        self.dir = scratch.folder(self.name, folder)
        make_certificate(self.dir)
        self.ports = dict(zip(self.services, free_ports(len(self.services))))
        self.prepare()
        if start:
            self.start()

    def start(self):
        with open(self.dir / "stderr", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=self.apart)
        for port in self.ports.values():
            wait_port(port, self.process, 30)

    def address(self, service):
        return ("127.0.0.1", self.ports[service]) if service in self.ports else None

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.end()
        shutil.rmtree(self.dir, ignore_errors=True)


class Dovecot(Private):
    name = "dovecot"
    more = TESTED

    def prepare(self):
        root = os.getuid() == 0
        owner, group = ("nobody", "nogroup") if root else (os.getlogin(), os.getlogin())
        uid, gid = (65534, 65534) if root else (os.getuid(), os.getgid())
        for name in ("run", "state", "home"):
            (self.dir / name).mkdir()
            os.chown(self.dir / name, uid, gid)
        self.config = DOVECOT.format(dir=self.dir, uid=uid, gid=gid, owner=owner, group=group, password=self.password, **self.ports)
        self.configure()

    def configure(self, more=""):
        (self.dir / "dovecot.conf").write_text(self.config + self.more + more)

    def command(self):
        return ["/usr/sbin/dovecot", "-F", "-c", str(self.dir / "dovecot.conf")]

    def fresh_user(self, name):
        self.users = getattr(self, "users", 0) + 1
        return f"{name}{self.users}"

    def message(self, name):
        return read_message(name)

    def for_script(self, script):
        return self

    def check_reports(self):
        pass


class Remote:
    """A server that runs already: HOST:PORT, with users alice, bob ... and the password of POSTHORN_PASSWORD."""
    name = "remote"

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.where = (host, int(port))
        self.password = os.environ.get("POSTHORN_PASSWORD", "secret")

    def address(self, service):
        return self.where if service == "imap" else None

    def fresh_user(self, name):
        return name

    def message(self, name):
        return read_message(name)

    def for_script(self, script):
        return self

    def check_reports(self):
        pass

    def stop(self):
        pass


def read_message(name):
    """A named message of tests/mail, with CRLF line ends."""
    path = MAIL / f"{name}.eml"
    if not path.exists():
        return None
    data = path.read_bytes()
    return data if b"\r\n" in data else data.replace(b"\n", b"\r\n")
