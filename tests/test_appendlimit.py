"""APPENDLIMIT (RFC 7889) is what message_size_max says, also after a reload, and what APPEND in each of its forms holds to."""
import imaplib
import re

from lib import server as posthorn


def limits(client):
    """What CAPABILITY and STATUS tell."""
    told = re.search(rb" APPENDLIMIT=(\d+)", client.capability()[1][0])
    status = re.search(rb"APPENDLIMIT (\d+)", client.status("INBOX", "(APPENDLIMIT)")[1][0])
    return int(told[1]), int(status[1])


def answer(client, command):
    client.send(b"x1 " + command + b"\r\n")
    while not (line := client.readline()).startswith(b"x1 "):
        assert line.startswith(b"* "), line
    return line


def message(size):
    return b"Subject: x\r\n\r\n".ljust(size, b"y")


def test_limit_is_the_setting():
    server = posthorn.Server({"message_size_max": "5000"})
    try:
        server.user_add("anna", "secret")
        client = imaplib.IMAP4(*server.address("imap"))
        client.login("anna", "secret")
        assert limits(client) == (5000, 5000)
        assert client.append("INBOX", None, None, message(5000))[0] == "OK"
        # refused before it is asked for; together; put together
        assert answer(client, b"APPEND INBOX {5001}").startswith(b"x1 NO [TOOBIG]")
        assert answer(client, b"APPEND INBOX {4+}\r\nA: b {5001}").startswith(b"x1 NO [TOOBIG]")
        url = b'URL "/INBOX/;UID=1"'
        assert answer(client, b"APPEND INBOX CATENATE (" + url + b" TEXT {1+}\r\nz)").startswith(b"x1 NO [TOOBIG]")
        assert answer(client, b"APPEND INBOX CATENATE (TEXT {1+}\r\nz " + url + b")").startswith(b"x1 NO [TOOBIG]")
        client.select("INBOX")
        assert answer(client, b"REPLACE 1 INBOX {5001}").startswith(b"x1 NO [TOOBIG]")
        assert client.status("INBOX", "(MESSAGES)")[1] == [b"INBOX (MESSAGES 1)"]
        text = server.config.read_text()
        server.config.write_text(text.replace("5000", "6000"))
        posthorn.run_verb("reload", "--data", server.data)
        assert limits(client) == (6000, 6000)
        assert client.append("INBOX", None, None, message(6000))[0] == "OK"
        client.logout()
    finally:
        server.stop()
