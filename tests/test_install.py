"""`meson install` with DESTDIR: what is where, that the manual can be read, and that a configuration which is there stays."""
import pathlib
import re
import subprocess

import pytest

from lib import scratch, server as posthorn
from lib.peers import make_certificate

FOLDER = pathlib.Path(posthorn.binary()).parents[2]


def install(into):
    subprocess.run(["meson", "install", "-C", FOLDER, "--no-rebuild", "--destdir", into], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def root():
    into = scratch.folder("install")
    install(into)
    return into


def prefix(root):
    return next(path for path in (root / "usr/local", root / "usr") if (path / "bin").exists())


def test_what_is_where(root):
    under = prefix(root)
    files = {path.relative_to(under).as_posix() for path in under.rglob("*") if path.is_file()}
    dist = posthorn.ROOT / "dist"
    wanted = {"bin/posthorn", "lib/systemd/system/posthorn.service", "lib/sysusers.d/posthorn.conf", "lib/tmpfiles.d/posthorn.conf",
              *(f"lib/systemd/system/{path.name}" for path in dist.glob("*.socket")),
              *(f"share/man/man{name[-1]}/{name}" for name in ("posthorn.1", "posthorn.conf.5", "posthorn.8")),
              *(f"share/doc/posthorn/{name}" for name in ("README.md", "SECURITY.md", "LICENSE", "posthorn.conf", "docs/certificates.md", "docs/users.md")),
              "etc/fail2ban/filter.d/posthorn.conf", "etc/fail2ban/jail.d/posthorn.conf", "etc/posthorn/posthorn.conf"}
    assert not wanted - files, wanted - files
    assert not [name for name in files if "decisions" in name]
    unit = (under / "lib/systemd/system/posthorn.service").read_text()
    assert re.search(r"^ExecStart=/\S+/bin/posthorn serve$", unit, re.M) and not re.search(r"@\w+@", unit)


def test_the_sample_is_good(root, tmp_path):
    """But for the certificate, which is the administrator's, it is a configuration without mistakes."""
    path = prefix(root) / "etc/posthorn/posthorn.conf"
    make_certificate(tmp_path)
    (tmp_path / "with.conf").write_text(path.read_text().replace("/etc/posthorn/", f"{tmp_path}/"))
    assert b"no mistakes" in posthorn.run_verb("config", "check", "-c", tmp_path / "with.conf")
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_configuration_stays(root):
    path = prefix(root) / "etc/posthorn/posthorn.conf"
    path.write_text("version = 1 # mine\n")
    install(root)
    assert path.read_text() == "version = 1 # mine\n"
    assert "mine" not in (prefix(root) / "share/doc/posthorn/posthorn.conf").read_text()


def test_the_manual(root):
    page = prefix(root) / "share/man/man5/posthorn.conf.5"
    shown = subprocess.run(["mandoc", "-Tascii", page], stdout=subprocess.PIPE, check=True).stdout.decode()
    shown = re.sub(r".\x08", "", shown)
    assert re.search(r"^\s+retention\b", shown, re.M) and "test_" not in shown
