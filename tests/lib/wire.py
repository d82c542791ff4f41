"""A raw line connection to a mail server: bytes in, whole responses (with their literals) out."""
import re
import socket
import ssl
import time
import zlib

LITERAL = re.compile(rb"~?\{(\d+)\}\r\n$")


class Closed(Exception):
    """The server ended the connection."""


class Timeout(Exception):
    """Nothing came in time."""


def client_tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    def __init__(self, address, tls=False, timeout=10.0, source=None):
        self.timeout = timeout
        self.buffer = b""
        self.packer = self.unpacker = None
        self.last_packed = False
        self.host = address[0] if isinstance(address, tuple) else "localhost"
        if isinstance(address, tuple):
            self.sock = socket.create_connection(address, timeout=timeout, source_address=(source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        if tls:
            self.start_tls()

    def start_tls(self):
        self.sock = client_tls().wrap_socket(self.sock, server_hostname="localhost")

    def compress(self):
        """From here on both directions are compressed (RFC 4978)."""
        self.packer, self.unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
        early, self.buffer = self.buffer, b""
        self.received(early)

    def uncompress(self):
        """The next octets sent are the last compressed ones. The server ends its stream by itself."""
        self.last_packed = True

    def received(self, data):
        if self.unpacker:
            self.buffer += self.unpacker.decompress(data)
            if self.unpacker.eof:
                data, self.unpacker = self.unpacker.unused_data, None
                self.buffer += data
        else:
            self.buffer += data

    def send(self, data):
        self.sock.settimeout(self.timeout)
        if self.packer:
            data = self.packer.compress(data) + self.packer.flush(zlib.Z_FINISH if self.last_packed else zlib.Z_SYNC_FLUSH)
            if self.last_packed:
                self.packer, self.last_packed = None, False
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error

    def fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout()
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except socket.timeout as error:
            raise Timeout() from error
        except (ConnectionResetError, ssl.SSLError) as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of input")
        self.received(data)

    def take(self, count, deadline):
        """So many octets; a large literal is not copied for each piece of it that comes."""
        pieces, have = [self.buffer], len(self.buffer)
        while have < count:
            self.buffer = b""
            self.fill(deadline)
            pieces.append(self.buffer)
            have += len(self.buffer)
        data = b"".join(pieces)
        self.buffer = data[count:]
        return data[:count]

    def line(self, timeout=None):
        """One response: a line and every literal in it, final CRLF removed."""
        deadline = time.monotonic() + (timeout or self.timeout)
        whole = b""
        while True:
            while b"\n" not in self.buffer:
                self.fill(deadline)
            end = self.buffer.index(b"\n") + 1
            piece = self.take(end, deadline)
            if not piece.endswith(b"\r\n"):
                raise AssertionError(f"a line without CR: {piece!r}")
            whole += piece
            literal = LITERAL.search(piece)
            if not literal:
                return whole[:-2]
            whole += self.take(int(literal[1]), deadline)

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


def begin_login(server, user, password):
    """A connection on which LOGIN is sent; its answer, tagged a, is still to come. The name may be anything."""
    wire = Wire(server.address("imap"), timeout=60)
    wire.line()
    wire.send(b"a LOGIN %s\r\n" % b" ".join(b"{%d+}\r\n%s" % (len(text.encode()), text.encode()) for text in (user, password)))
    return wire
