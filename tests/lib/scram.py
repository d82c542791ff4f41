"""SCRAM-SHA-256 (RFC 5802, RFC 7677) from the client's side."""
import base64
import hashlib
import hmac
import secrets


def b64(data):
    return base64.b64encode(data).decode()


def salted_password(password, salt, rounds):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


def keys(salted):
    """(the client's key, the stored key, the server's key)"""
    client = hmac.digest(salted, b"Client Key", "sha256")
    return client, hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def login(wire, tag, user, password, gs2="n,,", channel=b"", initial=True):
    """The last line of an exchange with a right proof; the server's own proof is checked. `initial`: in AUTHENTICATE's line (SASL-IR)."""
    mechanism = "SCRAM-SHA-256-PLUS" if gs2.startswith("p=") else "SCRAM-SHA-256"
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
    client, stored, server = keys(salted_password(password, base64.b64decode(said["s"]), int(said["i"])))
    final = f"c={b64(gs2.encode() + channel)},r={said['r']}"
    message = f"{bare},{challenge},{final}".encode()
    proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, message, "sha256")))
    wire.send(b64(f"{final},p={b64(proof)}".encode()).encode() + b"\r\n")
    line = wire.line()
    if not line.startswith(b"+ "):
        return line
    assert base64.b64decode(line[2:]) == b"v=" + b64(hmac.digest(server, message, "sha256")).encode()
    wire.send(b"\r\n")
    return wire.line()
