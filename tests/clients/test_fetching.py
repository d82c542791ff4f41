"""Debian's fetchmail, getmail6, mpop and curl fetch by POP3: each message once, over TLS, with and without leaving it on the server."""
from email import message_from_bytes

import pytest

from lib import fetching
from lib.pop3 import Pop3, with_pop3
from lib.server import PASSWORD

MESSAGES = [b"From: a@example.org\r\nSubject: one\r\nMessage-ID: <1@x>\r\n\r\n.dot\r\n.\r\nend\r\n",
            "From: b@example.org\r\nSubject: Grüße\r\nMessage-ID: <2@x>\r\n\r\nbody\r\n".encode(),
            b"From: c@example.org\r\nSubject: large\r\nMessage-ID: <3@x>\r\n\r\n" + b"0123456789abcdef" * 4 + b"\r\n" + b".x\r\n" * 50000]


@pytest.fixture(scope="module", name="server")
def one_server():
    server = with_pop3()
    yield server
    server.stop()


@pytest.fixture(name="user")
def fresh(server):
    name = server.fresh_user("f")
    deliver(server, name, MESSAGES)
    return name


def deliver(server, user, messages):
    imap = server.imap(user)
    imap.append_all("INBOX", messages)
    imap.close()


def left(server, user):
    with Pop3(server.pop3, user) as c:
        return int(c.ask("STAT").split()[1])


def ids(messages):
    found = [(str(m["Message-ID"]), m.as_bytes().replace(b"\r\n", b"\n")) for m in messages]
    large = dict(found)["<3@x>"]
    assert large.count(b"\n.x") == 50000 and b"\n..x" not in large
    return sorted(ident for ident, _ in found)


ALL = ["<1@x>", "<2@x>", "<3@x>"]


def test_fetchmail(server, user, tmp_path):
    """UIDL and keep: a second run finds nothing; without keep nothing is left."""
    client = fetching.Fetchmail(tmp_path / "f", user, PASSWORD)
    client.fetch(server.pop3, codes=(0,))
    assert len(client.files()) == 3
    client.fetch(server.pop3, codes=(1,))
    assert len(client.files()) == 3
    deliver(server, user, [b"Subject: four\r\n\r\nx\r\n"])
    client.fetch(server.pop3, keep=False, codes=(0,))
    assert len(client.files()) == 4
    client.fetch(server.pop3, keep=False, options="fetchall")
    assert len(client.files()) == 7 and left(server, user) == 0


@pytest.mark.parametrize("program", [fetching.Getmail, fetching.Mpop])
def test_kept_and_not(server, user, tmp_path, program):
    """mpop sends commands ahead."""
    client = program(tmp_path / "f", user, PASSWORD)
    port = server.pop3s if program is fetching.Getmail else server.pop3

    def fetch(keep):
        client.fetch(port, keep)
        return ids(map(message_from_bytes, client.octets()))
    assert fetch(True) == ALL
    assert fetch(True) == ALL and left(server, user) == 3
    assert fetch(False) == ALL and left(server, user) == 0


def test_curl(server, user):
    def ask(url, *more):
        return fetching.run("curl", "--silent", "--show-error", "--insecure", "--user", f"{user}:{PASSWORD}", *more, url)
    assert ask(f"pop3s://127.0.0.1:{server.pop3s}/1") == MESSAGES[0]
    assert ask(f"pop3://127.0.0.1:{server.pop3}/3", "--ssl-reqd") == MESSAGES[2]
    assert len(ask(f"pop3://127.0.0.1:{server.pop3}/", "--ssl-reqd", "-X", "UIDL").split(b"\r\n")) == 4
    ask(f"pop3s://127.0.0.1:{server.pop3s}/1", "--request", "DELE", "--head")
    assert left(server, user) == 2
