"""Ways to a mailbox beside IMAP's commands: Sieve's words and BURL ask the rights that table.py's rows ask (RFC 4314), and what may not be looked up
is as if it were not there. Each verb of the other protocols, and each word of Sieve, has an answer here: a new one without fails."""
import re

import pytest

from lib import client, server as posthorn
from lib.smarthost import Smarthost
from test_submission import SERVICES, Talk

from .matrix import MESSAGE, without
from .table import RIGHTS

ROOT = posthorn.ROOT
BOXES = {**{right: without(right) for right in RIGHTS}, "all": RIGHTS, "least": "lri", "reads": "lr", "puts": "li", "none": None}
ABSENT = ("Shared/alice/d-absent", "Shared/zelda/d-all", "Shared/nobdy/d-all")

# Verbs that name mailboxes ("row": played below), or why they name none of another's.
OWN, NO, MAIL = "the own scripts", "names no mailbox", "names addresses"
VERBS = {
    "submission": {"MAIL": MAIL, "RCPT": MAIL, "VRFY": MAIL, "EXPN": MAIL, "BURL": "row",
                   **dict.fromkeys("DATA BDAT RSET NOOP QUIT EHLO HELO HELP AUTH STARTTLS".split(), NO)},
    "pop3": dict.fromkeys("RETR DELE TOP LIST UIDL STAT NOOP RSET QUIT CAPA LANG UTF8 STLS USER PASS APOP AUTH".split(), "the own INBOX"),
    "managesieve": {**dict.fromkeys("PUTSCRIPT CHECKSCRIPT GETSCRIPT LISTSCRIPTS SETACTIVE DELETESCRIPT RENAMESCRIPT HAVESPACE".split(), OWN),
                    **dict.fromkeys("CAPABILITY NOOP LOGOUT UNAUTHENTICATE AUTHENTICATE STARTTLS".split(), NO)},
}
# Words of Sieve: what is done with {box} and what rights it needs; None: never with a mailbox of another.
TESTS = {
    "mailboxexists": ('mailboxexists "{box}"', "li"),                                 # RFC 5490 section 3.1: one may deliver into it
    "metadata": ('metadata :contains "{box}" "/shared/comment" "commented"', "li"),   # RFC 5490 section 3.2
    "metadataexists": ('metadataexists "{box}" "/shared/comment"', "li"),
    "mailboxidexists": ('mailboxidexists "{id}"', None),                              # RFC 9042 section 3
    "specialuse_exists": ('specialuse_exists "{box}" "\\\\Archive"', None),           # RFC 8579 section 4
}
ACTIONS = {"fileinto": "li"}
NEUTRAL = """keep discard redirect reject ereject vacation notify pipe execute filter report denotify stop require if elsif else include return global set
addflag setflag removeflag addheader deleteheader replace enclose extracttext foreverypart break error convert
address allof anyof envelope exists false header not size true hasflag string date currentdate duplicate environment body spamtest virustest ihave
servermetadata servermetadataexists valid_ext_list valid_notify_method notify_method_capability""".split()


def words_of_sieve():
    text = "\n".join(path.read_text() for path in (ROOT / "src/sieve").rglob("*.c") if not path.stem.endswith("_test"))
    return set(re.findall(r'\{\s*"([a-z_]+)",\s*SIEVE_(?:CONTROL|ACTION|TEST)\b', text))


def verbs_of(folder):
    text = "".join(path.read_text() for path in (ROOT / "src" / folder).glob("*.c") if not path.stem.endswith("_test"))
    return set(re.findall(r'\{"([A-Z0-9]{3,})", +(?:"[^"]*", [A-Z_0]+, |(?:true|false), )?[a-z_0-9]+\}', text))


@pytest.mark.parametrize("folder", VERBS)
def test_every_verb_has_an_answer(folder):
    found = verbs_of(folder)
    assert len(found) > 10 and found == set(VERBS[folder]), found ^ set(VERBS[folder])


def test_every_word_of_sieve_has_an_answer():
    found, answered = words_of_sieve(), {*TESTS, *ACTIONS, *NEUTRAL}
    assert len(found) > 50 and found <= answered, found - answered
    assert set(TESTS) <= found and "fileinto" in found


@pytest.fixture(name="where", scope="module")
def one_server():
    host = Smarthost()
    server = posthorn.Server({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "local_domains": ["example.test"]}, services=SERVICES)
    server.user_add("zelda")
    for owner in ("alice", "zelda"):
        session = server.imap(owner)
        for variant, rights in BOXES.items():
            session.command(f"CREATE d-{variant}")
            session.command(f'SETMETADATA d-{variant} (/shared/comment "commented")')
            session.append(f"d-{variant}", MESSAGE)
            if rights and owner == "alice":
                session.command(f"SETACL d-{variant} bob {rights}")
        session.close()
    yield server
    server.stop()
    host.close()


def ids(server):
    alice = server.imap("alice")
    found = {variant: re.search(rb"MAILBOXID \((\S+)\)", alice.command(f"STATUS d-{variant} (MAILBOXID)")[0][0])[1].decode() for variant in BOXES}
    alice.close()
    return found


def may(needs, variant):
    rights = BOXES[variant]
    return needs is not None and rights is not None and set(needs) <= set(rights)


@pytest.mark.parametrize("word", TESTS)
def test_a_script_asks(where, word):
    """By delivery, and by FILTER=SIEVE: one mark for each mailbox of which it is true."""
    condition, needs = TESTS[word]
    marks, known = {}, ids(where)
    for variant in BOXES:
        marks[f"$is-{variant}"] = condition.format(box=f"Shared/alice/d-{variant}", id=known[variant])
    for number, name in enumerate(ABSENT):
        marks[f"$is-not{number}"] = condition.format(box=name, id="F0123456789abcdef")
    script = 'require ["imap4flags", "mailbox", "mailboxid", "mboxmetadata", "special-use"];\n' + "".join(f'if {test} {{ addflag "{mark}"; }}\n' for mark, test in marks.items())
    posthorn.run_verb("sieve", "put", "asks", "-", "--user", "bob", "--data", where.data, stdin=script.encode())
    posthorn.run_verb("sieve", "activate", "asks", "--user", "bob", "--data", where.data)
    bob, lmtp = where.imap("bob"), client.Lmtp(where.address("lmtp"))
    empty(bob)
    lmtp.deliver("bob", MESSAGE)
    bob.select("INBOX")
    want = {f"$is-{variant}" for variant in BOXES if may(needs, variant)}

    def told():
        return {str(flag) for flag in re.findall(r"\$is-\w+", str(bob.fetch("1", "(FLAGS)")[1]["FLAGS"]))}

    assert told() == want
    bob.command("STORE 1 FLAGS.SILENT ()")
    bob.command(f"FILTER SIEVE SCRIPT {{{len(script)}+}}\r\n{script} ALL")
    assert told() == want
    posthorn.run_verb("sieve", "deactivate", "--user", "bob", "--data", where.data)
    for session in (bob, lmtp):
        session.close()


def empty(session):
    if session.select("INBOX")["EXISTS"]:
        session.expunge("INBOX")


def messages(where, owner):
    session = where.imap(owner)
    lines, _ = session.command('LIST "" "d-*" RETURN (STATUS (MESSAGES))')
    session.close()
    return {m[1].decode(): int(m[2]) for line in lines if (m := re.match(rb'\* STATUS "?d-([\w-]+)"? \(MESSAGES (\d+)\)', line))}


def test_a_script_files(where):
    """fileinto: into what takes it; what does not is as what is not there: the message is in INBOX, the script's problem told the same."""
    bob = where.imap("bob")
    before, problems = messages(where, "alice"), {}
    for name in [f"Shared/alice/d-{variant}" for variant in BOXES] + list(ABSENT):
        script = f'require "fileinto"; fileinto "{name}";'
        empty(bob)
        bob.append("INBOX", MESSAGE)
        bob.select("INBOX")
        lines, _ = bob.command(f"FILTER SIEVE SCRIPT {{{len(script)}+}}\r\n{script} ALL")
        problems[name] = [re.sub(rb"t\d+|\{\d+\}", b"N", line).replace(name.encode(), b"NAME") for line in lines if b"FILTER" in line]
        empty(bob)
        lmtp = client.Lmtp(where.address("lmtp"))
        posthorn.run_verb("sieve", "put", "files", "-", "--user", "bob", "--data", where.data, stdin=script.encode())
        posthorn.run_verb("sieve", "activate", "files", "--user", "bob", "--data", where.data)
        lmtp.deliver("bob", MESSAGE)
        lmtp.close()
    posthorn.run_verb("sieve", "deactivate", "--user", "bob", "--data", where.data)
    after = messages(where, "alice")
    assert {variant: after[variant] - before[variant] for variant in BOXES} == {variant: 2 * may(ACTIONS["fileinto"], variant) for variant in BOXES}
    assert set(messages(where, "zelda").values()) == {1}
    hidden = [problems[f"Shared/alice/d-{variant}"] for variant in ("l", "none")] + [problems[name] for name in ABSENT]
    assert all(told == hidden[0] for told in hidden), problems
    bob.close()


def test_a_script_files_its_answers_nowhere_else(where):
    """RFC 8580: the copy of a vacation answer goes into the user's own folders only."""
    before = messages(where, "alice")
    for variant in ("all", "puts", "none"):
        for number, box in enumerate(("Sent", f"Shared/alice/d-{variant}")):
            script = f'require ["vacation", "fcc"]; vacation :handle "{variant}{number}" :addresses "bob@example.test" :fcc "{box}" "away";'
            posthorn.run_verb("sieve", "put", "fcc", "-", "--user", "bob", "--data", where.data, stdin=script.encode())
            posthorn.run_verb("sieve", "activate", "fcc", "--user", "bob", "--data", where.data)
            lmtp = client.Lmtp(where.address("lmtp"))
            lmtp.deliver("bob", b"From: x@example.org\r\nTo: bob@example.test\r\nSubject: hi\r\n\r\nx\r\n")
            lmtp.close()
    posthorn.run_verb("sieve", "deactivate", "--user", "bob", "--data", where.data)
    bob = where.imap("bob")
    assert bob.select("Sent")["EXISTS"] == 3 and messages(where, "alice") == before
    bob.close()


def test_burl(where):
    """RFC 4468: by l and r of who sends, as URLFETCH; one answer for all that may not be read, there or not."""
    bob = Talk(where.ports["submission"], user="bob")
    said = {}
    for name in [f"Shared/alice/d-{variant}" for variant in BOXES] + list(ABSENT):
        bob.begin(sender="bob@example.test")
        said[name] = bob.ask(f"BURL imap://bob@localhost/{name}/;UID=1 LAST")
        bob.ask("RSET")
    for variant in BOXES:
        wanted = "550 5.7.1" if may("lr", variant) else "554 5.6.6"  # what may be read is read: it is From: somebody else
        assert said[f"Shared/alice/d-{variant}"].startswith(wanted), (variant, said)
    refused = {said[f"Shared/alice/d-{variant}"] for variant in BOXES if not may("lr", variant)} | {said[name] for name in ABSENT}
    assert len(refused) == 1, refused
    bob.close()
