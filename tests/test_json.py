"""--json: every verb that prints says the same facts as its plain output, one JSON object per line, and its errors too."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from lib import client, peers, scratch, server as posthorn

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = re.findall(r'^[A-Z]+\(\s*"([^"]+)"', (ROOT / "src/ctl/verbs.def").read_text(), re.M)
PASSWD_FILE = "dora:{PLAIN}x\nbroken line\nalice:{PLAIN}secret\n"
MESSAGE = b"From: a@example.org\r\nSubject: one\r\n\r\nbody\r\n"
HOSTILE = "a\"b\\c ü \u2028 d"  # a mailbox name

# Verbs that say nothing when all is well; `demo account` is what `demo` runs; `serve` writes the log (test_log.py).
SILENT = {"attachments": ["alice"], "backup": ["{new}.backup"], "restore": ["{backup}", "--data", "{new}"], "demo account": None, "serve": None}
# What each verb is called with. {data}: a copy of its own of one and the same store.
CALLS = {
    "user add": ["erna"], "user passwd": ["alice"], "user list": [], "user delete": ["bob"], "user load": ["{passwd}"],
    "mailbox list": ["alice"], "import": ["maildir", "{maildir}", "-u", "alice", "--folder", "Got"],
    "export": ["mbox", "{new}", "-u", "alice"], "verify": [], "compact": [], "rebuild": [], "capabilities": [],
    "mailbox appendlimit": ["alice", "INBOX"], "mailbox index": ["alice"], "mailbox labels": ["alice", "on", "--dry-run"],
    "mailbox undelete": ["alice", "--dry-run"],
    "config check": [], "config dump": [], "doctor": [], "help": [],
}
SERVED = {"status": [], "who": [], "kick": ["alice"], "rawlog": ["alice", "on"], "reload": []}  # `demo` has a test of its own
# Members that only the JSON form has: (type, name).
COUNTS = ("present", "moved", "over", "keywords_left_out", "new_emailids", "left_out")  # plain only when there are some
SWITCHED = ("dry_run", "made", "kept", "flags", "copies", "removed", "alone")  # in words, or when there are some
ONLY_JSON = {*(("index", name) for name in ("on", "working", "resting")), *(("labels", name) for name in SWITCHED), *((row, name) for row in ("undeleted", "restored") for name in COUNTS), ("total", "dry_run"),
             ("extension", "commands"), ("extension", "words"), ("mailbox", "selectable"), ("session", "lip"), ("session", "idling"), ("error", "code"), ("error", "exit"), ("configuration", "file"),
             ("imported", "user"), ("imported", "source")}  # what the person wrote


def run(*words, stdin=b"", cwd=None):
    done = subprocess.run([posthorn.binary(), *map(str, words)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=posthorn.environment(), timeout=120, check=False, cwd=cwd)
    assert not posthorn.REPORT.search(done.stderr.decode(errors="replace")), done.stderr.decode()
    return done.returncode, done.stdout, done.stderr


def objects(text):
    """Every line one JSON object with a type, printable ASCII and UTF-8 only."""
    found = []
    for line in text.decode("utf-8").split("\n")[:-1]:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line), line
        row = json.loads(line)
        assert isinstance(row, dict) and isinstance(row["type"], str) and len(row) > 1, row
        found.append(row)
    assert text == b"" or text.endswith(b"\n")
    return found


def words_of(value):
    if isinstance(value, list):
        return " ".join(value)
    return str(value)


def compare(plain, rows):
    """Each value of a row stands in its plain line, and each number of the plain line in the row."""
    lines = plain.decode().split("\n")[:-1]
    assert len(lines) == len(rows), (plain, rows)
    for line, row in zip(lines, rows):
        rest = line
        for name, value in row.items():
            if name == "type" or (row["type"], name) in ONLY_JSON:
                continue
            if isinstance(value, bool):
                assert (name.lower() in line.lower()) == value, (name, line, row)
            else:
                assert words_of(value) in line, (name, value, line)
                rest = rest.replace(words_of(value), "", 1)
        assert not re.search(r"\d", rest), f"only in the plain output: {rest!r} of {line!r}; {row}"


def reachable():
    """A folder that the service user reaches too; pytest's own are the caller's alone."""
    return scratch.folder("json", mode=0o777)


@pytest.fixture
def folder():
    path = reachable()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def store():
    """A store with mail, folders and a hostile name; a Maildir, a passwd-file and a backup beside it."""
    base = reachable()
    maildir = base / "maildir"
    for sub in ("cur", "new", "tmp"):
        (maildir / sub).mkdir(parents=True)
    (maildir / "new" / "1.x").write_bytes(MESSAGE)
    (base / "passwd").write_text(PASSWD_FILE)
    subprocess.run(["cp", "-a", "--sparse=always", str(posthorn.template()), str(base / "data")], check=True)
    posthorn.give_to_service(base / "data")
    server = posthorn.Server(data=base / "data")
    try:
        imap = client.Imap(("127.0.0.1", server.ports["imap"]), "alice", posthorn.PASSWORD)
        for _ in range(3):
            imap.append("INBOX", MESSAGE)
        imap.command("ENABLE IMAP4rev2")
        imap.command('CREATE "' + HOSTILE.replace("\\", "\\\\").replace('"', '\\"').replace("\u2028", "_") + '"')
        imap.command("CREATE parent/child")
        imap.command("DELETE parent/child")
        server.stop()
        assert run("backup", base / "backup", "--data", base / "data") == (0, b"", b"")
        yield base
    finally:
        if server.process:
            server.kill()
        shutil.rmtree(server.dir, ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)


class Copies:
    def __init__(self, base, tmp):
        self.base, self.tmp, self.count = base, tmp, 0

    def places(self):
        self.count += 1
        data = self.tmp / "data"  # the same name each time, since some verbs print it
        shutil.rmtree(data, ignore_errors=True)
        subprocess.run(["cp", "-a", "--sparse=always", str(self.base / "data"), str(data)], check=True)
        return {"data": data, "new": self.tmp / f"new{self.count}", "backup": self.base / "backup",
                "passwd": self.base / "passwd", "maildir": self.base / "maildir"}

    def call(self, verb, args, *more):
        places = self.places()
        args = [a.format(**places) for a in args]
        data = [] if "--data" in args else ["--data", places["data"]]
        return run(*verb.split(), *args, *data, *more, stdin=b"new secret\n")


@pytest.fixture
def copies(store, folder):
    return Copies(store, folder)


def test_every_row_is_called():
    called = {*SILENT, *CALLS, *SERVED, "demo"} | extra_rows()
    assert set(ROWS) == called


def extra_rows():
    """Rows with a test of --json elsewhere: the file names the verb and --json."""
    named = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path.name == "test_json.py" or ".work" in path.parts:
            continue
        text = path.read_text()
        named |= {verb for verb in ROWS if f"--json: {verb}\n" in text}
    return named


@pytest.mark.parametrize("verb", sorted(v for v in CALLS if v not in ("config dump", "help", "doctor")))
def test_same_facts(copies, verb):
    plain, dressed = copies.call(verb, CALLS[verb]), copies.call(verb, CALLS[verb], "--json")
    left_out = verb == "user load"  # the file has a broken line
    assert plain[0] == dressed[0] == left_out, (plain, dressed)
    rows, notes = objects(dressed[1]), objects(dressed[2])
    assert rows or notes
    compare(plain[1], rows)
    compare(plain[2], notes)


@pytest.mark.parametrize("verb", sorted(v for v, args in SILENT.items() if args))
def test_silent(copies, verb):
    plain, dressed = copies.call(verb, SILENT[verb]), copies.call(verb, SILENT[verb], "--json")
    assert plain == dressed == (0, b"", b"")


def test_restore_of_a_folder(copies):
    """The other form of restore, which is not silent."""
    args = ["{backup}", "--user", "alice", "--folder", "INBOX", "--to", "Back", "--data", "{data}"]
    plain, dressed = copies.call("restore", args), copies.call("restore", args, "--json")
    assert plain[0] == dressed[0] == 0, (plain, dressed)
    compare(plain[1], objects(dressed[1]))
    assert [r["type"] for r in objects(dressed[1])] == ["restored", "total"] and plain[2] == dressed[2] == b""
    assert objects(dressed[1])[0] == {"type": "restored", "folder": "Back", "messages": 3, "octets": 3 * len(MESSAGE), "present": 0,
                                      "new_emailids": 0, "left_out": 0}


def test_mailboxes(copies):
    rows = objects(copies.call("mailbox list", ["alice"], "--json")[1])
    assert [r["name"] for r in rows if r["name"].startswith('a"b')] == [HOSTILE.replace("\u2028", "_")]
    inbox = next(r for r in rows if r["name"] == "INBOX")
    assert (inbox["exists"], inbox["unseen"], inbox["uidnext"]) == (3, 3, 4)
    assert {r["name"]: r["selectable"] for r in rows}["INBOX"] is True
    assert any(r.get("special_use") == "\\Sent" for r in rows)


def test_doctor(copies):
    plain, dressed = copies.call("doctor", []), copies.call("doctor", [], "--json")
    rows = objects(dressed[1])
    assert plain[0] == dressed[0] and len(rows) == len(plain[1].splitlines()) == 12
    for line, row in zip(plain[1].decode().splitlines(), rows):
        assert line.split("  ")[0] == row["name"] and f" {row['finding']} " in line
        if row["name"] not in ("disk space", "clock"):
            assert line.endswith(row["message"])


def test_help(copies):
    def both(*words):
        """The plain form, its broken lines joined; the rows."""
        return " ".join(run("help", *words)[1].decode().split()), objects(run("help", *words, "--json")[1])
    plain, rows = both()
    topics = [r for r in rows if r["type"] == "topic"]
    assert [r["topic"] for r in topics] == list(dict.fromkeys(r["topic"] for r in topics))
    assert {r["topic"] for r in topics} == {verb.split()[0] for verb in ROWS}
    assert all(f"{r['topic']} {r['help']}" in plain and r.get("heading", "") in plain for r in topics)
    assert "posthorn(1)" in plain and "--json" in plain
    assert all(len(line) <= 80 for line in run("help", "all")[1].decode().splitlines() + run("help")[1].decode().splitlines())
    plain, rows = both("all")
    assert [r["verb"] for r in rows if r["type"] == "verb"] == ROWS
    assert [r["verb"] for r in both("user", "password")[1] if r["type"] == "verb"] == [v for v in ROWS if v.startswith("user password")]
    for row in rows:
        shown = f"{row['verb']} {row['usage']}" if row["type"] == "verb" else f"{row['option']} {row['value']}"
        assert shown.rstrip() in plain and row["help"] in plain
    plain, rows = both("settings")
    assert {"retention", "tls.key"} <= {r["setting"] for r in rows} and not any(r["setting"].startswith("test_") for r in rows)
    for row in rows:
        assert f"{row['setting']} ({row['kind']}" in plain and row["help"] in plain and row["default"] in plain
    assert [r["setting"] for r in objects(run("help", "quota_grace", "--json")[1])] == ["quota_grace"]
    roles = objects(run("help", "roles", "--json")[1])
    assert {"supervisor", "mail"} <= {r["role"] for r in roles} and all(r["help"] for r in roles)
    assert [r["option"] for r in objects(run("help", "rawlog", "--json")[1])[1:]] == ["--for"]
    assert objects(run("--version", "--json")[1])[0]["version"] in run("--version")[1].decode()


def test_settings(tmp_path):
    """The plain form is a configuration file: read back it gives the same rows."""
    path = tmp_path / "posthorn.conf"
    path.write_text('version = 1\nhostname = "x.example"\nimap = { "127.0.0.1:1", "127.0.0.1:2" }\nretention = 3d\n'
                    'message_size_max = 5M\nplaintext_auth = true\n')
    rows = objects(run("config", "dump", "-c", path, "--json")[1])
    value = {r["name"]: r["value"] for r in rows}
    assert (value["imap"], value["retention"], value["message_size_max"], value["plaintext_auth"], value["hostname"]) == (
        ["127.0.0.1:1", "127.0.0.1:2"], 3 * 86400, 5 << 20, True, "x.example")
    plain = run("config", "dump", "-c", path)[1]
    again = tmp_path / "again.conf"
    again.write_bytes(plain)
    assert objects(run("config", "dump", "-c", again, "--json")[1]) == rows
    for row in rows:
        assert row["help"] in plain.decode() and row["name"].split(".")[-1] + " = " in plain.decode()
    path.write_text('version = 1\noauth_secret = "s3cret"\n')
    for words in ((), ("--json",)):
        said = run("config", "dump", "-c", path, *words)[1].decode()
        assert "(hidden)" in said and "s3cret" not in said


def failing():
    yield ("help", "usr"), 2, "BAD"
    yield ("mailbox", "list", "nobody-there"), 1, "NONEXISTENT"
    yield ("user", "passwd", "nobody-there"), 1, "NONEXISTENT"
    yield ("user", "add", "alice"), 1, "ALREADYEXISTS"
    yield ("status",), 1, "UNAVAILABLE"
    yield ("who",), 1, "UNAVAILABLE"
    yield ("auth", "test", "alice"), 75, "UNAVAILABLE"
    yield ("usr", "lst"), 2, "BAD"
    yield ("user", "add"), 2, "BAD"
    yield ("user", "delete", "alice", "--dry-run"), 2, "BAD"  # it has none, and must not do it in earnest
    yield ("sieve", "list"), 2, "BAD"
    yield ("mailbox", "labels", "alice", "on", "off"), 2, "BAD"
    yield ("--bogus\x01\u2028",), 2, "BAD"
    yield ("export", "tar", "/tmp/none", "-u", "alice"), 1, "BAD"


@pytest.mark.parametrize("words, code, kind", list(failing()), ids=lambda v: "-".join(v) if isinstance(v, tuple) else None)
def test_errors(copies, words, code, kind):
    data = copies.places()["data"]
    plain = run(*words, "--data", data, stdin=b"x\n")
    dressed = run(*words, "--data", data, "--json", stdin=b"x\n")
    assert plain[0] == dressed[0] == code and dressed[1] == b""
    error = objects(dressed[2])[-1]
    assert (error["type"], error["exit"], error["code"]) == ("error", code, kind)
    assert error["message"].replace("\x01", r"\x01") in plain[2].decode() or error["message"] == "wrong arguments"


@pytest.mark.parametrize("there", (False, True), ids=("missing", "empty"))
@pytest.mark.parametrize("words", (["user", "list"], ["verify"], ["backup", "{tmp}/backup"], ["compact"], ["rebuild"], ["quota", "list"],
                                   ["restore", "{backup}", "--user", "alice"]), ids=lambda words: words[0])
def test_no_store(copies, tmp_path, words, there):
    """A --data that is misspelt, or not mounted: no success, no empty backup, and nothing is made there."""
    data = tmp_path / "data"
    if there:
        data.mkdir()
    words = [word.format(tmp=tmp_path, backup=copies.places()["backup"]) for word in words]
    code, out, err = run(*words, "--data", data)
    assert code == 1 and out == b"" and b"there is no store in" in err
    assert (list(data.iterdir()) == [] if there else not data.exists()) and not (tmp_path / "backup").exists()


def test_dashes(copies):
    """Behind -- no word is an option."""
    data = copies.places()["data"]
    assert run("mailbox", "create", "alice", "-x", "--data", data)[0] == 2
    assert run("mailbox", "create", "--data", data, "--", "alice", "-x")[0] == 0
    assert b"\n-x\t" in run("mailbox", "list", "--data", data, "--", "alice")[1]
    assert run("user", "list", "--", "--data", data)[0] == 2


def test_many_words(copies):
    """As many as a usage promises: FROM, 58 recipients and FILE."""
    data = copies.places()["data"]
    done = run("queue", "add", "a@example.org", *(f"u{i}@example.org" for i in range(58)), "-", "--data", data)
    assert done[0] == 1 and b"no server runs" in done[2]
    assert run("queue", "add", "a@example.org", *(f"u{i}@example.org" for i in range(59)), "-", "--data", data)[0] == 2


def test_full_disk(copies):
    data = copies.places()["data"]
    for verb in ("help", "user list"):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([posthorn.binary(), *verb.split(), "--data", str(data), "--json"], stdout=full,
                                  stderr=subprocess.PIPE, env=posthorn.environment(), timeout=60, check=False)
        assert done.returncode == 1 and objects(done.stderr)[-1]["code"] == "DISK", (verb, done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed(copies, closed):
    """A standard descriptor that is closed is nobody's file and nobody's socket: nothing is read from it or written to it."""
    data = copies.places()["data"]
    for words in ("user passwd alice", "backup -"):
        done = subprocess.run(["sh", "-c", f"exec {posthorn.binary()} {words} --data {data} {closed}"], input=b"x\n", capture_output=True,
                              env=posthorn.environment(), timeout=60, check=False)
        missing = "<&-" in closed and words[0] == "u" or ">&-" in closed.replace("2>&-", "")
        assert done.returncode == missing, (words, done)
    lock = next((data / "index").glob("*/lock.mdb"))
    assert b"posthorn" not in lock.read_bytes() and (data / "lock").stat().st_size == 0
    assert run("verify", "--data", data)[0] == 0


def test_served(server):
    """The same by the server; and what only a server can tell."""
    imap = client.Imap(("127.0.0.1", server.ports["imap"]), "alice", posthorn.PASSWORD)
    at = ("--data", server.data)
    for words in (("status",), ("who",), ("user", "list"), ("mailbox", "list", "alice"), ("verify",), ("reload",)):
        plain, dressed = run(*words, *at), run(*words, *at, "--json")
        assert plain[0] == dressed[0] == 0
        told = plain[1].replace(b"\tTLS\t", b"\ttls\t")
        rows = objects(dressed[1])
        if words == ("who",):  # a second may have passed between the two
            told = re.sub(rb"silent \d+s", b"silent 0s", told)
            rows = [{**row, "silent": 0} for row in rows]
        compare(told, rows)
    row = objects(run("who", *at, "--json")[1])[0]
    assert (row["user"], row["service"], row["rip"], row["tls"]) == ("alice", "imap", "127.0.0.1", False)
    failed = run("user", "passwd", "zoe", *at, "--json", stdin=b"x\n")
    assert objects(failed[2])[0]["code"] == "NONEXISTENT"
    dressed = run("kick", "alice", *at, "--json")
    assert objects(dressed[1]) == [{"type": "kicked", "sessions": 1}]
    assert run("kick", "alice", *at)[1] == b"0 sessions ended\n"
    for words in (("rawlog", "alice", "on"), ("rawlog", "alice", "off")):
        dressed, plain = run(*words, *at, "--json"), run(*words, *at)
        assert objects(dressed[1]) == [{"type": "rawlog", "user": "alice", "on": words[2] == "on", "sessions": 0}]
        assert plain[1].decode() == f"alice: {words[2]}, 0 sessions are open\n"
    imap.wire.close()


def test_reload(server):
    """What changed, what needs a restart and why one is refused: the same facts in both forms."""
    def change(plaintext):
        peers.make_certificate(server.dir)
        server.settings.update(plaintext_auth=plaintext, mail_threads=3, log_level="info")
        server.write_config()

    call = ("reload", "--data", server.data)
    change(False)
    plain = run(*call)
    change(True)
    dressed = run(*call, "--json")
    assert plain[0] == dressed[0] == 0 and plain[2] == dressed[2] == b""
    assert objects(dressed[1]) == [{"type": "reloaded", "changed": "plaintext_auth", "certificates": True, "scripts": False},
                                   {"type": "needs_restart", "settings": "mail_threads"}]
    compare(plain[1].replace(b"other certificates", b"certificates"), objects(dressed[1]))
    server.config.write_text(server.config.read_text() + "nonsense = 1\n")
    plain, dressed = run(*call), run(*call, "--json")
    assert plain[:2] == dressed[:2] == (1, b"")
    row = objects(dressed[2])[-1]
    assert (row["type"], row["exit"]) == ("error", 1) and "there is no setting 'nonsense'" in row["message"]
    compare(plain[2], objects(dressed[2]))


@pytest.mark.parametrize("dressed", [False, True])
def test_demo(folder, dressed):
    tmp_path, offset = folder, peers.free_offset((24, 143, 587, 993, 4190))
    words = ["demo", "--data", tmp_path / "demo", "--offset", offset, "--password", "p\"w", *(["--json"] if dressed else [])]
    out = tmp_path / "out"
    with open(out, "wb") as file, open(tmp_path / "err", "wb") as err:
        demo = subprocess.Popen([posthorn.binary(), *map(str, words)], stdout=file, stderr=err, env=posthorn.environment())
        deadline = time.monotonic() + 60
        while (b"LMTP" not in out.read_bytes() or not out.read_bytes().endswith(b"\n")) and time.monotonic() < deadline:
            assert demo.poll() is None, (tmp_path / "err").read_text()
            time.sleep(0.1)
        time.sleep(0.2)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 0
    facts = {"user": "demo@localhost", "password": "p\"w", "data": str(tmp_path / "demo")}
    if not dressed:
        text = out.read_text()
        assert all(v in text for v in facts.values()) and f"127.0.0.1:{offset + 143}" in text
        return
    rows = objects(out.read_bytes())
    assert rows[0]["type"] == "demo" and facts.items() <= rows[0].items()
    assert [r["port"] - offset for r in rows[1:]] == [143, 993, 110, 995, 24, 80, 587, 4190]
