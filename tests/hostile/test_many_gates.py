"""The cap of connections before login from one address holds over all gates."""
import socket
import time

import pytest

from lib.client import Imap
from lib.server import PASSWORD, Server

CAP = 200  # LIMIT_preauth_per_ip


@pytest.fixture(name="server")
def server_():
    server = Server({"gate_processes": 3})
    yield server
    server.stop()


def is_open(connection):
    """The greeting came, and no goodbye."""
    connection.setblocking(False)
    got = b""
    try:
        while piece := connection.recv(65536):
            got += piece
        return False
    except BlockingIOError:
        return b"BYE" not in got
    except OSError:
        return False


def test_cap_over_all_gates(server):
    address = ("127.0.0.1", server.ports["imap"])
    idle = [socket.create_connection(address) for _ in range(2 * CAP)]
    for connection in idle[-3:]:
        connection.settimeout(30)
        assert connection.recv(16).startswith(b"* OK")
    end = time.monotonic() + 30
    while (left := sum(is_open(c) for c in idle)) > CAP * 5 // 4:
        assert time.monotonic() < end, f"{left} connections are open"
        time.sleep(0.2)
    assert left > CAP // 2
    for _ in range(5):
        Imap(address, "alice", PASSWORD).close()
    for connection in idle:
        connection.close()
