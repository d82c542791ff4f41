"""The container file: no daemon here builds it, so its steps are read, and those of the last image are carried out on a clean root."""
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import time

import pytest

from lib.client import Imap, Lmtp
from lib.peers import make_certificate
from lib.server import PASSWORD, ROOT

from . import packaged
from .machine import Machine

PATH = ROOT / "dist/container/Containerfile"
KNOWN = {"FROM", "ENV", "COPY", "WORKDIR", "RUN", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
# Tells what was asked for, and installs the packages that are files.
APT_GET = """#!/bin/sh
echo "$@" >> /apt-said
for word; do case $word in /*.deb) DEBIAN_FRONTEND=noninteractive dpkg -i "$word" || exit 1 ;; esac; done
"""


def stages(text):
    """The instructions of each image: (word, rest)."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines():
        word, _, rest = line.partition(" ")
        if not line.strip():
            continue
        assert word in KNOWN, line
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


def one(stage, word):
    found, = (rest for name, rest in stage if name == word)
    return found


def installed(stage):
    """The packages that its steps install; of files the lines are meant."""
    words = [word for name, rest in stage if name == "RUN" for command in re.split(r"&&|;", rest) if "apt-get install" in command
             for word in shlex.split(re.sub(r"\$\(cat (\S+)\)", lambda found: " ".join(line.split()[0] for line in (ROOT / found[1]).read_text().splitlines()), command))]
    return {word for word in words if not word.startswith("-")} - {"apt-get", "install"}


def field(name, text):
    found = re.search(rf"(?m)^{name}:((?:.*)(?:\n .*)*)", text)[1]
    return {re.split(r"[ :(|]", word.strip())[0] for word in found.split(",") if word.strip()}


@pytest.fixture(scope="module")
def images():
    return stages(PATH.read_text())


def test_packages_are_those_of_the_package(images):
    control = (ROOT / "dist/debian/control").read_text()
    assert field("Build-Depends", control) - {"debhelper-compat"} <= installed(images[0]) and "debhelper" in installed(images[0])
    assert installed(images[1]) == {"systemd-standalone-sysusers", "systemd-standalone-tmpfiles", "/tmp/posthorn.deb"} | field("Recommends", control)
    assert {"systemd-standalone-sysusers", "systemd-standalone-tmpfiles"} <= set(re.findall(r"[\w-]+", control))


def test_what_is_copied_is_there(images):
    copied = [rest.split() for stage in images for word, rest in stage if word == "COPY" and not rest.startswith("--from")]
    assert len(copied) >= 3
    assert not [source for *sources, _ in copied for source in sources if not (ROOT / source).exists()]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"/build", "/.git"} <= set(ignored) and not [line for line in ignored if re.match(r"/?(src|dist|docs|meson)", line)]
    with pytest.raises(AssertionError):
        stages("FROM x\nCOPPY a b\n")


AS_USER = ("setpriv", "--reuid=posthorn", "--regid=posthorn", "--clear-groups", "--bounding-set=-all", "--no-new-privs",
           "env", "-i", "PATH=/usr/bin:/bin")


class Box(Machine):
    """No systemd in it, as in a container."""

    furnish = ""
    first = "/bin/sleep infinity"

    def __init__(self, lower):
        self.lower = lower
        super().__init__()

    def is_up(self):
        return True

    def run_as_user(self, *words, **more):
        return self.run(*AS_USER, *words, **more)


def carry_out(box, stage, deb):
    """The steps that make the image, as root."""
    (box.root / "usr/local/sbin").mkdir(parents=True, exist_ok=True)
    (box.root / "usr/local/sbin/apt-get").write_text(APT_GET)
    (box.root / "usr/local/sbin/apt-get").chmod(0o755)
    for word, rest in stage:
        if word == "COPY":
            *sources, target = rest.split()
            source = deb if sources[0] == "--from=build" else ROOT / sources[0]
            (box.root / target[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, box.root / target[1:])
        elif word == "RUN":
            box.run("env", "-i", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-ec", rest)


@pytest.fixture(scope="module")
def box(images):
    deb = packaged.build()
    made = Box(packaged.root(deb)[0])
    try:
        carry_out(made, images[1], deb)
        (made.root / "tls").mkdir()
        make_certificate(pathlib.Path(made.root / "tls"))
        made.run("sh", "-c", "chown posthorn: /tls/*.pem")
        yield made
    finally:
        made.close()


def test_the_image_serves(images, box):
    """As its user, without a capability; healthy when it serves, and only then; SIGTERM ends it."""
    last = images[1]
    health = json.loads(one(last, "HEALTHCHECK").partition(" CMD ")[2])
    command = json.loads(one(last, "ENTRYPOINT")) + json.loads(one(last, "CMD"))
    assert one(last, "USER") == "posthorn" and box.run("id", "-u", "posthorn") == "993\n"
    assert box.stat(one(last, "VOLUME")) == "drwx------ posthorn:posthorn"
    assert not [name for name in ("cert.pem", "key.pem") if (box.root / "etc/posthorn" / name).exists()]
    with pytest.raises(RuntimeError, match=r"status: 1\n"):
        box.run_as_user(*health)
    with open(box.dir / "log", "wb") as log:
        serving = subprocess.Popen(["nsenter", "-t", str(box.pid), "-a", *AS_USER, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    await_health(box, health)
    box.run_as_user("posthorn", "user", "add", "ann@example.org", stdin=PASSWORD.encode() + b"\n")
    ports = {int(port) for port in one(last, "EXPOSE").split()}
    assert ports == listening(box)
    box.inside(deliver, ("127.0.0.1", 1024))
    imap = box.inside(Imap, ("127.0.0.1", 1993), "ann@example.org", PASSWORD, tls=True)
    assert imap.select("INBOX")["EXISTS"] == 1
    imap.close()
    box.run("sh", "-c", f"kill -{one(last, 'STOPSIGNAL').removeprefix('SIG')} {first_process(box)}")
    assert serving.wait(60) == 0, (box.dir / "log").read_text()


def first_process(box):
    """The one that was started: of the server's processes the oldest."""
    return str(min(int(path.parent.name) for path in (box.root / "proc").glob("[0-9]*/comm") if path.read_text() == "posthorn\n"))


def deliver(address):
    lmtp = Lmtp(address)
    lmtp.deliver("ann@example.org", b"Subject: x\r\n\r\nhello\r\n")
    lmtp.close()


def await_health(box, health):
    end = time.monotonic() + 60
    while True:
        try:
            return box.run_as_user(*health)
        except RuntimeError:
            assert time.monotonic() < end, (box.dir / "log").read_text()
            time.sleep(0.2)


def listening(box):
    """The TCP ports that are, in its network."""
    text = box.read(f"/proc/{first_process(box)}/net/tcp")
    return {int(line.split()[1].split(":")[1], 16) for line in text.splitlines()[1:] if line.split()[3] == "0A"}
