"""Roundcube's own IMAP class (rcube_imap_generic of Debian's package) on shared mailboxes: namespaces, ACL, quota."""
import json
import pathlib
import subprocess

import pytest

from lib import fetched, server as posthorn

SCRIPT = pathlib.Path(__file__).resolve().parent / "roundcube.php"


class Roundcube:
    """Its IMAP class in one process; a connection for each user."""

    def __init__(self, server):
        self.server = server
        words = ["php", SCRIPT, fetched.roundcube(), str(server.address("imap")[1])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, user, method, *arguments):
        self.process.stdin.write(json.dumps([user, method, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "php has ended"
        said = json.loads(line)
        self.error = said["error"]
        return said["answer"]

    def login(self, user):
        assert self.call(user, "connect", user, self.server.password), self.error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture(name="server", scope="module")
def a_server():
    server = posthorn.Server({"admin_users": ["carol"]})
    yield server
    server.stop()


def letters(rights):
    return "".join(sorted(rights))


def test_roundcube(server):
    owner, guest = (server.fresh_user(name) for name in ("owner", "guest"))
    with Roundcube(server) as roundcube:
        for user in (owner, guest):
            roundcube.login(user)
        call = roundcube.call
        assert call(owner, "getNamespace") == {"personal": [["", "/"]], "other": [["Shared/", "/"]], "shared": [["Public/", "/"]]}
        assert call(owner, "getCapability", "ACL") and call(owner, "getCapability", "QUOTA")
        for box in ("Team", "Team/Plans &AOQ-", 'a "b" \\c'):
            assert call(owner, "createFolder", box), roundcube.error
        assert letters(call(owner, "myRights", "Team")) == letters("lrswipkxteacd")
        assert list(call(owner, "getACL", "Team")) == [owner]
        granted = call(owner, "listRights", "Team", guest)
        assert not letters(granted["granted"]) and letters(granted["optional"]) == letters("lrswipkxteacd")
        assert letters(call(owner, "listRights", "Team", owner)["granted"]) == "al"
        shared = f"Shared/{owner}/"
        for box in ("Team", 'a "b" \\c'):
            assert call(guest, "myRights", shared + box) is None
            assert call(owner, "setACL", box, guest, ["l", "r", "s", "i", "t", "e"]), roundcube.error
            assert letters(call(owner, "getACL", box)[guest]) == letters("lrsited")
            assert letters(call(guest, "myRights", shared + box)) == letters("lrsited")
        assert not call(guest, "setACL", shared + "Team", guest, "lrswipkxtea") and "right missing" not in str(roundcube.error)
        assert call(guest, "getACL", shared + "Team") is None
        # what the folder list asks for, and what a read mark of each is
        names = call(guest, "listMailboxes", "", "Shared/*")
        assert {name for name in names if not name.rstrip("/").endswith(owner)} >= {shared + "Team", shared + 'a "b" \\c'}
        assert shared + "Team/Plans &AOQ-" not in names
        assert call(owner, "append", "Team", "Subject: x\r\n\r\nx\r\n")
        assert call(guest, "select", shared + "Team") and call(guest, "flag", shared + "Team", "1", "SEEN")
        assert call(guest, "status", shared + "Team", ["UNSEEN"]) == {"MESSAGES": "1", "UNSEEN": "0"}
        assert call(owner, "status", "Team", ["UNSEEN"]) == {"MESSAGES": "1", "UNSEEN": "1"}
        assert call(guest, "select", "INBOX")  # what was selected without the right would end with BYE
        for box in ("Team", 'a "b" \\c'):
            assert call(owner, "deleteACL", box, guest)
            assert list(call(owner, "getACL", box)) == [owner] and call(guest, "myRights", shared + box) is None
        quota(server, call, owner, guest)


def quota(server, call, owner, guest):
    assert call(owner, "getQuota", "INBOX") == []  # without a limit there is nothing to show
    posthorn.run_verb("quota", "set", owner, "storage=100K", "messages=10", "--data", server.data)
    own = call(owner, "getQuota", "INBOX")
    assert (own["used"], own["total"]) == (1, 100) and own["all"][f"user/{owner}"]["message"] == {"used": 1, "total": 10}
    assert call(owner, "setACL", "Team", guest, "lr")
    assert call(guest, "getQuota", f"Shared/{owner}/Team")["total"] == 100
    assert call(owner, "setACL", "Team", guest, "l")
    assert not call(guest, "getQuota", f"Shared/{owner}/Team")
    assert not call(guest, "getQuota", f"Shared/{owner}/Nowhere")
