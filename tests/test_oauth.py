"""OAUTHBEARER (RFC 7628) and XOAUTH2 against an identity provider on loopback: its key set, its introspection, hostile tokens."""
import base64
import hashlib
import hmac
import json
import os
import signal
import time

import pytest

from lib import server as posthorn
from lib.asker import Asker, b64
from lib.provider import ISSUER, Key, Provider, b64u, bearer, exchange, xoauth2
from lib.wire import Wire


@pytest.fixture(name="provider", scope="module")
def one_provider(tmp_path_factory):
    provider = Provider(tmp_path_factory.mktemp("provider"))
    yield provider
    provider.http.shutdown()


@pytest.fixture(name="server", scope="module")
def one_server(provider):
    own = posthorn.Server(provider.settings())
    yield own
    own.stop()


def greeting(server):
    wire = Wire(server.address("imap"))
    line = wire.line()
    wire.close()
    return line


def test_tokens_log_in(server, provider):
    deadline = time.monotonic() + 30
    while b" AUTH=OAUTHBEARER AUTH=XOAUTH2 AUTH=PLAIN" not in greeting(server):
        assert time.monotonic() < deadline  # the gate hears of them from auth
    token = provider.token("alice")
    for initial in (True, False):
        assert bearer(server, token, initial=initial) == (None, bearer(server, token)[1])
        assert bearer(server, token, "alice", initial=initial)[1].startswith("a OK")
        assert xoauth2(server, token, "ALICE", initial=initial)[1].startswith("a OK")
    assert bearer(server, provider.token("alice", aud=["x", "other"]))[1].startswith("a OK")
    assert provider.asked.count("/keys") == 1  # for all of them


def test_what_a_refusal_tells(server, provider):
    error, line = bearer(server, provider.token("nobody-here"))
    assert error == {"status": "invalid_token", "scope": "openid email", "openid-configuration": f"{ISSUER}/.well-known/openid-configuration"}
    assert line.startswith("a NO [AUTHENTICATIONFAILED]")
    error, line = xoauth2(server, provider.token("nobody-here"), "alice")
    assert error == {"status": "401", "schemes": "bearer", "scope": "openid email"} and line.startswith("a NO [AUTHENTICATIONFAILED]")


def test_who_leaves_is_counted(server, provider):
    """The error is a refusal: logged and kept back before the client has acknowledged it, and not once more then."""
    def refusals():
        return server.stderr().count("user=<leaves@example.org>")

    message = f"user=leaves@example.org\x01auth=Bearer {provider.token('leaves@example.org', iss='x')}\x01\x01".encode()
    began, wire = time.monotonic(), Wire(server.address("imap"), timeout=30)
    wire.line()
    wire.send(b"a AUTHENTICATE XOAUTH2 " + base64.b64encode(message) + b"\r\n")
    assert wire.line().startswith(b"+ ") and time.monotonic() - began >= 0.045  # a step of auth_pace.c
    assert refusals() == 1
    wire.send(b"\r\n")
    assert wire.line().startswith(b"a NO [AUTHENTICATIONFAILED]") and refusals() == 1
    wire.close()


def hostile(provider):
    now = int(time.time())
    own = provider.keys[0]
    payload = b64u(json.dumps({"iss": ISSUER, "aud": "posthorn", "email": "alice", "exp": now + 300}).encode())

    def shaped(head, signature=b""):
        return f"{b64u(json.dumps(head).encode())}.{payload}.{b64u(signature)}"

    confused = {"alg": "HS256", "kid": "one"}
    text = shaped(confused).rsplit(".", 1)[0].encode()
    yield "alg none", shaped({"alg": "none", "kid": "one"})
    yield "alg nOnE", shaped({"alg": "nOnE", "kid": "one"})
    yield "HS256 by the public key", f"{text.decode()}.{b64u(hmac.digest(own.public, text, hashlib.sha256))}"
    yield "kid of a path", provider.token("alice", head={"kid": "../../one"})
    yield "kid of SQL", provider.token("alice", head={"kid": "one' OR '1'='1"})
    yield "no kid", provider.token("alice", head={"kid": None})
    yield "a key inside", provider.token("alice", key=provider.stranger, head={"kid": "one", "jwk": provider.stranger.jwk()})
    yield "a URL inside", provider.token("alice", head={"jku": f"{provider.url}/evil", "kid": "evil"})
    yield "a stranger's key", provider.token("alice", key=provider.stranger, head={"kid": "one"})
    yield "crit", provider.token("alice", head={"crit": ["x"]})
    yield "expired by a second", provider.token("alice", exp=now - 1)
    yield "no exp", provider.token("alice", exp=None)
    yield "exp as text", provider.token("alice", exp=str(now + 300))
    yield "not yet", provider.token("alice", nbf=now + 3600)
    yield "foreign iss", provider.token("alice", iss="https://evil.example")
    yield "iss with a slash", provider.token("alice", iss=ISSUER + "/")
    yield "foreign aud", provider.token("alice", aud="evil")
    yield "aud as a prefix", provider.token("alice", aud="post")
    yield "no aud", provider.token("alice", aud=None)
    yield "address not verified", provider.token("alice", email_verified=False)
    yield "no user", provider.token(None)
    yield "a list of users", provider.token(["alice"])
    yield "NUL in the user", provider.token("alice\0")
    yield "cut", provider.token("alice")[:-20]
    yield "another payload", ".".join((lambda p: (p[0], payload, p[2]))(provider.token("bob").split(".")))


def test_hostile_tokens(server, provider, tmp_path):
    provider.stranger = Key(tmp_path, "evil")
    before = provider.asked.count("/evil")
    for what, token in hostile(provider):
        error, line = bearer(server, token)
        assert error and error["status"] == "invalid_token" and line.startswith("a NO [AUTHENTICATIONFAILED]"), (what, error, line)
    assert provider.asked.count("/evil") == before == 0
    assert bearer(server, provider.token("alice"))[1].startswith("a OK")


def test_whose_token(server, provider):
    """A token is one user's, whatever the client says."""
    alice, bob = provider.token("alice"), provider.token("bob")
    for _ in range(2):
        assert bearer(server, alice, "bob")[1].startswith("a NO [AUTHENTICATIONFAILED]")
        assert xoauth2(server, bob, "alice")[1].startswith("a NO [AUTHENTICATIONFAILED]")
        assert xoauth2(server, bob, "bob")[1].startswith("a OK")
        assert xoauth2(server, alice, "alice")[1].startswith("a OK")


def test_mail_transfer_agents(server, provider):
    """Tokens let send mail, too: by Dovecot's authentication protocol."""
    path = str(server.dir / "auth.sock")
    server.reload(auth_service=[f"unix:{path}"])
    asker = Asker(path)
    assert asker.mechanisms()["OAUTHBEARER"] == asker.mechanisms()["XOAUTH2"] == ["plaintext"]
    for mechanism, form in (("OAUTHBEARER", "n,a={0},\1auth=Bearer {1}\1\1"), ("XOAUTH2", "user={0}\1auth=Bearer {1}\1\1")):
        assert asker.auth(mechanism, response=b64(form.format("alice", provider.token("alice")))).user == "alice"
        for token in (provider.token("bob"), provider.token("alice", aud="evil")):
            told = asker.auth(mechanism, response=b64(form.format("alice", token)))
            assert json.loads(told.data)["status"] in ("invalid_token", "401"), told.data
            last = asker.cont(told.id, b"\1")
            assert (last.kind, last.user) == ("FAIL", "alice")
    asker.close()
    server.reload(auth_service=[])


FORMS = [b"", b"\x01", b"n,,\x01\x01", b"n,,\x01auth=Bearer \x01\x01", b"n,,\x01auth=Basic x\x01\x01", b"n,,\x01auth=Bearer x\x01", b"n,,\x01auth=Bearer x",
         b"p=tls-exporter,,\x01auth=Bearer x\x01\x01", b"n,b=x,\x01auth=Bearer x\x01\x01", b"n,a=x=,\x01auth=Bearer x\x01\x01",
         b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", b"n,,x\x01auth=Bearer x\x01\x01", b"n,,\x01=x\x01auth=Bearer x\x01\x01",
         b"n,,\x01auth=Bearer x\0\x01\x01", b"n,,\x01auth=Bearer x\x01\x01more"]


def test_odd_messages(server):
    for message in FORMS:
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            assert exchange(server, mechanism, message)[1][:4] in ("a NO", "a BA"), message
    assert xoauth2(server, "x" * 6000, "alice")[1].startswith("a NO")


def test_introspection(server, provider):
    provider.tokens = {"opaque-a": {"active": True, "aud": "posthorn", "email": "alice", "exp": int(time.time()) + 300},
                       "opaque-b": {"active": True, "client_id": "posthorn", "email": "bob"},
                       "opaque-c": {"active": True, "client_id": "evil", "email": "bob"}, "opaque+/=": {"active": True, "aud": "other", "email": "carol"}}
    asked = provider.asked.count("/introspect")
    for _ in range(3):
        assert xoauth2(server, "opaque-a", "alice")[1].startswith("a OK")
    assert provider.asked.count("/introspect") == asked + 1  # remembered
    assert bearer(server, "opaque-b")[1].startswith("a OK")
    assert bearer(server, "opaque+/=", "carol")[1].startswith("a OK")
    for _ in range(2):
        assert xoauth2(server, "opaque-a", "bob")[0]["status"] == "401"
        assert xoauth2(server, "opaque-b", "alice")[0]["status"] == "401"
    for token in ("opaque-c", "opaque-d", "opaque-aa"):
        assert bearer(server, token)[0]["status"] == "invalid_token"
    provider.broken = True
    try:
        error, line = bearer(server, "opaque-e")  # it may be a good one: no word of a wrong token
        assert error is None and line.startswith("a NO [UNAVAILABLE]")
        assert xoauth2(server, "opaque-a", "alice")[1].startswith("a OK")
    finally:
        provider.broken = False


def test_a_new_key(server, provider, tmp_path):
    """A key that the set does not have makes it asked for again, not more than once in five seconds."""
    deadline = time.monotonic() + 30
    provider.keys.append(Key(tmp_path, "two"))
    token = provider.token("alice", key=provider.keys[1])
    while not bearer(server, token)[1].startswith("a OK"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    asked = provider.asked.count("/keys")
    for _ in range(5):
        bearer(server, provider.token("alice", head={"kid": "none"}))
    assert provider.asked.count("/keys") <= asked + 1


def test_the_helper_is_killed(server, provider):
    """Whoever waits is told to come again; the next helper is asked as before. Auth itself cannot connect."""
    os.kill(server.pids("oauth")[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    provider.tokens["again"] = {"active": True, "aud": "posthorn", "email": "bob"}
    while not (line := bearer(server, "again")[1]).startswith("a OK"):
        assert line.startswith("a NO [UNAVAILABLE]") and time.monotonic() < deadline
        time.sleep(0.1)
