"""Random stories of three users on mailboxes of one of them: \\Seen is each user's own, all else is everybody's (RFC 7162 section 2).

After every command the sessions know what the model knows, and no more: a change that a user cannot see is in no FETCH, no MODSEQ and no
HIGHESTMODSEQ of theirs. The server is killed, started and made to rebuild its index in between."""
import os
import random
import re
import time

import pytest

from lib import server as posthorn
from lib.client import Imap
from lib.long import LONG

OWNER, USERS = "bob", ("bob", "alice", "carol")
SECONDS = float(os.environ.get("POSTHORN_MODEL_SECONDS", 60 if LONG else 3))
LEAST = 4000 if LONG else 120
BODY = b"Subject: x\r\n\r\nx\r\n"
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "Work")
LINE = re.compile(rb"^\* \d+ FETCH \((.*)\)$", re.S)


def own(flags):
    return frozenset(f for f in flags if f == "\\Seen")


class Box:
    def __init__(self, name):
        self.name, self.messages, self.next = name, {}, 1
        self.changed = {user: set() for user in USERS}  # since the user's mark
        self.marks, self.gone, self.gone_at = dict.fromkeys(USERS), 0, {}  # expunges raise HIGHESTMODSEQ, too

    def add(self, user, flags):
        uid, self.next = self.next, self.next + 1
        self.messages[uid] = {"all": frozenset(flags) - own(flags), user: own(flags)}
        for one in USERS:
            self.changed[one].add(uid)
        return uid

    def flags(self, user, uid):
        message = self.messages[uid]
        return message["all"] | message.get(user, frozenset())

    def put(self, user, uid, flags):
        """Who sees a difference."""
        before = {one: self.flags(one, uid) for one in USERS}
        self.messages[uid].update({"all": flags - own(flags), user: own(flags)})
        seen = [one for one in USERS if self.flags(one, uid) != before[one]]
        for one in seen:
            self.changed[one].add(uid)
        return seen

    def expunge(self, uid):
        del self.messages[uid]
        self.gone += 1

    def unseen(self, user):
        return sorted(uid for uid in self.messages if "\\Seen" not in self.flags(user, uid))


class Session:
    def __init__(self, story, user):
        self.story, self.user, self.box, self.untold, self.known = story, user, None, set(), 0
        self.imap = Imap(story.server.address("imap"), user, story.server.password)
        self.imap.command("ENABLE QRESYNC")

    def name(self, box):
        return box.name if self.user == OWNER else f"Shared/{OWNER}/{box.name}"

    def select(self, box):
        if self.box:
            self.imap.command("UNSELECT")
        self.box, self.untold, self.known = box, set(), box.next
        lines, _ = self.imap.command(f"SELECT {self.name(box)}")
        first = [int(m[1]) for m in map(re.compile(rb"\* OK \[UNSEEN (\d+)\]").match, lines) if m]
        unseen, order = box.unseen(self.user), sorted(box.messages)
        assert first == ([order.index(unseen[0]) + 1] if unseen else []), (self.user, first, unseen)

    def run(self, command, mine=(), data=None):
        """mine: UIDs of which the answer may tell unasked."""
        lines, tagged = self.imap.command(command, data)
        self.story.log.append((self.story.step, self.user, id(self) % 997, self.box.name, command, lines, tagged))
        told = {}
        for found in filter(None, map(LINE.match, lines)):
            items = found[1].decode()
            uid = int(re.search(r"UID (\d+)", items)[1])
            modseq, flags = re.search(r"MODSEQ \((\d+)\)", items), re.search(r"FLAGS \(([^)]*)\)", items)
            if flags:
                flags = frozenset(flags[1].split()) - {"\\Recent"}
                if uid in self.box.messages:
                    assert flags == self.box.flags(self.user, uid), (self.user, command, uid, flags, self.box.messages[uid])
                assert mine == "all" or uid in mine or uid in self.untold, (self.user, command, "told of", uid)
                self.untold.discard(uid)
            told[uid] = (flags, int(modseq[1]) if modseq else None)
        if any(line.endswith(b" EXISTS") for line in lines):
            self.known = self.box.next
        return told, lines, tagged


class Story:
    def __init__(self, server, seed):
        self.server, self.random, self.step, self.log = server, random.Random(seed), 0, []
        self.boxes = [Box("one"), Box("two")]
        bob = Imap(server.address("imap"), OWNER, server.password)
        for box in self.boxes:
            bob.command(f"CREATE {box.name}")
        bob.close()
        self.connect()

    def connect(self):
        self.sessions = [Session(self, user) for user in ("bob", "alice", "bob", "alice", "carol")]
        for session in self.sessions:
            session.select(self.random.choice(self.boxes))

    def tell(self, box, uid, users, but):
        for other in self.sessions:
            if other is not but and other.box is box and other.user in users and uid < other.known:
                other.untold.add(uid)

    def some(self, s):
        """Of messages that the session was told of."""
        self.noop(s)
        uids = sorted(s.box.messages)
        return self.random.sample(uids, self.random.randint(1, min(len(uids), 4)))

    # -- what is done ------------------------------------------------------------------------
    def append(self, s):
        flags = [f for f in FLAGS if self.random.random() < 0.4]
        _, _, tagged = s.run(f"APPEND {s.name(s.box)} ({' '.join(flags)})", data=BODY)
        assert int(re.search(rb"APPENDUID \d+ (\d+)", tagged)[1]) == s.box.add(s.user, flags)
        self.noop(s)

    def store(self, s):
        if not s.box.messages:
            return
        uids, sign = self.some(s), self.random.choice(("+", "-", ""))
        asked = frozenset(f for f in FLAGS if self.random.random() < 0.4) or frozenset(["\\Seen"])
        for uid in uids:
            now = s.box.flags(s.user, uid)
            after = now | asked if sign == "+" else now - asked if sign == "-" else asked
            self.tell(s.box, uid, s.box.put(s.user, uid, after), s)
        silent = self.random.choice((".SILENT", ""))
        s.run(f"UID STORE {','.join(map(str, uids))} {sign}FLAGS{silent} ({' '.join(asked)})", mine=uids)

    def read(self, s):
        if not s.box.messages:
            return
        uids = self.some(s)
        for uid in uids:
            self.tell(s.box, uid, s.box.put(s.user, uid, s.box.flags(s.user, uid) | {"\\Seen"}), s)
        s.run(f"UID FETCH {','.join(map(str, uids))} BODY[]", mine=uids)

    def copy(self, s, verb="COPY"):
        if not s.box.messages:
            return
        to, uids = self.random.choice(self.boxes), sorted(self.some(s))
        if verb == "MOVE" and to is s.box:
            return
        s.run(f"UID {verb} {','.join(map(str, uids))} {s.name(to)}")
        for uid in uids:
            came = to.add(s.user, s.box.flags(s.user, uid))
            if verb == "MOVE":  # with what everybody has of their own
                to.messages[came] |= {user: s.box.messages[uid].get(user, frozenset()) for user in USERS}
                s.box.expunge(uid)
        self.noop(s)

    def move(self, s):
        self.copy(s, "MOVE")

    def expunge(self, s):
        if not s.box.messages:
            return
        uids = self.some(s)
        for uid in uids:
            self.tell(s.box, uid, s.box.put(s.user, uid, s.box.flags(s.user, uid) | {"\\Deleted"}), s)
        text = ",".join(map(str, uids))
        s.run(f"UID STORE {text} +FLAGS.SILENT (\\Deleted)", mine=uids)
        s.run(f"UID EXPUNGE {text}")
        for uid in uids:
            s.box.expunge(uid)

    def select(self, s):
        s.select(self.random.choice(self.boxes))

    def restart(self, _):
        how = self.random.random()
        for session in self.sessions:
            session.imap.wire.close()
        if how < 0.6:
            self.server.kill()
        else:
            self.server.process.terminate()
            self.server.process.wait(60)
        if how > 0.8:
            posthorn.run_verb("rebuild", "-c", self.server.config)
        self.server.start()
        self.connect()

    # -- what is seen ------------------------------------------------------------------------
    def noop(self, s):
        s.run("NOOP")
        left = {uid for uid in s.untold if uid in s.box.messages}
        if left:
            raise AssertionError(f"{s.user} in {s.box.name} was not told of {left}\n" + "\n".join(map(repr, self.log[-30:])))
        s.untold, s.known = set(), s.box.next

    def look(self, s):
        self.noop(s)
        told, _, _ = s.run("UID FETCH 1:* (FLAGS MODSEQ)", mine="all")
        assert sorted(told) == sorted(s.box.messages), (s.user, s.box.name)
        _, lines, _ = s.run("UID SEARCH UNSEEN")
        found = [int(n) for line in lines if line.startswith(b"* SEARCH") for n in line.split()[2:]]
        assert found == s.box.unseen(s.user), (s.user, found)

    def status(self, s):
        for box in self.boxes:
            _, lines, _ = s.run(f"STATUS {s.name(box)} (MESSAGES UNSEEN HIGHESTMODSEQ)")
            line = next(line for line in lines if line.startswith(b"* STATUS")).decode()
            value = {k: int(v) for k, v in re.findall(r"(MESSAGES|UNSEEN|HIGHESTMODSEQ) (\d+)", line)}
            assert value["MESSAGES"] == len(box.messages)
            assert value["UNSEEN"] == len(box.unseen(s.user)), (s.user, box.name, value)

    def since(self, s):
        """Exactly what changed for this user since their mark, and a new mark."""
        self.noop(s)
        box, mark = s.box, s.box.marks[s.user]
        want = {uid for uid in box.changed[s.user] if uid in box.messages}
        if mark:
            told, _, _ = s.run(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {mark})", mine="all")
            assert set(told) == want, (s.user, box.name, mark, sorted(told), sorted(want))
        told, _, _ = s.run("UID FETCH 1:* (FLAGS MODSEQ)", mine="all")
        _, lines, _ = s.run(f"STATUS {s.name(box)} (HIGHESTMODSEQ)")
        highest = int(re.search(rb"HIGHESTMODSEQ (\d+)", b"".join(lines))[1])
        assert all(modseq <= highest for _, modseq in told.values())
        if mark and not want and not box.changed[s.user] and box.gone == box.gone_at.get(s.user):
            assert highest == mark, (s.user, "HIGHESTMODSEQ rose for what others alone see", mark, highest)
        box.marks[s.user], box.changed[s.user] = highest, set()
        box.gone_at[s.user] = box.gone

    def play(self, goes_on):
        actions = [self.append] * 3 + [self.store] * 8 + [self.read] * 2 + [self.copy, self.move, self.expunge, self.select]
        actions += [self.noop] * 3 + [self.look] * 3 + [self.status] * 2 + [self.since] * 3
        while goes_on(self.step):
            self.step += 1
            action = self.restart if self.step % 60 == 0 else self.random.choice(actions)
            action(self.random.choice(self.sessions))
        for session in self.sessions:
            self.look(session)
            self.status(session)


@pytest.mark.parametrize("seed", [int(n) for n in os.environ.get("POSTHORN_SEED", "1 2 3 4" if LONG else "1").split()])
def test_private_flags(seed):
    server = posthorn.Server({"test_mount": f"{OWNER} lrswipkxte"})
    try:
        story, end = Story(server, seed), time.monotonic() + SECONDS
        story.play(lambda step: step < LEAST or time.monotonic() < end)
        print(f"seed {seed}: {story.step} steps")
    finally:
        server.stop()


def test_deleted_user():
    """What a deleted user had of their own is dropped by the daily look; a user of the same name later has nothing of it."""
    server = posthorn.Server({"test_mount": f"{OWNER} lrswipkxte"})
    try:
        bob = Imap(server.address("imap"), OWNER, server.password)
        bob.append("INBOX", BODY)
        for _ in range(2):
            server.user_add("dora")
            dora = Imap(server.address("imap"), "dora", server.password)
            dora.command(f"SELECT Shared/{OWNER}/INBOX")
            lines, _ = dora.command("SEARCH UNSEEN")
            assert b"* SEARCH 1" in lines
            dora.command("STORE 1 +FLAGS (\\Seen)")
            dora.close()
            posthorn.run_verb("user", "delete", "dora", "-c", server.config)
        posthorn.run_verb("compact", "-c", server.config)
        bob.command("NOOP")
    finally:
        server.stop()
