"""A full disk under rawlog/: the files end, with a line of the log each; sessions, mail and other files go on."""
import json
import os

import pytest

from lib import server as posthorn
from lib.mountedserver import MountedServer
from lib.waiting import wait_for

SMALL = 'mkdir -p "$1/data/rawlog"; mount -t tmpfs -o size=256k,mode=700,uid=nobody tmpfs "$1/data/rawlog"\n'
BODY = b"Subject: large\r\n\r\n" + b"".join(b"line %07d of many that do not fit\r\n" % i for i in range(20000))


def verb(server, *words):
    return [json.loads(line) for line in posthorn.run_verb(*words, "--json", "-c", server.config).splitlines()]


def ended(server):
    return [json.loads(line) for line in server.stderr().splitlines() if "rawlog ends for a session" in line]


def test_a_full_disk_ends_the_file_only():
    if os.getuid() != 0:
        pytest.skip("to mount a small disk needs root")
    server = MountedServer(SMALL, {"log_format": "json"})
    try:
        alice = server.imap("alice")
        assert verb(server, "rawlog", "alice", "on")[0]["sessions"] == 1
        alice.append("INBOX", BODY)
        alice.select("INBOX")
        assert alice.fetch(1, "BODY[]")[1]["BODY[]"] == BODY
        line, = wait_for(lambda: ended(server), seconds=60)
        assert "No space left on device" in str(line) and line["file"].startswith("alice-") and line["level"].lower().startswith("warn")
        alice.command("NOOP")
        assert alice.fetch(1, "BODY[]")[1]["BODY[]"] == BODY
        second, carol = server.imap("alice"), server.imap("carol")
        for session in (second, carol):
            session.append("INBOX", BODY)
            session.close()
        wait_for(lambda: len(ended(server)) == 2, seconds=60)  # each says so, once
        assert [row["rawlog"] for row in verb(server, "who", "alice")] == [False]
        assert {row["file"].split("-")[2] for row in ended(server)} == {row["file"][-20:] for row in ended(server)}
        server.run("sh", "-c", f"rm {server.data}/rawlog/*")
        third = server.imap("alice")
        third.command("NOOP")
        wait_for(lambda: "NOOP" in server.run("sh", "-c", f"cat {server.data}/rawlog/* || true"), seconds=60)
        assert [row["rawlog"] for row in verb(server, "who", "alice")] == [False, True]
        assert len(ended(server)) == 2
        third.close()
        alice.close()
    finally:
        server.stop()
