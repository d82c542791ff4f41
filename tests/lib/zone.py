"""A DNS server on loopback that knows what it is told: (name, type) -> [data], as `posthorn dns` prints records."""
import re
import socket
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
NO_NAME = 3


def name_octets(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def data_octets(kind, data):
    words = data.split(" ")
    if kind == "A":
        return socket.inet_aton(data)
    if kind == "TXT":
        text = data.strip('"').encode()
        pieces = [text[i:i + 255] for i in range(0, len(text), 255)] or [b""]
        return b"".join(bytes([len(piece)]) + piece for piece in pieces)
    numbers = b"".join(struct.pack("!H", int(word)) for word in words[:-1])
    return numbers + name_octets(words[-1])


class Zone:
    def __init__(self):
        self.records, self.asked, self.silent = {}, [], False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def put(self, name, kind, data):
        self.records.setdefault((name.rstrip(".").lower(), kind), []).append(data)

    def put_text(self, text):
        """Lines as `posthorn dns` prints them."""
        for line in text.splitlines():
            name, kind, data = re.fullmatch(r"(\S+) IN (\S+) (.*)", line).groups()
            self.put(name, kind, data)

    def serve(self):
        while True:
            try:
                question, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if not self.silent:
                self.sock.sendto(self.answer(question), peer)

    def answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        number, = struct.unpack("!H", question[at + 1:at + 3])
        asked = question[12:at + 5]
        name, kind = ".".join(labels), {n: k for k, n in TYPES.items()}.get(number)
        self.asked.append((name, kind))
        answers = list(self.found(name, kind))
        known = any(n == name for n, _ in self.records)
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else NO_NAME), 1, len(answers), 0, 0)
        return head + asked + b"".join(answers)

    def found(self, name, kind):
        for _ in range(8):
            aliases = self.records.get((name, "CNAME"), [])
            if kind == "CNAME" or not aliases:
                break
            yield self.row(name, "CNAME", aliases[0])
            name = aliases[0].rstrip(".").lower()
        for data in self.records.get((name, kind), []):
            yield self.row(name, kind, data)

    @staticmethod
    def row(name, kind, data):
        octets = data_octets(kind, data)
        return name_octets(name) + struct.pack("!HHIH", TYPES[kind], 1, 60, len(octets)) + octets

    def close(self):
        self.sock.close()
