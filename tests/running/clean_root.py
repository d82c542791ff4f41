"""A root folder with nothing but Debian's essential packages and what one package depends on, copied from the packages that are
installed on this machine: what is missing there, the package does not ask for. No network."""
import os
import pathlib
import re
import shutil
import stat
import subprocess

DPKG = pathlib.Path("var/lib/dpkg")
HOST = pathlib.Path("/")


def stanzas(text):
    for part in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*(?:\n[ \t].*)*)", part, re.M))
        if fields:
            yield fields, part


class Installed:
    """dpkg's database."""

    def __init__(self):
        self.packages, self.texts, self.providers = {}, {}, {}
        for fields, text in stanzas((HOST / DPKG / "status").read_text()):
            if fields["Status"] == "install ok installed":
                self.packages[fields["Package"]], self.texts[fields["Package"]] = fields, text
                for name in re.findall(r"(?:^|,)\s*([^\s,(]+)", fields.get("Provides", "")):
                    self.providers.setdefault(name, fields["Package"])

    def chosen(self, clause):
        """The package that fulfils "a | b (>= 1)" here."""
        for name in (re.match(r"[^\s:(]+", word.strip())[0] for word in clause.split("|")):
            if name in self.packages or name in self.providers:
                return name if name in self.packages else self.providers[name]
        raise LookupError(f"not installed on this machine: {clause}")

    def needs(self, fields):
        text = ",".join(fields[kind] for kind in ("Pre-Depends", "Depends") if kind in fields)
        return {self.chosen(clause) for clause in text.split(",") if clause.strip()}

    def closure(self, fields):
        """The essential packages and what they and this one need."""
        found = {name for name, own in self.packages.items() if own.get("Essential") == "yes"}
        left = found | self.needs(fields)
        while left:
            found |= left
            left = {other for name in left for other in self.needs(self.packages[name])} - found
        return found


def info(name):
    """dpkg's files about a package: "libc6:amd64.list" and the like."""
    return [path for path in (HOST / DPKG / "info").glob(f"{name}[.:]*") if re.fullmatch(re.escape(name) + r"(:\w+)?\.\w+", path.name)]


def merged(path):
    """/bin/sh is /usr/bin/sh where /bin is a link."""
    top = pathlib.Path("/" + path.split("/")[1])
    return "/usr" + path if top.is_symlink() and path != str(top) else path


def copy_files(root, names):
    paths = {merged(line) for name in names for listing in info(name) if listing.suffix == ".list"
             for line in listing.read_text().splitlines() if line.startswith("/") and line != "/."}
    for link in HOST.iterdir():
        if link.is_symlink() and os.readlink(link).startswith("usr/"):
            (root / os.readlink(link)).mkdir(parents=True, exist_ok=True)
            (root / link.name).symlink_to(os.readlink(link))
            paths.discard(str(link))
    listing = "\0".join(sorted(path[1:] for path in paths if os.path.lexists(path)))
    source = subprocess.Popen(["tar", "-C", "/", "-c", "--no-recursion", "--null", "-T", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target = subprocess.Popen(["tar", "-C", root, "-x", "-p", "--keep-directory-symlink"], stdin=source.stdout)
    source.stdin.write(listing.encode())
    source.stdin.close()
    assert target.wait() == 0 and source.wait() == 0


def copy_alternatives(root):
    for link in (HOST / "etc/alternatives").iterdir():
        state = HOST / DPKG / "alternatives" / link.name
        if link.is_symlink() and state.exists() and (root / os.readlink(link)[1:]).exists():
            for name in (f"/etc/alternatives/{link.name}", merged(state.read_text().splitlines()[1])):
                (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
                (root / name[1:]).symlink_to(os.readlink(name))


def write_database(root, installed, names):
    for folder in ("info", "updates", "triggers", "alternatives", "parts"):
        (root / DPKG / folder).mkdir(parents=True, exist_ok=True)
    (root / DPKG / "status").write_text("\n\n".join(installed.texts[name].strip() for name in sorted(names)) + "\n")
    shutil.copy(HOST / DPKG / "info/format", root / DPKG / "info")
    for name in names:
        for path in info(name):
            shutil.copy2(path, root / DPKG / "info")


def finish(root):
    """What the packages' own scripts would have made."""
    for kind in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{kind}.master", root / f"etc/{kind}")
    for name in ("ld.so.conf", "nsswitch.conf"):
        shutil.copy(HOST / "etc" / name, root / "etc")
    (root / "etc/hosts").write_text("127.0.0.1 localhost mail.example.org\n")
    (root / "etc/hostname").write_text("mail.example.org\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    for name in ("proc", "sys", "dev", "run", "tmp", "mnt", "var/tmp", "etc/systemd/system", "var/lib/systemd"):
        (root / name).mkdir(parents=True, exist_ok=True)
    os.mknod(root / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for words in ("ldconfig", "dpkg --audit", "dpkg --triggers-only -a"):  # dpkg finds out who waits for what, and lets them
        subprocess.run(["chroot", root, *words.split()], check=True, stdout=subprocess.PIPE)


def make(root, control):
    """control: the text of the package's control file."""
    installed = Installed()
    fields, _ = next(stanzas(control))
    names = installed.closure(fields)
    copy_files(root, names)
    copy_alternatives(root)
    write_database(root, installed, names)
    finish(root)
    return names
