"""Random stories against the model of RFC 9051, RFC 7162 and RFC 9586."""
import os
import time

import pytest

from lib import peers, server as posthorn
from lib.long import LONG

from .actor import KINDS
from .story import Story

SECONDS = float(os.environ.get("POSTHORN_MODEL_SECONDS", 60 if LONG else 6))
LEAST = 150  # steps, however slow the machine is
SEEDS = [int(s) for s in os.environ.get("POSTHORN_SEED", "1 2 3 4 5 6" if LONG else "1 2").split()]


def compactor(server):
    """Retention is one second: what was expunged before is forgotten."""
    def compact():
        time.sleep(1.2)
        posthorn.run_verb("compact", "-c", server.config)
    return compact


def restarter(server):
    def restart(how):
        if how == "kill":
            server.kill()
            server.start()
        else:
            server.restart()
    return restart


@pytest.mark.parametrize("seed", SEEDS)
def test_story(seed):
    server = posthorn.Server(settings={"retention": 1, "test_packing": seed % 2 == 0, "mail_compress": "none" if seed % 2 == 0 else "zstd"})
    try:
        story = Story(server, seed, [k for k in KINDS for _ in range(1 + (k == "qresync"))], compactor(server), restarter(server),
                      notify=True)
        end = time.monotonic() + SECONDS
        seen = story.run(lambda step: step < LEAST or time.monotonic() < end)
        assert seen["told by NOTIFY"] and seen["told by SELECTED"]
        assert seen["compacted"] and (seen["beyond the horizon"] or not LONG)
        print(f"seed {seed}: {story.step} steps, {dict(seen)}")
    finally:
        server.stop()


# What Debian's Dovecot 2.3 does in its own way.
DOVECOT = {
    "fetch tells the old modseq": "FETCH BODY[] that sets \\Seen and has MODSEQ tells new flags with the old mod-sequence",
    "move loses mail": "MOVE within a mailbox from which others have expunged says NO [EXPUNGEISSUED], and all of the set is gone",
    "read-only moves copy": "MOVE from a mailbox opened by EXAMINE tells COPYUID and EXPUNGE, copies, and takes nothing away",
    "status tells what it told": "STATUS of the selected mailbox tells the numbers that the session was told last",
    "read-only says OK": "EXPUNGE in a mailbox opened by EXAMINE is OK, and does nothing",
    "searches what it told": "SEARCH looks at flags as the session was told them last, not as they are",
    "store tells nothing": "a STORE that changes nothing has no FETCH (RFC 9051 section 6.4.6 wants one)",
}


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_story_on_dovecot(seed):
    peer = peers.Dovecot()
    try:
        story = Story(peer, seed, ["rev1", "condstore", "qresync", "qresync"], deviations=DOVECOT)
        end = time.monotonic() + SECONDS
        seen = story.run(lambda step: step < LEAST or time.monotonic() < end)
        assert not LONG or set(DOVECOT) <= set(seen)  # else it is to be struck off the list
    finally:
        peer.stop()
