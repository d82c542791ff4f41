"""kill -9 of the whole server at random moments under a mixed load; the ledger must agree every time."""
import os
import random
import threading
import time

import pytest

import fetcher
import ledger
from lib import client, server as posthorn
from lib.long import LONG

ROUNDS = 300 if LONG else 10
FRESH = 20  # rounds of one crew


def crew(server):
    """Four sessions and two couriers; a POP3 client, where there is POP3."""
    workers = [ledger.Worker(server, server.fresh_user("worker"), seed) for seed in range(4)]
    couriers = [ledger.Courier(server, server.fresh_user("courier")) for _ in range(2)]
    fetchers = [fetcher.Fetcher(server, server.fresh_user("fetcher"), 1)] if server.address("pop3") else []
    for member in workers + couriers + fetchers:
        member.prepare()
    return workers + couriers + fetchers


def crash(server, members, seconds, damage=None, compress="none"):
    """Work, then kill -9 in the middle of it; damage(server) may spoil the files before the restart."""
    threads = [threading.Thread(target=member.work) for member in members]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    server.kill()
    for thread in threads:
        thread.join(60)
    if damage:
        damage(server)
    server.settings["mail_compress"] = compress
    server.write_config()
    server.start()


def relieved(members):
    """What a crew had acknowledged when it goes; each of them has worked."""
    assert all(m.acknowledged > 10 for m in members), [m.acknowledged for m in members]
    return sum(m.acknowledged for m in members)


def judge(members):
    for member in members:
        member.judge()


def test_kill9(capsys):
    server = posthorn.Server(services=(*posthorn.SERVICES, "pop3"))
    try:
        members, acknowledged = [], 0
        chance = random.Random(int(os.environ.get("POSTHORN_SEED", "1")))
        took = []
        for i in range(ROUNDS):
            if i % FRESH == 0:  # judging a crew takes the longer the more it has done
                acknowledged += relieved(members)
                members = crew(server)
            crash(server, members, chance.uniform(0.2, 2.0), compress=("zstd", "none")[i % 2])
            took.append(server.start_seconds)
            server.check_reports()
            judge(members)
        ledger.check_starts(took)
        acknowledged += relieved(members)
        with capsys.disabled():
            print(f"\nkill -9: {ROUNDS} rounds, {acknowledged} acknowledged, starts of {sorted(took)[ROUNDS // 2]:.2f} s, {max(took):.2f} s at most")
    finally:
        server.stop()


def lose_tail(server):
    """What a build that acknowledges before the commit leaves behind: the journal lacks its last octets."""
    segment = max((p for p in (server.data / "journal").rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    data = segment.read_bytes().rstrip(b"\0")
    with open(segment, "r+b") as file:
        file.seek(max(len(data) // 2, len(data) - 65536))
        file.write(b"\0" * (len(data) - file.tell()))


def test_ledger_sees_lost_acknowledgements():
    """The proof that the harness can fail: acknowledged changes that never reached the disk are found."""
    server = posthorn.Server()
    try:
        members = crew(server)
        crash(server, members, 1.0, damage=lose_tail)
        with pytest.raises((ledger.Lost, client.Refused)):
            judge(members)
    finally:
        server.stop()


def test_ledger_sees_repeated_uids():
    """UIDs that are given again are found."""
    worker = ledger.Worker(None, "nobody", 1)
    worker.new("left", 5, ("a", frozenset()))
    with pytest.raises(ledger.Lost):
        worker.new("left", 5, ("b", frozenset()))
