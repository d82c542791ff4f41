"""Addresses: aliases, domain aliases, catch-alls, forwards, +detail; the verbs, LMTP, the policy service, Postfix's socketmap."""
# --json: address add
# --json: address list
# --json: address delete
# --json: address test
# --json: user set
# --json: user show
import json
import re
import threading
import time

import pytest

from lib import client
from lib import server as posthorn
from lib.peers import free_ports
from lib.wire import Closed, Wire

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


@pytest.fixture(scope="module", name="where")
def make_where():
    maps, policy = free_ports(2)
    server = posthorn.Server({"local_domains": ["a.test", "b.test", "bücher.test"], "maps": [f"127.0.0.1:{maps}"], "policy": [f"127.0.0.1:{policy}"],
                              "policy_senders": "reject"})
    server.maps, server.policy = maps, policy
    try:
        for user in ("ann", "bob@a.test", "eve", "off"):
            server.user_add(user)
        address(server, "add", "sales@a.test", "ann", "bob@a.test")
        address(server, "add", "mixed@a.test", "eve", "r@far.test")
        address(server, "add", "all@a.test", "sales@a.test", "eve", "send=no")
        address(server, "add", "@old.test", "@a.test")
        address(server, "add", "@b.test", "eve")
        posthorn.run_verb("user", "disable", "off", "--data", server.data)
        yield server
    finally:
        server.stop()


def address(where, *words):
    out = posthorn.run_verb("address", *words, "--json", "--data", where.data)
    return [json.loads(line) for line in out.splitlines()]


def fails(where, *words):
    with pytest.raises(RuntimeError) as why:
        address(where, *words)
    return str(why.value)


# ---- the verbs

def test_verbs(where):
    row, = address(where, "add", "Help@A.test", "eve", "nobody@a.test", "q@far.test", "send=no")
    assert row == {"type": "address", "change": "added", "address": "help@a.test", "targets": ["eve", "nobody@a.test", "q@far.test"], "send": False,
                   "unknown": ["nobody@a.test"]}
    rows = address(where, "list", "help@a.test")
    assert [(r["target"], r["kind"], r["send"]) for r in rows] == [("eve", "alias", False), ("nobody@a.test", "alias", False), ("q@far.test", "alias", False)]
    assert {r["address"] for r in address(where, "list", "@a.test")} == {"help@a.test", "sales@a.test", "mixed@a.test", "all@a.test",
                                                                             "@old.test"}
    assert {r["address"] for r in address(where, "list", "eve")} == {"help@a.test", "mixed@a.test", "all@a.test", "@b.test"}
    assert len(address(where, "list")) == 3 + 2 + 2 + 2 + 1 + 1
    address(where, "delete", "help@a.test", "q@far.test")
    assert len(address(where, "list", "help@a.test")) == 2
    address(where, "delete", "help@a.test")
    assert "there is no address" in fails(where, "delete", "help@a.test")
    assert "is a user" in fails(where, "add", "ann", "eve")
    assert "circle" in fails(where, "add", "@a.test", "@old.test")
    assert "is no address" in fails(where, "add", "a b@a.test", "eve")
    steps = address(where, "test", "Sales+q@old.test")
    assert [(s["address"], s["is"], s.get("to")) for s in steps if s["type"] == "step"] == [
        ("Sales+q@old.test", "domain alias", "@old.test"), ("Sales+q@a.test", "alias", "sales@a.test"), ("ann", "user", "ann"),
        ("bob@a.test", "user", "bob@a.test")]
    assert [(s["user"], s["detail"]) for s in steps if s["type"] == "target"] == [("ann", "q"), ("bob@a.test", "q")]
    assert address(where, "test", "off@b.test")[-1] == {"type": "refused", "why": "nobody gets it"}


def test_deleted_user_tells_what_leads_there(where):
    where.user_add("ida")
    address(where, "add", "i@a.test", "ida@a.test")
    out = posthorn.run_verb("user", "delete", "ida", "--data", where.data).decode()
    assert "i@a.test still goes to them" in out and "sales" not in out
    address(where, "delete", "i@a.test")


# ---- LMTP

def lmtp(where):
    return client.Lmtp(where.address("lmtp"))


def count(where, user, box="INBOX"):
    session = where.imap(user)
    found = session.select(box)["EXISTS"]
    session.close()
    return found


def newest(where, user):
    session = where.imap(user)
    last = session.select("INBOX")["EXISTS"]
    header = session.fetch(str(last), "(BODY.PEEK[HEADER])")[last]["BODY[HEADER]"].decode()
    session.close()
    return dict(re.findall(r"(?m)^([\w-]+): (.*?)\r$", header))


def rcpt(relay, address_, more=""):
    """The code of RCPT, in a transaction of its own."""
    relay.command("RSET")
    relay.command("MAIL FROM:<s@far.test>" + more)
    try:
        return relay.command(f"RCPT TO:<{address_}>")[0].decode()
    except client.Refused as why:
        return str(why)


def test_lmtp(where):
    users = ("ann", "bob@a.test", "eve")
    before = {user: count(where, user) for user in users}
    relay = lmtp(where)
    relay.deliver("sales@a.test", MESSAGE)
    relay.deliver("nobody@B.test", MESSAGE)
    relay.deliver("all@old.test", MESSAGE)
    assert {user: count(where, user) - before[user] for user in users} == {"ann": 2, "bob@a.test": 2, "eve": 2}
    assert rcpt(relay, "nobody@a.test").startswith("550 5.1.1")
    assert rcpt(relay, "off@b.test").startswith("550 5.1.1"), "a catch-all took a disabled user's mail"
    assert rcpt(relay, "mixed@a.test").startswith("451 4.3.5")
    assert "goes to <r@far.test>, which is elsewhere" in where.stderr()
    relay.close()


def test_a_domain_beyond_ascii(where):
    """docs/mta.md: its other form (RFC 5891) is a domain alias."""
    where.user_add("mia@bücher.test")
    address(where, "add", "@xn--bcher-kva.test", "@bücher.test")
    relay = lmtp(where)
    for domain in ("bücher.test", "BÜCHER.test", "xn--bcher-kva.test", "XN--BCHER-kva.test"):
        assert rcpt(relay, f"mia@{domain}", " SMTPUTF8").startswith("250"), domain
        assert rcpt(relay, f"max@{domain}", " SMTPUTF8").startswith("550"), domain
    relay.close()


def test_trace(where):
    relay = lmtp(where)
    relay.deliver("ann@a.test", MESSAGE)
    fields = newest(where, "ann")
    assert fields["Delivered-To"] == "ann@a.test" and "X-Original-To" not in fields
    relay.deliver("ann+x@old.test", MESSAGE)
    assert newest(where, "ann")["Delivered-To"] == "ann+x@old.test"
    relay.deliver("postbox@b.test", MESSAGE)
    fields = newest(where, "eve")
    assert (fields["Delivered-To"], fields["X-Original-To"]) == ("eve", "postbox@b.test")
    relay.deliver("sales@a.test", MESSAGE)
    fields = newest(where, "ann")
    assert "Delivered-To" not in fields and fields["X-Original-To"] == "sales@a.test"
    relay.command("MAIL FROM:<s@far.test>")
    relay.command("RCPT TO:<ann@a.test>")
    relay.wire.send(b"BDAT 10\r\nSubject: x")
    relay.reply()
    with pytest.raises(client.Refused, match="503"):  # the header that is written already names ann
        relay.command("RCPT TO:<eve@a.test>")
    relay.close()


def test_one_copy_for_two_ways(where):
    """Two recipients that come to one mailbox are two answers and one message; all or nothing for an alias."""
    before = count(where, "ann"), count(where, "bob@a.test")
    relay = lmtp(where)

    def deliver(*recipients):
        relay.command("MAIL FROM:<s@far.test>")
        for recipient in recipients:
            relay.command(f"RCPT TO:<{recipient}>")
        relay.command("DATA")
        relay.wire.send(b"Subject: y\r\n\r\n".ljust(20000, b"y") + b"\r\n.\r\n")
        return [relay.wire.line()[:3].decode() for _ in recipients]

    assert deliver("sales@a.test", "ann@a.test", "ann@old.test") == ["250"] * 3
    assert (count(where, "ann"), count(where, "bob@a.test")) == (before[0] + 1, before[1] + 1)
    inbox = count(where, "eve")  # details that name no folder
    assert deliver("eve+nix@a.test", "eve@a.test", "eve+nor@b.test") == ["250"] * 3 and count(where, "eve") == inbox + 1
    posthorn.run_verb("quota", "set", "bob@a.test", "storage=10K", "--data", where.data)
    try:
        assert deliver("ann@a.test") == ["250"]
        relay.command("MAIL FROM:<s@far.test> SIZE=20000")
        with pytest.raises(client.Refused, match="452 4.2.2"):
            relay.command("RCPT TO:<sales@a.test>")
        relay.command("RSET")
        posthorn.run_verb("quota", "set", "bob@a.test", "storage=35K", "--data", where.data)
        assert deliver("sales@a.test") == ["452"], "only some took it"
        assert count(where, "ann") == before[0] + 2
    finally:
        posthorn.run_verb("quota", "set", "bob@a.test", "storage=none", "--data", where.data)
    relay.close()


def test_a_retry_gives_nobody_a_second_copy(where):
    """A recipient with several mailboxes of which a later one fails: the transfer agent comes again, over a kill -9 too."""
    def told(sender, recipient, text):
        relay = lmtp(where)
        relay.command(f"MAIL FROM:<{sender}>")
        relay.command(f"RCPT TO:<{recipient}>")
        relay.command("DATA")
        relay.wire.send(text.ljust(20000, b"z") + b"\r\n.\r\n")
        code = relay.wire.line()[:3].decode()
        relay.close()
        return code

    def quota(text):
        posthorn.run_verb("quota", "set", "tess", f"storage={text}", "--data", where.data)

    def counts():
        return [count(where, "eve"), *(count(where, "tess", box) for box in ("first", "second"))]

    where.user_add("tess")
    session = where.imap("tess")
    session.command("CREATE first")
    session.command("CREATE second")
    session.close()
    address(where, "add", "three@a.test", "eve", "tess+first@a.test", "tess+second@a.test")
    eve = count(where, "eve")
    text, other = b"Subject: once\r\n\r\n", b"Subject: other\r\n\r\n"
    quota("35K")  # room for one of two
    assert told("s@far.test", "three@a.test", text) == "451"
    assert counts() == [eve + 1, 1, 0]
    assert told("s@far.test", "three@a.test", text)[0] == "4"
    where.kill()
    where.start()
    assert told("s@far.test", "three@a.test", text)[0] == "4" and counts() == [eve + 1, 1, 0]
    quota("none")
    assert told("s@far.test", "three@a.test", text) == "250" and counts() == [eve + 1, 1, 1]
    # it is whole: the same octets again are another message; and others were others all the time
    assert told("s@far.test", "three@a.test", text) == "250" and counts() == [eve + 2, 2, 2]
    assert told("s@far.test", "three@a.test", other) == "250" and counts() == [eve + 3, 3, 3]
    quota("140K")
    assert told("s@far.test", "three@a.test", text)[0] == "4"
    for sender, again in (("s@far.test", other), ("t@far.test", text)):
        before = counts()
        quota("none")
        assert told(sender, "three@a.test", again) == "250" and counts() == [n + 1 for n in before]


def test_detail(where):
    session = where.imap("eve")
    for box in ("Lists", "lists2", "Lists/News", "LISTS3", "lists3"):
        session.command(f"CREATE {box}")
    session.close()
    relay = lmtp(where)
    inbox = count(where, "eve")
    for detail, box in (("Lists", "Lists"), ("lists", "Lists"), ("LISTS2", "lists2"), ("lists/NEWS", "Lists/News"), ("lists3", "lists3"), ("LISTS3", "LISTS3"),
                        ("none", "INBOX"), ("inbox", "INBOX"), ("x" * 60, "INBOX"), ("Shared/ann/INBOX", "INBOX")):
        old = count(where, "eve", box)
        relay.deliver(f"eve+{detail}@a.test", MESSAGE)
        assert count(where, "eve", box) == old + 1, detail
    assert count(where, "eve") == inbox + 4
    where.reload(detail_mailbox="off")
    relay.deliver("eve+Lists@a.test", MESSAGE)
    assert count(where, "eve") == inbox + 5
    where.reload(detail_mailbox="existing", recipient_delimiter="-")
    lists = count(where, "eve", "Lists")
    relay.deliver("eve-lists@a.test", MESSAGE)
    assert count(where, "eve", "Lists") == lists + 1
    assert rcpt(relay, "ann+lists@a.test").startswith("550 5.1.1")
    where.reload(recipient_delimiter="")
    assert rcpt(relay, "ann-lists@a.test").startswith("550 5.1.1")
    where.reload(recipient_delimiter="+")
    relay.close()


# ---- the maps

class Maps:
    def __init__(self, port):
        self.wire = Wire(("127.0.0.1", port), timeout=30)

    def send(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.wire.send(b"%d:%s," % (len(data), data))

    def reply(self):
        deadline = time.monotonic() + 30
        while b":" not in self.wire.buffer:
            self.wire.fill(deadline)
        n = int(self.wire.take(self.wire.buffer.index(b":") + 1, deadline)[:-1])
        while len(self.wire.buffer) <= n:
            self.wire.fill(deadline)
        told = self.wire.take(n + 1, deadline)
        assert told[-1:] == b","
        return told[:-1].decode()

    def ask(self, table, key):
        self.send(f"{table} {key}")
        return self.reply()


ROWS = [("alias sales@a.test", "OK ann@a.test,bob@a.test"), ("alias Sales+q@a.test", "OK ann+q@a.test,bob+q@a.test"),
        ("alias mixed@a.test", "OK eve@a.test,r@far.test"), ("alias ann@a.test", "NOTFOUND "), ("alias ann+q@a.test", "NOTFOUND "),
        ("alias nobody@a.test", "NOTFOUND "), ("alias r@far.test", "NOTFOUND "), ("alias x@b.test", "OK eve@b.test"),
        ("alias ann@old.test", "OK ann@a.test"), ("alias @b.test", "NOTFOUND "), ("alias off@b.test", "NOTFOUND "), ("alias \"sales\"@a.test", "OK ann@a.test,bob@a.test"),
        ("domain a.test", "OK a.test"), ("domain OLD.test", "OK OLD.test"), ("domain far.test", "NOTFOUND "),
        ("recipient sales@a.test", "OK sales@a.test"), ("recipient nobody@a.test", "NOTFOUND "), ("recipient nobody@b.test", "OK nobody@b.test"),
        ("recipient off@b.test", "NOTFOUND "), ("sender_login ann@a.test", "OK ann"), ("sender_login sales@a.test", "OK ann,bob@a.test"),
        ("sender_login all@a.test", "NOTFOUND "), ("sender_login x@b.test", "NOTFOUND "), ("sender_login bob@old.test", "OK bob@a.test"),
        ("sender_login r@far.test", "NOTFOUND "), ("other ann", "PERM there is no table 'other'"), ("alias ", "NOTFOUND "), ("alias \"x", "NOTFOUND ")]


def test_maps(where):
    maps = Maps(where.maps)
    for question, _ in ROWS:  # pipelined
        maps.send(question)
    for question, want in ROWS:
        assert maps.reply() == want, question
    for octet in b"18:alias sales@a.test,"[:0] + b"20:alias mixed@a.test x,18:alias sales@a.test,":
        maps.wire.send(bytes([octet]))
    assert (maps.reply(), maps.reply()) == ("NOTFOUND ", "OK ann@a.test,bob@a.test")
    for wrong in (b"x", b"5;hello,", b"05:hello,", b"5:hello!", b"5:hello,", b"2000:" + b"a" * 2001, b"9999999999:", b"13:alias a@b\0c  ,"):
        bad = Wire(("127.0.0.1", where.maps), timeout=30)
        bad.send(wrong)
        with pytest.raises(Closed):
            bad.fill(time.monotonic() + 30)
    assert maps.ask("alias", "sales@a.test") == "OK ann@a.test,bob@a.test"
    address(where, "add", "sales@a.test", "eve")  # at once, whatever is remembered
    assert maps.ask("alias", "sales@a.test") == "OK ann@a.test,bob@a.test,eve@a.test"
    address(where, "delete", "sales@a.test", "eve")
    for number in range(16):
        address(where, "add", "wide@a.test", *(f"{'r' * 180}{number}-{i}@far.test" for i in range(26)))
    assert maps.ask("alias", "wide@a.test").startswith("TEMP too many")
    address(where, "delete", "wide@a.test")


# ---- the policy service

def test_policy(where):
    wire = Wire(("127.0.0.1", where.policy), timeout=30)

    def ask(**fields):
        fields = {"request": "smtpd_access_policy", "protocol_state": "RCPT", **fields}
        wire.send("".join(f"{k}={v}\n" for k, v in fields.items()).encode() + b"\n")
        deadline = time.monotonic() + 30
        while b"\n\n" not in wire.buffer:
            wire.fill(deadline)
        return wire.take(wire.buffer.index(b"\n\n") + 2, deadline)[7:-2].decode()

    assert ask(recipient="sales@a.test") == ask(recipient="x@b.test") == ask(recipient="mixed@a.test") == "DUNNO"
    assert ask(recipient="off@b.test").startswith("550 5.1.1") and ask(recipient="nobody@old.test").startswith("550 5.1.1")
    posthorn.run_verb("quota", "set", "bob@a.test", "storage=10K", "--data", where.data)
    assert ask(recipient="sales@a.test", size="20000").startswith("452 4.2.2")
    posthorn.run_verb("quota", "set", "bob@a.test", "storage=none", "--data", where.data)
    for state in ("MAIL", "RCPT", "DATA"):
        for user, sender, may in (("ann", "ann@a.test", True), ("ANN", "Ann+x@old.test", True), ("ann", "sales@a.test", True), ("eve", "sales@a.test", False),
                                  ("eve", "all@a.test", False), ("eve", "ann@a.test", False), ("ann", "me@far.test", False), ("ann", "", True),
                                  ("", "me@far.test", True), ("bob@a.test", "bob@a.test", True)):
            told = ask(protocol_state=state, sasl_username=user, sender=sender, recipient="r@far.test")
            assert told.startswith("DUNNO" if may else "553 5.7.1"), (state, user, sender, told)
    where.reload(policy_senders="ignore")
    assert ask(protocol_state="MAIL", sasl_username="eve", sender="ann@a.test") == "DUNNO"
    where.reload(policy_senders="reject")


# ---- user set

def user(where, *words):
    out = posthorn.run_verb("user", *words, "--json", "--data", where.data)
    return [json.loads(line) for line in out.splitlines()]


def test_user_set(where):
    where.user_add("uma")
    row, = user(where, "set", "uma", "forward=eve,Bob@A.test", "keep=yes", "size_limit=4K")
    assert row == {"type": "user", "name": "uma", "disabled": False, "forward": "eve Bob@a.test", "keep": "yes", "size_limit": 4096}
    rows = user(where, "set", "uma", "size_limit=5K", "messages=7", "storage=1G")
    assert (rows[0]["size_limit"], rows[1]["messages_limit"], rows[1]["storage_limit"]) == (5120, 7, 1 << 30)
    assert [r for r in user(where, "list") if r["name"] == "uma"] == user(where, "show", "uma") == rows[:1]
    for wrong in (["size_limit=much"], ["size_limit=0"], ["messages=many", "keep=no"], ["folder_language=fr"], ["keep"], ["colour=red"],
                  ["protocols=gopher"], ["forward=@a.test"], ["keep=no", "forward=a b"]):
        with pytest.raises(RuntimeError):
            user(where, "set", "uma", *wrong)
    assert user(where, "show", "uma") == rows[:1], "a refused command changed something"
    more = user(where, "set", "uma", "retention=90d", "size_limit=5K")
    assert more == rows[:1] + [{"type": "retention", "name": "uma", "retention": 90 * 86400, "default": False}] == user(where, "show", "uma")
    assert posthorn.run_verb("user", "show", "uma", "--data", where.data).endswith(b"\numa\tretention=7776000\n")
    for wrong in ("soon", "", "-1", "50000d", "keep"):
        with pytest.raises(RuntimeError, match="write 12h, 90d or default"):
            user(where, "set", "uma", "size_limit=6K", f"retention={wrong}")
    assert user(where, "show", "uma") == more, "a refused command changed something"
    assert user(where, "set", "uma", "retention=default")[0]["default"]
    user(where, "set", "uma", "forward=default", "keep=default", "size_limit=default", "messages=default", "storage=default")
    assert user(where, "show", "uma") == [{"type": "user", "name": "uma", "disabled": False}]


def test_size_limit(where):
    where.user_add("vera")
    session, relay = where.imap("vera"), lmtp(where)
    large = b"Subject: x\r\n\r\n".ljust(3000, b"y")
    session.append("INBOX", large)
    user(where, "set", "vera", "size_limit=2K")
    deadline = time.monotonic() + 30
    while b"APPENDLIMIT=2048" not in b"".join(session.command("CAPABILITY")[0]):  # open sessions follow
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(client.Refused, match="TOOBIG"):
        session.append("INBOX", large)
    session.append("INBOX", large[:2000])
    assert b"APPENDLIMIT 2048" in b"".join(session.command("STATUS INBOX (APPENDLIMIT)")[0])
    assert rcpt(relay, "vera@a.test", " SIZE=3000").startswith("552 5.3.4")
    assert rcpt(relay, "vera@a.test", " SIZE=2000").startswith("250")
    relay.command("RSET")
    address(where, "add", "two@a.test", "vera", "eve")
    before = count(where, "eve")
    with pytest.raises(client.Refused, match="552 5.3.4"):
        relay.deliver("two@a.test", large)
    assert (count(where, "eve"), count(where, "vera")) == (before, 2)
    user(where, "set", "vera", "size_limit=default")
    relay.deliver("two@a.test", large)
    assert (count(where, "eve"), count(where, "vera")) == (before + 1, 3)
    session.close()
    relay.close()


def test_protocols(where):
    where.user_add("wim")
    session, relay = where.imap("wim"), lmtp(where)
    assert rcpt(relay, "wim@a.test").startswith("250")
    user(where, "set", "wim", "protocols=lmtp,pop3")
    with pytest.raises((Closed, client.Refused, ConnectionError)):
        for _ in range(600):  # the session ends
            session.command("NOOP")
            time.sleep(0.05)
    with pytest.raises(client.Refused, match="NOPERM"):
        where.imap("wim")
    with pytest.raises(client.Refused, match="AUTHENTICATIONFAILED"):
        client.Imap(where.address("imap"), "wim", "wrong")
    assert rcpt(relay, "wim@a.test").startswith("250")
    user(where, "set", "wim", "protocols=imap")
    assert rcpt(relay, "wim@a.test").startswith("550 5.1.1")
    maps = Maps(where.maps)  # else Postfix would take mail for the alias, and send it back for wim
    address(where, "add", "duo@a.test", "wim", "ann")
    address(where, "add", "solo@a.test", "wim")
    assert [maps.ask("alias", f"{name}@a.test") for name in ("duo", "solo")] == ["OK ann@a.test", "NOTFOUND "]
    assert maps.ask("recipient", "solo@a.test") == "NOTFOUND "
    address(where, "delete", "duo@a.test")
    address(where, "delete", "solo@a.test")
    where.imap("wim").close()
    user(where, "set", "wim", "protocols=default")
    assert rcpt(relay, "wim@a.test").startswith("250")
    relay.close()


def test_folder_language(where):
    for name, way in (("xaver", "imap"), ("yves", "lmtp")):
        where.user_add(name)
        user(where, "set", name, "folder_language=de")
        if way == "lmtp":
            relay = lmtp(where)
            relay.deliver(f"{name}@a.test", MESSAGE)
            relay.close()
        session = where.imap(name)
        assert b"Papierkorb" in b"".join(session.command('LIST "" "*"')[0])
        session.close()


def test_a_folder_that_goes_just_then(where):
    """Mail with a detail goes into INBOX when its folder is deleted between looking and storing: it is no unknown user's."""
    stop, made = threading.Event(), []

    def come_and_go():
        session = where.imap("eve")
        while not stop.is_set():
            session.command("CREATE Gone")
            session.command("DELETE Gone")
            made.append(1)
        session.close()

    other = threading.Thread(target=come_and_go)
    other.start()
    relay = lmtp(where)
    try:
        for _ in range(300):
            relay.deliver("eve+Gone@a.test", MESSAGE)
    finally:
        stop.set()
        other.join()
        relay.close()
    assert made


def test_forwards(where):
    """Where Postfix asks the maps it follows forwards; else LMTP does, within the server."""
    where.user_add("zoe")
    user(where, "set", "zoe", "forward=eve,r@far.test", "keep=yes")
    maps, relay = Maps(where.maps), lmtp(where)
    assert maps.ask("alias", "zoe@a.test") == "OK zoe@a.test,eve@a.test,r@far.test"
    before = count(where, "eve"), count(where, "zoe")
    relay.deliver("zoe@a.test", MESSAGE)
    assert (count(where, "eve"), count(where, "zoe")) == (before[0], before[1] + 1)
    user(where, "set", "zoe", "keep=no")
    assert maps.ask("alias", "zoe@a.test") == "OK eve@a.test,r@far.test"
    relay.deliver("zoe@a.test", MESSAGE)  # it is here now: kept
    assert count(where, "zoe") == before[1] + 2
    where.reload(maps=[])
    assert rcpt(relay, "zoe@a.test").startswith("451 4.3.5")
    relay.command("RSET")
    assert "'r@far.test' is elsewhere" in fails(where, "add", "gone@a.test", "eve", "r@far.test")
    with pytest.raises(RuntimeError, match="is elsewhere"):
        user(where, "set", "zoe", "forward=r@far.test")
    user(where, "set", "zoe", "keep=yes")  # what stands there stands
    user(where, "set", "zoe", "keep=no")
    user(where, "set", "zoe", "forward=eve")
    relay.deliver("zoe+x@a.test", MESSAGE)
    assert (count(where, "eve"), count(where, "zoe")) == (before[0] + 1, before[1] + 2)
    where.reload(maps=[f"127.0.0.1:{where.maps}"])
    relay.close()
