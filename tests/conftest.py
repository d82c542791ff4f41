"""What all tests share. /usr/bin/python3 -m pytest tests"""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lib import peers, server as posthorn  # noqa: E402


def fleet(variant):
    servers = posthorn.Fleet(variant)
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def plain_fleet():
    yield from fleet("plain")


@pytest.fixture(scope="session")
def split_fleet():
    yield from fleet("split")


@pytest.fixture(scope="session")
def mount_fleet():
    yield from fleet("mount")


@pytest.fixture(scope="session")
def dovecot():
    peer = peers.Dovecot()
    yield peer
    peer.stop()


@pytest.fixture
def server():
    """A server of this test's own."""
    own = posthorn.Server()
    yield own
    own.stop()


@pytest.fixture(name="make")
def make_servers():
    """As many servers as a test asks for."""
    made = []

    def make(*words, **how):
        made.append(posthorn.Server(*words, **how))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def shared_server():
    """One server for the tests of a module; each takes a user of its own."""
    own = posthorn.Server()
    yield own
    own.stop()
