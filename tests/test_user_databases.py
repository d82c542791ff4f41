"""Users of outer databases: each kind by itself, behind our own. One server for each kind; they may be lost and come back."""
# --json: user list
# --json: auth test
import base64
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time

import pytest

from lib import samples, server as posthorn, userbases
from lib.client import Imap, Lmtp, Refused
from lib.long import LONG
from lib.waiting import wait_for
from lib.wire import Closed, Wire, begin_login

KINDS = {base.__name__: base for base in (userbases.File, userbases.Sqlite, userbases.Postgres, userbases.Ldap, userbases.Pam)}
HOSTILE = ("x' OR 1=1--", "' OR ''='", "x' UNION SELECT '{PLAIN}secret', false, '', ''--", "*", "*)(uid=*", "ann*", "an_", "%", "%u", "%%",
           "%{env:HOME}", "../bob", "\\", "\\2a", "ann\\", "$1", "?1", "ann;--", "uid=ann", "ann,dc=example,dc=org",
           "\u24d0nn", "\U0001d41ann", "ann\ufe0f")  # LDAP takes circled and bold letters for plain ones


class Place:
    def __init__(self, base):
        self.base = base
        base.put("ann", "secret-a")
        base.put("ben@example.org", "secret-b")
        self.server = posthorn.Server({"userdb_cache": "1s", "test_recheck_ms": 300, "local_domains": ["example.org"], "master_users": ["mia"],
                                       "auth_master_separator": "*", **base.settings})

    def stop(self):
        try:
            self.server.stop()
        finally:
            self.base.stop()


@pytest.fixture(name="place", scope="module", params=sorted(KINDS))
def one_place(request):
    place = Place(KINDS[request.param]())
    yield place
    place.stop()


def login(server, user, password):
    """The tagged line of LOGIN."""
    wire = begin_login(server, user, password)
    line = wire.line().decode()
    wire.close()
    return line


def granted(server, user, password):
    return login(server, user, password).startswith("a OK")


WRONG = "a NO [AUTHENTICATIONFAILED]"
LATER = "a NO [UNAVAILABLE]"


def rcpt(server, address):
    with smtplib.LMTP(*server.address("lmtp"), timeout=60) as relay:
        relay.ehlo_or_helo_if_needed()
        relay.mail("a@example.net")
        return relay.rcpt(address)[0]


def users(server):
    said = posthorn.run_verb("user", "list", "--json", "-c", server.config)
    return {row["name"]: row for row in map(json.loads, said.decode().splitlines())}


def test_passwords(place):
    server = place.server
    for _ in range(2):
        assert granted(server, "ann", "secret-a")
        assert granted(server, "ANN", "secret-a")
        assert granted(server, "ben@example.org", "secret-b")
        assert granted(server, "ben", "secret-b")  # in the first of our domains
        for user, password in (("ann", "secret-b"), ("ann", ""), ("ann", "secret-a "), ("nobody-here", "secret-a"), ("ben@example.net", "secret-b")):
            assert login(server, user, password).startswith(WRONG)
        assert granted(server, "alice", posthorn.PASSWORD)  # our own
        assert login(server, "alice", "secret-a").startswith(WRONG)


def seen_here(server):
    """They have logged in, and are known from then on."""
    assert granted(server, "ann", "secret-a") and granted(server, "ben@example.org", "secret-b") and granted(server, "alice", posthorn.PASSWORD)


def test_who_is_listed(place):
    seen_here(place.server)
    assert not granted(place.server, "nobody-here", "secret-a")
    rows = users(place.server)
    assert rows["ann"]["source"] == place.base.kind and "source" not in rows["alice"]
    assert set(rows) == {"ann", "ben@example.org", "alice", "bob", "carol"}  # who asked in vain is not there
    text = posthorn.run_verb("user", "list", "-c", place.server.config).decode()
    assert f"ann\tof {place.base.kind}\n" in text and "alice\n" in text


def test_all_are_listed(place):
    """`user list` has who is in the database and was never here, in any number; a database that is lost is said to be."""
    if place.base.kind == "pam":
        pytest.skip("PAM has no list")
    seen_here(place.server)
    many = [f"many{n}" for n in range(1200)]
    place.base.put_many(many)
    try:
        rows = users(place.server)
        assert {"ann", "ben@example.org", "alice", *many} <= set(rows)
        assert rows["many7"] == {**rows["many7"], "source": place.base.kind, "new": True} and "new" not in rows["ann"] and "new" not in rows["alice"]
        assert f"many7\tof {place.base.kind}\tnever here\n" in posthorn.run_verb("user", "list", "-c", place.server.config).decode()
        said = [json.loads(line) for line in posthorn.run_verb("quota", "list", "--json", "-c", place.server.config).splitlines()]
        assert [row["name"] for row in said].count("many7") == 1 and {"ann", "ben@example.org", *many} <= {row["name"] for row in said}
        assert {row["messages"] for row in said if row["name"] in many} == {0} and all(row.get("new", False) == (row["name"] in many) for row in said if row["name"] in ("ann", *many))
        place.base.put("many7", "secret-7")
        assert granted(place.server, "many7", "secret-7") and "new" not in users(place.server)["many7"]
        how = place.base.lost_by[0]
        place.base.lose(how)
        try:
            wait_for(lambda: not listed(place.server), seconds=30)
        finally:
            place.base.find(how)
        wait_for(lambda: listed(place.server), seconds=30)
        wait_for(lambda: granted(place.server, "ann", "secret-a"))  # a database that was lost rests for a second
    finally:
        place.base.remove_many(many)
    assert "many8" not in users(place.server) and "many7" in users(place.server)


def test_a_list_that_fails_is_nobodys_login():
    """It says so, and logins go on at that moment: what cannot be listed can be asked."""
    base = userbases.Sqlite()
    base.put("ann", "secret-a")
    server = posthorn.Server({**base.settings, "userdb_sql_iterate_query": "SELECT name FROM no_such_table", "userdb_cache": "0s"})
    try:
        for _ in range(3):
            assert not listed(server) and granted(server, "ann", "secret-a")
        assert "no_such_table" in server.stderr()
    finally:
        server.stop()
        base.stop()


def listed(server):
    """Does it tell? If not it says of which database it cannot."""
    try:
        users(server)
        return True
    except RuntimeError as error:
        assert "cannot be listed" in str(error)
        return False


def limits(session):
    words = re.search(rb"\((.*)\)", session.command('GETQUOTA "user/qq"')[0][0])[1].decode().split()
    return {words[i]: int(words[i + 2]) for i in range(0, len(words), 3)}


def test_quota_of_the_database(place):
    """What the database lets a user keep, in Dovecot's words: at the first mail, at login, and when it changes there; ours counts more."""
    if place.base.kind == "pam":
        pytest.skip("PAM knows no quota")
    server, base = place.server, place.base
    base.put("qq", "secret-q")
    base.set_quota("qq", "*:storage=20:messages=2")
    message = b"Subject: x\r\n\r\nx\r\n"
    codes = []
    for _ in range(3):  # nobody has logged in as qq
        with smtplib.LMTP(*server.address("lmtp"), timeout=60) as relay:
            relay.ehlo_or_helo_if_needed()
            relay.mail("a@example.net")
            code = relay.rcpt("qq@example.org")[0]
            codes.append(relay.data(message)[0] if code == 250 else code)
    assert codes == [250, 250, 452], codes
    session = Imap(server.address("imap"), "qq", "secret-q")
    assert limits(session) == {"STORAGE": 20, "MESSAGE": 2}
    with pytest.raises(Refused, match="OVERQUOTA"):
        session.append("INBOX", message)
    base.set_quota("qq", "*:storage=1M:messages=5")
    wait_for(lambda: limits(session) == {"STORAGE": 1024, "MESSAGE": 5}, seconds=30)
    session.append("INBOX", message)
    posthorn.run_verb("quota", "set", "qq", "messages=3", "--data", server.data)
    assert limits(session) == {"STORAGE": 1024, "MESSAGE": 3}
    base.set_quota("qq", "*:messages=9")
    wait_for(lambda: limits(session) == {"MESSAGE": 3}, seconds=30)
    server.restart()
    session = Imap(server.address("imap"), "qq", "secret-q")
    assert limits(session) == {"MESSAGE": 3}
    posthorn.run_verb("quota", "set", "qq", "messages=default", "--data", server.data)
    assert limits(session) == {"MESSAGE": 9}
    base.set_quota("qq", "")
    wait_for(lambda: "user/qq" not in str(session.command("GETQUOTAROOT INBOX")) or not limits(session), seconds=30)
    base.set_quota("qq", "*:storage=much")
    wait_for(lambda: login(server, "qq", "secret-q").startswith(LATER), seconds=30)
    base.set_quota("qq", "")
    session.close()


def test_limits_of_the_database_in_a_domain_with_one():
    """Both hold for whoever comes, and after kill -9, while the database is away: what is told is what is there (decision 0016)."""
    base, users = userbases.Sqlite(), ("una@q.test", "ugo@q.test")
    for user in users:
        base.put(user, "secret-q")
        base.set_quota(user, "*:messages=4")
    server = posthorn.Server({**base.settings, "userdb_cache": "0s", "admin_users": ["alice"], "local_domains": ["q.test"]})

    def deliver(user):
        lmtp = Lmtp(server.address("lmtp"))
        try:
            lmtp.deliver(user, b"Subject: x\r\n\r\nx\r\n")
            return True
        except Refused as why:
            assert "4.2.2" in str(why), why
            return False
        finally:
            lmtp.close()

    def told():
        rows = {row["name"]: row for row in map(json.loads, posthorn.run_verb("quota", "list", "@q.test", "--json", "-c", server.config).splitlines())}
        domain, = [json.loads(line) for line in posthorn.run_verb("quota", "show", "@q.test", "--json", "-c", server.config).splitlines()]
        return [(rows[user]["messages"], rows[user]["messages_limit"]) for user in users], (domain["messages"], domain["messages_limit"])

    try:
        posthorn.run_verb("quota", "set", "@q.test", "messages=6", "--data", server.data)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(deliver, [users[0]] * 8)) == 4  # the database's limit
            assert sum(pool.map(deliver, [users[1]] * 8)) == 2  # the domain's
        assert told() == ([(4, 4), (2, 4)], (6, 6))
        base.lose(base.lost_by[0])
        server.kill()
        server.start()
        posthorn.run_verb("quota", "set", "@q.test", "messages=7", "--data", server.data)
        figures = json.loads(posthorn.run_verb("quota", "show", "@q.test", "--json", "-c", server.config))
        assert (figures["messages"], figures["messages_limit"]) == (6, 7)
        base.find(base.lost_by[0])
        wait_for(lambda: deliver_or_later(deliver, users[1]))
        assert told() == ([(4, 4), (3, 4)], (7, 7)) and not deliver(users[1]) and not deliver(users[0])
    finally:
        server.stop()
        base.stop()


def deliver_or_later(deliver, user):
    try:
        return deliver(user)
    except AssertionError as why:
        assert "451" in str(why), why  # a database that was lost rests for a second
        return False


def test_scram_is_not_offered(place):
    wire = Wire(place.server.address("imap"))
    line = wire.line()
    wire.close()
    assert b"AUTH=PLAIN" in line and b"SCRAM" not in line


def test_mail_comes(place):
    server = place.server
    place.base.put("new", "secret-n")
    assert rcpt(server, "new") == 250  # before the first login
    assert rcpt(server, "ann+lists@example.org") == 250
    assert rcpt(server, "nobody-here@example.org") == 550
    with smtplib.LMTP(*server.address("lmtp")) as relay:
        relay.sendmail("a@example.net", ["new@example.org"], b"Subject: early\r\n\r\nhello\r\n")
    session = Imap(server.address("imap"), "new", "secret-n")
    assert session.command("SELECT INBOX")[0] and b"1 EXISTS" in b"\n".join(session.command("SELECT INBOX")[0])
    session.wire.close()


def test_hostile_names(place):
    before = set(users(place.server))
    for name in HOSTILE:
        for password in ("secret", "secret-a"):
            assert login(place.server, name, password).startswith(WRONG), name
        if name.isascii():
            code = rcpt(place.server, f'"{name}"@example.org'.replace("\\", "\\\\"))
            assert code in (550, 553, 501), name
    assert set(users(place.server)) == before
    assert granted(place.server, "ann", "secret-a")


def test_a_server_that_compares_freely(place):
    """As one that takes müller for muller: slapd passes over hyphens in telephone numbers. Each would be an account of its own."""
    if place.base.kind != "ldap":
        pytest.skip("the others compare exactly, or by a query of the administrator's")
    place.base.put("5551", "secret-5")
    assert granted(place.server, "5551", "secret-5")
    for name in ("555-1", "5-5-5-1"):
        assert login(place.server, name, "secret-5").startswith(WRONG)
        assert rcpt(place.server, name) == 550
    assert not {"555-1", "5-5-5-1"} & set(users(place.server))


def session_ends(session):
    def ended():
        try:
            session.command("NOOP")
        except (Closed, OSError):
            return True
        return False
    return ended


def test_another_password(place):
    server, base = place.server, place.base
    base.put("cid", "old-one")
    session = Imap(server.address("imap"), "cid", "old-one")
    base.put("cid", "new-one")
    wait_for(lambda: granted(server, "cid", "new-one"), seconds=10)  # a file that was just written rests first
    wait_for(lambda: login(server, "cid", "old-one").startswith(WRONG), seconds=20)  # once what was kept is old
    if base.kind not in ("ldap", "pam"):  # what is judged there is not seen
        wait_for(session_ends(session))
    fresh = Imap(server.address("imap"), "cid", "new-one")
    time.sleep(1)
    fresh.command("NOOP")
    fresh.wire.close()


def test_a_master_with_another_password(place):
    """Others' sessions end with it, and not the login that tells of it."""
    for password in ("old-one", "new-one"):
        place.base.put("mia", password)
        assert granted(place.server, "alice*mia", password)


@pytest.mark.parametrize("how", ["disabled", "gone"])
def test_taken_away(place, how):
    server, base = place.server, place.base
    base.put("dan", "secret-d")
    session = Imap(server.address("imap"), "dan", "secret-d")
    assert rcpt(server, "dan") == 250
    if how == "disabled":
        base.put("dan", "secret-d", disabled=True)
    else:
        base.remove("dan")
    wait_for(session_ends(session))
    wait_for(lambda: login(server, "dan", "secret-d").startswith(WRONG))
    wait_for(lambda: rcpt(server, "dan") == 550)
    account = users(server)["dan"]
    base.put("dan", "secret-d")
    wait_for(lambda: granted(server, "dan", "secret-d"))
    assert users(server)["dan"] == account


def test_deleted_here_known_there(place):
    """No new, empty account while the other database has the name still; what brings the mail back, or frees the name."""
    server, base = place.server, place.base

    def verb(*words):
        return posthorn.run_verb(*words, "-c", server.config).decode()

    def texts():
        session = Imap(server.address("imap"), "una", "secret-u")
        count = int(re.search(rb"(\d+) EXISTS", b"\n".join(session.command("SELECT INBOX")[0]))[1])
        session.wire.close()
        return count

    base.put("una", "secret-u")
    with smtplib.LMTP(*server.address("lmtp")) as relay:
        relay.sendmail("a@example.net", ["una@example.org"], b"Subject: kept\r\n\r\nhello\r\n")
    wait_for(lambda: granted(server, "una", "secret-u"))
    session = Imap(server.address("imap"), "una", "secret-u")
    verb("user", "delete", "una")
    wait_for(session_ends(session))
    for _ in range(2):
        assert login(server, "una", "secret-u").startswith(WRONG)
        assert login(server, "una", "wrong").startswith(WRONG)
        assert rcpt(server, "una@example.org") == 550
        time.sleep(1.1 if _ == 0 else 0)  # userdb_cache
    row = users(server)["una"]
    assert row["deleted"] and row["source"] == base.kind
    with pytest.raises(RuntimeError, match="no such user"):
        verb("user", "delete", "una")
    with pytest.raises(RuntimeError, match="no such deleted user"):
        verb("user", "undelete", "nobody-here")
    with pytest.raises(RuntimeError, match="can be"):
        verb("user", "undelete", "una", "old")
    verb("user", "undelete", "una")
    wait_for(lambda: rcpt(server, "una@example.org") == 250)
    assert texts() == 1
    assert "deleted" not in users(server)["una"]
    verb("user", "delete", "una")
    assert posthorn.run_verb("--json", "user", "undelete", "una", "new", "-c", server.config) .startswith(b'{"type":"user"')  # --json: user undelete
    wait_for(lambda: granted(server, "una", "secret-u"))
    assert texts() == 0
    verb("user", "delete", "una")
    posthorn.run_verb("user", "add", "una", "-c", server.config, stdin=b"own-one\n")
    assert granted(server, "una", "own-one")
    verb("user", "delete", "una")  # one of our own: the other database's does not come in its place
    assert login(server, "una", "secret-u").startswith(WRONG) and rcpt(server, "una") == 550
    assert "Deleted here, known elsewhere" in server.stderr()


def test_what_is_ours_works_for_them(place):
    server, base = place.server, place.base
    base.put("eva", "secret-e", groups="staff team")
    assert granted(server, "eva", "secret-e")
    said = posthorn.run_verb("user", "password", "add", "eva", "phone", "--json", "-c", server.config)
    assert granted(server, "eva", json.loads(said)["password"])
    with pytest.raises(RuntimeError, match="known by the user database"):
        posthorn.run_verb("user", "passwd", "eva", "-c", server.config, stdin=b"x\n")
    posthorn.run_verb("user", "disable", "eva", "-c", server.config)
    assert login(server, "eva", "secret-e").startswith(WRONG)
    posthorn.run_verb("user", "enable", "eva", "-c", server.config)
    posthorn.run_verb("user", "networks", "eva", "192.0.2.0/24", "-c", server.config)
    assert login(server, "eva", "secret-e").startswith(WRONG)
    posthorn.run_verb("user", "networks", "eva", "any", "-c", server.config)
    assert granted(server, "eva", "secret-e")
    if base.kind == "pam":
        return  # it knows no networks
    base.put("far", "secret-f", networks="192.0.2.0/24")
    base.put("near", "secret-f", networks="192.0.2.0/24,127.0.0.0/8")
    assert login(server, "far", "secret-f").startswith(WRONG)
    assert granted(server, "near", "secret-f")


def test_groups_of_the_database(place):
    if place.base.kind in ("passwd-file", "pam"):
        pytest.skip("it has none")
    server = place.server
    posthorn.run_verb("acl", "set", "alice", "INBOX", "$team", "lr", "-c", server.config)
    place.base.put("gus", "secret-g", groups="other team")
    place.base.put("hal", "secret-h", groups="other")
    for user, seen in (("gus", True), ("hal", False)):
        session = Imap(server.address("imap"), user, f"secret-{user[0]}")
        try:
            session.command("SELECT Shared/alice/INBOX")
            assert seen
        except Exception as error:
            assert not seen, error
        if seen and place.base.kind == "sql" and "gone" in place.base.lost_by:
            still_in_groups(place, session)
        if seen:
            taken_out_of_a_group(place, session, user)
        session.wire.close()


def test_auth_test(place):
    """Which database judged; the same judge as of logins."""
    server, base = place.server, place.base
    for user, name in (("ann", "ann"), ("ANN", "ann"), ("ben", "ben@example.org")):
        status, rows, _ = posthorn.auth_test(server, user, f"secret-{user[0].lower()}")
        assert status == 0 and (rows[0]["type"], rows[0]["user"], rows[0]["granted"], rows[0]["database"]) == ("auth", name, True, base.kind)
        assert rows[0]["service"] == "imap" and rows[0]["rip"] == "127.0.0.1" and "why" not in rows[0]
    for user, password, why in (("ann", "secret-b", "wrong password"), ("nobody-here", "secret-a", "no user database knows the name")):
        status, rows, errors = posthorn.auth_test(server, user, password)
        assert status == 1 and len(rows) == 1 and not rows[0]["granted"] and rows[0]["why"] == why == errors[-1]["message"]
        assert (rows[0]["code"], errors[-1]["code"]) == ("AUTHFAILED", "AUTHFAILED")
        assert rows[0].get("database") == (base.kind if user == "ann" else None)
    base.put("off", "secret-o", disabled=True)
    status, rows, _ = posthorn.auth_test(server, "off", "secret-o")
    assert status == 1 and rows[0]["why"] == "the user is disabled" and rows[0]["database"] == base.kind
    if base.kind in ("sql", "ldap"):
        base.put("far", "secret-f", networks="192.0.2.0/24", groups="other team")
        assert posthorn.auth_test(server, "far", "secret-f")[1][0]["why"] == "the user may not log in from there"
        status, rows, _ = posthorn.auth_test(server, "far", "secret-f", "--address", "192.0.2.7")
        assert status == 0 and rows[0]["groups"] == ["other", "team"] and rows[0]["rip"] == "192.0.2.7"


def taken_out_of_a_group(place, session, user):
    """Open sessions have the rights of the groups that their user is in now: one in a mailbox that is no longer theirs ends, others stay."""
    other = Imap(place.server.address("imap"), user, f"secret-{user[0]}")

    def may():
        try:
            return other.command("MYRIGHTS Shared/alice/INBOX")
        except Refused:
            return False

    session.command("SELECT Shared/alice/INBOX")
    assert may()
    place.base.regroup(user, "other")
    wait_for(session_ends(session))
    wait_for(lambda: not may())
    place.base.regroup(user, "other team")
    wait_for(may)
    other.wire.close()


def refusal_seconds(server, user):
    wire = begin_login(server, user, "wrong-password")
    began = time.perf_counter()
    line = wire.line().decode()
    took = time.perf_counter() - began
    wire.close()
    assert line.startswith(WRONG), (user, line)
    return took


def compared(server, known, unknown):
    """The p-value of the times of their refusals being of one distribution; a few at once, each with one of the others."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        took = list(pool.map(lambda user: refusal_seconds(server, user), [user for pair in zip(known, unknown) for user in pair]))
    return samples.kolmogorov_smirnov(took[::2], took[1::2]), took


def test_unknown_users_cost_the_same(place):
    """A user who is asked for again and again, and names that nobody has; in long also users that were never asked for, and one such name."""
    server, base, count = place.server, place.base, 100 if LONG else 10
    pairs = [(["ann"] * count, [f"gone{i}" for i in range(count)])]
    if LONG:
        for number in range(count):
            base.put(f"there{number}", "secret-t")
        pairs += [([f"there{i}" for i in range(count)], [f"vain{i}" for i in range(count)]), (["ann"] * count, ["gone"] * count)]
    for known, unknown in pairs:
        p = []
        while not p or (p[-1] <= 0.01 and len(p) < 3):  # noise of a busy machine
            value, took = compared(server, known, unknown)
            p.append(value)
            if value <= 0.01:
                time.sleep(2.5)  # what is remembered of them is old
        assert p[-1] > 0.01, (p, sorted(took[::2]), sorted(took[1::2]))


def still_in_groups(place, session):
    """While the database is lost mail asks again who is in which group."""
    place.base.lose("gone")
    try:
        time.sleep(1.1)  # userdb_cache
        posthorn.run_verb("group", "add", "unrelated", "-c", place.server.config)
        time.sleep(1)
        session.command("UNSELECT")
        session.command("SELECT Shared/alice/INBOX")
    finally:
        place.base.find("gone")
    wait_for(lambda: granted(place.server, "ann", "secret-a"))


def test_slow_client(place):
    """What others were told since a SASL exchange began is old when its client answers."""
    if not isinstance(place.base, userbases.Sqlite):
        pytest.skip("one kind will do")
    server, base = place.server, place.base
    base.put("ian", "old-one")
    wire = Wire(server.address("imap"), timeout=60)
    wire.line()
    wire.send(b"a AUTHENTICATE PLAIN\r\n")
    assert wire.line().startswith(b"+")
    assert rcpt(server, "ian") == 250  # who logs in is looked for again now and then
    base.put("ian", "new-one")
    time.sleep(1.1)  # userdb_cache
    wire.send(base64.b64encode(b"\0ian\0old-one") + b"\r\n")
    assert wire.line().decode().startswith(WRONG)
    wire.close()


def test_lost_and_found(place):
    """Nobody is told that a password is wrong or that a user is unknown; who is here stays; our own users notice nothing."""
    server, base = place.server, place.base
    session = Imap(server.address("imap"), "ann", "secret-a")
    for how in base.lost_by:
        base.lose(how)
        try:
            time.sleep(1.1)  # userdb_cache
            wait_for(lambda: login(server, "ann", "secret-a").startswith(LATER), seconds=20)
            began = time.monotonic()
            for user, password in (("ann", "secret-a"), ("ann", "wrong"), ("nobody-here", "x"), ("ben", "secret-b")) * 3:
                assert login(server, user, password).startswith(LATER)
            assert time.monotonic() - began < 30  # they do not each wait for the end of the time
            assert rcpt(server, "ann") == 451 or rcpt(server, "ann") == 451  # mail may have remembered it
            assert rcpt(server, "nobody-here@example.org") == 451
            status, rows, errors = posthorn.auth_test(server, "ann", "secret-a")
            assert status == 75 and not rows[0]["granted"] and errors[-1]["code"] == "UNAVAILABLE"
            assert f"'{base.kind}'" in rows[0]["why"]
            assert posthorn.auth_test(server, "alice", posthorn.PASSWORD)[0] == 0
            assert granted(server, "alice", posthorn.PASSWORD)
            assert rcpt(server, "alice") == 250
        finally:
            base.find(how)
        wait_for(lambda: granted(server, "ann", "secret-a"))
        assert login(server, "ann", "wrong").startswith(WRONG)
        assert login(server, "nobody-here", "wrong").startswith(WRONG)
        wait_for(lambda: rcpt(server, "nobody-here@example.org") == 550)
    session.command("NOOP")
    session.wire.close()


class Stalling:
    """Passes on what is said to a server and what it answers; while `stalls` is set no more than the beginning of an answer."""

    def __init__(self, port):
        self.port, self.stalls = port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, True), daemon=True).start()

    def pump(self, source, sink, answers):
        try:
            while text := source.recv(65536):
                if answers and self.stalls.is_set():
                    text = text[:7]
                sink.sendall(text)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_variables_in_a_second_statement():
    """SQLite takes the first one alone; that is a mistake in the settings, and no end of the role."""
    base = userbases.Sqlite()
    base.put("ann", "secret-a")
    server = posthorn.Server({**base.settings, "userdb_sql_query": "SELECT 1; " + base.settings["userdb_sql_query"]})
    wait_for(lambda: server.pids("directory"))
    role = server.pids("directory")
    assert login(server, "ann", "secret-a").startswith(LATER)
    assert server.pids("directory") == role and "userdb_sql_query: a variable" in server.stderr()
    server.stop()
    base.stop()


def test_what_postgres_remarks():
    """Notices of the server, as of another version of its collations, are no lines of our log."""
    base = userbases.Postgres()
    base.put("ann", "secret-a")
    base.run("CREATE FUNCTION remark(name TEXT) RETURNS TEXT LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'remarkable: %%', name; RETURN name; END $$")
    query = base.settings["userdb_sql_query"].replace("'%u'", "remark(%u)")
    server = posthorn.Server({**base.settings, "userdb_sql_query": query})
    assert granted(server, "ann", "secret-a")
    assert "remarkable" not in server.stderr()
    server.stop()
    base.stop()


class Deaf:
    """A port that connections to are not even refused, as of a machine that is off: its queue is full."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.queue = [socket.socket() for _ in range(4)]
        for s in self.queue:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", self.port))

    def close(self):
        for s in (*self.queue, self.listener):
            s.close()


@pytest.mark.parametrize("kind", ["Ldap", "Postgres"])
def test_the_first_server_is_off(kind):
    """Of several servers the next one is asked while there is time."""
    base, off = KINDS[kind](), Deaf()
    base.put("ann", "secret-a")
    if kind == "Ldap":
        both = {"userdb_ldap_uri": f"ldap://127.0.0.1:{off.port} ldap://127.0.0.1:{base.port}"}
    else:
        both = {"userdb_sql_connection": f"host=127.0.0.1,127.0.0.1 port={off.port},{base.port} dbname=postgres user=posthorn"}
    server = posthorn.Server({**base.settings, **both})
    assert granted(server, "ann", "secret-a")
    assert login(server, "ann", "wrong").startswith(WRONG)
    server.stop()
    off.close()
    base.stop()


def test_half_an_answer():
    """An LDAP server that stops in the middle of its answers holds nobody for longer than any other that is lost."""
    base = userbases.Ldap()
    base.put("ann", "secret-a")
    between = Stalling(base.port)
    server = posthorn.Server({**base.settings, "userdb_ldap_uri": f"ldap://127.0.0.1:{between.listener.getsockname()[1]}", "userdb_cache": "0s"})
    assert granted(server, "ann", "secret-a")
    between.stalls.set()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for line in pool.map(lambda name: login(server, name, "x"), [f"ann{n}" for n in range(8)]):
            assert line.startswith(LATER)
    between.stalls.clear()
    wait_for(lambda: granted(server, "ann", "secret-a"), seconds=30)
    server.stop()
    between.listener.close()
    base.stop()


def test_one_who_cannot_be_read(place):
    """Of whom a database says nonsense it cannot be told whether they are there; the others notice nothing."""
    server, base = place.server, place.base
    if base.kind == "pam":
        pytest.skip("it says nothing of them that could be nonsense")
    if base.kind == "passwd-file":
        base.put_hash("fat", "{NOPE}x")
    else:
        base.put("fat", "secret-f", groups="g" * 5000)
    time.sleep(1.1)  # userdb_cache
    assert login(server, "fat", "secret-f").startswith(LATER)
    assert granted(server, "ann", "secret-a")
    assert rcpt(server, "fat") == 451 and rcpt(server, "ben@example.org") == 250
    base.remove("fat")


def test_the_role_dies(place):
    server = place.server
    role = "pam" if place.base.kind == "pam" else "directory"
    place.base.put("zoe", "secret-z")
    session = Imap(server.address("imap"), "zoe", "secret-z")
    os.kill(server.pids(role)[0], signal.SIGKILL)
    time.sleep(1.1)
    assert granted(server, "ann", "secret-a")  # it waits until the role is back
    assert login(server, "ann", "wrong").startswith(WRONG)
    os.kill(server.pids("auth")[0], signal.SIGKILL)
    wait_for(lambda: granted(server, "ann", "secret-a"))
    session.command("NOOP")
    place.base.remove("zoe")  # of sessions that an earlier auth let in, too
    wait_for(session_ends(session))


def test_nothing_secret_in_the_log(place):
    assert not re.search(r"secret-|s3cret|s3rvice", place.server.stderr())
    said = posthorn.run_verb("config", "dump", "-c", place.server.config)
    assert b"s3cret" not in said and b"s3rvice" not in said


def test_a_penalty_comes_first():
    """Who failed waits before a database is asked, whether a name is known or not; who makes us ask and leaves has failed."""
    def told(rip, line):
        """The answer to this line, and the seconds it took."""
        wire = Wire(server.address("imap"), timeout=60)
        wire.line()
        wire.send(b'i ID ("x-originating-ip" "%s")\r\n' % rip.encode())
        while not wire.line().startswith(b"i OK"):
            pass
        began = time.monotonic()
        wire.send(line + b"\r\n")
        answer = wire.line().decode()
        wire.close()
        return answer, time.monotonic() - began

    def tried(rip, user, password):
        return told(rip, f"a LOGIN {user} {password}".encode())

    def scram_begun(rip, user):
        return told(rip, b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(f"n,,n={user},r=abcdefgh".encode()))

    base = userbases.Sqlite()
    base.put("ann", "secret-a")
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = posthorn.Server({"auth_penalty": True, "auth_scram": "always", "trusted_networks": ["127.0.0.0/8"], "userdb_cache": "1s", **base.settings})
    try:
        at_once = lambda *asked: list(pool.map(lambda one: one[0](*one[1:]), asked))
        for answer, _ in at_once(*((tried, f"198.51.100.{n}", f"nobody-{n}", "wrong") for n in (1, 2, 3))):
            assert answer.startswith(WRONG)
        assert scram_begun("198.51.100.4", "no-such")[0].startswith("+")
        time.sleep(1.1)  # userdb_cache
        base.lose("gone")
        known, unknown, begun, other = at_once((tried, "198.51.100.1", "ann", "secret-a"), (tried, "198.51.100.2", "no-such", "secret-a"),
                                               (scram_begun, "198.51.100.3", "ann"), (tried, "198.51.100.9", "ann", "secret-a"))
        assert all(answer.startswith(LATER) for answer, _ in (known, unknown, other))
        assert min(took for _, took in (known, unknown, begun)) > 1.9
        base.find("gone")
        wait_for(lambda: tried("198.51.100.4", "ann", "secret-a")[1] > 1.9)
    finally:
        server.stop()
        base.stop()


def forgotten(kind):
    """In a network of its own: what a firewall between has forgotten is dropped there, in silence; new connections pass."""
    base = KINDS[kind]()
    base.put("ann", "secret-a")
    server = posthorn.Server({**base.settings, "userdb_cache": "0s"})
    try:
        assert granted(server, "ann", "secret-a")
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = [[int(end.rpartition(":")[2], 16) for end in row[1:3]] for row in rows if row[3] == "01"]
        kept = [far for near, far in ends if near == base.port]
        for far in kept:
            subprocess.run(f"ip rule add priority 100 ipproto tcp sport {base.port} dport {far} blackhole".split(), check=True)
        for rule in ("add priority 5000 lookup local", "del priority 0"):
            subprocess.run(["ip", "rule", *rule.split()], check=True)
        assert kept and granted(server, "ann", "secret-a")
    finally:
        server.stop()
        base.stop()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("ip"), reason="a network of its own takes root")
@pytest.mark.parametrize("kind", ["Ldap", "Postgres"])
def test_a_forgotten_connection(kind):
    """A connection that is dead, and of which nobody says so, is made again in time for the login that finds it."""
    done = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, __file__, kind], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done.stderr


class Unresolved(posthorn.Server):
    """Its resolver asks a name server that never answers."""

    def command(self):
        own = self.dir / "resolv.conf"
        own.write_text("nameserver 127.0.0.77\noptions timeout:30 attempts:5\n")  # minutes: no question may take so long
        return ["unshare", "--mount", "sh", "-c", f'mount --bind {own} "$(realpath /etc/resolv.conf)" && exec "$@"', "sh", *super().command()]


@pytest.mark.skipif(os.getuid() != 0, reason="a resolver of its own takes root")
def test_a_dead_resolver(request):
    """A database whose host's name nobody resolves holds up no other."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.77", 53))
    base = userbases.Ldap()
    request.addfinalizer(base.stop)
    base.put("ann", "secret-a")
    base.put("ben", "secret-b")
    server = Unresolved({**base.settings, "user_databases": ["own", "ldap", "sql"], "userdb_sql_connection": "host=db.dead.test user=x dbname=x sslmode=verify-full",
                         "userdb_sql_query": "SELECT password FROM u WHERE name = %u"})
    pool = concurrent.futures.ThreadPoolExecutor(8)
    try:
        others = [pool.submit(login, server, f"no-such-{n}", "x") for n in range(8)]
        silent.settimeout(60)
        silent.recv(1)  # it is asked
        assert granted(server, "ann", "secret-a") and granted(server, "ben", "secret-b")
        assert not any(other.done() for other in others), "nothing hung"
        assert all(other.result().startswith(LATER) for other in others)
        assert granted(server, "ann", "secret-a") and login(server, "ann", "wrong").startswith(WRONG)
        # the questions themselves have ended in time, and wait no longer for the resolver; one thread still does
        wait_for(lambda: "the name server did not answer in time for 'db.dead.test'" in server.stderr(), seconds=20)
        for _ in range(2):
            assert login(server, f"no-such-{time.monotonic()}", "x").startswith(LATER)
        threads = [len(os.listdir(f"/proc/{pid}/task")) for pid in server.roles()["directory"]]
        assert max(threads) <= 1 + 10 + 1, "loop, pool, one resolver"
    finally:
        server.stop()
        silent.close()


@pytest.mark.parametrize("connection, good", [
    ("host=/run/postgresql dbname=mail", True), ("dbname=mail", True), ("host=127.0.0.1,localhost dbname=mail", True),
    ("host=db.example.org dbname=mail sslmode=verify-full", True), ("postgresql://db.example.org/mail?sslmode=verify-ca", True),
    ("host=db.example.org dbname=mail", False), ("host=db.example.org sslmode=require", False), ("host=localhost,db.example.org", False),
    ("host=localhost hostaddr=192.0.2.1", False), ("postgresql://db.example.org/mail", False), ("service=mail", False)])
def test_no_hash_in_the_clear(tmp_path, connection, good):
    path = tmp_path / "config"
    path.write_text(f'user_databases = {{ "own", "sql" }}\nuserdb_sql_connection = "{connection}"\n')
    if good:
        posthorn.run_verb("config", "check", "-c", path)
    else:
        with pytest.raises(RuntimeError, match="verify-full"):
            posthorn.run_verb("config", "check", "-c", path)


@pytest.mark.parametrize("uri, starttls, good", [
    ("ldap://a.example.org", "true", True), ("ldaps://a.example.org", "false", True), ("ldap://127.0.0.1 ldap://[::1]", "false", True),
    ("ldap://a.example.org", "false", False), ("ldaps://a.example.org ldap://b.example.org", "true", False),
    (" ldap://a.example.org", "true", False), ("LDAP://a.example.org", "true", False)])
def test_no_password_in_the_clear(tmp_path, uri, starttls, good):
    """STARTTLS is for a list that begins with ldap://; whatever else would go without it is refused."""
    path = tmp_path / "config"
    path.write_text('user_databases = { "own", "ldap" }\nuserdb_ldap_base = "dc=example,dc=org"\n'
                    f'userdb_ldap_uri = "{uri}"\nuserdb_ldap_starttls = {starttls}\n')
    if good:
        posthorn.run_verb("config", "check", "-c", path)
    else:
        with pytest.raises(RuntimeError, match="in the clear"):
            posthorn.run_verb("config", "check", "-c", path)


if __name__ == "__main__":
    forgotten(sys.argv[1])
