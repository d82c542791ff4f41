"""alpine, driven by keys on a terminal of its own: reads, flags, saves to another folder, deletes, is told of new mail."""
from lib import client, terminal

PINERC = """personal-name=Alice
user-domain=example.org
inbox-path={{localhost:{port}/ssl/user={user}}}INBOX
folder-collections=Mail {{localhost:{port}/ssl/user={user}}}[]
default-fcc=""
feature-list=disable-password-file-saving,enable-flag-cmd,expunge-without-confirm,quit-without-confirm,enable-full-screen-cmds
last-version-used=9.99
last-time-prune-questioned=999.12
"""


def message(subject):
    return f"From: a@example.org\r\nSubject: {subject} in alpine\r\n\r\nthe text of {subject}\r\n".encode()


STEPS = [  # keys, and what they make it show
    ("\r", "the text of first"), ("i", "third in alpine"), ("n", "2"), ("*", "Important ?"), ("\r", 'Flagged message 2 "Important"'),
    ("s", "SAVE Msg #2 to folder"), ("Kept\r", "Message 2 of 3 DEL"), ("n", "3"),
]


def test_alpine(where, user, tmp_path, monkeypatch):
    """TLS with the certificate checked. What is told while it is open: a message that was delivered, one that is gone."""
    witness = client.Imap(where.address("imap"), user, where.password)
    witness.command("CREATE Kept")
    for subject in ("first", "second", "third"):
        witness.append("INBOX", message(subject))
    (tmp_path / ".pinerc").write_text(PINERC.format(user=user, port=where.address("imaps")[1]))
    monkeypatch.setenv("SSL_CERT_FILE", str(where.dir / "cert.pem"))
    with terminal.Terminal(["alpine", "-p", str(tmp_path / ".pinerc")], tmp_path) as screen:
        screen.wait("ENTER PASSWORD")
        screen.keys(where.password + "\r")
        screen.wait("opened with 3 messages")
        screen.keys("i")
        screen.wait("third in alpine")
        for keys, shows in STEPS:
            screen.keys(keys)
            screen.wait(shows)
        witness.append("INBOX", message("fourth"))
        screen.keys("\f")
        screen.wait("fourth in alpine")
        screen.keys("x")
        screen.wait("1 message expunged from folder")
        screen.keys("q")
        assert screen.wait_end() == 0
    assert witness.select("INBOX")["EXISTS"] == 3
    rows = witness.fetch("1:3", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert "\\Seen" in rows[1]["FLAGS"] and "\\Seen" not in rows[2]["FLAGS"]
    assert witness.select("Kept")["EXISTS"] == 1
    kept = witness.fetch("1", "(FLAGS BODY.PEEK[])")[1]
    assert kept["BODY[]"] == message("second") and "\\Flagged" in kept["FLAGS"]
    witness.close()
