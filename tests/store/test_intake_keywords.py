"""The setting intake_keywords where no transcript can go: import, restore, and a reload."""
import pytest

from lib.server import Server

from test_keeping import session, verb

PDF = b"MIME-Version: 1.0\r\nContent-Type: application/pdf\r\n\r\nx\r\n"
TEXT = b"Subject: t\r\n\r\nx\r\n"


@pytest.fixture(name="server")
def server_():
    server = Server({"intake_keywords": ["$hasattachment", "$hasnoattachment", "$imported"]})
    yield server
    server.stop()


def flags(server, folder):
    c = session(server)
    c.select(folder)
    found = [sorted(str(f) for f in items["FLAGS"] if str(f) != "\\Recent") for items in c.fetch("1:*", "(FLAGS)").values()]
    c.close()
    return found


def maildir(path):
    for sub in ("cur", "new", "tmp"):
        (path / sub).mkdir(parents=True)
    (path / "cur" / "1.x:2,S").write_bytes(PDF)
    (path / "cur" / "2.x:2,").write_bytes(TEXT)
    return path


def test_import(server, tmp_path):
    path = maildir(tmp_path / "maildir")
    for said in (b"imported 2 messages", b"imported 0 messages"):
        done = verb(server, "import", "maildir", path, "-u", "alice", "--folder", "Got")
        assert said in done.stdout, done.stdout
    want = [["$hasattachment", "$imported", "\\Seen"], ["$hasnoattachment", "$imported"]]
    assert sorted(flags(server, "Got")) == want


def test_restore_keeps_what_was(server, tmp_path):
    server.reload(intake_keywords=["imported"])
    c = session(server)
    c.append("INBOX", PDF, "MyTag")
    verb(server, "backup", server.dir / "backup")
    c.expunge("INBOX")
    c.close()
    verb(server, "restore", server.dir / "backup", "--user", "alice", "--folder", "INBOX")
    assert flags(server, "INBOX") == [["MyTag"]]
    server.reload(intake_keywords=["$hasattachment"])
    c = session(server)
    c.append("INBOX", PDF)
    c.append("INBOX", TEXT)
    c.close()
    assert flags(server, "INBOX") == [["MyTag"], ["$hasattachment"], []]
