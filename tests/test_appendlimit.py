"""APPENDLIMIT (RFC 7889) is what message_size_max says, also after a reload, or a mailbox's own limit, and what APPEND in each of
its forms holds to."""
import imaplib
import re
import time

import pytest

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


def own(server, *words):
    return posthorn.run_verb("mailbox", "appendlimit", "anna", *words, "--data", server.data).decode()


def status(client, box):
    return client.status(box, "(APPENDLIMIT)")[1][0].split(b"(")[1]


def refused(client, box, size):
    """Every form of APPEND, before the octets are asked for where that can be."""
    assert answer(client, b"APPEND %s {%d}" % (box, size)).startswith(b"x1 NO [TOOBIG]")
    assert answer(client, b"APPEND %s {4+}\r\nA: b {%d}" % (box, size)).startswith(b"x1 NO [TOOBIG]")
    assert answer(client, b"APPEND %s {%d+}\r\n%s" % (box, size, message(size))).startswith(b"x1 NO [TOOBIG]")
    assert answer(client, b'APPEND %s CATENATE (URL "/INBOX/;UID=1" TEXT {%d}' % (box, size - 400)).startswith(b"x1 NO [TOOBIG]")
    assert answer(client, b'APPEND %s CATENATE (TEXT {%d+}\r\n%s URL "/INBOX/;UID=1")' % (box, size - 400, b"z" * (size - 400))).startswith(b"x1 NO [TOOBIG]")
    assert answer(client, b"REPLACE 1 %s {%d}" % (box, size)).startswith(b"x1 NO [TOOBIG]")


def test_limit_of_a_mailbox():
    server = posthorn.Server({"message_size_max": "5000"})
    try:
        server.user_add("anna", "secret")
        client = imaplib.IMAP4(*server.address("imap"))
        client.login("anna", "secret")
        client.create("small")
        client.create("other")
        assert client.append("INBOX", None, None, message(1000))[0] == "OK"
        client.select("INBOX")
        assert own(server, "small") == "small\tnone\n"
        assert b" APPENDLIMIT=5000" in client.capability()[1][0]
        assert own(server, "small", "1200") == "small\t1200\n"
        # told where it differs, and only that it does in CAPABILITY
        assert re.search(rb" APPENDLIMIT( |$)", client.capability()[1][0])
        assert (status(client, "small"), status(client, "other")) == (b"APPENDLIMIT 1200)", b"APPENDLIMIT 5000)")
        client.send(b'x2 LIST "" (small other) RETURN (STATUS (APPENDLIMIT MESSAGES))\r\n')
        lines = []
        while not (line := client.readline()).startswith(b"x2 "):
            lines.append(line)
        assert b"* STATUS small (APPENDLIMIT 1200 MESSAGES 0)\r\n" in lines and b"* STATUS other (APPENDLIMIT 5000 MESSAGES 0)\r\n" in lines
        refused(client, b"small", 1201)
        assert client.append("small", None, None, message(1200))[0] == "OK"
        assert client.append("other", None, None, message(1201))[0] == "OK"
        # COPY is no APPEND
        client.select("other")
        assert client.copy("1", "small")[0] == "OK"
        client.select("INBOX")
        # it is the mailbox's, and lasts; none is taken at all; message_size_max is above all
        client.rename("small", "smaller")
        server.kill()
        server.start()
        client = imaplib.IMAP4(*server.address("imap"))
        client.login("anna", "secret")
        client.select("INBOX")
        assert own(server, "smaller") == "smaller\t1200\n"
        refused(client, b"smaller", 1201)
        own(server, "smaller", "0")
        assert status(client, "smaller") == b"APPENDLIMIT 0)"
        assert answer(client, b"APPEND smaller {1}").startswith(b"x1 NO [TOOBIG]")
        own(server, "smaller", "1M")
        assert status(client, "smaller") == b"APPENDLIMIT 5000)"
        refused(client, b"smaller", 5001)
        assert own(server, "smaller", "none") == "smaller\tnone\n"
        assert b" APPENDLIMIT=5000" in client.capability()[1][0]
        for words in (("nothing-here", "5"), ("smaller", "-1"), ("smaller", "5X"), ("smaller", "99999999999999999999")):
            with pytest.raises(RuntimeError):
                own(server, *words)
        client.logout()
    finally:
        server.stop()


def test_list_goes_on_when_a_mailbox_went(shared_server):
    """A client that reads slowly has asked for more than the sockets take when the last mailbox is deleted."""
    client, other = shared_server.imap(), shared_server.imap()
    names = [f"{'z' * 700}{i:03}" for i in range(300)]
    for tag in [client.send(f"CREATE {name}") for name in names]:
        client.answer(tag)
    tags = [client.send('LIST "" "*" RETURN (STATUS (APPENDLIMIT))') for _ in range(24)]
    client.wire.line()
    time.sleep(2)  # by then it waits for the client
    other.command(f"DELETE {names[-1]}")
    told = [sum(b" LIST (" in line and b"z" * 700 in line for line in client.answer(tag)[0]) for tag in tags]
    assert told[-1] == 299 and 298 <= min(told) and max(told) <= 300, told
    for session in (client, other):
        session.close()
