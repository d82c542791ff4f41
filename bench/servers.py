"""The servers that are compared: each private, on loopback, run as nobody, with users u1, u2, ... and one password."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from lib.peers import free_ports, make_certificate, wait_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
USERS = 5000

POSTHORN = """
version = 1
hostname = "localhost"
user = "nobody"
data = "{dir}/data"
imap = {{ "127.0.0.1:{imap}" }}
imaps = {{ "127.0.0.1:{imaps}" }}
lmtp = {{ "127.0.0.1:{lmtp}" }}
tls {{ certificate = "{dir}/cert.pem"  key = "{dir}/key.pem" }}
plaintext_auth = true
auth_penalty = false
log_level = "warning"
"""

# Defaults but for ports, paths and limits; login processes serve many clients ("high-performance mode").
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
mail_location = {format}:~/mail
mail_fsync = {fsync}
mail_home = {dir}/home/%u
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
last_valid_uid = 0
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
default_client_limit = 20000
default_process_limit = 6000
mail_max_userip_connections = 10000
hostname = localhost
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}/home/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  client_limit = 5000
  process_min_avail = 2
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


def build(folder):
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", folder, ROOT, "--buildtype=release", "-Dhardening=true"], check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "src/main/posthorn", "bench/load"], check=True, stdout=subprocess.DEVNULL)


class Server:
    """A server in a folder of its own that can be restarted with nothing in the page cache."""

    def __init__(self, folder):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"posthorn-bench-{self.name}-", dir=folder))
        os.chmod(self.dir, 0o755)
        make_certificate(self.dir)
        self.ports = dict(zip(("imap", "imaps", "lmtp"), free_ports(3)))
        self.prepare()
        self.start()

    def start(self):
        self.log = open(self.dir / "stderr", "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for port in self.ports.values():
            wait_port(port, self.process, 30)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self, cold):
        self.end()
        if cold:
            drop_pages(self.dir)
        self.start()

    def stop(self):
        self.end()
        shutil.rmtree(self.dir, ignore_errors=True)


class Posthorn(Server):
    name = "Posthorn"

    def __init__(self, build_folder, folder):
        self.binary = build_folder / "src/main/posthorn"
        super().__init__(folder)

    def prepare(self):
        os.chown(self.dir, 65534, 65534)
        (self.dir / "posthorn.conf").write_text(POSTHORN.format(dir=self.dir, **self.ports))
        users = self.dir / "users"
        users.write_text("".join(f"u{n}:{{PLAIN}}secret::::::\n" for n in range(1, USERS + 1)))
        subprocess.run([self.binary, "user", "load", users, "--data", self.dir / "data"], check=True, user="nobody",
                       group="nogroup", extra_groups=[], stdout=subprocess.DEVNULL)

    def command(self):
        return [self.binary, "serve", "-c", self.dir / "posthorn.conf"]


class Dovecot(Server):
    name = "Dovecot"

    def __init__(self, folder, mail_format, fsync="optimized"):
        self.format, self.fsync = mail_format, fsync
        super().__init__(folder)

    def prepare(self):
        for name in ("run", "state", "home"):
            (self.dir / name).mkdir()
            os.chown(self.dir / name, 65534, 65534)
        text = DOVECOT.format(dir=self.dir, format=self.format, fsync=self.fsync, **self.ports)
        (self.dir / "dovecot.conf").write_text(text)

    def command(self):
        return ["/usr/sbin/dovecot", "-F", "-c", self.dir / "dovecot.conf"]


def drop_pages(folder):
    """Writes the folder's files back and drops them from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
