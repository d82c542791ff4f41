"""A random story: several sessions change two mailboxes, one command after the other, and the model says what each may be told."""
import collections
import random
import re

from lib.client import Imap, Lmtp, Refused
from lib.imapdata import fetched
from lib.wire import Timeout

from .actor import ESEARCH, FETCH, SEARCH, Actor, VANISHED, plain_flags, set_of, uids_of
from .oracle import Broken, Mailbox

FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "\\Draft", "$Junk", "kw1", "kw2"]
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"
COPYUID = re.compile(rb"\[COPYUID (\d+) ([0-9:,]+) ([0-9:,]+)\]", re.I)
APPENDUID = re.compile(rb"\[APPENDUID (\d+) (\d+)\]", re.I)
MODIFIED = re.compile(rb"\[MODIFIED ([0-9:,]+)\]", re.I)
MOST, FEWEST = 40, 4  # messages of a mailbox


def lower(flags):
    return frozenset(f.lower() for f in flags)


class Story:
    def __init__(self, server, seed, kinds, compact=None, restart=None, deviations=()):
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

    def strict(self, deviation):
        """Is this server not known to differ here? What is known must happen, or it is to be struck off the list."""
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

    def stale(self, actor):
        box = actor.box
        return {u for u, f in actor.cache.items() if u not in box.living or box.living[u].flags != f} if box else set()

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

    # -- sets of messages --------------------------------------------------------------------
    def addressed(self, actor):
        """(is it by UID, the set as text, UIDs of the view in it)"""
        uids, dice = actor.view.uids, self.dice
        by_uid = actor.uidonly or dice.random() < 0.5
        names = uids if by_uid else list(range(1, len(uids) + 1))
        a, b = sorted((dice.randrange(len(uids)), dice.randrange(len(uids))))
        form = dice.choice(["one", "range", "range", "star", "list", "last"])
        if form == "one":
            return by_uid, f"{names[a]}", uids[a:a + 1]
        if form == "last":
            return by_uid, "*", uids[-1:]
        if form == "range":
            return by_uid, f"{names[a]}:{names[b]}", uids[a:b + 1]
        if form == "star":
            return by_uid, f"{names[a]}:*", uids[a:]
        chosen = sorted(dice.sample(range(len(uids)), min(len(uids), 3)))
        return by_uid, ",".join(str(names[i]) for i in chosen), [uids[i] for i in chosen]

    def known(self, actor):
        """Every place of the view gets its UID, as a client would fetch it."""
        if None in actor.view.uids:
            modseq = " MODSEQ" if actor.aware else ""
            new = max((u for u in actor.view.uids if u), default=0) + 1
            self.play(actor, f"UID FETCH {new}:* (UID FLAGS{modseq})")
        if None in actor.view.uids or not set(actor.view.uids) - set(actor.cache) <= set(actor.box.dead):
            self.noop(actor)
            self.fetch_all(actor, 1)

    # -- commands ----------------------------------------------------------------------------
    def noop(self, actor):
        self.play(actor, "NOOP")
        actor.in_step()

    def append(self, actor):
        box = self.dice.choice([b for b in self.boxes.values() if len(b.living) < MOST] or [self.boxes["INBOX"]])
        flags = self.some_flags()

        def effect(_, tagged):
            found = APPENDUID.search(tagged)
            box.add(int(found[2]), lower(flags), box.change())
        self.play(actor, f"APPEND {box.name} ({' '.join(flags)})", MESSAGE, effect)

    def some_flags(self):
        return self.dice.sample(FLAGS, self.dice.choice([0, 1, 1, 1, 2, 3]))

    def store(self, actor):
        by_uid, text, uids = self.addressed(actor)
        sign, silent = self.dice.choice("++-="), self.dice.choice(["", ".SILENT"])
        flags = self.some_flags() if sign == "=" else self.some_flags() or ["\\Deleted"]
        if self.dice.random() < 0.25:
            flags = ["\\Deleted"]
        limit = self.modseq(actor, uids) if actor.aware and self.dice.random() < 0.4 else None
        box, living, failed = actor.box, [u for u in uids if u in actor.box.living], set()

        def effect(lines, tagged):
            if self.refused(actor, tagged):
                return
            found = MODIFIED.search(tagged)
            names = set(uids_of(found[1])) if found else set()
            failed.update(names if by_uid else {actor.view.uids[n - 1] for n in names})
            for uid in living:
                low, high = box.bounds(box.living[uid])
                if limit is not None and ((low > limit and uid not in failed) or (high <= limit and uid in failed)):
                    raise Broken(f"UNCHANGEDSINCE {limit}: MODIFIED {sorted(failed)}, and {uid} has MODSEQ {low, high}")
            if (limit is None and found) or not failed <= set(uids):
                raise Broken(f"{tagged} for {uids}")
            box.store([u for u in living if u not in failed], sign, lower(flags))
            if silent:
                actor.stored([u for u in living if u not in failed], sign, lower(flags))
            elif not {u for u in living if u not in failed} <= self.named(actor, lines) and self.strict("store tells nothing"):
                raise Broken(f"STORE of {living} did not tell all")
        since = "" if limit is None else f"(UNCHANGEDSINCE {limit}) "
        self.seen["UNCHANGEDSINCE"] += limit is not None
        self.play(actor, f"{'UID ' if by_uid else ''}STORE {text} {since}{sign.strip('=')}FLAGS{silent} ({' '.join(flags)})",
                  effect=effect, drop=self.maybe_drop(actor))
        self.seen["MODIFIED"] += bool(failed)

    def refused(self, actor, tagged):
        """A read-only session may change nothing."""
        if actor.read_only and tagged.split(b" ")[1] != b"NO" and self.strict("read-only says OK"):
            raise Broken(f"{tagged} in a mailbox opened by EXAMINE")
        return actor.read_only

    def modseq(self, actor, uids):
        """A mod-sequence at a border where it matters."""
        box = actor.box
        edges = [box.bounds(box.living[u])[1] for u in uids if u in box.living] or [box.highest]
        return self.dice.choice([max(self.dice.choice(edges) + self.dice.choice([-1, 0, 0]), 0), actor.highest or 0, box.highest, 0])

    def fetch(self, actor):
        by_uid, text, uids = self.addressed(actor)
        items = self.dice.choice(["(UID FLAGS)", "FLAGS", "(UID BODY.PEEK[])", "(UID BODY[])", "(UID FLAGS MODSEQ)"])
        if "MODSEQ" in items and not actor.aware:
            items = "(UID)"
        box, stale = actor.box, self.stale(actor)
        living = [u for u in uids if u in box.living]
        since = self.modseq(actor, uids) if actor.aware and self.dice.random() < 0.4 else None
        if "BODY[]" in items and since is not None and not self.strict("fetch tells the old modseq"):
            items = "(UID BODY.PEEK[])"
        vanished = by_uid and actor.resyncs and since is not None and self.dice.random() < 0.5
        modifier = "" if since is None else f" (CHANGEDSINCE {since}{' VANISHED' if vanished else ''})"

        def effect(lines, _):
            told = self.named(actor, lines)
            if "BODY[]" in items and not actor.read_only:
                read = self.named(actor, [line for line in lines if b"BODY[]" in line])
                box.store([u for u in living if since is None or u in read], "+", frozenset(["\\seen"]))
            elif since is not None:
                self.changed_since(actor, lines, since, set(living), stale)
            if since is None and not set(living) <= told:
                raise Broken(f"FETCH of {living} told {sorted(told)}")
        self.plain_fetch = True
        self.play(actor, f"{'UID ' if by_uid else ''}FETCH {text} {items}{modifier}", effect=effect, drop=self.maybe_drop(actor))
        self.plain_fetch = False

    def search(self, actor):
        """One flag, one range, a mod-sequence: all that is found, and nothing else."""
        if not self.strict("searches what it told"):
            self.noop(actor)
        if not actor.view.uids:
            return
        box, dice = actor.box, self.dice
        flag, wanted = dice.choice(["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "\\Draft"]), dice.random() < 0.5
        key = ("" if wanted else "UN") + flag[1:].upper()
        low = self.modseq(actor, actor.view.uids) if actor.aware and dice.random() < 0.5 else None
        by_uid = actor.uidonly or dice.random() < 0.5
        numbers = "" if actor.uidonly or dice.random() < 0.7 else "1:* "
        found, shown = [], [u for u in actor.view.uids if u]

        def effect(lines, _):
            found.extend(self.found(actor, lines, by_uid, low is not None))
        self.play(actor, f"{'UID ' if by_uid else ''}SEARCH {numbers}{key}{'' if low is None else f' MODSEQ {low}'}", effect=effect,
                  drop=self.maybe_drop(actor))
        for uid in shown:
            message = box.living.get(uid)
            if message is None:
                continue
            least, most = box.bounds(message)
            fits = (flag.lower() in message.flags) == wanted
            if uid in found and (not fits or (low is not None and most < low)):
                raise Broken(f"SEARCH {key} MODSEQ {low} found {uid}: {sorted(message.flags)}, {least, most}")
            if uid not in found and fits and (low is None or least >= low):
                raise Broken(f"SEARCH {key} MODSEQ {low} did not find {uid}: {sorted(message.flags)}, {least, most}")

    def found(self, actor, lines, by_uid, modseq):
        box, uids, highest, met = actor.box, actor.view.uids, None, 0
        for line in lines:
            old, new = SEARCH.match(line), ESEARCH.match(line)
            if old or new:
                met += 1
                numbers = [int(n) for n in old[1].split()] if old else uids_of(new[2]) if new[2] else []
                highest = int((old or new)[2 if old else 3] or 0)
        if met != 1:
            raise Broken(f"SEARCH was answered by {lines}")
        numbers = numbers if by_uid else [uids[n - 1] for n in numbers]
        if modseq and all(u in box.living for u in numbers) and numbers:
            spans = [box.bounds(box.living[u]) for u in numbers]
            if not max(s[0] for s in spans) <= highest <= max(s[1] for s in spans):
                raise Broken(f"SEARCH MODSEQ told {highest}: {spans}")
        return numbers

    def copy(self, actor, move=False):
        if move and not self.strict("move loses mail"):
            self.noop(actor)
        if not actor.view.uids or (move and actor.read_only and not self.strict("read-only moves copy")):
            return None
        by_uid, text, uids = self.addressed(actor)
        here, there = actor.box, self.dice.choice(list(self.boxes.values()))
        if len(there.living) >= MOST:
            return self.noop(actor)

        def effect(lines, tagged):
            if move and self.refused(actor, tagged):
                return
            codes = [c for c in map(COPYUID.search, [*lines, tagged]) if c]
            if not codes:
                if tagged.split(b" ")[1] == b"OK" and any(u in here.living for u in uids):
                    raise Broken(f"no COPYUID in {tagged}")
                return
            old, new = uids_of(codes[0][2]), uids_of(codes[0][3])
            if len(old) != len(new) or not set(old) <= set(uids):
                raise Broken(f"COPYUID {codes[0][0]} for {uids}")
            if tagged.split(b" ")[1] == b"OK" and not {u for u in uids if u in here.living} <= set(old):
                raise Broken(f"COPYUID {codes[0][0]} lacks some of {uids}")
            flags = [(here.message(u)).flags for u in old]
            change = there.change()
            for uid, f in zip(new, flags):
                there.add(uid, f, change)
            if move:
                here.expunge([u for u in old if u in here.living])
        self.seen["MOVE" if move else "COPY"] += 1
        return self.play(actor, f"{'UID ' if by_uid else ''}{'MOVE' if move else 'COPY'} {text} {there.name}", effect=effect,
                         drop=self.maybe_drop(actor))

    def move(self, actor):
        return self.copy(actor, move=True)

    def expunge(self, actor, close=False):
        """EXPUNGE of what the session was not told of yet may go either way: told first, then."""
        box, text = actor.box, "CLOSE" if close else "EXPUNGE"
        if set(box.living) - set(actor.view.uids):
            self.noop(actor)
        chosen = actor.view.uids
        if not close and chosen and self.dice.random() < 0.5:
            a, b = sorted((self.dice.randrange(len(chosen)), self.dice.randrange(len(chosen))))
            chosen = chosen[a:b + 1]
            text = f"UID EXPUNGE {chosen[0]}:{chosen[-1]}"
        self.seen["EXPUNGE"] += 1

        def effect(_, tagged):
            if actor.read_only if close else self.refused(actor, tagged):
                return
            box.expunge([u for u in chosen if u in box.living and "\\deleted" in box.living[u].flags])
        self.play(actor, text, effect=effect, drop=self.maybe_drop(actor))

    def close(self, actor):
        how = self.dice.choice(["CLOSE", "UNSELECT"])
        actor.keep()
        if how == "CLOSE":
            self.expunge(actor, close=True)
        else:
            self.play(actor, how)
        self.left(actor)

    @staticmethod
    def left(actor):
        if actor.box:
            actor.keep()
            actor.forget()

    # -- IDLE --------------------------------------------------------------------------------
    def idle(self, actor):
        actor.idle = actor.send("IDLE")
        line = actor.line()
        while not line.startswith(b"+"):
            actor.untagged(line, late=False)
            line = actor.line()

    def end_idle(self, actor):
        """Either all of it has come before DONE, or it ends at once."""
        if self.dice.random() < 0.6:
            self.seen["pushed"] += 1
            while actor.agrees():
                try:
                    actor.untagged(actor.line(timeout=30), late=True)
                except Timeout:
                    raise Broken(f"not told while idling: {actor.agrees()}") from None
        if actor.resyncs and self.dice.random() < 0.3:
            return self.lost(actor)
        self.log(f"{actor.name} C: DONE")
        actor.imap.wire.send(b"DONE\r\n")
        lines, tagged = actor.answer(actor.idle)
        actor.idle = None
        for line in lines:
            actor.untagged(line, late=True)
        return actor.tagged(tagged)

    # -- the horizon -------------------------------------------------------------------------
    def forget_old(self):
        """All sessions are told everything, then the server forgets what was expunged."""
        for actor in self.actors:
            if actor.idle:
                self.end_idle(actor)
            if actor.box:
                self.noop(actor)
        self.compact()
        self.log("compacted")
        self.seen["compacted"] += 1

    def status(self, actor):
        """Of any mailbox, also the selected one: as it is, not as the session was told."""
        box = self.dice.choice(list(self.boxes.values()))
        lines, _ = self.play(actor, f"STATUS {box.name} (MESSAGES UIDNEXT)")
        want = b"* STATUS %s (MESSAGES %d UIDNEXT %d)" % (box.name.encode(), len(box.living), box.uidnext)
        if want not in lines and self.strict("status tells what it told"):
            raise Broken(f"{lines}, not {want}")

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
        self.everything()

    def deliver(self, _):
        """Mail from outside."""
        box = self.boxes["INBOX"]
        if self.restart is None or len(box.living) >= MOST:
            return
        self.log("LMTP")
        door = Lmtp(self.server.address("lmtp"))
        door.deliver(f"{self.user}@localhost", MESSAGE)
        door.close()
        line = self.observer.command("STATUS INBOX (UIDNEXT)")[0][-1]
        box.add(int(re.search(rb"UIDNEXT (\d+)", line)[1]) - 1, (), box.change())
        self.fence()
        self.seen["delivered"] += 1

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
        if self.step % 40 == 0:
            for actor in self.actors:
                if actor.box and not actor.idle:
                    self.noop(actor)
            self.everything()
        if self.compact and self.step % 400 == 0:
            self.forget_old()
        if self.restart and self.step % 300 == 0:
            self.start_again()

    def run(self, more):
        """Steps as long as more(step) says so; what is wrong is told with the seed and the last lines."""
        try:
            while more(self.step):
                self.one()
        except (Broken, Refused, KeyError, IndexError, TypeError, ValueError) as error:
            raise AssertionError(f"seed {self.seed}, step {self.step}: {error!r}\n" + "\n".join(self.lines)) from error
        return self.seen
