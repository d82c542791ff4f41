"""Who is who: groups, app passwords, master users, networks, by the verbs and on the wire. One server for all of it."""
# --json: group add
# --json: group list
# --json: group delete
# --json: group member add
# --json: group member delete
import hashlib
import json
import time

import pytest

from lib import scram, server as posthorn
from lib.wire import Wire


@pytest.fixture(name="server", scope="module")
def one_server():
    own = posthorn.Server()
    yield own
    own.stop()


def verb(server, *words, stdin=b""):
    """The rows that it says; its plain form names the same things."""
    said = posthorn.run_verb(*words, "--json", "-c", server.config, stdin=stdin)
    return [json.loads(line) for line in said.decode().splitlines()]


def refused(server, *words, stdin=b""):
    with pytest.raises(RuntimeError) as error:
        posthorn.run_verb(*words, "-c", server.config, stdin=stdin)
    return str(error.value)


def wait_for(check, seconds=30):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_groups(server):
    assert verb(server, "group", "add", "Staff") == [{"type": "group", "change": "added", "name": "staff"}]
    assert verb(server, "group", "add", "empty")[0]["name"] == "empty"
    for user in ("bob", "alice"):
        assert verb(server, "group", "member", "add", "staff", user) == [
            {"type": "member", "change": "added", "user": user, "group": "staff"}]
    assert verb(server, "group", "list") == [{"type": "group", "name": "empty", "members": []},
                                             {"type": "group", "name": "staff", "members": ["alice", "bob"]}]
    assert posthorn.run_verb("group", "list", "-c", server.config) == b"empty\nstaff\talice bob\n"
    assert "no user 'nobody'" in refused(server, "group", "member", "add", "staff", "nobody")
    assert verb(server, "group", "member", "delete", "staff", "bob")[0]["change"] == "deleted"
    assert verb(server, "group", "delete", "staff")[0]["change"] == "deleted"
    assert [row["name"] for row in verb(server, "group", "list")] == ["empty"]


def capability(server, tls=False):
    wire = Wire(server.address("imaps" if tls else "imap"), tls=tls)
    line = wire.line()
    wire.close()
    return line.decode().split("]")[0].split()


def offered(server, tls=False):
    return [word for word in capability(server, tls) if word.startswith("AUTH=")]


def salt_of(server, user, kind="sha256"):
    """What SCRAM tells of a name: its salt and rounds."""
    seen, wire = [], Wire(server.address("imap"))
    wire.line()
    assert scram.login(wire, "a", user, "not it", kind=kind, seen=seen).startswith(b"a NO [AUTHENTICATIONFAILED]")
    wire.close()
    return seen[0]


def test_scram_is_offered_in_order(server):
    assert offered(server, tls=True) == [f"AUTH={name}" for name in (
        "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")]
    for kind in ("sha256", "sha1"):
        wire = Wire(server.address("imaps"), tls=True)
        wire.line()
        assert scram.login(wire, "a", "alice", posthorn.PASSWORD, kind=kind).startswith(b"a OK")
        wire.close()


def test_scram_tells_nobody_who_is_there(server):
    """An unknown name has a salt as a known one: the same again, in any case, and another for each hash."""
    for name in ("alice", "nobody-here"):
        first = salt_of(server, name)
        assert first == salt_of(server, name) == salt_of(server, name.upper())
        assert first[1] == "15000" and first != salt_of(server, name, "sha1")
    before = [salt_of(server, name, kind) for name in ("alice", "nobody-here") for kind in ("sha256", "sha1")]
    server.restart()
    assert before == [salt_of(server, name, kind) for name in ("alice", "nobody-here") for kind in ("sha256", "sha1")]


def test_keys_come_with_the_next_login(server):
    """A foreign hash takes SCRAM out of the offer until its user has logged in once."""
    hashed = "{SSHA256}" + scram.b64(hashlib.sha256(b"pass wordsalt").digest() + b"salt")
    path = server.dir / "passwd"
    path.write_text(f"foreign:{hashed}\n")
    verb(server, "user", "load", path)
    assert offered(server) == ["AUTH=PLAIN", "AUTH=LOGIN"]
    posthorn.Imap(server.address("imap"), "foreign", "pass word").close()
    wait_for(lambda: "AUTH=SCRAM-SHA-1" in offered(server))
    for kind in ("sha256", "sha1"):
        wire = Wire(server.address("imap"))
        wire.line()
        assert scram.login(wire, "a", "foreign", "pass word", kind=kind).startswith(b"a OK")
        wire.close()
