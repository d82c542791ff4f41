"""After a restart, clean or by kill -9, an account goes on where it was: each history, and then each kind of change."""
import pytest

from lib import client, server as posthorn

MESSAGE = b"Subject: x\r\n\r\nx\r\n"
APPEND = ("APPEND INBOX ()", MESSAGE)

HISTORIES = {
    "empty": [],
    "append": [APPEND, APPEND],
    "flag": [APPEND, APPEND, "SELECT INBOX", "STORE 1 +FLAGS (\\Seen)"],
    "keyword": [APPEND, APPEND, "SELECT INBOX", "STORE 1 +FLAGS ($Work)"],
    "keyword-gone": [APPEND, APPEND, "SELECT INBOX", "STORE 1 +FLAGS ($Work)", "STORE 1 -FLAGS ($Work)", "STORE 1 +FLAGS ($Later)"],
    "expunge": [APPEND, APPEND, APPEND, "SELECT INBOX", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"],
    "copy": [APPEND, APPEND, "SELECT INBOX", "STORE 1 +FLAGS ($Work)", "COPY 1:2 Archive", "COPY 1 INBOX"],
    "move": [APPEND, APPEND, APPEND, "SELECT INBOX", "MOVE 1 Archive"],
    "tree": [APPEND, APPEND, "CREATE a/b", "RENAME a c", "DELETE c/b"],
}
CHANGES = [APPEND, "SELECT INBOX", "FETCH 1:* (UID FLAGS BODY.PEEK[])", "STORE 1 +FLAGS (\\Flagged)", "STORE 1 +FLAGS ($Work)",
           "STORE 1 +FLAGS ($Fresh)", "STORE 1 -FLAGS ($Work)", "COPY 1 Archive", "MOVE 1 Archive", "SELECT Archive",
           "STORE 1:* +FLAGS ($Other)", "COPY 1:* INBOX", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "CREATE z", "RENAME z y", "DELETE y"]


def do(server, commands):
    session = client.Imap(server.address("imap"), "alice", server.password)
    for command in commands:
        session.command(*command) if isinstance(command, tuple) else session.command(command)
    session.close()


@pytest.mark.parametrize("end", ["kill", "clean"])
@pytest.mark.parametrize("history", HISTORIES)
def test_goes_on(history, end):
    server = posthorn.Server()
    try:
        do(server, HISTORIES[history])
        if end == "kill":
            server.kill()
            server.start()
        else:
            server.restart()
        do(server, CHANGES)
        server.check_reports()
        server.restart()
        do(server, CHANGES)
    finally:
        server.stop()
