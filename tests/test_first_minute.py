"""The first minute: what `./run --build` made serves the sample mail of `posthorn demo`, and ends when asked."""
import imaplib
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time

import pytest

from lib.peers import free_offset, wait_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "build/posthorn"
PASSWORD = "it's $HOME"
STANDARD = {"imap": 143, "imaps": 993, "lmtp": 24}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    os.chmod(folder, 0o755)
    offset = free_offset(STANDARD.values())
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([BINARY, "demo", "--data", folder / "my data", "--offset", str(offset), "--password", PASSWORD],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    ports = {name: offset + port for name, port in STANDARD.items()}
    wait_port(ports["imaps"], process, 30)
    deadline = time.monotonic() + 30
    while "Stop it with" not in (folder / "log").read_text(errors="replace"):
        assert time.monotonic() < deadline, (folder / "log").read_text(errors="replace")
        time.sleep(0.05)
    yield ports, process, folder
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def curl(url, *options):
    return subprocess.run(["curl", "-sS", "-k", "--max-time", "30", "-u", f"demo@localhost:{PASSWORD}", *options, url],
                          stdout=subprocess.PIPE, check=True).stdout


def test_curl_fetches_the_sample_mail(demo):
    url = f"imaps://127.0.0.1:{demo[0]['imaps']}"
    assert b"INBOX" in curl(url)
    found = curl(f"{url}/INBOX", "-X", "SEARCH ALL").split()
    assert found[:2] == [b"*", b"SEARCH"] and len(found) > 2, found
    for number in found[2:]:
        assert b"\nSubject: " in b"\n" + curl(f"{url}/INBOX;MAILINDEX={number.decode()}")


def test_the_lines_to_paste_tell_the_ports(demo):
    text = (demo[2] / "log").read_text(errors="replace")
    assert all(f"127.0.0.1:{port}" in text for port in demo[0].values()), text


def test_the_lines_to_paste_work(demo):
    """In a shell of its own: nothing is on the PATH that was not there before."""
    text = (demo[2] / "log").read_text(errors="replace")
    lines = re.findall(r"  (curl .*|\S* user add ann .*)", text)
    assert len(lines) == 2, text
    for line in lines:
        done = subprocess.run(["sh", "-c", line], input=b"secret", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60, cwd="/")
        assert done.returncode == 0 and (b"Subject: " in done.stdout or b"added ann" in done.stdout), (line, done.stdout)


def test_capabilities_are_those_of_the_command(demo):
    said = subprocess.run([BINARY, "capabilities"], stdout=subprocess.PIPE, check=True).stdout.decode()
    told = {word for line in said.split("\n") for word in line.partition(" RFC ")[0].split()[1:]}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session = imaplib.IMAP4_SSL("127.0.0.1", demo[0]["imaps"], ssl_context=context)
    session.login("demo@localhost", PASSWORD)
    offered = set(session.capability()[1][0].decode().split())
    session.logout()
    assert told <= offered, told - offered
    own = {w for w in offered if w.startswith(("AUTH=", "IMAPSIEVE=sieve://localhost"))}  # of this server's settings
    assert offered - own == told, offered ^ told
    assert sum(w.startswith("IMAPSIEVE=") for w in own) == 1, own


def test_sigterm_ends_it(demo):
    _, process, folder = demo
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(5) == 0, (folder / "log").read_text(errors="replace")
    assert time.monotonic() - began < 5
    left = subprocess.run(["pgrep", "-g", str(process.pid)], stdout=subprocess.PIPE, check=False).stdout
    assert not left, left
