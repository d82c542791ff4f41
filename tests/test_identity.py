"""Who is who: groups, app passwords, master users, networks, by the verbs and on the wire. One server for all of it."""
# --json: user password add
# --json: user password list
# --json: user password delete
# --json: user disable
# --json: user enable
# --json: user networks
# --json: group add
# --json: group list
# --json: group delete
# --json: group member add
# --json: group member delete
import base64
import hashlib
import json
import re
import time

import pytest

from lib import scram, server as posthorn
from lib.client import Imap, Refused
from lib.waiting import wait_for
from lib.wire import Closed, Wire


@pytest.fixture(name="server", scope="module")
def one_server():
    own = posthorn.Server()
    yield own
    own.stop()


def verb(server, *words, stdin=b""):
    """The rows that it says; its plain form names the same things."""
    said = posthorn.run_verb(*words, "--json", "-c", server.config, stdin=stdin)
    return [json.loads(line) for line in said.decode().splitlines()]


def refused(server, *words, stdin=b""):
    with pytest.raises(RuntimeError) as error:
        posthorn.run_verb(*words, "-c", server.config, stdin=stdin)
    return str(error.value)


def test_groups(server):
    assert verb(server, "group", "add", "Staff") == [{"type": "group", "change": "added", "name": "staff"}]
    assert verb(server, "group", "add", "empty")[0]["name"] == "empty"
    for user in ("bob", "alice"):
        assert verb(server, "group", "member", "add", "staff", user) == [
            {"type": "member", "change": "added", "user": user, "group": "staff"}]
    assert verb(server, "group", "list") == [{"type": "group", "name": "empty", "members": []},
                                             {"type": "group", "name": "staff", "members": ["alice", "bob"]}]
    assert posthorn.run_verb("group", "list", "-c", server.config) == b"empty\nstaff\talice bob\n"
    assert "no user 'nobody'" in refused(server, "group", "member", "add", "staff", "nobody")
    assert verb(server, "group", "member", "delete", "staff", "bob")[0]["change"] == "deleted"
    assert verb(server, "group", "delete", "staff")[0]["change"] == "deleted"
    assert [row["name"] for row in verb(server, "group", "list")] == ["empty"]


def capability(server, tls=False):
    wire = Wire(server.address("imaps" if tls else "imap"), tls=tls)
    line = wire.line()
    wire.close()
    return line.decode().split("]")[0].split()


def offered(server, tls=False):
    return [word for word in capability(server, tls) if word.startswith("AUTH=")]


def salt_of(server, user, kind="sha256"):
    """What SCRAM tells of a name: its salt and rounds."""
    seen, wire = [], Wire(server.address("imap"))
    wire.line()
    assert scram.login(wire, "a", user, "not it", kind=kind, seen=seen).startswith(b"a NO [AUTHENTICATIONFAILED]")
    wire.close()
    return seen[0]


def test_scram_is_offered_in_order(server):
    assert offered(server, tls=True) == [f"AUTH={name}" for name in (
        "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")]
    for kind in ("sha256", "sha1"):
        wire = Wire(server.address("imaps"), tls=True)
        wire.line()
        assert scram.login(wire, "a", "alice", posthorn.PASSWORD, kind=kind).startswith(b"a OK")
        wire.close()


def test_scram_tells_nobody_who_is_there(server):
    """An unknown name has a salt as a known one: the same again, in any case, and another for each hash."""
    for name in ("alice", "nobody-here"):
        first = salt_of(server, name)
        assert first == salt_of(server, name) == salt_of(server, name.upper())
        assert first[1] == "15000" and first != salt_of(server, name, "sha1")
    before = [salt_of(server, name, kind) for name in ("alice", "nobody-here") for kind in ("sha256", "sha1")]
    server.restart()
    assert before == [salt_of(server, name, kind) for name in ("alice", "nobody-here") for kind in ("sha256", "sha1")]


def asked_salt(server, user):
    wire = Wire(server.address("imap"))
    wire.line()
    wire.send(f"a AUTHENTICATE SCRAM-SHA-256 {scram.b64(f'n,,n={user},r=abcdefgh'.encode())}\r\n".encode())
    line = wire.line()
    wire.close()
    return base64.b64decode(line[2:]).decode().split(",", 1)[1]


def test_a_name_with_a_domain_of_ours():
    """It is its user's without the domain, as for mail, where nobody has the whole; and again no salt tells who is there."""
    own = posthorn.Server({"local_domains": ["example.org", "example.net"]})
    try:
        for name in ("alice", "nobody-here"):
            forms = [name + domain for domain in ("", "@example.org", "@Example.Net", "@elsewhere.example")]
            first, *same, other = [asked_salt(own, form) for form in forms]
            assert same == [first, first] and other != first
        for name in ("alice@example.org", "ALICE@example.net"):
            Imap(own.address("imap"), name, posthorn.PASSWORD).close()
            wire = Wire(own.address("imap"))
            wire.line()
            assert scram.login(wire, "a", name, posthorn.PASSWORD).startswith(b"a OK")
            wire.close()
        refuses(own, "alice@elsewhere.example", posthorn.PASSWORD)
        own.user_add("bob@example.org", "another")
        refuses(own, "bob@example.org", posthorn.PASSWORD)
        for name in posthorn.USERS:
            verb(own, "user", "delete", name)
        for name in ("bob", "nobody-here"):  # nobody is without a domain now
            first, same, other = [asked_salt(own, name + domain) for domain in ("", "@example.org", "@example.net")]
            assert same == first and other != first
    finally:
        own.stop()


def test_keys_come_with_the_next_login(server):
    """A foreign hash takes SCRAM out of the offer until its user has logged in once."""
    hashed = "{SSHA256}" + scram.b64(hashlib.sha256(b"pass wordsalt").digest() + b"salt")
    path = server.dir / "passwd"
    path.write_text(f"foreign:{hashed}\n")
    verb(server, "user", "load", path)
    assert offered(server) == ["AUTH=PLAIN", "AUTH=LOGIN"]
    Imap(server.address("imap"), "foreign", "pass word").close()
    wait_for(lambda: "AUTH=SCRAM-SHA-1" in offered(server))
    for kind in ("sha256", "sha1"):
        wire = Wire(server.address("imap"))
        wire.line()
        assert scram.login(wire, "a", "foreign", "pass word", kind=kind).startswith(b"a OK")
        wire.close()


def app_password(server, user, label, *options):
    row, = verb(server, "user", "password", "add", user, label, *options)
    assert (row["type"], row["user"], row["label"]) == ("password", user, label)
    assert re.fullmatch(r"[a-km-z2-9]{6}(-[a-km-z2-9]{6}){3}", row["password"]), row  # 24 letters of five bits
    return row["password"]


def refuses(server, user, password, code="AUTHENTICATIONFAILED"):
    with pytest.raises(Refused, match=rf"NO \[{code}\]"):
        Imap(server.address("imap"), user, password)


def has_ended(client):
    """The server ends the connection by itself."""
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            client.wire.line()
    except Closed:
        return True
    return False


def test_app_password(server):
    user = server.fresh_user("device")
    phone, laptop = app_password(server, user, "Ann's phone"), app_password(server, user, "laptop")
    assert phone != laptop
    assert [word for word in offered(server) if "SCRAM" in word] == []  # it would fail with it
    for form in (phone, phone.upper(), phone.replace("-", " "), phone.replace("-", "")):
        Imap(server.address("imap"), user, form).close()
    wire = Wire(server.address("imap"))
    wire.line()
    wire.send(b"a AUTHENTICATE PLAIN " + scram.b64(f"\0{user}\0{phone}".encode()).encode() + b"\r\n")
    assert wire.line().startswith(b"a OK")
    wire.close()
    refuses(server, user, phone[:-1] + ("b" if phone[-1] == "a" else "a"))
    refuses(server, "bob", phone)
    refuses(server, "nobody-here", phone)
    assert f"user=<{user}>" in (line := [x for x in server.stderr().splitlines() if "Login:" in x and "device=" in x][-1])
    assert "device=<Ann's phone>" in line
    rows = {row["label"]: row for row in verb(server, "user", "password", "list", user)}
    assert set(rows) == {"Ann's phone", "laptop"} and "used" not in rows["laptop"]
    assert rows["Ann's phone"]["address"] == "127.0.0.1" and rows["Ann's phone"]["used"]
    for words in (("add", user, "laptop"), ("add", user, ""), ("add", user, "a\nb"), ("add", user, "x" * 65), ("add", "nobody", "x"),
                  ("add", user, "y", "--protocol", "ftp"), ("add", user, "y", "--expires", "yesterday"),
                  ("add", user, "y", "--expires", "2001-01-01"), ("delete", user, "none"), ("list", "nobody")):
        refused(server, "user", "password", *words)

    own, by_phone, by_laptop = (Imap(server.address("imap"), user, p) for p in (server.password, phone, laptop))
    deleted, = verb(server, "user", "password", "delete", user, "Ann's phone")
    assert deleted["change"] == "deleted" and has_ended(by_phone)
    own.command("NOOP")
    by_laptop.command("NOOP")
    refuses(server, user, phone)
    verb(server, "user", "password", "delete", user, "laptop")
    assert has_ended(by_laptop) and "AUTH=SCRAM-SHA-256" in offered(server)
    own.command("NOOP")
    verb(server, "user", "delete", user)
    assert has_ended(own)


def test_app_password_for_a_protocol_and_a_time(server):
    user = server.fresh_user("device")
    refuses(server, user, app_password(server, user, "printer", "--protocol", "lmtp,pop3"), "NOPERM")  # it is theirs: no guess
    Imap(server.address("imap"), user, app_password(server, user, "mail", "--protocol", "imap,lmtp")).close()
    short = app_password(server, user, "guest", "--expires", "3s")
    client = Imap(server.address("imap"), user, short)
    assert has_ended(client)
    refuses(server, user, short, "EXPIRED")
    rows = {row["label"]: row for row in verb(server, "user", "password", "list", user)}
    assert rows["printer"]["protocols"] == ["lmtp", "pop3"] and "expires" in rows["guest"] and "expires" not in rows["mail"]
    server.restart()
    refuses(server, user, short, "EXPIRED")
    verb(server, "user", "delete", user)


def said_to(where, greeting, command, end):
    """The line that answers a login."""
    wire = Wire(where)
    while not wire.line().startswith(greeting):
        pass
    wire.send(command)
    while not (line := wire.line().decode()).startswith(end):
        pass
    wire.close()
    return line.rstrip()


@pytest.fixture(name="doors")
def all_doors():
    own = posthorn.Server({"relay_host": "localhost:9", "relay_tls": "none"},
                          services=(*posthorn.SERVICES, "pop3", "submission"))
    yield own
    own.stop()


def test_expired_app_password(doors):
    """RFC 5530 section 3, RFC 3206: who has the right one is told that it has expired, in every protocol; a wrong one,
    or one of a user who is disabled, is told what a wrong one is told."""
    user = doors.fresh_user("late")
    secret = app_password(doors, user, "old", "--expires", "1s")
    refused_before = len(logged(doors, "Refused"))
    wait_for(lambda: posthorn.auth_test(doors, user, secret)[1][0].get("why") == "the app password 'old' has expired", "the end of an app password")
    plain = base64.b64encode(f"\0{user}\0{secret}".encode())
    refuses(doors, user, secret, "EXPIRED")
    assert said_to(doors.address("imap"), b"* OK", b"a AUTHENTICATE PLAIN " + plain + b"\r\n", ("a ",)) == "a NO [EXPIRED] This app password has expired."
    assert said_to(doors.address("pop3"), b"+OK", b"AUTH PLAIN " + plain + b"\r\n", ("-", "+OK")) == "-ERR [AUTH] This app password has expired"
    assert said_to(doors.address("managesieve"), b"OK", b'AUTHENTICATE "PLAIN" "' + plain + b'"\r\n', ("NO", "OK")) == 'NO "This app password has expired."'
    assert said_to(doors.address("submission"), b"220", b"EHLO x\r\nAUTH PLAIN " + plain + b"\r\n", ("5", "235")) == "535 5.7.8 This app password has expired"
    lines = logged(doors, "Refused")[refused_before:]
    assert len(lines) == 5 and all("code=EXPIRED" in line for line in lines)  # not one of the codes that fail2ban counts
    Imap(doors.address("imap"), user, doors.password).close()
    refuses(doors, user, secret[:-1] + ("b" if secret[-1] == "a" else "a"))
    refuses(doors, "bob", secret)
    verb(doors, "user", "disable", user)
    refuses(doors, user, secret)
    verb(doors, "user", "delete", user)


def test_auth_test(server):
    """It is judged as a login is, and leaves nothing behind: no penalty, no session, no use, no line of a refusal."""
    user = server.fresh_user("tried")
    phone = app_password(server, user, "a phone", "--read-only", "--protocol", "imap")
    verb(server, "group", "add", "testers")
    verb(server, "group", "member", "add", "testers", user)
    verb(server, "address", "add", "sales@example.org", user)
    status, rows, errors = posthorn.auth_test(server, user.upper(), server.password)
    kinds = [row["type"] for row in rows]
    assert status == 0 and not errors and kinds == ["auth", "user", "address"]  # never logged in: there is no account yet
    assert rows[0] == {"type": "auth", "user": user, "granted": True, "database": "own", "account": rows[0]["account"], "read_only": False,
                       "service": "imap", "rip": "127.0.0.1", "groups": ["testers"]}
    Imap(server.address("imap"), user, server.password).close()
    verb(server, "user", "set", user, "protocols=imap,lmtp", "storage=5M")
    rows = posthorn.auth_test(server, user, server.password)[1]
    assert [row["type"] for row in rows] == ["auth", "user", "address", "quota"]
    assert rows[1]["protocols"] and rows[2]["address"] == "sales@example.org" and rows[3]["storage_limit"] == 5 << 20
    plain = posthorn.run_verb("auth", "test", user, "-c", server.config, stdin=server.password.encode() + b"\n").decode().splitlines()
    assert len(plain) == 4 and plain[0] == f"{user}\tgranted\tdatabase=own\taccount={rows[0]['account']}\tservice=imap\trip=127.0.0.1\tgroups=testers"
    row = posthorn.auth_test(server, user, phone)[1][0]
    assert row["granted"] and row["device"] == "a phone" and row["read_only"]
    assert [r for r in verb(server, "user", "password", "list", user) if "used" in r] == []
    before = len(logged(server, "Refused"))
    for _ in range(8):
        assert posthorn.auth_test(server, user, "wrong", "--address", "127.0.0.1")[0] == 1
    began = time.monotonic()
    Imap(server.address("imap"), user, server.password).close()
    assert time.monotonic() - began < 20 and len(logged(server, "Refused")) == before
    reasons = {("pop3", server.password): "the user may not use pop3", ("pop3", phone): "the app password 'a phone' is not for pop3",
               ("smtp", server.password): "the user may not use smtp"}
    for (service, password), why in reasons.items():
        status, rows, errors = posthorn.auth_test(server, user, password, "--service", service)
        assert status == 1 and not rows[0]["granted"] and rows[0]["why"] == why == errors[-1]["message"]
    for more in (("--service", "ftp"), ("--service", "imap,pop3"), ("--address", "somewhere"), ("--address", "10.0.0.0/8"), ("--address", "::1,::2")):
        status, rows, errors = posthorn.auth_test(server, user, server.password, *more)
        assert status == 1 and not rows and errors[-1]["code"] == "BAD", more
    verb(server, "user", "networks", user, "192.0.2.0/24,2001:db8::/32")
    assert posthorn.auth_test(server, user, server.password)[1][0]["why"] == "the user may not log in from there"
    assert posthorn.auth_test(server, user, server.password, "--address", "2001:db8::7")[0] == 0
    verb(server, "user", "disable", user)
    assert posthorn.auth_test(server, user, server.password, "--address", "192.0.2.1")[1][0]["why"] == "the user is disabled"
    verb(server, "user", "delete", user)
    assert "no user database knows" in posthorn.auth_test(server, user, server.password)[1][0]["why"]


WRITES = ["APPEND INBOX {3+}\r\nabc", "CREATE x", "DELETE x", "RENAME INBOX x", "SUBSCRIBE x", "UNSUBSCRIBE INBOX", "STORE 1 +FLAGS (\\Seen)",
          "STORE 1 FLAGS ()", "UID STORE 1 -FLAGS (\\Flagged)", "COPY 1 Trash", 'SETQUOTA "" (STORAGE 1)', "MOVE 1 Trash", "UID MOVE 1 Trash", "EXPUNGE", "UID EXPUNGE 1",
          'SETMETADATA INBOX (/private/comment "x")', 'SETMETADATA "" (/private/comment "x")', "REPLACE 1 INBOX {3+}\r\nabc", "RESETKEY",
          "GENURLAUTH \"imap://x@localhost/INBOX/;UID=1;URLAUTH=anonymous\" INTERNAL"]


def test_read_only_password(server):
    """It changes nothing: no command, and no fetch of a body either."""
    user = server.fresh_user("reader")
    own = Imap(server.address("imap"), user, server.password)
    own.append("INBOX", b"Subject: x\r\n\r\nbody\r\n")
    reader = Imap(server.address("imap"), user, app_password(server, user, "screen", "--read-only"))
    _, tagged = reader.command("SELECT INBOX")
    assert b"[READ-ONLY]" in tagged
    for command in WRITES:
        with pytest.raises(Refused, match="NO "):
            reader.command(command)
    assert reader.fetch(1, "BODY[]")
    for command in ("GETQUOTAROOT INBOX", "MYRIGHTS INBOX", "GETACL INBOX", f"LISTRIGHTS INBOX {user}"):
        reader.command(command)
    reader.command("CLOSE")
    names = reader.names()
    assert "x" not in names and names == own.names()
    own.select("INBOX")
    assert "Seen" not in str(own.fetch(1, "FLAGS"))
    assert [row["read_only"] for row in verb(server, "who") if row["user"] == user] == [False, True]
    verb(server, "user", "delete", user)


def plain(server, authzid, user, password):
    """The tagged answer of AUTHENTICATE PLAIN."""
    wire = Wire(server.address("imap"))
    wire.line()
    wire.send(b"a AUTHENTICATE PLAIN " + scram.b64(f"{authzid}\0{user}\0{password}".encode()).encode() + b"\r\n")
    line = wire.line()
    wire.close()
    return line.decode()


def logged(server, text):
    return [line for line in server.stderr().splitlines() if text in line]


def test_master_user(server):
    server.user_add("root", "toor")
    Imap(server.address("imap"), "bob", server.password).append("INBOX", b"Subject: of bob\r\n\r\nx\r\n")
    refuses(server, "bob*root", "toor")  # not before the settings say so
    assert "AUTHORIZATIONFAILED" in plain(server, "bob", "root", "toor")
    server.reload(master_users=["root"], auth_master_separator="*")
    client = Imap(server.address("imap"), "bob*root", "toor")
    assert client.select("INBOX")["EXISTS"] == 1
    assert [row["master"] for row in verb(server, "who") if row["user"] == "bob"] == ["root"]
    client.close()
    assert "user=<bob>" in (line := logged(server, "master=")[-1]) and "master=<root>" in line
    assert plain(server, "bob", "root", "toor").startswith("a OK")
    assert plain(server, "root", "root", "toor").startswith("a OK")
    refuses(server, "bob*root", posthorn.PASSWORD)
    for target, user, password, code in (("bob", "alice", posthorn.PASSWORD, "AUTHORIZATIONFAILED"), ("nobody", "root", "toor", "AUTHORIZATIONFAILED"),
                                         ("bob", "alice", "toor", "AUTHENTICATIONFAILED"), ("bob", "root", "no", "AUTHENTICATIONFAILED")):
        assert f"a NO [{code}]" in plain(server, target, user, password)
        assert f"user=<{user}>" in (line := logged(server, "Refused")[-1]) and f"target=<{target}>" in line
    # what is for one device of root's is no key to the mail of others
    assert "AUTHORIZATIONFAILED" in plain(server, "bob", "root", app_password(server, "root", "phone"))
    verb(server, "user", "password", "delete", "root", "phone")
    for kind in ("sha256", "sha1"):
        wire = Wire(server.address("imap"))
        wire.line()
        assert scram.login(wire, "a", "root", "toor", gs2="n,a=bob,", kind=kind).startswith(b"a OK")
        wire.close()
        wire = Wire(server.address("imap"))
        wire.line()
        assert scram.login(wire, "a", "alice", posthorn.PASSWORD, gs2="n,a=bob,", kind=kind).startswith(b"a NO [AUTHORIZATIONFAILED]")
        wire.close()
    acting, itself = Imap(server.address("imap"), "bob*root", "toor"), Imap(server.address("imap"), "bob", server.password)
    verb(server, "user", "disable", "root")
    assert has_ended(acting)  # with the master's own
    itself.command("NOOP")
    itself.close()
    verb(server, "user", "enable", "root")
    server.reload(master_users=[], auth_master_separator="")
    refuses(server, "bob*root", "toor")


def test_disabled(server):
    user = server.fresh_user("off")
    client = Imap(server.address("imap"), user, server.password)
    assert verb(server, "user", "disable", user) == [{"type": "user", "change": "disabled", "name": user}]
    assert has_ended(client)
    refuses(server, user, server.password)
    verb(server, "user", "enable", user)
    client = Imap(server.address("imap"), user, server.password)
    assert "no such user" in refused(server, "user", "disable", "nobody")
    # a new password ends what came by the old one; a passwd-file that shuts somebody out does it too
    verb(server, "user", "passwd", user, stdin=b"other\n")
    assert has_ended(client)
    client = Imap(server.address("imap"), user, "other")
    path = server.dir / "passwd"
    path.write_text(f"{user}:{{PLAIN}}other::::::nologin\n")
    verb(server, "user", "load", path)
    assert has_ended(client)
    path.write_text(f"{user}:{{PLAIN}}other\n")
    verb(server, "user", "load", path)
    refuses(server, user, "other")  # as long as nobody enables him
    verb(server, "user", "delete", user)


def test_networks(server):
    user = server.fresh_user("net")
    assert verb(server, "user", "networks", user, "10.0.0.0/8,local")[0]["networks"] == "10.0.0.0/8 local"
    refuses(server, user, server.password)
    assert "the user may not log in from there" in logged(server, "Refused")[-1]
    assert [row["networks"] for row in verb(server, "user", "list") if row["name"] == user] == ["10.0.0.0/8 local"]
    wire = Wire(server.address("imap"))
    wire.line()
    assert scram.login(wire, "a", user, server.password).startswith(b"a NO [AUTHENTICATIONFAILED]")
    wire.close()
    verb(server, "user", "networks", user, "10.0.0.0/8,127.0.0.0/8")
    here = Imap(server.address("imap"), user, server.password)
    verb(server, "user", "networks", user, "127.0.0.1")
    here.command("NOOP")  # who is at an allowed place stays
    verb(server, "user", "networks", user, "10.0.0.0/8")
    assert has_ended(here)
    verb(server, "user", "networks", user, "any")
    Imap(server.address("imap"), user, server.password).close()
    assert "prefix" in refused(server, "user", "networks", user, "10.0.0.0/99")
    for settings in ({"auth_deny": ["127.0.0.0/8"]}, {"auth_allow": ["10.0.0.0/8"]}):
        server.reload(**settings)
        refuses(server, user, server.password)
        assert "nobody may log in from there" in logged(server, "Refused")[-1]
        server.reload(**{name: [] for name in settings})
    server.reload(auth_allow=["127.0.0.1"], auth_deny=["10.0.0.0/8"])
    Imap(server.address("imap"), user, server.password).close()
    server.reload(auth_allow=[], auth_deny=[])
