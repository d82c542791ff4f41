"""How the server behaves under load, where no transcript can tell: settings, and what one user may take."""
import pytest

from lib.client import Imap, Refused
from lib.server import PASSWORD, Server, run_verb
from lib.wire import Wire

BACKGROUND = 'ID ("name" "com.apple.email.maild" "event" "indexer")'


@pytest.fixture(name="make")
def make_():
    made = []

    def make(**settings):
        made.append(Server(settings))
        return made[-1]
    yield make
    for server in made:
        server.stop()


def login(server, user="alice"):
    return Imap(server.address("imap"), user, PASSWORD)


def set_and_reload(server, **settings):
    server.settings.update(settings)
    server.write_config()
    run_verb("reload", "-c", server.config)


def refuses(server):
    """Before login, after login: is a download in the background refused?"""
    stranger = Wire(server.address("imap"))
    stranger.line()
    stranger.send(f"a {BACKGROUND}\r\n".encode())
    line = stranger.line()
    stranger.close()
    user = login(server)
    try:
        user.command(BACKGROUND)
        after = False
    except Refused as error:
        after = "NO [UNAVAILABLE]" in str(error)
    user.close()
    return line.startswith(b"a NO [UNAVAILABLE]"), after


def test_background_downloads(make):
    server = make(test_overload=True)
    assert refuses(server) == (True, True)
    set_and_reload(server, shed_background=False)
    assert refuses(server) == (False, False)
    set_and_reload(server, shed_background=True)
    assert refuses(server) == (True, True)
    set_and_reload(server, test_overload=False)
    assert refuses(server) == (False, False)
