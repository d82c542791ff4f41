"""log_format = json: every line of every role is one JSON object, whatever clients send; the text form stays Dovecot's."""
import json
import re
import signal
import socket

import pytest

from lib import client, server as posthorn

HOSTILE = [b'a"b\\c', b"a\xff\xfe", b"\xe2\x80\xa8line", b"\x1b[2J\x07", b"\xed\xa0\x80", b">, rip=192.0.2.1, x=<", b"x" * 250,
           b"\x01" * 250, b'"\r\n{"event":"Login"}\r\n']


def talk(address, *parts):
    """Sends everything and reads until the other side has nothing more to say."""
    with socket.create_connection(address, timeout=20) as s:
        for part in parts:
            s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(20)
        while s.recv(65536):
            pass


def provoke(server):
    """Something to say for each role, with octets that break what does not escape."""
    imap, lmtp = ("127.0.0.1", server.ports["imap"]), ("127.0.0.1", server.ports["lmtp"])
    for octets in HOSTILE:
        literal = b"{%d+}\r\n" % len(octets) + octets
        talk(imap, b"a LOGIN " + literal + b" " + literal + b"\r\n")
        talk(imap, b"a ID (" + literal + b" " + literal + b")\r\nb LOGIN alice secret\r\nc ID (" + literal + b" " + literal
             + b")\r\nd SELECT " + literal + b"\r\n")
        talk(lmtp, b"LHLO x\r\nMAIL FROM:<" + octets + b">\r\nRCPT TO:<" + octets + b"@x>\r\nRCPT TO:<alice>\r\nDATA\r\n"
             b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    talk(lmtp, b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")


def lines_of(server):
    text = (server.dir / "stderr").read_bytes().decode("utf-8")
    assert text.endswith("\n")
    return text[:-1].split("\n")


@pytest.fixture
def served(request):
    own = posthorn.Server(settings={"log_level": "debug", **request.param})
    yield own
    own.stop()


@pytest.mark.parametrize("served", [{"log_format": "json", "test_probe": True}], indirect=True)
def test_json(served):
    provoke(served)
    served.restart()
    rows = []
    for line in lines_of(served):
        assert len(line.encode()) < 4096 and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line), line
        row = json.loads(line)
        assert isinstance(row, dict)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", row["time"])
        assert row["level"] in ("debug", "info", "warning", "error") and row["event"] and row["service"]
        rows.append(row)
    assert {r["role"] for r in rows} >= {"supervisor", "gate", "auth", "mail"}
    login = [r for r in rows if r["event"] == "Login"]
    assert len(login) == len(HOSTILE)
    assert all((r["user"], r["rip"], r["lip"], r["tls"], r["service"]) == ("alice", "127.0.0.1", "127.0.0.1", False, "imap-login")
               for r in login)
    refused = [r for r in rows if r["event"] == "Refused" and r["role"] == "auth"]
    assert refused and all(r["code"] == "AUTHFAILED" and r["rip"] == "127.0.0.1" and len(r["session"]) == 16 for r in refused)
    assert 'a"b\\c' in {r["user"] for r in refused}
    sessions = {r["session"] for r in login}
    assert {r["session"] for r in rows if r["event"] == "ID sent"} <= sessions
    saved = [r for r in rows if r["event"] == "saved"]
    assert saved and all(r["user"] == "alice" and isinstance(r["uid"], int) for r in saved)
    assert "probe" in {r["event"] for r in rows}


FAIL2BAN = re.compile(r"^\w{3} \d\d \d\d:\d\d:\d\d posthorn imap-login\(gate\): Info: Disconnected \(auth failed, \d+ attempts "
                      r"in \d+ secs\): user=<[^>]*>, method=\S+, rip=(\S+), lip=\S+, session=<[0-9a-f]{16}>$")


@pytest.mark.parametrize("served", [{}], indirect=True)
def test_text(served):
    imap = ("127.0.0.1", served.ports["imap"])
    talk(imap, b"a LOGIN alice wrong\r\nb LOGOUT\r\n")
    talk(imap, b'a LOGIN "x\\">, rip=192.0.2.1, lip=<" wrong\r\nb LOGOUT\r\n')
    session = client.Imap(imap, "alice", posthorn.PASSWORD)
    session.command("LOGOUT")
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    text = lines_of(served)
    served.process = None
    assert [m[1] for m in map(FAIL2BAN.match, text) if m] == ["127.0.0.1"] * 2
    assert {m[1] for line in text if (m := re.search(r"rip=([^,]*)", line))} == {"127.0.0.1"}, text  # a loose filter
    assert any(re.search(r" posthorn imap-login\(gate\): Info: Login: user=<alice>, method=\w+, rip=127\.0\.0\.1, "
                         r"lip=127\.0\.0\.1, session=<[0-9a-f]{16}>$", line) for line in text)
    assert any(re.search(r" posthorn auth\(auth\): Info: Refused: user=<alice>, service=imap, rip=127\.0\.0\.1, session=<\w{16}>, code=AUTHFAILED: wrong password$", line)
               for line in text)
