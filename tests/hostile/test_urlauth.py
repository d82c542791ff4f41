"""URLAUTH (RFC 4467) under attack: forged, changed and revoked URLs, keys that are not there, rights that are gone."""
import hashlib
import hmac
import itertools

import pytest

from lib import server as posthorn
from lib.client import Refused

MESSAGE = b"From: a@example.org\r\nSubject: secret\r\n\r\nsecret\r\n"


def generate(session, rump):
    lines, _ = session.command(f'GENURLAUTH "{rump}" INTERNAL')
    word, url = lines[0].rsplit(b" ", 1)
    assert word == b"* GENURLAUTH"
    return url.decode().strip('"')


def fetch(session, url):
    """What URLFETCH tells of one URL: its octets, or None for NIL."""
    lines, tagged = session.command(f'URLFETCH "{url}"')
    assert tagged.split()[1] == b"OK" and len(lines) == 1 and lines[0].startswith(b"* URLFETCH ")
    if lines[0].endswith(b" NIL"):
        return None
    head, octets = lines[0].split(b"}\r\n", 1)
    assert int(head.rsplit(b"{", 1)[1]) == len(octets)
    return octets


def uidvalidity(session, name="INBOX"):
    lines, _ = session.command(f"STATUS {name} (UIDVALIDITY)")
    return int(lines[0].rsplit(b" ", 1)[1].rstrip(b")"))


def seal(key, rump):
    """As src/mail/urlkey.h says."""
    return "02" + hmac.new(key, rump.encode(), hashlib.sha256).hexdigest()[:32]


def token(key, validity, rump):
    return hmac.new(key, validity.to_bytes(4, "big") + rump.encode(), hashlib.sha256).hexdigest()[:32]


RUMP = "imap://alice@localhost/INBOX/;uid=1;urlauth=anonymous"


def test_changed_urls(server):
    """Every digit of the token, its length, and every part of what it is about counts."""
    alice, bob = server.imap("alice"), server.imap("bob")
    alice.append("INBOX", MESSAGE)
    alice.append("INBOX", MESSAGE)
    url = generate(alice, RUMP)
    rump, given = url.rsplit(":internal:", 1)
    assert rump == RUMP and fetch(bob, url) == MESSAGE
    for at in range(len(given)):
        wrong = given[:at] + ("0" if given[at] != "0" else "1") + given[at + 1:]
        assert fetch(bob, f"{rump}:internal:{wrong}") is None, at
    for wrong in (given[:-1], given + "0", given[:32], given[2:], given[34:], given[:34], "00" * 33, "ff" * 33, given + given):
        assert fetch(bob, f"{rump}:internal:{wrong}") is None, wrong
    for wrong in ("imap://alice@localhost/INBOX/;uid=2;urlauth=anonymous", "imap://alice@localhost/inbox/;uid=1;urlauth=anonymous",
                  "imap://alice@LOCALHOST/INBOX/;uid=1;urlauth=anonymous", "imap://bob@localhost/INBOX/;uid=1;urlauth=anonymous",
                  "imap://alice@localhost/INBOX/;UID=1;urlauth=anonymous", "imap://alice@localhost/INBOX/;uid=1;urlauth=authuser",
                  "imap://alice@localhost/INBOX/;uid=1/;section=1;urlauth=anonymous",
                  "imap://alice@localhost/INBO%58/;uid=1;urlauth=anonymous", "imap://alice@localhost:143/INBOX/;uid=1;urlauth=anonymous"):
        assert fetch(bob, f"{wrong}:internal:{given}") is None, wrong
    for wrong in (f"{rump}:external:{given}", f"{rump}:internal", f"{rump}:internal:", rump):
        assert fetch(bob, wrong) is None, wrong
    assert fetch(bob, f"{rump}:INTERNAL:{given.upper()}") == MESSAGE


def test_no_key(server):
    """Where no key was made, or all are gone, none that could be guessed is taken."""
    alice, bob = server.imap("alice"), server.imap("bob")
    alice.append("INBOX", MESSAGE)
    validity = uidvalidity(alice)
    guesses = [b"", b"\0" * 32, b"\0" * 64, b"\xff" * 32, b"INBOX", b"alice", b"urlauth/", RUMP.encode()]

    def attack(*seals):
        for key, number in itertools.product(guesses, (validity, 0)):
            for sealed in (*(seal(guess, RUMP) for guess in guesses), *seals):
                assert fetch(bob, f"{RUMP}:internal:{sealed}{token(key, number, RUMP)}") is None
            assert fetch(bob, f"{RUMP}:internal:{token(key, number, RUMP)}") is None
            assert fetch(bob, f"{RUMP}:internal:01{token(key, number, RUMP)}") is None

    attack()
    url = generate(alice, RUMP)
    sealed = url.rsplit(":", 1)[1][:34]  # the server's own, which stays
    attack(sealed)
    alice.command("RESETKEY")
    attack(sealed)
    assert fetch(bob, url) is None
    assert generate(alice, RUMP) != url and generate(alice, RUMP).rsplit(":", 1)[1].startswith(sealed)
    assert fetch(bob, url) is None
    # a URL of one's own key is of one's own mailbox
    bob.append("INBOX", MESSAGE)
    own = generate(bob, RUMP.replace("alice", "bob"))
    assert fetch(bob, own) == MESSAGE
    assert fetch(bob, own.replace("bob", "alice")) is None


def test_keys_last(server):
    """A key is on disk when a URL is told, and so is its end."""
    alice = server.imap("alice")
    alice.append("INBOX", MESSAGE)
    url = generate(alice, RUMP)
    server.kill()
    server.start()
    bob = server.imap("bob")
    assert fetch(bob, url) == MESSAGE
    server.imap("alice").command("RESETKEY INBOX")
    server.kill()
    server.start()
    assert fetch(server.imap("bob"), url) is None


def test_rights_now():
    """The right to read is the owner's at the time of use; what was authorised before is not."""
    server = posthorn.Server({"test_mount": "bob lr"})
    try:
        server.imap("bob").append("INBOX", MESSAGE)
        alice = server.imap("alice")
        url = generate(alice, "imap://alice@localhost/Shared/bob/INBOX/;uid=1;urlauth=anonymous")
        assert fetch(server.imap("carol"), url) == MESSAGE
        for rights, told in (("bob li", None), ("bob lr", MESSAGE), ("bob r", None)):
            server.settings["test_mount"] = rights
            server.write_config()
            server.restart()
            assert fetch(server.imap("carol"), url) == told, rights
            assert fetch(server.imap("alice"), url) == told, rights
            if rights == "bob li":
                with pytest.raises(Refused, match="NOPERM"):
                    generate(server.imap("alice"), url.rsplit(":internal", 1)[0])
    finally:
        server.stop()


def test_nothing_leaks(server):
    """Mailboxes, users and servers that are there, and those that are not, answer alike; nobody is connected to."""
    alice, bob = server.imap("alice"), server.imap("bob")
    alice.append("INBOX", MESSAGE)
    alice.command("CREATE private")
    fake = "02" + "ab" * 32
    for who, box in itertools.product(("alice", "carol", "nobody-here", "alice+x", "a%20b", "%F0%9F%92%A9"),
                                      ("INBOX", "private", "none", "Shared/bob/INBOX")):
        assert fetch(bob, f"imap://{who}@localhost/{box}/;uid=1;urlauth=anonymous:internal:{fake}") is None
        with pytest.raises(Refused, match=r"^t\d+ BAD Invalid command: URL of another user$"):
            generate(bob, f"imap://{who}@localhost/{box}/;uid=1;urlauth=anonymous")
    url = generate(alice, RUMP)
    for host in ("169.254.169.254", "127.0.0.1:25", "localhost:25", "[::1]", "localhost.example.org", "localhost%00"):
        assert fetch(bob, url.replace("localhost", host)) is None
        with pytest.raises(Refused, match=" BAD "):
            generate(alice, RUMP.replace("localhost", host))


def test_user_gone(server):
    """A user who was deleted authorises nothing, nor does the next one of that name."""
    name = server.fresh_user("dora")
    dora, bob = server.imap(name), server.imap("bob")
    dora.append("INBOX", MESSAGE)
    url = generate(dora, RUMP.replace("alice", name))
    assert fetch(bob, url) == MESSAGE
    dora.close()
    posthorn.run_verb("user", "delete", name, "--data", server.data)
    assert fetch(bob, url) is None
    server.user_add(name)
    server.imap(name).append("INBOX", MESSAGE)
    assert fetch(bob, url) is None


def test_many(server):
    """As many URLs as one command may have, and one more; keys of as many mailboxes as a user may have."""
    bob = server.imap("bob")
    bob.append("INBOX", MESSAGE)
    url = generate(bob, RUMP.replace("alice", "bob"))
    lines, _ = bob.command("URLFETCH" + f' "{url}"' * 500)
    assert len(lines) == 500 and all(line.endswith(MESSAGE) for line in lines)
    assert len(bob.command("URLFETCH" + " x" * 1000)[0]) == 1000
    with pytest.raises(Refused, match=r"\[LIMIT\]"):
        bob.command("URLFETCH" + " x" * 1001)
    assert fetch(bob, "imap://bob@localhost/" + "a" * 9000 + "/;uid=1") is None
