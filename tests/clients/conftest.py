"""Client tests run on Posthorn and, to test the tests, on Dovecot."""
import pytest

from lib import peers, server as posthorn


@pytest.fixture(scope="session", params=["posthorn", "dovecot"])
def where(request):
    if request.param == "dovecot":
        server = peers.Dovecot()
    else:
        server = posthorn.Server({"local_domains": ["example.test"]})
    yield server
    server.stop()


@pytest.fixture
def user(where):
    """A fresh user on the server of this run."""
    yield where.fresh_user("u")
    where.check_reports()
