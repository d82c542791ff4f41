"""IMAPSIEVE (RFC 6785): scripts that IMAP commands run, over real sessions."""
import itertools
import re
import threading

import pytest

from lib import client, scripts, server as posthorn
from lib.long import LONG
from lib.smarthost import Smarthost
from lib.waiting import wait_for

numbers = itertools.count(1)
LEARN = """require ["imapsieve", "environment", "variables", "fileinto", "mailbox", "copy", "imap4flags"];
if environment :matches "imap.user" "*" { set "user" "${1}"; }
fileinto :copy :create :flags ["$learned"] "Learned/${user}";
"""
HAM = """require ["imapsieve", "fileinto", "mailbox", "copy"];
fileinto :copy :create "Ham";
"""


@pytest.fixture(scope="module", name="where")
def make_where(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "learn.sieve").write_text(LEARN)
    (folder / "ham.sieve").write_text(HAM)
    server = posthorn.Server({
        "imapsieve": [f"COPY,APPEND \\Junk: before {folder}/learn.sieve", f"COPY \\Junk -> *: after {folder}/ham.sieve"],
        "sieve_environment": ["greeting good day"], "imapsieve_script": "general", "local_domains": ["d.test"], "log_level": "debug"})
    try:
        yield server
    finally:
        server.stop()


class User:
    def __init__(self, server):
        self.server, self.name = server, f"hook{next(numbers)}"
        server.user_add(self.name, posthorn.PASSWORD)
        self.imap = server.imap(self.name)

    def script(self, text, name="hook", mailbox="INBOX"):
        scripts.put(self.server, self.name, text, name, active=False)
        if mailbox:
            self.imap.command(f'SETMETADATA "{mailbox}" (/shared/imapsieve/script "{name}")')

    def append(self, subject, folder="INBOX", flags=""):
        text = f"From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nbody\r\n".encode()
        self.imap.append(folder, text, flags)

    def folder(self, name):
        """{subject: flags}"""
        if self.imap.select(name)["EXISTS"] == 0:
            return {}
        rows = self.imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        told = "Your filter script failed"  # the notice
        return {r["BODY[HEADER.FIELDS (SUBJECT)]"].decode().strip()[9:]: " ".join(sorted(set(r["FLAGS"]) - {"\\Recent"}))
                for r in rows.values() if told.encode() not in r["BODY[HEADER.FIELDS (SUBJECT)]"]}


def test_causes(where):
    """imap.cause, mailbox, user, email, changedflags; location and phase (RFC 6785 section 4); keep leaves flags changed."""
    user = User(where)
    user.script("""require ["imapsieve", "environment", "variables", "imap4flags", "vnd.dovecot.environment"];
if environment :is "imap.cause" "APPEND" { addflag "$append"; }
if environment :is "imap.cause" "COPY" { addflag "$copy"; }
if environment :is "imap.cause" "FLAG" { addflag "$flag"; }
if environment :contains "imap.changedflags" "\\\\Flagged" { addflag "$starred"; }
if environment :contains "imap.changedflags" "$key" { addflag "$keyed"; }
if allof (environment "imap.changedflags" "", not environment "imap.cause" "FLAG") { addflag "$nochange"; }
if allof (environment "location" "MS", environment "phase" "post") { addflag "$ms"; }
if environment "imap.mailbox" "INBOX" { addflag "$inbox"; }
if environment "imap.user" "%s" { addflag "$user"; }
if environment "imap.email" "%s@d.test" { addflag "$email"; }
if string "${env.vnd.dovecot.default_mailbox} ${env.vnd.dovecot.config.greeting}" "INBOX good day" { addflag "$env"; }
if hasflag "\\\\Seen" { addflag "$wasseen"; }
""" % (user.name, user.name))
    always = "$email $env $inbox $ms"
    user.append("one", flags="\\Seen")
    assert user.folder("INBOX") == {"one": "$append $email $env $inbox $ms $nochange $user $wasseen \\Seen"}
    user.imap.command('CREATE "Other"')
    user.append("two", "Other")
    user.imap.select("Other")
    user.imap.command("COPY 1 INBOX")
    assert user.folder("INBOX")["two"] == f"$copy {always} $nochange $user"
    user.imap.command("STORE 2 +FLAGS (\\Flagged $key)")
    assert user.folder("INBOX")["two"] == f"$copy {always} $nochange $user \\Flagged".replace("$email $env", "$email $env $flag").replace(
        "$inbox $ms", "$inbox $key $keyed $ms").replace("$nochange $user", "$nochange $starred $user")
    user.imap.command("FETCH 2 BODY[]")  # sets \\Seen (section 2.2.3)
    assert "$wasseen" in user.folder("INBOX")["two"]
    user.imap.select("Other")
    user.imap.command("MOVE 1 INBOX")
    assert user.folder("Other") == {}


def test_actions(where):
    """fileinto copies and marks the original \\Deleted, :copy does not; discard; keep; nothing runs again (sections 2.2.4, 3)."""
    user = User(where)
    user.script("""require ["imapsieve", "fileinto", "copy", "mailbox", "imap4flags", "editheader", "environment"];
if header "subject" "file" { fileinto :create "Filed"; }
elsif header "subject" "copy" { fileinto :create :copy "Filed"; }
elsif header "subject" "flags" { fileinto :create :copy :flags "$x" "Filed"; }
elsif header "subject" "edit" { addheader "X-New" "1"; fileinto :create :copy "Edited"; addheader "X-Never" "1"; }
elsif header "subject" "drop" { discard; }
elsif header "subject" "both" { discard; keep; }
elsif header "subject" "same" { fileinto "INBOX"; }
elsif header "subject" "none" { fileinto "Nowhere"; }
""")
    user.script('require ["imapsieve", "imap4flags"]; addflag "$again";', "again", None)
    user.imap.command('CREATE "Filed"')
    user.imap.command('SETMETADATA "Filed" (/shared/imapsieve/script "again")')
    for subject in ("file", "copy", "flags", "edit", "drop", "both", "same", "none", "plain"):
        user.append(subject, flags="$own")
    assert user.folder("INBOX") == {"file": "$own \\Deleted", "copy": "$own", "flags": "$own", "edit": "$own", "drop": "$own \\Deleted",
                                    "both": "$own", "same": "$own", "none": "$own", "plain": "$own"}
    one = user.imap.fetch("1", "(EMAILID)")[1]["EMAILID"]
    assert user.folder("Filed") == {"file": "$own", "copy": "$own", "flags": "$x"}  # no $again: no recursion
    assert user.imap.fetch("1", "(EMAILID)")[1]["EMAILID"] == one  # one body
    user.imap.select("Edited")
    text = user.imap.fetch("1", "(BODY.PEEK[])")[1]["BODY[]"]
    assert b"X-New: 1" in text and b"X-Never" not in text
    user.imap.select("INBOX")
    assert b"X-New" not in user.imap.fetch("4", "(BODY.PEEK[])")[4]["BODY[]"]  # the message itself never changes


def test_wrong(where):
    """What a script may not do there ends it, and the message stays; imapsieve does not run at delivery (sections 3.11, 4.6)."""
    user = User(where)
    user.imap.command('CREATE "Filed"')
    for number, bad in enumerate(('"vacation"]; %s vacation "x";', '"reject"]; reject "x";', '"ereject"]; ereject "x";',
                                  '"envelope"]; %s if envelope "from" "x" { stop; }')):
        posthorn.run_verb("sieve", "put", "bad", "-", "--user", user.name, "--data", where.data,
                          stdin=('require ["imapsieve", "fileinto", ' + bad.replace("%s", 'fileinto "Filed";')).encode())
        user.imap.command('SETMETADATA INBOX (/shared/imapsieve/script "bad")')
        user.append(f"bad{number}")
    found = user.folder("INBOX")
    assert {k: v for k, v in found.items() if k.startswith("bad")} == {f"bad{i}": "" for i in range(4)}, found
    assert user.folder("Filed") == {}
    user.imap.command('SETMETADATA INBOX (/shared/imapsieve/script "not there")')
    user.append("missing")
    assert user.folder("INBOX")["missing"] == ""


def test_which_script(where):
    """The mailbox's entry hides the server's, also where it is empty (section 2.3.1)."""
    user = User(where)
    user.script('require ["imapsieve", "imap4flags"]; addflag "$general";', "general", None)
    user.script('require ["imapsieve", "imap4flags"]; addflag "$special";', "special", "INBOX")
    for folder in ("A", "B"):
        user.imap.command(f'CREATE "{folder}"')
        user.append(folder, folder)
    user.append("inbox")
    assert (user.folder("A"), user.folder("INBOX")) == ({"A": "$general"}, {"inbox": "$special"})
    user.imap.command('SETMETADATA B (/shared/imapsieve/script "")')
    user.append("B2", "B")
    assert user.folder("B") == {"B": "$general", "B2": ""}
    lines, _ = user.imap.command('GETMETADATA "" /shared/imapsieve/script')
    assert b"general" in b" ".join(lines)


def test_labels(where):
    """STORE of X-GM-LABELS: a label that a message gets is a COPY into that mailbox, \\Starred and \\Important are flags; one that it has, and one
    that goes, are no events."""
    user = User(where)
    user.script("""require ["imapsieve", "environment", "imap4flags"];
if environment "imap.cause" "COPY" { addflag "$copy"; }
if environment "imap.cause" "FLAG" { addflag "$flag"; }
if environment "imap.changedflags" "\\\\Flagged" { addflag "$star"; }
if environment "imap.changedflags" "$Important" { addflag "$imp"; }
if environment "imap.changedflags" "\\\\Flagged $Important" { addflag "$both"; }
""", mailbox=None)
    for folder in ("A", "B", "Work"):
        user.imap.command(f'CREATE "{folder}"')
        user.imap.command(f'SETMETADATA "{folder}" (/shared/imapsieve/script "hook")')
    for subject in ("one", "two", "three"):
        user.append(subject, "Work")
    user.imap.select("Work")
    before = user.folder("Work")
    user.imap.command("STORE 1:2 +X-GM-LABELS (A B)")
    assert (user.folder("A"), user.folder("B")) == ({"one": "$copy", "two": "$copy"}, {"one": "$copy", "two": "$copy"})
    assert user.folder("Work") == before
    user.imap.command("STORE 1:3 +X-GM-LABELS.SILENT (A)")  # only the third is new there
    assert user.folder("A") == {"one": "$copy", "two": "$copy", "three": "$copy"}
    user.imap.select("A")
    user.imap.command("STORE 1:* -FLAGS.SILENT ($copy)")
    user.imap.select("Work")
    user.imap.command("STORE 1 -X-GM-LABELS (B)")
    assert user.folder("A") == {"one": "$flag", "two": "$flag", "three": "$flag"} and user.folder("B") == {"two": "$copy"}
    user.imap.select("Work")
    user.imap.command("STORE 1 +X-GM-LABELS (\\Starred)")
    user.imap.command("STORE 2 +X-GM-LABELS (\\Important)")
    user.imap.command("STORE 3 +X-GM-LABELS (\\Starred \\Important)")
    user.imap.command("STORE 3 +X-GM-LABELS (\\Starred \\Important)")  # nothing changes
    assert user.folder("Work") == {"one": "$flag $star \\Flagged", "two": "$Important $flag $imp", "three": "$Important $both $flag \\Flagged"}


def test_labels_of_spam(where):
    """\\Junk as a label teaches as a MOVE into it does."""
    user = User(where)
    user.append("spam", "INBOX")
    user.imap.select("INBOX")
    user.imap.command("STORE 1 +X-GM-LABELS (Junk)")
    assert user.folder(f"Learned/{user.name}") == {"spam": "$learned"}


def test_administrator(where):
    """Learning of spam: COPY and APPEND into \\Junk, COPY and MOVE out of it, whatever it is called."""
    user = User(where)
    user.append("spam", "INBOX")
    user.imap.select("INBOX")
    user.imap.command("MOVE 1 Junk")
    user.append("more", "Junk")
    assert user.folder(f"Learned/{user.name}") == {"spam": "$learned", "more": "$learned"}
    user.imap.select("Junk")
    user.imap.command("MOVE 1 INBOX")
    assert user.folder("Ham") == {"spam": ""}
    assert user.folder("INBOX") == {"spam": ""}


def test_many(where):
    """MULTIAPPEND, REPLACE, and a STORE of many: each message is an event of its own (section 2.2.1)."""
    user = User(where)
    user.script('require ["imapsieve", "imap4flags", "environment"];\nif environment "imap.cause" "FLAG" { addflag "$f"; } else { addflag "$n"; }')
    for i in range(60):
        user.append(f"m{i}")
    user.imap.select("INBOX")
    user.imap.command("STORE 1:60 +FLAGS.SILENT (\\Answered)")
    assert set(user.folder("INBOX").values()) == {"$f $n \\Answered"}
    user.imap.command("STORE 1:60 +FLAGS.SILENT (\\Answered)")  # nothing changes: no event
    user.imap.command("STORE 1:60 -FLAGS.SILENT ($f)")
    assert set(user.folder("INBOX").values()) == {"$f $n \\Answered"}


def test_capability(where):
    """IMAPSIEVE=sieve://host where ManageSieve listens (section 2.1); nothing of it elsewhere."""
    lines, _ = User(where).imap.command("CAPABILITY")
    assert b" IMAPSIEVE=sieve://" in lines[0] and b" FILTER=SIEVE" in lines[0]
    with_none = posthorn.Server(services=("imap", "lmtp"))
    try:
        with_none.user_add("ann", posthorn.PASSWORD)
        imap = with_none.imap("ann")
        assert b"IMAPSIEVE" not in imap.command("CAPABILITY")[0][0]
        imap.select("INBOX")
        with pytest.raises(client.Refused, match="NOPERM"):
            imap.command('FILTER SIEVE SCRIPT "discard;" ALL')
    finally:
        with_none.stop()


def filtered(user, command):
    lines, _ = user.imap.command(command)
    return [line.decode() for line in lines if b" FILTERED " in line or line.startswith(b"* FILTER ")]


def test_filter(where):
    """FILTER=SIEVE: each message that is found is told; what is not kept is \\Deleted; senders hear nothing (sections 3 and 4)."""
    user = User(where)
    for subject in ("one", "two", "three"):
        user.append(subject, flags="$own")
    user.imap.command('CREATE "Filed"')
    user.imap.select("INBOX")
    told = filtered(user, 'UID FILTER SIEVE SCRIPT "require \\"fileinto\\"; fileinto \\"Filed\\";" SUBJECT "two"')
    assert [re.sub(r"TAG \"[^\"]*\"", "TAG", line) for line in told] == ["* 2 FILTERED (TAG) UID 2 OK"]
    assert user.folder("INBOX") == {"one": "$own", "two": "$own \\Deleted", "three": "$own"}
    assert user.folder("Filed") == {"two": "$own"}
    user.imap.select("INBOX")
    user.script('require ["imap4flags", "vacation"]; vacation "x"; if hasflag "$own" { removeflag "$own"; addflag "$mine"; }', "mine", None)
    assert len(filtered(user, 'FILTER SIEVE PERSONAL mine ALL')) == 3
    assert user.folder("INBOX") == {"one": "$mine", "two": "$mine \\Deleted", "three": "$mine"}
    user.imap.select("INBOX")
    told = filtered(user, 'FILTER SIEVE SCRIPT "require \\"fileinto\\"; fileinto \\"Nowhere\\";" 1')
    assert "ERRORS" in told[0] and user.folder("INBOX")["one"] == "$mine"
    user.imap.select("INBOX")
    assert len(filtered(user, "FILTER SIEVE DELIVERY ALL")) == 3
    for bad in ('"junk!"', '"require \\"imapsieve\\"; keep;"'):
        with pytest.raises(client.Refused):
            user.imap.command(f"FILTER SIEVE SCRIPT {bad} ALL")
    for bad in ("PERSONAL none", "GLOBAL none"):
        with pytest.raises(client.Refused, match="NONEXISTENT"):
            user.imap.command(f"FILTER SIEVE {bad} ALL")
    with pytest.raises(client.Refused, match="BADCHARSET"):
        user.imap.command("FILTER SIEVE DELIVERY CHARSET x-none ALL")
    with pytest.raises(client.Refused, match="BAD"):
        user.imap.command("FILTER SIEVE OTHER ALL")


def test_filter_guest(where):
    """Nobody runs scripts as the owner of a folder that is shared."""
    owner, guest = User(where), User(where)
    owner.append("x")
    owner.imap.command(f'SETACL INBOX {guest.name} lrswited')
    guest.imap.select(f"Shared/{owner.name}/INBOX")
    with pytest.raises(client.Refused, match="NOPERM"):
        guest.imap.command("FILTER SIEVE DELIVERY ALL")


CAUSE = """require ["imapsieve", "imap4flags", "environment", "variables"];
if environment :matches "imap.cause" "*" { addflag "$${1}"; }
if environment :matches "imap.user" "*" { addflag "$by-${1}"; }
if environment :matches "imap.changedflags" "?*" { addflag "$changed"; }
"""


def test_each_command(where):
    """MULTIAPPEND, CATENATE and REPLACE are APPEND, MOVE is COPY (RFC 6785 section 2.2)."""
    user = User(where)
    user.script(CAUSE)
    by = f"$by-{user.name}"
    text = "Subject: {}\r\n\r\nbody\r\n"

    def literal(subject):
        return f"{{{len(text.format(subject))}+}}\r\n{text.format(subject)}"

    user.imap.command("APPEND INBOX " + " ".join(literal(f"multi{i}") for i in range(3)))
    user.imap.command(f"APPEND INBOX CATENATE (TEXT {literal('parts')})")
    assert user.folder("INBOX") == {name: f"$APPEND {by}" for name in ("multi0", "multi1", "multi2", "parts")}
    user.imap.select("INBOX")
    user.imap.command(f"REPLACE 1 INBOX {literal('replaced')}")
    assert user.folder("INBOX")["replaced"] == f"$APPEND {by}" and "multi0" not in user.folder("INBOX")
    user.imap.command('CREATE "There"')
    user.script(CAUSE, mailbox="There")
    user.imap.select("INBOX")
    user.imap.command('UID MOVE 2 "There"')
    assert user.folder("There") == {"multi1": f"$APPEND $COPY {by}"}
    user.imap.select("There")
    user.imap.command("UID STORE 1 FLAGS (\\Flagged)")
    assert user.folder("There") == {"multi1": f"$FLAG {by} $changed \\Flagged"}


def test_other_account(where):
    """What a guest copies or moves into a shared folder runs its owner's script, as the owner; imap.user is the guest (section 4.7)."""
    owner, guest = User(where), User(where)
    owner.script(CAUSE + 'if environment "vnd.dovecot.username" "x" { stop; }')
    owner.imap.command(f"SETACL INBOX {guest.name} lrswite")
    guest.append("copied")
    guest.append("moved")
    guest.imap.select("INBOX")
    guest.imap.command(f"COPY 1 Shared/{owner.name}/INBOX")
    guest.imap.command(f"MOVE 2 Shared/{owner.name}/INBOX")
    by = f"$by-{guest.name}"
    assert owner.folder("INBOX") == {"copied": f"$COPY {by}", "moved": f"$COPY {by}"}
    assert guest.folder("INBOX") == {"copied": ""}


def test_expunge():
    """imapsieve_expunge: what is not kept is gone before the answer, with its EXPUNGE; what is kept stays."""
    server = posthorn.Server({"imapsieve_expunge": True})
    try:
        user = User(server)
        user.script('require ["imapsieve", "fileinto", "mailbox"]; if header "subject" ["drop", "late"] { discard; }\n'
                    'elsif header "subject" "file" { fileinto :create "Filed"; }')
        for subject in ("stays", "drop", "file"):
            user.append(subject)
        assert user.folder("INBOX") == {"stays": ""} and user.folder("Filed") == {"file": ""}
        user.imap.command('CREATE "Quiet"')
        user.append("late", "Quiet")
        user.imap.select("INBOX")
        other = server.imap(user.name)
        other.select("Quiet")
        other.command("MOVE 1 INBOX")
        lines, _ = user.imap.command("NOOP")
        assert user.folder("INBOX") == {"stays": ""} and user.folder("Quiet") == {}
        assert not any(b"FETCH" in line for line in lines)
    finally:
        server.stop()


def test_a_copy_of_a_notification():
    """RFC 8580: it goes where the message is, too, and has nothing of the message's flags."""
    host = Smarthost()
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["d.test"]})
    try:
        user = User(server)
        user.script('require ["imapsieve", "enotify", "fcc", "imap4flags"];\n'
                    'notify :fcc "INBOX" :flags "$told" :message "told" "mailto:x@example.net";\n'
                    'notify :fcc "Nowhere" :message "again" "mailto:x@example.net";')
        user.append("tell", flags="\\Flagged")
        wait_for(lambda: len(host.mails) == 2)
        assert user.folder("INBOX") == {"tell": "\\Flagged", "told": "$told", "again": ""}
    finally:
        server.stop()
        host.close()


def test_too_much(where):
    """A script that wants more than it may leaves the message as it is, and the user is told once."""
    user = User(where)
    user.script('require ["imapsieve", "fileinto", "mailbox", "imap4flags"]; addflag "$never";\n'
                + "".join(f'fileinto :create "F{i}";\n' for i in range(33)))
    for i in range(3):
        user.append(f"m{i}")
    assert user.folder("INBOX") == {"m0": "", "m1": "", "m2": ""}
    user.imap.select("INBOX")
    rows = user.imap.fetch("1:*", "(BODY.PEEK[])").values()
    notices = [r["BODY[]"] for r in rows if b"Your filter script failed" in r["BODY[]"]]
    assert len(notices) == 1 and b"more than 32 actions" in notices[0]


def test_store_of_many(where):
    """While the scripts of one large STORE run, other sessions of the user are answered."""
    user, many = User(where), 100_000 if LONG else 2_000
    user.imap.append_all("INBOX", [f"Subject: {i}\r\n\r\n\r\n".encode() for i in range(many)])
    user.script('require ["imapsieve", "imap4flags"]; addflag "$ran";')
    other = where.imap(user.name, timeout=600)
    big = where.imap(user.name, timeout=7200)
    big.select("INBOX")
    answered, done = [], threading.Event()

    def store():
        big.command("STORE 1:* +FLAGS.SILENT (\\Flagged)")
        done.set()

    thread = threading.Thread(target=store)
    thread.start()
    while not done.is_set():
        other.command("NOOP")
        answered.append(done.is_set())
    thread.join()
    assert answered.count(False) > 10  # it did not wait for the end
    other.select("INBOX")
    lines, _ = other.command("SEARCH RETURN (COUNT) KEYWORD $ran FLAGGED")
    ran = int(re.search(rb"COUNT (\d+)", b" ".join(lines))[1])
    assert ran == many or (LONG and "scripts for stored mail have no more work left" in where.stderr() and ran > 10_000)
