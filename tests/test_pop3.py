"""POP3 (RFC 1939, 2449, 2595, 5034, 6856): what the RFCs' examples say, cut at every octet and pipelined; what the settings do;
beside IMAP on the same mailbox."""
import base64
import poplib
import os
import random
import re
import signal

import pytest

from lib.pop3 import Pop3, unverified, with_pop3
from lib.server import PASSWORD, run_verb
from lib.waiting import wait_for

ONE = b"From: a@example.org\r\nSubject: one\r\n\r\n" + b"x" * 79 + b"\r\n"
TWO = b"From: b@example.org\r\nSubject: two\r\n\r\nbody\r\n.\r\n..dots\r\n.end\r\n"


@pytest.fixture(scope="module")
def server():
    with_server = with_pop3({"master_users": ["bob"]})
    yield with_server
    with_server.stop()


@pytest.fixture
def user(server):
    """A fresh user with ONE and TWO in INBOX."""
    server.users += 1
    name = f"p{server.users}"
    server.user_add(name)
    fill(server, name, ONE, TWO)
    return name


def fill(server, user, *messages):
    imap = server.imap(user)
    for message in messages:
        imap.append("INBOX", message)
    imap.close()


def inbox(server, user):
    """The flags of each message, as IMAP has them."""
    imap = server.imap(user)
    found = imap.fetch("1:*", "(FLAGS)") if imap.select("INBOX")["EXISTS"] else {}
    imap.close()
    return [one["FLAGS"] for one in found.values()]


def verb(server, *words, **more):
    return run_verb(*words, "--data", server.data, **more).decode()


# ---- RFC 1939 ----

def test_session_of_rfc_1939(server, user):
    """Section 10, and the examples of section 5 and 7."""
    octets = len(ONE) + len(TWO)
    with Pop3(server.pop3, user) as c:
        assert c.ask("STAT") == b"+OK 2 %d" % octets
        assert c.ask("LIST") == b"+OK 2 (%d)" % octets
        assert c.lines() == [b"1 %d" % len(ONE), b"2 %d" % len(TWO)]
        assert c.ask("LIST 2") == b"+OK 2 %d" % len(TWO)
        c.err("LIST 3")
        assert c.message("RETR 1") == ONE
        c.ok("DELE 1")
        c.err("DELE 1")
        c.err("RETR 1")
        c.err("LIST 1")
        assert c.ask("STAT") == b"+OK 1 %d" % len(TWO)
        c.ok("RSET")
        assert c.ask("STAT") == b"+OK 2 %d" % octets
        assert c.message("RETR 2") == TWO
        assert c.message("TOP 1 0") == b"From: a@example.org\r\nSubject: one\r\n\r\n"
        assert c.message("TOP 2 2") == b"From: b@example.org\r\nSubject: two\r\n\r\nbody\r\n.\r\n"
        assert c.message("TOP 2 100") == TWO
        c.err("TOP 100 3")
        c.ok("NOOP")
        ids = c.all("UIDL")
        assert [line.split()[0] for line in ids] == [b"1", b"2"] and ids[0] != ids[1]
        assert c.ask("UIDL 2") == b"+OK " + ids[1]
        c.err("UIDL 3")
        c.ok("DELE 1")
        c.ok("DELE 2")
        c.quit()
    with Pop3(server.pop3, user) as c:
        assert c.ask("STAT") == b"+OK 0 0" and c.all("LIST") == [] == c.all("UIDL")
        c.quit()


SCRIPT = ["CAPA", "USER {user}", "PASS {password}", "STAT", "LIST", "UIDL", "UIDL 2", "RETR 1", "TOP 2 1", "DELE 1", "DELE 1", "RETR 1",
          "LIST 1", "NOOP", "LIST 0", "LIST x", "RSET", "RETR 2", "XYZZY", "LANG de", "RETR 3", "LANG", "CAPA", "TOP 1", "QUIT"]


def talk(server, user, pieces):
    whole = "".join(line.format(user=user, password=PASSWORD) + "\r\n" for line in SCRIPT).encode()
    with Pop3(server.pop3) as c:
        for piece in pieces(whole):
            c.send(piece)
        return c.greeting + c.file.read()


def test_pipelined_and_in_single_octets(server, user):
    """RFC 2449 section 6.6: the same answers in any pieces, commands behind PASS too."""
    whole = talk(server, user, lambda s: [s])
    assert whole.endswith("+OK Verbindung wird beendet\r\n".encode()) and whole.count(b"\r\n.\r\n") == 8
    assert talk(server, user, lambda s: [s[i:i + 1] for i in range(len(s))]) == whole
    assert talk(server, user, lambda s: [line + b"\r\n" for line in s.split(b"\r\n")[:-1]]) == whole
    assert talk(server, user, lambda s: [s.replace(b"\r\n", b"\n")]) == whole


def test_cut_at_every_octet():
    """The same with the server's own input and output cut (test_split_io)."""
    server = with_pop3({"test_split_io": True})
    try:
        fill(server, "alice", ONE, TWO)
        whole = talk(server, "alice", lambda s: [s])
        assert whole.count(b"\r\n.\r\n") == 8 and ONE in whole and TWO.replace(b"\r\n.", b"\r\n..") in whole
    finally:
        server.stop()


ODD = {
    "no end of line": (b"Subject: a\r\n\r\nx", b"Subject: a\r\n\r\nx\r\n"),
    "no empty line": (b"Subject: a\r\n", b"Subject: a\r\n\r\n"),
    "bare LF": (b"Subject: a\n\nx\n.\ny\n", b"Subject: a\r\n\r\nx\r\n.\r\ny\r\n"),
    "dots": (b".x: a\r\n\r\n.\r\n..\r\n.", b".x: a\r\n\r\n.\r\n..\r\n.\r\n"),
    "CR at the end": (b"Subject: a\r\n\r\nx\r", b"Subject: a\r\n\r\nx\r\n"),
    "large": (b"Subject: a\r\n\r\n" + b"0123456789abcde\r\n.x\r\n" * 20000,) * 2,
    "large plain": (b"Subject: a\r\n\r\n" + b"0123456789abcde\r\n" * 20000,) * 2,
    "just large": (b"Subject: a\r\n\r\n" + b"0123456789abcd\r\n" * ((120 << 10) // 16 - 1) + b"\r\n" * 1,) * 2,
    "long line": (b"Subject: a\r\n\r\n" + b"x" * 200000 + b"\r\n",) * 2,
}


def test_any_message_leaves_whole(server, user):
    """Section 3: dots doubled, lines ended, an empty line behind the header (quirks: oe-ns-eoh, outlook-no-nuls)."""
    fill(server, user, *[stored for stored, _ in ODD.values()])
    with Pop3(server.pop3, user) as c:
        for n, (name, (_, sent)) in enumerate(ODD.items(), 3):
            assert c.message(f"RETR {n}") == sent, name
            assert c.message(f"TOP {n} 1000000") == sent, name
            head = sent[:2] if sent.startswith(b"\r\n") else sent[:sent.index(b"\r\n\r\n") + 4]
            assert c.message(f"TOP {n} 0") == head, name
        c.quit()


def test_one_after_the_other(server, user):
    """What is read ahead is what is read when it is asked for: forwards, with what clients say in between, and backwards."""
    fill(server, user, *[stored for stored, _ in ODD.values()], b"Subject: \xc3\xa4\r\n\r\n8-bit header\r\n", ONE)
    last = len(ODD) + 4
    with Pop3(server.pop3, user) as c:
        backwards = {n: c.all(f"RETR {n}") for n in range(last, 0, -1)}
        assert {n: c.all(f"RETR {n}") for n in range(1, last + 1)} == backwards
        assert [c.all("RETR 3"), c.all("RETR 3"), c.all("RETR 4")] == [backwards[3], backwards[3], backwards[4]]
        for n in range(1, last + 1):
            top = c.all(f"TOP {n} 100000")
            assert c.all(f"RETR {n}") == top == backwards[n]
            c.ok("NOOP")
            c.ok(f"DELE {n}")
            c.err(f"RETR {n}")
        c.ok("RSET")
        c.all("RETR 1")
        c.ok("DELE 2")
        c.err("RETR 2")
        assert c.all("RETR 3") == backwards[3]


def damage(server, text):
    """Inverts the octets of this text in the journal."""
    for segment in (server.data / "journal").glob("*.seg"):
        at = segment.read_bytes().find(text)
        if at >= 0:
            with open(segment, "r+b") as f:
                f.seek(at)
                f.write(bytes(c ^ 0xff for c in text))
            return
    raise AssertionError("not in the journal")


def test_the_next_message_is_read_ahead(server):
    """It is there before it is asked for: what happens to the file meanwhile does not matter, while it is kept. Otherwise the
    message alone fails, and it is not said before its turn."""
    server.user_add("ahead")
    for tried in range(20):
        texts = [f"{word} {tried} of what is read ahead\r\n".encode() for word in ("first", "second", "third")]
        fill(server, "ahead", *(b"Subject: ahead\r\n\r\n" + text for text in texts))
        with Pop3(server.pop3, "ahead") as c:
            c.message("RETR 1")
            c.ok("NOOP")  # it is answered when the reading is done
            damage(server, texts[1])
            found = c.ask("RETR 2")
            if found.startswith(b"+OK"):
                assert texts[1].strip() in c.lines()
            c.err("RETR 2", "SYS/PERM")
            c.message("RETR 1")
            c.err("RETR 2", "SYS/PERM")
            assert c.message("RETR 3").endswith(texts[2])
            for n in (1, 2, 3):
                c.ok(f"DELE {n}")
            c.quit()
        if found.startswith(b"+OK"):
            return
    raise AssertionError("never read ahead")


def test_lines_too_long(server, user):
    """RFC 2449 section 4: 255 octets with the line's end, no more."""
    with Pop3(server.pop3, user) as c:
        c.ok("NOOP" + " " * 249)
        c.err("NOOP" + " " * 250)
        c.ok("NOOP")
        for _ in range(3):  # answered at its end, in whatever pieces it comes
            c.send(b"N" * 300)
        c.err("")
        c.ok("NOOP")
        c.send(b"N" * 9000)
        assert c.line().startswith(b"-ERR") and c.eof()
    with Pop3(server.pop3) as c:
        c.err("USER " + "u" * 250)
        c.ok("USER " + "u" * 248)
        c.send(b"x" * 9000)
        assert c.line().startswith(b"-ERR") and c.eof()


# ---- before login ----

def test_capabilities(server, user):
    """RFC 2449 section 5: what is told before login is told after it, too."""
    with Pop3(server.pop3) as c:
        before = c.all("CAPA")
        tags = [line.split()[0] for line in before]
        assert len(set(tags)) == len(tags)
        assert set(tags) == {b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"UTF8", b"LANG", b"EXPIRE", b"IMPLEMENTATION",
                             b"STLS", b"USER", b"SASL"}
        assert b"UTF8 USER" in before and b"EXPIRE NEVER" in before
        c.ok(f"USER {user}")
        c.ok(f"PASS {PASSWORD}")
        assert c.all("CAPA") == before
        c.quit()
    with Pop3(server.pop3s, user, tls=True) as c:
        after = c.all("CAPA")
        assert b"STLS" not in after and b"-PLUS" in [line for line in after if line.startswith(b"SASL")][0]


def test_sasl(server, user):
    """RFC 5034 section 6: with and without an initial response; "=", "*", wrong base64, an unknown mechanism."""
    plain = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
    with Pop3(server.pop3s, tls=True) as c:
        c.ok(f"AUTH PLAIN {plain}")
        c.ok("STAT")
        c.err("AUTH PLAIN")
    with Pop3(server.pop3s, tls=True) as c:
        assert c.ask("AUTH PLAIN ") == b"+ "  # QUIRKS.md: a blank behind the mechanism
        c.ok(plain)
    with Pop3(server.pop3s, tls=True) as c:
        assert c.ask("auth login").startswith(b"+ ")
        assert c.ask(base64.b64encode(user.encode()).decode()).startswith(b"+ ")
        c.ok(base64.b64encode(PASSWORD.encode()).decode())
    with Pop3(server.pop3) as c:
        assert b"PLAIN" in c.all("AUTH")
        c.err("AUTH NO-SUCH")
        assert c.ask("AUTH PLAIN") == b"+ "
        c.err("*")
        c.err("AUTH PLAIN =AAA")
    with Pop3(server.pop3) as c:
        c.err("AUTH PLAIN =")
        c.err("AUTH PLAIN " + base64.b64encode(f"\0{user}\0wrong".encode()).decode(), "AUTH")
        c.ok(f"AUTH PLAIN {plain}")


def test_wrong_logins(server, user):
    """RFC 3206: [AUTH]; nothing says whether the user is there; after a failure USER comes again."""
    with Pop3(server.pop3) as c:
        c.err("PASS x")
        c.ok("USER nobody-here")
        unknown = c.err("PASS x", "AUTH")
        c.ok(f"USER {user}")
        assert c.err("PASS x", "AUTH") == unknown
        c.err(f"PASS {PASSWORD}")
    with Pop3(server.pop3) as c:
        assert b"APOP" in c.err(f"APOP {user} c4c9334bac560ecc979e58001b3e22fb")
        assert b"<" not in c.greeting
        c.err("STAT")
        c.err("GET / HTTP/1.1")
        assert c.eof()
    with Pop3(server.pop3) as c:
        for _ in range(3):
            c.err("XYZZY")
        assert c.line().startswith(b"-ERR") and c.eof()


def test_stls(server, user):
    """RFC 2595 section 4: what was said before counts no more; nothing in the clear gets in; not after UTF8, not twice."""
    with Pop3(server.pop3) as c:
        c.ok("USER somebody")
        c.start_tls()
        assert b"STLS" not in c.all("CAPA")
        c.err(f"PASS {PASSWORD}")
        c.err("STLS")
        c.ok(f"USER {user}")
        c.ok(f"PASS {PASSWORD}")
    with Pop3(server.pop3) as c:
        c.send(b"STLS\r\nCAPA\r\n")
        assert not c.file.read().startswith(b"+OK Cap")
    with Pop3(server.pop3) as c:
        c.ok("UTF8")
        c.err("STLS")


def test_no_passwords_in_the_clear():
    server = with_pop3(plaintext=False)
    try:
        with Pop3(server.pop3) as c:
            capabilities = c.all("CAPA")
            assert b"USER" not in capabilities and not [x for x in capabilities if x.startswith(b"SASL")] and b"STLS" in capabilities
            c.err("USER alice", "AUTH")
            c.err("AUTH PLAIN", "AUTH")
            assert c.all("AUTH") == []
            c.start_tls()
            c.ok("USER alice")
            c.ok(f"PASS {PASSWORD}")
            assert b"USER" in c.all("CAPA")
    finally:
        server.stop()


# ---- RFC 6856 ----

WIDE = ("From: Jürgen Müller <jm@example.org>\r\nTo: <jürgen@example.org>, B <b@example.org>, Jö <\"two words\"@example.org>\r\nSubject: Grüße an alle\r\n"
        "X-Ascii: plain\r\n\r\nGrüße\r\n").encode()


def test_utf8(server, user):
    """Section 2.1: in UTF8 mode the message as it is, else a header without octets above 127."""
    fill(server, user, WIDE)
    with Pop3(server.pop3) as c:
        c.ok("UTF8")
        c.ok(f"USER {user}")
        c.ok(f"PASS {PASSWORD}")
        assert c.message("RETR 3") == WIDE and c.ask("LIST 3") == b"+OK 3 %d" % len(WIDE)
    with Pop3(server.pop3, user) as c:
        got = c.message("RETR 3")
        head, body = got.split(b"\r\n\r\n", 1)
        assert head.isascii() and body == "Grüße\r\n".encode()
        assert b"<jm@example.org>" in head and b":;" in head and b"X-Ascii: plain" in head
        from email import message_from_bytes, policy
        parsed = message_from_bytes(got, policy=policy.default)
        assert parsed["Subject"] == "Grüße an alle" and parsed["From"].addresses[0].display_name == "Jürgen Müller"
        assert [a.addr_spec for a in parsed["To"].addresses] == ["b@example.org", '"two words"@example.org']  # quoted as it was
        assert c.message("TOP 3 0") == head + b"\r\n\r\n"
        c.err("UTF8")


def test_utf8_names(server):
    """Section 2.2: UTF-8 in USER and PASS; what is none is refused."""
    server.user_add("jörg", "pässwort mit blank")
    with Pop3(server.pop3) as c:
        c.ok("USER jörg")
        c.ok("PASS pässwort mit blank")
    with Pop3(server.pop3) as c:
        c.send(b"USER j\xf6rg\r\n")
        assert c.line().startswith(b"-ERR")


def test_languages(server, user):
    """Section 3.3."""
    with Pop3(server.pop3) as c:
        c.err("LANG MUL")
        assert c.all("LANG") == [b"i-default English", b"en English", b"de Deutsch"]
        assert c.ask("LANG de-AT") == "+OK de Ab jetzt auf Deutsch".encode()
        c.ok(f"USER {user}")
        assert c.ask(f"PASS {PASSWORD}") == b"+OK Angemeldet"
        assert c.err("LANG uga") == b"-ERR Diese Sprache wird nicht gesprochen"
        assert c.ask("RETR 9") == b"-ERR Diese Nachricht gibt es nicht"
        assert c.ask("LANG *").startswith(b"+OK i-default ")
        assert c.ask("RETR 9") == b"-ERR No such message"


# ---- beside IMAP ----

def test_idler_is_told_at_quit(server, user):
    imap = server.imap(user)
    imap.select("INBOX")
    with Pop3(server.pop3, user) as c:
        imap.send("IDLE")
        assert imap.wire.line().startswith(b"+")
        c.ok("DELE 1")
        c.quit()
    assert imap.wire.line() == b"* 1 EXPUNGE"
    imap.close()


def test_expunged_elsewhere_stays_readable(server, user):
    """The maildrop is what it was at login; \\Deleted alone hides nothing."""
    imap = server.imap(user)
    imap.select("INBOX")
    with Pop3(server.pop3, user) as c:
        imap.command("STORE 1 +FLAGS (\\Deleted)")
        imap.command("EXPUNGE")
        fill(server, user, ONE)
        assert len(c.all("LIST")) == 2 and c.message("RETR 1") == ONE
        c.ok("DELE 1")
        c.ok("DELE 2")
        c.quit()
    assert len(inbox(server, user)) == 1
    imap.close()


def test_without_quit_nothing_goes(server, user):
    with Pop3(server.pop3, user) as c:
        c.ok("DELE 1")
        c.message("RETR 2")
    wait_for(lambda: any("\\Seen" in flags for flags in inbox(server, user)), seconds=60)
    assert sorted("\\Seen" in flags for flags in inbox(server, user)) == [False, True]


def test_unique_ids_stay(server, user):
    """Section 7: one that goes takes nobody else's along."""
    with Pop3(server.pop3, user) as c:
        before = {line.split()[1] for line in c.all("UIDL")}
        assert all(re.fullmatch(rb"[!-~]{1,70}", one) for one in before)
        c.ok("DELE 1")
        c.quit()
    with Pop3(server.pop3, user) as c:
        assert {line.split()[1] for line in c.all("UIDL")} < before


class Drop:
    """A POP3 session beside what the model says it sees: [(uid, message)] as it was at login."""

    def __init__(self, server, user, messages):
        self.client, self.messages, self.gone = Pop3(server.pop3, user), list(messages), set()

    def step(self, chance):
        if not self.messages:
            assert self.client.ask("STAT") == b"+OK 0 0"
            return
        n = chance.randrange(len(self.messages)) + 1
        if n in self.gone:
            self.client.err(f"RETR {n}")
        elif chance.random() < 0.4:
            self.client.ok(f"DELE {n}")
            self.gone.add(n)
        elif chance.random() < 0.1:
            self.client.ok("RSET")
            self.gone.clear()
        else:
            assert self.client.message(f"RETR {n}") == self.messages[n - 1][1]
            there = [len(m) for k, (_, m) in enumerate(self.messages, 1) if k not in self.gone]
            assert self.client.ask("STAT") == b"+OK %d %d" % (len(there), sum(there))
            ids = [int(line.split()[1][:8], 16) for line in self.client.all("UIDL")]
            assert ids == [uid for k, (uid, _) in enumerate(self.messages, 1) if k not in self.gone]


def test_pop3_and_imap_at_once(server):
    """Three POP3 sessions and an IMAP session on one INBOX, at random, against a model of a few lines."""
    user = server.fresh_user("m")
    chance = random.Random(int(os.environ.get("POSTHORN_SEED", "1")))
    imap, known, drops = server.imap(user), [], []
    imap.select("INBOX")
    for number in range(250):
        what = chance.random()
        if what < 0.3:
            message = b"Subject: %d\r\n\r\n" % number + b".x\r\n" * chance.randrange(200)
            known.append((imap.append("INBOX", message), message))
        elif what < 0.4 and known:
            uid = known.pop(chance.randrange(len(known)))[0]
            imap.command(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
            imap.command(f"UID EXPUNGE {uid}")
        elif what < 0.5 and len(drops) < 3:
            drops.append(Drop(server, user, known))
        elif what < 0.6 and drops:
            drop = drops.pop(chance.randrange(len(drops)))
            if chance.random() < 0.7:
                drop.client.quit()
                gone = {drop.messages[n - 1][0] for n in drop.gone}
                known = [one for one in known if one[0] not in gone]
            drop.client.close()
        elif drops:
            chance.choice(drops).step(chance)
    lines, _ = imap.command("UID SEARCH ALL")
    assert lines[-1].split()[2:] == [b"%d" % uid for uid, _ in known]
    for drop in drops:
        drop.client.close()
    imap.close()


def test_many_at_once(server, user):
    """Several sessions need no lock: what one has deleted the other finds gone at its own QUIT."""
    with Pop3(server.pop3, user) as a, Pop3(server.pop3, user) as b:
        a.ok("DELE 1")
        a.quit()
        assert b.message("RETR 1") == ONE
        b.ok("DELE 1")
        b.ok("DELE 2")
        b.quit()
    assert inbox(server, user) == []


def test_poplib(server, user):
    c = poplib.POP3("127.0.0.1", server.pop3, timeout=60)
    c.stls(unverified())
    c.utf8()
    c.user(user)
    c.pass_(PASSWORD)
    assert c.stat() == (2, len(ONE) + len(TWO)) and len(c.list()[1]) == 2 and len(c.uidl()[1]) == 2
    assert b"\r\n".join(c.retr(2)[1]) + b"\r\n" == TWO and "TOP" in c.capa()
    c.dele(1)
    c.rset()
    c.dele(2)
    c.noop()
    c.quit()
    assert len(inbox(server, user)) == 1


# ---- who may ----

def app_password(server, user, *options):
    said = verb(server, "user", "password", "add", user, "phone " + " ".join(options), *options)
    return re.search(r"[a-km-z2-9]{6}(?:-[a-km-z2-9]{6}){3}", said)[0]


def test_app_passwords(server, user):
    """Those for POP3 let in; those that only read delete nothing, nor mark anything as seen."""
    with Pop3(server.pop3) as c:
        c.ok(f"USER {user}")
        c.err("PASS " + app_password(server, user, "--protocol", "imap"), "AUTH")
    with Pop3(server.pop3, user, app_password(server, user, "--protocol", "pop3", "--read-only")) as c:
        assert c.message("RETR 1") == ONE
        c.err("DELE 1")
        c.quit()
    assert [flags for flags in inbox(server, user) if "\\Seen" in flags] == [] and len(inbox(server, user)) == 2
    with Pop3(server.pop3, user, app_password(server, user, "--protocol", "pop3")) as c:
        c.ok("DELE 1")
        c.quit()
    assert len(inbox(server, user)) == 1


def test_protocols_who_kick(server, user):
    verb(server, "user", "set", user, "protocols=imap")
    with Pop3(server.pop3) as c:
        c.ok(f"USER {user}")
        c.err(f"PASS {PASSWORD}", "AUTH")
    verb(server, "user", "set", user, "protocols=default")
    with Pop3(server.pop3, user) as c:
        rows = verb(server, "who", user)
        assert "pop3" in rows and "mailbox=<INBOX>" in rows, rows
        verb(server, "kick", user)
        assert c.eof()


def test_rawlog(server, user):
    """What both sides say after login, and no password."""
    verb(server, "rawlog", user, "on")
    with Pop3(server.pop3, user) as c:
        c.ok("NOOP")
        c.err("PASS another-secret")
        c.quit()

    def written():
        return "".join(path.read_text() for path in (server.data / "rawlog").rglob("*") if path.is_file() and "service=pop3" in path.read_text())
    wait_for(lambda: "Logging out" in written(), seconds=60)
    assert "NOOP" in written() and "secret" not in written() and PASSWORD not in written()
    verb(server, "rawlog", user, "off")


def test_master_user(server, user):
    plain = base64.b64encode(f"{user}\0bob\0{PASSWORD}".encode()).decode()
    with Pop3(server.pop3) as c:
        c.ok(f"AUTH PLAIN {plain}")
        assert c.ask("STAT").startswith(b"+OK 2 ")


# ---- policies ----

def at_once(server, user, ends):
    """The answers to passwords that reach mail in one moment."""
    before = server.stderr().count("pop3-login(gate): Info: Login: ")
    for end in ends:
        end.ok(f"USER {user}")
    for pid in server.pids("mail"):
        os.kill(pid, signal.SIGSTOP)
    for end in ends:
        end.send(f"PASS {PASSWORD}\r\n".encode())
    wait_for(lambda: server.stderr().count("pop3-login(gate): Info: Login: ") >= before + len(ends))
    for pid in server.pids("mail"):
        os.kill(pid, signal.SIGCONT)
    return [end.line() for end in ends]


def test_a_lock_for_logins_at_once():
    """pop3_lock, pop3_login_delay: of those that come while the first one's mail is opened none gets in."""
    server = with_pop3({"pop3_lock": True})
    try:
        for user in ("alice", "bob", "carol"):
            fill(server, user, *[ONE] * 300)
        for setting, code in (({}, b"[IN-USE]"), ({"pop3_lock": False, "pop3_login_delay": "1h"}, b"[LOGIN-DELAY]")):
            server.reload(**setting)
            server.kill()
            server.start()  # nothing of an account is in memory
            for user in ("alice", "bob", "carol"):
                server.imap(user).close()  # the password is known: no login waits for that
                ends = [Pop3(server.pop3) for _ in range(8)]
                answers = at_once(server, user, ends)
                for end in ends:
                    end.close()
                assert sum(answer.startswith(b"+OK") for answer in answers) == 1, answers
                assert sum(code in answer for answer in answers) == 7, answers
    finally:
        server.stop()


def test_policies():
    """pop3_delete, pop3_delete_after, pop3_seen, pop3_lock, pop3_login_delay, and what a user has of their own."""
    server = with_pop3({"pop3_delete": "hide", "pop3_seen": False, "pop3_lock": True, "mail_threads": 1})
    try:
        fill(server, "alice", ONE, TWO)
        with Pop3(server.pop3, "alice") as c, Pop3(server.pop3) as other:
            other.ok("USER alice")
            other.err(f"PASS {PASSWORD}", "IN-USE")
            c.message("RETR 1")
            c.ok("DELE 1")
            c.quit()
        with Pop3(server.pop3) as c, Pop3(server.pop3) as other:
            assert sorted(answer[:12] for answer in at_once(server, "alice", [c, other])) == [b"+OK Logged i", b"-ERR [IN-USE"]
        assert [bool("\\Seen" in flags) for flags in inbox(server, "alice")] == [False, False]
        with Pop3(server.pop3, "alice") as c:
            assert [line.split()[1] for line in c.all("LIST")] == [b"%d" % len(TWO)] and c.message("RETR 1") == TWO
        server.kill()
        server.start()
        with Pop3(server.pop3, "alice") as c:
            assert c.ask("STAT") == b"+OK 1 %d" % len(TWO)
            c.quit()
        verb(server, "user", "set", "alice", "pop3_delete=keep")
        with Pop3(server.pop3, "alice") as c:
            c.ok("DELE 1")
            c.quit()
        with Pop3(server.pop3, "alice") as c:
            assert c.ask("STAT") == b"+OK 1 %d" % len(TWO)
            c.quit()
        verb(server, "user", "set", "alice", "pop3_delete=expunge")
        with Pop3(server.pop3, "alice") as c:
            c.ok("DELE 1")
            c.quit()
        assert len(inbox(server, "alice")) == 1
        server.reload(pop3_delete_after=7, pop3_login_delay="1h", pop3_lock=False)
        with Pop3(server.pop3) as c:
            assert {b"EXPIRE 7 USER", b"LOGIN-DELAY 3600"} <= set(c.all("CAPA"))
            c.ok("USER alice")
            c.ok(f"PASS {PASSWORD}")
            assert {b"EXPIRE 7", b"LOGIN-DELAY 3600"} <= set(c.all("CAPA"))
        with Pop3(server.pop3) as c:
            c.ok("USER alice")
            c.err(f"PASS {PASSWORD}", "LOGIN-DELAY")
    finally:
        server.stop()


def test_unique_ids_of_an_import(server, tmp_path):
    """dovecot-uidlist: an id of its own (P) is kept over a crash and a rebuild; one that is none, or another's, is not; a message that goes
    takes it along, and without P it is UID and UIDVALIDITY as Dovecot has them."""
    user = server.fresh_user("i")
    folder = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    ids = {1: "Pold-id-1", 2: "", 3: "P", 4: "P" + "x" * 256, 5: "Pold-id-1", 6: "P!~"}
    lines = ["3 V1234567 N9 G00000000000000000000000000000000"]
    for uid, text in ids.items():
        (folder / f"cur/{uid}.M1.h:2,").write_bytes(b"Subject: %d\n\nx\n" % uid)
        lines.append(f"{uid}{' ' + text if text else ''} :{uid}.M1.h")
    (folder / "dovecot-uidlist").write_text("\n".join(lines) + "\n")
    verb(server, "import", "maildir", folder, "-u", user)

    def now():
        with Pop3(server.pop3, user) as c:
            return [line.split()[1].decode() for line in c.all("UIDL")]
    own = [f"{uid:08x}{1234567:08x}" for uid in range(7)]
    assert now() == ["old-id-1", own[2], own[3], own[4], own[5], "!~"]
    server.kill()
    server.start()
    assert now()[0] == "old-id-1" and now()[5] == "!~"
    with Pop3(server.pop3, user) as c:
        c.ok("DELE 1")
        c.quit()
    assert now() == [own[2], own[3], own[4], own[5], "!~"]  # another's id never comes up
