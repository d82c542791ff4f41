"""append_8bit = refuse: RFC 9755 section 4 to the letter; what comes by LMTP is taken all the same."""
import imaplib
import smtplib

import pytest

from lib import server as posthorn

WIDE = "From: Jörg <j@example.org>\r\nSubject: x\r\n\r\nbody\r\n".encode()
# The octet stands at the end of the header, behind what looks like an empty line, and in the body.
LATE = b"Subject: x\r\n \r\n" + b"X-Long: " + b"y" * 70000 + b"\xe4\r\n\r\nbody\r\n"
BODY = b"Subject: x\r\n\r\nbody \xe4\r\n"
BARE = b"Subject: x\n\nbody \xe4\n"


@pytest.fixture(scope="module", params=["accept", "refuse"])
def choice(request):
    server = posthorn.Server({"append_8bit": request.param})
    yield server, request.param
    server.stop()


def login(server, name):
    server.user_add(name, "secret")
    client = imaplib.IMAP4(*server.address("imap"))
    client.login(name, "secret")
    return client


def test_append(choice):
    server, word = choice
    client = login(server, "anna")
    want = "OK" if word == "accept" else "NO"
    for message in (WIDE, LATE):
        found, text = client.append("INBOX", None, None, message)
        assert found == want, text
        assert found == "OK" or text[0].startswith(b"[CANNOT]")
    assert client.append("INBOX", None, None, BODY)[0] == "OK"
    assert client.append("INBOX", None, None, BARE)[0] == "OK"
    assert client.enable("UTF8=ACCEPT")[0] == "OK"
    for message in (WIDE, LATE):
        client.send(b"u%d APPEND INBOX {%d+}\r\n" % (len(message), len(message)) + message + b"\r\n")
        assert client.readline().startswith(b"u%d OK" % len(message))
    client.logout()


def test_lmtp(choice):
    server, _ = choice
    client = login(server, "berta")
    with smtplib.LMTP(*server.address("lmtp")) as relay:
        relay.sendmail("a@example.org", ["berta"], WIDE)
    assert client.status("INBOX", "(MESSAGES)")[1] == [b"INBOX (MESSAGES 1)"]
    client.logout()
