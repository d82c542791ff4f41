"""Every command and every word of one x every single right missing x a mailbox that is there or not, as a second user.

The rows are in table.py; what the server knows and no row asks for fails. A server that decides nothing (rightless.c) must
fail every cell that is refused."""
import collections
import json
import os
import pathlib
import re

import pytest

from lib import client, server as posthorn
from lib.long import LONG

from . import table
from .matrix import ABSENT, MESSAGE, SECRETS, Ask, Matrix, OwnMatrix, names_box, pipelined

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SETTINGS = {"quota_messages": 1000000}
CODE = re.compile(rb"^(?:OK|NO|BAD) \[([A-Z-]+)")


def play(more=True):
    server = posthorn.Server(SETTINGS)
    try:
        server.user_add("zelda")
        matrix = Matrix(server, more=more)
        matrix.play()
    finally:
        server.stop()
    return matrix


@pytest.fixture(name="matrix", scope="module")
def a_matrix():
    return play()


@pytest.fixture(name="control", scope="module")
def a_matrix_without_rights():
    path = pathlib.Path(posthorn.binary()).parent / "posthorn_rightless"
    assert path.exists(), f"ninja -C {path.parent.parent.parent} src/main/posthorn_rightless"
    before = os.environ.get("POSTHORN_BINARY")
    os.environ["POSTHORN_BINARY"] = str(path)
    try:
        return play(LONG)
    finally:
        os.environ.pop("POSTHORN_BINARY")
        if before:
            os.environ["POSTHORN_BINARY"] = before


def report(failed):
    assert not failed, f"{len(failed)} failed:\n" + "\n".join(failed[:40])


# ---- nothing is forgotten ---------------------------------------------------------------------------------------

def known():
    """(commands, words) of the binary's tables."""
    rows = [json.loads(line) for line in posthorn.run_verb("capabilities", "--json").splitlines()]
    return {c for row in rows for c in row["commands"]}, {w for row in rows for w in row["words"]}


def asked_commands():
    for row in table.ROWS:
        for command in row.commands:
            for u in ("", "UID ") if "{u}" in command else ("",):
                words = command.replace("{u}", u).split()
                yield " ".join(words[:2]) if words[0] == "UID" else words[0]


def test_every_command_and_word_has_an_answer():
    commands, words = known()
    assert len(commands) > 60 and len(words) > 120
    asked = set(asked_commands()) | set(table.NONE)
    assert commands <= asked, f"no row in table.py: {sorted(commands - asked)}"
    assert asked <= commands, f"there is no such command: {sorted(asked - commands)}"
    scopes = {f"scope {word}" for word in re.findall(r'\{"([A-Z-]+)", +SCOPE_', (ROOT / "src/imap/scope.c").read_text())} | {"scope SELECTED"}
    assert len(scopes) == 7
    of_rows = {word for row in table.ROWS for word in row.words}
    assert words | scopes <= of_rows, f"no row in table.py: {sorted((words | scopes) - of_rows)}"
    assert of_rows <= words | scopes, f"there is no such word: {sorted(of_rows - words - scopes)}"


def test_every_event_entry_and_code_has_an_answer():
    events = set(re.findall(r'\{"([A-Z]+)", EVENT_', (ROOT / "src/imap/notify_parse.c").read_text()))
    assert events == set(table.EVENTS)
    sources = "\n".join(path.read_text() for folder in ("imap", "mail") for path in (ROOT / "src" / folder).rglob("*.c") if not path.stem.endswith("_test"))
    entries = set(re.findall(r'"(/(?:shared|private)[a-z/]*)"', sources))
    assert entries == set(table.ENTRIES), entries ^ set(table.ENTRIES)
    grammar = (ROOT / "tests/lib/grammar.py").read_text()
    codes = {word for text in re.findall(r'^FAULT\(\w+, +"([A-Z -]+)"', (ROOT / "src/base/faults.def").read_text(), re.M) for word in text.split()[:1]}
    codes |= set(re.findall(r'b"([A-Z-]+)"', grammar[grammar.index("PLAIN_CODES"):grammar.index("class Wrong")]))
    codes |= set(re.findall(r'b"([A-Z-]{4,})"', grammar[grammar.index("    def code("):grammar.index("    def rights(")])) - {"CAPABILITY"}
    answered = table.TELLS | table.REFUSALS | table.OTHERS
    assert len(codes) > 40 and codes <= answered, codes - answered


# ---- what is done, and what is not -------------------------------------------------------------------------------

def wrong(matrix):
    return [ask for ask in matrix.asks if ask.wanted != ask.done]


def test_rights(matrix):
    report([f"{ask.key}: {'refused' if ask.wanted else 'done'}: {ask.lines[-3:]} {ask.tagged}" for ask in wrong(matrix)])


def test_control(control):
    """Without the check each cell that is to be refused is done."""
    failed = {id(ask) for ask in wrong(control)}
    toothless = [ask for ask in control.asks if ask.row.needs and not ask.wanted and ask.rights and id(ask) not in failed]
    report([f"{ask.key}: {ask.lines[-3:]} {ask.tagged}" for ask in toothless])
    assert len(failed) > 800 and unlike(control)


def unlike(matrix):
    """Rows whose answers tell a hidden mailbox from one that is not there, octet for octet."""
    groups, failed = collections.defaultdict(dict), []
    for ask in matrix.asks:
        if ask.variant in ("l", "-l") or ask.variant in ABSENT:
            groups[id(ask.row), ask.form][ask.variant] = ask
    for group in groups.values():
        told = {variant: tuple(ask.told()) for variant, ask in group.items()}
        pairs = [(variant, "absent") for variant in ("l", "-l") if variant in group]
        pairs += [("foreign", "nobody")] + ([] if group["l"].row.tree else [("absent", "foreign")])
        failed += [f"{group[a].name} [{group[a].form}] {a}, {b}: {told[a]} {told[b]}" for a, b in pairs if told[a] != told[b]]
    assert len(groups) > 300
    return failed


def test_what_is_hidden_is_as_if_it_were_not_there(matrix):
    report(unlike(matrix))


def test_refusals_tell_nothing(matrix):
    failed = []
    for ask in matrix.asks:
        code = CODE.match(ask.tagged)
        code = code and code[1].decode()
        unknown = ask.rights is None or "l" not in ask.rights
        if code and code not in table.TELLS | table.REFUSALS | table.OTHERS:
            failed.append(f"{ask.key}: no answer for {code} in table.py")
        if unknown and not ask.done and code and code not in table.REFUSALS:
            failed.append(f"{ask.key}: {code} of what is not to be known")
        if (unknown or "r" not in ask.rights) and any(secret in line for line in ask.lines for secret in SECRETS):
            failed.append(f"{ask.key}: {ask.lines}")
    report(failed)


def test_what_is_refused_changes_nothing(matrix):
    failed, looked = [], 0
    for ask in matrix.asks:
        if ask.rights and ask.row.changes and ask.row.needs != "" and not ask.wanted and ask.row.shows is None:
            looked += 1
            name = ask.inside.encode()
            if matrix.before[name] != matrix.after.get(name):
                failed.append(f"{ask.key}: {matrix.before[name]} became {matrix.after.get(name)}")
    report(failed)
    assert looked > 100


# ---- other ways of hiding -----------------------------------------------------------------------------------------

# One of these may be there and may not be looked up, the others are not there.
HIDDEN = [
    ("Shared/alice/INBOX", "Shared/zelda/INBOX", "Shared/nobdy/INBOX"),
    ("Shared/alice/inbox", "Shared/zelda/inbox", "Shared/nobdy/inbox"),
    ("Shared/alice/open/hidden", "Shared/alice/open/absent"),
    ("Shared/alice/hidden/below", "Shared/alice/absent/below"),
    ("Shared/alice/barred", "Shared/alice/absent"),
    ("Shared/alice/banned", "Shared/alice/absent"),
    ("Shared/alice/hidden", "Shared/alice/absent"),
    ("Shared/ALICE/hidden", "Shared/ALICE/absent"),
    ("Shared/alice/hidden/", "Shared/alice/absent/"),
    ("Shared/alice/level", "Shared/alice/nevel"),
    ("Shared/alice/place", "Shared/alice/plane"),  # with a child that is seen: a mailbox, and a level that is none
    ("Public/hidden", "Public/absent"),
    ("Public/hidden/below", "Public/absent/below"),
]


@pytest.fixture(name="hiding", scope="module")
def a_server_that_hides():
    server = posthorn.Server({**SETTINGS, "admin_users": ["carol"]})
    server.user_add("zelda")
    posthorn.run_verb("group", "add", "staff", "--data", server.data)
    posthorn.run_verb("group", "member", "add", "staff", "bob", "--data", server.data)
    alice, carol, bob = (server.imap(name) for name in ("alice", "carol", "bob"))
    server.imap("zelda").close()
    for box in ("open", "open/hidden", "hidden", "hidden/below", "barred", "banned", "level", "level/below", "place", "place/seen", "plane", "plane/seen", "in", "in/hidden", "in/level", "in/level/below"):
        alice.command(f"CREATE {box}")
        alice.append(box, MESSAGE)
    for rights in ("open bob lx", "open/hidden bob rswipkxte", "hidden bob rswipkxte", "barred anyone lrswipkxte", "barred -bob l", "banned bob lrswipkxte",
                   "banned -$staff l", "in bob lkx", "place/seen bob lr", "plane/seen bob lr", "in/hidden bob x", "in/level bob x", "in/level/below bob x"):
        alice.command(f"SETACL {rights}")
    for box in ("level", "in/level", "plane"):
        alice.command(f"DELETE {box}")
    for box in ("Public/hidden", "Public/hidden/below", "Public/open"):
        carol.command(f"CREATE {box}")
        carol.append(box, MESSAGE)
    carol.command("SETACL Public/open bob lr")
    for box in ("Stock", "Flagged"):
        bob.command(f"CREATE {box}")
    bob.append_all("Stock", [MESSAGE] * 200)
    bob.append("Flagged", MESSAGE)
    for session in (alice, carol, bob):
        session.close()
    yield server
    server.stop()


def test_however_it_is_hidden(hiding):
    """All rows again, on mailboxes that are hidden by a negative right, a group, a parent; INBOX; the public tree."""
    session, rows = hiding.imap("bob"), [row for row in table.ROWS if not row.selected and row.forms != "modern" and names_box(row) and "below" not in row.commands[-1]]
    assert len(rows) > 100
    asks = [Ask(row, "rev1", row.name, "l", box, number) for number, boxes in enumerate(HIDDEN) for row in rows for box in boxes]
    played = Matrix(hiding, [])
    played.run(session, asks, "")
    session.close()
    failed = []
    for number, boxes in enumerate(HIDDEN):
        for row in rows:
            told = {ask.box: tuple(re.sub(rb"(/seen UIDVALIDITY) \d+", rb"\1", line) for line in ask.told()) for ask in asks if ask.row is row and ask.number == number}
            if len(set(told.values())) != 1 and not (row.tree and len(boxes) == 3):
                failed.append(f"{row.name}: {told}")
            if row.needs != "" and "plane" not in boxes[1] and any(ask.done for ask in asks if ask.row is row and ask.number == number):
                failed.append(f"{row.name}: {told}")
    report(failed)


def test_what_is_in_the_way_is_a_forbidden_name(hiding):
    """Under a visible parent with k a hidden mailbox cannot be as if it were not there: its name is refused, as one with a control."""
    bob, alice = hiding.imap("bob"), hiding.imap("alice")
    alice.command("CREATE in/source")
    alice.command("SETACL in/source bob lx")
    before = alice.command('LIST "" in*')[0]
    renames = ["RENAME Shared/alice/in/source {}", "RENAME Shared/alice/in/source {}/new"]
    for box, commands in (("in/hidden", ["CREATE {}", "CREATE {}/new", *renames]), ("in/level", ["CREATE {}/new", *renames])):
        answers = pipelined(bob, [(command.format(f"Shared/alice/{box}"), command) for command in commands])
        for command, lines, tagged in answers:
            assert tagged.startswith(b"NO [CANNOT]") and not lines, (command, box, lines, tagged)
    assert alice.command('LIST "" in*')[0] == before
    forbidden, = pipelined(bob, [("CREATE Shared/alice/in/..", None)])
    assert forbidden[2] == answers[0][2]
    for name in ("in/absent", "in/other", "in/level"):  # a level is no mailbox: as if it were not there
        bob.command(f"CREATE Shared/alice/{name}")
        assert bob.command(f"MYRIGHTS Shared/alice/{name}")[0][0].endswith(b" lkxc")
    bob.command("RENAME Shared/alice/in/source Shared/alice/in/other/new")
    assert b"below" not in b"".join(bob.command('LIST "" Shared/alice/in/level*')[0])
    bob.close()
    alice.close()


def test_namespace(hiding):
    """It tells nobody what there is: the same for one who sees trees of others and one who does not."""
    said = {tuple(hiding.imap(name).command("NAMESPACE")[0]) for name in ("alice", "bob", "zelda")}
    assert len(said) == 1


def test_levels_tell_nothing(hiding):
    """LIST with wildcards shows a level above what is seen, whether a mailbox is there or not (RFC 4314 section 4)."""
    bob = hiding.imap("bob")
    for pattern in ('"" Shared/alice/%', '"Shared/alice/" "*"', '"" Shared/alice/pla%', '(SUBSCRIBED) "" Shared/alice/* RETURN (CHILDREN)',
                    '"" Shared/alice/* RETURN (STATUS (MESSAGES) MYRIGHTS METADATA (/shared/comment) SPECIAL-USE SUBSCRIBED)', '(RECURSIVEMATCH SUBSCRIBED) "" Shared/alice/%'):
        for command in ("LIST", "XLIST") if "(" not in pattern else ("LIST",):
            lines = bob.command(f"{command} {pattern}")[0]
            told = {name: [line.replace(name, b"X") for line in lines if name in line] for name in (b"place", b"plane")}
            assert told[b"place"] == told[b"plane"], (pattern, told)
            assert not any(name in line for name in (b"hidden", b"barred", b"banned") for line in lines), lines
    bob.close()


# ---- the owner, who may take rights from the own name (RFC 4314 section 2), but never l and a -----------------------------

def owners_rows():
    """One row for each command, where it is the owner's to be asked."""
    found = {}
    for row in table.ROWS:
        text = " ".join(row.commands)
        if row.needs and not row.selected and "QUOTA" not in text and row.forms == "both" and "Shared" not in text and "bob" not in text and "subscribed" not in text and not row.inner:
            found.setdefault((row.name if LONG else row.commands[-1].split()[0], row.needs, row.changes), row)
    return list(found.values())


def test_the_owner_without_a_right():
    rows = owners_rows()
    assert len(rows) > 40
    server = posthorn.Server(SETTINGS)
    try:
        server.user_add("zelda")
        matrix = OwnMatrix(server, rows, more=False)
        asks = [ask for ask in matrix.play() if ask.form == "rev1" and ask.rights]
        report([f"{ask.key}: {'refused' if ask.wanted else 'done'}: {ask.lines[-3:]} {ask.tagged}" for ask in asks if ask.wanted != ask.done])
        assert sum(not ask.wanted for ask in asks) > 60
    finally:
        server.stop()


# ---- a password that is for reading only -----------------------------------------------------------------------------------

def all_of(session):
    """What an account's owner can see of it."""
    said = [session.command(command)[0] for command in ('LIST "" * RETURN (STATUS (MESSAGES UNSEEN UIDNEXT HIGHESTMODSEQ MAILBOXID) MYRIGHTS)', 'LSUB "" *',
                                                        'GETMETADATA (DEPTH infinity) "" (/private)', "GETACL ours", "GETQUOTAROOT INBOX")]
    return said + [session.command(f"GETMETADATA (DEPTH infinity) {box} (/private /shared)")[0] for box in ("INBOX", "ours")]


def play_all(server, user, password):
    """All rows on a mailbox of the user's own: commands that said OK."""
    session, done = client.Imap(server.address("imap"), user, password), 0
    words = {"box": "ours", "inside": "ours", "u": "", "n": 1, "size": len(MESSAGE), "message": MESSAGE.decode()}
    more = ['SETMETADATA "" (/private/comment "x")', 'SETMETADATA INBOX (/private/comment "x")', "SETACL ours bob lr", "SUBSCRIBE elsewhere"]
    for commands in [["SELECT ours", *row.commands] if row.selected else row.commands for row in table.ROWS] + [more]:
        for _, _, tagged in pipelined(session, [(command.format(**words), None) for command in [*commands, "NOOP"]]):
            done += tagged.startswith(b"OK")
    session.close()
    return done


def test_a_read_only_password_changes_nothing():
    server = posthorn.Server(SETTINGS)
    try:
        row, = [json.loads(line) for line in posthorn.run_verb("user", "password", "add", "alice", "screen", "--read-only", "--json", "--data", server.data).splitlines()]
        alice = server.imap("alice")
        for box in ("ours", "Stock", "Flagged", "Taken"):
            alice.command(f"CREATE {box}")
            alice.append_all(box, [MESSAGE] * 3)
        alice.append("ours", MESSAGE, "\\Deleted")
        before = all_of(alice)
        done = play_all(server, "alice", row["password"])
        assert all_of(alice) == before and done > 300
        play_all(server, "alice", posthorn.PASSWORD)
        after = all_of(alice)
        assert not [a for a, b in zip(after, before) if a == b]  # each of these can see a change
        alice.close()
    finally:
        server.stop()
