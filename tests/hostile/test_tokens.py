"""Tokens that nobody should believe (RFC 8725): beside those of test_oauth.py, what is odd in its form, doubled, nested, huge, of
another algorithm, or of a key that is no more."""
import base64
import concurrent.futures
import json
import time

import pytest

from lib.long import LONG
from lib.provider import ISSUER, Key, Provider, b64u, bearer, xoauth2
from lib.wire import Wire

from .conftest import Target


@pytest.fixture(name="provider", scope="module")
def one_provider(tmp_path_factory):
    provider = Provider(tmp_path_factory.mktemp("provider"))
    provider.stranger = Key(tmp_path_factory.mktemp("stranger"), "evil")
    yield provider
    provider.http.shutdown()


@pytest.fixture(name="server", scope="module")
def one_server(provider):
    own = Target(provider.settings())
    deadline = time.monotonic() + 30
    while b"AUTH=OAUTHBEARER" not in own_greeting(own):
        assert time.monotonic() < deadline
    yield own
    own.stop()


def own_greeting(server):
    wire = Wire(server.address("imap"))
    line = wire.line()
    wire.close()
    return line


def claims(**more):
    return {"iss": ISSUER, "aud": "posthorn", "email": "alice", "exp": int(time.time()) + 300, **more}


def dump(value):
    return json.dumps(value).encode()


def tokens(provider):
    """(what it is, the token): signed by the provider's own key where nothing else is said."""
    own, evil, now = provider.keys[0], provider.stranger, int(time.time())
    head, good = dump({"alg": "RS256", "kid": "one"}), dump(claims())

    def of(header=head, payload=good, key=own):
        return provider.signed(header, payload, key)

    def headed(**fields):
        return of(dump({"alg": "RS256", "kid": "one", **fields}))

    def claimed(**fields):
        return of(payload=dump({k: v for k, v in claims(**fields).items() if v is not ...}))

    parts = of().split(".")
    inner = of()
    # algorithms
    yield "alg that the key is not for", headed(alg="RS512")
    yield "alg of another signature", headed(alg="PS256")
    yield "alg of another kind of key", headed(alg="ES256")
    yield "alg HS384", headed(alg="HS384")
    yield "alg in lower case", headed(alg="rs256")
    yield "alg empty", headed(alg="")
    yield "alg a list", headed(alg=["RS256"])
    yield "alg a number", headed(alg=256)
    yield "alg null", headed(alg=None)
    yield "no alg", of(dump({"kid": "one"}))
    yield "alg none without a signature", f"{b64u(dump({'alg': 'none', 'kid': 'one'}))}.{parts[1]}."
    yield "alg first none", of(b'{"alg":"none","alg":"none","kid":"one"}')
    yield "dir", headed(alg="dir", enc="A128GCM")
    # keys
    for kid in ("/dev/null", "file:///etc/passwd", "one\0", "on", "ONE", "one ", "*", "%n%s", "x" * 3000, "../../../../data/users", "one|id", "$(id)"):
        yield f"kid {kid[:30]!r}", of(dump({"alg": "RS256", "kid": kid}), key=evil)
    yield "kid a number", headed(kid=1)
    yield "kid a list", headed(kid=["one"])
    yield "a certificate inside", of(dump({"alg": "RS256", "kid": "one", "x5c": [base64.b64encode(evil.public).decode()]}), key=evil)
    yield "a certificate's URL", of(dump({"alg": "RS256", "kid": "evil", "x5u": f"{provider.url}/evil"}), key=evil)
    yield "a set's URL", of(dump({"alg": "RS256", "kid": "evil", "jku": f"{provider.url}/evil"}), key=evil)
    yield "a thumbprint", of(dump({"alg": "RS256", "kid": "one", "x5t#S256": "x"}), key=evil)
    yield "crit empty", headed(crit=[])
    yield "b64 off", headed(b64=False, crit=["b64"])
    yield "compressed", headed(zip="DEF", crit=["zip"])
    # forms
    yield "another's signature", ".".join((*parts[:2], provider.token("bob").split(".")[2]))
    yield "no signature", f"{parts[0]}.{parts[1]}."
    yield "a short signature", f"{parts[0]}.{parts[1]}.{parts[2][:20]}"
    yield "a signature of zeros", f"{parts[0]}.{parts[1]}.{b64u(bytes(256))}"
    yield "a longer signature", f"{parts[0]}.{parts[1]}.{b64u(own.sign('.'.join(parts[:2]).encode()) + b'x')}"
    yield "five parts", ".".join((*parts, "x", "y"))
    yield "four parts", ".".join((*parts, "x"))
    yield "two parts", ".".join(parts[:2])
    yield "empty parts", "ey.."
    for i in range(3):  # the library ends the process at one
        yield f"an equals sign in part {i + 1}", ".".join(p[:5] + "=" + p[6:] if k == i else p for k, p in enumerate(parts))
    yield "padded", ".".join(p + "=" * (-len(p) % 4) for p in parts)
    yield "JSON serialization", json.dumps({"payload": parts[1], "protected": parts[0], "signature": parts[2]})
    yield "one in another", of(dump({"alg": "RS256", "kid": "one", "cty": "JWT"}), inner.encode())
    yield "payload a text", of(payload=b'"alice"')
    yield "payload a list", of(payload=dump([claims()]))
    yield "payload empty", of(payload=b"")
    yield "payload no UTF-8", of(payload=good.replace(b"alice", b"al\xffice"))
    yield "payload cut", of(payload=good[:-1])
    yield "payload and more", of(payload=good + b'{"email":"alice"}')
    yield "a user twice", of(payload=good[:-1] + b',"email":"alice"}')
    yield "exp twice", of(payload=b'{"exp":1,' + good[1:])
    yield "an escaped name twice", of(payload=good[:-1] + b',"em\\u0061il":"alice"}')
    yield "deep", of(payload=good[:-1] + b',"x":' + b"[" * 3000)
    yield "deep head", of(b'{"alg":"RS256","kid":"one","x":' + b"[" * 3000)
    # claims
    for what, value in (("zero", 0), ("negative", -1), ("null", None), ("true", True), ("a list", [now + 300]), ("a text", str(now + 300)), ("now", now)):
        yield f"exp {what}", claimed(exp=value)
    yield "exp not a number", of(payload=good.replace(str(json.loads(good)["exp"]).encode(), b"1e999"))
    yield "exp NaN", of(payload=good.replace(str(json.loads(good)["exp"]).encode(), b"NaN"))
    yield "nbf a text", claimed(nbf="1")
    yield "nbf in an hour", claimed(nbf=now + 3600)
    yield "iat in an hour", claimed(iat=now + 3600)
    for what, value in (("empty", []), ("of others", ["x", "y"]), ("in another", [["posthorn"]]), ("an object", {"posthorn": 1}), ("null", None), ("empty text", ""),
                        ("two in one", "posthorn other"), ("a number", 1), ("upper case", "POSTHORN"), ("longer", "posthorn2")):
        yield f"aud {what}", claimed(aud=value)
    for what, value in (("a list", [ISSUER]), ("null", None), ("upper case", ISSUER.upper()), ("longer", ISSUER + ".evil.example"), ("http", ISSUER.replace("https", "http")),
                        ("with a NUL", ISSUER + "\0")):
        yield f"iss {what}", claimed(iss=value)
    for what, value in (("empty", ""), ("null", None), ("a number", 7), ("an object", {"x": "alice"}), ("with a NUL", "alice\0x"), ("long", "a" * 2000), ("with CRLF", "alice\r\nx"),
                        ("SQL", "x' OR 1=1--"), ("a path", "../alice"), ("unverified", ...)):
        yield f"user {what}", claimed(**({"email_verified": "true"} if value is ... else {"email": value}))


def is_refused(server, token):
    """By both mechanisms, whatever name the client gives; a token that cannot be one, by BAD."""
    answers = [bearer(server, token)[1], xoauth2(server, token, "alice")[1]]
    return all(line.startswith(("a NO [AUTHENTICATIONFAILED]", "a BAD", "a NO [TOOBIG]")) for line in answers), answers


def test_odd_tokens(server, provider):
    rows = list(tokens(provider))
    assert len(rows) > 80 and len({name for name, _ in rows}) == len(rows)
    assert bearer(server, provider.token("alice"))[1].startswith("a OK")
    with server.unharmed(memory=24 << 20):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:  # each refusal is kept back for a while
            for (what, _), (good, answers) in zip(rows, pool.map(lambda row: is_refused(server, row[1]), rows)):
                assert good, (what, answers)
    assert not [path for path in provider.asked if "evil" in path]
    assert bearer(server, provider.token("alice"))[1].startswith("a OK")


def test_huge_tokens(server, provider):
    with server.unharmed(memory=24 << 20):
        for size in (4000, 6000, 12000, 60000, 1 << 20):
            wire = Wire(server.address("imap"), timeout=30)
            wire.line()
            message = f"user=alice\x01auth=Bearer {provider.token('alice', x='y' * size)}\x01\x01".encode()
            try:
                wire.send(b"a AUTHENTICATE XOAUTH2\r\n" + base64.b64encode(message) + b"\r\n")
                lines = [wire.line(), wire.line()]
            except Exception as error:  # noqa: BLE001 - the server closed
                lines = [repr(error).encode()]
            wire.close()
            # what fits into one response is a good token still
            assert (b"a OK" in lines[-1]) == (len(message) <= 8192), (size, lines)


def test_a_key_that_was_taken_out(server, provider, tmp_path):
    """Rotated: the set without the old key is fetched as soon as a token names one that is unknown; then the old one opens nothing."""
    old, new = provider.keys[0], Key(tmp_path, "next")
    spared = provider.token("alice", key=old)
    provider.keys = [new]
    try:
        deadline = time.monotonic() + 30
        while not bearer(server, provider.token("bob", key=new))[1].startswith("a OK"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert is_refused(server, spared)[0]
        assert is_refused(server, provider.token("alice", key=old, head={"kid": "next"}))[0]
    finally:
        provider.keys = [old]
    deadline = time.monotonic() + 30
    while not bearer(server, provider.token("alice"))[1].startswith("a OK"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_mixed_at_once(server, provider):
    """Good and bad ones beside one another: each gets its own answer (Dovecot CVE-2025-30189: one answer for all)."""
    users = ("alice", "bob", "carol")
    good = {user: provider.token(user) for user in users}
    rounds = 200 if LONG else 15
    wires = []
    for i in range(rounds):
        user, other = users[i % 3], users[(i + 1) % 3]
        for token, name, right in ((good[user], user, True), (good[user], other, False), (good[user][:-8] + "AAAAAAAA", user, False)):
            wire = Wire(server.address("imap"), timeout=60)
            wire.line()
            wire.send(b"a AUTHENTICATE XOAUTH2 " + base64.b64encode(f"user={name}\x01auth=Bearer {token}\x01\x01".encode()) + b"\r\n")
            wires.append((wire, name, right))
    for wire, name, right in wires:
        line = wire.line()
        if right:
            assert line.startswith(b"a OK"), (name, line)
            wire.send(b'b GETQUOTAROOT INBOX\r\n')
            assert f"user/{name}".encode() in wire.line()
        else:
            assert line.startswith(b"+ "), (name, line)
        wire.close()
