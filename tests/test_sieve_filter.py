"""`posthorn sieve filter`: stored mail through scripts, told message by message; with --dry-run nothing is done.

--json: sieve filter
"""
import json
import subprocess

import pytest

from lib import server as posthorn

SCRIPT = """require ["fileinto", "imap4flags", "editheader"];
if header :contains "subject" "list" { fileinto "Lists"; }
elsif header "subject" "flag" { addflag "$seen"; keep; }
elsif header "subject" "drop" { discard; }
elsif header "subject" "wrong" { fileinto "Nowhere"; }
elsif header "subject" "broken" { redirect "a@example.org"; redirect "b@example.org"; redirect "c@example.org"; redirect "d@example.org"; redirect "e@example.org"; }
"""
SUBJECTS = ("a list", "flag", "drop", "wrong", "broken", "plain")


@pytest.fixture(scope="module", name="where")
def make_where():
    server = posthorn.Server()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(name="user")
def make_user(where):
    name = where.fresh_user("filter")
    imap = where.imap(name)
    imap.command('CREATE "Lists"')
    for subject in SUBJECTS:
        imap.append("INBOX", f"Subject: {subject}\r\n\r\nbody\r\n".encode())
    return name


def verb(where, *words, script=SCRIPT, want=0):
    done = subprocess.run([posthorn.binary(), "sieve", "filter", *words, "-c", where.config], input=script.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=posthorn.environment(), timeout=300, check=False)
    assert done.returncode == want, (done.stdout, done.stderr)
    return done.stdout.decode() if want == 0 else done.stderr.decode()


def state(where, user):
    imap, found = where.imap(user), {}
    for folder in ("INBOX", "Lists"):
        rows = imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if imap.select(folder)["EXISTS"] else {}
        found[folder] = {r["BODY[HEADER.FIELDS (SUBJECT)]"].decode().strip()[9:]: " ".join(sorted(set(r["FLAGS"]) - {"\\Recent"})) for r in rows.values()}
    return found


WANT = ['UID 1: fileinto :flags "" "Lists" in line 2, because of line 2: header :contains "subject" "list"',
        "UID 1: not kept",
        'UID 2: keep :flags "$seen" in line 3, because of line 3: header "subject" "flag"',
        'UID 3: discard in line 4, because of line 4: header "subject" "drop"',
        "UID 3: not kept",
        'UID 4: fileinto :flags "" "Nowhere" in line 5, because of line 5: header "subject" "wrong"',
        "UID 4: not kept",
        "UID 5: keep (implicit)",
        "UID 5: line 6: the script redirects to more than 4 addresses",
        'UID 6: keep :flags "" (implicit)']


def test_dry_run(where, user):
    """What would be done, and why; nothing is."""
    before = state(where, user)
    out = verb(where, user, "INBOX", "-", "--dry-run").splitlines()
    assert out == WANT + ["6 messages would be filtered, 3 kept, 1 with a problem"]
    assert state(where, user) == before
    rows = [json.loads(line) for line in verb(where, user, "INBOX", "-", "--dry-run", "--json").splitlines()]
    assert rows[0] == {"type": "action", "uid": 1, "action": "fileinto", "text": 'fileinto :flags "" "Lists"', "line": 2,
                       "because": 'line 2: header :contains "subject" "list"', "implicit": False}
    assert rows[1] == {"type": "action", "uid": 1, "action": "delete"}
    assert [r["uid"] for r in rows if r["type"] == "problem"] == [5]
    assert rows[-1] == {"type": "filtered", "messages": 6, "kept": 3, "failed": 1, "dry_run": True}
    assert state(where, user) == before


def test_trace(where, user):
    out = verb(where, user, "INBOX", "-", "--dry-run", "--trace").splitlines()
    assert 'UID 1: line 2: header :contains "subject" "list": true' in out and "UID 1: line 2: fileinto Lists" in out
    assert 'UID 6: line 2: header :contains "subject" "list": false' in out and "UID 6: implicit keep" in out


def test_done(where, user):
    """The same for good."""
    out = verb(where, user, "INBOX", "-").splitlines()
    assert out[:7] == WANT[:7] and "6 messages filtered, 3 kept, 2 with a problem" == out[-1]
    assert any(line.startswith("UID 4: ") and "there is no such folder" in line for line in out)
    found = state(where, user)
    assert found["Lists"] == {"a list": ""}
    assert {k: v for k, v in found["INBOX"].items() if k in SUBJECTS} == {
        "a list": "\\Deleted", "flag": "$seen", "drop": "\\Deleted", "wrong": "", "broken": "", "plain": ""}


def test_delivery(where, user):
    """Without a script: all scripts of a delivery."""
    posthorn.run_verb("sieve", "put", "main", "-", "--user", user, "-c", where.config, stdin=b'if header "subject" "drop" { discard; }')
    posthorn.run_verb("sieve", "activate", "main", "--user", user, "-c", where.config)
    verb(where, user, "INBOX")
    assert {k for k, v in state(where, user)["INBOX"].items() if v} == {"drop"}


def test_wrong(where, user):
    assert "line 1" in verb(where, user, "INBOX", "-", script="junk!", want=1)
    assert "does not work when stored mail is filtered" in verb(where, user, "INBOX", "-", script='require "imapsieve"; keep;', want=1)
    verb(where, user, "Nowhere", "-", want=1)
    verb(where, "nobody-of-that-name", "INBOX", "-", want=1)
    verb(where, user, "INBOX", "/nonexistent/script", want=1)
    empty = where.fresh_user("filter")
    assert verb(where, empty, "INBOX", "-") == "0 messages filtered, 0 kept\n"
