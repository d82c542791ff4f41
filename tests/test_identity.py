"""Who is who: groups, app passwords, master users, networks, by the verbs and on the wire. One server for all of it."""
# --json: group add
# --json: group list
# --json: group delete
# --json: group member add
# --json: group member delete
import json

import pytest

from lib import server as posthorn


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
