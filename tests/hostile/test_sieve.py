"""Scripts and messages that are made to take a processor's time: each is stopped at the limit of work, of memory or of actions, or ends within
them. The mail is in INBOX as it came, its user is told what failed, and others' sessions are answered all the while (RFC 5228 section 10)."""
import dataclasses
import re

import pytest

from lib.client import Lmtp
from lib.long import LONG
from lib.managesieve import Sieve, literal

WORK = "takes more work than it may"


def parts(depth):
    """A multipart in a multipart in ..."""
    text = "Content-Type: text/plain\r\n\r\nx\r\n"
    for level in range(depth):
        text = f'Content-Type: multipart/mixed; boundary="b{level}"\r\n\r\n' + f"--b{level}\r\n{text}" + f"\r\n--b{level}--\r\n"
    return "Subject: x\r\nMIME-Version: 1.0\r\n" + text


def wide(count):
    return ('Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n' +
            "".join(f"--b\r\nContent-Type: text/html\r\nX-N: {n}\r\n\r\n<p>{'x ' * 500}\r\n" for n in range(count)) + "--b--\r\n")


def lines(text, count):
    return "Subject: x\r\n\r\n" + f"{text}\r\n" * count


def loops(inner):
    """As deep as they may be."""
    return "".join(f'foreverypart :name "l{n}" {{ ' for n in range(4)) + inner + " }" * 4


@dataclasses.dataclass
class Bomb:
    name: str
    script: str
    message: str
    told: str  # of what the user is told; empty: it ends within the limits, and does nothing
    others: tuple = ()  # scripts to be included


STARS = "*".join("ab" * 40)
DOUBLE = 'set "a" "${a}${a}";' * 20
DATES = "".join(f"Date: {date}\r\n" for date in (
    "Fri, 99999999999999999999 Jan 99999999999999999999 99:99:99 +9999", "-1 Feb 0000 00:00:00 -9999", "29 Feb 1900 23:59:60 +2400", "31 Dec 9999 23:59:59 -1400",
    "1 Jan 0001 00:00:00 +1400", "(((((((((((((((((((((", "\"" * 900, "1 Jan 70 0:0 Z", ", , , ,", "Mon Tue Wed", "01/02/03", "2026-01-01T00:00:00Z", "0 0 0 0:0:0 0",
    "30 Feb 2026 12:00:00 UT", "1 Jan 2026 24:00:00 EST", "1 (" + "a" * 900 + ") Jan 2026 1:1:1 +0000")) * 300
PARTS = ("year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone", "weekday")
ASKED = "".join(f'if date :index {n} :zone "{zone}" :count "eq" "date" "{part}" "99" {{ discard; }}\n'
                for n in range(1, 40) for part in PARTS for zone in ("+2359", "-2359", "+0000"))
BOMBS = [
    Bomb("regex", 'require ["body", "regex"]; ' + "if body :raw :regex \"(x|xx|xxx|y*)*(x|xx|xxx|z*)*(x?){200}q\" { discard; }" * 40, lines("x" * 900, 900), WORK),
    Bomb("stars", 'require "body"; ' + f'if body :raw :matches "*{STARS}*q" {{ discard; }}' * 400, lines("ab" * 450, 900), WORK),
    Bomb("loops in loops", 'require ["foreverypart", "mime", "variables"]; ' + loops('if header :mime :contains "x" "y" { discard; } set "n" "${n}x";') * 3, parts(90), WORK),
    Bomb("loops over text", 'require ["foreverypart", "mime", "variables", "extracttext"]; ' +
         'foreverypart { extracttext "a"; set :upper "b" "${a}${a}"; if string :matches "${b}" "*X*X*X*X*Y" { discard; } }' * 40, wide(800), WORK),
    Bomb("variables that double", 'require "variables"; set "a" "0123456789";' + DOUBLE + 'set "b" "${a}${a}";' * 3000 +
         'if string :contains "${a}${b}" "y" { discard; }' * 3000, lines("x", 1), WORK),
    Bomb("many of them", 'require "variables"; set "a" "0123456789";' + DOUBLE + "".join(f'set "v{n}" "${{a}}{n}";' for n in range(900)), lines("x", 1), "memory"),
    Bomb("a circle of includes", 'require "include"; include "a";', lines("x", 1), "includes itself",
         (("a", 'require "include"; include "b";'), ("b", 'require "include"; include "c";'), ("c", 'require "include"; include "a";'))),
    Bomb("odd dates", 'require ["date", "index", "relational"]; ' + ASKED, DATES + "Subject: x\r\n\r\nx\r\n", ""),
    Bomb("many keys", 'require "fileinto"; ' + 'if header :contains ["a", "b", "c", "d"] [' + ", ".join(f'"k{n}"' for n in range(9000)) + "] { discard; }",
         "".join(f"{'abcd'[n % 4]}: {'x' * 900}\r\n" for n in range(1000)) + "Subject: x\r\n\r\nx\r\n", WORK),
    Bomb("replaced again and again", 'require ["replace", "foreverypart", "mime"]; ' + 'foreverypart { if header :mime :type "content-type" "text" { replace "y"; } }' * 20, wide(900), "memory"),
    Bomb("actions", 'require ["foreverypart", "fileinto", "variables"]; foreverypart { set "n" "${n}x"; fileinto "f${n}"; }', wide(90), "actions"),
]


def deliver(target, user, message):
    relay = Lmtp(target.address("lmtp"), timeout=300)
    relay.deliver(user, message.encode())
    relay.close()


def put(target, user, bomb):
    with Sieve(target.address("managesieve")) as sieve:
        assert sieve.login(user)[0] == "OK"
        for name, text in (*bomb.others, ("main", bomb.script)):
            answer = sieve.ask(b'PUTSCRIPT "%s" %s' % (name.encode(), literal(text)))
            assert answer[0] == "OK", answer
        assert sieve.ask('SETACTIVE "main"')[0] == "OK"


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda b: b.name)
def test_bomb(target, session, bomb):
    """In the long form it comes twice: the user is told once."""
    times = 2 if LONG else 1
    put(target, session.user, bomb)
    with target.unharmed(memory=64 << 20, peak=160 << 20):
        for _ in range(times):
            deliver(target, session.user, bomb.message)
    notices = int(bool(bomb.told))
    assert session.select("INBOX")["EXISTS"] == times + notices
    texts = [row["BODY[]"] for _, row in sorted(session.fetch("1:*", "(BODY.PEEK[])").items())]
    for text in [text for text in texts if b"Your filter script failed" not in text]:
        assert text.endswith(bomb.message.encode())
    if bomb.told:
        told = re.sub(r"\s+", " ", texts[1].decode())
        assert bomb.told in told and 'script "main" could not be carried out in line' in told, told


def test_all_at_once(target):
    """Bombs of several users at the same time, on all threads; who has none is answered meanwhile."""
    users = [target.fresh_user("mallory") for _ in range(4)]
    bomb = BOMBS[0]
    for user in users:
        put(target, user, bomb)
    with target.unharmed(memory=96 << 20, peak=384 << 20):
        relays = [Lmtp(target.address("lmtp"), timeout=600) for _ in users]
        for relay, user in zip(relays, users):
            relay.wire.send(b"MAIL FROM:<sender@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n%s.\r\n" % (user.encode(), bomb.message.encode()))
        for relay in relays:
            assert [relay.reply()[-1][:3] for _ in range(4)] == [b"250", b"250", b"354", b"250"]
            relay.close()
    for user in users:
        session = target.imap(user)
        assert session.select("INBOX")["EXISTS"] == 2
        session.close()
