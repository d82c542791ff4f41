"""vnd.dovecot.pipe: programs of the administrator that scripts give mail to; good ones and hostile ones. No mail is ever lost by them."""
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from lib import client, managesieve, scratch, server as posthorn
from lib.waiting import wait_for

numbers = itertools.count(1)
PIPE = 'require ["vnd.dovecot.pipe", "copy", "variables", "fileinto", "include"];\n'
PROGRAMS = {
    "store": 'cat > "$OUT/$1.tmp"; printf "%s\\n" "$@" "$HOME" "$USER" "$HOST" "$SENDER" "$RECIPIENT" "$ORIG_RECIPIENT" > "$OUT/$1.env"; '
             'mv "$OUT/$1.tmp" "$OUT/$1"',
    "fails": "echo it is broken; exit 7",
    "deaf": "exit 0",
    "floods": "head -c 20000000 /dev/zero | tr '\\000' x",
    "forks": 'sleep 1000 & setsid sleep 1000 & echo $$ > "$OUT/$1"; exit 0',
    "family": 'setsid sleep 1000 & echo $! > "$OUT/$1"; sleep 1000',
    "endless": 'echo $$ > "$OUT/$1"; exec sleep 1000',
    "crashes": "kill -SEGV $$",
    "plain": "exit 0",
    "everybody": "exit 0",
    "spy": """exec /usr/bin/python3 -c '
import os, signal, socket, sys
data, out, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
def attempt(what, do):
    try:
        do()
        return what + ": done"
    except OSError as error:
        return what + ": refused"
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(data + "/admin.sock")
tries = [("list", lambda: os.listdir(data)), ("uuid", lambda: open(data + "/uuid").read()), ("users", lambda: os.listdir(data + "/users")),
         ("write", lambda: open(data + "/new", "w")), ("verbs", connect), ("memory", lambda: open(f"/proc/{pid}/mem", "rb").read(1)),
         ("others", lambda: os.listdir("/usr/bin")), ("descriptors", lambda: [os.fstat(n) for n in range(3, 9)])]
text = "\\n".join(attempt(*t) for t in tries) + "\\n"
open(out + ".tmp", "w").write(text + "privileges: " + [l for l in open("/proc/self/status") if l.startswith("NoNewPrivs")][0].split()[1])
os.rename(out + ".tmp", out)
' "$1" "$OUT/$2" "$3" """,
}


class Programs:
    """A folder with programs, and one for what they write."""

    def __init__(self):
        self.dir = scratch.folder("programs")
        self.bin, self.out, self.scripts = self.dir / "bin", self.dir / "out", self.dir / "scripts"
        for folder in (self.dir, self.bin, self.out, self.scripts):
            folder.mkdir(exist_ok=True)
            os.chmod(folder, 0o755)
        os.chmod(self.out, 0o777)
        for name, text in PROGRAMS.items():
            self.put(name, text)
        os.chmod(self.bin / "plain", 0o644)
        os.chmod(self.bin / "everybody", 0o757)
        (self.bin / "link").symlink_to("/bin/true")
        (self.bin / "inner").symlink_to("deaf")
        (self.bin / "folder").mkdir()
        (self.scripts / "tickets.sieve").write_text(PIPE + 'pipe "store" ["by-global"];')
        (self.scripts / "copied.sieve").write_text(
            'require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];\n'
            'if environment :matches "imap.cause" "*" { set "cause" "${1}"; }\n'
            'if header :matches "subject" "*" { pipe :copy "store" ["event-${1}", "${cause}"]; }')

    def put(self, name, text):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\nOUT={self.out}\n{text}\n")
        os.chmod(path, 0o755)

    def read(self, name):
        return (self.out / name).read_text()


def serve(programs, **settings):
    return posthorn.Server({"sieve_pipe_dir": programs.bin, "sieve_pipe_scripts": "all", "sieve_pipe_timeout": "60s",
                            "sieve_global": [str(programs.scripts)], "imapsieve": [f"COPY,APPEND Work: before {programs.scripts}/copied.sieve"],
                            **settings})


@pytest.fixture(scope="module", name="programs")
def make_programs():
    return Programs()


@pytest.fixture(scope="module", name="where")
def make_where(programs):
    server = serve(programs)
    try:
        yield server
    finally:
        server.stop()


class User:
    def __init__(self, server):
        self.server, self.name = server, f"pipe{next(numbers)}"
        server.user_add(self.name, posthorn.PASSWORD)

    def script(self, text, want=0):
        """What is said of it."""
        done = subprocess.run([posthorn.binary(), "sieve", "put", "main", "-", "--user", self.name, "-c", self.server.config],
                              input=(PIPE + text).encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=posthorn.environment(),
                              timeout=120, check=False)
        assert done.returncode == want, done.stderr.decode()
        if want == 0:
            posthorn.run_verb("sieve", "activate", "main", "--user", self.name, "-c", self.server.config)
        return done.stderr.decode()

    def deliver(self, subject, body="hello\r\n", more=""):
        lmtp = client.Lmtp(self.server.address("lmtp"), timeout=240)
        for line in ("MAIL FROM:<sender@example.org>", f"RCPT TO:<{self.name}>", "DATA"):
            lmtp.wire.send(line.encode() + b"\r\n")
            lmtp.reply()
        lmtp.wire.send(f"From: a@example.org\r\nSubject: {subject}\r\n{more}\r\n{body}.\r\n".encode())
        answer = lmtp.wire.line().decode()
        lmtp.close()
        assert answer.startswith("250"), answer

    def subjects(self, folder="INBOX"):
        imap = self.server.imap(self.name)
        found = imap.select(folder)["EXISTS"]
        rows = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if found else {}
        return sorted(re.sub(r"^Subject: |\r\n", "", r["BODY[HEADER.FIELDS (SUBJECT)]"].decode()) for r in rows.values())


NOTICE = "Your filter script failed"


def offered(server):
    with managesieve.Sieve(server.address("managesieve")) as m:
        return "vnd.dovecot.pipe" in m.capabilities()["SIEVE"].split()


def test_message(where, programs):
    """The program has the message as it came, its arguments and the environment; no shell reads any of it."""
    ann = User(where)
    name = f"{ann.name}-a"
    ann.script(f'pipe "store" ["{name}", "a b", "$(touch {programs.out}/shell); `id`", ""];')
    ann.deliver("one", "first\r\n..dot\r\n\r\nlast\r\n", "X-Field: \u00e9\r\n")
    assert ann.subjects() == []  # without :copy the program has it
    text = (programs.out / name).read_bytes()
    assert text.endswith("From: a@example.org\r\nSubject: one\r\nX-Field: \u00e9\r\n\r\nfirst\r\n.dot\r\n\r\nlast\r\n".encode())
    assert programs.read(name + ".env") == "\n".join(
        [name, "a b", f"$(touch {programs.out}/shell); `id`", "", "/", ann.name, "localhost", "sender@example.org", ann.name, ann.name, ""])
    assert not (programs.out / "shell").exists()
    assert "piped: user=<" + ann.name in where.stderr()


def test_keep(where, programs):
    """:copy, keep and fileinto keep it as well; a program has what the script made of the message."""
    ann = User(where)
    posthorn.run_verb("mailbox", "create", ann.name, "Box", "-c", where.config)
    ann.script(f"""require "editheader";
if header "subject" "copy" {{ pipe :copy "store" "{ann.name}-copy"; }}
elsif header "subject" "keep" {{ keep; pipe "store" "{ann.name}-keep"; }}
elsif header "subject" "file" {{ fileinto "Box"; pipe "store" "{ann.name}-file"; }}
else {{ addheader "X-Added" "by a script"; pipe "store" "{ann.name}-edited"; }}""")
    for subject in ("copy", "keep", "file", "edited"):
        ann.deliver(subject)
        assert f"Subject: {subject}\n" in programs.read(f"{ann.name}-{subject}")
    assert ann.subjects() == ["copy", "keep"] and ann.subjects("Box") == ["file"]
    assert "X-Added: by a script\n" in programs.read(f"{ann.name}-edited")


@pytest.mark.parametrize("program", ["fails", "crashes", "missing", "plain", "everybody", "link", "inner", "folder"])
def test_failures(where, program):
    """What fails, or is not run, leaves the mail in INBOX and tells the user; with :try nobody is told."""
    ann, bob = User(where), User(where)
    ann.script(f'pipe "{program}";')
    bob.script(f'pipe :try "{program}";')
    ann.deliver("kept")
    bob.deliver("kept")
    assert ann.subjects() == [NOTICE, "kept"] and bob.subjects() == ["kept"]
    assert "it is broken" not in str(ann.subjects())
    if program == "fails":
        assert "it ended with status 7: it is broken" in where.stderr()


def test_words(where):
    """Names and arguments that cannot be are refused when a script comes, and when it runs."""
    ann = User(where)
    for text, error in (('pipe "../deaf";', "no name of a program"), ('pipe "/bin/true";', "no name of a program"), ('pipe "";', "no name"),
                        ('pipe ".deaf";', "no name of a program"), ('pipe "deaf" "a\nb";', "cannot be an argument"),
                        ('pipe "deaf" "a\x07";', "cannot be an argument"), ('pipe "deaf" "%s";' % ("x" * 1025), "cannot be an argument"),
                        ('pipe "deaf" [%s];' % ",".join(['"a"'] * 17), "16 arguments at most"), ("pipe;", "pipe")):
        assert error in ann.script(text, want=1)
    ann.script("""if header :matches "subject" "*" { set "x" "${1}"; }
pipe "${x}";""")
    ann.deliver("../deaf")
    ann.deliver("deaf")
    assert ann.subjects() == ["../deaf", NOTICE]
    ann.script('pipe "deaf"; pipe "deaf" "2"; pipe "deaf" "3"; pipe "deaf" "4"; pipe "deaf" "5";')
    ann.deliver("too many")
    assert "too many" in ann.subjects()


def test_hostile(where, programs):
    """One that reads nothing of a large message, one that says 20 MB, one that leaves processes behind."""
    ann = User(where)
    ann.script(f'if header :matches "subject" "*" {{ pipe "${{1}}" "{ann.name}-forks"; }}')
    ann.deliver("deaf", ("x" * 998 + "\r\n") * 8000)
    ann.deliver("floods")
    ann.deliver("forks")
    assert ann.subjects() == []
    role = where.pids("pipe")[0]
    wait_for(lambda: not pathlib.Path(f"/proc/{role}/task/{role}/children").read_text(), "what it left is ended")
    assert len(where.stderr()) < 20_000_000


def test_endless(programs):
    """One that never ends is ended, and the mail is kept."""
    server = serve(programs, sieve_pipe_timeout="1s")
    try:
        ann = User(server)
        ann.script(f'pipe "endless" "{ann.name}-endless";')
        ann.deliver("late")
        assert ann.subjects() == [NOTICE, "late"]
        assert "it took too long" in server.stderr()
        assert not posthorn.runs(int(programs.read(f"{ann.name}-endless")))
    finally:
        server.stop()


def test_role_killed(where, programs):
    """kill -9 of the role while a program has a message: it is kept, and the next goes through the next process."""
    ann = User(where)
    ann.script(f"""if header "subject" "first" {{ pipe "endless" "{ann.name}-killed"; }}
else {{ pipe "store" "{ann.name}-next"; }}""")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ann.deliver("first")
            code = 0
        finally:
            os._exit(code)
    started = programs.out / f"{ann.name}-killed"
    wait_for(lambda: started.exists() and started.read_text().strip(), "it runs")
    role = where.pids("pipe")[0]
    os.kill(role, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ann.subjects() == [NOTICE, "first"]
    wait_for(lambda: not posthorn.runs(int(started.read_text())), "the program dies with the role")
    wait_for(lambda: where.pids("pipe") not in ([], [role]), "the role comes back")
    ann.deliver("second")
    assert ann.subjects() == [NOTICE, "first"] and "Subject: second" in programs.read(f"{ann.name}-next")


def test_stopped_meanwhile(programs):
    """The server ends while a program runs: the program, and what it started, ends with it; and nothing else goes wrong."""
    server = serve(programs)
    ann = User(server)
    ann.script(f'pipe "family" "{ann.name}-family";')
    pid = os.fork()
    if pid == 0:
        try:
            ann.deliver("first")
        finally:
            os._exit(0)
    started = programs.out / f"{ann.name}-family"
    try:
        wait_for(lambda: started.exists() and started.read_text().strip(), "it runs")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
    finally:
        server.kill()
    os.waitpid(pid, 0)
    assert "Panic" not in server.stderr()
    assert not posthorn.runs(int(started.read_text()))
    shutil.rmtree(server.dir)


def test_sandbox(where, programs):
    """A program reads and writes what its user may, but nothing of ours; the verbs are out of reach."""
    ann = User(where)
    ann.script(f'pipe "spy" ["{where.data}", "{ann.name}-spy", "{where.pids("mail")[0]}"];')
    ann.deliver("spy")
    assert ann.subjects() == []
    assert programs.read(f"{ann.name}-spy").split("\n") == [
        "list: refused", "uuid: refused", "users: refused", "write: refused", "verbs: refused", "memory: refused", "others: done",
        "descriptors: refused", "privileges: 1"]


def test_events(where, programs):
    """IMAPSIEVE and FILTER give stored mail to programs; one that fails leaves it alone."""
    ann = User(where)
    imap = where.imap(ann.name)
    imap.command('CREATE "Work"')
    imap.append("Work", f"Subject: {ann.name}\r\n\r\nbody\r\n".encode())
    assert programs.read(f"event-{ann.name}").endswith(f"Subject: {ann.name}\n\nbody\n")
    assert programs.read(f"event-{ann.name}.env").split("\n")[1] == "APPEND"
    imap.select("Work")
    script = f'require "vnd.dovecot.pipe"; pipe "store" "{ann.name}-filtered";'.replace('"', '\\"')
    imap.command(f'UID FILTER SIEVE SCRIPT "{script}" ALL')
    assert programs.read(f"{ann.name}-filtered").endswith("\n\nbody\n")
    assert "\\Deleted" in imap.fetch("1", "(FLAGS)").popitem()[1]["FLAGS"]


def test_whose(where, programs):
    """By default only the administrator's scripts start programs; users may include those. Without a folder nobody's do."""
    assert offered(where)
    server = serve(programs, sieve_pipe_scripts="global")
    try:
        assert not offered(server)
        ann = User(server)
        assert 'there is no extension "vnd.dovecot.pipe"' in ann.script('pipe "deaf";', want=1)
        posthorn.run_verb("sieve", "put", "main", "-", "--user", ann.name, "-c", server.config,
                          stdin=b'require ["include", "ihave"]; if ihave "vnd.dovecot.pipe" { discard; } include :global "tickets";')
        posthorn.run_verb("sieve", "activate", "main", "--user", ann.name, "-c", server.config)
        ann.deliver("ticket")
        assert ann.subjects() == [] and "Subject: ticket" in programs.read("by-global")
    finally:
        server.stop()
    server = posthorn.Server()
    try:
        assert "pipe" not in server.roles() and not offered(server)
        assert "there is no extension" in User(server).script('pipe "deaf";', want=1)
    finally:
        server.stop()


def test_no_folder(programs):
    """A folder that is gone: the server runs, and mail is kept."""
    server = serve(programs, sieve_pipe_dir=str(programs.dir / "gone"))
    try:
        ann = User(server)
        ann.script('pipe "deaf";')
        ann.deliver("kept")
        assert ann.subjects() == [NOTICE, "kept"] and "scripts have no programs" in server.stderr()
    finally:
        server.stop()


@pytest.mark.parametrize("settings, error", [({"sieve_pipe_dir": "bin"}, "must be an absolute path"), ({"sieve_pipe_timeout": "0s"}, "between 1s and 300s"),
                                             ({"sieve_pipe_timeout": "1h"}, "between 1s and 300s"),
                                             ({"sieve_pipe_scripts": "some"}, "global")])
def test_settings(settings, error):
    server = posthorn.Server(settings, start=False)
    done = subprocess.run([posthorn.binary(), "config", "check", "-c", server.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=posthorn.environment(), timeout=60, check=False)
    assert done.returncode == 1 and error in done.stdout.decode()
    server.settings = {"sieve_pipe_dir": server.data / "programs"}
    server.write_config()
    done = subprocess.run([posthorn.binary(), "config", "check", "-c", server.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=posthorn.environment(), timeout=60, check=False)
    assert done.returncode == 1 and "must not be in the data directory" in done.stdout.decode()
    shutil.rmtree(server.dir)
