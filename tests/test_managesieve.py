"""ManageSieve (RFC 5804): every command and response code, by octets, in pieces and pipelined; logins, STARTTLS, hostile input."""
import base64
import json
import re
import ssl
import subprocess
import threading
import time

import pytest

from lib import client, peers, scram, server as posthorn
from lib.managesieve import Closed, Sieve, literal, plain, table
from lib.peers import free_ports
from lib.proxied import header
from lib.waiting import wait_for

KEEP = b"keep;\r\n"
SIX = b'redirect "a@example.org";\r\n' * 6
FOREIGN = b'CHECKSCRIPT "require [\\"enotify\\"];\tif valid_notify_method \\"tel:1\\" { notify \\"tel:1\\"; }"'


@pytest.fixture(scope="module", name="server")
def run_server():
    made = posthorn.Server({"sieve_redirects": 5, "log_format": "json", "proxy_networks": ["127.0.0.3"], "trusted_networks": ["127.0.0.2"]})
    for name in ("ann", "dora"):
        made.user_add(name)
    wait_for(lambda: "SCRAM" in table(Sieve(at(made)).greeting)["SASL"], seconds=30)  # auth has said what works
    yield made
    made.stop()


@pytest.fixture(scope="module", name="closed")
def run_without_plaintext():
    """Passwords under TLS only."""
    made = posthorn.Server({"test_split_io": True, "test_idle_time": "3s", "test_preauth_time": "4s", "log_format": "json", "unauthenticate": False}, plaintext=False)
    wait_for(lambda: "SCRAM" in table(Sieve(at(made)).secure().greeting)["SASL"], seconds=30)  # auth has said what works
    yield made
    made.stop()


def at(server):
    return server.address("managesieve")


def session(server, user="alice", password=posthorn.PASSWORD):
    made = Sieve(at(server))
    assert made.login(user, password)[0] == "OK"
    return made


def fresh(server, name):
    user = server.fresh_user(name)
    return session(server, user)


def rows(server):
    return [json.loads(line) for line in server.stderr().splitlines() if line.startswith("{")]


# ---- a conversation: command, then status, code, text (a pattern), data ----

STORY = [
    (b"LISTSCRIPTS", "OK", "", "Listscripts", []),
    (b'PUTSCRIPT "a" ' + literal(KEEP), "OK", "", "stored", []),
    (b'putscript {1+}\r\nb "discard;"', "OK", "", "stored", []),
    (b'PUTSCRIPT "c\\"\\\\d" "stop;"', "OK", "", "stored", []),
    (b'Setactive "a"', "OK", "", "activated", []),
    (b"LISTSCRIPTS", "OK", "", "", [[b"a", "ACTIVE"], [b"b"], [b'c"\\d']]),
    (b'GETSCRIPT "a"', "OK", "", "", [[KEEP]]),
    (b'GETSCRIPT "none"', "NO", "NONEXISTENT", "no script", []),
    (b'DELETESCRIPT "a"', "NO", "ACTIVE", "active", []),
    (b'DELETESCRIPT "none"', "NO", "NONEXISTENT", "", []),
    (b'DELETESCRIPT "b"', "OK", "", "deleted", []),
    (b'RENAMESCRIPT "a" "c\\"\\\\d"', "NO", "ALREADYEXISTS", "", []),
    (b'RENAMESCRIPT "none" "x"', "NO", "NONEXISTENT", "", []),
    (b'RENAMESCRIPT "a" {2+}\r\n\xc3\xa9', "OK", "", "renamed", []),
    (b"LISTSCRIPTS", "OK", "", "", [[b'c"\\d'], [b"\xc3\xa9", "ACTIVE"]]),
    (b'SETACTIVE "none"', "NO", "NONEXISTENT", "", []),
    (b'SETACTIVE ""', "OK", "", "No script", []),
    (b'SETACTIVE {0+}\r\n', "OK", "", "No script", []),
    (b'CHECKSCRIPT "keep;"', "OK", "", "No mistakes", []),
    (b'CHECKSCRIPT ""', "OK", "", "No mistakes", []),
    (b'CHECKSCRIPT ' + literal("#comment\r\nInvalidSieveCommand\r\n"), "NO", "", "line 3, column 1: ", []),
    (b'PUTSCRIPT "bad" "require \\"nothing\\"; keep;"', "NO", "", "line 1, column", []),
    (b'CHECKSCRIPT "if ihave \\"nothing\\" { keep; }"', "NO", "", "line 1", []),
    (b'CHECKSCRIPT "require \\"ihave\\"; if ihave \\"nothing\\" { nothing; }"', "OK", "", "", []),
    (b'PUTSCRIPT "w" ' + literal(SIX), "OK", "WARNINGS", "^line 6: .* 5 addresses", []),
    (b'CHECKSCRIPT ' + literal(SIX), "OK", "WARNINGS", "line 6", []),
    (b'PUTSCRIPT "e" ""', "NO", "", "one octet", []),
    (b'PUTSCRIPT "" "keep;"', "NO", "", "name", []),
    (b'PUTSCRIPT "a\x07" "keep;"', "NO", "", "name", []),
    (b'PUTSCRIPT {3+}\r\n\xe2\x80\xa8 "keep;"', "NO", "", "name", []),
    (b'PUTSCRIPT {1+}\r\n\xff "keep;"', "NO", "", "name", []),
    (b'PUTSCRIPT "' + b"n" * 513 + b'" "keep;"', "NO", "", "name", []),
    (b'HAVESPACE "a" 435', "OK", "", "", []),
    (b'HAVESPACE "a" 1048576', "OK", "", "", []),
    (b'HAVESPACE "a" 1048577', "NO", "QUOTA/MAXSIZE", "", []),
    (b'HAVESPACE "a" 4294967295', "NO", "QUOTA/MAXSIZE", "", []),
    (b'HAVESPACE "" 1', "NO", "", "name", []),
    (b'HAVESPACE "a" 0', "NO", "", "one octet", []),
    (b'HAVESPACE {1+}\r\na 1', "OK", "", "", []),
    (b"CHECKSCRIPT {16+}\r\nkeep;\r\n# \xff\r\n\xff\xff\r\n", "NO", "", "^line 2, column 1: this line is no UTF-8$", []),
    (FOREIGN, "OK", "WARNINGS", "^line 1: .* mailto: only", []),
    (b"RENAMESCRIPT {5+}\r\nc\"\\d\x7f {1+}\r\nq", "NO", "", "name", []),
    (b'RENAMESCRIPT {4+}\r\nc"\\d {1+}\r\nq', "OK", "", "renamed", []),
    (b'RENAMESCRIPT "q" {4+}\r\nc"\\d', "OK", "", "renamed", []),
    (b'RENAMESCRIPT "w" "w"', "NO", "ALREADYEXISTS", "", []),
    (b"NOOP", "OK", "", "NOOP", []),
    (b'NOOP "STARTTLS-SYNC-42"', "OK", "TAG", "Done", [[b"STARTTLS-SYNC-42"]]),
    (b"NOOP {3+}\r\na\r\n", "OK", "TAG", "", [[b"a\r\n"]]),
    (b'NOOP ""', "OK", "TAG", "", [[b""]]),
    (b'AUTHENTICATE "PLAIN" "' + plain("alice", "secret") + b'"', "NO", "", "already", []),
    (b"STARTTLS", "NO", "", "already", []),
    (b"LISTSCRIPTS", "OK", "", "", [[b'c"\\d'], [b"w"], [b"\xc3\xa9"]]),
]
# Wrong in form; the connection goes on.
BAD = [b"", b"XYZZY", b"LISTSCRIPTS x", b"LISTSCRIPTS ", b" LISTSCRIPTS", b"GETSCRIPT", b"GETSCRIPT a", b'GETSCRIPT  "a"', b'GETSCRIPT "a" "b"', b'GETSCRIPT "a',
       b'GETSCRIPT "\\a"', b'GETSCRIPT "\xff"', b'GETSCRIPT "a\0"', b'HAVESPACE "a"', b'HAVESPACE "a" x', b'HAVESPACE "a" 01', b'HAVESPACE "a" 4294967296',
       b'HAVESPACE "a" "1"', b'PUTSCRIPT "a"', b'"GETSCRIPT" "a"']


def check(answer, want):
    command, status, code, text, data = want
    assert answer[:2] == (status, code) and re.search(text, answer[2]) and answer[3] == data, (command, answer)


def test_every_command(server):
    with fresh(server, "step") as s:
        for want in STORY:
            check(s.ask(want[0]), want)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_pipelined(server, size):
    """All commands at once, and in pieces: the same answers."""
    with fresh(server, "pipe") as s:
        text = b"".join(want[0] + b"\r\n" for want in STORY)
        for i in range(0, len(text), size or len(text)):
            s.send(text[i:i + (size or len(text))])
        for want in STORY:
            check(s.answer(), want)


def test_bad_commands(server):
    with fresh(server, "bad") as s:
        for command in BAD:
            assert s.ask(command)[:2] == ("NO", ""), command
            assert s.ask("NOOP")[0] == "OK"
        text = b"XYZZY\r\n" * 20
        s.send(text)
        answers = [s.answer()[0] for _ in range(21)]
        assert answers == ["NO"] * 20 + ["BYE"]
        with pytest.raises(Closed):
            s.answer()


def test_capabilities(server):
    """RFC 5804 section 1.7: those that must be there, before and after login; OWNER after it only."""
    with Sieve(at(server)) as s:
        before = table(s.greeting)
        assert before == s.capabilities()
        assert s.login()[0] == "OK"
        after = s.capabilities()
    assert before["VERSION"] == after["VERSION"] == "1.0" and before["IMPLEMENTATION"].startswith("Posthorn ")
    listed = subprocess.run([posthorn.binary(), "sieve", "check", "/dev/stdin"], input=b'require ["%s"];' % before["SIEVE"].replace(" ", '","').encode(),
                            stdout=subprocess.PIPE, check=False, env=posthorn.environment())
    assert listed.returncode == 0 and before["SIEVE"] == after["SIEVE"] and {"fileinto", "vacation", "include"} <= set(before["SIEVE"].split())
    assert (before["NOTIFY"], before["MAXREDIRECTS"], before["LANGUAGE"], before["EXTLISTS"]) == ("mailto", "5", "en", "urn")
    assert "PLAIN" in before["SASL"].split() and "SCRAM-SHA-256" in before["SASL"].split() and "-PLUS" not in before["SASL"]
    assert before["STARTTLS"] is None and "OWNER" not in before and "UNAUTHENTICATE" not in before
    assert after["SASL"] == before["SASL"]
    assert after["OWNER"] == "alice" and after["UNAUTHENTICATE"] is None and "STARTTLS" not in after


# ---- large ones ----

def test_too_large(server):
    """Literals that are too large are read to their end, and refused; the connection goes on. CHECKSCRIPT knows no quota."""
    big = b"#" * (1 << 20) + b"\n"
    with fresh(server, "large") as s:
        assert s.ask(b'PUTSCRIPT "full" ' + literal(big[:-2] + b"\n"))[0] == "OK"
        assert s.ask(b'GETSCRIPT "full"')[3] == [[big[:-2] + b"\n"]]
        for size in (len(big), 3 << 20):
            script = b"x" * size
            s.send(b'PUTSCRIPT "big" ' + literal(script) + b'\r\nCHECKSCRIPT ' + literal(script) + b"\r\nLISTSCRIPTS\r\n")
            assert s.answer()[:2] == ("NO", "QUOTA/MAXSIZE")
            assert s.answer()[:2] == ("NO", "")
            assert s.answer()[3] == [[b"full"]]
        for name in b"abc":
            assert s.ask(b'PUTSCRIPT "%c" ' % name + literal(big[:-1]))[0] == "OK"
        assert s.ask(b'PUTSCRIPT "d" "keep;"')[:2] == ("NO", "QUOTA")
        assert s.ask(b'HAVESPACE "d" 5')[:2] == ("NO", "QUOTA")
        assert s.ask(b'PUTSCRIPT "a" "keep;"')[0] == "OK"


def test_too_many(server):
    with fresh(server, "many") as s:
        s.send(b"".join(b'PUTSCRIPT "%d" "keep;"\r\n' % n for n in range(101)))
        assert [s.answer()[:2] for n in range(101)] == [("OK", "")] * 100 + [("NO", "QUOTA/MAXSCRIPTS")]
        assert s.ask('HAVESPACE "x" 1')[:2] == ("NO", "QUOTA/MAXSCRIPTS")
        assert s.ask('HAVESPACE "7" 1')[0] == "OK"
        assert s.ask('RENAMESCRIPT "7" "x"')[0] == "OK"


@pytest.mark.parametrize("sent, logged_in", [(b"NOOP {5}\r\n", True), (b"NOOP {5}\r\n", False), (b"A" * 70000, True), (b"A" * 8200, False), (b"NOOP {9000+}\r\n", False),
                                             (b"PUTSCRIPT \"a\" {99999999999999999999+}\r\n" + b"x" * 100, None)])
def test_fatal(server, sent, logged_in):
    """What cannot be read on ends the connection by BYE: synchronising literals, endless lines."""
    if logged_in is None:  # thrown away while it comes
        with session(server) as s:
            s.send(sent)
            s.close()
        return
    with session(server) if logged_in else Sieve(at(server)) as s:
        s.send(sent)
        assert s.answer()[0] == "BYE"
        with pytest.raises(Closed):
            s.answer()


# ---- before login ----

def test_before_login(server):
    for command in ("LISTSCRIPTS", 'GETSCRIPT "a"', "UNAUTHENTICATE", 'PUTSCRIPT "a" "keep;"'):
        with Sieve(at(server)) as s:
            assert s.ask(command)[:2] == ("NO", "")
            assert s.ask('NOOP "x"')[1] == "TAG"
            assert s.ask("LOGOUT")[0] == "OK"
            with pytest.raises(Closed):
                s.answer()
    with Sieve(at(server)) as s:
        assert [s.ask(b"x\0y")[0], s.ask('AUTHENTICATE "PLAIN')[0], s.ask("AUTHENTICATE PLAIN")[0]] == ["NO"] * 3
        assert s.answer()[0] == "BYE"


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /x HTTP/1.0\r\n\r\nAUTHENTICATE\r\n"])
def test_http(server, first):
    with Sieve(at(server)) as s:
        s.send(first)
        assert s.answer()[0] == "BYE"
        with pytest.raises(Closed):
            s.answer()


def exchange(s, first, *responses):
    s.send(first + b"\r\n")
    said = []
    for response in responses:
        said.append(s.line())
        s.send(response + b"\r\n")
    return said, s.answer()


def test_authenticate(server):
    """Initial responses, quoted and as literals; challenges; what is no base64, and an exchange given up."""
    good = plain("alice", "secret")
    for command, *responses in ((b'AUTHENTICATE "PLAIN" "%s"' % good,), (b'authenticate "plain" ' + literal(good),), (b'AUTHENTICATE {5+}\r\nPLAIN', b'"%s"' % good),
                                (b'AUTHENTICATE "PLAIN"', literal(good)),
                                (b'AUTHENTICATE "LOGIN"', b'"%s"' % base64.b64encode(b"alice"), literal(base64.b64encode(b"secret")))):
        with Sieve(at(server)) as s:
            said, answer = exchange(s, command, *responses)
            assert answer[:2] == ("OK", "") and len(said) == len(responses), (command, answer)
            assert s.ask("LISTSCRIPTS")[0] == "OK"
    for command, *responses in ((b'AUTHENTICATE "PLAIN" "%s"' % plain("alice", "wrong"),), (b'AUTHENTICATE "XYZ"',), (b'AUTHENTICATE "PLAIN" "***"',),
                                (b'AUTHENTICATE "PLAIN"', b'"*"'), (b'AUTHENTICATE "PLAIN"', b"{1+}\r\n*"), (b'AUTHENTICATE "PLAIN"', good), (b'AUTHENTICATE "PLAIN"', b'"!"')):
        with Sieve(at(server)) as s:
            said, answer = exchange(s, command, *responses)
            assert answer[:2] == ("NO", "") and len(said) == len(responses), (command, answer)
            assert s.login()[0] == "OK"


class Words:
    """What lib.scram takes for an IMAP connection."""

    def __init__(self, sieve):
        self.sieve = sieve

    def send(self, data):
        words = data.strip().split(b" ")
        if words[0] == b"a":
            data = b'AUTHENTICATE "%s"' % words[2] + (b' "%s"' % words[3] if len(words) > 3 else b"")
        else:
            data = b'"%s"' % data.strip()
        self.sieve.send(data + b"\r\n")

    def line(self):
        words = self.sieve.line()
        if isinstance(words[0], bytes):
            return b"+ " + words[0]
        return b"a %s %s " % (words[0][0].encode(), words[0][1].encode()) + b" ".join(w for w in words[1:] if isinstance(w, bytes))


@pytest.mark.parametrize("initial", [True, False])
def test_scram(server, initial):
    """RFC 5804 section 2.1: the last data of SASL come in the OK."""
    with Sieve(at(server)) as s:
        line = scram.login(Words(s), "a", "dora", posthorn.PASSWORD, initial=initial)
        assert line.startswith(b"a OK SASL "), line
        assert base64.b64decode(line.split()[3]).startswith(b"v=")
        assert s.ask("LISTSCRIPTS")[0] == "OK"


# ---- TLS ----

def test_starttls(closed):
    """No password without it, the capabilities anew behind it, SCRAM-PLUS there, no second one."""
    with Sieve(at(closed)) as s:
        assert table(s.greeting)["SASL"] == "" and "STARTTLS" in table(s.greeting)
        assert s.login()[:2] == ("NO", "ENCRYPT-NEEDED")
        s.secure()
        told = table(s.greeting)
        assert "STARTTLS" not in told and {"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"} <= set(told["SASL"].split()) and told == s.capabilities()
        assert s.ask("STARTTLS")[0] == "NO"
        assert s.login()[0] == "OK"
        assert "UNAUTHENTICATE" not in s.capabilities() and s.ask("UNAUTHENTICATE")[0] == "NO"
        for want in STORY[:9]:  # an octet at a time, in both directions
            check(s.ask(want[0]), want)


@pytest.mark.parametrize("wait", [False, True])
def test_starttls_injection(closed, wait):
    behind = b"NOOP \"inj\"\r\n"
    with Sieve(at(closed)) as s:
        s.send(b"STARTTLS\r\n" if wait else b"STARTTLS\r\n" + behind)
        if wait:
            time.sleep(0.01)
            s.send(behind)
        try:
            while True:
                assert b"inj" not in s.unread
                s.more()
        except Closed as end:
            assert b"inj" not in end.args[0]


def test_alpn(closed):
    with Sieve(at(closed)) as s:
        assert s.ask("STARTTLS")[0] == "OK"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["managesieve"])
        with context.wrap_socket(s.socket, server_hostname="localhost") as tls:
            assert tls.selected_alpn_protocol() == "managesieve"


def test_silence(closed):
    """RFC 5804 section 1.2: BYE where nothing is said for too long, before login and after it."""
    with Sieve(at(closed)) as stranger, Sieve(at(closed)) as s:
        s.secure()
        assert s.login()[0] == "OK"
        assert s.answer()[0] == "BYE" and stranger.answer()[0] == "BYE"
        for each in (s, stranger):
            with pytest.raises(Closed):
                each.answer()


# ---- who may, and who is told of it ----

def verb(server, *words):
    return [json.loads(line) for line in posthorn.run_verb(*words, "--json", "--data", server.data).splitlines()]


def test_passwords_of_devices(server):
    """An app password is for some protocols, and perhaps for reading only; a user has some protocols only."""
    word = {name: verb(server, "user", "password", "add", "bob", name, *more)[0]["password"]
            for name, more in (("mail", ("--protocol", "imap")), ("sieve", ("--protocol", "managesieve")), ("look", ("--read-only",)))}
    with Sieve(at(server)) as s:
        assert s.login("bob", word["mail"])[:2] == ("NO", "")
        assert s.login("bob", word["sieve"])[0] == "OK"
        assert s.ask('PUTSCRIPT "a" "keep;"')[0] == "OK"
    with session(server, "bob", word["look"]) as s:
        for command in ('PUTSCRIPT "b" "keep;"', 'SETACTIVE "a"', 'SETACTIVE ""', 'DELETESCRIPT "a"', 'RENAMESCRIPT "a" "b"'):
            assert s.ask(command)[:2] == ("NO", "") and s.ask('GETSCRIPT "a"')[3] == [[b"keep;"]]
        row = verb(server, "who", "bob")[0]
        assert (row["service"], row["read_only"], row["device"]) == ("managesieve", True, "look")
    verb(server, "user", "set", "bob", "protocols=imap,lmtp")
    with Sieve(at(server)) as s:
        assert s.login("bob")[:2] == ("NO", "")
    verb(server, "user", "set", "bob", "protocols=default")
    with session(server, "bob"):
        pass


def test_who_kick_and_log(server):
    since = len(rows(server))
    s = session(server, "carol")
    assert s.ask('PUTSCRIPT "x" "keep;"')[0] == s.ask('SETACTIVE "x"')[0] == s.ask('RENAMESCRIPT "x" "y"')[0] == s.ask('SETACTIVE ""')[0] == "OK"
    assert s.ask('DELETESCRIPT "y"')[0] == "OK"
    row, = verb(server, "who", "carol")
    assert (row["service"], row["rip"], row["tls"], row["idling"]) == ("managesieve", "127.0.0.1", False, False) and row["in"] > 50
    assert verb(server, "kick", "carol") == [{"type": "kicked", "sessions": 1}]
    with pytest.raises(Closed):
        s.answer()
    wait_for(lambda: verb(server, "who", "carol") == [], seconds=30)
    told = wait_for(lambda: [r for r in rows(server)[since:] if r.get("user") == "carol"] if any(r.get("audit") == "logout" for r in rows(server)[since:]) else None, seconds=30)
    assert [r["audit"] for r in told] == ["login", *["script"] * 5, "logout"], told
    assert told[0]["service"] == "managesieve-login" and told[0]["method"] == "PLAIN" and told[-1]["service"] == "managesieve"
    assert [(r["event"], r.get("script"), r.get("to")) for r in told[1:-1]] == [
        ("script stored", "x", None), ("script activated", "x", None), ("script renamed", "x", "y"), ("script activated", None, None), ("script deleted", "y", None)]


def test_rawlog(server):
    """What a session says is written down, but for what may be a password."""
    with session(server, "ann") as s:
        assert verb(server, "rawlog", "ann", "on")[0]["sessions"] == 1
        assert s.ask('PUTSCRIPT "shown" "keep;"')[0] == "OK"
        assert s.ask(b'AUTHENTICATE "PLAIN" "c2VjcmV0"')[0] == s.ask("hidden2")[0] == "NO"
        assert verb(server, "rawlog", "ann", "off")[0]["sessions"] == 1
    path, = wait_for(lambda: list((server.data / "rawlog").glob("ann*")), seconds=30)
    text = wait_for(lambda: path.read_text() if "Unknown" in path.read_text() else None, seconds=30)
    assert 'PUTSCRIPT "shown" "keep;"' in text and 'OK "Script stored."' in text and "service=managesieve" in text
    assert "c2VjcmV0" not in text and "hidden2" not in text and text.count("[hidden]") == 2


def test_unauthenticate(server):
    """RFC 5804 section 2.14.1: the connection is before login again; TLS stays."""
    for tls in (False, True):
        with Sieve(at(server)) as s:
            if tls:
                s.secure()
            assert s.login()[0] == "OK"
            s.send(b'UNAUTHENTICATE\r\nNOOP "behind"\r\n')
            assert s.answer()[0] == "OK" and s.answer()[3] == [[b"behind"]]
            assert s.ask("LISTSCRIPTS")[0] == "NO" and "OWNER" not in s.capabilities()
            assert s.login("carol")[0] == "OK" and s.capabilities()["OWNER"] == "carol"


def test_proxy(server):
    """A header of the PROXY protocol stands before the greeting, and its address counts."""
    port = free_ports(1)[0]
    text = server.config.read_text()
    server.config.write_text(re.sub(r'(?m)^managesieve = { (.*) }$', rf'managesieve = {{ \1, "127.0.0.1:{port} proxy" }}', text))
    posthorn.run_verb("reload", "-c", server.config)
    with Sieve(("127.0.0.1", port), source="127.0.0.3", greet=False) as s:
        s.send(header("203.0.113.7"))
        assert s.answer()[0] == "OK" and s.login()[0] == "OK"
        assert verb(server, "who", "alice")[0]["rip"] == "203.0.113.7"


def test_drain_and_delivery_of_scripts():
    """A server that ends says so; scripts are there when it is back, and the verbs see them."""
    server = posthorn.Server()
    stranger, s = Sieve(at(server)), session(server)
    for want in STORY[:9]:
        check(s.ask(want[0]), want)
    server.restart()
    for each in (stranger, s):
        assert each.answer()[:2] == ("BYE", "TRYLATER")
    assert posthorn.run_verb("sieve", "list", "--user", "alice", "--data", server.data).split(b"\n")[0] == b"a\t7\tactive"
    with session(server) as again:
        assert again.ask("LISTSCRIPTS")[3][0] == [b"a", "ACTIVE"]
    server.stop()


def test_replaced_while_it_runs(server):
    """PUTSCRIPT on the active script, RENAMESCRIPT of it, SETACTIVE to another: each message goes by one version as a whole, and none fails."""
    versions = {name: b'require ["fileinto", "mailbox"];\r\n' + b'if header :contains "subject" "nothing" { stop; }\r\n' * 200 +
                b'fileinto :create "%s1"; fileinto :create "%s2";\r\n' % (name, name) for name in (b"A", b"B", b"C")}
    user = server.fresh_user("change")
    with session(server, user) as s:
        assert s.ask(b'PUTSCRIPT "main" ' + literal(versions[b"A"]))[0] == s.ask('SETACTIVE "main"')[0] == "OK"
        assert s.ask(b'PUTSCRIPT "other" ' + literal(versions[b"C"]))[0] == "OK"
        delivered = threading.Thread(target=deliver_many, args=(server, user, 60))
        delivered.start()
        rounds = 0
        while delivered.is_alive() or rounds < 3:
            rounds += 1
            for command in (b'PUTSCRIPT "main" ' + literal(versions[b"B"]), b'RENAMESCRIPT "main" "x"', b'SETACTIVE "other"', b'PUTSCRIPT "x" ' + literal(versions[b"A"]),
                            b'RENAMESCRIPT "x" "main"', b'SETACTIVE "main"'):
                assert s.ask(command)[0] == "OK", command
        delivered.join()
    imap = server.imap(user)
    counts = {name: imap.select(name)["EXISTS"] for name in [f"{v}{i}" for v in "ABC" for i in "12"] if (name.encode() in b" ".join(imap.command('LIST "" "*"')[0]))}
    assert sum(counts.values()) == 120 and imap.select("INBOX")["EXISTS"] == 0, counts
    assert all(counts.get(f"{v}1") == counts.get(f"{v}2") for v in "ABC"), counts


def deliver_many(server, user, n):
    lmtp = client.Lmtp(server.address("lmtp"))
    for i in range(n):
        lmtp.deliver(user, b"Subject: %d\r\n\r\nbody\r\n" % i)
    lmtp.close()


# ---- a client of others ----

class Dovecot(peers.Dovecot):
    """With Pigeonhole's ManageSieve."""

    def __init__(self):
        self.sieve, = free_ports(1)
        self.more = peers.TESTED + f"""
protocols = imap lmtp sieve
service managesieve-login {{
  chroot =
  inet_listener sieve {{
    port = {self.sieve}
  }}
}}
"""
        super().__init__()


# What Pigeonhole says to these: no warnings, an unknown method of notification is a mistake, and empty scripts are stored (RFC 5804 section 2.6 would have them refused).
DIFFERS = {FOREIGN: ("NO", ""), b'PUTSCRIPT "w" ' + literal(SIX): ("OK", ""), b"CHECKSCRIPT " + literal(SIX): ("OK", ""), b'PUTSCRIPT "e" ""': ("OK", "")}


def test_dovecot_agrees():
    """The test is tested: Pigeonhole gives the same answers, but for those above; it lists scripts in any order."""
    own = Dovecot()
    try:
        with Sieve(("127.0.0.1", own.sieve)) as s:
            assert s.login()[0] == "OK"
            for command, status, code, _, data in STORY:
                answer = s.ask(command)
                assert answer[:2] == DIFFERS.get(command, (status, code)), (command, answer)
                assert sorted(map(str, answer[3])) == sorted(map(str, data + ([[b"e"]] if [b"w"] in data else []))), (command, answer)
    finally:
        own.stop()


def test_sieve_connect(server, tmp_path):
    """Debian's sieve-connect, by TLS: upload, list, activate, download, delete; and an error that it shows."""
    script, bad, got = tmp_path / "mine.sieve", tmp_path / "bad.sieve", tmp_path / "got.sieve"
    script.write_bytes(KEEP)
    bad.write_bytes(b"keep")

    def run(*words, fails=False):
        done = subprocess.run(["sieve-connect", "--server", "127.0.0.1", "--port", str(at(server)[1]), "--nosslverify", "--user", "dora", "--passwordfd", "0",
                               *map(str, words)], input=b"secret\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    run("--localsieve", script, "--remotesieve", "mine", "--upload")
    assert b'"mine"' in run("--list") and b"ACTIVE" not in run("--list")
    run("--remotesieve", "mine", "--activate")
    assert b"ACTIVE" in run("--list").upper()
    run("--remotesieve", "mine", "--localsieve", got, "--download")
    assert got.read_bytes().split() == KEEP.split()
    assert b"line 1, column 5" in run("--localsieve", bad, "--remotesieve", "bad", "--upload", fails=True)
    run("--deactivate")
    run("--remotesieve", "mine", "--delete")
    assert b"mine" not in run("--list")
    tls = [row for row in rows(server) if row.get("audit") == "login" and row["user"] == "dora" and row["tls"]]
    assert len(tls) >= 9
