"""SCRAM (RFC 5802, RFC 7677) from the client's side."""
import base64
import hashlib
import hmac
import secrets


def b64(data):
    return base64.b64encode(data).decode()


def salted_password(password, salt, rounds, kind="sha256"):
    return hashlib.pbkdf2_hmac(kind, password.encode(), salt, rounds)


def keys(salted, kind="sha256"):
    """(the client's key, the stored key, the server's key)"""
    client = hmac.digest(salted, b"Client Key", kind)
    return client, hashlib.new(kind, client).digest(), hmac.digest(salted, b"Server Key", kind)


def login(wire, tag, user, password, gs2="n,,", channel=b"", initial=True, kind="sha256", seen=None):
    """The last line of an exchange with a right proof; the server's own proof is checked. `initial`: in AUTHENTICATE's line (SASL-IR).
    `seen` gets the server's salt and rounds."""
    mechanism = {"sha256": "SCRAM-SHA-256", "sha1": "SCRAM-SHA-1"}[kind] + ("-PLUS" if gs2.startswith("p=") else "")
    bare = f"n={user},r={secrets.token_urlsafe(18)}"
    first = b64((gs2 + bare).encode())
    wire.send(f"{tag} AUTHENTICATE {mechanism}{' ' + first if initial else ''}\r\n".encode())
    if not initial:
        line = wire.line()
        if not line.startswith(b"+"):
            return line
        wire.send(first.encode() + b"\r\n")
    line = wire.line()
    if not line.startswith(b"+ "):
        return line
    challenge = base64.b64decode(line[2:]).decode()
    said = dict(part.split("=", 1) for part in challenge.split(","))
    if seen is not None:
        seen.append((said["s"], said["i"]))
    client, stored, server = keys(salted_password(password, base64.b64decode(said["s"]), int(said["i"]), kind), kind)
    final = f"c={b64(gs2.encode() + channel)},r={said['r']}"
    message = f"{bare},{challenge},{final}".encode()
    proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, message, kind)))
    wire.send(b64(f"{final},p={b64(proof)}".encode()).encode() + b"\r\n")
    line = wire.line()
    if not line.startswith(b"+ "):
        return line
    assert base64.b64decode(line[2:]) == b"v=" + b64(hmac.digest(server, message, kind)).encode()
    wire.send(b"\r\n")
    return wire.line()
