"""mutt, driven by keys on a terminal of its own: reads, flags, copies, deletes."""
from lib import client, terminal

RC = """
set imap_user="{user}" imap_pass="{password}" ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=no ssl_verify_dates=no
set certificate_file={certificate}
set folder=imaps://localhost:{port}/ spoolfile=imaps://localhost:{port}/INBOX record="" postponed=""
set header_cache="" wait_key=no mark_old=no delete=yes move=no confirmappend=no confirmcreate=no sleep_time=0
set beep=no help=no pager=builtin timeout=1 quit=yes copy=no
"""


def mutt(where, user, keys, folder, more=""):
    """Runs mutt on a pseudo terminal with the keys pushed; returns what it showed."""
    config = folder / "muttrc"
    config.write_text(RC.format(user=user, password=where.password, certificate=where.dir / "cert.pem",
                                port=where.address("imaps")[1]) + f"{more}\npush '{keys}'\n")
    with terminal.Terminal(["mutt", "-n", "-F", str(config)], folder) as screen:
        screen.wait_end()
        return screen.shown


def test_mutt(where, user, tmp_path):
    connection = client.Imap(where.address("imap"), user, where.password)
    connection.command("CREATE Kept")
    for subject in ("first", "second", "third"):
        connection.append("INBOX", f"From: a@example.org\r\nSubject: {subject} in mutt\r\n\r\nthe text\r\n".encode())
    shown = mutt(where, user, "<first-entry><display-message><exit><next-entry><flag-message>"
                              "<first-entry><copy-message>=Kept<enter>"
                              "<last-entry><delete-message><sync-mailbox><quit>", tmp_path)
    assert "second in mutt" in shown
    assert connection.select("INBOX")["EXISTS"] == 2
    rows = connection.fetch("1:2", "(UID FLAGS)")
    assert "\\Seen" in rows[1]["FLAGS"] and "\\Flagged" in rows[2]["FLAGS"]
    assert connection.select("Kept")["EXISTS"] == 1
    connection.close()


def test_mutt_again(where, user, tmp_path):
    """With a header cache, IDLE and QRESYNC: the second run sees what changed meanwhile without loading the headers again."""
    (tmp_path / "headers").mkdir()
    more = f'set header_cache="{tmp_path}/headers/" imap_condstore=yes imap_qresync=yes imap_idle=yes'
    connection = client.Imap(where.address("imap"), user, where.password)
    for subject in ("first", "second", "third"):
        connection.append("INBOX", f"From: a@example.org\r\nSubject: {subject} in mutt\r\n\r\nthe text\r\n".encode())
    assert "third in mutt" in mutt(where, user, "<first-entry><display-message><exit><sync-mailbox><quit>", tmp_path, more)
    connection.select("INBOX")
    connection.command("STORE 3 +FLAGS (\\Flagged)")
    connection.command("STORE 2 +FLAGS (\\Deleted)")
    connection.command("EXPUNGE")
    connection.append("INBOX", b"From: a@example.org\r\nSubject: fourth in mutt\r\n\r\nthe text\r\n")
    shown = mutt(where, user, "<limit>~F<enter><clear-flag>!<limit>all<enter><last-entry><set-flag>r<sync-mailbox><quit>", tmp_path, more)
    assert "fourth in mutt" in shown and "second in mutt" not in shown
    assert connection.select("INBOX")["EXISTS"] == 3
    flags = {row["UID"]: set(row["FLAGS"]) - {"\\Recent"} for row in connection.fetch("1:3", "(UID FLAGS)").values()}
    assert "\\Seen" in flags[1] and "\\Flagged" not in flags[3] and "\\Answered" in flags[4]
    connection.close()
