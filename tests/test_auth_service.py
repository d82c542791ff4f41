"""Dovecot's authentication protocol (auth_service), as Postfix and Exim speak it: every message, every cut of the input, garbage, many at once,
and who may send mail. One server for all of it; the agents themselves are in tests/clients."""
import os
import re
import signal
import threading
import time

import pytest

from lib import long, server as posthorn
from lib.asker import Asker, Line, b64, plain
from lib.client import Imap
from lib.peers import free_ports
from lib.wire import Closed

ABORTS = 100_000 if long.LONG else 10_000
REQUESTS = 256  # LIMIT_mta_requests
LINE = 16384  # LIMIT_mta_line


def verb(server, *words, stdin=b""):
    return posthorn.run_verb(*words, "-c", server.config, stdin=stdin).decode()


def app_password(server, user, label, *options):
    return re.search(r"[a-km-z2-9]{6}(?:-[a-km-z2-9]{6}){3}", verb(server, "user", "password", "add", user, label, *options))[0]


@pytest.fixture(scope="module", name="server")
def one_server():
    own = posthorn.Server({"master_users": ["carol"], "auth_master_separator": "*", "auth_scram": "always"}, start=False)
    own.path, own.port = str(own.dir / "auth.sock"), free_ports(1)[0]
    own.settings["auth_service"] = [f"unix:{own.path}", f"127.0.0.1:{own.port}"]
    own.write_config()
    own.start()
    own.device = app_password(own, "bob", "quick")  # costs no hash
    yield own
    own.stop()


@pytest.fixture(name="asker")
def one_asker(server):
    asker = Asker(server.path)
    yield asker
    asker.close()
    server.check_reports()


def logged(server, pattern, since, seconds=20):
    """The line of the log that has it; what was there before `since` does not count."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in server.stderr()[since:].splitlines():
            if re.search(pattern, line):
                return line
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} in:\n" + server.stderr()[since:][-3000:])


def test_handshake(server):
    for address in (server.path, ("127.0.0.1", server.port)):
        first, second = Asker(address), Asker(address)
        kinds = [line.split("\t")[0] for line in first.hello]
        assert kinds == ["VERSION", *["MECH"] * 4, "SPID", "CUID", "COOKIE", "DONE"]
        assert first.hello[0] == "VERSION\t1\t2" and re.fullmatch(r"COOKIE\t[0-9a-f]{32}", first.hello[-2])
        assert first.mechanisms() == {"SCRAM-SHA-256": ["dictionary", "mutual-auth"], "SCRAM-SHA-1": ["dictionary", "mutual-auth"],
                                      "PLAIN": ["plaintext"], "LOGIN": ["plaintext"]}
        assert first.hello[-3:-1] != second.hello[-3:-1] and first.hello[-4] == second.hello[-4]
        first.close()
        second.close()


def test_the_list_follows_the_offer(server):
    before = Asker(server.path)
    server.reload(auth_scram="never")
    after = Asker(server.path)
    assert set(after.mechanisms()) == {"PLAIN", "LOGIN"} and len(before.mechanisms()) == 4
    assert before.login("alice", server.password).kind == after.login("alice", server.password).kind == "OK"
    server.reload(auth_scram="always")
    assert len(Asker(server.path).mechanisms()) == 4


@pytest.mark.parametrize("hello", ["VERSION\t2\t0\nCPID\t1\n", "CPID\t1\nVERSION\t1\t2\n", "VERSION\t1\t2\nAUTH\t1\tPLAIN\tservice=smtp\n",
                                   "VERSION\t1\t2\nVERSION\t1\t2\n", "VERSION\t1\nCPID\t1\n", "EHLO x\r\n", "\n", "GET / HTTP/1.1\r\n\r\n",
                                   "VERSION\t1\t2\nCPID\tx\n", "\0" * 100 + "\n", "x" * (LINE + 1)], ids=range(11))
def test_wrong_hello(server, hello):
    asker = Asker(server.path, greet=False)
    asker.send(hello)
    assert asker.is_closed()


def test_plain_and_login(asker, server):
    assert asker.login("alice", server.password).user == "alice"
    assert asker.login("ALICE", server.password).user == "alice"
    for user, password in (("alice", "wrong"), ("nobody-here", server.password), ("alice", ""), ("a\tb\nc", "x")):
        said = asker.login(user, password)
        assert (said.kind, set(said.words)) == ("FAIL", {"user"}), said
    assert said.user == "a\001tb\001nc"
    for initial in (None, ""):  # Exim sends an empty one for none
        first = asker.auth("PLAIN", response=initial)
        assert (first.kind, first.data) == ("CONT", b"")
        assert asker.cont(first.id, b"\0bob\0" + server.password.encode()).user == "bob"
    first = asker.auth("login")
    assert first.data == b"Username:"
    second = asker.cont(first.id, b"alice")
    assert second.data == b"Password:"
    assert asker.cont(first.id, server.password.encode()).user == "alice"
    second = asker.auth("LOGIN", response=b64("alice"))
    assert second.data == b"Password:" and asker.cont(second.id, b"wrong").kind == "FAIL"


def test_scram(asker, server):
    for kind in ("sha256", "sha1"):
        for gs2 in ("n,,", "y,,"):  # no channel is bound here, so "y" is no downgrade
            last, with_ok = asker.scram("alice", server.password, kind=kind, gs2=gs2)
            assert (last.kind, last.user, with_ok) == ("OK", "alice", False)
        last, with_ok = asker.scram("alice", server.password, "final-resp-ok", kind=kind)
        assert (last.kind, last.user, with_ok) == ("OK", "alice", True)
        assert asker.scram("alice", "wrong", kind=kind)[0].kind == "FAIL"
        assert asker.scram("nobody-here", server.password, kind=kind)[0].kind == "FAIL"
    assert asker.scram("alice", server.password, gs2="n,a=bob,")[0].words["code"] == "authz_fail"
    assert asker.scram("carol", server.password, gs2="n,a=bob,")[0].words.get("user") == "bob"
    said = asker.auth("SCRAM-SHA-256", response=b64("n,,n=alice"))
    assert said.words["reason"] == "Invalid authentication data"


def test_what_is_refused(asker, server):
    for mechanism in ("SCRAM-SHA-256-PLUS", "EXTERNAL", "ANONYMOUS", "CRAM-MD5", "x" * 300):
        said = asker.auth(mechanism, "valid-client-cert", "cert_username=alice", response=b64("alice"))
        assert (said.kind, said.words["reason"]) == ("FAIL", "Unsupported authentication mechanism")
    for service in ("sm\001tp", "a b", "x" * 16, "<smtp>"):
        assert asker.auth("PLAIN", service=service, response=plain("alice", server.password)).kind == "FAIL"
    for response in ("====", "AA", "AA==AA==", "AGFs aWNl", "*", "AGFsaWNlAHNlY3JldA==\r", b64("x" * 8193)):
        assert asker.auth("PLAIN", response=response).words["reason"] == "Invalid authentication data"
    said = asker.auth("PLAIN", response=plain("alice", server.password) + "\trip=x\tsecured")  # nothing behind resp counts
    assert said.kind == "OK"
    for service in ("smtp", "submission", "Submissions", "xmpp"):
        assert asker.login("alice", server.password, service=service).kind == "OK"


def test_plaintext_wants_a_secured_client(asker, server):
    server.reload(plaintext_auth=False)
    since = len(server.stderr())
    try:
        for mechanism in ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"):
            said = asker.auth(mechanism, response=plain("alice", server.password))
            assert said.words == {"reason": "Plaintext authentication disallowed on non-secure (SSL/TLS) connections"}
        assert r"tried to use disallowed plaintext auth" in logged(server, "Aborted login", since)
        for word in ("secured", "secured=tls"):
            assert asker.login("alice", server.password, word).kind == "OK"
        assert asker.scram("alice", server.password)[0].kind == "OK"
    finally:
        server.reload(plaintext_auth=True)


def test_numbers(server, asker):
    assert asker.cont(99).words["reason"] == "Authentication request timed out"
    asker.send("CANCEL\t99\n")
    first = asker.auth("LOGIN")
    asker.send(f"CANCEL\t{first.id}\n")
    assert asker.cont(first.id).words["reason"] == "Authentication request timed out"
    asker.last = 2 ** 32 - 2
    last = asker.auth("LOGIN")
    assert last.id == 2 ** 32 - 1 and asker.cont(last.id, b"alice").data == b"Password:"
    asker.send(f"CONT\t{last.id}\t{b64(server.password)}\nCONT\t{last.id}\t{b64(server.password)}\n")
    assert asker.answer().words["reason"] == "Unexpected continuation"  # the second had not the word
    assert asker.cont(last.id).words["reason"] == "Authentication request timed out"
    for line in ("AUTH\t4294967296\tPLAIN\tservice=smtp", "AUTH\t-1\tPLAIN\tservice=smtp", "AUTH\t1\tPLAIN", "VERSION\t1\t2", "CPID\t1", "CONT",
                 "USER\t1\talice\tservice=smtp", "REQUEST\t1\t1\t1\t0"):
        other = Asker(server.path)
        other.send(line + "\n")
        assert other.is_closed(), line
    twice = Asker(server.path)
    twice.send("AUTH\t1\tLOGIN\tservice=smtp\nAUTH\t1\tLOGIN\tservice=smtp\n")
    assert twice.is_closed()


def conversation(server, user):
    """What is sent, and the numbers of OK that come of it."""
    return (f"VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=smtp\trip=127.0.0.1\tresp={plain(user, server.device)}\n"
            f"AUTH\t2\tLOGIN\tservice=smtp\nCANCEL\t2\nAUTH\t3\tPLAIN\tservice=smtp\tresp={plain(user, 'x')}\n").encode()


def verdicts(asker, count):
    found = {}
    while len(found) < count:
        line = asker.line()
        if line.startswith(("OK", "FAIL")):
            found[Line(line).id] = line.split("\t")[0]
    return found


def test_cuts(server):
    """Cut in two anywhere, or sent octet by octet, it is the same."""
    said, askers = conversation(server, "bob"), []
    for at in range(0, len(said), 1 if long.LONG else 3):
        askers.append(Asker(server.path, greet=False))
        askers[-1].send(said[:at])
        time.sleep(0.001)
        askers[-1].send(said[at:])
    for asker in askers:
        assert verdicts(asker, 2) == {1: "OK", 3: "FAIL"}
        asker.close()
    asker = Asker(server.path, greet=False)
    for octet in said:
        asker.send(bytes([octet]))
    assert verdicts(asker, 2) == {1: "OK", 3: "FAIL"}
    asker.close()
    server.check_reports()


def test_many_at_once(server, asker):
    """Each answer is that of its own number, in whatever order they come."""
    right, device = set(), server.device
    for n in range(200):
        user, password = (("bob", device), ("bob", "wrong"), ("nobody-here", device), ("alice", server.password))[n % 4 if n < 16 else n % 3]
        number = asker.ask("PLAIN", response=plain(user, password))
        right |= {number} if n % 4 in (0, 3) and n < 16 or n % 3 == 0 and n >= 16 else set()
    found = verdicts(asker, 200)
    assert {number for number, kind in found.items() if kind == "OK"} == right


def test_limits(server, asker):
    numbers = [asker.auth("LOGIN").id for _ in range(REQUESTS)]
    assert asker.login("alice", server.password).is_temporary
    asker.send(f"CANCEL\t{numbers[0]}\n")
    assert asker.login("alice", server.password).kind == "OK"
    others = []  # all connections together
    while len(others) < 8:
        others.append(Asker(server.path))
        answers = [others[-1].auth("LOGIN") for _ in range(REQUESTS)]
        if answers[-1].kind == "FAIL":
            break
    assert answers[-1].is_temporary and len(others) == 4
    for other in others:
        other.close()
    assert asker.login("alice", server.password).kind == "OK"
    padding = f"AUTH\t900\tPLAIN\tservice=smtp\tresp={plain('alice', server.password)}\t"
    asker.send(padding + "x" * (LINE - len(padding)) + "\n")
    assert asker.answer().kind == "OK"
    asker.send(padding + "x" * (LINE - len(padding) + 1) + "\n")
    assert asker.is_closed()


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", open(f"/proc/{pid}/status", encoding="ascii").read())[1])


def abort(asker, count):
    """Exchanges that end in every way but one: cancelled, overtaken, malformed, refused."""
    for first in range(0, count, 200):
        for n in range(200):
            kind = (first + n) % 4
            number = asker.ask("SCRAM-SHA-256" if kind % 2 else "LOGIN", response=None if kind < 2 else "=" if kind == 2 else b64("n,,n=alice,r=x"))
            if kind != 2:
                asker.send(f"CANCEL\t{number}\n")
        last = asker.auth("LOGIN")
        while last.id != asker.last:
            last = asker.answer()
        asker.send(f"CANCEL\t{last.id}\n")


class Flood(Asker):
    def auth(self, mechanism, *more, **rest):
        number, answer = self.ask(mechanism, *more, **rest), self.answer()
        while answer.id != number:
            answer = self.answer()
        return answer


def test_aborted_exchanges(server):
    """Memory stays what it was, and honest logins go on."""
    flood, stop, logins = Flood(server.path), threading.Event(), []
    abort(flood, 2000)
    pids = server.pids("gate") + server.pids("auth")
    before = [resident(pid) for pid in pids]

    def honest():
        while not stop.is_set():
            Imap(server.address("imap"), "bob", server.device).close()
            other = Asker(server.path)
            logins.append(other.login("bob", server.device).kind)
            other.close()
    thread = threading.Thread(target=honest)
    thread.start()
    try:
        abort(flood, ABORTS)
        for _ in range(200):  # and who leaves in the middle
            gone = Asker(server.path)
            gone.ask("LOGIN")
            gone.ask("SCRAM-SHA-1", response=b64("n,,n=alice,r=x"))
            gone.close()
    finally:
        stop.set()
        thread.join()
    assert logins and set(logins) == {"OK"}
    grown = [resident(pid) - kib for pid, kib in zip(pids, before)]
    assert max(grown) < 24 * 1024, grown
    assert flood.login("alice", server.password).kind == "OK"
    server.check_reports()


def all_of(asker, rows):
    """[(user, password, more words, other arguments)] asked at once; what was said to each."""
    numbers, said = [asker.ask("PLAIN", *more, response=plain(user, password, rest.pop("authzid", "")), **rest)
                     for user, password, more, rest in rows], {}
    while len(said) < len(numbers):
        answer = asker.answer()
        said[answer.id] = answer
    return [said[number] for number in numbers]


def test_who_may_send(server, asker):
    user = server.fresh_user("sender")
    options = ((("--protocol", "imap"), "FAIL"), (("--protocol", "smtp"), "OK"), (("--protocol", "imap,smtp"), "OK"), ((), "OK"),
               (("--read-only",), "FAIL"), (("--protocol", "smtp", "--read-only"), "FAIL"))
    rows = [(user, app_password(server, user, f"label {n}", *words), (), {}) for n, (words, _) in enumerate(options)]
    smtp, whole = rows[1][1], server.password
    rows += [(user, smtp, (), {"service": service}) for service in ("submission", "xmpp", "imap")]
    rows += [(f"{user}*carol", whole, (), {}), ("carol", whole, (), {"authzid": user}), ("alice", whole, (), {"authzid": user})]
    rows += [(user, smtp, (), {"rip": "2001:db8::1"})]
    server.reload(auth_deny=["2001:db8::/32"])
    said = all_of(asker, rows)
    server.reload(auth_deny=[])
    assert [answer.kind for answer in said] == [want for _, want in options] + ["OK", "FAIL", "FAIL", "OK", "OK", "FAIL", "FAIL"], said
    del said[-1]
    assert said[-3].words == said[-2].words == {"user": user, "auth_user": "carol"}
    assert said[-1].words["code"] == "authz_fail" and "authz" in said[-1].words

    verb(server, "user", "networks", user, "192.0.2.0/24")
    said = all_of(asker, [(user, smtp, (), {"rip": rip}) for rip in ("192.0.2.7", "198.51.100.1", "127.0.0.1", "192.0.2.7/32", "unknown", "", None)])
    assert [answer.kind for answer in said] == ["OK"] + 6 * ["FAIL"]
    verb(server, "user", "networks", user, "any")
    verb(server, "user", "disable", user)
    said, = all_of(asker, [(user, smtp, (), {})])
    assert said.kind == "FAIL" and set(said.words) == {"user"}  # as one who is not there
    verb(server, "user", "enable", user)
    assert asker.login(user, smtp).kind == "OK"
    verb(server, "user", "set", user, "protocols=imap")
    said, = all_of(asker, [(user, smtp, (), {})])
    assert said.kind == "FAIL" and said.words["code"] == "authz_fail"
    verb(server, "user", "set", user, "protocols=smtp")
    assert asker.login(user, smtp).kind == "OK"
    verb(server, "user", "set", user, "protocols=default")
    assert asker.login(user, smtp, rip="2001:db8::1").kind == "OK"


def test_log(server, asker):
    since = len(server.stderr())
    all_of(asker, [("bob", app_password(server, "bob", "The printer"), ("secured",), {"rip": "192.0.2.9"}), ("bob", "wrong", (), {"rip": "2001:db8::9"}),
                   ("x>, rip=<192.0.2.1\n", "wrong", (), {"rip": "1.2.3.4\001nrip=192.0.2.1"})])
    line = logged(server, r"smtp-login\(gate\): Info: Login: user=<bob>, method=PLAIN, rip=192\.0\.2\.9, lip=127\.0\.0\.1, TLS, session=<\w+>", since)
    assert line.endswith(", device=<The printer>")
    logged(server, r"auth\(auth\): Info: Refused: user=<bob>, service=smtp, rip=2001:db8::9, session=<\w+>.*wrong password", since)
    logged(server, r"smtp-login\(gate\): Info: Aborted login \(auth failed, 1 attempts in \d+ secs\): user=<bob>, method=PLAIN, rip=2001:db8::9, "
           r"lip=127\.0\.0\.1, session=<\w+>$", since)
    assert "rip=0.0.0.0" in logged(server, r"Aborted login .*user=<x\\x3e, rip\\x3d\\x3c192", since)
    assert server.stderr()[since:].count("smtp-login") == 3


def test_penalties(server, asker):
    """Who guesses waits, whatever the agent says of it; others do not."""
    user = server.fresh_user("guessed")
    password = app_password(server, user, "quick")
    server.reload(auth_penalty=True)
    try:
        guessers = [((), {"rip": "198.51.100.7"}), (("no-penalty",), {"rip": "198.51.100.8"}), (("no-penalty",), {"rip": None})]
        assert {said.kind for said in all_of(asker, [(f"nobody-{n}", "wrong", more, dict(rest)) for n, (more, rest) in enumerate(guessers)])} == {"FAIL"}
        began = time.monotonic()
        numbers = [asker.ask("PLAIN", *more, response=plain(user, password), **rest) for more, rest in (*guessers, ((), {"rip": "198.51.100.9"}))]
        answers = [(asker.answer(), time.monotonic() - began) for _ in numbers]
        assert {said.kind for said, _ in answers} == {"OK"} and answers[0][0].id == numbers[-1]
        assert min(waited for said, waited in answers if said.id != numbers[-1]) > 1.9
    finally:
        server.reload(auth_penalty=False)


def test_networks_and_listeners(server):
    old = Asker(("127.0.0.1", server.port))
    server.reload(auth_service_networks=["192.0.2.0/24"])
    with pytest.raises(Closed):
        Asker(("127.0.0.1", server.port), greet=False).line()
    logged(server, "auth-service.*not in auth_service_networks, closed", 0)
    assert Asker(server.path).login("alice", server.password).kind == "OK"  # by its mode
    was = server.settings["auth_service"]
    server.reload(auth_service_networks=["127.0.0.0/8"], auth_service=was[1:])
    with pytest.raises(OSError):
        Asker(server.path)
    assert old.login("alice", server.password).kind == "OK"
    server.reload(auth_service=was)
    assert Asker(server.path).login("alice", server.password).kind == "OK"
    assert os.stat(server.path).st_mode & 0o777 == (0o600 if os.getuid() == 0 else 0o660)


def test_auth_goes_away(server, asker):
    """An exchange that auth had in hand is lost with it, for now; a new one waits until it is back."""
    since = len(server.stderr())
    first, old = asker.auth("LOGIN"), Asker(server.path, greet=False)
    old.send("VERSION\t1\t0\nCPID\t1\n")  # Postfix, to which FAIL is a wrong password
    old.read_hello()
    old.auth("LOGIN")
    os.kill(server.pids("auth")[0], signal.SIGKILL)
    lost = asker.answer()
    assert lost.id == first.id and lost.is_temporary
    logged(server, r"smtp-login\(gate\): Info: Aborted login \(temporary failure\): ", since)
    with pytest.raises(Closed):
        old.line()
    assert asker.login("alice", server.password).kind == "OK"
    server.check_reports()


def test_the_server_ends(server):
    asker = Asker(server.path)
    number = asker.auth("LOGIN").id
    server.restart()
    said = asker.answer()
    assert said.id == number and said.is_temporary and asker.is_closed()
