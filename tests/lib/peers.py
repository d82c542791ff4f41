"""Another server to test the tests: a private Debian Dovecot on loopback, its own configuration, ended by its own pid."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

MAIL = pathlib.Path(__file__).resolve().parent.parent / "mail"

CONFIG = """
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:~/Maildir
mail_home = {dir}/home/%u
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
last_valid_uid = 0
first_valid_gid = 1
default_internal_user = {owner}
default_login_user = {owner}
default_internal_group = {group}
mail_max_userip_connections = 100
hostname = localhost
recipient_delimiter = +
maildir_stat_dirs = yes
imap_idle_notify_interval = 2 mins
imap_capability = +{extra}
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
  mailbox Drafts {{
    auto = subscribe
    special_use = \\Drafts
  }}
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
  mailbox Junk {{
    auto = subscribe
    special_use = \\Junk
  }}
  mailbox Trash {{
    auto = subscribe
    special_use = \\Trash
  }}
  mailbox Archive {{
    auto = subscribe
    special_use = \\Archive
  }}
}}
service imap-login {{
  chroot =
  client_limit = 200
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
service imap {{
  process_limit = 200
}}
protocol lmtp {{
  postmaster_address = postmaster@localhost
}}
"""


def free_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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


class Dovecot:
    name = "dovecot"
    password = "secret"

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-dovecot-"))
        os.chmod(self.dir, 0o755)
        self.ports = dict(zip(("imap", "imaps", "lmtp"), free_ports(3)))
        self.users = 0
        self.start()

    def start(self):
        root = os.getuid() == 0
        owner, group = ("nobody", "nogroup") if root else (os.getlogin(), "")
        uid, gid = (65534, 65534) if root else (os.getuid(), os.getgid())
        for name in ("run", "state", "home"):
            (self.dir / name).mkdir()
            os.chown(self.dir / name, uid, gid)
        make_certificate(self.dir)
        text = CONFIG.format(dir=self.dir, uid=uid, gid=gid, owner=owner, group=group or owner,
                             password=self.password, extra="", **self.ports)
        (self.dir / "dovecot.conf").write_text(text.replace("imap_capability = +\n", ""))
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(self.dir / "dovecot.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_port(self.ports["imap"], self.process)

    def address(self, service):
        return ("127.0.0.1", self.ports[service]) if service in self.ports else None

    def fresh_user(self, name):
        self.users += 1
        return f"{name}{self.users}"

    def message(self, name):
        return read_message(name)

    def for_script(self, script):
        return self

    def check_reports(self):
        pass

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


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
