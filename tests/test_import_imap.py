"""import over IMAP: Dovecot's account moves in with its UIDs, flags, dates, folders; again: what is new; a break goes on."""
import hashlib
import json
import subprocess
import time

import pytest

from clients.test_import import assert_same, fill, state
from lib import client, fakeimap, peers, server as posthorn


def command(server, url, *words):
    return [posthorn.binary(), "import", url, *words, "-c", str(server.config)]


def pull(server, url, user, *words, password="secret", want=0):
    done = subprocess.run(command(server, url, "-u", user, *words), input=password.encode() + b"\n", capture_output=True,
                          env=posthorn.environment(), timeout=120, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == want, said
    return said


def test_dovecot(dovecot, server):
    """Everything comes, over verified TLS; a second run brings only the difference."""
    there, here = dovecot.fresh_user("move"), server.fresh_user("move")
    fill(dovecot, there)
    was = state(dovecot, there)
    url = f"imaps://{there}@localhost:{dovecot.ports['imaps']}"
    said = pull(server, url, here, "--ca", f"{dovecot.dir}/cert.pem")
    assert_same(was, state(server, here))
    again = pull(server, url, here, "--ca", f"{dovecot.dir}/cert.pem")
    assert "imported 0 messages" in again, again
    connection = client.Imap(dovecot.address("imap"), there, dovecot.password)
    connection.select("INBOX")
    connection.command("STORE 1 +FLAGS (\\Flagged $late)")
    connection.append("INBOX", peers.read_message("plain"), "\\Seen")
    connection.close()
    said = pull(server, url, here, "--ca", f"{dovecot.dir}/cert.pem")
    assert "imported 1 messages" in said and "1 got other flags" in said, said
    assert_same(state(dovecot, there), state(server, here))


def test_tls_is_verified(dovecot, server):
    there, here = dovecot.fresh_user("tls"), server.fresh_user("tls")
    url = f"imaps://{there}@localhost:{dovecot.ports['imaps']}"
    assert "certificate" in pull(server, url, here, want=75)


# ---- a scripted server ----

def message(i, size=300):
    return b"Subject: n%d\r\nMessage-ID: <%d@x>\r\n\r\n" % (i, i) + b"text %06d\r\n" % i * (size // 13)


@pytest.fixture
def fake():
    made = []

    def make(*words, **more):
        made.append(fakeimap.FakeImap(*words, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def url_of(fake, user="ann"):
    return f"imap://{user}@127.0.0.1:{fake.port}"


def bodies(server, user, box="INBOX"):
    return {uid: row[2] for uid, row in state(server, user)[box][2].items()}


def digest_of(messages):
    """The digest of a report, as docs/moving-in.md tells it: {uid: (flags, octets)}."""
    lines = [f"{uid} {' '.join(sorted(f.lower() for f in flags))} {hashlib.sha256(octets).hexdigest()}\n"
             for uid, (flags, octets) in sorted(messages.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def rows_of(said):
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("wrong", ["", "UID last", "backwards", "one is withheld"])
def test_plain_server(server, fake, tmp_path, wrong):
    """IMAP4rev1 and nothing more: UIDs kept, in few commands; the next run finds new mail and flags that changed."""
    rows = {3 * i: message(i) for i in range(1, 251)}
    rows[6] = message(2, 700000)
    there = fake({"INBOX": rows, "work.a/b": {7: message(7)}}, wrong=wrong)
    there.flags["INBOX", 9] = "\\Seen $Label1"
    here = server.fresh_user("plain")
    words = ("--plaintext", "--json")
    said = pull(server, url_of(there), here, *words, "--report", tmp_path / "report", want=0 if wrong != "one is withheld" else 1)
    kept = {u: b for u, b in rows.items() if wrong != "one is withheld" or u != 6}
    assert bodies(server, here) == kept
    if wrong == "one is withheld":
        assert "UID 6" in said and "does not give it" in said
        there.wrong = ""
        pull(server, url_of(there), here, *words)
        assert sorted(bodies(server, here).values()) == sorted(rows.values())
        return
    assert bodies(server, here, "work/a&IhU-b") == {7: message(7)}
    assert "work.a/b" in said and "work/a\u2215b" in said
    assert state(server, here)["INBOX"][2][9][0] == {"\\Seen", "$Label1"}
    fetches = sum("BODY" in c for c in there.said)
    assert fetches == (251 if wrong else 5), fetches
    told = {r["mailbox"]: r for r in rows_of(said) if r.get("sha256")}
    assert told["INBOX"]["imported"] == 250 and told["INBOX"]["octets"] == sum(map(len, rows.values()))
    digest = digest_of({u: (there.flags.get(("INBOX", u), "").split(), rows[u]) for u in rows})
    assert told["INBOX"]["sha256"] == told["INBOX"]["source_sha256"] == digest and told["INBOX"]["checked"] == 250
    assert told["INBOX"]["here"] == told["INBOX"]["messages"] == 250
    assert told["INBOX"]["here_octets"] == told["INBOX"]["source_octets"] == sum(map(len, rows.values()))
    rows[900] = message(900)
    there.flags["INBOX", 9] = "\\Flagged"
    there.said.clear()
    again = pull(server, url_of(there), here, *words)
    assert [c for c in there.said if "BODY" in c] == ["UID FETCH 900 (UID BODY.PEEK[])"]
    assert {r["mailbox"]: r for r in rows_of(again) if r["type"] == "mailbox"}["INBOX"]["flags"] == 1
    assert "sha256" not in again  # nothing is read back without a report
    assert bodies(server, here) == rows and state(server, here)["INBOX"][2][9][0] == {"\\Flagged"}


@pytest.mark.parametrize("wrong,words,want", [
    ("silent", "", 75), ("endless line", "without an end", 1), ("no imap", "", 1), ("literal of 4 GB", "larger than can be kept", 1),
    ("literal elsewhere", "a literal larger than any answer", 1), ("UIDs fall", "do not rise", 1), ("lying EXISTS", "", 1),
    ("another UID", "", 1), ("twice", "", 1), ("refused", "lets ann not in", 1), ("lists too much", "mailboxes", 1)])
def test_hostile(server, fake, wrong, words, want):
    """A clear error within bounds; what is here stays, and nothing wrong is kept."""
    rows = {i: message(i) for i in range(1, 6)}
    there, here = fake({"INBOX": rows}, wrong=wrong), server.fresh_user("hostile")
    began = time.monotonic()
    said = pull(server, url_of(there), here, "--plaintext", "--timeout", "1", want=want)
    assert words in said and time.monotonic() - began < 60, said
    for uid, body in bodies(server, here).items():
        assert rows[uid] == body
    there.wrong = ""
    pull(server, url_of(there), here, "--plaintext")
    assert bodies(server, here) == rows


def test_looks_alike(server, fake):
    """A message of somebody else with the size and date of one that is imported keeps its flags; nothing is doubled."""
    there, here = fake({"INBOX": {5: message(5), 6: message(6)}}), server.fresh_user("alike")
    connection = client.Imap(server.address("imap"), here, server.password)
    own = message(7)
    connection.command('APPEND INBOX (\\Seen) "01-Feb-2004 10:11:12 +0000"', own)
    pull(server, url_of(there), here, "--plaintext")
    there.flags["INBOX", 5] = "\\Flagged"
    said = pull(server, url_of(there), here, "--plaintext")
    assert "imported 0 messages" in said
    found = state(server, here)["INBOX"][2]
    assert sorted(row[2] for row in found.values()) == sorted([own, message(5), message(6)])
    assert [row[0] for row in found.values() if row[2] == own] == [{"\\Seen"}]
    connection.close()


def test_uid_taken_here(server, fake):
    """A delivery took the UID that the server gives to another message of the same size and second: both stay."""
    there, here = fake({"INBOX": {1: message(1)}}), server.fresh_user("taken")
    pull(server, url_of(there), here, "--plaintext")
    connection = client.Imap(server.address("imap"), here, server.password)
    own = message(8, 600)
    connection.command('APPEND INBOX (\\Seen) "01-Feb-2004 10:11:12 +0000"', own)
    connection.close()
    there.boxes["INBOX"][2] = message(2)
    pull(server, url_of(there), here, "--plaintext")
    assert sorted(bodies(server, here).values()) == sorted([message(1), message(2), own])
    said = pull(server, url_of(there), here, "--plaintext")
    assert "imported 0 messages" in said
    assert [r[0] for r in state(server, here)["INBOX"][2].values() if r[2] == own] == [{"\\Seen"}]


def test_names_that_meet(server, fake):
    """A '/' inside of a name becomes U+2215. Two folders that would become one here: the second is left out, and told."""
    boxes = {"INBOX": {}, "a/b": {1: message(1)}, "a&IhU-b": {1: message(2)}, "e&AwE-": {1: message(3)}, "&AOk-": {1: message(4)},
             "Sent Items.x": {1: message(5)}, "Sent.x": {1: message(6)}, "Sent Items": {}}
    there, here = fake(boxes), server.fresh_user("meet")
    said = pull(server, url_of(there), here, "--plaintext", want=1)
    assert "a/b: another mailbox has the same name here" in said
    assert bodies(server, here, "a&IhU-b") == {1: message(2)}
    assert said.count("another folder of the source goes to that name here already") == 2
    assert bodies(server, here, "&AOk-") == {1: message(3)} and bodies(server, here, "Sent/x") == {1: message(5)}


@pytest.mark.parametrize("namespaces,want", [
    ('(("INBOX." ".")("Archive." ".")) (("user." ".")) (("" "."))', {"INBOX": 1, "Work": 2, "Archive/2020": 3}),
    ('(("Archive." ".")("" ".")) (("user." ".")) (("Public." "."))', {"INBOX": 1, "INBOX/Work": 2, "Archive/2020": 3, "Other": 5})])
def test_several_namespaces(server, fake, namespaces, want):
    """RFC 2342: all that is the user's own, and nothing of others."""
    boxes = {"INBOX": {1: message(1)}, "INBOX.Work": {1: message(2)}, "Archive.2020": {1: message(3)}, "user.bob": {1: message(4)}}
    boxes["Other" if '""' in namespaces[:40] else "Public.x"] = {1: message(5)}
    there, here = fake(boxes, caps="IMAP4rev1 AUTH=PLAIN NAMESPACE"), server.fresh_user("spaces")
    there.namespaces = namespaces
    pull(server, url_of(there), here, "--plaintext")
    assert {name: list(bodies(server, here, name).values()) for name in want} == {name: [message(n)] for name, n in want.items()}
    found = {name for name, row in state(server, here).items() if row[2]}
    assert found == set(want)


def test_logins(server, fake, tmp_path):
    here = server.fresh_user("login")
    there = fake({"INBOX": {1: message(1)}}, caps="IMAP4rev1")
    pull(server, url_of(there), here, "--plaintext", password='pass"word')
    assert there.logins == ['LOGIN "ann" "pass\\"word"']
    there = fake({"INBOX": {1: message(1)}})
    pull(server, url_of(there), here, "--plaintext", "--master", "root")
    assert there.logins == [b"ann\0root\0secret"]
    (tmp_path / "token").write_text("tok\n")
    for mechanism, want in (("OAUTHBEARER", b"n,a=ann,\1auth=Bearer tok\1\1"), ("XOAUTH2", b"user=ann\1auth=Bearer tok\1\1")):
        there = fake({"INBOX": {1: message(1)}}, caps=f"IMAP4rev1 AUTH={mechanism}")
        pull(server, url_of(there), here, "--plaintext", "--token-file", str(tmp_path / "token"))
        assert there.logins == [want]
        there.wrong = "token refused"
        assert "not in" in pull(server, url_of(there), here, "--plaintext", "--token-file", str(tmp_path / "token"), want=1)
    there = fake({"INBOX": {}}, caps="IMAP4rev1 LOGINDISABLED")
    assert "no way to log in" in pull(server, url_of(there), here, "--plaintext", want=1)
    assert there.logins == []
    assert "password in a URL" in pull(server, url_of(there, "ann:secret"), here, "--plaintext", want=1)


def test_starttls(dovecot, server, fake):
    """No login without TLS; what is put in behind the OK of STARTTLS ends it (CVE-2011-0411)."""
    here = server.fresh_user("starttls")
    cert = (f"{dovecot.dir}/cert.pem", f"{dovecot.dir}/key.pem")
    for wrong, caps, want, words in (("", "IMAP4rev1 STARTTLS AUTH=PLAIN", 0, "imported 1"),
                                     ("injection", "IMAP4rev1 STARTTLS AUTH=PLAIN", 1, "before TLS"),
                                     ("", "IMAP4rev1 AUTH=PLAIN", 1, "no STARTTLS")):
        there = fake({"INBOX": {1: message(1)}}, caps=caps, wrong=wrong, cert=cert)
        url = url_of(there).replace("127.0.0.1", "localhost")
        said = pull(server, url, here, "--ca", cert[0], want=want)
        assert words in said and len(there.logins) == (want == 0), said


def test_report(server, fake, tmp_path):
    """--report says for each folder what is there and here, what was renamed, and what was left out and why."""
    boxes = {"INBOX": {3: message(3), 5: message(5)}, "a/b": {1: message(1)}, "none": {}, "c..d": {1: message(2)}}
    there, here, file = fake(boxes), server.fresh_user("report"), tmp_path / "report"
    pull(server, url_of(there), here, "--plaintext", "--report", str(file), want=1)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert file.stat().st_mode & 0o777 == 0o600
    found = {r["source"]: r for r in rows if r["type"] == "mailbox"}
    assert found["INBOX"]["source_sha256"] == found["INBOX"]["sha256"] == digest_of({u: ([], o) for u, o in boxes["INBOX"].items()})
    assert found["a/b"]["mailbox"] == "a\u2215b" and found["a/b"]["here"] == 1 and found["none"]["messages"] == 0
    assert [r["mailbox"] for r in rows if r["type"] == "renamed"] == ["a\u2215b"]
    assert "c..d" in [r["where"] for r in rows if r["type"] == "problem"]
    assert [(r["user"], r["messages"]) for r in rows if r["type"] == "imported"] == [(here, 3)] and rows[-1]["type"] == "error"
    assert "No such file" in pull(server, url_of(there), here, "--plaintext", "--report", str(tmp_path / "no/file"), want=1)


def test_dry_run(server, fake):
    there, here = fake({"INBOX": {i: message(i) for i in (1, 2)}, "new": {1: message(3)}}), server.fresh_user("dry")
    said = pull(server, url_of(there), here, "--plaintext", "--dry-run")
    assert "imported 3 messages" in said or "3 messages" in said, said
    found = state(server, here)
    assert "new" not in found and found["INBOX"][2] == {} and not any("BODY" in c for c in there.said)


def test_breaks(server, fake):
    """The connection breaks twice in the midst of a message: the same command goes on."""
    rows = {i: message(i) for i in range(1, 41)}
    there, here = fake({"INBOX": rows}, wrong="breaks"), server.fresh_user("breaks")
    said = pull(server, url_of(there), here, "--plaintext")
    assert there.connections == 3 and "once more" in said and bodies(server, here) == rows


@pytest.mark.parametrize("wrong, told", [("breaks at", "each time at UID 21 of INBOX"), ("breaks before", "each time behind UID 20 of INBOX")])
def test_breaks_at_one_message(server, fake, wrong, told):
    """Each time: also where UIDs are not kept, so that what came is asked for again, there is an end, which tells the message."""
    rows = {i: message(i) for i in range(1, 41)}
    there, here = fake({"INBOX": rows}, wrong=wrong), server.fresh_user("stuck")
    connection = client.Imap(server.address("imap"), here, server.password)
    connection.append("INBOX", message(99))
    connection.close()
    said = pull(server, url_of(there), here, "--plaintext", want=75)
    assert there.connections == 5 and told in said and len(bodies(server, here)) == 21, said


@pytest.mark.parametrize("moment", [0.4, 0.8, 1.2])
def test_killed(server, fake, moment):
    """kill -9 of the command in the midst, and again: nothing lost, nothing twice."""
    rows = {i: message(i, 20000) for i in range(1, 1201)}
    there, here = fake({"INBOX": rows}), server.fresh_user("killed")
    with subprocess.Popen(command(server, url_of(there), "-u", here, "--plaintext", "--rate", "8000000"), stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=posthorn.environment()) as run:
        run.stdin.write(b"secret\n")
        run.stdin.close()
        time.sleep(moment)
        run.kill()
    pull(server, url_of(there), here, "--plaintext")
    assert bodies(server, here) == rows
    assert "imported 0 messages" in pull(server, url_of(there), here, "--plaintext")


def test_without_a_server(server, fake):
    rows = {i: message(i) for i in range(1, 21)}
    there, here = fake({"INBOX": rows}), server.fresh_user("offline")
    server.kill()
    pull(server, url_of(there), here, "--plaintext")
    server.start()
    assert bodies(server, here) == rows


def test_users(server, fake, tmp_path):
    there = fake({"INBOX": {1: message(1)}})
    one, two = server.fresh_user("csv"), server.fresh_user("csv")
    table = tmp_path / "users.csv"
    table.write_text(f"# there,here,password\nann,{one},p1\nbea,{two},p2\nnobody,no-such-user,p3\n")
    url = f"imap://127.0.0.1:{there.port}"
    done = subprocess.run(command(server, url, "--users", str(table), "--plaintext"), stdin=subprocess.DEVNULL, capture_output=True,
                          env=posthorn.environment(), timeout=120, check=False)
    assert done.returncode == 1 and b"no-such-user" in done.stdout + done.stderr
    assert there.logins[:2] == [b"\0ann\0p1", b"\0bea\0p2"]
    assert bodies(server, one) == bodies(server, two) == {1: message(1)}


def test_users_without_passwords(server, fake, tmp_path):
    """A row without a password has that of --password-file, never that of the row before; a comma is part of it."""
    there = fake({"INBOX": {1: message(1)}})
    one, two, three = (server.fresh_user("csv") for _ in range(3))
    table, secret = tmp_path / "users.csv", tmp_path / "secret"
    table.write_text(f"ann,{one},p,1\n\nbea,{two}\neve,{three},p3\n")
    secret.write_text("common\n")
    url = f"imap://127.0.0.1:{there.port}"
    done = subprocess.run(command(server, url, "--users", str(table), "--password-file", str(secret), "--plaintext"), stdin=subprocess.DEVNULL,
                          capture_output=True, env=posthorn.environment(), timeout=120, check=False)
    assert done.returncode == 0, done
    assert there.logins == [b"\0ann\0p,1", b"\0bea\0common", b"\0eve\0p3"]


def test_posthorn(server):
    """From another Posthorn (SCRAM, CONDSTORE, LIST-STATUS, EMAILID): a second run is few commands; one message in two mailboxes
    is fetched once and is one here too."""
    there = posthorn.Server()
    try:
        user, here = there.fresh_user("from"), server.fresh_user("to")
        fill(there, user)
        connection = client.Imap(there.address("imap"), user, there.password)
        connection.select("INBOX")
        connection.command('CREATE "zcopy"')
        connection.command("COPY 1:3 zcopy")
        connection.close()
        url = f"imap://{user}@127.0.0.1:{there.address('imap')[1]}"
        said = pull(server, url, here, "--plaintext", password=there.password)
        assert_same(state(there, user), state(server, here))
        again = pull(server, url, here, "--plaintext", password=there.password)
        assert "imported 0 messages" in again, said + again
    finally:
        there.check_reports()
        there.stop()
