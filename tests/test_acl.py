"""Rights (RFC 4314) as the operator sets them: verbs, groups, administrators, the public tree, and what is logged of them."""
# --json: acl set
# --json: acl list
# --json: acl delete
# --json: mailbox create
import json
import re
import subprocess

import pytest

from lib import client, server as posthorn
from lib.waiting import wait_for

MESSAGE = b"Subject: x\r\n\r\nx\r\n"


@pytest.fixture(scope="module", name="server")
def a_server_with_an_administrator():
    server = posthorn.Server({"admin_users": ["carol"]})
    yield server
    server.stop()


def verb(server, *words):
    return posthorn.run_verb(*words, "--data", server.data)


def rows(server, *words):
    return [json.loads(line) for line in verb(server, *words, "--json").splitlines()]


def done(session, command):
    try:
        return session.command(command)
    except client.Refused:
        return None


def rights(session, box):
    answer = done(session, f"MYRIGHTS {box}")
    return answer and answer[0][0].split()[-1].decode()


def test_verbs(server):
    """acl set, list, delete: the same lists as over IMAP, one audit line for each change, and none where nothing changed."""
    bob = server.imap("bob")
    assert rights(bob, "Shared/alice/INBOX") is None
    assert rows(server, "acl", "set", "alice", "INBOX", "Bob", "lrd")[0]["rights"] == "lrte"
    assert rights(bob, "Shared/alice/INBOX") == "lrted"
    verb(server, "acl", "set", "alice", "INBOX", "bob", "-te")
    verb(server, "acl", "set", "alice", "INBOX", "bob", "lr")
    listed = {row["identifier"]: row["rights"] for row in rows(server, "acl", "list", "alice", "INBOX")}
    assert listed == {"alice": "lrswipkxtea", "bob": "lr"}
    for words in (("set", "alice", "INBOX", "bob", "lrq"), ("set", "alice", "INBOX", "a b", "lr"), ("set", "alice", "nowhere", "bob", "lr"),
                  ("set", "nobody", "INBOX", "bob", "lr")):
        with pytest.raises((RuntimeError, subprocess.CalledProcessError, AssertionError)):
            verb(server, "acl", *words)
    server.restart()
    bob = server.imap("bob")
    assert rights(bob, "Shared/alice/INBOX") == "lr"
    assert rows(server, "acl", "delete", "alice", "INBOX", "bob")[0]["identifier"] == "bob"
    assert rights(bob, "Shared/alice/INBOX") is None
    audit = [line for line in server.stderr().splitlines() if "rights changed" in line]
    assert len(audit) == 3 and all("mailbox=INBOX" in line and "identifier=bob" in line for line in audit)
    assert "the operator" in audit[0] and "lrte" in audit[0]
    bob.close()


def test_groups(server):
    """A member sees what the group may; one who is put out does not, within a second, in an open session and a selected mailbox."""
    verb(server, "group", "add", "staff")
    alice, bob, watcher = (server.imap(n) for n in ("alice", "bob", "bob"))
    alice.command("CREATE Team")
    alice.append("Team", MESSAGE)
    alice.command("SETACL Team $staff lrs")
    assert rights(bob, "Shared/alice/Team") is None
    watcher.command("NOTIFY SET (subtree Shared (MailboxName MessageNew MessageExpunge))")
    verb(server, "group", "member", "add", "staff", "bob")
    wait_for(lambda: rights(bob, "Shared/alice/Team") == "lrs", seconds=30)
    wait_for(lambda: any(b"LIST" in line and b"Shared/alice/Team" in line for line in watcher.command("NOOP")[0]), seconds=30)
    bob.command("ENABLE IMAP4rev2")
    bob.command("SELECT Shared/alice/Team")
    verb(server, "group", "member", "delete", "staff", "bob")
    wait_for(lambda: any(b"[CLOSED]" in line for line in bob.command("NOOP")[0]), seconds=5)
    assert done(bob, "SELECT Shared/alice/Team") is None
    wait_for(lambda: any(b"NonExistent" in line and b"Shared/alice/Team" in line for line in watcher.command("NOOP")[0]), seconds=30)
    for session in (alice, bob, watcher):
        session.close()


def test_public(server):
    """The tree of nobody: administrators and the operator begin it, the others see what its lists say."""
    bob, carol = server.imap("bob"), server.imap("carol")
    assert done(bob, "CREATE Public/news") is None and done(bob, 'LIST "" Public*')[0] == []
    carol.command("CREATE Public/news")
    assert rights(carol, "Public/news") == "lrswipkxteacd" and rights(bob, "Public/news") is None
    carol.command("SETACL Public/news authenticated lrs")
    assert rows(server, "mailbox", "create", "public", "notes")[0]["name"] == "notes"
    verb(server, "acl", "set", "public", "notes", "bob", "lrik")
    assert {row["name"] for row in rows(server, "mailbox", "list", "public")} == {"news", "notes"}
    names = [line.split(b" ")[-1] for line in bob.command('LIST "" Public*')[0]]
    assert names == [b"Public", b"Public/news", b"Public/notes"]
    bob.append("Public/notes", MESSAGE)
    bob.command("CREATE Public/notes/mine")
    assert rights(bob, "Public/notes/mine") == "lrikc" and done(bob, "CREATE Public/mine") is None
    bob.command("SELECT Public/news")
    carol.append("Public/news", MESSAGE)
    assert any(b"1 EXISTS" in line for line in bob.command("NOOP")[0])
    assert done(bob, "DELETE Public/news") is None
    carol.command("DELETE Public/news")
    # nobody is an administrator in the trees of others by that alone
    assert rights(carol, "Shared/bob/INBOX") is None
    bob.command("SETACL INBOX carol l")
    assert rights(carol, "Shared/bob/INBOX") == "lrswipkxteacd"
    bob.close()
    carol.close()


def test_labels_tell_nothing_hidden(server):
    """Whether a message is in a mailbox that may not be looked up too is not told by what is refused."""
    alice, bob = server.imap("alice"), server.imap("bob")
    for box in ("labelled", "concealed"):
        alice.command(f"CREATE {box}")
    for _ in range(2):
        alice.append("labelled", MESSAGE)
    alice.select("labelled")
    alice.command("COPY 2 concealed")
    for letters, code in (("lr", "NOPERM"), ("lrte", "CANNOT")):
        alice.command(f"SETACL labelled bob {letters}")
        bob.select("Shared/alice/labelled")
        answers = []
        for number in (1, 2):
            with pytest.raises(client.Refused) as refused:
                bob.command(f"STORE {number} -X-GM-LABELS (\"Shared/alice/labelled\")")
            answers.append(str(refused.value).split(" ", 1)[1])
        assert answers[0] == answers[1] and code in answers[0], answers


def seen(session, box):
    session.command(f"SELECT {box}")
    return session.command("SEARCH SEEN")[0][0].split()[2:]


def test_marks_go_along(server):
    """RENAME of INBOX, which moves its messages, keeps what each of the others has read."""
    names = [server.fresh_user("reader") for _ in range(3)]
    owner, *others = (server.imap(name) for name in names)
    for n in range(4):
        owner.append("INBOX", MESSAGE)
    for n, reader in enumerate(others):
        owner.command(f"SETACL INBOX {names[1 + n]} lrs")
        reader.command(f"SELECT Shared/{names[0]}/INBOX")
        reader.command(f"STORE {n + 1},4 +FLAGS (\\Seen)")
        reader.command("UNSELECT")
    owner.command("RENAME INBOX Kept")
    assert [seen(reader, f"Shared/{names[0]}/Kept") for reader in others] == [[b"1", b"4"], [b"2", b"4"]]
    server.restart()
    others = [server.imap(name) for name in names[1:]]
    assert [seen(reader, f"Shared/{names[0]}/Kept") for reader in others] == [[b"1", b"4"], [b"2", b"4"]]
    owner = server.imap(names[0])
    assert seen(owner, "Kept") == []
    # a deleted folder comes back with them; that others see it again is up to the owner
    owner.command("UNSELECT")
    owner.command("DELETE Kept")
    verb(server, "mailbox", "undelete", names[0])
    for name in names[1:]:
        owner.command(f"SETACL Kept {name} lrs")
    others = [server.imap(name) for name in names[1:]]
    assert [seen(reader, f"Shared/{names[0]}/Kept") for reader in others] == [[b"1", b"4"], [b"2", b"4"]]
    assert seen(owner, "Kept") == []


def test_marks_come_back(server):
    """Expunged messages that are brought back have what each user had read (RFC 7162: private \\Seen), with new mod-sequences."""
    names = [server.fresh_user("lender") for _ in range(4)]
    owner, *readers = names
    box = f"Shared/{owner}/Lent"
    at = {name: server.imap(name) for name in names}
    at[owner].command("CREATE Lent")
    for name in readers:
        at[owner].command(f"SETACL Lent {name} lrswite")
    for n in range(6):
        at[owner].append("Lent", MESSAGE.replace(b"Subject: ", b"Subject: %d " % n))
    for n, name in enumerate(readers[:2]):
        at[name].command(f"SELECT {box}")
        at[name].command(f"STORE {n + 1},4 +FLAGS (\\Seen)")
        at[name].command(f"STORE {n + 1} +FLAGS (\\Flagged)")
    at[owner].command("SELECT Lent")
    at[owner].command("STORE 3,5 +FLAGS (\\Seen)")
    before = int(re.search(rb"HIGHESTMODSEQ (\d+)", b" ".join(at[readers[0]].command(f"STATUS {box} (HIGHESTMODSEQ)")[0])).group(1))
    for numbers in ("4", "1:2", "1"):  # 4; 1 and 2; 3
        at[owner].command(f"STORE {numbers} +FLAGS (\\Deleted)")
        at[owner].command("EXPUNGE")
    at[owner].command("UNSELECT")
    verb(server, "mailbox", "undelete", owner)
    # in the tombstones' order: 5, 6, then 4, 1, 2, 3
    want = {owner: [b"1", b"6"], readers[0]: [b"3", b"4"], readers[1]: [b"3", b"5"], readers[2]: []}

    def check():
        for name in names:
            assert seen(at[name], "Lent" if name == owner else box) == want[name], name
        lines = [line for line in at[readers[0]].command(f"FETCH 3:6 (FLAGS) (CHANGEDSINCE {before})")[0] if b" FETCH " in line]
        assert [b"\\Seen" in line for line in lines] == [True, True, False, False], lines
        assert all(b"\\Flagged" in line for line in lines[1:3]), "shared flags are in the row"
        status = b" ".join(at[readers[1]].command(f"STATUS {box} (UNSEEN MESSAGES)")[0])
        assert b"UNSEEN 4" in status and b"MESSAGES 6" in status, status

    check()
    server.restart()
    at = {name: server.imap(name) for name in names}
    check()
    # they go with the folder that is deleted after them, too; that others see it is up to the owner
    at[owner].command("SELECT Lent")
    at[owner].command("STORE 3 +FLAGS (\\Deleted)")
    at[owner].command("EXPUNGE")
    at[owner].command("UNSELECT")
    at[owner].command("DELETE Lent")
    server.process.terminate()
    assert server.process.wait(20) == 0
    posthorn.run_verb("rebuild", "-c", server.config)
    server.start()
    verb(server, "mailbox", "undelete", owner)
    at = {name: server.imap(name) for name in names}
    for name in readers:
        at[owner].command(f"SETACL Lent {name} lrs")
    found = {name: sorted(subjects(at[name], "Lent" if name == owner else box)) for name in names}
    assert found == {owner: [b"2", b"4"], readers[0]: [b"0", b"3"], readers[1]: [b"1", b"3"], readers[2]: []}


def subjects(session, box):
    """First octets of the subjects of what is seen."""
    return [re.search(rb"Subject: (\d)", session.fetch(n.decode(), "(BODY.PEEK[HEADER])")[int(n)]["BODY[HEADER]"]).group(1)
            for n in seen(session, box)]


def test_marks_go_to_another_account(server):
    """MOVE into another account takes along what everybody has of their own, whoever moves: owner of either side, or a guest of both."""
    names = [server.fresh_user("marker") for _ in range(4)]
    owner, reader, host, guest = names
    at = {name: server.imap(name) for name in names}
    at[host].command("CREATE Came")
    for name in (owner, reader, guest):
        at[host].command(f"SETACL Came {name} lrsi")
    for name in (reader, host, guest):
        at[owner].command(f"SETACL INBOX {name} lrste")
    came, start = 0, {name: [] for name in names}

    def there(name):
        return seen(at[name], "Came" if name == host else f"Shared/{host}/Came")

    for mover in (guest, owner, host, reader):
        for _ in range(5):
            at[owner].append("INBOX", MESSAGE)
        for n, name in enumerate(names):
            at[name].command("SELECT INBOX" if name == owner else f"SELECT Shared/{owner}/INBOX")
            at[name].command(f"STORE {n + 1},5 +FLAGS (\\Seen)")
            start[name] += [b"%d" % (came + k) for k in (n + 1, 5)]
        at[mover].command("MOVE 1:5 " + ("Came" if mover == host else f"Shared/{host}/Came"))
        came += 5
        assert {name: there(name) for name in names} == start, mover
    server.restart()
    at = {name: server.imap(name) for name in names}
    assert {name: there(name) for name in names} == start
    at[host].command("SELECT Came")
    assert b"\\Seen" in at[host].command("FETCH 3 FLAGS")[0][0]
    for session in at.values():
        session.close()


def test_name_comes_back(server):
    """A name that is given away again brings no rights with it, and Shared/NAME is the new one's tree."""
    verb(server, "group", "add", "crew")
    for name in ("erin", "frank"):
        server.user_add(name)
    erin, frank, alice, carol = (server.imap(name) for name in ("erin", "frank", "alice", "carol"))
    for box in ("INBOX", "Plans"):
        if box != "INBOX":
            frank.command(f"CREATE {box}")
        for identifier in ("erin", "-erin", "$crew"):
            frank.command(f"SETACL {box} {identifier} lr")
    erin.command("CREATE Old")
    erin.command("SETACL Old alice lr")
    erin.command("SETACL INBOX anyone lr")
    carol.command("CREATE Public/erin")
    carol.command("SETACL Public/erin erin lr")
    assert rights(alice, "Shared/erin/Old") == "lr" and rights(erin, "Public/erin") == "lr"
    verb(server, "user", "delete", "erin")
    verb(server, "group", "delete", "crew")
    assert rights(alice, "Shared/erin/Old") is None and rights(alice, "Shared/erin/INBOX") is None
    for box in ("INBOX", "Plans"):
        assert {row["identifier"] for row in rows(server, "acl", "list", "frank", box)} == {"frank"}
    server.user_add("erin")
    erin = server.imap("erin")
    assert rights(erin, "Shared/frank/INBOX") is None and rights(erin, "Public/erin") is None
    erin.command("CREATE New")
    erin.command("SETACL New alice lr")
    for session in (alice, server.imap("alice")):
        names = {line.split(b" ")[-1] for line in session.command('LIST "" Shared/erin*')[0]}
        assert b"Shared/erin/New" in names and not names & {b"Shared/erin/Old", b"Shared/erin/INBOX"}
        assert rights(session, "Shared/erin/New") == "lr" and rights(session, "Shared/erin/Old") is None
    # said again when it ended too early: nobody has the name, and what it was granted goes
    frank.command("SETACL INBOX nobody-yet lr")
    with pytest.raises((RuntimeError, subprocess.CalledProcessError, AssertionError)):
        verb(server, "user", "delete", "nobody-yet")
    assert {row["identifier"] for row in rows(server, "acl", "list", "frank", "INBOX")} == {"frank"}
    # what is no user's name is not forgotten
    verb(server, "group", "add", "club")
    for word in ("anyone", "authenticated", "$club"):
        frank.command(f"SETACL INBOX {word} l")
        with pytest.raises((RuntimeError, subprocess.CalledProcessError, AssertionError)):
            verb(server, "user", "delete", word)
    assert len(rows(server, "acl", "list", "frank", "INBOX")) == 4


def test_anyone(server):
    """acl_anyone: who may open mailboxes to everybody; what was granted before stays, and may be taken back."""
    alice, bob, carol = (server.imap(name) for name in ("alice", "bob", "carol"))
    alice.command("CREATE ForAll")
    alice.command("SETACL ForAll anyone l")
    assert rights(bob, "Shared/alice/ForAll") == "l"
    server.reload(acl_anyone="deny")
    wait_for(lambda: done(alice, "SETACL ForAll authenticated lr") is None, seconds=30)
    assert done(alice, "SETACL ForAll anyone +r") is None and rights(bob, "Shared/alice/ForAll") == "l"
    alice.command("SETACL ForAll bob lr")
    alice.command("SETACL ForAll -anyone w")
    alice.command("SETACL ForAll anyone l")
    carol.command("CREATE Public/forall")
    carol.command("SETACL Public/forall anyone lr")
    alice.command("DELETEACL ForAll anyone")
    assert verb(server, "acl", "set", "alice", "ForAll", "anyone", "l")
    server.reload(acl_anyone="list", acl_anyone_users=["alice"])
    wait_for(lambda: done(alice, "SETACL ForAll authenticated lr") is not None, seconds=30)
    assert done(bob, "SETACL INBOX anyone l") is None
    server.reload(acl_anyone="allow", acl_anyone_users=[])
    wait_for(lambda: done(bob, "SETACL INBOX anyone l") is not None, seconds=30)
