"""The Fail2Ban filter of dist/, by Debian's fail2ban-regex, on lines that a running server printed; and Debian's filter for Dovecot
on their body. 127.0.0.5 guesses, 127.0.0.6 comes without a login, others are honest; 192.0.2.1 is whom hostile names want banned."""
import base64
import collections
import configparser
import json
import pathlib
import re
import smtplib
import socket
import subprocess
import time

import pytest

from lib import client, managesieve, server as posthorn
from lib.proxied import Line
from lib.submitting import scram_client

DIST = posthorn.ROOT / "dist/fail2ban"
FILTER = DIST / "filter.d/posthorn.conf"
DEBIAN = pathlib.Path("/etc/fail2ban/filter.d/dovecot.conf")
HOSTILE = [b"x>, rip=192.0.2.1, lip=<", b'x\\">, rip=192.0.2.1', b"x\r\nNov 26 17:15:00 posthorn auth(auth): Info: Refused: user=<y>, service=imap, "
           b"rip=192.0.2.1, session=<0123456789abcdef>, code=AUTHFAILED: z", b'x","rip":"192.0.2.1","code":"AUTHFAILED","y":"', b"x, service=imap, rip=192.0.2.1",
           b"x session=<0123456789abcdef>, rip=192.0.2.1, code=AUTHFAILED", b"\xff\xfe\x1b[2J", b"x" * 250, b"\\" * 200, b'"' * 200, b"<>" * 100,
           b"\xe2\x80\xa8" * 60]


def guess(address, *commands):
    with socket.create_connection(address, timeout=30, source_address=("127.0.0.5", 0)) as s:
        file = s.makefile("rb")
        file.readline()
        for command in commands:
            s.sendall(b"a " + command + b"\r\n")
            while not (line := file.readline()).startswith(b"a "):
                assert line, command
            assert b"AUTHENTICATIONFAILED" in line or b"AUTHORIZATIONFAILED" in line, line


def guess_sieve(address, *attempts):
    for attempt in attempts:
        with managesieve.Sieve(address, source="127.0.0.5") as s:
            assert s.ask(b'AUTHENTICATE "PLAIN" ' + attempt)[0] == "NO"


def plain(user, password, act_for=""):
    return b"AUTHENTICATE PLAIN " + base64.b64encode(f"{act_for}\0{user}\0{password}".encode())


def provoke(server):
    """Guesses of every kind; returns how many. And honest people."""
    imap = server.address("imap")
    kinds = [b"LOGIN alice wrong", b"LOGIN nobody wrong", plain("alice", "wrong"), plain("alice", "secret", "bob"), b"LOGIN alice \"\""]
    guess(imap, *kinds)
    for name in HOSTILE:
        guess(imap, b"LOGIN {%d+}\r\n" % len(name) + name + b" wrong")
    sieve = [b'"%s"' % managesieve.plain("alice", "wrong"), managesieve.literal(managesieve.plain(HOSTILE[0].decode(), "wrong"))]
    guess_sieve(server.address("managesieve"), *sieve)
    with Line(server.address("imaps"), tls=True, source="127.0.0.5") as line:
        line.line()
        assert b"AUTHENTICATIONFAILED" in line.login(password="wrong")
        assert line.login().startswith(b"a OK")
    for user in ("alice", "bob"):
        client.Imap(imap, user, "secret").command("LOGOUT")
        with managesieve.Sieve(server.address("managesieve")) as s:
            assert s.login(user)[0] == s.ask("LOGOUT")[0] == "OK"
    with Line(imap, source="127.0.0.1") as line:  # no guesses: a mechanism that is not there, an exchange that is given up, bad commands
        line.line()
        line.ask("b AUTHENTICATE XYZ")
        line.send(b"c AUTHENTICATE PLAIN\r\n")
        line.line()
        line.send(b"*\r\n")
        line.line()
        line.ask("d LOGOUT")
    honest(server)
    return len(kinds) + len(HOSTILE) + len(sieve) + 1 + guess_pop3(server) + guess_submission(server)


def guess_pop3(server):
    """By PASS and by AUTH, on one connection; returns how many."""
    with socket.create_connection(server.address("pop3"), timeout=30, source_address=("127.0.0.5", 0)) as s:
        file = s.makefile("rb")
        for command in (b"", b"USER alice", b"PASS wrong", b"AUTH PLAIN " + base64.b64encode(b"\0nobody\0wrong"), b"QUIT"):
            if command:
                s.sendall(command + b"\r\n")
            line = file.readline()
            assert line.startswith(b"-ERR [AUTH]" if command[:4] in (b"PASS", b"AUTH") else b"+OK"), (command, line)
    return 2


def guess_submission(server):
    """By PLAIN, for somebody else, by SCRAM; returns how many."""
    host, port = server.address("submission")
    words = [b"\0alice\0wrong", b"\0nobody\0wrong", b"bob\0alice\0secret", b"\0alice\0", b"\0" + HOSTILE[0] + b"\0wrong"]
    with smtplib.SMTP(host, port, timeout=60, source_address=("127.0.0.5", 0)) as smtp:
        smtp.ehlo()
        for word in words:
            assert smtp.docmd("AUTH PLAIN " + base64.b64encode(word).decode())[0] == 535
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            smtp.auth("SCRAM-SHA-256", scram_client("bob", "wrong"))
    return len(words) + 1


def honest(server):
    """Refusals that are no guesses, on every protocol; none of them counts."""
    kinds = ("XYZ", "PLAIN !")
    with Line(server.address("pop3"), source="127.0.0.1") as line:
        for text in (*[f"AUTH {kind}\r\n" for kind in kinds], "USER alice\r\n", "PASS secret\r\n", "STAT\r\n", "QUIT\r\n"):
            line.line()
            line.send(text)
        assert line.line().startswith(b"+OK")
    with managesieve.Sieve(server.address("managesieve")) as s:
        for kind in (b'"XYZ"', b'"PLAIN" "!"'):
            assert s.ask(b"AUTHENTICATE " + kind)[0] == "NO"
    host, port = server.address("submission")
    with smtplib.SMTP(host, port, timeout=60) as smtp:
        assert smtp.docmd("MAIL FROM:<alice@example.test>")[0] == 530
    with smtplib.SMTP(host, port, timeout=60) as smtp:
        smtp.ehlo()
        for kind, code in zip(kinds, (504, 501)):
            assert smtp.docmd(f"AUTH {kind}")[0] == code
        assert smtp.docmd("AUTH PLAIN")[0] == 334
        smtp.send(b"*\r\n")
        assert smtp.getreply()[0] == 501
        smtp.login("alice", posthorn.PASSWORD)
        assert smtp.docmd("MAIL FROM:<bob@example.test>")[0] == 553
    refused_protocol(server)


def refused_protocol(server):
    """A user who may not use a protocol, and a device whose password is for another: the password was right each time."""
    for password in (posthorn.PASSWORD, server.phone):
        with Line(server.address("pop3"), source="127.0.0.1") as line:
            line.line()
            for text, said in (("USER gerd", b"+OK"), (f"PASS {password}", b"-ERR [AUTH] This account may not")):
                line.send(text + "\r\n")
                assert line.line().startswith(said)


def strangers(server):
    for service in ("imap", "imaps", "managesieve", "pop3", "submission", "lmtp"):
        with Line(server.address(service), source="127.0.0.6") as line:
            line.send(b"\x16\x03\x01\r\n" if service == "imaps" else b"")


def run(lines, filter_file, mode=None, fail2ban="fail2ban-regex"):
    """{address: matches}"""
    log = posthorn.scratch.folder("fail2ban") / "log"
    log.write_bytes("\n".join(lines).encode() + b"\n")
    name = str(filter_file) + (f"[mode={mode}]" if mode else "")
    done = subprocess.run([fail2ban, "--usedns", "no", "-o", "ip", str(log), name], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, timeout=120)
    assert done.returncode in (0, 1), done
    assert b"ERROR" not in done.stderr, done.stderr
    return dict(collections.Counter(done.stdout.decode().split()))


@pytest.fixture(scope="module")
def logs():
    """(guesses, lines) in each form."""
    server = posthorn.Server({"lmtp_networks": ["127.0.0.1"], "relay_host": "localhost:1", "local_domains": ["example.test"], "auth_scram": "always"},
                             services=(*posthorn.SERVICES, "pop3", "submission"))
    server.user_add("gerd")
    posthorn.run_verb("user", "set", "gerd", "protocols=imap,lmtp", "--data", server.data)
    said = posthorn.run_verb("user", "password", "add", "gerd", "phone", "--protocol", "submission", "--json", "--data", server.data)
    server.phone, found = json.loads(said)["password"], {}
    try:
        for form in ("text", "json"):
            server.reload(log_format=form)
            before = len(server.stderr())
            count = provoke(server)
            strangers(server)
            server.reload(log_level="debug")  # and now all is written
            with socket.create_connection(server.address("imap"), timeout=10, source_address=("127.0.0.7", 0)) as s:
                s.recv(100)
            deadline = time.monotonic() + 30
            while "127.0.0.7" not in (rows := server.stderr()[before:]) and time.monotonic() < deadline:
                time.sleep(0.02)
            found[form] = count, [line for line in rows.rstrip("\n").split("\n") if "127.0.0.7" not in line]
        yield found
    finally:
        server.stop()


def as_journal(lines):
    """As Fail2Ban gets them from the journal, with the date that syslog's file has."""
    return [f"Nov 26 17:15:00 mail posthorn[4711]: {line}" for line in lines]


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_guess_once_and_nobody_else(logs, form):
    count, lines = logs[form]
    assert run(lines, FILTER) == {"127.0.0.5": count}


def test_in_the_journal_and_of_other_protocols(logs):
    """Whatever asks auth is logged by one function: only the name of the service differs."""
    other = {form: [re.sub(r"service=(imap|managesieve|pop3|submission)", "service=smtp", re.sub(r'"listener":"(imap|managesieve|pop3|submission)"', '"listener":"smtp"', line)) for line in lines]
             for form, (_, lines) in logs.items()}
    for form, (count, lines) in logs.items():
        assert sum(a != b for a, b in zip(lines, other[form])) >= count
    count = sum(count for count, _ in logs.values())
    assert run(as_journal([line for lines in other.values() for line in lines]), FILTER) == {"127.0.0.5": count}


def test_aggressive(logs):
    found = run([line for _, lines in logs.values() for line in lines], FILTER, "aggressive")
    assert found.pop("127.0.0.5") == sum(count for count, _ in logs.values())
    assert found.pop("127.0.0.6") == 12
    assert set(found) <= {"127.0.0.1"}  # the harness looks whether the ports are open


def test_the_body_is_dovecots(logs):
    """What administrators search for in Dovecot's log they find here: its filter takes the lines behind its own name."""
    _, lines = logs["text"]
    bodies = [m for line in lines if (m := re.match(r"(\w{3} \d\d \S+) posthorn (\w+-login)\(gate\): Info: (Disconnected .*)", line))]
    assert len(bodies) > len(HOSTILE)
    as_dovecot = [f"{m[1]} mail dovecot: {m[2]}: {m[3]}" for m in bodies]
    found = run(as_dovecot, DEBIAN)
    # one for each connection that ended behind a guess; Dovecot's line counts a mechanism that is not there, too
    assert found == {"127.0.0.5": len(HOSTILE) + 5, "127.0.0.1": 4}


def test_the_filter_can_miss(logs):
    """The test of the test: a filter that does not anchor its fields bans whom a hostile name tells."""
    _, lines = logs["json"]
    loose = posthorn.scratch.folder("fail2ban") / "loose.conf"
    loose.write_text("[Definition]\nfailregex = rip\\W{1,4}<HOST>\n")
    assert "192.0.2.1" in run(lines, loose)


def test_the_jail():
    jail = configparser.ConfigParser(interpolation=None)
    jail.read(DIST / "jail.d/posthorn.conf")
    assert jail["posthorn"]["enabled"] == "false" and jail["posthorn"]["filter"].startswith("posthorn")
    assert "imap" in jail["posthorn"]["port"]
