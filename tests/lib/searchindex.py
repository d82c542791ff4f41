"""The search index as a test sees it."""
import json
import re
import time

from . import server as posthorn


def state(server, user):
    return json.loads(posthorn.run_verb("mailbox", "index", user, "-c", server.config, "--json"))


def wait_indexed(server, user, documents, seconds=120):
    """Until so many messages are in it and nothing is at work."""
    end = time.monotonic() + seconds
    while (now := state(server, user))["documents"] < documents or now["working"]:
        assert time.monotonic() < end, now
        time.sleep(0.2)
    return now


def asked(server):
    """(candidates, matches) of the searches that asked it, from the log (log_level = debug)."""
    line = r"search: messages=\d+, index, candidates=(\d+), matches=(\d+)"
    return [tuple(map(int, m)) for m in re.findall(line, server.stderr())]
