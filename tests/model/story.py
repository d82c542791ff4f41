"""A random story: several sessions change two mailboxes, one command after the other, and the model says what each may be told."""
import collections
import random
import re

from lib.client import Imap, Refused
from lib.imapdata import fetched

from .actor import FETCH, VANISHED, Actor, plain_flags, set_of, uids_of
from .commands import FEWEST, Commands
from .oracle import Broken, Mailbox
from .watcher import Follower, Watcher


class Story(Commands):
    def __init__(self, server, seed, kinds, compact=None, restart=None, deviations=(), notify=False):
        self.server, self.seed, self.dice, self.deviations = server, seed, random.Random(seed), deviations
        self.compact, self.restart = compact, restart
        self.lines, self.step, self.plain_fetch = collections.deque(maxlen=80), 0, False
        self.seen = collections.Counter()  # what happened, so that a story that does nothing is noticed
        self.user = server.fresh_user("alice")
        self.observe()
        self.observer.command("CREATE Other")
        self.boxes = {name: Mailbox(name) for name in ("INBOX", "Other")}
        self.fence()
        self.actors = [Actor(self, f"{n}:{kind}", kind) for n, kind in enumerate(kinds)]
        self.watchers = self.listen() if notify else []

    def listen(self):
        """Sessions that use NOTIFY: of all mailboxes, of one by name, with and without mod-sequences; of the selected one."""
        boxes = list(self.boxes)
        return [Watcher(self, "n0:personal", "personal", boxes, True), Watcher(self, "n1:other", "mailboxes Other", boxes[1:], False),
                Watcher(self, "n2:subtree", "subtree INBOX", boxes[:1], True),
                *(Follower(self, f"n{n + 3}:{kind}", kind) for n, kind in enumerate(("rev1", "qresync-rev2", "uidonly")))]

    def strict(self, deviation):
        """Is this server not known to differ here? Where it is, that is counted, and looked away from."""
        if deviation not in self.deviations:
            return True
        self.seen[deviation] += 1
        return False

    def log(self, text):
        self.lines.append(f"{self.step} {text}")

    # -- the observer ------------------------------------------------------------------------
    def observe(self):
        self.observer = Imap(self.server.address("imap"), self.user, self.server.password)
        self.observer.command("ENABLE CONDSTORE")

    def fence(self):
        """After every command: the counts, and HIGHESTMODSEQ, which marks the changes so far."""
        for box in self.boxes.values():
            line = self.observer.command(f"STATUS {box.name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)")[0][-1]
            told = {k.decode().upper(): int(v) for k, v in re.findall(rb"([A-Z]+) (\d+)", line[line.index(b"("):])}
            want = (len(box.living), sum("\\seen" not in m.flags for m in box.living.values()))
            if (told["MESSAGES"], told["UNSEEN"]) != want or told["UIDNEXT"] < box.uidnext:
                raise Broken(f"{line}: there are {want}, UIDNEXT {box.uidnext}")
            if box.uidvalidity not in (None, told["UIDVALIDITY"]):
                raise Broken(f"{line}: UIDVALIDITY was {box.uidvalidity}")
            box.uidvalidity, box.uidnext = told["UIDVALIDITY"], told["UIDNEXT"]
            box.told_highest(told["HIGHESTMODSEQ"])
            box.states.append(told)

    def everything(self):
        """One that fetches everything sees what the model has."""
        for box in self.boxes.values():
            self.observer.command(f"EXAMINE {box.name}")
            rows = {}
            if box.living:
                lines, _ = self.observer.command("FETCH 1:* (UID FLAGS MODSEQ)")
                rows = {m["UID"]: m for _, m in filter(None, map(fetched, lines))}
            if {u: plain_flags(m["FLAGS"]) for u, m in rows.items()} != {u: m.flags for u, m in box.living.items()}:
                raise Broken(f"{box.name} has {rows}, the model {[(u, m.flags) for u, m in box.living.items()]}")
            for uid, items in rows.items():
                box.saw(box.living[uid].now, items["MODSEQ"][0])
            self.observer.command("UNSELECT")

    # -- one command -------------------------------------------------------------------------
    def play(self, actor, text, data=None, effect=None, drop=False):
        """Sends a command, lets the model do its effect(lines, tagged), and the client read the answer, or only the
        beginning of it. Returns (lines, tagged)."""
        lines, tagged = actor.answer(actor.send(text, data))
        if tagged.split(b" ")[1] == b"BAD":
            raise Broken(f"{tagged} for {text}")
        if effect:
            effect(lines, tagged)
        self.fence()
        if drop:
            actor.take(text, lines[:self.dice.randint(0, len(lines))], None)
            self.lost(actor)
            return lines, tagged
        actor.take(text, lines, tagged)
        return lines, tagged

    def lost(self, actor):
        """The connection is gone; sooner or later the client comes again."""
        self.seen["dropped"] += 1
        self.log(f"{actor.name} is cut off")
        box = actor.box
        actor.keep()
        actor.imap.close()
        actor.connect()
        if box and self.dice.random() < 0.5:
            self.select(actor, box)

    def maybe_drop(self, actor):
        return actor.resyncs and self.dice.random() < 0.04

    # -- SELECT and resynchronisation --------------------------------------------------------
    def select(self, actor, box):
        actor.keep()
        picture = actor.pictures.get(box.name)
        actor.forget()
        actor.box = box
        if picture and self.dice.random() < 0.9:
            return self.resync(actor, box, *picture)
        actor.read_only = self.dice.random() < 0.15
        words = f"{'EXAMINE' if actor.read_only else 'SELECT'} {box.name}"
        if actor.aware and self.dice.random() < 0.3:
            words += " (CONDSTORE)"
        lines, tagged = self.play(actor, words)
        self.opened(actor, box, lines, tagged)
        self.fetch_all(actor, 1)
        actor.synchronised()
        return actor.in_step()

    def opened(self, actor, box, lines, tagged):
        text = b"\r\n".join(lines)
        for name, value in ((b"UIDVALIDITY", box.uidvalidity), (b"UIDNEXT", box.uidnext), (b"HIGHESTMODSEQ", box.highest)):
            found = re.search(rb"\[%s (\d+)\]" % name, text)
            if found is None or int(found[1]) != value:
                raise Broken(f"SELECT told {found and found[0]}, not {value}: {tagged}")
        if len(actor.view.uids) != len(box.living):
            raise Broken(f"SELECT told {len(actor.view.uids)} EXISTS, there are {len(box.living)}")

    def fetch_all(self, actor, first):
        if actor.box.living:
            modseq = " MODSEQ" if actor.aware else ""
            self.play(actor, f"UID FETCH {first}:* (UID FLAGS{modseq})")

    def resync(self, actor, box, cache, highest):
        """RFC 7162 section 6, in one of the ways clients have. The outcome must be what one has that fetched everything."""
        actor.cache, actor.told, actor.highest, actor.covered = dict(cache), {}, highest, max(cache, default=0)
        way = self.dice.choice(["plain", "known", "match", "match", "fetch", "fetch-all"])
        if actor.uidonly and way == "match":
            way = "known"
        self.seen[f"resync {way}"] += 1
        known = set_of(cache) if cache else "1"
        more = {"known": f" {known}", "match": self.match(cache)}.get(way, "")
        actor.read_only = self.dice.random() < 0.15
        words = f"{'EXAMINE' if actor.read_only else 'SELECT'} {box.name}"
        if not way.startswith("fetch"):
            words += f" (QRESYNC ({box.uidvalidity} {highest}{more}))"
        drop = self.dice.random() < 0.05
        everything = known if more.startswith(f" {known}") else None

        def since(lines, _):
            self.earlier(actor, lines, highest, everything, way == "match")
        lines, tagged = self.play(actor, words, effect=None if way.startswith("fetch") else since, drop=drop)
        if drop:
            return None
        self.opened(actor, box, lines, tagged)
        if way.startswith("fetch"):
            everything = known if way == "fetch" else None
            self.play(actor, f"UID FETCH {everything or '1:*'} (UID FLAGS) (CHANGEDSINCE {highest} VANISHED)",
                      effect=lambda lines, _: self.earlier(actor, lines, highest, everything, False))
        self.fetch_all(actor, max(cache, default=0) + 1)
        if {u: f for u, f in actor.cache.items()} != {u: m.flags for u, m in box.living.items()}:
            raise Broken(f"{actor.name} resynchronised by {way} from {highest} to {self.picture(actor.cache)}, "
                         f"there is {self.picture({u: m.flags for u, m in box.living.items()})}")
        actor.synchronised()
        return actor.in_step()

    @staticmethod
    def picture(flags):
        return {u: sorted(f) for u, f in sorted(flags.items())}

    def match(self, cache):
        """Sequence match data: a few of the messages the client has, with the numbers they had."""
        uids = sorted(cache)
        places = sorted(self.dice.sample(range(len(uids)), min(len(uids), 4)))
        if not places:
            return ""
        known = f" {set_of(cache)}" if self.dice.random() < 0.5 else ""
        return f"{known} ({','.join(str(p + 1) for p in places)} {','.join(str(uids[p]) for p in places)})"

    def earlier(self, actor, lines, since, asked, matched):
        """VANISHED (EARLIER) and FETCH of what changed since: what they must and must not hold."""
        box, gone, met = actor.box, [], False
        for line in lines:
            found = VANISHED.match(line)
            if found and found[1]:
                if met:
                    raise Broken(f"{line} after FETCH")
                gone += uids_of(found[2])
            met |= bool(FETCH.match(line))
        asked = set(uids_of(asked.encode())) if asked else set(range(1, box.uidnext))
        if set(gone) & set(box.living) or not set(gone) <= asked or len(set(gone)) != len(gone) or any(u >= box.uidnext for u in gone):
            raise Broken(f"VANISHED (EARLIER) {gone}, asked for {sorted(asked)}, there is {sorted(box.living)}")
        for message in box.dead.values():
            low, _ = box.clock.bounds(message.gone)
            if message.uid in asked and not matched and low > since and message.uid not in gone:
                raise Broken(f"VANISHED (EARLIER) since {since} lacks {message.uid}, gone at {low}")
        forgotten = [u for u in gone if u not in box.dead or box.clock.bounds(box.dead[u].gone)[1] <= since]
        if forgotten and self.compact is None:
            raise Broken(f"VANISHED (EARLIER) since {since} has {forgotten}")
        self.seen["beyond the horizon"] += bool(forgotten)
        for uid in gone:
            actor.cache.pop(uid, None)
        self.changed_since(actor, lines, since, asked & set(box.living), set())

    def changed_since(self, actor, lines, since, asked, stale):
        told = self.named(actor, lines)
        for uid in asked | (told & set(actor.box.living)):
            low, high = actor.box.bounds(actor.box.living[uid])
            if low > since and uid in asked and uid not in told:
                raise Broken(f"CHANGEDSINCE {since} lacks {uid}, whose MODSEQ is {low}")
            if high <= since and uid in told and uid not in stale:
                raise Broken(f"CHANGEDSINCE {since} tells {uid}, whose MODSEQ is {high}")

    def named(self, actor, lines):
        """UIDs of all FETCH lines that have one."""
        found = set()
        for line in lines:
            fetch = FETCH.match(line)
            if fetch:
                uid = re.search(rb"[ (]UID (\d+)[ )]", line.split(b"{", 1)[0])
                at = int(fetch[1])
                known = at if actor.uidonly else int(uid[1]) if uid else self.uid_at(actor, at)
                found |= {known} if known else set()
        return found

    @staticmethod
    def uid_at(actor, number):
        """The UID of a number as it was before the command."""
        return actor.view.uids[number - 1] if actor.view.uids and number <= len(actor.view.uids) else None

    # -- the horizon -------------------------------------------------------------------------
    def forget_old(self):
        """Some clients are away, the others are told that mail is gone, then the server forgets what was expunged: who comes
        back comes from before the horizon."""
        for actor in self.actors:
            if actor.idle:
                self.end_idle(actor)
        away = [(a, a.box) for a in self.actors if a.resyncs and a.box]
        for actor, _ in away:
            actor.keep()
            actor.imap.close()
            actor.connect()
        for box in self.boxes.values():
            self.expunge_some(box)
        for actor in self.actors:
            if actor.box:
                self.noop(actor)
        self.compact()
        self.log("compacted")
        self.seen["compacted"] += 1
        for actor, box in away:
            self.select(actor, box)

    def expunge_some(self, box):
        """By the observer; all that are \\Deleted go with it."""
        uids = sorted(box.living)[1:3]
        if uids:
            self.observer.command(f"SELECT {box.name}")
            self.observer.command(f"UID STORE {set_of(uids)} +FLAGS.SILENT (\\Deleted)")
            box.store(uids, "+", frozenset(["\\deleted"]))
            self.fence()
            self.observer.command("EXPUNGE")
            box.expunge([u for u, m in sorted(box.living.items()) if "\\deleted" in m.flags])
            self.observer.command("UNSELECT")
        self.fence()

    # -- the server goes away ----------------------------------------------------------------
    def start_again(self):
        """What was acknowledged is there after a restart or a crash, with its mod-sequences, and so are the tombstones."""
        how = self.dice.choice(["stop", "kill"])
        self.log(f"the server goes: {how}")
        self.restart(how)
        self.seen[f"restart by {how}"] += 1
        self.observe()
        self.fence()
        for actor in self.actors:
            self.lost(actor)
        for watcher in self.watchers:
            watcher.lost()
        self.everything()

    # -- the story ---------------------------------------------------------------------------
    COMMANDS = ("store",) * 6 + ("fetch",) * 3 + ("search",) * 2 + (
        "expunge", "expunge", "copy", "move", "noop", "noop", "idle", "deliver", "status")

    def act(self):
        actor, dice = self.dice.choice(self.actors), self.dice
        if actor.idle:
            return self.end_idle(actor) if dice.random() < 0.4 else None
        if dice.random() < 0.02 and actor.resyncs and actor.box:
            return self.lost(actor)
        if actor.box is None:
            return self.select(actor, self.boxes[dice.choice(["INBOX", "INBOX", "INBOX", "Other"])])
        if dice.random() < 0.02:
            return self.close(actor)
        if dice.random() < 0.02:
            return self.select(actor, dice.choice(list(self.boxes.values())))
        if len(actor.box.living) < FEWEST or dice.random() < 0.12:
            return self.append(actor)
        if actor.view.uids:
            self.known(actor)
        name = dice.choice(self.COMMANDS)
        if not actor.view.uids:
            name = "noop"
        return getattr(self, name)(actor)

    def one(self):
        self.step += 1
        self.act()
        if self.watchers and self.dice.random() < 0.12:
            self.dice.choice(self.watchers).look(self.dice)
        if self.step % 40 == 0:
            for actor in self.actors:
                if actor.box and not actor.idle:
                    self.noop(actor)
            self.everything()
        if self.compact and self.step % 400 == 120:
            self.forget_old()
        if self.restart and self.step % 400 == 280:
            self.start_again()

    def run(self, more):
        """Steps as long as more(step) says so; what is wrong is told with the seed and the last lines."""
        try:
            while more(self.step):
                self.one()
        except (Broken, Refused, KeyError, IndexError, TypeError, ValueError) as error:
            raise AssertionError(f"seed {self.seed}, step {self.step}: {error!r}\n" + "\n".join(self.lines)) from error
        return self.seen
