"""Rights that go while they are used: in a selected mailbox, in IDLE, in a followed search, in URLs; and what NOTIFY tells."""
import re
import time

import pytest

from lib import client, server as posthorn
from lib.long import LONG

from . import table
from .matrix import MESSAGE, SECRETS, pipelined, without

ALL = table.RIGHTS


@pytest.fixture(name="server", scope="module")
def one_server():
    own = posthorn.Server()
    yield own
    own.stop()


@pytest.fixture(name="alice")
def the_owner(server):
    session = server.imap("alice")
    yield session
    session.close()


def share(alice, box, rights=ALL, messages=2):
    alice.command(f"CREATE {box}")
    alice.command(f"SETACL {box} bob {rights}")
    for _ in range(messages):
        alice.append(box, MESSAGE)
    return f"Shared/alice/{box}"


def ask(session, command):
    """(untagged lines, tagged line)"""
    tag, lines = session.send(command), []
    while not (line := session.wire.line()).startswith(tag.encode() + b" "):
        lines.append(line)
    return lines, line.split(b" ", 1)[1]


def text_of(command, box):
    return command.format(u="", box=box, size=len(MESSAGE), message=MESSAGE.decode(), n=0)


def test_every_word_on_a_mailbox_that_may_not_be_read_any_more(server, alice):
    """The command that comes first after the right went: before the session was told."""
    rows = [row for row in table.ROWS if row.selected and row.forms == "both"]
    assert len(rows) > 90
    box, bob, told = share(alice, "fell"), server.imap("bob"), 0
    bob.command("ENABLE IMAP4rev2")  # else the session ends with the mailbox
    bob.command('SETMETADATA "" (/private/filters/values/mine "ALL")')
    for number, row in enumerate(rows):
        right = "l" if number % 5 == 0 else "r"
        ask(bob, f"SELECT {box}")
        if number == 0:
            assert ask(bob, text_of(row.commands[-1], box))[1].startswith(b"OK")
        alice.command(f"SETACL fell bob {without(right)}")
        lines, tagged = ask(bob, text_of(row.commands[-1], box))
        done = tagged.startswith(b"OK") if row.shows is None else any(re.match(row.shows, line) for line in lines)
        assert not done, (row.name, right, lines, tagged)
        assert not any(secret in line for line in lines for secret in SECRETS), (row.name, lines)
        told += any(b"[CLOSED]" in line for line in [*lines, *ask(bob, "NOOP")[0]])
        alice.command(f"SETACL fell bob {ALL}")
    assert told == len(rows)
    bob.close()


def done(row, lines, tagged):
    return tagged.startswith(b"OK") if row.shows is None else any(re.match(row.shows, line) for line in lines)


def test_a_right_that_went_and_is_not_asked_for(server, alice):
    """Every word of the selected mailbox x every right that it does not need, which goes while the mailbox is selected."""
    rows = [row for row in table.ROWS if row.selected and row.forms == "both" and row.needs is not None]
    box, bob, asked = share(alice, "spare"), server.imap("bob"), 0
    bob.command('SETMETADATA "" (/private/filters/values/mine "ALL")')
    for right in ALL:
        ask(bob, f"SELECT {box}")
        alice.command(f"SETACL spare bob {without(right)}")
        spared = [row for row in rows if right not in row.needs]
        for row, lines, tagged in pipelined(bob, [(text_of(row.commands[-1], box), row) for row in spared]):
            assert done(row, lines, tagged), (row.name, right, lines, tagged)
            asked += 1
        alice.command(f"SETACL spare bob {ALL}")
    assert asked == len(rows) * (len(ALL) - 2)  # all need l and r
    bob.close()


def changing_rows():
    rows = [row for row in table.ROWS if row.changes and row.shows is None and row.forms != "modern" and row.needs and row.commands[0] == "SELECT {box}"]
    assert len(rows) > 8
    return rows


def test_every_change_with_all_rights_but_one_that_went(server, alice):
    """The same of what changes a mailbox; in short one right for each row, the next one for the next."""
    bob, asked = server.imap("bob"), 0
    ask(bob, "CREATE Taken")
    for number, row in enumerate(row for row in changing_rows() if not row.setup):
        spare = [right for right in ALL if right not in row.needs and (row.enough is None or right not in "swt")]
        for right in spare if LONG else spare[number % len(spare):][:1]:
            name = f"spare{number}{right}"
            box = share(alice, name, messages=1)
            alice.append(name, MESSAGE, "\\Deleted")
            ask(bob, f"SELECT {box}")
            alice.command(f"SETACL {name} bob {without(right)}")
            for command in row.commands[1:]:
                lines, tagged = ask(bob, text_of(command, box))
            assert done(row, lines, tagged), (row.name, right, lines, tagged)
            asked += 1
    assert asked >= (90 if LONG else 12)
    bob.close()


def test_every_change_without_a_right_that_went(server, alice):
    rows = changing_rows()
    box, bob = share(alice, "falls"), server.imap("bob")
    alice.append("falls", MESSAGE, "\\Deleted")
    ask(bob, "CREATE Taken")
    bob.command("ENABLE IMAP4rev2")

    def state():
        return alice.command("STATUS falls (MESSAGES UIDNEXT HIGHESTMODSEQ)")[0]

    refused = 0
    for row in rows:
        for right in row.needs.replace("l", ""):
            ask(bob, f"SELECT {box}")
            alice.command(f"SETACL falls bob {without(right)}")
            before = state()  # rights are a change, too
            lines, tagged = ask(bob, text_of(row.commands[-1], box))
            if row.enough is None or right == "r":
                assert tagged.startswith((b"NO", b"BAD")), (row.name, right, lines, tagged)
                assert state() == before, (row.name, right)
                refused += 1
            alice.command(f"SETACL falls bob {ALL}")
    assert refused > 20
    bob.close()


@pytest.mark.parametrize("entry, left, code", [("/shared/comment", "lrs", b"NOPERM"), ("/shared/comment", "", b"NONEXISTENT"),
                                               ("/private/comment", "l", b"NOPERM"), ("/private/comment", "", b"NONEXISTENT")])
def test_entries_that_wait_for_their_literal(server, alice, entry, left, code):
    """SETMETADATA asks again behind it."""
    name = f"noted-{entry[1]}{left}"
    box, bob = share(alice, name), server.imap("bob")
    bob.command(f'SETMETADATA {box} ({entry} "first")')
    bob.wire.send(f"t SETMETADATA {box} ({entry} {{6}}\r\n".encode())
    until(bob, b"+ ")
    alice.command(f"SETACL {name} bob {left}" if left else f"DELETEACL {name} bob")
    bob.wire.send(b"second)\r\n")
    assert until(bob, b"t ")[-1].startswith(b"t NO [" + code)
    alice.command(f"SETACL {name} bob {ALL}")
    assert b"first" in b"".join(bob.command(f"GETMETADATA {box} {entry}")[0])
    bob.close()


def test_figures_of_a_mailbox_that_may_not_be_read_any_more(server, alice):
    """LIST waits for a client that reads slowly; what is counted for its STATUS is not told behind the end of the right."""
    box, bob = share(alice, "counted"), server.imap("bob")
    for tag in [bob.send(f"CREATE {'A' * 700}{number:03}") for number in range(300)]:
        bob.answer(tag)
    tags = [bob.send('LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))') for _ in range(24)]
    bob.wire.line()
    time.sleep(2)  # by then it waits
    alice.command(f"SETACL counted bob {without('r')}")
    for _ in range(9):
        alice.append("counted", MESSAGE)
    told = [line for tag in tags for line in bob.answer(tag)[0] if f"STATUS {box} ".encode() in line]
    assert 0 < len(told) < len(tags) and all(b"(MESSAGES 2 UNSEEN 2)" in line for line in told), told
    bob.close()


@pytest.mark.parametrize("asked", ["GETMETADATA (DEPTH infinity) {} /shared", 'LIST "" {} RETURN (METADATA (%s))' % " ".join(f"/shared/e{i}" for i in range(9))],
                         ids=["GETMETADATA", "LIST"])
def test_entries_that_a_slow_reader_is_told(server, alice, asked):
    """What waits for its client tells no entry behind the end of the right, not even that there is none."""
    name = f"noticed-{asked[0]}"
    box, bob = share(alice, name), server.imap("bob")

    def fill(octet):
        for number in range(9):
            alice.wire.send(f"t SETMETADATA {name} (/shared/e{number} {{65000+}}\r\n{octet * 65000})\r\n".encode())
            assert until(alice, b"t ")[-1].startswith(b"t OK")

    fill("x")
    tags = [bob.send(asked.format(box)).encode() for _ in range(40)]
    bob.wire.line()
    time.sleep(2)  # by then it waits
    alice.command(f"SETACL {name} bob l")
    fill("y")
    ends, told, last = [], 0, b""
    while len(ends) < len(tags):
        last = bob.wire.line()
        assert b"yyy" not in last and b" NIL" not in last, last[:200]
        told += last.startswith(b"* METADATA")
        if not last.startswith(b"*"):
            ends.append(last.split()[1])
    assert told > 9 and ends == sorted(ends, reverse=True), (told, ends)
    assert asked[0] == "L" or set(ends) == {b"OK", b"NO"}, ends
    bob.close()


def until(session, what, seconds=30):
    """Lines up to the one that has it."""
    lines, deadline = [], time.monotonic() + seconds
    while not lines or what not in lines[-1]:
        assert time.monotonic() < deadline
        lines.append(session.wire.line(seconds))
    return lines


def test_idle_and_followed_searches_end(server, alice):
    box = share(alice, "watched")
    idler, follower = server.imap("bob"), server.imap("bob")
    for session in (idler, follower):
        session.command("ENABLE IMAP4rev2")
        session.command(f"SELECT {box}")
    follower.command("SEARCH RETURN (UPDATE ALL SAVE) ALL")
    idler.send("IDLE")
    until(idler, b"+ ")
    alice.append("watched", MESSAGE)
    until(idler, b"3 EXISTS")
    alice.command(f"SETACL watched bob {without('r')}")
    until(idler, b"[CLOSED]")  # how soon: test_soon.py
    alice.append("watched", MESSAGE)
    alice.command("STORE 1 +FLAGS (\\Flagged)") if alice.select("watched")["EXISTS"] else None
    idler.wire.send(b"DONE\r\n")
    while not (line := idler.wire.line()).startswith(b"t"):
        assert b"EXISTS" not in line and b"FETCH" not in line
    lines, _ = ask(follower, "NOOP")
    lines += ask(follower, "FETCH $ FLAGS")[0] + ask(follower, "NOOP")[0]
    assert not [line for line in lines if b"ESEARCH" in line or b"EXISTS" in line or b"FETCH" in line], lines
    for session in (idler, follower):
        session.close()


def test_urls_end(server, alice):
    """RFC 4467 section 5: who authorised it must still be able to read it."""
    box, bob, carol = share(alice, "linked"), server.imap("bob"), server.imap("carol")
    lines, _ = bob.command(f'GENURLAUTH "imap://bob@localhost/{box}/;UID=1;URLAUTH=anonymous" INTERNAL')
    url = re.search(rb'(imap://[^"\s]+)', lines[0])[1].decode()

    def fetched():
        return ask(carol, f'URLFETCH "{url}"'), ask(carol, f'APPEND INBOX CATENATE (URL "{url}")')

    (lines, _), (_, catenated) = fetched()
    assert SECRETS[0] in b"".join(lines)
    for rights in (without("r"), without("l"), ""):
        alice.command(f"SETACL linked bob {rights}" if rights else "DELETEACL linked bob")
        (lines, tagged), (_, refused) = fetched()
        assert tagged.startswith(b"OK") and lines == [b'* URLFETCH ' + url.encode() + b' NIL'] or lines == [b'* URLFETCH "' + url.encode() + b'" NIL'], lines
        assert refused.startswith(b"NO [BADURL"), refused
    alice.command(f"SETACL linked bob {ALL}")
    assert SECRETS[0] in b"".join(fetched()[0][0]) and catenated
    bob.close()
    carol.close()


# ---- what NOTIFY tells (RFC 5465 section 5) ---------------------------------------------------------------------

def change(alice, box):
    alice.append(box, MESSAGE)
    alice.select(box)
    alice.command("STORE 1 +FLAGS (\\Flagged)")
    alice.command("STORE 1 +FLAGS (\\Deleted)")
    alice.command("EXPUNGE")
    alice.command("UNSELECT")
    alice.command(f'SETMETADATA {box} (/shared/comment "x")')
    alice.command(f"RENAME {box} {box}y")


def test_events(server, alice):
    boxes = {f"ev-{right}": without(right) for right in ALL} | {"ev-all": ALL, "ev-sole": "l", "ev-none": None, "ev-end": ALL}
    for box, rights in boxes.items():
        share(alice, box, rights or ALL)
        if rights is None:
            alice.command(f"DELETEACL {box} bob")
    kinds = {"MESSAGENEW": "(MessageNew MessageExpunge)", "MESSAGEEXPUNGE": "(MessageNew MessageExpunge)", "FLAGCHANGE": "(MessageNew MessageExpunge FlagChange)",
             "MAILBOXNAME": "(MailboxName)", "MAILBOXMETADATACHANGE": "(MailboxMetadataChange)"}
    assert set(kinds) == {event for event, rights in table.EVENTS.items() if rights}
    word = {"MAILBOXNAME": b"LIST", "MAILBOXMETADATACHANGE": b"METADATA"}
    sessions = {event: server.imap("bob") for event in kinds}
    for event, session in sessions.items():
        session.command(f"NOTIFY SET (subtree Shared {kinds[event]})")
    for box in boxes:
        change(alice, box)
    for event, session in sessions.items():
        lines, deadline = [], time.monotonic() + 30
        while not any(b"ev-end" in line for line in lines):
            assert time.monotonic() < deadline, (event, lines)
            lines += ask(session, "NOOP")[0]
            time.sleep(0.05)
        lines += ask(session, "NOOP")[0]
        for box, rights in boxes.items():
            name = f"Shared/alice/{box}".encode()
            told = [line for line in lines if re.search(rb"\b" + name + rb"y?\b(?!-)", line)]
            wanted = rights is not None and set(table.EVENTS[event]) <= set(rights)
            if event == "MAILBOXMETADATACHANGE":  # RFC 5464 section 3.3
                wanted = wanted and bool(set(rights) & set("rswip"))
            of_kind = [line for line in told if line.startswith(b"* " + word.get(event, b"STATUS"))]
            assert bool(of_kind) == wanted, (event, box, rights, told)
            if rights is None or "l" not in rights:
                assert not told, (event, box, told)
        session.close()


def test_delivery_asks_no_right_and_tells_nothing(server, alice):
    """LMTP's detail names a folder of the recipient's own; a shared one, a hidden one and none are alike."""
    box = share(alice, "posted")
    share(alice, "secretly", "p")
    server.imap("bob").close()
    lmtp = client.Lmtp(server.address("lmtp"))
    said = set()
    for detail in (box, "Shared/alice/secretly", "Shared/alice/absentee", "Shared/nobody/absent", "posted"):
        lmtp.command("MAIL FROM:<a@b.test>")
        said.add(lmtp.command(f'RCPT TO:<"bob+{detail}">')[0] if "/" in detail else lmtp.command(f"RCPT TO:<bob+{detail}>")[0])
        lmtp.command("DATA")
        lmtp.wire.send(MESSAGE + b".\r\n")
        said.add(re.sub(rb"<[^>]*>|\d{3,}[^ ]*", b"", lmtp.reply()[0]))
    lmtp.close()
    assert len(said) == 2, said
    assert alice.select("posted")["EXISTS"] == 2 and alice.select("secretly")["EXISTS"] == 2


# ---- what may be learned by what one writes -----------------------------------------------------------------------

def letter(number, refers=None):
    lines = [f"Message-ID: <{number}>", "Subject: Re: plan" if refers else "Subject: plan", *([f"References: <{refers}>"] if refers else []), "", "x", ""]
    return "\r\n".join(lines).encode()


def test_threads_tell_nothing(server, alice):
    """A guess of a Message-ID in References: THREADID does not say whether a message of a hidden mailbox has it."""
    alice.command("CREATE concealed")
    alice.append("concealed", letter("known@x"))
    box, bob = share(alice, "written", "lri", messages=0), server.imap("bob")
    for number, refers in (("a@x", "known@x"), ("b@x", "unknown@x"), ("known@x", None), ("fresh@x", None), ("c@x", "a@x"), ("d@x", "known@x")):
        bob.append(box, letter(number, refers))

    def threads(session, name):
        session.select(name)
        return [values["THREADID"][0] for values in session.fetch("1:*", "(THREADID)").values()]

    told = threads(bob, box)
    first, second = told[0], told[1]
    # by what is there to be read: a, known, c and d are one thread, b and fresh are each another
    assert told == [first, second, first, told[3], first, first] and len({first, second, told[3]}) == 3, told
    assert first not in threads(alice, "concealed")
    # the owner's own answer to one of these, and theirs to what the owner put there, are found
    alice.append("written", letter("e@x", "b@x"))
    bob.append(box, letter("f@x", "e@x"))
    assert threads(bob, box)[6:] == [second, second]
    server.restart()
    bob, owner = server.imap("bob"), server.imap("alice")
    bob.append(box, letter("g@x", "known@x"))
    owner.append("concealed", letter("h@x", "known@x"))
    assert threads(bob, box)[8] == first and len(set(threads(owner, "concealed"))) == 1
    bob.close()
    owner.close()
