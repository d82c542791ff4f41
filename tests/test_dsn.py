"""DSN at LMTP (RFC 3461): who asked for it is told that the mail arrived, once, or who is next is asked to tell (docs/mta.md)."""
import email
import itertools
import json
import os
import signal

import pytest

from lib import client, scripts, server as posthorn
from lib.smarthost import Smarthost, queue_is_empty
from lib.waiting import wait_for
from test_relay import fields, reports

ASKED = " NOTIFY=SUCCESS,FAILURE"
numbers = itertools.count(1)


class Receiver(posthorn.Server):
    def __init__(self, host, **settings):
        super().__init__({"relay_host": f"localhost:{host.port}", "relay_tls": "none", "test_relay_retry_ms": 100, "local_domains": ["a.test"],
                          "lmtp_networks": ["127.0.0.0/8"], **settings})
        self.host, self.seen = host, 0

    def verb(self, *words, stdin=b""):
        return [json.loads(line) for line in posthorn.run_verb("--json", *words, "--data", self.data, stdin=stdin).decode().splitlines()]

    def user(self, script=None):
        name = f"u{next(numbers)}"
        self.user_add(name)
        if script:
            scripts.put(self, name, script)
        return name

    def settled(self):
        wait_for(lambda: queue_is_empty(self), seconds=60)

    def out(self):
        """The mails that went out since the last call."""
        self.settled()
        return self.host.take()

    def inbox(self, user):
        session = self.imap(user)
        try:
            return session.select("INBOX")["EXISTS"]
        finally:
            session.close()


@pytest.fixture(scope="module", name="host")
def one_host():
    host = Smarthost()
    yield host
    host.close()


@pytest.fixture(scope="module", name="where")
def one_server(host):
    server = Receiver(host)
    yield server
    server.stop()


def send(where, to, sender="s@far.test", mail="", rcpt=ASKED, subject="one"):
    """The answer for each recipient. `to`: addresses, or (address, parameters of RCPT)."""
    end, answers = client.Lmtp(where.address("lmtp")), []
    end.command(f"MAIL FROM:<{sender}>{mail}")
    for one in to:
        address, more = one if isinstance(one, tuple) else (one, rcpt)
        end.command(f"RCPT TO:<{address}>{more}")
    end.command("DATA")
    end.wire.send(f"From: s@far.test\r\nSubject: {subject}\r\nMessage-ID: <{next(numbers)}@far.test>\r\nX-Own: yes\r\n\r\nbody\r\n.\r\n".encode())
    for _ in to:
        answers.append(end.wire.line().decode())
    end.close()
    return answers


def told(where):
    """(sender's address, {recipient: (action, its fields)}, the report) of all that went out; all of it reports."""
    found = []
    for mail in where.out():
        assert mail["from"] == "" and mail["rcpt"][0].endswith(" NOTIFY=NEVER"), mail  # section 6.1
        report = email.message_from_bytes(mail["text"])
        _, *parts = fields(report)
        found.append((mail["to"], {part["Final-Recipient"].partition(";")[2]: part["Action"] for part in parts}, report))
    return found


def test_what_a_report_says(where):
    ann = where.user()
    assert send(where, [(f"{ann}@a.test", " NOTIFY=DELAY,success ORCPT=rfc822;Old+2BMe@far.test")],
                mail=" RET=FULL ENVID=e+2B1", subject="told")[0].startswith("250 2.0.0")
    (to, actions, report), = told(where)
    assert to == ["s@far.test"] and actions == {f"{ann}@a.test": "delivered"} and where.inbox(ann) == 1
    assert report["To"] == "<s@far.test>" and report["Auto-Submitted"] == "auto-replied"
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    whole, one = fields(report)
    assert whole["Original-Envelope-Id"] == "e+1" and whole["Reporting-MTA"] == "dns;localhost" and whole["Arrival-Date"]
    assert one["Original-Recipient"] == "rfc822;Old+Me@far.test" and one["Status"] == "2.0.0" and "Remote-MTA" not in one
    last = report.get_payload()[2]
    # section 4.3: RET is for failures; nothing in it of where the mail went from here
    assert last.get_content_type() == "text/rfc822-headers" and "X-Own: yes" in last.get_payload() and "body" not in last.get_payload()
    assert not any(name in last.get_payload() for name in ("Return-Path", "Delivered-To", "X-Original-To", "with LMTP"))


def test_the_original_address_in_the_header(where):
    """ORCPT names the address as it was before aliases; nothing of it becomes a header of its own."""
    ann = where.user()
    for orcpt, want in (("rfc822;info@far.test", b"info@far.test"), ("utf-8;x@y.test", None)):
        assert send(where, [(f"{ann}@a.test", f" ORCPT={orcpt}")])[0].startswith("250 ")
        session = where.imap(ann)
        session.select("INBOX")
        head = session.fetch("*", "(BODY.PEEK[HEADER])").popitem()[1]["BODY[HEADER]"]
        session.close()
        assert (b"\r\nX-Original-To: " in head) == bool(want) and (not want or b"\r\nX-Original-To: " + want + b"\r\n" in head)
    with pytest.raises(client.Refused, match="501 5.5.4 Bad ORCPT"):
        send(where, [(f"{ann}@a.test", " ORCPT=rfc822;a+0D+0AEvil:+20x")])
    assert where.out() == []


@pytest.mark.parametrize("sender, rcpt", [("", ASKED), ("s@far.test", ""), ("s@far.test", " NOTIFY=NEVER"), ("s@far.test", " NOTIFY=FAILURE,DELAY"),
                                          ("s", ASKED)])
def test_who_is_told_nothing(where, sender, rcpt):
    """Section 5.2.3 (b) and (c); 5.2: nothing to <>; nobody can be told at an address without a domain."""
    ann = where.user()
    assert send(where, [f"{ann}@a.test"], sender=sender, rcpt=rcpt)[0].startswith("250 2.0.0")
    assert told(where) == [] and where.inbox(ann) == 1


def test_one_report_for_a_transaction(where):
    """Section 5.2.8. Who asked for none is not in it; an alias that leads to people here alone is where the mail arrives."""
    ann, bob, eve = where.user(), where.user(), where.user()
    where.verb("address", "add", f"all-{ann}@a.test", ann, bob)
    answers = send(where, [f"{ann}@a.test", (f"{eve}@a.test", ""), f"{bob}@a.test", f"all-{ann}@a.test"])
    assert all(answer.startswith("250 2.0.0") for answer in answers) and len(answers) == 4
    (_, actions, _), = told(where)
    assert actions == {f"{ann}@a.test": "delivered", f"{bob}@a.test": "delivered", f"all-{ann}@a.test": "delivered"}
    assert [where.inbox(user) for user in (ann, bob, eve)] == [1, 1, 1]


def test_a_sender_here_finds_it_in_inbox(where):
    ann, bob = where.user(), where.user()
    send(where, [f"{bob}@a.test"], sender=f"{ann}@a.test")
    report, = reports(where, ann, 1)
    assert fields(report)[1]["Action"] == "delivered" and report["Return-Path"] == "<>"
    assert where.out() == [] and where.inbox(bob) == 1


def test_what_goes_on(where):
    """Section 5.2.7: one address elsewhere is asked in our place; of several none is, and the sender is told here."""
    ann = where.user()
    where.verb("address", "add", "one@a.test", "r@far.test")
    where.verb("address", "add", "two@a.test", "r2@far.test", "q@far.test")
    where.verb("address", "add", "mixed@a.test", "r3@far.test", ann)
    send(where, ["one@a.test"], mail=" RET=HDRS ENVID=e1", rcpt=ASKED + " ORCPT=rfc822;one@a.test")
    mail, = where.out()
    assert mail["from"] == "s@far.test" and mail["mail"].endswith(" RET=HDRS ENVID=e1")
    assert mail["rcpt"] == ["RCPT TO:<r@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;one@a.test"]
    for address, rcpt, want in (("two@a.test", ASKED, "FAILURE"), ("mixed@a.test", ASKED, "FAILURE"), ("two@a.test", " NOTIFY=SUCCESS", "NEVER")):
        send(where, [address], rcpt=rcpt)
        mails = where.out()
        report, = [email.message_from_bytes(m["text"]) for m in mails if m["from"] == ""]
        assert (fields(report)[1]["Final-Recipient"], fields(report)[1]["Action"]) == (f"rfc822;{address}", "expanded")
        onward = [line for m in mails if m["from"] != "" for line in m["rcpt"]]
        assert onward and all(line.endswith(f" NOTIFY={want}") for line in onward)
    # by two recipients to one address: that of the first was asked, of the second it is told
    where.verb("address", "add", "again@a.test", "r@far.test")
    send(where, ["one@a.test", "again@a.test"])
    mails = where.out()
    report, = [email.message_from_bytes(m["text"]) for m in mails if m["from"] == ""]
    assert [(part["Final-Recipient"], part["Action"]) for part in fields(report)[1:]] == [("rfc822;again@a.test", "relayed")]
    assert [m["rcpt"] for m in mails if m["from"] != ""] == [["RCPT TO:<r@far.test> NOTIFY=SUCCESS,FAILURE"]]
    assert where.inbox(ann) == 1


@pytest.mark.parametrize("script, action, onward", [
    ('require "fileinto"; fileinto "Nowhere";', "delivered", []),
    ("discard;", "delivered", []),  # nobody is told what filters do
    ('redirect "x@far.test";', None, ["s@far.test SUCCESS,FAILURE"]),
    ('redirect "x@far.test"; keep;', "expanded", ["s@far.test FAILURE"]),
    ('require "copy"; redirect :copy "x@far.test";', "expanded", ["s@far.test FAILURE"]),
    ('redirect "x@far.test"; redirect "y@far.test";', "expanded", ["s@far.test FAILURE", "s@far.test FAILURE"]),
    # RFC 6009 section 6.1: it is the user's own mail from here on
    ('require "redirect-dsn"; redirect :notify "FAILURE" "x@far.test";', "delivered", ["ME FAILURE"]),
    ('require "redirect-dsn"; redirect :ret "HDRS" "x@far.test";', "delivered", ["ME "]),
    ('require ["redirect-dsn", "copy"]; redirect :copy :notify "SUCCESS" "x@far.test";', "delivered", ["ME SUCCESS"]),
    ('require ["redirect-deliverby"]; redirect :bytimerelative 500 :bymode "notify" "x@far.test";', "delivered",
     ["ME FAILURE,DELAY"]),
])
def test_scripts(where, script, action, onward):
    ann = where.user(script)
    assert send(where, [f"{ann}@a.test"], mail=" ENVID=e1")[0].startswith("250 2.0.0")
    mails = where.out()
    got = [fields(email.message_from_bytes(m["text"]))[1]["Action"] for m in mails if m["from"] == ""]
    assert got == ([action] if action else [])
    went = [m for m in mails if m["from"] != ""]
    assert sorted(f"{m['from']} {m['rcpt'][0].partition(' NOTIFY=')[2]}" for m in went) == [one.replace("ME", f"{ann}@a.test") for one in onward]
    assert all(("ENVID=e1" in m["mail"]) == (m["from"] == "s@far.test") for m in went)  # section 5.2.7.1 (b)


def test_rejects(where):
    """What is refused at LMTP the server in front tells; no report of ours goes to who wants none of failures (section 5.2.6)."""
    ann, bob = where.user('require "reject"; reject "no";'), where.user()
    assert send(where, [f"{ann}@a.test"])[0].startswith("550 ") and told(where) == []
    where.verb("address", "add", f"both-{ann}@a.test", ann, bob)
    for rcpt, count in ((" NOTIFY=NEVER", 0), (" NOTIFY=SUCCESS", 0), (" NOTIFY=FAILURE", 1), ("", 1)):
        assert send(where, [f"both-{ann}@a.test"], rcpt=rcpt)[0].startswith("250 ")
        kinds = [email.message_from_bytes(m["text"]).get_param("report-type") for m in where.out()]
        assert kinds.count("disposition-notification") == count, (rcpt, kinds)
        assert kinds.count("delivery-status") == (rcpt == " NOTIFY=SUCCESS"), (rcpt, kinds)  # bob has it
    # one whose words cannot be said in SMTP: refused there all the same
    eve = where.user('require "reject"; reject "n\xf6";')
    assert send(where, [f"{eve}@a.test"], rcpt=" NOTIFY=NEVER")[0].startswith("550 ") and where.out() == []
    assert send(where, [f"{eve}@a.test"])[0].startswith("250 ")
    assert [email.message_from_bytes(m["text"]).get_param("report-type") for m in where.out()] == ["disposition-notification"]
    assert where.inbox(ann) == where.inbox(eve) == 0 and where.inbox(bob) == 4


def test_beyond_ascii(where):
    """RFC 6533."""
    ann = where.user()
    send(where, [(f"{ann}@a.test", ASKED + " ORCPT=utf-8;gr\xfc\xdfe@far.test")], sender="j\xfcrgen@far.test", mail=" SMTPUTF8")
    (to, actions, report), = told(where)
    assert to == ["j\xfcrgen@far.test"] and actions == {f"{ann}@a.test": "delivered"}
    assert report.get_payload()[1].get_content_type() == "message/global-delivery-status"
    assert fields(report)[1]["Original-Recipient"].startswith("utf-8;gr")


def test_a_quoted_sender(where):
    ann = where.user()
    send(where, [f"{ann}@a.test"], sender='"a b"@far.test')
    (to, actions, _), = told(where)
    assert to == ['"a b"@far.test'] and actions == {f"{ann}@a.test": "delivered"}


def answers_again(where, answer):
    """The transfer agent comes again with the same octets until it is told 250."""
    def look():
        try:
            return answer().startswith("250 ")
        except (OSError, EOFError, client.Refused):
            return False
    wait_for(look, seconds=60)


class Octets:
    """One mail of the same octets each time it comes."""

    def __init__(self, where, to):
        self.where, self.to = where, to
        self.text = f"From: s@far.test\r\nSubject: again\r\nMessage-ID: <{next(numbers)}@far.test>\r\n\r\nbody\r\n.\r\n".encode()

    def begin(self):
        end = client.Lmtp(self.where.address("lmtp"))
        end.command("MAIL FROM:<s@far.test>")
        end.command(f"RCPT TO:<{self.to}>{ASKED}")
        end.command("DATA")
        end.wire.send(self.text)
        return end

    def __call__(self):
        end = self.begin()
        try:
            return end.wire.line().decode()
        finally:
            end.close()


@pytest.mark.parametrize("script", [None, 'require ["fileinto", "mailbox"]; fileinto :create "There"; keep;'])
def test_where_no_report_can_be_written(host, script):
    """It is answered that it is to come again; nobody has it twice, the sender is told once."""
    where = Receiver(host)
    try:
        ann = where.user(script)
        host.mails.clear()
        for pid in where.pids("relay"):
            os.kill(pid, signal.SIGSTOP)
        queue = where.data / "queue"
        os.rename(queue, where.data / "queue.away")
        queue.write_text("no folder")
        for pid in where.pids("relay"):
            os.kill(pid, signal.SIGKILL)
        octets = Octets(where, f"{ann}@a.test")
        assert octets().startswith("4") and where.inbox(ann) == 1
        assert octets().startswith("4") and where.inbox(ann) == 1
        queue.unlink()
        os.rename(where.data / "queue.away", queue)
        answers_again(where, octets)
        (_, actions, _), = told(where)
        assert where.inbox(ann) == 1 and actions == {f"{ann}@a.test": "delivered"}
        assert octets().startswith("250 ") and where.inbox(ann) == 2  # answered is answered: another one
    finally:
        where.stop()


def test_killed_between_the_mail_and_its_report(host):
    where = Receiver(host)
    try:
        ann = where.user()
        host.mails.clear()
        for pid in where.pids("relay"):
            os.kill(pid, signal.SIGSTOP)
        octets = Octets(where, f"{ann}@a.test")
        end = octets.begin()
        wait_for(lambda: where.inbox(ann) == 1, "the mail was not saved")
        where.kill()  # what it had sent to the relay went with it
        end.close()
        where.start()
        assert where.inbox(ann) == 1
        answers_again(where, octets)
        (_, actions, _), = told(where)
        assert where.inbox(ann) == 1 and actions == {f"{ann}@a.test": "delivered"}
    finally:
        where.stop()


def test_without_a_smarthost_it_is_not_offered():
    """Then the server in front tells that it handed the mail over (section 5.2.2), and takes the parameters away."""
    server = posthorn.Server({"local_domains": ["a.test"]})
    try:
        server.user_add("ann")
        end = client.Lmtp(server.address("lmtp"))
        assert not any(b"DSN" in line for line in end.command("LHLO x"))
        for line in ("MAIL FROM:<s@far.test> RET=HDRS", "MAIL FROM:<s@far.test> ENVID=x"):
            with pytest.raises(client.Refused, match="555 5.5.4"):
                end.command(line)
        end.command("MAIL FROM:<s@far.test>")
        for more in ("NOTIFY=SUCCESS", "NOTIFY=NEVER", "ORCPT=rfc822;a@a.test"):
            with pytest.raises(client.Refused, match="555 5.5.4"):
                end.command(f"RCPT TO:<ann@a.test> {more}")
        end.close()
    finally:
        server.stop()
