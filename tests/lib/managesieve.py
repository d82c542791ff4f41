"""A ManageSieve client (RFC 5804) that reads by the grammar: what does not parse is an error."""
import base64
import re
import socket
import ssl

from .wire import client_tls

WORD = re.compile(rb'(OK|NO|BYE)(?: \(([A-Z/-]+)(?: |\)))?|"((?:[^"\\\r\n\0]|\\["\\])*)"|\{(\d+)\}\r\n|( )|(ACTIVE)')


class Closed(Exception):
    pass


class Sieve:
    def __init__(self, address, source="127.0.0.1", timeout=60, greet=True):
        self.socket = socket.create_connection(address, timeout=timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        self.greeting = self.answer() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def more(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            raise Closed(self.unread)
        self.unread += data

    def take(self, n):
        while len(self.unread) < n:
            self.more()
        data, self.unread = self.unread[:n], self.unread[n:]
        return data

    def raw_line(self):
        while b"\r\n" not in self.unread:
            self.more()
        return self.take(self.unread.index(b"\r\n") + 2)

    def line(self):
        """The words of a line: strings as bytes, ("OK", code) for a status, "ACTIVE", "(" and ")"."""
        words, text = [], self.raw_line()
        while text != b"\r\n":
            found = WORD.match(text)
            if text[:1] == b")":
                words.append(")")
                text = text[1:]
                continue
            assert found, text
            status, code, quoted, literal, _, active = found.groups()
            text = text[found.end():]
            if status:
                words.append((status.decode(), code.decode() if code else ""))
                if code and not found[0].endswith(b")"):
                    words.append("(")
            elif quoted is not None:
                words.append(re.sub(rb'\\(["\\])', rb"\1", quoted))
                assert len(quoted) <= 1024
            elif literal is not None:
                words.append(self.take(int(literal)))
                text = self.raw_line()
            elif active:
                words.append("ACTIVE")
        return words

    def answer(self):
        """(status, code, text, data lines); the argument of a code is the last data line."""
        data = []
        while True:
            words = self.line()
            if words and isinstance(words[0], tuple):
                status, rest = words[0], words[1:]
                if rest and rest[0] == "(":
                    data.append([rest[1]])
                    assert rest[2] == ")", words
                    rest = rest[3:]
                assert len(rest) < 2, words
                return (*status, rest[0].decode() if rest else "", data)
            data.append(words)

    def ask(self, command):
        self.send(command if isinstance(command, bytes) else command.encode())
        self.send(b"\r\n")
        return self.answer()

    def secure(self):
        assert self.ask("STARTTLS")[0] == "OK"
        self.socket = client_tls().wrap_socket(self.socket, server_hostname="localhost")
        self.greeting = self.answer()
        return self

    def login(self, user="alice", password="secret"):
        return self.ask(b'AUTHENTICATE "PLAIN" "%s"' % plain(user, password))

    def capabilities(self):
        return table(self.ask("CAPABILITY"))


def table(answer):
    """{name: value or None} of a greeting or CAPABILITY."""
    assert answer[0] == "OK", answer
    rows = [(words[0].decode(), words[1].decode() if len(words) > 1 else None) for words in answer[3]]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def plain(user, password, act_for=""):
    return base64.b64encode(f"{act_for}\0{user}\0{password}".encode())


def literal(data):
    data = data.encode() if isinstance(data, str) else data
    return b"{%d+}\r\n" % len(data) + data
