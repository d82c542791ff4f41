"""Which addresses are a user's: what `vacation` answers for (RFC 5230 section 4.5) and what :from may be (RFC 5435 section 3.3) is what
the table of addresses says, as for submission; also of users of an SQL database."""
import email

import pytest

from lib import client, scripts, server as posthorn, userbases
from lib.smarthost import Smarthost, queue_is_empty
from lib.waiting import wait_for

AWAY = 'require ["vacation", "vacation-seconds"]; vacation :seconds 0 "I am away";'
USERS = {"ann": "ann@a.test", "ben@a.test": "ben@a.test"}


class Place:
    def __init__(self):
        self.host, self.base = Smarthost(), userbases.Sqlite()
        self.base.put("ben@a.test", "secret-b")
        self.server = posthorn.Server({"relay_host": f"localhost:{self.host.port}", "relay_tls": "none", "local_domains": ["a.test"],
                                       "log_level": "debug", **self.base.settings})
        self.server.user_add("ann")
        self.server.user_add("eve")
        for words in (["sales@a.test", "ann", "ben@a.test"], ["quiet@a.test", "ann", "ben@a.test", "send=no"], ["ann.smith@far.test", "ann"],
                      ["b.jones@far.test", "ben@a.test"], ["@old.test", "@a.test"], ["chain@a.test", "sales@a.test"]):
            self.verb("address", "add", *words)

    def stop(self):
        self.server.stop()
        self.host.close()
        self.base.stop()

    def verb(self, *words):
        return posthorn.run_verb(*words, "--data", self.server.data)

    def script(self, user, text):
        scripts.put(self.server, user, text)

    def deliver(self, user, header, sender="s@far.test"):
        lmtp = client.Lmtp(self.server.address("lmtp"))
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{USERS[user]}>", "DATA"):
            lmtp.command(line)
        lmtp.wire.send(f"From: <s@far.test>\r\nSubject: x\r\n{header}\r\n\r\nhello\r\n.\r\n".encode())
        assert lmtp.wire.line().startswith(b"250 ")
        lmtp.close()

    def sent(self):
        """The mails that went out since; LMTP's 250 comes behind the last of them is in the queue."""
        wait_for(lambda: queue_is_empty(self.server), "an empty queue")
        return self.host.take()

    def answers(self, user, header, sender="s@far.test"):
        self.deliver(user, header, sender)
        mails = self.sent()
        assert len(mails) <= 1
        return bool(mails)


@pytest.fixture(scope="module", name="place")
def one_place():
    place = Place()
    yield place
    place.stop()


@pytest.mark.parametrize("user", USERS)
def test_vacation_knows_the_users_addresses(place, user):
    place.script(user, AWAY)
    other = {"ann": "b.jones@far.test", "ben@a.test": "ann.smith@far.test"}[user]
    own = {"ann": "Ann.Smith@Far.test", "ben@a.test": "b.jones@FAR.test"}[user]
    local = user.split("@")[0]
    for named in (f"To: {local}@a.test", f"Cc: {local.upper()}@A.test", f"To: {local}+lists@a.test", f"To: x@y.test, L <{local}@old.test>",
                  f"Resent-To: {local}+a@old.test", "Bcc: sales@a.test", "To: sales+eu@old.test", "To: chain@a.test", f"To: Staff: <{own}>, q@x.test;",
                  f"To: \"{local}\"@a.test"):
        assert place.answers(user, named), named
    for named in ("To: eve@a.test", "Cc: nobody@a.test", f"To: {other}", f"To: {local}@far.test", f"To: {local}@b.test", "To: quiet@a.test", "X-To: sales@a.test"):
        assert not place.answers(user, named), named
    # what they wrote themselves, by whichever of their addresses, is not answered
    assert not place.answers(user, "To: sales@a.test", sender=own)
    assert place.answers(user, "To: sales@a.test", sender=other)


def test_many_addresses(place):
    """LIMIT_sieve_own: of so many the table is asked, and no more; what the envelope has is found behind them."""
    place.script("ann", AWAY)
    crowd = "To: " + ",\r\n ".join(f"q{i}@far.test" for i in range(99))
    assert place.answers("ann", f"{crowd},\r\n sales@a.test")
    assert not place.answers("ann", f"{crowd},\r\n p@far.test, sales@a.test")
    assert place.answers("ann", f"{crowd},\r\n p@far.test, ann@a.test")


def author(mails):
    mail, = mails
    return email.message_from_bytes(mail["text"])["From"]


@pytest.mark.parametrize("user", USERS)
def test_from_is_an_address_of_the_user(place, user):
    own = {"ann": "ann.smith@far.test", "ben@a.test": "b.jones@far.test"}[user]
    for given, want in (("Sales <sales@a.test>", "Sales <sales@a.test>"), (own, own), ("eve@a.test", USERS[user]), ("boss@far.test", USERS[user]),
                        (f"{own}, boss@far.test", USERS[user]), (f"{own}, sales@a.test", f"{own}, sales@a.test")):
        place.script(user, AWAY.replace(":seconds 0", f':seconds 0 :from "{given}"'))
        place.deliver(user, f"To: {USERS[user]}")
        assert author(place.sent()) == want, given
    for given, want in ((own, own), ("quiet@a.test", USERS[user]), ("boss@far.test", USERS[user])):
        place.script(user, f'require "enotify"; notify :from "{given}" "mailto:pager@far.test";')
        place.deliver(user, "To: x@far.test")
        assert author(place.sent()) == want, given
    assert ':from "boss@far.test" is not the user\'s, and left out' in place.server.stderr()


def test_the_table_changes(place):
    """What is asked anew: an entry that goes is the user's no more."""
    place.script("ann", AWAY)
    place.verb("address", "add", "once@a.test", "ann")
    assert place.answers("ann", "To: once@a.test")
    place.verb("address", "delete", "once@a.test")
    assert not place.answers("ann", "To: once@a.test")
