"""The PROXY protocol from the proxy's side: headers, and connections that begin by one."""
import ipaddress
import socket
import ssl
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
UNIX = SIGNATURE + b"\x21\x31\x00\xd8" + b"/run/a".ljust(108, b"\0") * 2
TLS = b"\x20\x00\x05\x01\0\0\0\0"


def header(source, destination="198.51.100.2", tlvs=b"", port=4660):
    """Version 2, for a client at this address."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    body = a.packed + b.packed + struct.pack(">HH", port, 993) + tlvs
    return SIGNATURE + b"\x21" + (b"\x11" if a.version == 4 else b"\x21") + struct.pack(">H", len(body)) + body


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def summed(source, wrong=0):
    """The same with a checksum."""
    blank = header(source, tlvs=b"\x03\x00\x04\0\0\0\0")
    return blank[:-4] + struct.pack(">I", crc32c(blank) ^ wrong)


class Line:
    """A connection to `address`, from 127.0.0.N, that sends `first` before anything else."""

    def __init__(self, address, first=b"", tls=False, source="127.0.0.3", split=False):
        self.socket = socket.create_connection(address, timeout=30, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in ([first[i:i + 1] for i in range(len(first))] if split else [first]):
            self.socket.sendall(piece)
        if tls:
            self.secure()
        self.file = self.socket.makefile("rb")

    def secure(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def line(self):
        try:
            return self.file.readline()
        except ConnectionResetError:  # closed with octets unread
            return b""

    def ask(self, text):
        """One command; everything up to its tagged answer."""
        self.send(text + "\r\n")
        tag, said = text.split(" ")[0].encode(), []
        while not said or not said[-1].startswith(tag + b" "):
            said.append(self.line())
            assert said[-1], said
        return said

    def login(self, user="alice", password="secret"):
        return self.ask(f"a LOGIN {user} {password}")[-1]

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
