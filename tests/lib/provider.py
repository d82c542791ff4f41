"""An identity provider on loopback (OpenID Connect): a key set, introspection, tokens of any shape."""
import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

from .wire import Wire

ISSUER = "https://id.example"
CLIENT, SECRET = "posthorn:mail", "s3cret of 100%+ü"
BASIC = b"posthorn%3Amail:s3cret%20of%20100%25%2B%C3%BC"  # RFC 6749 section 2.3.1


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """An RSA key pair, by openssl."""

    def __init__(self, folder, kid):
        self.kid, self.path = kid, folder / f"{kid}.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.path, "2048"], check=True, capture_output=True)
        text = subprocess.run(["openssl", "rsa", "-in", self.path, "-noout", "-modulus"], check=True, capture_output=True).stdout.decode()
        self.modulus = bytes.fromhex(text.strip().split("=")[1])
        self.public = subprocess.run(["openssl", "rsa", "-in", self.path, "-pubout"], check=True, capture_output=True).stdout

    def jwk(self):
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": b64u(self.modulus), "e": "AQAB"}

    def sign(self, data):
        return subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.path], input=data, check=True, capture_output=True).stdout


class Provider:
    """Keys at /keys, introspection at /introspect; what it was asked."""

    def __init__(self, folder):
        self.keys, self.tokens, self.asked, self.broken = [Key(folder, "one")], {}, [], False
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, body):
                provider.asked.append(self.path)
                self.send_response(500 if provider.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer(json.dumps({"keys": [key.jwk() for key in provider.keys]}).encode())

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                known = self.headers["Authorization"] == "Basic " + base64.b64encode(BASIC).decode()
                found = provider.tokens.get(form["token"][0], {"active": False}) if known else {}
                self.answer(json.dumps(found).encode())

            def log_message(self, *words):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def settings(self):
        """What a server needs to ask it."""
        return {"oauth_issuer": ISSUER, "oauth_audience": ["posthorn", "other"], "oauth_jwks_url": f"{self.url}/keys",
                "oauth_introspection_url": f"{self.url}/introspect", "oauth_client": CLIENT, "oauth_secret": SECRET,
                "oauth_scope": "openid email"}

    def token(self, user, key=None, head=None, **claims):
        """A JWT; a claim that is None is left out."""
        key = key or self.keys[0]
        header = {"alg": "RS256", "kid": key.kid, "typ": "JWT", **(head or {})}
        payload = {"iss": ISSUER, "aud": "posthorn", "email": user, "exp": int(time.time()) + 300, **claims}
        parts = [json.dumps({k: v for k, v in part.items() if v is not None}).encode() for part in (header, payload)]
        return self.signed(*parts, key)

    @staticmethod
    def signed(header, payload, key):
        """Of any octets, by RS256."""
        text = f"{b64u(header)}.{b64u(payload)}"
        return f"{text}.{b64u(key.sign(text.encode()))}"


def exchange(server, mechanism, message, initial=True):
    """(the error that the server told, or None; the tagged line)"""
    wire = Wire(server.address("imap"), timeout=30)
    wire.line()
    wire.send(f"a AUTHENTICATE {mechanism}".encode() + (b" " + base64.b64encode(message) if initial else b"") + b"\r\n")
    line = wire.line()
    if not initial:
        assert line.strip() == b"+"
        wire.send(base64.b64encode(message) + b"\r\n")
        line = wire.line()
    error = None
    if line.startswith(b"+ "):
        error = json.loads(base64.b64decode(line[2:]))
        wire.send(b"AQ==\r\n" if mechanism == "OAUTHBEARER" else b"\r\n")
        line = wire.line()
    wire.close()
    return error, line.decode()


def bearer(server, token, user="", **how):
    name = f"a={user}" if user else ""
    return exchange(server, "OAUTHBEARER", f"n,{name},\x01host=localhost\x01port=143\x01auth=Bearer {token}\x01\x01".encode(), **how)


def xoauth2(server, token, user, **how):
    return exchange(server, "XOAUTH2", f"user={user}\x01auth=Bearer {token}\x01\x01".encode(), **how)
