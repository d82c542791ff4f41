"""Sieve (RFC 5228): the verbs `sieve check` and `sieve test`, and the table of tests/sieve beside Debian's Pigeonhole.

--json: sieve check
--json: sieve test
"""
import json
import os
import re
import shutil
import subprocess

import pytest

from lib import scratch, server as posthorn
from lib.sievecases import TABLES, read

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

def ours(case):
    """What the table wants, in the terms that both servers have: where it is stored, with which flags, what is sent."""
    if case.lines["error"]:
        return "no program"
    found = []
    for act in case.actions():
        flags = tuple(sorted(act.get("flags", "").lower().split()))
        if act.word in ("keep", "fileinto"):
            found.append(("store", "INBOX" if act.word == "keep" else act.target, flags))
        elif act.word == "redirect":
            found.append(("redirect", act.target))
        else:
            found.append((act.word,))
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
