"""Real mail: delivered and appended, every octet equal on the way out; ENVELOPE and BODYSTRUCTURE compared with Dovecot."""
import pathlib
import threading

import pytest

from lib import client, corpus, server as posthorn, structure

HERE = pathlib.Path(__file__).resolve().parent
DIFFERENCES = HERE / "differences.txt"
SHARE = 0.005
BATCH = 200


@pytest.fixture(scope="module")
def mail():
    found = corpus.messages()
    assert len(found) >= 5000
    return found


def deliver(server, user, messages, lanes=4):
    """By LMTP over several connections; lane by lane the order is kept."""
    errors = []

    def lane(part):
        try:
            connection = client.Lmtp(server.address("lmtp"))
            for name, data in part:
                connection.deliver(user, b"X-Corpus: " + name.encode() + b"\r\n" + data)
            connection.close()
        except Exception as error:  # told by the caller
            errors.append(error)

    threads = [threading.Thread(target=lane, args=(messages[i::lanes],)) for i in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def everything(server, user, items):
    """{name of the message: fetched items} of the whole INBOX."""
    connection = client.Imap(server.address("imap"), user, server.password)
    count = connection.select("INBOX")["EXISTS"]
    found = {}
    for first in range(1, count + 1, BATCH):
        numbers = f"{first}:{min(first + BATCH - 1, count)}"
        for values in connection.fetch(numbers, f"(BODY.PEEK[HEADER.FIELDS (X-CORPUS)] {items})").values():
            name = next(v for k, v in values.items() if k.startswith("BODY[HEADER.FIELDS"))
            found[name.split(b":")[1].strip().decode()] = values
    connection.close()
    assert len(found) == count
    return found


@pytest.fixture(scope="module")
def delivered(shared_server, mail):
    user = shared_server.fresh_user("corpus")
    deliver(shared_server, user, mail)
    shared_server.check_reports()
    return user


def test_lmtp_octets(shared_server, mail, delivered):
    found = everything(shared_server, delivered, "RFC822.SIZE BODY.PEEK[]")
    assert len(found) == len(mail)
    for name, data in mail:
        got = found[name]["BODY[]"]
        assert got.endswith(b"X-Corpus: " + name.encode() + b"\r\n" + data), name
        assert len(got) == found[name]["RFC822.SIZE"], name


def test_append_octets(shared_server, mail):
    user = shared_server.fresh_user("append")
    connection = client.Imap(shared_server.address("imap"), user, shared_server.password)
    connection.append_all("INBOX", (data for _, data in mail[::4]))
    assert connection.select("INBOX")["EXISTS"] == len(mail[::4])
    for first in range(0, len(mail[::4]), BATCH):
        part = mail[::4][first:first + BATCH]
        got = connection.fetch(f"{first + 1}:{first + len(part)}", "(BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])")
        for number, (name, data) in enumerate(part, first + 1):
            assert got[number]["BODY[]"] == data, name
            assert got[number]["BODY[HEADER]"] + got[number]["BODY[TEXT]"] == data, name


def test_import_octets(shared_server, mail, tmp_path):
    """A Maildir as other servers keep it, with LF: all of it comes out as it would have come by the wire."""
    cur = tmp_path / "md" / "cur"
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "md" / folder).mkdir(parents=True)
    for number, (name, data) in enumerate(mail):
        text = b"X-Corpus: " + name.encode() + b"\r\n" + data
        (cur / f"{1000000000 + number}.M{number}.host:2,").write_bytes(text.replace(b"\r\n", b"\n"))
    user = shared_server.fresh_user("import")
    said = posthorn.run_verb("import", "maildir", tmp_path / "md", "-u", user, "-c", shared_server.config, timeout=300)
    assert f"imported {len(mail)} messages".encode() in said
    found = everything(shared_server, user, "BODY.PEEK[]")
    assert len(found) == len(mail)
    for name, data in mail:
        assert found[name]["BODY[]"] == b"X-Corpus: " + name.encode() + b"\r\n" + data, name


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_export_and_import_octets(shared_server, mail, delivered, tmp_path, form):
    user = shared_server.fresh_user(form)
    config = shared_server.config
    posthorn.run_verb("export", form, tmp_path / "out", "-u", delivered, "-c", config, timeout=300)
    posthorn.run_verb("import", form, tmp_path / "out", "-u", user, "-c", config, timeout=300)
    was = everything(shared_server, delivered, "BODY.PEEK[] INTERNALDATE")
    now = everything(shared_server, user, "BODY.PEEK[] INTERNALDATE")
    assert len(now) == len(mail) and now.keys() == was.keys()
    for name, values in was.items():
        assert now[name]["BODY[]"] == values["BODY[]"], name
        assert now[name]["INTERNALDATE"] == values["INTERNALDATE"], name


def listed():
    """{message: reason} of differences.txt: MESSAGE ITEM RFC-CLAUSE reason"""
    table = {}
    for line in DIFFERENCES.read_text().split("\n"):
        if line.strip() and not line.startswith("#"):
            name, item, clause, reason = line.split(" ", 3)
            assert clause.startswith("RFC") and reason, f"differences.txt: no clause or reason for {name}"
            table[name, item] = reason
    return table


def test_structure_as_dovecot(shared_server, mail, delivered, dovecot):
    user = dovecot.fresh_user("corpus")
    connection = client.Imap(dovecot.address("imap"), user, dovecot.password)
    connection.append_all("INBOX", (b"X-Corpus: " + name.encode() + b"\r\n" + data for name, data in mail))
    connection.close()
    ours = everything(shared_server, delivered, "ENVELOPE BODYSTRUCTURE")
    theirs = everything(dovecot, user, "ENVELOPE BODYSTRUCTURE")
    known, unlisted, met = listed(), [], set()
    for name, _ in mail:
        for item, form in (("ENVELOPE", structure.raw), ("BODYSTRUCTURE", structure.body)):
            mine, other = form(ours[name][item]), form(theirs[name][item])
            if mine == other:
                continue
            met.add((name, item))
            if (name, item) not in known:
                unlisted.append(f"{name} {item}\n   ours    {mine}\n   dovecot {other}")
    stale = sorted(set(known) - met)
    assert not unlisted, f"{len(unlisted)} unlisted differences:\n" + "\n".join(unlisted[:40])
    assert not stale, f"listed, but no longer different: {stale}"
    assert len({name for name, _ in known}) <= SHARE * len(mail)
