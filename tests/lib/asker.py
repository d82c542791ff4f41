"""A client of Dovecot's authentication protocol, as a mail transfer agent is one."""
import base64
import hmac
import secrets
import socket
import time

from . import scram
from .wire import Closed, Timeout


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def plain(user, password, authzid=""):
    return b64(f"{authzid}\0{user}\0{password}")


class Line:
    """OK, FAIL or CONT: the number and what came with it."""

    def __init__(self, text):
        self.text = text
        self.kind, number, *words = text.split("\t")
        self.id = int(number)
        self.data = base64.b64decode(words[0]) if self.kind == "CONT" else b""
        self.words = {} if self.kind == "CONT" else {w.split("=", 1)[0]: w.partition("=")[2] for w in words}

    @property
    def user(self):
        return self.words.get("user")

    @property
    def is_temporary(self):
        return "temp" in self.words and self.words.get("code") == "temp_fail"

    def __repr__(self):
        return self.text


class Asker:
    def __init__(self, address, greet=True, timeout=30):
        self.timeout = timeout
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.buffer, self.last = b"", 0
        if greet:
            self.send("VERSION\t1\t1\nCPID\t4711\n")
            self.hello = self.read_hello()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        deadline = time.monotonic() + self.timeout
        while b"\n" not in self.buffer:
            if time.monotonic() > deadline:
                raise Timeout()
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError as why:
                raise Closed(str(why)) from why
            if not data:
                raise Closed("end of input")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def read_hello(self):
        lines = []
        while not lines or lines[-1] != "DONE":
            lines.append(self.line())
        return lines

    def mechanisms(self):
        return {line.split("\t")[1]: line.split("\t")[2:] for line in self.hello if line.startswith("MECH\t")}

    def ask(self, mechanism, *more, response=None, service="smtp", rip="127.0.0.1"):
        """Sends AUTH; its number."""
        self.last += 1
        words = ["AUTH", str(self.last), mechanism, f"service={service}", "nologin", "lip=127.0.0.1", *([f"rip={rip}"] if rip else []), *more]
        if response is not None:
            words.append(f"resp={response}")
        self.send("\t".join(words) + "\n")
        return self.last

    def answer(self):
        return Line(self.line())

    def auth(self, mechanism, *more, **rest):
        """AUTH and what is said to it."""
        number, answer = self.ask(mechanism, *more, **rest), self.answer()
        assert answer.id == number, answer
        return answer

    def login(self, user, password, *more, authzid="", **rest):
        return self.auth("PLAIN", *more, response=plain(user, password, authzid), **rest)

    def cont(self, number, data=b""):
        self.send(f"CONT\t{number}\t{b64(data)}\n")
        return self.answer()

    def scram(self, user, password, *more, kind="sha256", gs2="n,,"):
        """A right exchange; (its last line, the server's proof was told with it). The proof is checked."""
        bare = f"n={user},r={secrets.token_urlsafe(18)}"
        first = self.auth({"sha256": "SCRAM-SHA-256", "sha1": "SCRAM-SHA-1"}[kind], *more, response=b64(gs2 + bare))
        if first.kind != "CONT":
            return first, False
        said = dict(part.split("=", 1) for part in first.data.decode().split(","))
        client, stored, server = scram.keys(scram.salted_password(password, base64.b64decode(said["s"]), int(said["i"]), kind), kind)
        final = f"c={b64(gs2)},r={said['r']}"
        message = f"{bare},{first.data.decode()},{final}".encode()
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, message, kind)))
        last = self.cont(first.id, f"{final},p={b64(proof)}".encode())
        if last.kind == "FAIL":
            return last, False
        want = b"v=" + b64(hmac.digest(server, message, kind)).encode()
        if last.kind == "OK":
            assert base64.b64decode(last.words["resp"]) == want
            return last, True
        assert last.data == want
        return self.cont(first.id), False

    def is_closed(self):
        """It ends, whatever was said before."""
        try:
            while True:
                self.line()
        except Closed:
            return True
        except (Timeout, socket.timeout):
            return False

    def close(self):
        self.sock.close()
