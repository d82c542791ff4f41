"""Sessions that say nothing: autologout (RFC 9051 section 5.4), and what keeps an idling client's way through NAT open."""
import concurrent.futures
import time

import pytest

from lib.wire import Closed
from .conftest import Target

IDLE_SECONDS, NOTIFY_SECONDS = 4, 1


@pytest.fixture(scope="module")
def own():
    target = Target({"test_idle_time": f"{IDLE_SECONDS}s", "idle_notify": f"{NOTIFY_SECONDS}s"})
    yield target
    target.stop()


def lines_until_closed(session):
    lines = []
    with pytest.raises(Closed):
        while True:
            lines.append(session.wire.line(60))
    return lines


def at_once(test, *cases):
    """They all wait: in the time of one."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for done in [pool.submit(test, *case) for case in cases]:
            done.result()


def test_autologout(own):
    at_once(autologout, *((own, tls, selected) for tls in (False, True) for selected in (False, True)))


def autologout(own, tls, selected):
    session = own.imap("alice", tls=tls)
    if selected:
        session.command("SELECT INBOX")
    began = time.monotonic()
    assert lines_until_closed(session) == [b"* BYE Autologout; idle for too long"]
    assert time.monotonic() - began > IDLE_SECONDS - 0.5


def test_what_is_said_counts_from_anew(own):
    session = own.imap("bob")
    for _ in range(4):
        time.sleep(IDLE_SECONDS / 2)
        session.command("NOOP")
    assert lines_until_closed(session) == [b"* BYE Autologout; idle for too long"]


def test_still_here(own):
    at_once(still_here, (own, False), (own, True))


def still_here(own, tls):
    """A word at each interval while idling, and autologout all the same: IDLE is no reason to stay for ever."""
    session = own.imap("carol", tls=tls)
    session.send("IDLE")
    assert session.wire.line() == b"+ idling"
    *words, bye = lines_until_closed(session)
    assert bye == b"* BYE Autologout; idle for too long"
    assert set(words) == {b"* OK Still here"} and 1 <= len(words) <= IDLE_SECONDS / NOTIFY_SECONDS


def test_nothing_is_said_outside_idle(own):
    session = own.imap("carol")
    session.send("IDLE")
    assert session.wire.line() == b"+ idling"
    session.wire.send(b"DONE\r\n")
    while not session.wire.line().startswith(b"t2 OK"):
        pass
    assert lines_until_closed(session) == [b"* BYE Autologout; idle for too long"]
