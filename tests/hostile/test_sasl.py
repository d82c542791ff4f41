"""Exchanges that are bent: SCRAM with one message changed (RFC 5802 sections 5 to 7), downgrades of the channel binding, and who
somebody claims to act for (RFC 4616 section 2). Right is only what is right in all its parts."""
import base64
import concurrent.futures
import hashlib
import hmac
import re
import ssl

import pytest

from lib import scram, server as posthorn
from lib.wire import Closed, Wire, client_tls

from .conftest import Target

NO_EXTENDED_MASTER_SECRET = 1  # OpenSSL's SSL_OP_NO_EXTENDED_MASTER_SECRET


@pytest.fixture(name="target", scope="module")
def a_server_with_a_master():
    own = Target({"master_users": ["carol"], "auth_master_separator": "*"})
    yield own
    own.stop()


def unb64(text):
    return base64.b64decode(text)


class Exchange:
    """One SCRAM exchange, message by message; what is said may be changed on the way."""

    def __init__(self, target, mechanism="SCRAM-SHA-256", tls=False):
        self.wire = target.raw("imaps" if tls else "imap", tls=tls, timeout=30)
        self.kind = "sha256" if "256" in mechanism else "sha1"
        self.wire.send(f"a AUTHENTICATE {mechanism}\r\n".encode())
        self.line = self.wire.line()

    def say(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.wire.send(base64.b64encode(data) + b"\r\n")
        self.line = self.wire.line()
        return self.line

    def first(self, gs2="n,,", bare="n=alice,r=rOprNGfwEbeRWgbNEkqO"):
        self.gs2, self.bare = gs2, bare
        line = self.say(gs2 + bare)
        if line.startswith(b"+ "):
            self.challenge = unb64(line[2:]).decode()
            self.said = dict(part.split("=", 1) for part in self.challenge.split(","))
        return line

    def final(self, password=posthorn.PASSWORD, channel=b"", header=None, nonce=None, change=None):
        header = self.gs2 if header is None else header
        client, stored, _ = scram.keys(scram.salted_password(password, unb64(self.said["s"]), int(self.said["i"]), self.kind), self.kind)
        text = f"c={scram.b64(header.encode() + channel)},r={self.said['r'] if nonce is None else nonce}"
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, f"{self.bare},{self.challenge},{text}".encode(), self.kind)))
        whole = f"{text},p={scram.b64(proof)}"
        return self.say(change(whole) if change else whole)

    def end(self):
        """The tagged line, whatever comes before."""
        try:
            if self.line.startswith(b"+ v=") or (self.line.startswith(b"+ ") and unb64(self.line[2:]).startswith(b"v=")):
                self.say(b"")
            while not self.line.startswith((b"a ", b"*")):
                self.wire.send(b"*\r\n")
                self.line = self.wire.line()
        except Closed:
            self.line = b"closed"
        line = self.line
        if line.startswith(b"a OK"):
            self.user = who_it_is(self.wire)
        self.wire.close()
        return line


def who_it_is(wire):
    """The user of a session, by the name of the quota root."""
    wire.send(b"b GETQUOTAROOT INBOX\r\n")
    found = re.search(rb"user/(\S+)$", wire.line())
    return found[1].decode()


def refused(line):
    return line.startswith((b"a NO [AUTHENTICATIONFAILED]", b"a NO [AUTHORIZATIONFAILED]", b"a BAD", b"closed"))


def flip(text):
    """The proof with its first octet changed."""
    head, proof = text.rsplit(",p=", 1)
    data = bytearray(unb64(proof))
    data[0] ^= 1
    return f"{head},p={scram.b64(bytes(data))}"


# (what, arguments of final)
FINALS = [
    ("a wrong proof", {"change": flip}),
    ("no proof", {"change": lambda text: text.rsplit(",p=", 1)[0]}),
    ("an empty proof", {"change": lambda text: text.rsplit(",p=", 1)[0] + ",p="}),
    ("a short proof", {"change": lambda text: text.rsplit(",p=", 1)[0] + ",p=" + scram.b64(b"x")}),
    ("a long proof", {"change": lambda text: text + scram.b64(b"y" * 32)}),
    ("a proof of zeros", {"change": lambda text: text.rsplit(",p=", 1)[0] + ",p=" + scram.b64(bytes(32))}),
    ("two proofs", {"change": lambda text: text + ",p=" + text.rsplit(",p=", 1)[1]}),
    ("the proof first", {"change": lambda text: "p=" + text.rsplit(",p=", 1)[1] + "," + text.rsplit(",p=", 1)[0]}),
    ("something behind", {"change": lambda text: text + ",x=y"}),
    ("an extension that is not in the proof", {"change": lambda text: text.replace(",p=", ",m=x,p=")}),
    ("a NUL behind", {"change": lambda text: text + "\0"}),
    ("our nonce alone", {"nonce": "rOprNGfwEbeRWgbNEkqO"}),
    ("no nonce", {"nonce": ""}),
    ("another nonce", {"nonce": "rOprNGfwEbeRWgbNEkqOx"}),
    ("another header", {"header": "y,,"}),
    ("a header of another", {"header": "n,a=bob,"}),
    ("no header", {"header": ""}),
    ("channel data without a channel", {"channel": b"x"}),
    ("another's password", {"password": "toor"}),
    ("an empty password", {"password": ""}),
]


def bent(target, mechanism, how):
    exchange = Exchange(target, mechanism)
    exchange.first()
    exchange.final(**how)
    return exchange.end()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_bent_finals(target, mechanism):
    with target.unharmed(memory=16 << 20):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:  # each refusal is kept back for a while
            for (what, _), line in zip(FINALS, pool.map(lambda row: bent(target, mechanism, row[1]), FINALS)):
                assert refused(line), (what, line)
        exchange = Exchange(target, mechanism)
        exchange.first()
        exchange.final()
        assert exchange.end().startswith(b"a OK")


FIRSTS = ["", ",", "n", "n,", "n,,", "n,,n=alice", "n,,r=x", "n,,r=x,n=alice", "n,,n=,r=x", "n,,n=alice,r=", "x,,n=alice,r=x", "N,,n=alice,r=x", "n,b=x,n=alice,r=x",
          "n,a=,n=alice,r=x", "n,a==,n=alice,r=x", "n,a==2,n=alice,r=x", "n,a==41lice,n=alice,r=x", "n,,n=al=2ice,r=x", "n,,n=alice=,r=x", "n,,m=x,n=alice,r=abc",
          "n,,n=alice,r=a\0b", "n,,n=alice\0,r=abc", "n,,n=alice,r=a b\x01", "n,,,n=alice,r=abc", " n,,n=alice,r=abc", "n,,n=al\xff", "p,,n=alice,r=abc", "p=,,n=alice,r=abc",
          "p=tls-exporter,,n=alice,r=abc", "p=%n%s,,n=alice,r=abc", "y,,n=alice*carol,r=abc", "n,a=alice", "n,,n=alice,n=bob,r=abc", "n,,n=alice,r=abc,m=x"]


def test_bent_firsts(target):
    """Whatever the first message is, who goes on rightly from it is let in as the name in it, or not at all."""
    with target.unharmed(memory=16 << 20):
        for text in FIRSTS:
            exchange = Exchange(target)
            gs2, _, bare = text.partition("n=")
            line = exchange.first(gs2, "n=" + bare if "n=" in text else "")
            if line.startswith(b"+ "):
                exchange.final()
            line = exchange.end()
            assert refused(line) or (line.startswith(b"a OK") and exchange.user == "alice"), (text, line)


# mechanism, TLS, the flag, channel data, is it right? PLUS is offered over TLS alone.
DOWNGRADES = [
    ("SCRAM-SHA-256", False, "n,,", b"", True), ("SCRAM-SHA-256", False, "y,,", b"", True),  # it was not offered: not a downgrade
    ("SCRAM-SHA-256", True, "n,,", b"", True), ("SCRAM-SHA-256", True, "y,,", b"", False),
    ("SCRAM-SHA-256", True, "p=tls-exporter,,", b"\0" * 32, False), ("SCRAM-SHA-256", False, "p=tls-exporter,,", b"\0" * 32, False),
    ("SCRAM-SHA-256-PLUS", True, "n,,", b"", False), ("SCRAM-SHA-256-PLUS", True, "y,,", b"", False),
    ("SCRAM-SHA-256-PLUS", True, "p=tls-unique,,", b"\0" * 12, False), ("SCRAM-SHA-256-PLUS", True, "p=tls-exporter,,", b"", False),
    ("SCRAM-SHA-256-PLUS", True, "p=tls-exporter,,", b"\0" * 32, False), ("SCRAM-SHA-256-PLUS", True, "p=tls-exporter,,", b"\0" * 4000, False),
    ("SCRAM-SHA-256-PLUS", False, "p=tls-exporter,,", b"\0" * 32, False), ("SCRAM-SHA-256-PLUS", False, "n,,", b"", False),
    ("SCRAM-SHA-1-PLUS", True, "n,,", b"", False), ("SCRAM-SHA-1-PLUS", True, "p=tls-exporter,,", b"\0" * 32, False),
]


@pytest.mark.parametrize("mechanism, tls, gs2, channel, right", DOWNGRADES)
def test_downgrades(target, mechanism, tls, gs2, channel, right):
    exchange = Exchange(target, mechanism, tls)
    if exchange.line.startswith(b"+") and exchange.first(gs2).startswith(b"+ "):
        exchange.final(channel=channel)
    line = exchange.end()
    assert line.startswith(b"a OK") if right else refused(line) or line.startswith(b"a NO"), line


@pytest.mark.parametrize("unbound", [False, True])
def test_tls_that_nothing_can_be_bound_to(target, unbound):
    """RFC 9266 section 4.2: in TLS 1.2 without the extended master secret PLUS is not offered, so that "y" is no downgrade."""
    wire = Wire(target.address("imaps"), timeout=30)
    context = client_tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= NO_EXTENDED_MASTER_SECRET if unbound else 0
    wire.sock = context.wrap_socket(wire.sock, server_hostname="localhost")
    assert (b"-PLUS" in wire.line()) == (not unbound)
    line = scram.login(wire, "a", "alice", posthorn.PASSWORD, gs2="y,,")
    assert line.startswith(b"a OK") if unbound else refused(line), line


def test_a_replay_opens_nothing(target):
    """The messages of an exchange that went well, said again; and the proof of one in another."""
    good = Exchange(target)
    good.first()
    good.final()
    for again in range(3):
        exchange = Exchange(target)
        exchange.first()
        assert exchange.challenge != good.challenge
        if again == 0:
            exchange.said["r"] = good.said["r"]
            exchange.final()
        elif again == 1:
            other = Exchange(target)
            other.first()
            exchange.challenge, exchange.said = other.challenge, other.said
            exchange.final()
            other.wire.close()
        else:
            exchange.final(change=lambda text: text.rsplit(",p=", 1)[0] + ",p=" + scram.b64(hashlib.sha256(b"x").digest()))
        assert refused(exchange.end())
    assert good.end().startswith(b"a OK")


def plain(target, message):
    wire = target.raw(timeout=30)
    wire.send(b"a AUTHENTICATE PLAIN " + base64.b64encode(message) + b"\r\n")
    line = wire.line()
    user = who_it_is(wire) if line.startswith(b"a OK") else None
    wire.close()
    return line, user


S = posthorn.PASSWORD.encode()
# What is said, and who that is; None: nobody. carol is a master.
CLAIMS = [
    (b"\0alice\0" + S, "alice"), (b"alice\0alice\0" + S, "alice"), (b"ALICE\0alice\0" + S, "alice"), (b"bob\0carol\0" + S, "bob"), (b"BOB\0Carol\0" + S, "bob"),
    (b"\0bob*carol\0" + S, "bob"), (b"carol\0carol\0" + S, "carol"),
    (b"bob\0alice\0" + S, None), (b"carol\0alice\0" + S, None), (b"nobody\0carol\0" + S, None), (b"nobody\0alice\0" + S, None), (b"bob \0alice\0" + S, None),
    (b"bob\0bob\0" + S[:-1], None), (b"\0bob*alice\0" + S, None), (b"\0carol*carol*carol\0" + S, None), (b"\0*carol\0" + S, None), (b"\0bob*\0" + S, None),
    (b"alice\0bob*carol\0" + S, None), (b"bob*carol\0carol\0" + S, None), (b"*\0carol\0" + S, None), (b"bob\0alice*carol\0" + S, None),
    (b"alice\0\0" + S, None), (b"\0\0" + S, None), (b"\0alice\0", None), (b"alice\0" + S, None), (b"\0alice\0" + S + b"\0", None), (b"\0alice\0" + S + b"\0x", None),
    (b"\0\0alice\0" + S, None), (b"a\0b\0c\0d", None), (b"\0alice\0" + S + b"\r\n", None), (b"bob\r\n\0alice\0" + S, None), (b"../bob\0carol\0" + S, None),
    (b"%{env:HOME}\0carol\0" + S, None), (b"bob' OR 1=1--\0carol\0" + S, None), (b"bob)(uid=*\0carol\0" + S, None), (b"\xff\xfe\0carol\0" + S, None),
    (b"b\xc3\xb6b\0carol\0" + S, None), (b"b" * 3000 + b"\0carol\0" + S, None), ("\u0430lice\0alice\0".encode() + S, None),
]


def test_whom_somebody_acts_for(target):
    with target.unharmed(memory=16 << 20):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            for (message, who), (line, user) in zip(CLAIMS, pool.map(lambda row: plain(target, row[0]), CLAIMS)):
                assert user == who and (user or refused(line)), (message[:60], line, user)


@pytest.mark.parametrize("gs2, user, who", [("n,a=alice,", "alice", "alice"), ("n,a=bob,", "carol", "bob"), ("n,a=bob,", "alice", None), ("n,a=carol,", "alice", None),
                                            ("n,a=nobody,", "carol", None), ("n,a=bob=2Cx,", "carol", None), ("n,a=bob*carol,", "carol", None)])
def test_whom_scram_acts_for(target, gs2, user, who):
    exchange = Exchange(target)
    exchange.first(gs2, f"n={user},r=abcdefghijk")
    if exchange.line.startswith(b"+ "):
        exchange.final()
    line = exchange.end()
    assert refused(line) if who is None else line.startswith(b"a OK") and exchange.user == who, line
