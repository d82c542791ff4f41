"""The Debian package on machines of nothing but what it asks for, with systemd: installed, upgraded, removed, purged."""
import re
import socket
import subprocess

import pytest

from lib import scratch
from lib.client import Imap
from lib.server import PASSWORD, ROOT

from . import packaged
from .packaged import said

MAIL = b"From: a@example.org\r\nSubject: kept\r\n\r\nhello\r\n"
DATA, ETC = "/var/lib/posthorn", "/etc/posthorn"


@pytest.fixture(scope="module")
def deb():
    return packaged.build()


@pytest.fixture(scope="module")
def older(deb):
    return packaged.older(deb, scratch.folder("older"))


@pytest.fixture(scope="module")
def lower(deb):
    return packaged.root(deb)[0]


@pytest.fixture
def machine(lower):
    made = packaged.Clean(lower)
    yield made
    made.close()


def login(machine, user="ann"):
    return machine.inside(Imap, ("127.0.0.1", 993), user, PASSWORD, tls=True)


def message(machine):
    """What is in INBOX: its only message, with its UID."""
    imap = login(machine)
    exists = imap.select("INBOX")["EXISTS"]
    found = imap.fetch(1, "(UID FLAGS BODY.PEEK[])")[1]
    imap.close()
    assert exists == 1 and found["BODY[]"] == MAIL
    return found["UID"], found["FLAGS"]


def furnish(machine):
    """A user with a message that was seen by a session, and what of it is to stay."""
    machine.run("posthorn", "user", "add", "ann", stdin=PASSWORD.encode() + b"\n")
    imap = login(machine)
    imap.append("INBOX", MAIL, "\\Flagged")
    imap.close()
    message(machine)  # after which it is no more \\Recent
    return message(machine)


def test_what_it_says_of_itself(deb):
    control = said("dpkg-deb", "-f", deb)
    assert re.search(rf"(?m)^Version: {re.escape(packaged.version())}$", control)
    assert "libssl3" in control and "libpq5" in control and re.search(r"(?m)^Recommends: .*poppler-utils", control)


def test_build_dependencies():
    """One list: what the tests' machine installs, but for what building any package has."""
    source = (ROOT / "dist/debian/control").read_text().split("\n\n")[0]
    wanted = set(re.findall(r"(?m)^ ([a-z0-9.+-]+)(?::any)?(?: \(.*\))?,$", source)) - {"debhelper-compat", "python3"}
    listed = {line.split()[0] for line in (ROOT / "tests/house/packages-build.txt").read_text().splitlines()}
    assert wanted == listed - {"gcc", "libc6-dev", "openssl"}


def test_lintian(deb):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", next(deb.parent.glob("posthorn_*.changes"))],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_lintian_sees_a_mistake(deb, tmp_path):
    """So that its silence means something."""
    said("dpkg-deb", "-R", deb, tmp_path / "tree")
    (tmp_path / "tree/usr/share/doc/posthorn/copyright").unlink()
    said("dpkg-deb", "--root-owner-group", "-b", tmp_path / "tree", tmp_path / "spoiled.deb")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", tmp_path / "spoiled.deb"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 2 and "no-copyright-file" in done.stdout


def test_install(machine, deb):
    """It serves at once, by nothing but what it depends on; only the group may read the key; sockets are the administrator's choice."""
    machine.install(deb)
    assert machine.run("dpkg", "--audit") == ""
    assert machine.state("is-active") == "active" and machine.state("is-enabled") == "enabled"
    sockets = {path.name for path in (ROOT / "dist").glob("*.socket")}
    assert {machine.state("is-enabled", unit=name) for name in sockets} == {"disabled"}
    assert machine.stat(DATA) == "drwx------ posthorn:posthorn" and machine.stat(ETC) == "drwxr-x--- root:posthorn"
    assert machine.stat(f"{ETC}/key.pem") == "-rw-r----- root:posthorn"
    assert "no mistakes" in machine.run("posthorn", "config", "check")
    assert machine.run("posthorn", "status").startswith("ready")
    pid = machine.show("MainPID")
    assert machine.stat(f"/proc/{pid}").endswith(" posthorn:posthorn")
    furnish(machine)


def test_a_port_that_is_taken(machine, deb):
    """Another server's: the package is installed all the same, and starts when it is gone."""
    other = machine.inside(socket.create_server, ("0.0.0.0", 143))
    machine.install(deb)
    assert machine.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "posthorn") == "installed"
    assert machine.state("is-active") != "active"
    other.close()
    machine.run("systemctl", "reset-failed", "posthorn")
    machine.run("systemctl", "start", "posthorn")
    furnish(machine)


def test_upgrade(machine, older, deb):
    """Mail, certificate and what the administrator changed stay; what nobody changed is the new version's; the server is the new one."""
    machine.install(older)
    kept, key = furnish(machine), machine.read(f"{ETC}/key.pem")
    mine = machine.read(f"{ETC}/posthorn.conf") + '\nhostname = "mail.example.org"\n'
    (machine.root / "etc/posthorn/posthorn.conf").write_text(mine)
    for words in ("stop posthorn", "enable --now posthorn-managesieve.socket", "start posthorn"):  # as docs/install.md has it
        machine.run("systemctl", *words.split())
    before = machine.show("MainPID")
    machine.install(deb)
    assert machine.run("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "posthorn") == f"{packaged.version()} installed"
    assert machine.read(f"{ETC}/posthorn.conf") == mine and "older" not in machine.read(f"{ETC}/posthorn.conf.dpkg-dist")
    assert "older" not in machine.read("/etc/fail2ban/jail.d/posthorn.conf")
    assert machine.state("is-active") == "active" and machine.show("MainPID") != before
    assert machine.state("is-enabled", unit="posthorn-managesieve.socket") == "enabled"
    assert machine.state("is-active", unit="posthorn-managesieve.socket") == "active"
    assert message(machine) == kept and machine.read(f"{ETC}/key.pem") == key


def test_what_is_disabled_stays_so(machine, older, deb):
    machine.install(older)
    machine.run("systemctl", "disable", "--now", "posthorn")
    machine.install(deb)
    assert machine.state("is-active") == "inactive" and machine.state("is-enabled") == "disabled"


def test_remove_and_purge(machine, deb):
    """Neither takes mail and users; purge takes the configuration and the certificate that the package made, and says what it leaves."""
    machine.install(deb)
    kept = furnish(machine)
    machine.dpkg("-r", "posthorn")
    assert machine.state("is-active") == "inactive" and not (machine.root / "usr/bin/posthorn").exists()
    assert {path.name for path in (machine.root / "etc/posthorn").iterdir()} == {"cert.pem", "key.pem", "posthorn.conf"}
    machine.install(deb)
    assert message(machine) == kept
    assert f"rm -r {DATA}" in machine.dpkg("-P", "posthorn")
    assert not (machine.root / "etc/posthorn").exists() and not (machine.root / "etc/fail2ban/jail.d/posthorn.conf").exists()
    assert machine.stat(DATA) == "drwx------ posthorn:posthorn"
    assert "posthorn" not in "".join(str(p) for p in (machine.root / "etc/systemd/system").rglob("*.service"))
    machine.install(deb)
    assert message(machine) == kept


def test_purge_leaves_a_certificate_of_the_administrator(machine, deb):
    machine.install(deb)
    mine = {name: "".join(machine.read(f"{ETC}/{name}").splitlines(True)[1:]) for name in ("cert.pem", "key.pem")}
    for name, text in mine.items():
        (machine.root / "etc/posthorn" / name).write_text(text)
    said_at_purge = machine.dpkg("-P", "posthorn")
    assert {name: machine.read(f"{ETC}/{name}") for name in mine} == mine
    assert DATA not in said_at_purge or (machine.root / DATA[1:]).exists()
    machine.install(deb)
    assert {name: machine.read(f"{ETC}/{name}") for name in mine} == mine and machine.state("is-active") == "active"


def test_what_is_missing_is_noticed(deb):
    """The root has what the package asks for, and nothing else: one dependency less, and it does not install."""
    folder, names = packaged.root(deb)
    assert {"openssl", "systemd"} <= names and not {"python3", "libssl-dev", "dovecot-core", "curl"} & names
    (folder / "tmp/posthorn.deb").write_bytes(deb.read_bytes())
    status = folder / "var/lib/dpkg/status"
    status.write_text("\n\n".join(part for part in status.read_text().split("\n\n") if not part.startswith("Package: liblmdb0\n")))
    done = subprocess.run(["chroot", folder, "dpkg", "-i", "/tmp/posthorn.deb"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode != 0 and "posthorn depends on liblmdb0" in done.stdout
