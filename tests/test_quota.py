"""Quota (RFC 9208): what the server counts equals a recount by a client at every step, over kill -9 and rebuild, for accounts with a
shared mailbox and a domain with limits; two at once cannot both pass a limit; warnings come once; the verbs."""
# --json: quota set
# --json: quota show
# --json: quota list
import json
import random
import re
import subprocess
import threading
import time

import pytest

from lib import client, long
from lib import server as posthorn
from lib.peers import free_ports
from lib.quotas import KINDS, USERS, World, message, quota, verb
from lib.scanners import Clamd
from lib.smarthost import Smarthost
from lib.wire import Closed, Wire

STEPS = 1500 if long.LONG else 150


@pytest.fixture(scope="module", name="where")
def make_where():
    host, clamd = Smarthost(), Clamd()
    server = posthorn.Server({"test_packing": True, "test_mount": "bob lrswipkxte", "admin_users": ["root@x.test"], "clamd_socket": clamd.where,
                              "relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["d.test"], "message_size_max": "1M"}, services=(*posthorn.SERVICES, "submission"))
    try:
        for user in (USERS[0], USERS[2], "root@x.test", "dora", "emil@e.test", "fred@e.test"):
            server.user_add(user, posthorn.PASSWORD)
        for user in USERS:
            server.imap(user).close()
        yield server
    finally:
        server.stop()
        host.close()
        clamd.close()


def no_growth_past(before, after, grace):
    """What was within a limit is; deliveries may pass one of messages by the grace."""
    for name, (used, limit) in after.items():
        more = limit * grace  # in octets: of what is told in units of 1024 a part may be more
        most = limit + {"STORAGE": -(-more // 100), "MESSAGE": more // 100}.get(name, 0)
        assert used <= max(most, before[name][0], 1 if not limit else 0), (name, before, after)


def test_property(where):
    seed = time.time_ns() if long.LONG else 7
    world = World(where, seed)
    try:
        play(world)
    except AssertionError as why:
        raise AssertionError(f"seed {seed}") from why
    finally:
        for user in USERS:
            world.admin.command(f"SETQUOTA user/{user} ()")
        world.admin.command("SETQUOTA domain/d.test ()")


def play(world):
    where = world.where
    world.check()
    refused, done = 0, set()
    for number in range(STEPS):
        roots = ["domain/d.test"] + [f"user/{user}" for user in USERS]
        before = {root: quota(world.admin, root) for root in roots}
        kind, no = world.step()
        refused += no
        done |= {kind} - ({kind} if no else set())
        for root in roots:
            if kind not in ("limit", "domain"):
                no_growth_past(before[root], quota(world.admin, root), 0 if root.startswith("domain/") else 10)
        try:
            world.check()
        except AssertionError as why:
            raise AssertionError(f"step {number}, {kind}{' refused' if no else ''}") from why
        if number % 35 == 20:
            where.kill()
            if number % 2 == 0:
                subprocess.run([posthorn.binary(), "rebuild", "--data", str(where.data)], check=True, env=posthorn.environment(),
                               stdout=subprocess.DEVNULL)
                posthorn.give_to_service(where.data)
            where.start()
            world.back()
            world.exact()
    assert refused > STEPS // 40, "limits were hardly met"
    assert done == set(KINDS), "some are always refused"
    world.exact()


class Busy(threading.Thread):
    """A session that works on its own and on shared mailboxes until the server dies; what was neither done nor refused for quota."""

    def __init__(self, where, user, seed):
        super().__init__(daemon=True)
        self.session, self.random, self.odd, self.done, self.full = where.imap(user), random.Random(seed), [], 0, 0
        self.boxes = ["INBOX", "Trash", "Shared/bob/INBOX"] if user != "bob" else ["INBOX", "Trash"]
        self.boxes += ["Shared/anna@d.test/INBOX"] if user == "carl@d.test" else []

    def work(self):
        box, other = self.random.choice(self.boxes), self.random.choice(self.boxes)
        kind = self.random.choice(("APPEND", "APPEND", "COPY", "MOVE", "EXPUNGE", "REPLACE"))
        if kind == "APPEND":
            self.session.append(box, message(self.random.choice((20, 900, 5000))))
        elif self.session.select(box)["EXISTS"]:
            if kind == "EXPUNGE":
                self.session.command("STORE 1:3 +FLAGS.SILENT (\\Deleted)")
                self.session.command("EXPUNGE")
            elif kind == "REPLACE":
                self.session.command(f'REPLACE * "{box}"', message(self.random.choice((20, 5000))))
            else:
                self.session.command(f'{kind} 1:2 "{other}"')

    def run(self):
        while True:
            try:
                self.work()
                self.done += 1
            except client.Refused as why:
                self.full += "OVERQUOTA" in str(why)
                if not re.search(r"OVERQUOTA|EXPUNGEISSUED| BAD ", str(why)):
                    self.odd.append(str(why))
            except (Closed, OSError):
                return


def test_killed_in_the_middle(where):
    """Many at once, on shared mailboxes, with limits that are met all the time; kill -9 in the middle of it all."""
    world, rounds = World(where, 5), 40 if long.LONG else 3
    world.actors[0].session.command("SETACL INBOX carl@d.test lrswipkxte")
    used, room = quota(world.admin, "domain/d.test")["MESSAGE"][0], 25
    limits = {"domain/d.test": used + room, "user/bob": quota(world.admin, "user/bob")["MESSAGE"][0] + room // 2}
    done = full = 0
    try:
        for number in range(rounds):
            for root, most in limits.items():
                world.admin.command(f"SETQUOTA {root} (MESSAGE {most} STORAGE 1000000 MAILBOX 1000 ANNOTATION-STORAGE 1000000)")
            busy = [Busy(where, user, number * 10 + i) for i, user in enumerate(USERS * 2)]
            for one in busy:
                one.start()
            end = time.monotonic() + 0.5 + 0.1 * (number % 7)
            while time.monotonic() < end:
                for root, most in limits.items():
                    assert quota(world.admin, root)["MESSAGE"][0] <= most, root
            where.kill()
            for one in busy:
                one.join()
            assert not [odd for one in busy for odd in one.odd]
            done, full = done + sum(one.done for one in busy), full + sum(one.full for one in busy)
            where.start()
            world.back()
            world.exact()
            for root, most in limits.items():
                assert quota(world.admin, root)["MESSAGE"][0] <= most, root
        assert done > 20 * rounds and full > 0, (done, full)
    finally:
        for root in limits:
            world.admin.command(f"SETQUOTA {root} ()")


def race(where, boxes, tries=6):
    """One APPEND each, all sent before any answer is read; how many were taken."""
    sessions = [where.imap(user) for user in boxes for _ in range(tries)]
    tags = [session.send("APPEND INBOX", message(2000)) for session in sessions]
    taken = 0
    for session, tag in zip(sessions, tags):
        try:
            session.answer(tag)
            taken += 1
        except client.Refused as why:
            assert "OVERQUOTA" in str(why), why
        session.close()
    return taken


def test_two_at_once(where):
    admin = where.imap("root@x.test")
    where.imap("dora").close()
    for left in (1, 3):
        have = verb(where, "show", "dora")[0]["messages"]
        admin.command(f"SETQUOTA user/dora (MESSAGE {have + left})")
        assert race(where, ["dora"]) == left, where.stderr()[-2000:]
    admin.command("SETQUOTA user/dora ()")


def test_two_accounts_of_a_domain_at_once(where):
    """The accounts have homes in two threads; the sum is there again after kill -9."""
    users = ["emil@e.test", "fred@e.test"]
    for user in users:
        where.imap(user).close()
    verb(where, "set", "@e.test", "messages=4")
    assert race(where, users) == 4
    where.kill()
    where.start()
    assert race(where, users) == 0
    verb(where, "set", "@e.test", "messages=7", "storage=100M")
    assert race(where, users) == 3
    admin = where.imap("root@x.test")
    assert quota(admin, "domain/e.test")["MESSAGE"] == (7, 7)
    for user in users:
        session = where.imap(user)
        assert b"domain/e.test" in b"".join(session.command("GETQUOTAROOT INBOX")[0])
        if session.select("INBOX")["EXISTS"]:  # one of them may have been first each time
            session.expunge("INBOX", "1")
            break
    assert race(where, users) == 1


def test_large_is_refused_before_it_is_sent(where):
    where.user_add("lena")
    session = where.imap("lena")
    verb(where, "set", "lena", "storage=400K")
    with pytest.raises(client.Refused, match="OVERQUOTA"):
        session.command("APPEND INBOX {500000}")
    session.append("INBOX", message(300000))
    with pytest.raises(client.Refused, match="OVERQUOTA"):
        session.command("APPEND INBOX {200000}")
    session.select("INBOX")
    session.command("REPLACE 1 INBOX", message(350000))  # the difference counts


def subjects(session):
    count = session.select("INBOX")["EXISTS"]
    rows = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if count else {}
    return [re.search(rb"Subject: (.*?)\r\n", next(iter(values.values())))[1].decode() for values in rows.values()]


def wait_subjects(session, want):
    deadline = time.monotonic() + 30
    while (found := subjects(session)) != want:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_warnings(where):
    where.reload(quota_warning=["50", "90"])
    where.user_add("gina")
    session = where.imap("gina")
    verb(where, "set", "gina", "messages=10")
    half, most = "Your mailbox is 50 % full", "Your mailbox is 90 % full"
    mine = ["x"] * 5
    for _ in range(5):
        session.append("INBOX", message(30))
    wait_subjects(session, [*mine, half])
    session.append("Trash", message(30))
    session.append("Trash", message(30))  # 8 of 10: not again
    assert subjects(session) == [*mine, half]
    session.append("Trash", message(30))
    wait_subjects(session, [*mine, half, most])
    where.kill()
    where.start()
    session = where.imap("gina")
    session.command('COPY 1 "Trash"') if session.select("INBOX")["EXISTS"] < 2 else None
    assert subjects(session) == [*mine, half, most]
    session.expunge("INBOX")
    session.expunge("Trash")
    where.reload(folder_language="de")
    for _ in range(5):
        session.append("INBOX", message(30))
    wait_subjects(session, [*mine, "Ihr Postfach ist zu 50 % voll"])
    text = session.fetch("6", "(BODY.PEEK[TEXT])")[6]["BODY[TEXT]"].decode()
    assert "5 von 10 Nachrichten" in text
    log = where.stderr()
    assert log.count("Warning") >= 3 and "resource=MESSAGE" in log
    where.reload(folder_language="en", quota_warning=[])


def test_lmtp(where):
    where.user_add("hugo")
    where.imap("hugo").close()
    verb(where, "set", "hugo", "storage=10K")
    lmtp = client.Lmtp(where.address("lmtp"))
    for code, permanent in (("452 4.2.2", "temporary"), ("552 5.2.2", "permanent")):
        where.reload(quota_exceeded=permanent)
        lmtp.command("MAIL FROM:<a@b.test> SIZE=20000")
        with pytest.raises(client.Refused, match=code):
            lmtp.command("RCPT TO:<hugo>")
        lmtp.command("RSET")
        lmtp.command("MAIL FROM:<a@b.test>")  # who says no size is refused behind the message
        lmtp.command("RCPT TO:<hugo>")
        lmtp.command("DATA")
        lmtp.wire.send(message(20000) + b"\r\n.\r\n")
        with pytest.raises(client.Refused, match=code):
            lmtp.reply()
    where.reload(quota_exceeded="temporary")


# ---- the policy service (Postfix's SMTPD_POLICY_README)

def ask(wire, recipient, **more):
    fields = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "recipient": recipient, **more}
    wire.send("".join(f"{k}={v}\n" for k, v in fields.items()).encode() + b"\n")


def action(wire):
    deadline = time.monotonic() + 30
    while b"\n\n" not in wire.buffer:
        wire.fill(deadline)
    told = wire.take(wire.buffer.index(b"\n\n") + 2, deadline)
    assert told.startswith(b"action=")
    return told[7:-2].decode()


def is_closed_silently(wire):
    try:
        wire.fill(time.monotonic() + 30)
        return False
    except Closed:
        return True


def test_policy(where):
    where.user_add("jane@d.test")
    where.imap("jane@d.test").close()
    port = free_ports(1)[0]
    where.reload(policy=[f"127.0.0.1:{port}"])
    wire = Wire(("127.0.0.1", port), timeout=30)
    rows = [("jane@d.test", {}, "DUNNO"), ("Jane+detail@d.test", {}, "DUNNO"), ("nobody@d.test", {}, "550 5.1.1"),
            ("nobody@elsewhere.test", {}, "DUNNO"), ("jane@d.test", {"size": "20000"}, "452 4.2.2"),
            ("jane@d.test", {"size": "2000", "sender": "", "ccert_subject": "a=b"}, "DUNNO"),
            ("nobody@d.test", {"protocol_state": "DATA"}, "DUNNO"), ("", {}, "DUNNO")]
    verb(where, "set", "jane@d.test", "storage=10K")
    for recipient, more, _ in rows:  # pipelined
        ask(wire, recipient, **more)
    for recipient, more, want in rows:
        assert action(wire).startswith(want), (recipient, more)
    where.reload(policy_unknown="ignore", quota_exceeded="permanent")
    ask(wire, "nobody@d.test")
    ask(wire, "jane@d.test", size="20000")
    assert (action(wire), action(wire)[:9]) == ("DUNNO", "552 5.2.2")
    for octet in b"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=jane@d.test\n\n":
        wire.send(bytes([octet]))
    assert action(wire) == "DUNNO"
    for wrong in (b"\n", b"request=other\n\n", b"recipient\n\n", b"request=smtpd_access_policy\nsize=x\n\n", b"a=" + b"b" * 5000 + b"\n\n",
                  b"a=b\n" * 5000, b"a=b\n" * 200 + b"\n", b"request=smtpd_access_policy\r\n\n", b"x" * 40000):
        bad = Wire(("127.0.0.1", port), timeout=30)
        bad.send(wrong)
        assert is_closed_silently(bad), wrong[:40]
    ask(wire, "jane@d.test")
    assert action(wire) == "DUNNO"
    where.reload(policy=[], policy_unknown="reject", quota_exceeded="temporary")


def test_verbs(where):
    where.user_add("ida")
    assert verb(where, "show", "ida")[0].get("storage_limit") is None
    row = verb(where, "set", "ida", "storage=1G", "messages=1000", "mailboxes=none", "annotations=1M")[0]
    assert (row["storage_limit"], row["messages_limit"], row["annotations_limit"]) == (1 << 30, 1000, 1 << 20)
    assert "mailboxes_limit" not in row and row["mailboxes"] == 6
    where.reload(quota_messages=77)
    assert verb(where, "set", "ida", "messages=default")[0]["messages_limit"] == 77
    assert verb(where, "set", "ida", "messages=none")[0].get("messages_limit") is None
    where.reload(quota_messages=0)
    for wrong in (["set", "ida", "storage=much"], ["set", "ida", "octets=1"], ["show", "nobody"], ["show", "@nowhere.test"],
                  ["list", "ida"], ["set", "@a/b", "messages=1"]):
        with pytest.raises(RuntimeError):
            verb(where, *wrong)
    where.user_add("nina")  # and of users who were never here what they may keep
    where.user_add("nils@d.test")
    where.reload(quota_messages=77)
    rows = {row["name"]: row for row in verb(where, "list")}
    assert "new" not in rows["ida"] and {k: rows["nina"][k] for k in ("new", "messages", "messages_limit")} == {"new": True, "messages": 0, "messages_limit": 77}
    where.reload(quota_messages=0)
    names = [row["name"] for row in verb(where, "list")]
    assert {"ida", "nina", "nils@d.test"} <= set(names) and len(names) == len(set(names))
    names = [row["name"] for row in verb(where, "list", "@d.test")]
    assert {*USERS, "nina", "nils@d.test"} <= set(names) and "emil@e.test" not in names  # who has no domain is of the first
