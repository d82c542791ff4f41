"""Who is there and what they do: `who`, `kick`, `rawlog`, and the lines of the log that tell it afterwards (docs/logs.md)."""
import base64
import json
import os
import re
import socket

import pytest

from lib.managesieve import Sieve
from lib import server as posthorn
from lib.client import Imap, Refused
from lib.proxied import Line
from lib.waiting import wait_for

LOGS = posthorn.ROOT / "docs/logs.md"
SECRET = "s3cr3t-that-nobody-may-see"


@pytest.fixture(scope="module")
def server():
    own = posthorn.Server({"log_format": "json", "sessions_per_user": 1000, "admin_users": ["carol"], "master_users": ["carol"],
                           "expire": ["Trash 1s"], "test_expire_round": "1s", "local_domains": ["d.test"]})
    yield own
    own.stop()


def verb(server, *words, stdin=b""):
    return [json.loads(line) for line in posthorn.run_verb(*words, "--json", "-c", server.config, stdin=stdin).splitlines()]


def rows(server):
    return [json.loads(line) for line in server.stderr().splitlines() if line.startswith("{")]


# ---- who and kick ----

def test_who_tells_what_a_session_is(server):
    password = verb(server, "user", "password", "add", "bob", "Bob's phone")[0]["password"]
    with Line(server.address("imaps"), tls=True, source="127.0.0.8") as line:
        line.line()
        line.ask('i ID ("name" "Mail" "version" "16.0" "os" "iOS")')
        assert line.login("bob", f'"{password}"').startswith(b"a OK")
        line.ask("b SELECT INBOX")
        line.send("c IDLE\r\n")
        line.line()
        wait_for(lambda: verb(server, "who", "bob")[0]["idling"])
        row, = verb(server, "who", "BOB")
        assert (row["service"], row["rip"], row["tls"], row["device"], row["client"], row["mailbox"], row["read_only"], row["rawlog"]) == \
            ("imap", "127.0.0.8", True, "Bob's phone", "Mail 16.0", "INBOX", False, False)
        assert row["out"] > row["in"] > 0 and row["silent"] < 30
        text = posthorn.run_verb("who", "bob", "-c", server.config).decode()
        assert "client=<Mail 16.0>" in text and "(IDLE)" in text and "mailbox=<INBOX>" in text
        line.send("DONE\r\n")
        line.line()
        line.ask('d ID ("name" "a\\"b" "version" NIL)')
        line.ask("e UNSELECT")
        row, = verb(server, "who", "bob")
        assert row["client"] == 'a"b' and "mailbox" not in row and not row["idling"]


def test_who_drives_no_terminal(server):
    """U+009B is ESC [ to many, and no stranger's text is to forge a line."""
    with Line(server.address("imap")) as line:
        line.line()
        line.ask('i ID ("name" "A\u009b2J" "version" "ä")')
        assert line.login("bob", posthorn.PASSWORD).startswith(b"a OK")
        text = posthorn.run_verb("who", "bob", "-c", server.config).decode()
        assert r"client=<A\xc2\x9b2J ä>" in text and text.count("\t") == 8 and text.count("\n") == 1


def await_login(line):
    while not (answer := line.line()).startswith(b"a OK"):
        assert answer.startswith(b"* OK"), answer


def test_names_without_their_domain(server):
    """As other verbs have them; an unknown one is no success of `kick`."""
    server.user_add("dora@d.test", posthorn.PASSWORD)
    _session = Imap(server.address("imap"), "dora", posthorn.PASSWORD)
    assert [row["user"] for row in verb(server, "who", "dora")] == ["dora@d.test"]
    assert verb(server, "kick", "dora") == [{"type": "kicked", "sessions": 1}]
    wait_for(lambda: verb(server, "who", "dora@d.test") == [])
    assert verb(server, "kick", "dora") == [{"type": "kicked", "sessions": 0}]
    with pytest.raises(RuntimeError, match="there is no user 'dorra'"):
        verb(server, "kick", "dorra")


def test_who_in_order_and_by_pages(server):
    """More sessions than one page has, of several users, from both homes: each once, in order."""
    open_ones = [Imap(server.address("imap"), user, posthorn.PASSWORD) for user in ("carol", "alice", "bob") * 3]
    quick = verb(server, "user", "password", "add", "alice", "quick")[0]["password"]  # costs no hash
    lines = []
    for _ in range(270):  # pages have 256
        line = Line(server.address("imap"), source="127.0.0.1")
        lines.append(line)
        line.send(f"a LOGIN alice {quick}\r\n")
        if len(lines) > 50:  # strangers from one address are few
            await_login(lines[-50])
    for line in lines[-49:]:
        await_login(line)
    found = verb(server, "who")
    assert len(found) == len(open_ones) + len(lines) and len({row["session"] for row in found}) == len(found)
    assert [row["user"] for row in found] == ["alice"] * 273 + ["bob"] * 3 + ["carol"] * 3
    assert [row["since"] for row in found[:273]] == sorted(row["since"] for row in found[:273])
    assert len(verb(server, "who", "bob")) == 3 and verb(server, "who", "nobody") == []
    one = verb(server, "who", "bob")[1]["session"]
    assert verb(server, "kick", "bob", one)[0]["sessions"] == 1
    wait_for(lambda: len(verb(server, "who", "bob")) == 2)
    assert one not in [row["session"] for row in verb(server, "who", "bob")]
    other = verb(server, "who", "carol")[0]["session"]
    assert verb(server, "kick", "bob", other)[0]["sessions"] == 0, "it is not bob's"
    with pytest.raises(RuntimeError, match="16 digits"):
        verb(server, "kick", "bob", "12")
    for user, count in (("alice", 273), ("bob", 2), ("carol", 3)):
        assert verb(server, "kick", user)[0]["sessions"] == count
    wait_for(lambda: verb(server, "who") == [])
    for line in lines:
        line.close()


# ---- rawlog ----

def files(server):
    folder = server.data / "rawlog"
    return sorted(folder.glob("*"), key=lambda f: f.stat().st_mtime)


def test_rawlog(server):
    before = set(files(server))
    joined = Imap(server.address("imap"), "alice", posthorn.PASSWORD)
    other = Imap(server.address("imap"), "bob", posthorn.PASSWORD)
    assert verb(server, "rawlog", "alice", "on", "--for", "1h")[0]["sessions"] == 1
    later = Imap(server.address("imap"), "alice", posthorn.PASSWORD)
    joined.select("INBOX")
    joined.append("INBOX", b"Subject: raw\r\n\r\nhello there\r\n")
    other.command("NOOP")
    later.select("INBOX")
    assert b"hello there" in later.fetch(1, "BODY[]")[1]["BODY[]"]
    assert [row["rawlog"] for row in verb(server, "who")] == [True, True, False]
    assert verb(server, "rawlog", "alice", "off")[0]["sessions"] == 2
    joined.command("LIST \"\" after-the-end")
    found = wait_for(lambda: len(new := [f for f in files(server) if f not in before]) == 2 and new)
    wait_for(lambda: b"BODY[]" in b"".join(f.read_bytes() for f in found))
    assert {f.name.split("-")[0] for f in found} == {"alice"}
    assert all(f.stat().st_mode & 0o777 == 0o600 for f in found)
    assert (server.data / "rawlog").stat().st_mode & 0o077 == 0
    text = found[0].read_bytes() + found[1].read_bytes()
    assert text.count(b"posthorn rawlog: user=<alice>") == 2 and b"APPEND" in text and b"EXISTS" in text and b"after-the-end" not in text
    for piece in re.finditer(rb"(?m)^--- \d\d:\d\d:\d\d\.\d{6} ([CS]) (\d+)\n", text):
        octets = text[piece.end():piece.end() + int(piece[2])]
        assert len(octets) == int(piece[2])
    assert [row["args"] for row in rows(server) if row.get("audit") == "verb" and row["verb"] == "rawlog"] == \
        [["alice", "on", "1h"], ["alice", "off"]]
    for session in (joined, other, later):
        session.command("LOGOUT")


def test_rawlog_has_no_secrets(server):
    before = set(files(server))
    verb(server, "rawlog", "alice", "on")
    with Line(server.address("imap"), source="127.0.0.1") as line:
        line.line()
        line.login()
        token = base64.b64encode(f"\0alice\0{SECRET}".encode()).decode()
        line.ask("b SELECT INBOX")
        line.ask(f"c LOGIN alice {SECRET}")
        line.ask(f"d AUTHENTICATE PLAIN {token}")
        line.send(f"e AUTHENTICATE PLAIN\r\n{token}\r\n{SECRET} x y\r\nf LOGIN alice {{{len(SECRET)}+}}\r\n{SECRET}\r\n")
        line.send(f"g IDLE\r\n{SECRET}\r\n")
        line.ask("h NOOP")
        line.ask("h1 APPEND INBOX {5+}\r\nhello")
        line.ask("h2 SELECT INBOX")
        made = b"".join(line.ask('i GENURLAUTH "imap://alice@localhost/INBOX/;UID=1;URLAUTH=user+alice" INTERNAL'))
        key = re.search(rb":internal:([0-9a-fA-F]+)", made)[1]
        line.ask(f'j URLFETCH "imap://alice@localhost/INBOX/;UID=1;URLAUTH=user+alice:internal:{key.decode()}"')
        line.send(f"k UNAUTHENTICATE\r\nl LOGIN bob {SECRET}\r\nm LOGIN alice secret\r\n")
        while not (answer := line.line()).startswith(b"m "):
            assert answer
        line.ask("n LOGOUT")
    verb(server, "rawlog", "alice", "off")
    def written():
        return b"".join(f.read_bytes() for f in files(server) if f not in before)

    wait_for(lambda: b"LOGOUT" in written())
    text = written()
    for secret in (SECRET.encode(), token.encode(), key, b"bob"):
        assert secret not in text, (secret, text)
    assert b"octets hidden" in text and b":internal:[hidden]" in text and b"UNAUTHENTICATE" in text


def test_rawlog_ends_by_itself_and_needs_good_words(server):
    verb(server, "rawlog", "alice", "on", "--for", "1s")
    session = Imap(server.address("imap"), "alice", posthorn.PASSWORD)
    wait_for(lambda: [r for r in rows(server) if r["event"] == "rawlog has run out"])
    assert not verb(server, "who", "alice")[0]["rawlog"]
    session.command("LOGOUT")
    for words in (("on", "--for", "8d"), ("on", "--for", "0s"), ("off", "--for", "1h"), ("maybe",)):
        with pytest.raises(RuntimeError):
            verb(server, "rawlog", "alice", *words)
    with pytest.raises(RuntimeError, match="NONEXISTENT|no such user|nobody"):
        verb(server, "rawlog", "zoe", "on")


def test_rawlog_without_room(server):
    """The folder cannot be written: the session goes on, and the log says it once."""
    folder = server.data / "rawlog"
    verb(server, "rawlog", "bob", "on")
    stale = folder / "old.log"
    stale.write_bytes(b"x")
    os.utime(stale, (0, 0))
    for n in range(200):
        (folder / f"fill-{n}.log").touch()
    session = Imap(server.address("imap"), "bob", posthorn.PASSWORD)
    session.command("NOOP")
    wait_for(lambda: [r for r in rows(server) if r["event"] == "rawlog ends for a session" and "too many" in r["error"]])
    assert not stale.exists(), "what is old goes"
    session.command("LOGOUT")
    verb(server, "rawlog", "bob", "off")
    for n in range(200):
        (folder / f"fill-{n}.log").unlink()


# ---- audit ----

def provoke(server):
    """Each thing that has an audit line."""
    with Line(server.address("imap"), source="127.0.0.1") as line:
        line.line()
        line.login(password="wrong")
        line.login()
        line.ask("b CREATE Doomed")
        line.ask("c APPEND INBOX (\\Deleted) {5+}\r\nhello")
        line.ask("d APPEND INBOX (\\Deleted) {5+}\r\nhello")
        line.ask("e SELECT INBOX")
        line.ask("f EXPUNGE")
        line.ask("g APPEND Trash {5+}\r\nhello")
        line.ask("h DELETE Doomed")
        line.ask("i SETACL INBOX bob lr")
        line.ask("j UNAUTHENTICATE")
        line.ask("k LOGIN carol secret")
        line.ask('l SETQUOTA "user/bob" (MESSAGE 1000)')
        line.ask("m LOGOUT")
    with Sieve(server.address("managesieve")) as sieve:
        sieve.login()
        assert sieve.ask('PUTSCRIPT "a" "keep;"')[0] == sieve.ask('SETACTIVE "a"')[0] == sieve.ask('RENAMESCRIPT "a" "b"')[0] == "OK"
        assert sieve.ask('SETACTIVE ""')[0] == sieve.ask('DELETESCRIPT "b"')[0] == "OK"
    server.reload(sessions_per_user=1)
    first = Imap(server.address("imap"), "alice", posthorn.PASSWORD)
    with pytest.raises(Refused):
        Imap(server.address("imap"), "alice", posthorn.PASSWORD)
    first.command("LOGOUT")
    server.reload(sessions_per_user=1000)
    if os.getuid() == 0:
        verb_as_stranger(server)


def verb_as_stranger(server):
    """The socket's mode keeps others out, so it is opened for them first."""
    for path, mode in ((server.dir, 0o755), (server.data, 0o755), (server.data / "admin.sock", 0o666)):
        path.chmod(mode)
    pid = os.fork()
    if pid == 0:
        try:
            with socket.socket(socket.AF_UNIX) as s:
                os.setgid(60)
                os.setuid(5)
                s.settimeout(10)
                s.connect(str(server.data / "admin.sock"))
                s.recv(1)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    (server.data / "admin.sock").chmod(0o600)
    server.data.chmod(0o700)


def documented():
    """{audit: (levels, fields that are always there, fields that may be)} of docs/logs.md."""
    found = {}
    for line in LOGS.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and (name := re.fullmatch(r"`([a-z-]+)`", cells[0])):
            fields = re.findall(r"`(\w+)`(\?)?", cells[3])
            found[name[1]] = {f for f, maybe in fields if not maybe}, {f for f, maybe in fields if maybe}
    return found


def test_every_audit_line_is_as_its_page_says(server):
    names = set(re.findall(r'(?m)^AUDIT\(\w+,\s*"([a-z-]+)"\)', (posthorn.ROOT / "src/base/audit.def").read_text()))
    told = documented()
    assert set(told) == names, "docs/logs.md and audit.def tell the same"
    provoke(server)
    missing = lambda: names - {row["audit"] for row in rows(server) if "audit" in row} - ({"verb-denied"} if os.getuid() else set())
    try:
        wait_for(lambda: not missing())
    except AssertionError:
        raise AssertionError(missing()) from None
    common = {"time", "level", "role", "service", "event", "audit", "truncated"}
    for row in rows(server):
        if "audit" not in row:
            continue
        always, maybe = told[row["audit"]]
        have = set(row) - common
        assert always <= have <= always | maybe, (row, always - have, have - always - maybe)
    by_name = {name: [row for row in rows(server) if row.get("audit") == name] for name in names}
    expunged = [row for row in by_name["expunged"] if row["messages"] == 2]
    assert expunged and expunged[-1]["mailbox"] == "INBOX" and expunged[-1]["command"] == "EXPUNGE"
    assert by_name["mailbox-deleted"][-1]["mailbox"] == "Doomed" and by_name["quota"][-1]["by"] == "carol"
    assert by_name["verb"][-1]["uid"] == os.getuid() and by_name["rights"][-1]["is"] == "lr"
    assert by_name["login-refused"][-1]["code"] == "LIMIT"
    out = [row for row in by_name["logout"] if row["user"] == "carol"][-1]
    assert out["in"] > 0 and out["out"] > out["in"]
