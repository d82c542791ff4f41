"""Power cuts: the events of a real load are replayed to a disk that loses, tears and reorders what was not synced; each
state must open, verify and hold what had been acknowledged at that moment. store_list.c opens them, many a second; of
every hundredth a server must tell the same."""
import concurrent.futures
import multiprocessing
import os
import random
import shutil
import threading
import time

import pytest

import disk
import eventlog
import ledger
import listing
import timeline
from eventlog import release_binary  # noqa: F401
from lib import scratch
from lib.long import LONG

SEGMENT = 256 << 10  # small: many are sealed, compacted and begun
LOAD_SECONDS = 0.8  # short: what a state holds is read at every cut
CUTS = 800 if LONG else 160  # of one load
LOADS = 25 if LONG else 1
SERVED = 100
SEED = int(os.environ.get("POSTHORN_SEED", "1"))
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Run:
    """A load on a server, its events, and the disk before the first of them."""

    def __init__(self, seed, pretend=()):
        self.served = 0
        self.seed, self.random = seed, random.Random(seed)
        self.server = eventlog.Server({"test_segment_size": SEGMENT, "retention": 0}, logged=False)
        self.members = self.crew()
        self.end()
        self.disk = disk.Disk(self.server.data, ignored=("users",), pretend=pretend)
        self.server.logged = True
        self.load()
        self.events = list(self.server.event_log.events())
        self.users = scratch.folder("users") / "users"
        shutil.copytree(self.server.data / "users", self.users)
        self.server.stop()

    def crew(self):
        server = self.server
        workers = [timeline.Worker(server, server.fresh_user("worker"), 3 * self.seed + k) for k in range(3)]
        couriers = [timeline.Courier(server, server.fresh_user("courier"))]
        for member in workers + couriers:
            member.prepare()
        return workers + couriers

    def end(self):
        self.server.process.terminate()
        self.server.process.wait(20)

    def load(self):
        """Work with compactions, with mail compressed and not, kill -9 in the middle of it, judgement, and work again until kill -9."""
        self.starts = []
        for compress in ("none", "zstd", "none"):
            self.starts.append(self.server.event_log.position())
            self.server.settings["mail_compress"] = compress
            self.server.write_config()
            self.server.start()
            for member in self.members:
                member.judge()
            threads = [threading.Thread(target=member.work) for member in self.members]
            for thread in threads:
                thread.start()
            for _ in range(3):
                time.sleep(LOAD_SECONDS / 4)
                eventlog.posthorn.run_verb("compact", "--data", self.server.data)
            time.sleep(LOAD_SECONDS / 4)
            self.server.kill()
            for thread in threads:
                thread.join(60)
        assert all(member.acknowledged > 5 for member in self.members)

    # -- cuts ----------------------------------------------------------------------------------
    def places(self, count):
        """Indexes of events: a third at random, a third around names and syncs, a third behind a start."""
        special = [i for i, e in enumerate(self.events) if e.kind in (eventlog.RENAME, eventlog.LINK, eventlog.UNLINK,
                                                                     eventlog.CREATE, eventlog.TRUNCATE, eventlog.SYNC)]
        starts = [next(i for i, e in enumerate(self.events) if e.at >= start) for start in self.starts]
        chosen = [self.random.choice(special) + self.random.randint(0, 1) for _ in range(count // 3)]
        chosen += [self.random.choice(starts) + self.random.randint(0, 40) for _ in range(count // 3)]
        chosen += [self.random.randint(0, len(self.events)) for _ in range(count - len(chosen))]
        return sorted(min(place, len(self.events)) for place in chosen)

    def cut(self, count):
        """Judges so many states; returns how many. Raises at the first that is wrong."""
        lister, fed, fates = listing.Lister(SEGMENT), 0, disk.fates(self.random)
        folder = scratch.folder("cut", MEMORY)
        try:
            for number, place in enumerate(self.places(count)):
                for event in self.events[fed:place]:
                    self.disk.feed(event)
                fed = place
                fate = next(fates)
                self.disk.save(folder / "data", fate)
                if number % SERVED == SERVED // 2:
                    shutil.copytree(folder / "data", folder / "served")
                self.judge(lister.list(folder / "data"), folder / "served", place, fate)
            return count
        except ledger.Lost:
            keep = os.environ.get("POSTHORN_KEEP")  # for a closer look
            if keep:
                shutil.copytree(folder, keep, dirs_exist_ok=True)
            raise
        finally:
            lister.close()
            shutil.rmtree(folder)

    def judge(self, found, twin, place, fate):
        """`twin`: the same state, if a server shall tell it too."""
        position = self.events[place - 1].at if place else 0
        try:
            if found.fault or found.errors != 0:
                raise ledger.Lost(f"{found.fault}, {found.errors} errors, {found.reports}")
            for member in self.members:
                member.judge_cut(found, position, certain=fate.names == fate.data == 0)
            if twin.exists():
                self.judge_served(found, twin)
        except ledger.Lost as lost:
            raise ledger.Lost(f"seed {self.seed}, cut at event {place} (position {position}), names {fate.names:.1f}, "
                              f"data {fate.data:.1f}, torn {fate.torn:.1f}: {lost}") from None

    def judge_served(self, found, data):
        """What clients see is what the listing says."""
        shutil.copytree(self.users, data / "users")
        server = eventlog.posthorn.Server({"test_segment_size": SEGMENT, "retention": 0}, data=data)
        for account in found.accounts.values():
            session = server.imap(account.user)
            if session.names() != set(account.boxes):
                raise ledger.Lost(f"{account.user}: a server has {session.names()}, the store {set(account.boxes)}")
            for name, box in account.boxes.items():
                told = tell(session, name)
                if told != (box.validity, box.uidnext, {u: (row[1], row[2]) for u, row in box.rows.items()}):
                    raise ledger.Lost(f"{account.user}/{name}: a server says {told}, the store {box}")
            session.close()
        self.served += 1
        server.stop()
        shutil.rmtree(data)


def tell(session, name):
    """UIDVALIDITY, UIDNEXT and rows by UID, as a client has them."""
    known = session.select(name)
    found = session.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (X-ID)])").values() if known["EXISTS"] else ()
    return known["UIDVALIDITY"], known["UIDNEXT"], {v["UID"]: (header_id(v), frozenset(v["FLAGS"]) - {"\\Recent"}) for v in found}


def header_id(values):
    return ledger.ID.search(next(v for k, v in values.items() if k.startswith("BODY[")))[1].decode()


def play(seed):
    """One load and its cuts: how many states, states told by a server, events, acknowledged changes."""
    run = Run(seed)
    kinds = {e.kind for e in run.events}
    assert {eventlog.RENAME, eventlog.LINK, eventlog.UNLINK, eventlog.CREATE, eventlog.SYNC_ONE} <= kinds, kinds
    return run.cut(CUTS), run.served, len(run.events), sum(m.acknowledged for m in run.members)


def test_power_cuts(capsys):
    began, seeds = time.monotonic(), range(SEED, SEED + LOADS)
    if LOADS == 1:
        played = [play(SEED)]
    else:
        eventlog.posthorn.template()
        eventlog.library()
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
            played = list(pool.map(play, seeds))
    states, served, events, acknowledged = map(sum, zip(*played))
    assert served >= states // SERVED
    with capsys.disabled():
        print(f"\npower cuts: {states} states ({served} by a server too) of {events} events, "
              f"{acknowledged} acknowledged, {time.monotonic() - began:.0f} s")


def test_without_syncs_it_fails():
    """The proof that the harness can fail: a disk whose syncs do nothing, as a build without fdatasync."""
    run = Run(SEED, pretend={eventlog.SYNC})
    with pytest.raises(ledger.Lost):
        run.cut(40)
