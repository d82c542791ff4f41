"""Sieve scripts of an account: the verbs `sieve list`, `show`, `put`, ... with and without a server, and that scripts outlive
kill -9, a rebuild, a backup and the server.

--json: sieve list
--json: sieve show
--json: sieve put
--json: sieve delete
--json: sieve rename
--json: sieve activate
--json: sieve deactivate
"""
import json
import subprocess

import pytest

from lib import server as posthorn

KEEP, FILE = b"keep;\r\n", b'require "fileinto";\r\nfileinto "Work";\r\n'
LARGE = b"# " + b"x" * (1 << 20 >> 1) + b"\r\nkeep;\r\n"
NAME = 'J\u00fcrgen "x" / y'


@pytest.fixture
def server():
    made = posthorn.Server({"test_segment_size": 64 << 10, "log_format": "json"})
    yield made
    made.stop()


def verb(server, *words, stdin=b"", user="alice"):
    done = subprocess.run([posthorn.binary(), "sieve", *words, "--user", user, "--data", str(server.data)], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=posthorn.environment(), timeout=60, check=False)
    assert not posthorn.REPORT.search(done.stderr.decode(errors="replace")), done.stderr.decode()
    return done.returncode, done.stdout, done.stderr


def done(server, *words, **how):
    code, out, err = verb(server, *words, **how)
    assert (code, err) == (0, b""), err
    return out


def refused(server, kind, *words, **how):
    code, out, err = verb(server, *words, "--json", **how)
    assert (code, out) == (1, b"")
    rows = [json.loads(line) for line in err.splitlines()]
    assert rows[-1]["code"] == kind, rows
    return rows[:-1]


def fill(server):
    for name, text in (("a", KEEP), (NAME, FILE), ("large", LARGE), ("gone", KEEP), ("old", KEEP)):
        assert done(server, "put", name, "-", stdin=text) == b""
    done(server, "put", "a", "-", stdin=FILE, user="bob")
    done(server, "rename", "old", "new")
    done(server, "delete", "gone")
    done(server, "activate", "a")
    done(server, "activate", NAME)
    done(server, "rename", NAME, NAME + "!")


def rows(server, **how):
    return [json.loads(line) for line in done(server, "list", "--json", **how).splitlines()]


def picture(server):
    shown = {row["name"]: done(server, "show", row["name"]) for row in rows(server)}
    return rows(server), rows(server, user="bob"), shown


def test_verbs(server):
    """What they say, in both forms, and what they refuse."""
    fill(server)
    name = (NAME + "!").encode()
    assert done(server, "list") == name + b"\t%d\tactive\na\t7\nlarge\t%d\nnew\t7\n" % (len(FILE), len(LARGE))
    assert rows(server)[0] == {"type": "script", "name": NAME + "!", "octets": len(FILE), "active": True}
    assert rows(server)[1] == {"type": "script", "name": "a", "octets": 7, "active": False}
    assert done(server, "show", "large") == LARGE and done(server, "show", "a") == KEEP
    assert json.loads(done(server, "show", NAME + "!", "--json")) == {"type": "script", "name": NAME + "!", "text": FILE.decode()}
    done(server, "deactivate")
    assert not any(row["active"] for row in rows(server))
    done(server, "activate", "a")
    assert refused(server, "BAD", "put", "a", "-", stdin=b"keep;\nif size :over { stop; }\n") == [
        {"type": "mistake", "file": "-", "line": 2, "column": 4, "message": "size wants a number here"}]
    assert verb(server, "put", "a", "-", stdin=b"keep")[2].decode().startswith("-:1:5: ")
    assert done(server, "show", "a") == KEEP
    assert refused(server, "INUSE", "delete", "a") == []
    assert refused(server, "NONEXISTENT", "delete", "gone") == refused(server, "NONEXISTENT", "show", "gone") == []
    assert refused(server, "NONEXISTENT", "activate", "gone") == refused(server, "NONEXISTENT", "list", user="nobody-there") == []
    assert refused(server, "NONEXISTENT", "list", user="public") == []
    assert refused(server, "ALREADYEXISTS", "rename", "a", "new") == []
    assert refused(server, "CANNOT", "put", "a\tb", "-", stdin=KEEP) == []
    assert refused(server, "TOOBIG", "put", "b", "-", stdin=b"#" * ((1 << 20) + 1)) == []
    assert verb(server, "show")[0] == verb(server, "rename", "a")[0] == verb(server, "list", "a")[0] == 2
    told = [json.loads(line) for line in server.stderr().splitlines()]
    told = [(row["verb"], row["args"], row["done"]) for row in told if row.get("audit") == "verb" and row["args"][-1] == "bob"]
    assert told[0] == ("sieve put", ["a", "-", "bob"], True)


def test_kept(server, tmp_path):
    """Scripts outlive kill -9 and what follows: each picture is the first one."""
    fill(server)
    before = picture(server)
    assert len(before[2]) == 4 and before[2]["large"] == LARGE
    server.kill()
    assert picture(server) == before  # by the verbs alone
    subprocess.run(["rm", "-rf", str(server.data / "index")], check=True)
    posthorn.give_to_service(server.data)
    posthorn.run_verb("rebuild", "-c", server.config)
    server.start()
    assert picture(server) == before
    posthorn.run_verb("verify", "-c", server.config)
    posthorn.run_verb("backup", tmp_path / "backup", "-c", server.config)
    posthorn.run_verb("restore", tmp_path / "backup", "--data", tmp_path / "again")
    shown = subprocess.run([posthorn.binary(), "sieve", "show", "large", "--user", "alice", "--data", str(tmp_path / "again")],
                           stdout=subprocess.PIPE, env=posthorn.environment(), timeout=60, check=True).stdout
    assert shown == LARGE
    posthorn.run_verb("user", "delete", "alice", "-c", server.config)
    server.user_add("alice")
    assert rows(server) == [] and len(rows(server, user="bob")) == 1
