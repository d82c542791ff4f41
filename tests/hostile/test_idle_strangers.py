"""Crowds of connections before login, and slow ones (HOSTILE.md A: slow loris)."""
import contextlib
import os
import pwd
import resource
import socket
import subprocess
import time

import pytest

from lib.wire import client_tls
from .conftest import PATIENCE, Target, rest_of

# Enough loopback addresses that the cap per address (LIMIT_preauth_per_ip) is not in the way.
PER_ADDRESS = 180


@pytest.fixture
def own():
    server = Target()
    yield server
    server.stop()


def crowd(target, count, service="imap"):
    """So many silent connections, from 127.1.0.x."""
    socks = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for i in range(count):
        sock = socket.socket()
        sock.bind((f"127.1.{i // PER_ADDRESS // 250}.{i // PER_ADDRESS % 250 + 1}", 0))
        sock.settimeout(10)
        sock.connect(target.address(service))
        socks.append(sock)
    for sock in socks:
        if service == "imap":
            assert sock.recv(4096).startswith(b"* OK")
    return socks


def login_seconds(target, tls=False):
    """A usual login: of 20, that which is slower than most."""
    took = []
    for _ in range(20):
        began = time.monotonic()
        target.imap("alice", tls=tls).close()
        took.append(time.monotonic() - began)
    return sorted(took)[14]


@pytest.mark.parametrize("sends", [b"", b"a", b"a LOGIN alice {6}\r\n"])
def test_idle_connections_before_login(own, long_form, sends):
    """At most 16 KiB each (twice that with redzones), and honest logins as quick as ever."""
    count = 10_000 if long_form else 2_000
    usual = login_seconds(own)
    first = crowd(own, 50)
    before = own.memory()
    socks = crowd(own, count)
    for sock in socks:
        if sends:
            sock.sendall(sends)
    assert login_seconds(own) < 3 * usual + 1
    each = (own.memory() - before) / count
    print(f"{each / 1024:.1f} KiB per connection before login")
    assert each <= (16 << 10) * (2 if own.sanitized else 1), f"{each:.0f} octets each"
    for sock in first + socks:
        sock.close()
    time.sleep(0.2)
    with own.unharmed():
        own.imap("bob").close()


def test_idle_tls_connections_before_login(own, long_form):
    """TCP only, on the TLS port: the handshake never comes."""
    count = 10_000 if long_form else 1_000
    usual = login_seconds(own, tls=True)
    before = own.memory()
    socks = crowd(own, count, "imaps")
    assert login_seconds(own, tls=True) < 3 * usual + 1
    each = (own.memory() - before) / count
    print(f"{each / 1024:.1f} KiB per silent connection to the TLS port")
    assert each <= (16 << 10) * (2 if own.sanitized else 1), f"{each:.0f} octets each"
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("service", ["imaps", "imap"])
def test_idle_connections_after_the_handshake(long_form, service):
    """The handshake done, nothing said inside: OpenSSL's state comes on top."""
    count = 10_000 if long_form else 600
    own = Target({"test_preauth_time": "10m"})  # so many handshakes take their time
    try:
        measure_after_the_handshake(own, count, service)
    finally:
        own.stop()


def measure_after_the_handshake(own, count, service):
    usual = login_seconds(own, tls=True)
    context, socks = client_tls(), []
    raw = crowd(own, count, service)  # before the measuring: what is here is counted by the tests above
    before = own.memory()
    for sock in raw:
        if service == "imap":
            sock.sendall(b"a STARTTLS\r\n")
            assert sock.recv(100).startswith(b"a OK")
        socks.append(context.wrap_socket(sock, server_hostname="localhost"))
    assert socks[0].version() == "TLSv1.3"
    assert login_seconds(own, tls=True) < 3 * usual + 1
    each = (own.memory() - before) / count
    print(f"{each / 1024:.1f} KiB per idle connection after the handshake")
    assert each <= (16 << 10) * (2 if own.sanitized else 1), f"{each:.0f} octets each"
    for sock in socks:
        sock.close()


def test_one_address_cannot_crowd_out_others(own):
    """Over the cap of one address its own oldest goes, with a word; others stay."""
    other = socket.create_connection(own.address("imap"), source_address=("127.9.0.1", 0))
    other.recv(4096)
    socks = []
    for _ in range(260):
        sock = socket.create_connection(own.address("imap"), source_address=("127.9.0.2", 0), timeout=5)
        socks.append(sock)
    got, closed = rest_of(socks[0], 2)
    assert closed and b"BYE" in got
    other.sendall(b"a NOOP\r\n")
    assert other.recv(4096).startswith(b"a OK")
    assert socks[-1].recv(4096).startswith(b"* OK")
    for sock in socks:
        sock.close()
    other.close()


@pytest.mark.parametrize("service", ["imap", "imaps"])
def test_slow_senders_meet_the_deadline(service):
    """The deadline counts from the connection's start, not from its last octet."""
    target = Target({"test_preauth_time": "1s"})
    try:
        sock = target.open(service)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 20:
                sock.sendall(b"\x16" if service == "imaps" and time.monotonic() - began < 0.2 else b"a")
                time.sleep(0.25)
                sock.settimeout(0.01)
                with contextlib.suppress(socket.timeout):
                    if not sock.recv(4096):
                        break
        assert time.monotonic() - began < 2 + PATIENCE
        # Who logged in is not met by it.
        session = target.imap("alice", tls=service == "imaps")
        time.sleep(1.2)
        session.command("NOOP")
        session.close()
    finally:
        target.stop()


def test_deadline_reaches_sasl_and_starttls():
    target = Target({"test_preauth_time": "1s"})
    try:
        for opening in (b"a AUTHENTICATE PLAIN\r\n", b"a STARTTLS\r\n", b"a LOGIN alice {6}\r\n"):
            sock = target.open()
            sock.sendall(opening)
            began = time.monotonic()
            _, closed = rest_of(sock, 20)
            assert closed and time.monotonic() - began < 3 + PATIENCE, opening
    finally:
        target.stop()


def test_stranger_who_reads_nothing():
    """Output before login is bounded and ends with the deadline."""
    target = Target({"test_preauth_time": "3s"})
    try:
        with target.unharmed(memory=24 << 20):
            socks = []
            for _ in range(20):
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(target.address("imap"))
                sock.setblocking(False)
                socks.append(sock)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                for sock in socks:
                    with contextlib.suppress(OSError):
                        sock.send(b"a CAPABILITY\r\n" * 1000)
            time.sleep(2)
            for sock in socks:
                sock.close()
    finally:
        target.stop()


def limit_descriptors(pid, count):
    """As the process's own user: another needs a capability that a container has not."""
    options = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={count}:{count}"], check=True, **options)


def test_no_descriptors_left():
    """The gate that has no descriptors left waits, does not spin, and recovers."""
    target = Target()
    try:
        pids = target.pids("gate") + target.pids("mail")
        for pid in pids:
            open_now = len(os.listdir(f"/proc/{pid}/fd"))
            limit_descriptors(pid, open_now + 12)
        socks = []
        for service in ("imap", "lmtp"):
            for _ in range(40):
                sock = socket.socket()
                sock.settimeout(2)
                sock.connect(target.address(service))
                socks.append(sock)
        time.sleep(0.3)
        used = cpu_seconds(pids)
        time.sleep(1)
        spent = cpu_seconds(pids) - used
        for sock in socks:
            sock.close()
        assert spent < 0.3, f"{spent} s of CPU in one second of waiting"
        time.sleep(0.6)
        target.imap("alice").close()
        assert target.open("lmtp").recv(100).startswith(b"220")
    finally:
        target.stop()


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
