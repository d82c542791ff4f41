"""Python's imaplib and curl: libraries and tools that scripts use."""
import imaplib
import ssl
import subprocess
import time

import pytest


def context():
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


MESSAGE = b"From: a@example.org\r\nSubject: from a library\r\n\r\nhello\r\n"


@pytest.mark.parametrize("way", ["imaps", "starttls", "authenticate"])
def test_imaplib(where, user, way):
    if way == "imaps":
        box = imaplib.IMAP4_SSL(*where.address("imaps"), ssl_context=context())
    else:
        box = imaplib.IMAP4(*where.address("imap"))
        box.starttls(context())
    if way == "authenticate":
        box.authenticate("PLAIN", lambda _: b"\0%s\0%s" % (user.encode(), where.password.encode()))
    else:
        box.login(user, where.password)
    assert box.create("Lists")[0] == "OK"
    for _ in range(3):
        assert box.append("Lists", "(\\Flagged)", imaplib.Time2Internaldate(time.time()), MESSAGE)[0] == "OK"
    assert box.select("Lists") == ("OK", [b"3"])
    assert box.search(None, "SUBJECT", '"library"') == ("OK", [b"1 2 3"])
    status, data = box.fetch("1", "(BODY.PEEK[])")
    assert status == "OK" and data[0][1] == MESSAGE
    assert box.store("2", "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert box.expunge() == ("OK", [b"2"])
    assert box.uid("COPY", "1:*", "INBOX")[0] == "OK"
    assert box.status("INBOX", "(MESSAGES)")[1][0].endswith(b"(MESSAGES 2)")
    assert box.close()[0] == "OK"
    box.logout()


def curl(where, user, url, *options, service="imaps"):
    port = where.address(service)[1]
    done = subprocess.run(["curl", "-sS", "-k", "--max-time", "30", "-u", f"{user}:{where.password}", *options,
                           f"{service}://127.0.0.1:{port}/{url}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("service, extra", [("imaps", []), ("imap", ["--ssl-reqd"])])
def test_curl(where, user, service, extra, tmp_path):
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    curl(where, user, "INBOX", "-T", str(tmp_path / "m.eml"), *extra, service=service)
    assert curl(where, user, "INBOX;UID=1", *extra, service=service) == MESSAGE
    assert b"Subject: from a library" in curl(where, user, "INBOX;MAILINDEX=1;SECTION=HEADER.FIELDS%20(SUBJECT)", *extra, service=service)
    assert b"* SEARCH 1" in curl(where, user, "INBOX?ALL", *extra, service=service)
    assert b"INBOX" in curl(where, user, "", *extra, service=service)
    assert b"STATUS" in curl(where, user, "", "-X", "STATUS INBOX (MESSAGES)", *extra, service=service)
    assert b"FETCH" in curl(where, user, "INBOX", "-X", "STORE 1 +Flags \\Deleted", *extra, service=service)
    curl(where, user, "INBOX", "-X", "EXPUNGE", *extra, service=service)
    assert curl(where, user, "INBOX?ALL", *extra, service=service).strip() == b"* SEARCH"
