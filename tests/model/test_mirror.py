"""Clients that lose their connections while others change the mailbox: in the end they have what one has that fetched everything."""
import os
import random
import threading
import time

from lib import client, server as posthorn
from lib.long import LONG

from .actor import plain_flags
from .mirror import Mirror

SEED = int(os.environ.get("POSTHORN_SEED", "1").split()[0])
SECONDS = 90 if LONG else 4
FLAGS = ["\\Seen", "\\Flagged", "\\Deleted", "\\Deleted", "kw1"]
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"


def command(dice):
    first = dice.randint(1, 400)
    last, flags = first + dice.choice([0, 0, 3, 100]), dice.choice(FLAGS)
    return dice.choice([
        ("APPEND INBOX ()", MESSAGE), ("APPEND INBOX (\\Flagged)", MESSAGE), (f"UID STORE {first}:{last} +FLAGS ({flags})", None),
        (f"UID STORE {first}:* -FLAGS ({flags})", None), (f"UID EXPUNGE {first}:{last}", None), (f"UID MOVE {first}:{last} INBOX", None),
        (f"UID COPY {first} INBOX", None), ("NOOP", None), (f"STORE 1 +FLAGS ({flags})", None)])


def others(server, user, name, end, failed):
    dice = random.Random(f"{SEED} {name}")
    try:
        imap = client.Imap(server.address("imap"), user, server.password)
        imap.command("SELECT INBOX")
        while time.monotonic() < end:
            try:
                imap.command(*command(dice))
            except client.Refused as error:  # NO: messages are gone; STORE 1 of an empty mailbox
                if " BAD" in str(error) and "sequence number" not in str(error):
                    raise
    except Exception as error:  # of a thread: told by the test
        failed.append(error)


def watch(mirror, end, failed):
    try:
        while time.monotonic() < end:
            mirror.play(*command(mirror.dice))
    except Exception as error:  # of a thread: told by the test
        failed.append(error)


def forget(server, end, failed):
    """The horizon moves on under them."""
    try:
        while time.monotonic() < end:
            posthorn.run_verb("compact", "-c", server.config)
            time.sleep(0.5)
    except Exception as error:  # of a thread: told by the test
        failed.append(error)


def truth(server, user):
    imap = client.Imap(server.address("imap"), user, server.password)
    there = imap.select("INBOX")["EXISTS"]
    rows = imap.fetch("1:*", "(UID FLAGS)").values() if there else []
    return {m["UID"]: plain_flags(m["FLAGS"]) for m in rows}


def test_mirrors_end_with_everything():
    server, failed = posthorn.Server(settings={"retention": 1}), []
    try:
        user = server.fresh_user("alice")
        mirrors = [Mirror(server, user, random.Random(f"{SEED} mirror {n}")) for n in range(4)]
        end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=others, args=(server, user, n, end, failed), daemon=True) for n in range(4)]
        threads += [threading.Thread(target=watch, args=(m, end, failed), daemon=True) for m in mirrors]
        threads.append(threading.Thread(target=forget, args=(server, end, failed), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS + 120)
        assert not failed, failed
        there = truth(server, user)
        for n, mirror in enumerate(mirrors):
            mirror.losses = 0
            if n % 2:
                mirror.connect()
            mirror.play("NOOP")
            wrong = {u: (mirror.cache.get(u), there.get(u)) for u in {*mirror.cache, *there} if mirror.cache.get(u) != there.get(u)}
            assert not wrong, f"seed {SEED}: cached and there: {wrong}\n" + "\n".join(mirror.last)
    finally:
        server.stop()
