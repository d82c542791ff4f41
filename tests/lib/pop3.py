"""POP3 (RFC 1939) as a client that sees every octet, and a server that offers it."""
import socket
import ssl

from lib.server import PASSWORD, SERVICES, Server


def with_pop3(settings=None, **more):
    """A server whose POP3 ports are server.pop3 and server.pop3s."""
    server = Server(settings=settings, services=(*SERVICES, "pop3", "pop3s"), **more)
    server.pop3, server.pop3s = server.ports["pop3"], server.ports["pop3s"]
    return server


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Pop3:
    """One connection; `login` answers PASS."""

    def __init__(self, port, user=None, password=PASSWORD, tls=False, timeout=60):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            self.sock = unverified().wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")
        self.greeting = self.line()
        if user is not None:
            self.ok(f"USER {user}")
            self.ok(f"PASS {password}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def start_tls(self):
        self.ok("STLS")
        self.sock = unverified().wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")

    def send(self, octets):
        self.sock.sendall(octets if isinstance(octets, bytes) else octets.encode() + b"\r\n")

    def line(self):
        got = self.file.readline()
        if not got:
            raise EOFError
        assert got.endswith(b"\r\n") and b"\n" not in got[:-1], got
        return got[:-2]

    def lines(self):
        """The lines of a multi-line answer, with their dots taken off."""
        found = []
        while (got := self.line()) != b".":
            found.append(got[1:] if got.startswith(b".") else got)
        return found

    def ask(self, command):
        """The first line of the answer."""
        self.send(command)
        return self.line()

    def ok(self, command):
        got = self.ask(command)
        assert got.startswith(b"+OK"), (command, got)
        return got

    def err(self, command, code=None):
        got = self.ask(command)
        assert got.startswith(b"-ERR"), (command, got)
        assert code is None or got.startswith(b"-ERR [%s]" % code.encode()), (command, got)
        return got

    def all(self, command):
        """The lines of a command that has many."""
        self.ok(command)
        return self.lines()

    def message(self, command):
        return b"".join(line + b"\r\n" for line in self.all(command))

    def eof(self):
        return self.file.read() == b""

    def quit(self):
        answer = self.ok("QUIT")
        assert self.eof()
        self.close()
        return answer
