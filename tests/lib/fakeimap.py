"""A scripted IMAP server: it answers as a small honest one, or as one of its ways to be wrong or hostile says."""
import base64
import re
import socket
import ssl
import threading


class FakeImap:
    """boxes: {name as on the wire: {uid: octets}}. `wrong`: see answer(). `said`: the commands that came, without their tags.
    hook(number), where there is one, is called before each is answered."""

    def __init__(self, boxes, caps="IMAP4rev1 AUTH=PLAIN", wrong="", cert=None, validity=77):
        self.boxes, self.caps, self.wrong, self.cert, self.validity = boxes, caps, wrong, cert, validity
        self.said, self.logins, self.connections = [], [], 0
        self.flags, self.breaks, self.hook, self.namespaces = {}, 0, None, "NIL NIL NIL"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def stop(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)

    def serve(self):
        while not self.over.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                self.talk(connection)
            except (OSError, ValueError):
                pass
            try:
                self.out.shutdown(socket.SHUT_RDWR)  # the file made of it would keep it open
            except OSError:
                pass
            self.out.close()

    def talk(self, connection):
        connection.settimeout(20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.box, self.out, self.input = None, connection, connection.makefile("rb")
        if self.wrong == "silent":
            self.over.wait(15)
            return
        if self.wrong == "endless line":
            while not self.over.is_set():
                connection.sendall(b"x" * 65536)
        if self.wrong == "no imap":
            connection.sendall(b"220 mail ESMTP\r\n")
            return
        self.put("* OK ready")
        while True:
            line = self.input.readline().decode().rstrip("\r\n")
            if not line:
                return
            tag, command = line.split(" ", 1)
            self.said.append(command)
            if self.hook:
                self.hook(len(self.said))
            if self.answer(tag, command):
                return

    def put(self, line):
        self.out.sendall(line.encode() + b"\r\n")

    def answer(self, tag, command):
        verb = command.upper()
        if verb == "CAPABILITY":
            self.put(f"* CAPABILITY {self.caps}")
        elif verb == "STARTTLS":
            extra = "\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN" if self.wrong == "injection" else ""
            self.put(f"{tag} OK go{extra}")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.cert)
            self.out = context.wrap_socket(self.out, server_side=True)
            self.input = self.out.makefile("rb")
            return False
        elif verb.startswith("AUTHENTICATE") or verb.startswith("LOGIN "):
            return self.login(tag, command)
        elif verb == "LOGOUT":
            self.put("* BYE")
            self.put(f"{tag} OK")
            return True
        elif verb == "NAMESPACE":
            self.put(f"* NAMESPACE {self.namespaces}")
        elif verb.startswith("LIST"):
            for name in self.boxes:
                self.put(self.listed(name))
            if self.wrong == "lists too much":
                for i in range(200000):
                    self.put(f'* LIST () "." "n{i}"')
        elif verb.startswith("LSUB"):
            for name in self.boxes:
                self.put(self.listed(name).replace("LIST", "LSUB", 1))
        elif verb.startswith("STATUS"):
            name = re.search('"(.*?)"', command)[1]
            rows = self.boxes[name]
            self.put(f'* STATUS "{name}" (MESSAGES {len(rows)} UIDNEXT {self.uidnext(name)} UIDVALIDITY {self.validity})')
        elif verb.startswith("EXAMINE"):
            self.box = re.search('"(.*?)"', command)[1]
            rows = self.boxes[self.box]
            exists = 1000000 if self.wrong == "lying EXISTS" else len(rows)
            self.put(f"* {exists} EXISTS")
            self.put(f"* OK [UIDVALIDITY {self.validity}] x")
            self.put(f"* OK [UIDNEXT {self.uidnext(self.box)}] x")
        elif verb.startswith("FETCH"):
            self.listing(command)
        elif verb.startswith("UID FETCH"):
            if self.fetch(command):
                return True
        self.put(f"{tag} OK done")
        return False

    def listed(self, name):
        return f'* LIST (\\HasNoChildren) "." "{name}"'

    def uidnext(self, name):
        return max(self.boxes[name], default=0) + 1

    def login(self, tag, command):
        if command.upper().startswith("LOGIN "):
            self.logins.append(command)
        else:
            self.put("+ ")
            self.logins.append(base64.b64decode(self.input.readline()))
        if self.wrong == "refused":
            self.put(f"{tag} NO [AUTHENTICATIONFAILED] no")
            return False
        if self.wrong == "token refused":
            self.put("+ " + base64.b64encode(b'{"status":"401"}').decode())
            self.input.readline()
            self.put(f"{tag} NO no")
            return False
        self.put(f"{tag} OK in")
        return False

    def listing(self, command):
        first, last = map(int, re.match(r"FETCH (\d+):(\d+)", command).groups())
        rows = sorted(self.boxes[self.box])[first - 1:last]
        if self.wrong == "UIDs fall":
            rows = rows[::-1]
        for i, uid in enumerate(rows):
            self.show(first + i, uid)

    def show(self, number, uid):
        self.put(f'* {number} FETCH (UID {uid} FLAGS ({self.flags.get((self.box, uid), "")}) INTERNALDATE "01-Feb-2004 10:11:12 +0000" '
                 f'RFC822.SIZE {len(self.boxes[self.box][uid])}{self.more(uid)})')

    def more(self, uid):  # pylint: disable=unused-argument
        """Further items of FETCH."""
        return ""

    def fetch(self, command):
        rows, order = self.boxes[self.box], sorted(self.boxes[self.box])
        wanted = []
        for part in command.split(" ")[2].split(","):
            low, _, high = part.partition(":")
            high = order[-1] if high == "*" else int(high or low)
            wanted += [u for u in order if int(low) <= u <= high]
        if "BODY" not in command:
            for uid in wanted:
                self.show(order.index(uid) + 1, uid)
            return False
        if self.wrong == "backwards":
            wanted = wanted[::-1]
        for uid in wanted:
            data, said, number = rows[uid], uid, order.index(uid) + 1
            if self.wrong == "another UID" and uid == order[-1]:
                said = 4000
            if self.wrong == "literal of 4 GB":
                self.out.sendall(f"* {number} FETCH (UID {said} BODY[] {{4294967296}}\r\n".encode() + b"x" * 100000)
                return False
            if self.wrong == "literal elsewhere":
                self.out.sendall(f"* {number} FETCH (UID {said} ENVELOPE {{4294967296}}\r\n".encode() + b"x" * 100000)
                return False
            if self.wrong == "one is withheld" and uid in order[1:2]:
                continue
            middle = uid == order[len(order) // 2]
            if self.wrong == "breaks before" and middle:
                return True
            if middle and (self.wrong == "breaks at" or self.wrong == "breaks" and self.breaks < 2):
                self.breaks += 1
                self.out.sendall(f"* {number} FETCH (UID {said} BODY[] {{{len(data)}}}\r\n".encode() + data[:10])
                return True
            if self.wrong == "UID last":
                self.out.sendall(f"* {number} FETCH (BODY[] {{{len(data)}}}\r\n".encode() + data + f" UID {said})\r\n".encode())
            else:
                self.out.sendall(f"* {number} FETCH (UID {said} BODY[] {{{len(data)}}}\r\n".encode() + data + b")\r\n")
            if self.wrong == "twice":
                self.out.sendall(f"* {number} FETCH (UID {said} BODY[] {{{len(data)}}}\r\n".encode() + data + b")\r\n")
        return False
