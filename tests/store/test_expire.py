"""Expire: the settings, the verb on a running and on a stopped server, and the server by itself.

Rows of --json: expire
"""
import json
import time

from test_keeping import pause, session, verb
from lib.waiting import wait_for

MAIL = b"From: a@example.org\r\nSubject: %s\r\n\r\nhello\r\n"


def append(c, folder, subject, flags=""):
    c.append(folder, MAIL % subject.encode(), flags)


def count(server, folder, user="alice"):
    c = session(server, user)
    status = c.command(f"STATUS {folder} (MESSAGES)")[0][0]
    c.close()
    return int(status.rsplit(b"MESSAGES ", 1)[1].rstrip(b")\r\n"))


def rows(server, *words):
    done = verb(server, "expire", "--json", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_verb(make):
    server = make({"expire": ["Trash 1s", "Work/Old 1h"]})
    c = session(server)
    c.command("CREATE Work/Old")
    for folder in ("INBOX", "Trash", "Work/Old"):
        append(c, folder, "plain")
    append(c, "Trash", "kept", "$Keep")
    append(c, "Trash", "flagged", "\\Flagged")
    other = session(server, "bob")
    append(other, "Trash", "of bob")
    other.close()
    c.command("ENABLE QRESYNC")
    c.select("Trash")
    time.sleep(2.1)
    found = rows(server, "--user", "alice", "--dry-run")
    assert found[:-1] == [{"type": "expired", "user": "alice", "folder": "Trash", "messages": 2,
                           "octets": 2 * len(MAIL % b"") + 12, "kept": 1}]
    assert found[-1]["dry_run"] and found[-1]["messages"] == 2
    assert count(server, "Trash") == 3
    text = verb(server, "expire", "--user", "alice").stdout.decode()
    assert text.startswith("alice\tTrash\t2 (") and "; 1 kept" in text
    lines, _ = c.command("NOOP")
    assert b"* VANISHED 1,3" in lines
    c.close()
    assert [count(server, f) for f in ("INBOX", "Trash", "Work/Old")] == [1, 1, 1]
    assert count(server, "Trash", "bob") == 1
    assert rows(server)[-1]["messages"] == 1
    assert count(server, "Trash", "bob") == 0
    back = verb(server, "mailbox", "undelete", "alice", "--folder", "Trash").stdout.decode()
    assert "2 messages" in back
    assert count(server, "Trash") == 3


def test_stopped_server(make):
    server = make({"expire": ["Trash 1s"], "expire_keep_flagged": True})
    c = session(server)
    append(c, "Trash", "plain")
    append(c, "Trash", "flagged", "\\Flagged")
    c.close()
    time.sleep(2.1)
    pause(server)
    assert rows(server)[-1]["messages"] == 1
    assert rows(server)[-1]["messages"] == 0
    server.start()
    assert count(server, "Trash") == 1


def test_by_save_date(make):
    server = make({"expire": ["Trash 1h"]})
    c = session(server)
    c.command("APPEND Trash \"01-Jan-2001 00:00:00 +0000\"", MAIL % b"old")
    c.close()
    assert rows(server)[-1]["messages"] == 0


def test_off_and_unknown(make):
    server = make()
    said = verb(server, "expire", good=False)
    assert said.returncode == 1 and b"expire" in said.stdout
    said = verb(server, "expire", "surplus", good=False)
    assert said.returncode == 2
    server.reload(expire=["Trash 1d"])
    said = verb(server, "expire", "--user", "nobody-here", good=False)
    assert said.returncode == 1 and b"nobody-here" in said.stdout


# The timer, which waits while the server is overloaded.
def test_by_itself(make):
    server = make({"expire": ["Trash 1s"], "test_expire_round": "1s", "test_overload": True})
    c = session(server)
    append(c, "Trash", "a")
    append(c, "INBOX", "b")
    c.select("Trash")
    c.wire.send(b"i IDLE\r\n")
    assert c.wire.line().startswith(b"+")
    time.sleep(4)
    assert count(server, "Trash") == 1
    server.reload(test_overload=False)
    wait_for(lambda: count(server, "Trash") == 0)
    assert c.wire.line() == b"* 1 EXPUNGE"
    c.wire.close()
    wait_for(lambda: "expired user=<alice> folder=<Trash> messages=1" in server.stderr())
    assert count(server, "INBOX") == 1
