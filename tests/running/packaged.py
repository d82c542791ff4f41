"""The Debian package, built by dist/make-deb as it is, and machines to install it on."""
import pathlib
import re
import subprocess

from lib import scratch
from lib.server import ROOT

from . import clean_root
from .machine import Machine

FOLDER = ROOT / "build/package"
# The service's log goes where the machine's reports are read from.
LOG = "[Service]\nStandardOutput=append:/run/log-of-posthorn\nStandardError=append:/run/log-of-posthorn\n"


def said(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def version():
    return re.search(r"version: '([\d.]+)'", (ROOT / "meson.build").read_text())[1]


def build():
    """What ./check built beside its other parts; again only what changed since."""
    done = subprocess.run([ROOT / "dist/make-deb", FOLDER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    deb, = FOLDER.glob(f"posthorn_{version()}_*.deb")
    return deb


def older(deb, folder):
    """The same as an older version that shipped other configuration."""
    tree = folder / "tree"
    said("dpkg-deb", "-R", deb, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 0.0.9", control.read_text()))
    for name in ("etc/posthorn/posthorn.conf", "etc/fail2ban/jail.d/posthorn.conf"):
        (tree / name).write_text("# of the older version\n" + (tree / name).read_text())
    said("dpkg-deb", "--root-owner-group", "-b", tree, folder / "posthorn_0.0.9.deb")
    return folder / "posthorn_0.0.9.deb"


def root(deb):
    """What a machine is laid over on which nothing is but what the package asks for; and the packages that is."""
    folder = scratch.folder("clean")
    return folder, clean_root.make(folder, said("dpkg-deb", "-f", deb))


class Clean(Machine):
    """A machine of Debian's essential packages and the package's dependencies. The package is not installed yet."""

    furnish = ('mkdir -p "$root/run/systemd/system"; cp "$space"/units/quiet.target "$root/run/systemd/system/"\n'
               'mkdir -p "$root/etc/systemd/system/posthorn.service.d"\n'
               f'printf "%s" "{LOG}" > "$root/etc/systemd/system/posthorn.service.d/log.conf"\n')

    def __init__(self, lower):
        self.lower = lower
        super().__init__()

    def dpkg(self, *words):
        return self.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confdef", "--force-confold", *words)

    def install(self, deb):
        (self.root / "tmp" / pathlib.Path(deb).name).write_bytes(pathlib.Path(deb).read_bytes())
        return self.dpkg("-i", f"/tmp/{pathlib.Path(deb).name}")

    def state(self, *words, unit="posthorn.service"):
        """What `systemctl is-active` and `is-enabled` say, whose exit codes say the same."""
        return self.run("sh", "-c", f"systemctl {' '.join(words)} {unit} || true").strip()
