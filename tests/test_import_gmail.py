"""import from Gmail: labels become memberships of one message, each is fetched once, and a second run follows its labels."""
import json
import subprocess

import pytest

from clients.test_import import state
from lib import client, fakegmail, server as posthorn
from lib.fakegmail import ALL
from test_import_imap import command, message, pull

WORK, UMLAUT = "Work/Deep", "M&APw-ll"


@pytest.fixture
def gmail():
    one = fakegmail.FakeGmail(["Work", WORK, UMLAUT])
    for i in range(1, 31):
        one.add(1700000000000000000 + i, message(i), "\\Inbox")
    first = 1700000000000000001
    one.label(first, "Work", WORK, UMLAUT, "\\Starred", "\\Important")
    one.label(first + 1, "\\Sent")
    one.add(first + 100, message(100))  # archived: no label at all
    one.add(first + 101, message(101), "\\Trash")
    one.add(first + 102, message(102), "\\Spam")
    one.first = first
    yield one
    one.stop()


def run(server, gmail, user, *words, want=0):
    return pull(server, f"imap://ann@127.0.0.1:{gmail.port}", user, "--plaintext", *words, want=want)


def fetched(gmail):
    return sum("BODY" in c for c in gmail.said)


def emailids(server, user):
    """{octets: {EMAILID: {(mailbox, UID)}}}"""
    connection, found = client.Imap(server.address("imap"), user, server.password), {}
    for name in state(server, user):
        if connection.select(name)["EXISTS"]:
            for row in connection.fetch("1:*", "(UID EMAILID BODY.PEEK[])").values():
                found.setdefault(row["BODY[]"], {}).setdefault(str(row["EMAILID"]), set()).add((name, row["UID"]))
    connection.close()
    return found


def places(server, user, octets):
    """The mailboxes of the one message that has these octets."""
    ids = emailids(server, user).get(octets, {})
    assert len(ids) == 1, ids
    return sorted(name for name, _ in next(iter(ids.values())))


def all_of(mode):
    return "All Mail" if mode == "labels" else ALL


def account(server, mode):
    user = server.fresh_user("gmail")
    if mode == "labels":
        client.Imap(server.address("imap"), user, server.password).close()
        subprocess.run([posthorn.binary(), "mailbox", "labels", user, "on", "-c", str(server.config)], check=True,
                       env=posthorn.environment(), stdout=subprocess.DEVNULL)
    return user


@pytest.mark.parametrize("mode", ["folders", "labels"])
def test_labels(server, gmail, mode):
    here, all_mail = account(server, mode), all_of(mode)
    run(server, gmail, here)
    found = state(server, here)
    assert places(server, here, message(1)) == sorted([all_mail, "INBOX", "Work", WORK, UMLAUT])
    assert places(server, here, message(2)) == sorted([all_mail, "INBOX", "Sent"])
    assert places(server, here, message(100)) == [all_mail]
    thrown = [all_mail] if mode == "labels" else []  # there it holds what is in the trash too
    assert places(server, here, message(101)) == [*thrown, "Trash"]
    assert places(server, here, message(102)) == [*thrown, "Junk"]
    assert all(len(ids) == 1 for ids in emailids(server, here).values())
    assert not [n for n in found if "Starred" in n or "Important" in n], found.keys()
    flags = [rows[2][uid][0] for rows in found.values() for uid in rows[2] if rows[2][uid][2] == message(1)]
    assert flags == [{"\\Flagged", "$Important"}] * 5, flags
    for name in ("INBOX", ALL, WORK):  # UIDs are those of each folder there
        assert {u: found[all_mail if name == ALL else name][2][u][2] for u in gmail.boxes[name]} == gmail.boxes[name]
    assert fetched(gmail) <= 8
    gmail.said.clear()
    assert "imported 0 messages" in run(server, gmail, here) and fetched(gmail) == 0
    assert state(server, here) == found


@pytest.mark.parametrize("mode", ["folders", "labels"])
def test_second_run_follows_labels(server, gmail, mode):
    """An old message gets a label, loses one (archived), loses its star; a new one comes. Nothing is fetched but that one."""
    here, all_mail, first = account(server, mode), all_of(mode), gmail.first
    run(server, gmail, here)
    gmail.said.clear()
    gmail.label(first + 4, WORK)
    gmail.unlabel(first + 5, "\\Inbox")
    gmail.unlabel(first, "\\Starred", "\\Important", UMLAUT)
    gmail.add(first + 200, message(200), "\\Inbox", "Work")
    connection = client.Imap(server.address("imap"), here, server.password)
    own = b"Subject: delivered here\r\n\r\nx\r\n"
    connection.append("INBOX", own)
    connection.close()
    said = run(server, gmail, here, "--json")
    rows = {r["source"]: r for r in map(json.loads, filter(lambda l: l.startswith("{"), said.splitlines())) if r["type"] == "mailbox"}
    assert fetched(gmail) == 1, gmail.said
    assert rows["INBOX"]["unlabelled"] == 1 and rows["Müll"]["unlabelled"] == 1 and rows[WORK]["imported"] == 1
    assert places(server, here, message(5)) == sorted([all_mail, "INBOX", WORK])
    assert places(server, here, message(6)) == [all_mail]
    assert places(server, here, message(1)) == sorted([all_mail, "INBOX", "Work", WORK])
    assert places(server, here, message(200)) == sorted([all_mail, "INBOX", "Work"])
    assert "INBOX" in places(server, here, own)
    found = state(server, here)
    assert {r[0] for box in found.values() for r in box[2].values() if r[2] == message(1)} == {frozenset()}


def test_label_that_imap_does_not_show(server, gmail):
    """A label whose "Show in IMAP" is off is known by X-GM-LABELS alone. It comes, and again what got it since."""
    here, first = server.fresh_user("gmail"), gmail.first
    gmail.label(first + 8, "Hidden &APw-/a b")
    run(server, gmail, here)
    assert places(server, here, message(9)) == sorted([ALL, "INBOX", "Hidden &APw-/a b"])
    gmail.label(first + 9, "Hidden &APw-/a b")
    gmail.said.clear()
    run(server, gmail, here)
    assert places(server, here, message(10)) == sorted([ALL, "INBOX", "Hidden &APw-/a b"]) and fetched(gmail) == 0
    assert "imported 0 messages" in run(server, gmail, here)
    assert places(server, here, message(9)) == sorted([ALL, "INBOX", "Hidden &APw-/a b"])


def test_thrown_away_between_two_runs(server, gmail):
    """It is in the trash there: here it is put there too, the same message, and stays where it was."""
    here = account(server, "folders")
    run(server, gmail, here)
    gmail.throw(gmail.first + 7)
    run(server, gmail, here)
    assert "Trash" in places(server, here, message(8))


def test_killed(server, gmail):
    here = account(server, "folders")
    for i in range(500, 900):
        gmail.add(gmail.first + i, message(i, 9000), "\\Inbox", "Work")
    words = command(server, f"imap://ann@127.0.0.1:{gmail.port}", "-u", here, "--plaintext", "--rate", "4000000")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=posthorn.environment()) as killed:
        killed.stdin.write(b"secret\n")
        killed.stdin.close()
        while sum("BODY" in c for c in gmail.said) < 3 and killed.poll() is None:
            pass
        killed.kill()
    run(server, gmail, here)
    found = emailids(server, here)
    assert len(found) == 433 and all(len(ids) == 1 for ids in found.values())
    assert places(server, here, message(600, 9000)) == sorted([ALL, "INBOX", "Work"])


def test_posthorn_in_labels_mode(server):
    """From one Posthorn to another, both in labels mode: each message once, with its labels, UIDs and flags."""
    there = posthorn.Server()
    try:
        user, here = account(there, "labels"), account(server, "labels")
        connection = client.Imap(there.address("imap"), user, there.password)
        for name in ("Work", WORK, UMLAUT):
            connection.command(f'CREATE "{name}"')
        for i in range(1, 21):
            connection.append("INBOX", message(i), "\\Seen" if i % 2 else "")
        connection.select("INBOX")
        connection.command('STORE 1:3 +X-GM-LABELS (Work "Work/Deep" "M&APw-ll" \\Starred \\Important)')
        url = f"imap://{user}@127.0.0.1:{there.address('imap')[1]}"
        pull(server, url, here, "--plaintext", password=there.password)
        was, now = state(there, user), state(server, here)
        for name in was:
            assert was[name][2] == now[name][2], name
        assert all(len(ids) == 1 for ids in emailids(server, here).values())
        connection.command('STORE 2 -X-GM-LABELS (Work)')
        connection.command('STORE 9 +X-GM-LABELS ("M&APw-ll")')
        said = pull(server, url, here, "--plaintext", password=there.password)
        assert "imported 1 messages" in said, said
        was, now = state(there, user), state(server, here)
        for name in was:
            assert sorted(r[2] for r in was[name][2].values()) == sorted(r[2] for r in now[name][2].values()), name
        connection.close()
    finally:
        there.check_reports()
        there.stop()
