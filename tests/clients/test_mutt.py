"""mutt, driven by keys on a terminal of its own: reads, flags, copies, deletes."""
import os
import pty
import select
import subprocess
import time

from lib import client

RC = """
set imap_user="{user}" imap_pass="{password}" ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=no ssl_verify_dates=no
set certificate_file={certificate}
set folder=imaps://localhost:{port}/ spoolfile=imaps://localhost:{port}/INBOX record="" postponed=""
set header_cache="" wait_key=no mark_old=no delete=yes move=no confirmappend=no confirmcreate=no sleep_time=0
set beep=no help=no pager=builtin timeout=1 quit=yes copy=no
"""


def mutt(where, user, keys, folder, seconds=30):
    """Runs mutt on a pseudo terminal with the keys pushed; returns what it showed."""
    config = folder / "muttrc"
    config.write_text(RC.format(user=user, password=where.password, certificate=where.dir / "cert.pem",
                                port=where.address("imaps")[1]) + f"push '{keys}'\n")
    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "HOME": str(folder), "LINES": "40", "COLUMNS": "120"}
    process = subprocess.Popen(["mutt", "-n", "-F", str(config)], stdin=child, stdout=child, stderr=child, env=env,
                               start_new_session=True)
    os.close(child)
    shown, end = b"", time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if select.select([parent], [], [], 0.2)[0]:
            try:
                shown += os.read(parent, 65536)
            except OSError:
                break
    hung = process.poll() is None and time.monotonic() >= end
    if hung:
        process.kill()
    process.wait()
    os.close(parent)
    assert not hung, shown[-3000:].decode(errors="replace")
    return shown.decode(errors="replace")


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
