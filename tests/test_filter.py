"""Sieve at delivery: what scripts say is what a client finds afterwards, over the real LMTP; one server, many messages."""
import email
import email.policy
import itertools
import re
import time

import pytest

from lib import client, scripts, server as posthorn
from lib.smarthost import Smarthost
from lib.waiting import wait_for

BEFORE = """require ["fileinto", "editheader", "imap4flags"];
if header :is "X-Admin" "file" { fileinto "Quarantine"; stop; }
if header :is "X-Admin" "mark" { addheader "X-Seen-By" "before"; addflag "$Before"; }
if header :is "X-Admin" "drop" { discard; }
"""
AFTER = """require ["fileinto", "mailbox"];
if header :is "X-Admin" "after" { fileinto :create "After"; }
"""
GLOBAL = """require ["fileinto", "include", "mailbox"];
if header :is "X-Global" "yes" { fileinto :create "FromGlobal"; }
"""
numbers = itertools.count(1)


@pytest.fixture(scope="module", name="where")
def make_where(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "before").mkdir()
    for name, text in (("before/10.sieve", BEFORE), ("after.sieve", AFTER), ("shared.sieve", GLOBAL)):
        (folder / name).write_text(text)
    server = posthorn.Server({"sieve_before": [folder / "before"], "sieve_after": [folder / "after.sieve"],
                              "sieve_global": [folder / "shared.sieve"], "local_domains": ["d.test"],
                              "sieve_spam_header": "X-Spam-Score", "sieve_virus_header": "X-Virus", "log_level": "debug"})
    server.scripts = folder
    try:
        yield server
    finally:
        server.stop()


def answer(end):
    """Of one recipient, whatever it is."""
    lines = [end.wire.line()]
    while lines[-1][3:4] == b"-":
        lines.append(end.wire.line())
    return b"\n".join(line.rstrip(b"\r\n") for line in lines).decode()


class User:
    """A user of the test's own, with the scripts that it gives."""

    def __init__(self, server, script=None, folders=()):
        self.server, self.name = server, f"filter{next(numbers)}"
        server.user_add(self.name, posthorn.PASSWORD)
        self.imap = server.imap(self.name)
        self.lmtp = client.Lmtp(server.address("lmtp"))
        for folder in folders:
            self.imap.command(f'CREATE "{folder}"')
        if script:
            self.script(script)

    def script(self, text, name="main", active=True):
        scripts.put(self.server, self.name, text, name, active)

    def deliver(self, fields="Subject: x", body="hello", sender="sender@example.org", to=None, more=""):
        """The answer to the one recipient."""
        wire = self.lmtp.wire
        data = f"From: a@example.org\r\nTo: {self.name}@d.test\r\n{fields}\r\n\r\n{body}\r\n".replace("\n.", "\n..")
        wire.send(f"MAIL FROM:<{sender}>{more}\r\nRCPT TO:<{to or self.name}>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            got = self.lmtp.reply()
            assert got[-1].startswith(code), got
        wire.send(data.encode("utf-8", "surrogateescape") + b".\r\n")
        return answer(self.lmtp)

    def found(self):
        """{folder: [(subject, flags)]} of all folders with messages."""
        lines, _ = self.imap.command('LIST "" "*"')
        there = {}
        for line in lines:
            if not line.startswith(b"* LIST") or b"\\Noselect" in line or b"\\NonExistent" in line:
                continue
            name = line.split(b' "/" ', 1)[1].strip(b'"').decode()
            if self.imap.select(name)["EXISTS"]:
                rows = self.imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
                there[name] = [(re.sub(r"^Subject: |\r\n", "", r["BODY[HEADER.FIELDS (SUBJECT)]"].decode(errors="replace")),
                                " ".join(sorted(set(r["FLAGS"]) - {"\\Recent"}))) for r in rows.values()]
        return there

    def whole(self, folder):
        self.imap.select(folder)
        return self.imap.fetch("*", "(BODY.PEEK[])").popitem()[1]["BODY[]"].decode(errors="replace")


def test_actions(where):
    """keep, fileinto, discard, flags, copy, create: each message once in each folder it names (RFC 5228 section 2.10.3)."""
    user = User(where, """require ["fileinto", "copy", "imap4flags", "mailbox", "variables"];
setflag "\\\\Flagged";
if header :matches "subject" "list *" { fileinto :flags ["$list", "\\\\Seen"] "Lists"; }
elsif header :is "subject" "both" { fileinto :copy "Lists"; fileinto :create :copy "New/Deep"; fileinto :copy "Lists"; }
elsif header :is "subject" "drop" { discard; }
elsif header :is "subject" "inbox" { fileinto "INBOX"; keep; }
elsif header :is "subject" "none" { fileinto "Nowhere"; }
""", ["Lists"])
    for subject in ("list a", "both", "drop", "inbox", "none", "plain"):
        assert user.deliver(f"Subject: {subject}").startswith("250 2.0.0")
    assert user.found() == {
        "INBOX": [("both", "\\Flagged"), ("inbox", "\\Flagged"), ("none", "\\Flagged"), ("plain", "\\Flagged")],
        "Lists": [("list a", "$list \\Seen"), ("both", "\\Flagged")], "New/Deep": [("both", "\\Flagged")]}
    lines, _ = user.imap.command('LSUB "" "New/*"')
    assert b"New/Deep" in lines[0]  # what is made is subscribed
    user.imap.select("Lists")
    one = user.imap.fetch("2", "(EMAILID THREADID)")[2]
    user.imap.select("INBOX")
    two = user.imap.fetch("1", "(EMAILID THREADID)")[1]
    assert one == two  # one body, one identity (RFC 8474)


def test_world(where):
    """What scripts may ask: envelope, detail, folders, annotations, the server, scanners."""
    user = User(where, """require ["fileinto", "envelope", "subaddress", "mailbox", "mailboxid", "special-use", "mboxmetadata",
  "servermetadata", "environment", "spamtest", "spamtestplus", "virustest", "relational", "comparator-i;ascii-numeric", "variables",
  "editheader", "date"];
if envelope :detail "to" "x" { addheader "X-R" "detail"; }
if envelope "from" "sender@example.org" { addheader "X-R" "from"; }
if mailboxexists ["Lists", "INBOX"] { addheader "X-R" "exists"; }
if not mailboxexists "Lists/None" { addheader "X-R" "missing"; }
if specialuse_exists "\\\\Junk" { addheader "X-R" "junk"; }
if not specialuse_exists "INBOX" "\\\\Junk" { addheader "X-R" "nojunk"; }
if metadata "Lists" "/private/comment" "mine" { addheader "X-R" "metadata"; }
if servermetadata :contains "/private/vendor/posthorn/test" "word" { addheader "X-R" "servermetadata"; }
if environment "location" "MDA" { addheader "X-R" "location"; }
if environment "remote-ip" "127.0.0.1" { addheader "X-R" "remote"; }
if environment :contains "domain" "d.test" { addheader "X-R" "domain"; }
if spamtest :value "ge" :comparator "i;ascii-numeric" "6" { addheader "X-R" "spam"; }
if spamtest :percent :value "eq" :comparator "i;ascii-numeric" "60" { addheader "X-R" "percent"; }
if virustest :value "eq" :comparator "i;ascii-numeric" "1" { addheader "X-R" "clean"; }
if currentdate :value "ge" "year" "2024" { addheader "X-R" "date"; }
if mailboxidexists "%s" { addheader "X-R" "id"; }
fileinto :specialuse "\\\\Junk" "Elsewhere";
""", ["Lists"])
    lines, _ = user.imap.command("STATUS Lists (MAILBOXID)")
    mailbox = re.search(rb"MAILBOXID \((\w+)\)", lines[0])[1].decode()
    text = posthorn.run_verb("sieve", "show", "main", "--user", user.name, "--data", where.data).decode()
    user.script(text.replace("%s", mailbox))
    user.imap.command('SETMETADATA Lists (/private/comment "mine")')
    user.imap.command('SETMETADATA "" (/private/vendor/posthorn/test "a word")')
    wire = user.lmtp.wire
    wire.send(f"MAIL FROM:<sender@example.org>\r\nRCPT TO:<{user.name}+x>\r\nDATA\r\n".encode())
    for _ in range(3):
        user.lmtp.reply()
    wire.send(b"Subject: x\r\nX-Spam-Score: 9.0\r\nX-Virus: Clean\r\n\r\nbody\r\n.\r\n")
    assert user.lmtp.reply()[-1].startswith(b"250")
    got = sorted(re.findall(r"X-R: (\w+)", user.whole("Junk")))
    assert got == sorted("detail from exists missing junk nojunk metadata servermetadata location remote domain spam "
                         "percent clean date id".split())


def test_edited(where):
    """The message that is filed has the header as it was where the action stood; the body stays to the octet."""
    user = User(where, """require ["fileinto", "editheader", "copy", "mailbox"];
fileinto :copy :create "Before";
deleteheader "X-Old";
addheader "X-New" "one";
fileinto :copy :create "Between";
addheader :last "X-New" "two";
""")
    body = "".join(f"line {i} .\r\n" for i in range(60000))  # in a file of its own
    for text in ("short", body):
        assert user.deliver("Subject: e\r\nX-Old: gone", text).startswith("250")
        before, between, inbox = (user.whole(f) for f in ("Before", "Between", "INBOX"))
        assert "X-Old: gone" in before and "X-New" not in before
        assert "X-Old" not in between and between.startswith("X-New: one") and "two" not in between
        assert "X-New: two" in inbox and "X-New: one" in inbox
        assert {m.split("\r\n\r\n", 1)[1] for m in (before, between, inbox)} == {text + "\r\n"}


def test_order(where):
    """The administrator's before, the user's, the administrator's behind: each only where the mail would be kept."""
    user = User(where, """require ["fileinto", "include"];
if header :is "X-Admin" "stop" { discard; }
if header :contains "X-Seen-By" "before" { fileinto "Marked"; }
include :global "shared";
include :personal :optional "more";
""", ["Marked", "Quarantine"])
    user.script('require "fileinto"; if header :is "subject" "own" { fileinto "Marked"; }', "more", active=False)
    for subject, admin in (("a", "file"), ("b", "mark"), ("c", "drop"), ("d", "after"), ("e", "stop"), ("own", ""), ("f", "")):
        assert user.deliver(f"Subject: {subject}\r\nX-Admin: {admin}").startswith("250")
    assert user.deliver("Subject: g\r\nX-Global: yes").startswith("250")
    assert user.found() == {"Quarantine": [("a", "")], "Marked": [("b", ""), ("own", "")], "After": [("d", "")],
                            "INBOX": [("f", "")], "FromGlobal": [("g", "")]}
    # without a script of their own, the administrator's still run
    other = User(where, folders=["Quarantine"])
    for admin in ("mark", "after", "file"):
        other.deliver(f"Subject: {admin}\r\nX-Admin: {admin}")
    assert other.found() == {"INBOX": [("mark", "$Before")], "After": [("after", "")], "Quarantine": [("file", "")]}
    assert "X-Seen-By: before" in other.whole("INBOX")


def test_reload(where):
    """Scripts are read again on a reload; one that cannot be read changes nothing."""
    user = User(where)
    script = where.scripts / "after.sieve"
    try:
        script.write_text(AFTER.replace('"After"', '"Changed"'))
        where.reload()
        user.deliver("Subject: x\r\nX-Admin: after")
        assert set(user.found()) == {"Changed"}
        script.unlink()
        with pytest.raises(RuntimeError, match="the old configuration stays"):
            where.reload()
        user.deliver("Subject: x\r\nX-Admin: after")
        assert len(user.found()["Changed"]) == 2
        script.write_text("this is no script")
        where.reload()
        user.deliver("Subject: y\r\nX-Admin: after")  # left out, and told in the log
        assert user.found()["INBOX"] == [("y", "")]
        assert re.search(r"a script does not compile.*script=after.*line=1", where.stderr())
    finally:
        script.write_text(AFTER)
        where.reload()


def test_config_check(where):
    """It reads and compiles what the server would."""
    path = where.scripts / "check.conf"

    def check(**lists):
        path.write_text("".join(f'{name} = {{ "{value}" }}\n' for name, value in lists.items()) + f'data = "{where.data}"\n')
        return posthorn.run_verb("config", "check", "-c", path)

    wrong = where.scripts / "wrong.sieve"
    wrong.write_text("keep;\nthis is no script")
    assert b"no mistakes" in check(sieve_before=where.scripts / "before", imapsieve=f"COPY Junk: before {where.scripts}/shared.sieve")
    for name, value in (("sieve_before", wrong), ("sieve_after", wrong), ("sieve_global", wrong), ("imapsieve", f"COPY Junk: before {wrong}")):
        with pytest.raises(RuntimeError, match="the Sieve script '.*': 2:"):
            check(**{name: value})
    with pytest.raises(RuntimeError, match="imapsieve: a rule is"):
        check(imapsieve="COPY Junk")
    with pytest.raises(RuntimeError, match="nowhere.sieve: No such file"):
        check(sieve_after="/nowhere.sieve")


def test_duplicate(where):
    """RFC 7352: ids are remembered from the delivery on, over a restart; :seconds 0 never is."""
    script = """require ["duplicate", "fileinto", "mailbox"];
if duplicate { fileinto :create "Again"; stop; }
if duplicate :header "X-Never" :seconds 0 { discard; }
"""
    user = User(where, script)
    for number in (1, 2, 1):
        user.deliver(f"Subject: {number}\r\nMessage-ID: <{number}@x>\r\nX-Never: same")
    assert user.found() == {"INBOX": [("1", ""), ("2", "")], "Again": [("1", "")]}
    user.imap.close()
    where.kill()
    where.start()
    user.imap, user.lmtp = where.imap(user.name), client.Lmtp(where.address("lmtp"))
    user.deliver("Subject: 2\r\nMessage-ID: <2@x>")
    assert user.found() == {"INBOX": [("1", ""), ("2", "")], "Again": [("1", ""), ("2", "")]}
    # at once: one of them is first
    ends = [client.Lmtp(where.address("lmtp")) for _ in range(6)]
    for end in ends:
        end.wire.send(f"MAIL FROM:<>\r\nRCPT TO:<{user.name}>\r\nDATA\r\n".encode())
        for _ in range(3):
            end.reply()
    for end in ends:
        end.wire.send(b"Subject: many\r\nMessage-ID: <many@x>\r\n\r\nx\r\n.\r\n")
    for end in ends:
        assert end.reply()[-1].startswith(b"250")
    found = user.found()
    assert [s for s, _ in found["INBOX"]].count("many") == 1
    assert [s for s, _ in found["Again"]].count("many") == 5


def test_failures(where):
    """Whatever goes wrong keeps the mail in INBOX as it came; the user is told once a day for each version of the script."""
    user = User(where, """require ["fileinto", "editheader", "variables", "body", "regex"];
addheader "X-Changed" "yes";
fileinto "Lists";
if header :is "subject" "bomb" {
  set "a" "0123456789"; set "a" "${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}"; set "a" "${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}";
  set "a" "${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}";
  if body :raw :regex "(x|xx|xxx|y*)*(x|xx|xxx|z*)*q" { discard; }
  if body :raw :matches "*x*x*x*x*x*x*x*x*x*y" { discard; }
}
redirect "not an address ${a}";
""", ["Lists"])
    began = time.monotonic()
    assert user.deliver("Subject: bomb", "x" * 400 + "\r\n" + ("x" * 900 + "\r\n") * 400).startswith("250")
    assert time.monotonic() - began < 60
    assert user.deliver("Subject: two").startswith("250")
    found = user.found()
    assert [s for s, _ in found["INBOX"]] == ["bomb", "Your filter script failed", "two"], found
    assert "X-Changed" not in user.whole("INBOX")
    user.imap.select("INBOX")
    told = user.imap.fetch("2", "(BODY.PEEK[])")[2]["BODY[]"].decode()
    assert re.search(r'script "main" could not be carried out in line \d+', told)
    user.script('require "fileinto";\nkeep;\nfileinto "${x}\\x01";\nerror;\n'.replace("error;\n", ""))
    user.deliver("Subject: three")
    assert [s for s, _ in user.found()["INBOX"]][-1] == "three"
    assert re.search(rf"a script failed.*user=<{user.name}>, script=main, line=\d+", where.stderr())


HOSTILE = ["../../etc/passwd", "..", ".", "/", "a//b", "a\\u0000b", "Shared/alice", "Shared/alice/INBOX", "Shared/nobody/x", "Public/x",
           "a\x7fb", "a\tb", "x" * 3000, "/".join("d" * 60), "INBOX/../x", "\u202e", "#mh/x", "~alice/x", "\udcff\udcfe", "%", "*",
           "Other Users/alice", "user/alice"]


def test_hostile_names(where):
    """Names from scripts: what may not be made is not made, what is others' stays theirs, and the mail is in INBOX."""
    user = User(where, """require ["fileinto", "mailbox", "variables"];
if header :matches "x-name" "*" { fileinto :create "${1}"; }
""")
    alice = where.imap("alice")
    before = alice.command('STATUS INBOX (MESSAGES)')[0]
    names_before = alice.command('LIST "" "*"')[0]
    for name in HOSTILE:
        value = name.encode("utf-8", "surrogateescape")
        end = client.Lmtp(where.address("lmtp"))
        end.wire.send(f"MAIL FROM:<>\r\nRCPT TO:<{user.name}>\r\nDATA\r\n".encode())
        for _ in range(3):
            end.reply()
        end.wire.send(b"Subject: h\r\nX-Name: " + value + b"\r\n\r\nx\r\n.\r\n")
        assert end.reply()[-1].startswith(b"250"), name
        end.wire.close()
    lines, _ = user.imap.command('LIST "" "*"')
    total = sum(subject == "h" for rows in user.found().values() for subject, _ in rows)
    assert total == len(HOSTILE), (total, lines)
    assert not [line for line in lines if b".." in line or b"etc" in line or b"Shared" in line]
    assert alice.command('STATUS INBOX (MESSAGES)')[0] == before
    assert alice.command('LIST "" "*"')[0] == names_before


def test_shared(where):
    """A folder of somebody else takes mail only with the right i (RFC 4314)."""
    owner, user = User(where, folders=["Team"]), User(where, folders=["Own"])
    name = f"Shared/{owner.name}/Team"
    user.script(f'require ["fileinto", "copy", "mailbox"]; if mailboxexists "{name}" {{ fileinto :copy "Own"; }} fileinto "{name}";')
    owner.imap.command(f"SETACL Team {user.name} lr")
    user.deliver("Subject: refused")
    assert user.found() == {"INBOX": [("refused", "")]}
    owner.imap.command(f"SETACL Team {user.name} lri")
    user.deliver("Subject: taken")
    assert user.found() == {"INBOX": [("refused", "")], "Own": [("taken", "")], name: [("taken", "")]}
    assert owner.found() == {"Team": [("taken", "")]}
    # one transaction for both: what a script of the first filed there is not the second's own copy
    user.script(f'require "fileinto"; fileinto "{name}";')
    wire = user.lmtp.wire
    wire.send(f"MAIL FROM:<a@b.test>\r\nRCPT TO:<{user.name}>\r\nRCPT TO:<{owner.name}>\r\nDATA\r\n".encode())
    assert [user.lmtp.reply()[-1][:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
    wire.send(b"Subject: both\r\n\r\nx\r\n.\r\n")
    assert "250" in answer(user.lmtp) and "250" in answer(user.lmtp)
    assert owner.found() == {"Team": [("taken", ""), ("both", "")], "INBOX": [("both", "")]}
    # what `duplicate` remembers goes with the only copy, in whatever tree it is
    user.script(f'require ["fileinto", "duplicate"]; if duplicate {{ discard; stop; }} fileinto "{name}";')
    for _ in range(2):
        user.deliver("Message-ID: <only@once.test>\r\nSubject: once")
    assert owner.found()["Team"][2:] == [("once", "")]


def test_refusals(where):
    """reject and ereject answer at LMTP, one recipient each (RFC 5429 section 2.5)."""
    user = User(where, """require ["reject", "ereject"];
if header :is "subject" "lines" { reject text:
No mail, please.
Not even yours.
.
; }
elsif header :is "subject" "utf8" { ereject "Danke, n\u00f6"; }
elsif header :is "subject" "evil" { ereject "a\\r\\n250 2.0.0 fine"; }
""")
    assert user.deliver("Subject: lines") == "550-5.7.1 No mail, please.\n550 5.7.1 Not even yours."
    assert user.deliver("Subject: utf8").startswith("550 5.7.1 The message was refused")
    assert user.deliver("Subject: utf8", more=" SMTPUTF8") == "550 5.7.1 Danke, n\u00f6"
    assert user.deliver("Subject: evil").startswith("550 5.7.1 ar")
    assert user.deliver("Subject: other").startswith("250")
    other = User(where)
    wire = user.lmtp.wire
    wire.send(f"MAIL FROM:<a@b.c>\r\nRCPT TO:<{user.name}>\r\nRCPT TO:<{other.name}>\r\nDATA\r\n".encode())
    for _ in range(4):
        user.lmtp.reply()
    wire.send(b"Subject: lines\r\n\r\nx\r\n.\r\n")
    assert answer(user.lmtp).startswith("550-5.7.1") and answer(user.lmtp).startswith("250")
    assert user.found() == {"INBOX": [("other", "")]} and other.found() == {"INBOX": [("lines", "")]}


def test_quota(where):
    """A folder that the limit leaves no room for: INBOX alone, and where that has none the mail comes again."""
    user = User(where, """require ["fileinto", "copy"]; fileinto :copy "A"; fileinto :copy "B";""", ["A", "B"])
    posthorn.run_verb("quota", "set", user.name, "messages=2", "--data", where.data)
    assert user.deliver("Subject: one").startswith("250")
    assert user.found() == {"INBOX": [("one", "")]}
    assert user.deliver("Subject: two").startswith("250")
    with pytest.raises(client.Refused, match="452 4.2.2"):
        user.deliver("Subject: three")


def test_broken_text(where):
    """Scripts see broken UTF-8 and huge headers, and the mail arrives."""
    user = User(where, """require ["fileinto", "variables", "mailbox", "editheader"];
if header :matches "subject" "*" { set "s" "${1}"; }
addheader "X-Copy" "${s}";
""")
    for subject in ("\udcff\udcfe\udc80", "=?utf-8?b?/////w==?=", "=?x-none?q?=FF?=", "a\u0300" * 50):
        assert user.deliver(f"Subject: {subject}").startswith("250")
    assert user.deliver("Subject: huge\r\n" + "\r\n".join(f"X-{i}: " + "y" * 900 for i in range(1300))).startswith("250")
    assert len(user.found()["INBOX"]) == 5 + sum("failed" in s for s, _ in user.found()["INBOX"])


@pytest.fixture(scope="module", name="relayed")
def make_relayed():
    host = Smarthost()
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["d.test"]})
    server.host = host
    try:
        yield server
    finally:
        server.stop()
        host.close()


def sent(server, n):
    """The mails that the smarthost has, once there are so many."""
    wait_for(lambda: len(server.host.mails) >= n, f"{n} mails that go out")
    mails = server.host.take()
    assert len(mails) == n, mails
    return mails


def test_redirect(relayed):
    """RFC 5228 section 4.2: the message as it is, once to each address, never round in a loop."""
    user = User(relayed, """require ["copy", "redirect-dsn", "editheader"];
if header :is "subject" "twice" { redirect "a@example.net"; redirect "b@example.net"; redirect "a@example.net"; }
elsif header :is "subject" "copy" { redirect :copy :notify "NEVER" "a@example.net"; }
elsif header :is "subject" "edited" { addheader "X-New" "yes"; redirect "a@example.net"; }
elsif header :is "subject" "loop" { redirect "a@example.net"; }
""")
    assert user.deliver("Subject: twice\r\nMessage-ID: <t@x>", "big " * 50000).startswith("250")
    mails = sent(relayed, 2)
    assert sorted(str(m["to"]) for m in mails) == ["['a@example.net']", "['b@example.net']"] and user.found() == {}
    for mail in mails:
        text = mail["text"].decode()
        assert f"X-Sieve-Redirected-From: {user.name}" in text and "Return-Path" not in text and "big big" in text
        assert "sender@example.org" in str(mail["from"])
    user.deliver("Subject: twice\r\nMessage-ID: <t@x>")  # it comes again: nobody gets it again
    user.deliver("Subject: copy\r\nMessage-ID: <c@x>")
    user.deliver("Subject: edited\r\nMessage-ID: <e@x>")
    mails = {re.search(r"^Subject: (\w+)", m["text"].decode(), re.M)[1]: m for m in sent(relayed, 2)}
    assert "X-New: yes" in mails["edited"]["text"].decode() and "X-New: yes" not in mails["copy"]["text"].decode()
    # RFC 6009 section 6.1: with words of its own it is the user's own mail
    assert mails["copy"]["from"] == f"{user.name}@d.test" and mails["edited"]["from"] == "sender@example.org"
    user.deliver(f"Subject: loop\r\nX-Sieve-Redirected-From: {user.name}")
    user.deliver("Subject: loop\r\n" + "\r\n".join("Received: x" for _ in range(101)))
    for body in ("one", "two"):  # an empty id is not one for all that have it
        user.deliver("Subject: edited\r\nMessage-ID: ", body)
    assert sorted(mail["text"].decode().split()[-1] for mail in sent(relayed, 2)) == ["one", "two"]
    assert user.found() == {"INBOX": [("copy", ""), ("loop", ""), ("loop", "")]}
    user.script('redirect "x@example.net";')
    user.deliver("Subject: last")
    assert " SMTPUTF8" not in sent(relayed, 1)[0]["mail"]
    user.deliver("Subject: gr\u00fc\u00dfe", more=" SMTPUTF8")  # RFC 6531 section 3.5: as it came
    assert " SMTPUTF8" in sent(relayed, 1)[0]["mail"]


def test_vacation(relayed):
    """RFC 5230: one answer to each sender in so many days, none to programs and lists; a copy by :fcc (RFC 8580)."""
    user = User(relayed, f"""require ["vacation", "fcc", "mailbox", "vacation-seconds"];
vacation :days 3 :subject "Away" :fcc "Answers" :create :addresses ["%s@d.test"] text:
I am away.
..dot
.
;
""")
    text = posthorn.run_verb("sieve", "show", "main", "--user", user.name, "--data", relayed.data).decode()
    user.script(text.replace("%s", user.name))
    for number in range(3):
        assert user.deliver(f"Subject: hello {number}\r\nMessage-ID: <{number}@x>").startswith("250")
    user.deliver("Subject: other", sender="other@example.org")
    user.deliver("Subject: list\r\nList-Id: <l.example.org>", sender="third@example.org")
    user.deliver("Subject: auto\r\nAuto-Submitted: auto-replied", sender="fourth@example.org")
    user.deliver("Subject: null", sender="")
    mails = sent(relayed, 2)
    first = next(text for text in (mail["text"].decode() for mail in mails) if "In-Reply-To: <0@x>" in text)  # two go out at once
    assert re.search(r"^Subject: Away\r$", first, re.M) and "Auto-Submitted: auto-replied (vacation)" in first
    assert first.endswith("I am away.\r\n.dot\r\n")
    assert len(user.found()["INBOX"]) == 7 and [s for s, _ in user.found()["Answers"]] == ["Away", "Away"]
    user.imap.close()
    relayed.kill()
    relayed.start()
    user.imap, user.lmtp = relayed.imap(user.name), client.Lmtp(relayed.address("lmtp"))
    user.deliver("Subject: again")
    user.deliver("Subject: fifth", sender="fifth@example.org")
    assert b"fifth@example.org" in sent(relayed, 1)[0]["text"]  # who was answered is remembered


def test_vacation_is_from_its_user(relayed):
    """RFC 5230 section 4.4: of a :mime reason only what is of MIME goes into the answer's header."""
    user = User(relayed, """require ["vacation", "vacation-seconds"];
vacation :seconds 0 :mime "From: Boss <boss@corp.example>
MIME-Version: 1.0
Bcc: other@corp.example
Auto-Submitted: no
Content-Type: text/html;
 charset=utf-8
X-Other: y

<b>away</b>
";
""")
    user.deliver("Subject: first", to=f"{user.name}@d.test")
    text = sent(relayed, 1)[0]["text"].decode()
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail.get_all("From") == [f"{user.name}@d.test"] and mail.get_all("MIME-Version") == ["1.0"]
    assert mail.get_all("Auto-Submitted") == ["auto-replied (vacation)"] and mail["Bcc"] is mail["X-Other"] is None
    assert mail.get_content_type() == "text/html" and text.endswith("\r\n charset=utf-8\r\n\r\n<b>away</b>\r\n")
    user.script('require ["vacation", "vacation-seconds"]; vacation :seconds 0 :mime "no header: none";')
    user.deliver("Subject: second", to=f"{user.name}@d.test")
    assert sent(relayed, 1)[0]["text"].endswith(b"\r\n\r\n")


def test_letters_have_good_headers(relayed):
    """Names beyond ASCII are encoded and addresses are not (RFC 2047 section 5); the header is as the script has it (RFC 5293 section 5)."""
    user = User(relayed)
    for name in ("Dr. J\u00f6rg M\u00fcller", "M\u00fcller, John", "Smith, Dr. J\u00f6rg (home)", "J\u00f6rg"):
        address = f"{user.name}@d.test"
        user.script(f"""require ["vacation", "vacation-seconds", "editheader", "enotify"];
deleteheader "Subject"; addheader "Subject" "changed";
vacation :seconds 0 :from "\\"{name}\\" <{address}>" "away";
notify :from "{address}" "mailto:phone@example.net";
""")
        user.deliver("Subject: first", to=address)
        mails = [email.message_from_bytes(mail["text"], policy=email.policy.default) for mail in sent(relayed, 2)]
        answer, told = sorted(mails, key=lambda mail: "phone" in mail["To"])
        assert [(a.display_name, a.addr_spec) for a in answer["From"].addresses] == [(name, address)] and not answer["From"].defects
        assert answer["Subject"] == "Auto: changed" and told["Subject"] == "changed" and "Subject: changed" in told.get_content()
    user.script('require ["vacation", "vacation-seconds"]; vacation :seconds 0 "away";')
    user.deliver("Subject: " + "\u00fc" * 400, to=address)
    text = sent(relayed, 1)[0]["text"]
    assert max(map(len, text.split(b"\r\n"))) <= 998  # RFC 5322 section 2.1.1
    assert email.message_from_bytes(text, policy=email.policy.default)["Subject"] == "Auto: " + "\u00fc" * 400
    user.deliver("Subject: x", to=address, sender="j\u00fcrgen@example.org", more=" SMTPUTF8")
    mail, = sent(relayed, 1)
    assert "To: j\u00fcrgen@example.org\r\n" in mail["text"].decode() and " SMTPUTF8" in mail["mail"]


def test_notify_and_report(relayed):
    """mailto notifications (RFC 5436); a refusal that LMTP cannot say exactly is a report (RFC 5429 section 2.2.1)."""
    user = User(relayed, """require ["enotify", "reject"];
if header :is "subject" "no" { reject "N\u00f6, danke"; }
else { notify :importance "1" :message "You got mail" "mailto:phone@example.net?body=Look%20here"; }
""")
    assert user.deliver("Subject: yes").startswith("250")
    text = sent(relayed, 1)[0]["text"].decode()
    assert re.search(r"^Subject: You got mail\r$", text, re.M) and "Auto-Submitted: auto-notified" in text and "Look here" in text
    assert "Importance: high" in text and "To: phone@example.net" in text
    assert f'Auto-Submitted: auto-notified; owner-email="{user.name}@d.test"' in text  # RFC 5436 section 2.7.1
    user.deliver("Subject: program\r\nAuto-Submitted: auto-generated")
    assert user.deliver("Subject: no").startswith("250")
    report = sent(relayed, 1)[0]["text"].decode()
    assert "disposition-notification" in report and "N\u00f6, danke" in report and "automatic-action/MDN-sent-automatically; deleted" in report
    assert user.deliver("Subject: no", sender="").startswith("550 5.7.1")
    assert user.found() == {"INBOX": [("yes", ""), ("program", "")]}


def test_nowhere_to_send(where):
    """Without a smarthost a redirect keeps the mail and its user is told; answers are left out."""
    user = User(where, """require ["vacation"]; if header :is "subject" "r" { redirect "a@example.net"; } else { vacation "away"; }""")
    assert user.deliver("Subject: r").startswith("250") and user.deliver("Subject: v").startswith("250")
    assert [s for s, _ in user.found()["INBOX"]] == ["r", "Your filter script failed", "v"]
