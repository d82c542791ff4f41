"""MULTIAPPEND (RFC 3502) at size: what does not fit the memory set aside goes to files, and its limit refuses all."""
import imaplib
import re


def login(server):
    server.user_add("mary", "secret")
    client = imaplib.IMAP4(*server.address("imap"))
    client.login("mary", "secret")
    return client


def append(client, messages):
    """All messages in one APPEND, without waiting."""
    client.send(b"m1 APPEND INBOX")
    for message in messages:
        client.send(b" (\\Seen) {%d+}\r\n" % len(message) + message)
    client.send(b"\r\n")
    while not (line := client.readline()).startswith(b"m1 "):
        assert line.startswith(b"* "), line
    return line


def bodies(server):
    return sum(1 for path in (server.data / "bodies").rglob("*") if path.is_file())


def test_bodies_beyond_the_memory_go_to_files(server):
    client = login(server)
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * (100000 + n) + b"\r\n" for n in range(60)]
    found = re.match(rb"m1 OK \[APPENDUID (\d+) 1:60\]", append(client, messages))
    assert found
    assert 0 < bodies(server) < 40  # the first 4 MiB stay in the journal
    client.select("INBOX")
    for n in (0, 41, 42, 59):
        assert client.fetch(str(n + 1), "(BODY.PEEK[])")[1][0][1] == messages[n]
    client.logout()


def test_cancelled_bodies_leave_no_file(server):
    client = login(server)
    messages = [b"Subject: x\r\n\r\n" + b"x" * 100000] * 50
    assert append(client, messages + [b""]).startswith(b"m1 NO")
    assert client.status("INBOX", "(MESSAGES UIDNEXT)")[1] == [b"INBOX (MESSAGES 0 UIDNEXT 1)"]
    assert bodies(server) == 0
    client.logout()


def test_hundreds_are_taken_and_too_many_refused(server):
    client = login(server)
    message = b"Subject: x\r\n\r\nbody\r\n"
    assert append(client, [message] * 700).startswith(b"m1 OK")
    assert append(client, [message] * 5001).startswith(b"m1 NO [LIMIT]")
    assert client.status("INBOX", "(MESSAGES)")[1] == [b"INBOX (MESSAGES 700)"]
    client.logout()
