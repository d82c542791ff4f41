"""A mounted tree with one right missing (RFC 4314 section 4): what needs it is refused, everything else works."""
import pytest

from lib import client, server as posthorn

ALL = "lrswipkxte"
TREE = "Shared/bob"
MESSAGE = b"Subject: x\r\n\r\nx\r\n"

# what, commands, the rights its last command needs; None: it is the owner's alone.
# Each runs on a mailbox of its own that bob filled with two messages.
OPERATIONS = {
    "status": (["STATUS {box} (MESSAGES)"], "lr"),
    "select": (["SELECT {box}"], "lr"),
    "examine": (["EXAMINE {box}"], "lr"),
    "fetch": (["SELECT {box}", "FETCH 1 BODY.PEEK[]"], "lr"),
    "seen": (["SELECT {box}", "STORE 1 +FLAGS (\\Seen)"], "lrs"),
    "flag": (["SELECT {box}", "STORE 1 +FLAGS (\\Flagged)"], "lrw"),
    "keyword": (["SELECT {box}", "STORE 1 +FLAGS ($Work)"], "lrw"),
    "delete-flag": (["SELECT {box}", "STORE 1 +FLAGS (\\Deleted)"], "lrt"),
    "expunge": (["SELECT {box}", "EXPUNGE"], "lre"),
    "copy-out": (["SELECT {box}", "COPY 1 INBOX"], "lr"),
    "move-out": (["SELECT {box}", "MOVE 1 INBOX"], "lrte"),
    "append": (["APPEND {box} () {{{size}+}}\r\n{message}"], "li"),
    "copy-in": (["SELECT INBOX", "COPY 1 {box}"], "li"),
    "entries": (["SETMETADATA {box} (/private/comment \"x\" /shared/comment \"y\")", "GETMETADATA {box} /shared/comment"], "l"),
    "special-use": (["SETMETADATA {box} (/private/specialuse \"\\\\Archive\")"], None),
    "resetkey": (["RESETKEY {box}"], "l"),
    "create": (["CREATE {box}/new"], "lk"),
    "delete": (["DELETE {box}"], "lx"),
}


def prepare(server):
    """bob's mailboxes, one for each operation, and a message for alice."""
    bob = client.Imap(server.address("imap"), "bob", server.password)
    for name in OPERATIONS:
        bob.command(f"CREATE {name}")
        bob.append(name, MESSAGE, "\\Deleted" if name == "expunge" else "")
        bob.append(name, MESSAGE)
    bob.close()
    alice = client.Imap(server.address("imap"), "alice", server.password)
    alice.append("INBOX", MESSAGE)
    return alice


def perform(session, name):
    """None when the operation was done, else what the server said."""
    commands, _ = OPERATIONS[name]
    words = {"box": f"{TREE}/{name}", "size": len(MESSAGE), "message": MESSAGE.decode()}
    try:
        for command in commands:
            session.command(command.format(**words))
    except client.Refused as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("missing", ["", *ALL])
def test_one_right_missing(missing):
    server = posthorn.Server({"test_mount": f"bob {ALL.replace(missing, '') if missing else ALL}"})
    try:
        session = prepare(server)
        for name, (_, needs) in OPERATIONS.items():
            refused = perform(session, name)
            if needs is None or (missing and missing in needs):
                assert refused, f"{name} was done without {missing}"
                expected = "NONEXISTENT" if missing == "l" and name != "create" else "NOPERM"
                assert expected in refused or "READ-ONLY" in refused or "TRYCREATE" in refused, f"{name} without {missing}: {refused}"
            else:
                assert refused is None, f"{name} does not need {missing or 'more'}: {refused}"
        session.close()
    finally:
        server.stop()
