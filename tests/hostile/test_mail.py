"""HOSTILE.md C: what anybody on the internet may mail."""
import contextlib
import time

import pytest

from lib.client import Lmtp, Refused
from lib.wire import Wire
from .conftest import PATIENCE

ITEMS = "(ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])"


def nested_multiparts(levels):
    head = "".join(f'Content-Type: multipart/mixed; boundary="b{i}"\r\n\r\n--b{i}\r\n' for i in range(levels))
    return ("MIME-Version: 1.0\r\n" + head + "\r\nx\r\n").encode()


def nested_messages(levels):
    return b"Content-Type: message/rfc822\r\n\r\n" * levels + b"Subject: end\r\n\r\nx\r\n"


BOMBS = {
    "deep-multipart": lambda: nested_multiparts(20_000),
    "deep-message": lambda: nested_messages(20_000),
    "parts": lambda: b'Content-Type: multipart/mixed; boundary=b\r\n\r\n' + b"--b\r\n\r\n" * 200_000 + b"--b--\r\n",
    "one-boundary-nested": lambda: b'Content-Type: multipart/mixed; boundary=b\r\n\r\n' + b'--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n' * 5000,
    "addresses": lambda: b"To: " + b",\r\n ".join(b"a%d@example.org" % i for i in range(300_000)) + b"\r\n\r\nx\r\n",
    "header-lines": lambda: b"".join(b"X-%d: y\r\n" % i for i in range(500_000)) + b"\r\nx\r\n",
    "same-header-lines": lambda: b"Received: y\r\n" * 500_000 + b"\r\nx\r\n",
    "subject-12-MB": lambda: b"Subject: " + b"s" * 12_000_000 + b"\r\n\r\nx\r\n",
    "subject-12-MB-folded": lambda: b"Subject: " + b"word\r\n " * 1_800_000 + b"end\r\n\r\nx\r\n",
    "from-12-MB": lambda: b"From: " + b"a" * 12_000_000 + b"@example.org\r\n\r\nx\r\n",
    "references-12-MB": lambda: b"References: " + b"<a@b>\r\n " * 1_500_000 + b"\r\n\r\nx\r\n",
    "header-name-12-MB": lambda: b"X" * 12_000_000 + b": y\r\n\r\nx\r\n",
    "rfc2231": lambda: b"Content-Type: text/plain" + b"".join(b";\r\n name*%d*=a" % i for i in range(100_000)) + b"\r\n\r\nx\r\n",
    "rfc2231-backwards": lambda: b"Content-Type: text/plain" + b"".join(b";\r\n n*%d=a" % i for i in range(20_000, 0, -1)) + b"\r\n\r\nx\r\n",
    "rfc2231-huge-number": lambda: b"Content-Type: text/plain; n*99999999999999999999=a; n*4294967296*=b; n*-1=c; n*0*='='=%\r\n\r\nx\r\n",
    "parameters": lambda: b"Content-Type: text/plain" + b"".join(b"; p%d=v" % i for i in range(100_000)) + b"\r\n\r\nx\r\n",
    "comments": lambda: b"From: " + b"(" * 500_000 + b"\r\nTo: a@b (x\\\r\nCc: (((\\)\r\n\r\nx\r\n",
    "comment-ends-in-backslash": lambda: b"From: a@b (x\\",
    "groups": lambda: b"To: " + b"g:" * 200_000 + b"\r\nCc: g:;,;;,:::;\r\nFrom:\r\nSender: <>\r\nBcc: @,@:\r\n\r\nx\r\n",
    "routes": lambda: b"From: <" + b"@a," * 100_000 + b":x@y>\r\n\r\nx\r\n",
    "quotes": lambda: b'From: "' + b"\\" * 500_001 + b'" <a@b>\r\n\r\nx\r\n',
    "encoded-words": lambda: b"Subject: " + b"=?utf-7?B?K0FHRS0=?=\r\n " * 200_000 + b"\r\n\r\nx\r\n",
    "encoded-words-broken": lambda: b"Subject: " + b"=?" * 300_000 + b"\r\nFrom: =?utf-8?q?" + b"=C3" * 50_000 + b"?= <a@b>\r\n\r\nx\r\n",
    "charset": lambda: b"Subject: =?" + b"x" * 100_000 + b"?b?AAAA?=\r\nContent-Type: text/plain; charset=../../../etc/passwd\r\n\r\nx\r\n",
    "format-strings": lambda: b"From: %n%s%n <%s%n@%n>\r\nSubject: %n%n%s\r\nMessage-ID: <%n%s@%n>\r\n\r\n%n%s\r\n",
    "boundary-long": lambda: b"Content-Type: multipart/mixed; boundary=" + b"b" * 100_000 + b"\r\n\r\n--" + b"b" * 100_000 + b"\r\n\r\nx\r\n",
    "boundary-twice": lambda: b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--a\r\n\r\n--b\r\n\r\n--c\r\n\r\n",
    "nul": lambda: b"Subject: a\0b\r\nFrom: \0@\0\r\n\0\r\n\r\n\0\0\0",
    "bare-cr": lambda: b"Subject: a\rFrom: b\rX: y\r\r\n\r\r\r\n" + b"\r" * 100_000,
    "date": lambda: b"Date: " + b"99999999999999999999 " * 1000 + b"\r\nDate: Mon, 99 Foo 99999 99:99:99 +99999999\r\n\r\nx\r\n",
    "qp-bomb": lambda: b"Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n" + b"=" * 500_000,
    "base64-bomb": lambda: b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A=A\r\n" * 300_000,
    "languages": lambda: b"Content-Language: " + b"a," * 200_000 + b"\r\nContent-Location: " + b"%" * 100_000 + b"\r\n\r\nx\r\n",
    "empty-header-names": lambda: b": x\r\n" * 100_000 + b"\r\n",
    "long-line": lambda: b"\r\n" + b"x" * 12_000_000,
}


def deliver(target, user, message, way):
    if way == "append":
        client = target.imap(user, timeout=60)
        client.append("INBOX", message)
        client.close()
        return
    lmtp = Lmtp(target.address("lmtp"))
    lmtp.deliver(user, message)
    lmtp.close()


def test_references(target, long_form):
    """One chain of References through all messages, then circles: of both the last cost what the first did, and all are one thread."""
    count, user, took, circles = 20_000 if long_form else 1_000, target.fresh_user("thread"), [], []
    with target.unharmed(memory=96 << 20):
        client = target.imap(user)
        for first in range(0, count, count // 10):
            began = time.monotonic()
            client.append_all("INBOX", [b"Message-ID: <%d@x>\r\nReferences: <%d@x>\r\nIn-Reply-To: <%d@x>\r\nSubject: Re: x\r\n\r\nx\r\n"
                                        % (i, i - 1, i - 1) for i in range(first, first + count // 10)])
            took.append(time.monotonic() - began)
        for turn in range(10):
            began = time.monotonic()
            for i in range(10 * turn, 10 * turn + 10):
                many = b" ".join(b"<%d@x>" % ((i * 7 + k) % count) for k in range(1000))
                client.append("INBOX", b"Message-ID: <%d@x>\r\nReferences: %s <%d@x>\r\nSubject: x\r\n\r\nx\r\n" % (i, many, i))
            circles.append(time.monotonic() - began)
        assert client.select("INBOX")["EXISTS"] == count + 100
        threads = {str(row["THREADID"]) for row in client.fetch("1:*", "(THREADID)").values()}
        client.close()
    assert len(threads) == 1, f"{len(threads)} threads"
    assert took[-1] < 5 * min(took[:3]) + 1, took
    assert circles[-1] < 5 * min(circles[:3]) + 1, circles


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(target, bomb):
    """Delivered or refused; the mailbox stays readable, by every item, and by SEARCH."""
    message = BOMBS[bomb]()
    slow = 8 if target.sanitized else PATIENCE
    user = target.fresh_user("victim")
    began = time.monotonic()
    with target.unharmed(memory=64 << 20):
        deliver(target, user, message, "lmtp" if len(message) % 2 else "append")
        deliver(target, user, b"Subject: after\r\n\r\nx\r\n", "lmtp")
        delivered = time.monotonic() - began
        client = target.imap(user)
        assert client.select("INBOX")["EXISTS"] == 2
        for items in ("(ENVELOPE)", "(BODYSTRUCTURE)", ITEMS):
            began = time.monotonic()
            lines, _ = client.command(f"FETCH 1:* {items}")
            took = time.monotonic() - began
            assert len(lines) == 2
            assert took < slow, f"{items}: {took:.2f} s"
        for keys in ("SUBJECT x", "TEXT foo", "FROM a", "HEADER Message-ID x", "BODY zzz"):
            began = time.monotonic()
            client.command(f"SEARCH {keys}")
            assert time.monotonic() - began < 2 * slow, keys
        if "bomb" in bomb:
            with contextlib.suppress(Refused):  # UNKNOWN-CTE
                client.command("FETCH 1 (BINARY.PEEK[1])")
        client.close()
    assert delivered < 2 * slow, f"delivery: {delivered:.2f} s"


# -- LMTP ------------------------------------------------------------------------------------------------
ENDINGS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n\n.\r\n", b"\r\0\n.", b"\r\n\0.\r\n", b"\r.\r\n", b"\r\n.\0\r\n",
           b"\r\n.\r\r\n", b"\n.\r", b"\r\r\n.\n", b"\r\n. \r\n", b"\r\n.\x0b\r\n", b"\x85.\x85"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_smuggling(target, ending):
    """Only CRLF . CRLF ends a message: what follows any other is body, never a second message."""
    user = target.fresh_user("smug")
    wire = Wire(target.address("lmtp"))
    wire.line()
    wire.send(b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<%s>\r\nDATA\r\n" % user.encode())
    while not wire.line().startswith(b"354"):
        pass
    smuggled = b"MAIL FROM:<evil@b>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nx" % user.encode()
    wire.send(b"Subject: outer\r\n\r\nbody" + ending + smuggled + b"\r\n.\r\n")
    answers = [wire.line()]
    wire.send(b"QUIT\r\n")
    while not answers[-1].startswith(b"221"):
        answers.append(wire.line())
    assert [a[:3] for a in answers] in ([b"250", b"221"], [b"550", b"221"], [b"554", b"221"]), answers
    client = target.imap(user)
    exists = client.select("INBOX")["EXISTS"]
    if answers[0].startswith(b"250"):
        assert exists == 1
        body = client.fetch(1, "(BODY.PEEK[TEXT])")[1]
        assert b"MAIL FROM:<evil@b>" in str(body).encode()
    else:
        assert exists == 0
    client.close()


@pytest.mark.parametrize("ending", [*ENDINGS, b"\r\n.\r\n"])
def test_smuggling_in_pieces(target, ending):
    """The same, wherever TCP cuts it: one message for each end CRLF . CRLF, whatever else looks like one."""
    user, sent = target.fresh_user("smug"), 0
    wire = Wire(target.address("lmtp"))
    wire.line()
    wire.send(b"LHLO x\r\n")
    while not wire.line().startswith(b"250 "):
        pass
    for cut in range(1, len(ending) + 1):
        wire.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<%s>\r\nDATA\r\n" % user.encode())
        while not wire.line().startswith(b"354"):
            pass
        wire.send(b"Subject: outer\r\n\r\nbody" + ending[:cut])
        time.sleep(0.003)
        wire.send(ending[cut:])
        if ending != b"\r\n.\r\n":
            time.sleep(0.003)
            wire.send(b"RSET\r\n.\r\n")
        answer = wire.line()
        assert answer.startswith((b"250", b"550", b"554")), (cut, answer)
        sent += answer.startswith(b"250")
    wire.send(b"NOOP again\r\n")
    assert wire.line().startswith(b"250 2.0.0"), "an answer too many"
    client = target.imap(user)
    assert client.select("INBOX")["EXISTS"] == sent
    client.close()
    wire.close()


BAD_RECIPIENTS = [b'<""@example.org>', b'<"">', b"<a@b\0>", b"<a\rb@c>", b"<a b@c>", b"<a@b> NOTIFY=", b"<a@b> NOTIFY=\rRCPT", b"<a@b>x", b"a@b",
                  b"<a@>", b"<@>", b"<>", b"<@a:>", b"<a@b@c>", b"<a@[>", b"<a@[]>", b'<"a>', b'<"a\\">', b"<" + b"a" * 3000 + b"@b>",
                  b"<" + b"@a," * 500 + b"@b:c@d>", b"<a@b> " + b"X=Y " * 500, b"<../../etc/passwd>", b"<\xff@b>", b"<a@b> SIZE=99999999999999999999",
                  b"<%n%s%n>", b'<"\r\n"@b>', b"<a@" + b"b." * 1000 + b"c>"]


@pytest.mark.parametrize("path", BAD_RECIPIENTS)
def test_wrong_recipients(target, path):
    with target.unharmed(memory=8 << 20):
        lmtp = Lmtp(target.address("lmtp"))
        lmtp.command("MAIL FROM:<a@b>")
        lmtp.wire.send(b"RCPT TO:" + path + b"\r\n")
        line = lmtp.wire.line()
        assert line[:1] == b"5", line
        lmtp.close()


def test_bare_line_feed_is_no_command_end(target):
    """RFC 5321 section 2.3.8. A parameter with an LF in it must not become a second command."""
    user = target.fresh_user("lf")
    lmtp = Lmtp(target.address("lmtp"))
    lmtp.command("MAIL FROM:<a@b>")
    lmtp.wire.send(b"RCPT TO:<nobody-here> NOTIFY=\nRCPT TO:<%s>\r\nDATA\r\n" % user.encode())
    lines = [lmtp.wire.line()]
    while not lines[-1].startswith((b"503", b"354")):
        lines.append(lmtp.wire.line())
    assert lines[-1].startswith(b"503"), lines
    lmtp.close()


def test_lhlo_name_with_control_characters(target):
    """It goes into Received: no bare CR, no escape."""
    user = target.fresh_user("lhlo")
    wire = Wire(target.address("lmtp"))
    wire.line()
    wire.send(b"LHLO evil\rBcc: injected\x1b[2J\x00\r\nLHLO evil\rBcc: injected\x1b[2J\r\nLHLO good.example\r\n")
    lines = [wire.line()]
    while not lines[-1].startswith(b"250 "):
        lines.append(wire.line())
    assert sum(line.startswith(b"250 ") for line in lines) == 1
    assert [line[:1] for line in lines[:2]] == [b"5", b"5"], lines
    wire.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n" % user.encode())
    while not wire.line().startswith(b"354"):
        pass
    assert wire.line().startswith(b"250")
    client = target.imap(user)
    client.select("INBOX")
    assert b"\x1b" not in str(client.fetch(1, "(BODY.PEEK[HEADER])")).encode()
    client.close()
    wire.close()


@pytest.mark.parametrize("known", [True, False])
def test_many_recipients(target, known, long_form):
    count = 100_000 if long_form else 10_000
    user = target.fresh_user("rcpt")
    with target.unharmed(memory=24 << 20):
        wire = Wire(target.address("lmtp"), timeout=60)
        wire.line()
        wire.send(b"LHLO x\r\nMAIL FROM:<a@b>\r\n")
        while not wire.line().startswith(b"250 2.1.0"):
            pass
        name = user.encode() if known else b"nobody" + b"x" * 200
        taken = ended = 0
        for _ in range(count // 100):
            try:
                wire.send((b"RCPT TO:<%s>\r\n" % name) * 100)
                for _ in range(100):
                    line = wire.line()
                    taken += line.startswith(b"250")
                    ended += line.startswith(b"4")
            except Exception:  # noqa: BLE001 - closed: that is a refusal, too
                ended += 1
                break
        assert taken <= 1000
        assert ended > 0, "no limit was met"
        wire.close()


def test_lmtp_endless_lines(target):
    with target.unharmed(memory=8 << 20):
        for data in (b"x" * 65536, b"MAIL FROM:<" + b"a" * 65000, b"\0" * 65536, b"LHLO " + b"x" * 65000):
            wire = Wire(target.address("lmtp"), timeout=5)
            wire.line()
            try:
                for _ in range(100):
                    wire.send(data)
                while True:
                    wire.line()
            except Exception:  # noqa: BLE001 - refused and closed
                pass
            wire.close()


@pytest.mark.parametrize("size", [b"18446744073709551617", b"-1", b"99999999999", b"4294967296 LAST", b"x", b"1 2 3", b""])
def test_bdat_sizes(target, size):
    with target.unharmed(memory=8 << 20):
        lmtp = Lmtp(target.address("lmtp"), timeout=1)
        lmtp.wire.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<alice>\r\nBDAT " + size + b"\r\n")
        try:
            for _ in range(3):
                lmtp.wire.line()
            lmtp.wire.send(b"x" * 100_000)
        except Exception:  # noqa: BLE001 - refused and closed
            pass
        lmtp.close()


def test_message_too_large(target):
    own = type(target)({"message_size_max": "1M"})
    try:
        with own.unharmed(memory=16 << 20):
            with pytest.raises(Refused, match="552"):
                deliver(own, "alice", b"Subject: x\r\n\r\n" + b"x" * 998 * 2000, "lmtp")
            with pytest.raises(Refused, match="TOOBIG"):
                deliver(own, "alice", b"Subject: x\r\n\r\n" + b"x" * 998 * 2000, "append")
    finally:
        own.stop()
