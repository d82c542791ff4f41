"""A smarthost on loopback, good or bad in any way: it keeps what it took, and what it was asked."""
import base64
import hmac
import re
import socket
import ssl
import threading

from . import scram, server as posthorn


def queue_is_empty(server):
    """Nothing waits to go out any more."""
    try:
        return b'"mails":0' in posthorn.run_verb("--json", "queue", "count", "--data", server.data).replace(b" ", b"")
    except RuntimeError:  # a role is not back yet
        return False


class Smarthost:
    """One thread for each connection. `answers`: for the first word of a command (or "GREETING", "TEXT" for the end of a text) a
    function of (session, line) that may return octets to be sent, None for the usual, or raise Close."""

    class Close(Exception):
        pass

    def __init__(self, tls=None, implicit=False, offers=("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN"), users=None, port=0):
        self.offers, self.users, self.tls, self.implicit = list(offers), users, tls, implicit
        self.answers, self.mails, self.commands, self.connections, self.raw = {}, [], [], 0, []
        self.lock, self.open, self.socks = threading.Lock(), True, set()
        self.listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        self.socks.add(sock)
        try:
            Session(self, sock).run()
        except (OSError, ssl.SSLError, Smarthost.Close, EOFError):
            pass
        finally:
            self.socks.discard(sock)
            sock.close()

    def drop(self):
        """All connections end."""
        for sock in list(self.socks):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.open = False
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def take(self):
        """The mails that came since the last time."""
        with self.lock:
            mails, self.mails[:] = list(self.mails), []
        return mails

    def subjects(self):
        with self.lock:
            return [re.search(rb"^Subject: (.*?)\r$", mail["text"], re.M)[1].decode() for mail in self.mails]


class Session:
    def __init__(self, host, sock):
        self.host, self.sock, self.input, self.secure = host, sock, b"", False
        self.reset()

    def reset(self):
        self.sender, self.recipients = None, []

    def send(self, octets):
        self.sock.sendall(octets)

    def fill(self):
        more = self.sock.recv(65536)
        if not more:
            raise EOFError
        self.input += more

    def line(self):
        while b"\r\n" not in self.input:
            self.fill()
        line, self.input = self.input.split(b"\r\n", 1)
        self.host.commands.append(line.decode())
        return line.decode()

    def start_tls(self):
        self.host.socks.discard(self.sock)
        self.sock = self.host.tls.wrap_socket(self.sock, server_side=True)
        self.host.socks.add(self.sock)
        self.secure = True

    def say(self, word, line, usual, note=None):
        """Is it as good as the usual? Then it is noted before anybody hears of it."""
        answer = self.host.answers.get(word)
        said = answer(self, line) if answer else None
        said = usual if said is None else said
        good = said == usual or (said if isinstance(said, str) else said.decode(errors="replace")).startswith(usual[:1])
        if good and note:
            note()
        self.send(said if isinstance(said, bytes) else said.encode() + b"\r\n")
        return good

    def run(self):
        if self.host.implicit:
            self.start_tls()
        self.say("GREETING", "", "220 smarthost.example ESMTP")
        while True:
            line = self.line()
            word = line.split(" ")[0].split(":")[0].upper()
            if getattr(self, "do_" + word.lower(), self.unknown)(line):
                return

    def unknown(self, line):
        self.say("?", line, "502 5.5.1 what")

    def do_ehlo(self, line):
        offers = ["smarthost.example", *self.host.offers]
        if self.host.tls and not self.secure:
            offers.append("STARTTLS")
        if self.host.users and (self.secure or not self.host.tls):
            offers.append("AUTH " + " ".join(self.host.mechanisms) if hasattr(self.host, "mechanisms") else "AUTH PLAIN LOGIN")
        self.say("EHLO", line, "\r\n".join(f"250{' ' if o is offers[-1] else '-'}{o}" for o in offers))

    def do_helo(self, line):
        self.say("HELO", line, "250 smarthost.example")

    def do_starttls(self, line):
        if self.say("STARTTLS", line, "220 go on"):
            self.start_tls()

    def do_auth(self, line):
        words = line.split(" ")
        if words[1] == "SCRAM-SHA-256":
            self.scram(line, words[2])
            return
        if words[1] == "LOGIN":
            self.send(b"334 VXNlcm5hbWU6\r\n")
            user = base64.b64decode(self.line()).decode()
            self.send(b"334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(self.line()).decode()
        else:
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        good = self.host.users and self.host.users.get(user) == password
        self.say("AUTH", line, "235 2.7.0 in" if good else "535 5.7.8 wrong")

    def scram(self, line, first):
        """SMTP has no data beside 235: the server's proof is a challenge, and its answer is an empty line (RFC 4954 section 4)."""
        bare = base64.b64decode(first).decode().split(",", 2)[2]
        said = dict(part.split("=", 1) for part in bare.split(","))
        challenge = f"r={said['r']}server,s={scram.b64(b'salt')},i=4096"
        self.send(f"334 {scram.b64(challenge.encode())}\r\n".encode())
        without, proof = base64.b64decode(self.line()).decode().rsplit(",p=", 1)
        client, stored, server = scram.keys(scram.salted_password(self.host.users.get(said["n"], ""), b"salt", 4096))
        message = f"{bare},{challenge},{without}".encode()
        signature = hmac.digest(stored, message, "sha256")
        good = bytes(a ^ b for a, b in zip(client, signature)) == base64.b64decode(proof)
        if good:
            final = "v=" + scram.b64(hmac.digest(server, message, "sha256"))
            self.send(f"334 {scram.b64(final.encode())}\r\n".encode())
            good = self.line() == ""
        self.say("AUTH", line, "235 2.7.0 in" if good else "535 5.7.8 wrong")

    def do_mail(self, line):
        if self.say("MAIL", line, "250 2.1.0 ok"):
            self.sender, self.mail = re.match(r"MAIL FROM:<(.*?)>", line)[1], line

    def do_rcpt(self, line):
        if self.say("RCPT", line, "250 2.1.5 ok" if self.sender is not None else "503 5.5.1 MAIL first"):
            if self.sender is not None:
                self.recipients.append((re.match(r"RCPT TO:<(.*)>", line)[1], line))

    def do_rset(self, line):
        self.reset()
        self.say("RSET", line, "250 2.0.0 ok")

    def do_noop(self, line):
        self.say("NOOP", line, "250 2.0.0 ok")

    def do_quit(self, line):
        self.say("QUIT", line, "221 2.0.0 bye")
        return True

    def do_data(self, line):
        if not self.say("DATA", line, "354 go on" if self.recipients else "554 5.5.1 no valid recipients"):
            return
        if not self.recipients:
            return
        while not self.input.startswith(b".\r\n") and b"\r\n.\r\n" not in self.input:
            self.fill()
        raw, self.input = (b"", self.input[3:]) if self.input.startswith(b".\r\n") else self.input.split(b"\r\n.\r\n", 1)
        raw += b"\r\n"
        with self.host.lock:
            self.host.raw.append(raw)
        self.end_text(line, re.sub(rb"(?m)^\.", b"", raw))

    def do_bdat(self, line):
        """RFC 3030: so many octets, whatever they are; also of a chunk that is refused."""
        words = line.split(" ")
        while len(self.input) < int(words[1]):
            self.fill()
        text, self.input = self.input[:int(words[1])], self.input[int(words[1]):]
        assert words[2:] == ["LAST"]
        if "CHUNKING" in self.host.offers and self.recipients:
            self.end_text(line, text)
        else:
            self.say("BDAT", line, "503 5.5.1 no")

    def end_text(self, line, text):
        def note():
            with self.host.lock:
                self.host.mails.append({"from": self.sender, "to": [r for r, _ in self.recipients], "text": text, "mail": self.mail,
                                        "rcpt": [line for _, line in self.recipients]})

        self.say("TEXT", line, "250 2.0.0 queued", note)
        self.reset()
