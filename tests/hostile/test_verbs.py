"""The command line in clumsy hands, and as somebody who is not root."""
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import termios

import pytest

from lib import scratch, server as posthorn
from lib.peers import free_ports, make_certificate, wait_port
from lib.terminal import Terminal
from lib.waiting import wait_for
from lib.wire import Wire


def run(*words, stdin=b"", user=None, timeout=30):
    options = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run([posthorn.binary(), *map(str, words)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=posthorn.environment(), timeout=timeout, check=False, **options)
    assert not posthorn.REPORT.search(done.stderr.decode(errors="replace")), done.stderr.decode()
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


GOOD = """version = 1
hostname = "localhost"
data = "{dir}/data"
imap = {{ "127.0.0.1:{port}" }}
plaintext_auth = true
"""

# What is wrong, the line it is on, and words of the message that help.
MISTAKES = [
    ("versoin = 1\n", 1, "version"),
    ("version = 1\nimap_port = 143\n", 2, "imap"),
    ("version = 1\nplaintext_auth = yep\n", 2, "true"),
    ("version = 1\nretention = soon\n", 2, "14d"),
    ("version = 1\nmail_threads = many\n", 2, "mail_threads"),
    ("version = 1\nmail_threads = -1\n", 2, "mail_threads"),
    ("version = 1\nmail_threads = 99999999999999999999\n", 2, "mail_threads"),
    ("version = 1\nmemory_hard = 1X\n", 2, "memory_hard"),
    ("version = 1\nsandbox = maybe\n", 2, "preferred"),
    ("version = 2\n", None, "version = 1"),
    ("version = 1\ntls {\n  certificat = \"x\"\n}\n", 3, "certificate"),
    ("version = 1\ntsl {\n}\n", 2, "config dump"),
    ("version = 1\nhostname = \"a\n", 3, ""),
    ("version = 1\nimap = { \"127.0.0.1:1430\"\nplaintext_auth = true\n", None, ""),
    ("version = 1\nversion = 1\n%%%\n", None, ""),
    ("version = 1\n\0\n", None, ""),
    ("version = 1\nhostname = \"" + "x" * 100_000 + "\"\n", 2, ""),
    ("version = 1\nimap = { " + ", ".join(['"127.0.0.1:1"'] * 500) + " }\n", 2, ""),
]


@pytest.fixture
def folder():
    """pytest's own has long names, which messages cut."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ph-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("number", range(len(MISTAKES)))
@pytest.mark.parametrize("verb", [("serve", "-c"), ("config", "check", "-c")])
def test_mistakes_in_the_file(folder, number, verb):
    """Refused with file, line and what to write instead."""
    text, line, word = MISTAKES[number]
    path = folder / "posthorn.conf"
    path.write_text(text)
    code, out, err = run(*verb, path)
    said = out + err
    assert code not in (0, -6, -11), said
    assert str(path) in said, said
    if line:
        assert re.search(rf"posthorn\.conf:{line}\b", said), said
    assert word in said, said
    assert len(said) < 2000, "one mistake, a page of text"


LATER = [
    ('imap = { "127.0.0.1" }', ":143"),
    ('imap = { "nonsense:143x" }', "nonsense"),
    ('imap = { "127.0.0.1:99999" }', "99999"),
    ('imaps = { "127.0.0.1:0" }', ""),
    ('imap = { "127.0.0.1:{port}", "127.0.0.1:{port}" }', "{port}"),
    ('tls { certificate = "/nonexistent.pem" key = "/nonexistent.key" }', "/nonexistent"),
    ('tls { certificate = "{dir}/posthorn.conf" key = "{dir}/posthorn.conf" }', "posthorn.conf"),
    ('tls { certificate = "{dir}/cert.pem" }', "key"),
    ('user = "nobody-of-this-name"', "nobody-of-this-name"),
    ('lmtp = { "unix:/nonexistent/dir/sock" }', "/nonexistent/dir/sock"),
    ('lmtp_networks = { "10.0.0.0/99" }', "10.0.0.0/99"),
]


@pytest.mark.parametrize("setting, word", LATER)
def test_settings_that_cannot_work(folder, setting, word):
    port = free_ports(1)[0]
    make_certificate(folder)
    path = folder / "posthorn.conf"
    fill = lambda text: text.replace("{dir}", str(folder)).replace("{port}", str(port))  # noqa: E731
    base = GOOD.format(dir=folder, port=port)
    if setting.startswith("imap ="):
        base = re.sub(r"imap = .*\n", "", base)
    path.write_text(base + ("" if "user =" in setting else 'user = "nobody"\n' if os.getuid() == 0 else "") + fill(setting) + "\n")
    code, out, err = run("serve", "-c", path, timeout=20)
    assert code not in (0, -6, -11)
    assert fill(word) in out + err, out + err


def test_config_check_reads_certificates(folder):
    """As the server would, where it may; else it says that it could not."""
    make_certificate(folder)
    (folder / "empty.pem").touch()
    (folder / "other").mkdir()
    make_certificate(folder / "other")
    path = folder / "posthorn.conf"

    def check(certificate, key, user=None):
        tls = f'tls {{ certificate = "{folder}/{certificate}" key = "{folder}/{key}" }}\n'
        path.write_text(GOOD.format(dir=folder, port=1) + tls)
        code, out, err = run("config", "check", "-c", path, user=user)
        return code, out + err

    code, said = check("cert.pem", "key.pem")
    assert code == 0 and "no mistakes found" in said and "checked" not in said, said
    for pair, word in ((("none.pem", "key.pem"), "none.pem: No such file"), (("cert.pem", "none.pem"), "none.pem: No such file"),
                       (("empty.pem", "key.pem"), "no certificate in PEM form"), (("cert.pem", "empty.pem"), "no key in PEM form"),
                       (("cert.pem", "other/key.pem"), "does not belong"), (("key.pem", "cert.pem"), "no certificate in PEM form")):
        code, said = check(*pair)
        assert code == 1 and word in said and "no mistakes" not in said, (pair, said)
    if os.getuid() == 0:
        folder.chmod(0o755)
        program = scratch.folder("check") / "posthorn"
        shutil.copy(posthorn.binary(), program)
        program.parent.chmod(0o755)
        (folder / "key.pem").chmod(0o600)
        done = subprocess.run([program, "config", "check", "-c", path], user="nobody", group=pwd.getpwnam("nobody").pw_gid, extra_groups=[],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=posthorn.environment(), check=False)
        shutil.rmtree(program.parent)
        assert done.returncode == 0 and b"key.pem: may not be read by this user" in done.stdout and b"no mistakes found" in done.stdout, done.stdout


def test_lines_that_are_not_used(tmp_path):
    """Those that can be used are; the exit status tells that there were others, also in an earlier piece."""
    path = tmp_path / "passwd"
    path.write_text("".join(f"u{i}:{{PLAIN}}secret\n" for i in range(1000)))
    assert run("user", "load", path, "--data", tmp_path / "data")[0] == 0
    path.write_text("x\nann:{PLAIN}secret\n" + path.read_text())
    code, out, err = run("user", "load", path, "--data", tmp_path / "data")
    assert code == 1 and "1 added" in out and "1 lines not used" in out and "1 lines were not used" in err, (out, err)
    code, out, err = run("user", "load", path, "--data", tmp_path / "data", "--json")
    assert code == 1 and '"exit":1' in err and "1000 changed" not in out, (out, err)
    assert "ann" in run("user", "list", "--data", tmp_path / "data")[1]


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_end_at_the_prompt(tmp_path, end):
    """The terminal shows again what is typed."""
    number = getattr(signal, end)
    with Terminal([posthorn.binary(), "user", "add", "ann", "--data", tmp_path / "data"], tmp_path) as terminal:
        terminal.wait("Password: ")
        wait_for(lambda: not termios.tcgetattr(terminal.parent)[3] & termios.ECHO)
        terminal.process.send_signal(number)
        assert terminal.process.wait(20) == -number
        assert termios.tcgetattr(terminal.parent)[3] & termios.ECHO


def test_missing_files(tmp_path):
    for words in (("serve", "-c", tmp_path / "none.conf"), ("serve", "-c", tmp_path), ("config", "check", "-c", "/dev/null/x")):
        code, out, err = run(*words)
        assert code not in (0, -6, -11)
        assert str(words[-1]) in out + err


def verbs():
    text = run("help")[1] or run("--help")[1]
    return sorted(set(re.findall(r"^\s+(?:posthorn )?([a-z]+(?: (?:add|passwd|list|delete|load|check|dump))?)\b", text, re.M)))


def test_help():
    for words in (("help",), ("--help",), ("-h",)):
        code, out, err = run(*words)
        assert code == 0 and "serve" in out and "user" in out and not err, (words, code, err)
    assert "serve" in run()[1]
    code, out, _ = run("--version")
    assert code == 0 and re.search(r"\d+\.\d+", out)


@pytest.mark.parametrize("words, want", [(("sevre",), "serve"), (("usr", "add"), "user"), (("user", "ad"), "add"), (("user",), "add"),
                                         (("config", "chekc"), "check"), (("zzzzzzzz",), "help"), (("%n%s",), "dns"), (("",), "help"),
                                         (("user", "add"), "NAME"), (("user", "add", "a", "b"), ""), (("serve", "--bogus"), "--bogus"),
                                         (("serve", "-c"), "-c"), (("user", "add", "x", "--data"), "--data"), (("demo", "--offset", "x"), "x"),
                                         (("demo", "--offset", "70000"), ""), (("doctor", "--resolver", "192.0.2.1"), "ADDRESS"), (("x" * 10000,), "help")])
def test_unknown_words(words, want):
    code, out, err = run(*words)
    assert code not in (0, -6, -11), (code, out, err)
    assert want in out + err, out + err
    assert out == "" or want in out


EMPTY = (["expire", "--user", ""], ["expire", "--user="], ["export", "mbox", "out", "-u", "ann", "--folder", ""], ["mailbox", "undelete", "ann", "--since", ""],
         ["user", "password", "add", "ann", "x", "--protocol", ""], ["user", "password", "add", "ann", "x", "--expires", ""],
         ["restore", "file", "--user", "ann", "--folder", ""], ["user", "list", "-c", ""],
         ["address", "delete", "sales@x.org", ""], ["sieve", "filter", "ann", "INBOX", ""], ["who", ""], ["quota", "list", ""])


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_empty_values(words):
    """Of a script's variable that is not set: not the same as leaving the option out."""
    code, out, err = run(*words)
    assert code == 2 and out == "" and "is empty" in err


@pytest.mark.parametrize("verb", ("demo", "serve"))
def test_a_directory_of_others(tmp_path, verb):
    """`--data /tmp`, or an unset variable: it is not taken from everybody."""
    tmp_path.chmod(0o1777)
    config = tmp_path / "other"
    config.write_text('user = "nobody"\n')
    for data, want in ((tmp_path, "has other files"), ("", "value of --data is empty")):
        words = ["--offset", "40000"] if verb == "demo" else []
        code, _, err = run(verb, *words, "-c", config, "--data", data)
        assert code == (1 if data else 2) and want in err and tmp_path.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("verb", [("user", "add"), ("user", "list"), ("verify",), ("serve",), ("import",), ("backup",), ("who",), ("doctor",), ("config", "dump")])
def test_each_verb_has_help(verb):
    code, out, _ = run(*verb, "--help")
    assert code == 0 and verb[-1] in out


NAMES = ["", " ", "a b", "../x", "a/b", "a\nb", "a\x1bb", "x" * 300, "%n", "-x", "a@b@c", "@", "Ünï", "a\u202eb"]


@pytest.mark.parametrize("name", NAMES)
def test_user_names(tmp_path, name):
    code, out, err = run("user", "add", "--data", tmp_path / "data", "--", name, stdin=b"secret\n")
    if code:
        assert err.strip() and "\x1b" not in err
    else:
        assert name in ("Ünï", "%n", "-x", "../x", "a/b", "a@b@c", "@")
    code, out, err = run("user", "list", "--data", tmp_path / "data")
    assert "\x1b" not in out


def test_passwords(tmp_path):
    for password, good in ((b"", False), (b"\n", False), (b"x" * 2000 + b"\n", False), (b"a\0b\n", False), (b"secret", True), (b"p\xc3\xa4\n", True)):
        code, _, err = run("user", "add", "--data", tmp_path / "data", f"u{len(password)}{password[:1].hex()}", stdin=password)
        assert (code == 0) == good, (password[:10], code, err)


@pytest.mark.skipif(os.getuid() != 0, reason="cannot become nobody")
def test_as_nobody():
    """Every verb without root, on a data directory of one's own; and nothing of another's."""
    base = scratch.folder("nobody")
    shutil.chown(base, "nobody")
    program = base / "posthorn"
    shutil.copy(posthorn.binary(), program)
    port = free_ports(1)[0]
    (base / "posthorn.conf").write_text(GOOD.format(dir=base, port=port))
    before = os.environ.get("POSTHORN_BINARY")
    os.environ["POSTHORN_BINARY"] = str(program)
    try:
        for words, stdin in ((("user", "add", "ann"), b"secret\n"), (("user", "list"), b""), (("verify",), b""), (("rebuild",), b""),
                             (("user", "passwd", "ann"), b"secret\n")):
            code, out, err = run(*words, "--data", base / "data", stdin=stdin, user="nobody")
            assert code == 0, (words, out, err)
        server = subprocess.Popen([program, "serve", "-c", base / "posthorn.conf"], stdin=subprocess.DEVNULL, stderr=open(base / "log", "wb"),
                                  env=posthorn.environment(), user="nobody", group=pwd.getpwnam("nobody").pw_gid, extra_groups=[])
        try:
            wait_port(port, server, 20)
            wire = Wire(("127.0.0.1", port))
            wire.line()
            wire.send(b"a LOGIN ann secret\r\n")
            assert wire.line().startswith(b"a OK")
            for words in (("who",), ("user", "list"), ("verify",), ("doctor",)):
                code, out, err = run(*words, "--data", base / "data", user="nobody")
                assert code == 0 or words == ("doctor",), (words, out, err)
            code, _, err = run("rebuild", "--data", base / "data", user="nobody")
            assert code != 0 and "a server runs" in err
            # Another user: refused by name, not by accident.
            code, _, err = run("who", "--data", base / "data", user="games")
            assert code != 0 and err.strip()
            code, _, err = run("user", "list", "--data", base / "data", user="games")
            assert code != 0 and err.strip()
        finally:
            server.terminate()
            assert server.wait(20) == 0
    finally:
        os.environ.pop("POSTHORN_BINARY")
        if before:
            os.environ["POSTHORN_BINARY"] = before
        shutil.rmtree(base, ignore_errors=True)


def test_two_servers_on_one_directory(tmp_path):
    own = posthorn.Server()
    try:
        code, out, err = run("serve", "-c", own.config, timeout=20)
        assert code not in (0, -6, -11)
        assert "somebody serves" in (out + err)
        Wire(own.address("imap")).line()
    finally:
        own.stop()
