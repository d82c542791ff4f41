"""The commands of a story: each is sent, and the model does what it must have done."""
import re

from lib.client import Lmtp
from lib.wire import Timeout

from .actor import ESEARCH, SEARCH, uids_of
from .oracle import Broken

FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "\\Draft", "$Junk", "kw1", "kw2"]
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"
COPYUID = re.compile(rb"\[COPYUID (\d+) ([0-9:,]+) ([0-9:,]+)\]", re.I)
APPENDUID = re.compile(rb"\[APPENDUID (\d+) (\d+)\]", re.I)
MODIFIED = re.compile(rb"\[MODIFIED ([0-9:,]+)\]", re.I)
MOST, FEWEST = 40, 4  # messages of a mailbox


def lower(flags):
    return frozenset(f.lower() for f in flags)


class Commands:
    """What a session may do; mixed into Story."""

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
        box, stale = actor.box, actor.stale()
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

    def status(self, actor):
        """Of any mailbox, also the selected one: as it is, not as the session was told."""
        box = self.dice.choice(list(self.boxes.values()))
        lines, _ = self.play(actor, f"STATUS {box.name} (MESSAGES UIDNEXT)")
        want = b"* STATUS %s (MESSAGES %d UIDNEXT %d)" % (box.name.encode(), len(box.living), box.uidnext)
        if want not in lines and self.strict("status tells what it told"):
            raise Broken(f"{lines}, not {want}")

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
