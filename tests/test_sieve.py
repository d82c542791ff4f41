"""Sieve (RFC 5228): the verbs `sieve check` and `sieve test`, and the table of tests/sieve beside Debian's Pigeonhole.

--json: sieve check
--json: sieve test
"""
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lib import scratch, server as posthorn

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLES = sorted((ROOT / "tests/sieve").glob("*.txt"))
SCRIPT = """require ["fileinto", "copy", "imap4flags", "variables", "envelope"];
if header :matches "subject" "[*] *" {
    addflag "\\\\Seen";
    fileinto :copy "Lists.${1}";
}
if envelope "to" "me+x@example.org" { redirect "other@example.org"; }
"""
MESSAGE = "From: a@example.org\nSubject: [acme] hello\n\nbody\n"


def verb(*words):
    done = subprocess.run([posthorn.binary(), "sieve", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=posthorn.environment(), timeout=60, check=False)
    assert not posthorn.REPORT.search(done.stderr.decode(errors="replace")), done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(name="files")
def write_files(tmp_path):
    script, message, wrong = tmp_path / "a.sieve", tmp_path / "a.eml", tmp_path / "wrong.sieve"
    script.write_text(SCRIPT)
    message.write_text(MESSAGE)
    wrong.write_text("keep;\nif size :over { stop; }\n")
    return script, message, wrong


def test_check(files):
    script, _, wrong = files
    assert verb("check", script) == (0, f"{script}: no mistakes found\n", "")
    mistake = "size wants a number here"
    assert verb("check", wrong) == (1, "", f"{wrong}:2:4: {mistake}\n")
    code, out, err = verb("check", wrong, "--json")
    assert (code, out) == (1, "")
    assert json.loads(err) == {"type": "mistake", "file": str(wrong), "line": 2, "column": 4, "message": mistake}
    code, out, err = verb("check", script.parent / "none")
    assert code == 1 and out == "" and "none: No such file" in err


def test_trace(files):
    """What would be done, and why: in words and as JSON."""
    script, message, _ = files
    test = 'header :matches "subject" "[*] *"'
    code, out, err = verb("test", script, message, "--envelope-to", "me+x@example.org", "--envelope-from", "a@example.org")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"line 2: {test}: true", "line 4: fileinto Lists.acme", 'line 6: envelope "to" "me+x@example.org": true',
        "line 6: redirect other@example.org",
        f'line 4: fileinto :copy :flags "\\\\Seen" "Lists.acme", because of line 2: {test}',
        'line 6: redirect "other@example.org", because of line 6: envelope "to" "me+x@example.org"']
    code, out, err = verb("test", script, message, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    actions = [r for r in rows if r["type"] == "action"]
    assert (code, err) == (0, "")
    assert [(a["action"], a["implicit"], a.get("line"), a.get("because")) for a in actions] == [
        ("fileinto", False, 4, f"line 2: {test}"), ("keep", True, None, None)]
    assert {"type": "trace", "line": 2, "text": f"{test}: true"} in rows


# The table.

@dataclasses.dataclass
class Case:
    name: str
    where: str
    message: str
    lines: dict = dataclasses.field(default_factory=lambda: {"want": [], "error": [], "failed": [], "fact": []})
    script: str = ""


def read(path):
    cases, messages, block = [], {}, None
    for number, line in enumerate(path.read_text().split("\n"), 1):
        word, _, rest = line.partition(" ")
        if line.startswith("    ") or (not line and block):
            block.append(line[4:])
        elif word == "message" and not cases:
            block = messages[rest] = []
        elif word == "case":
            cases.append(Case(rest, f"{path.name}:{number}", next(iter(messages))))
            block = None
        elif word == "message":
            cases[-1].message = rest
        elif word == "script":
            block = cases[-1].lines["script"] = []
        elif word in ("from", "to", "differs", "skip"):
            cases[-1].lines[word] = rest
        elif word in ("want", "error", "failed", "fact"):
            cases[-1].lines[word].append(rest)
    for case in cases:
        case.script = "\n".join(case.lines["script"]) + "\n"
        case.message = "\n".join(messages[case.message]) + "\n"
    return cases


def ours(case):
    """What the table wants, in the terms that both servers have: where it is stored, with which flags, what is sent."""
    if case.lines["error"]:
        return "no program"
    found = []
    for want in case.lines["want"]:
        text = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda m: "\x00" + re.sub(r"\\(.)", r"\1", m[1]).replace(" ", "\x01") + "\x00", want)
        words = [w.strip("\x00").replace("\x01", " ") for w in text.split(" ")]
        flags = words[words.index(":flags") + 1] if ":flags" in words else ""
        flags = tuple(sorted(flags.lower().split()))
        if words[0] in ("keep", "fileinto"):
            found.append(("store", "INBOX" if words[0] == "keep" else words[-1], flags))
        elif words[0] == "redirect":
            found.append(("redirect", words[-1]))
        else:
            found.append((words[0],))
    return sorted(set(found))


def theirs(text):
    found = []
    for line in text.split("\n"):
        line = line.strip()
        if store := re.match(r"\* store message in folder: (.*)", line):
            found.append(["store", store[1], ()])
        elif flags := re.match(r"\+ add IMAP flags: (.*)", line):
            found[-1][2] = tuple(sorted(flags[1].lower().split()))
        elif sent := re.match(r"\* redirect message to: <(.*)>", line):
            found.append(["redirect", sent[1]])
        elif line.startswith("* send vacation"):
            found.append(["vacation"])
        elif line.startswith("* send notification"):
            found.append(["notify"])
        elif line.startswith("* reject"):
            found.append(["reject"])
        elif line.startswith("* discard"):
            found.append(["discard"])
    return sorted({tuple(f) for f in found})


PLUGINS = "+spamtest +spamtestplus +virustest +editheader +mboxmetadata +servermetadata +vacation-seconds +vnd.dovecot.environment +special-use"


@pytest.fixture(scope="module", name="pigeonhole")
def make_pigeonhole():
    folder = scratch.folder("pigeonhole")
    (folder / "home").mkdir()
    conf = folder / "dovecot.conf"
    conf.write_text(f"base_dir={folder}/run\nmail_location=maildir:{folder}/mail\nlog_path=/dev/stderr\nssl=no\nmail_home={folder}/home\n"
                    f"mail_uid=65534\nmail_gid=65534\nfirst_valid_uid=1\nplugin {{\n  sieve_extensions = {PLUGINS}\n  recipient_delimiter = +\n}}\n")
    subprocess.run(["chown", "-R", "nobody:nogroup", folder], check=True)
    folder.chmod(0o755)

    def ask(case):
        script, message = folder / "case.sieve", folder / "case.eml"
        script.write_text(case.script)
        message.write_bytes(case.message.replace("\n", "\r\n").encode())
        script.chmod(0o644)
        message.chmod(0o644)
        words = ["sieve-test", "-c", conf]
        for option, name in (("-f", "from"), ("-a", "to"), ("-r", "to")):
            if name in case.lines:
                words += [option, case.lines[name].replace("<>", "")]
        done = subprocess.run([*map(str, words), str(script), str(message)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=60)
        text = done.stdout.decode(errors="replace")
        if "failed to compile" in text:
            return "no program", text
        if "resolved with successful implicit keep" in text:
            text += "\n* store message in folder: INBOX"
        return theirs(text), text
    yield ask
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(not os.environ.get("POSTHORN_LONG"), reason="POSTHORN_LONG=1")
@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.stem)
def test_pigeonhole(pigeonhole, table):
    """Every case of the table is the same there, or says why it differs; and none says so that does not."""
    assert shutil.which("sieve-test"), "apt-get install dovecot-sieve"
    wrong = []
    for case in read(table):
        if "skip" in case.lines:
            continue
        want, (got, text) = ours(case), pigeonhole(case)
        if (want != got) != ("differs" in case.lines):
            wrong.append(f"{case.where} {case.name}\n  ours   {want}\n  theirs {got}\n{text}")
    assert not wrong, "\n".join(wrong)
