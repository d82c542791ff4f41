"""A small IMAP and LMTP client for tests that need bytes and speed rather than a story."""
import re

from .imapdata import fetched
from .wire import Wire


class Refused(Exception):
    """The server answered NO, BAD or 4xx/5xx."""


class Imap:
    def __init__(self, address, user, password, tls=False, timeout=60):
        self.wire = Wire(address, tls=tls, timeout=timeout)
        self.count = 0
        self.wire.line()
        self.command(f'LOGIN "{user}" "{password}"')

    def send(self, text, data=None):
        """One command; data is a final literal. Returns its tag."""
        self.count += 1
        tag = f"t{self.count}"
        out = f"{tag} {text}".encode()
        if data is not None:
            out += b" {%d+}\r\n" % len(data) + data
        self.wire.send(out + b"\r\n")
        return tag

    def answer(self, tag):
        """(untagged lines, tagged line); raises Refused."""
        lines = []
        while True:
            line = self.wire.line()
            if line.startswith(tag.encode() + b" "):
                if not line[len(tag) + 1:].upper().startswith(b"OK"):
                    raise Refused(line.decode(errors="replace"))
                return lines, line
            lines.append(line)

    def command(self, text, data=None):
        return self.answer(self.send(text, data))

    def append(self, mailbox, data, flags=""):
        """The UID the message got."""
        _, tagged = self.command(f'APPEND "{mailbox}" ({flags})', data)
        found = re.search(rb"\[APPENDUID (\d+) (\d+)\]", tagged)
        return int(found[2])

    def append_all(self, mailbox, messages, window=50):
        """Many messages, pipelined."""
        waiting = []
        for data in messages:
            waiting.append(self.send(f'APPEND "{mailbox}" ()', data))
            if len(waiting) >= window:
                self.answer(waiting.pop(0))
        for tag in waiting:
            self.answer(tag)

    def fetch(self, numbers, items, uid=False):
        """{sequence number: {item: value}}; what comes unasked beside the answers does not replace them."""
        lines, _ = self.command(f"{'UID ' if uid else ''}FETCH {numbers} {items}")
        found = {}
        for number, values in filter(None, map(fetched, lines)):
            found.setdefault(number, {}).update(values)
        return found

    def select(self, mailbox):
        """{"EXISTS": n, "UIDVALIDITY": n, "UIDNEXT": n}"""
        lines, _ = self.command(f'SELECT "{mailbox}"')
        known = {}
        for line in lines:
            for pattern in (rb"\* (\d+) (EXISTS)", rb"\* OK \[(UIDVALIDITY|UIDNEXT) (\d+)\]"):
                found = re.match(pattern, line)
                if found:
                    a, b = found[1].decode(), found[2].decode()
                    known.update({b: int(a)} if a.isdigit() else {a: int(b)})
        return known

    def names(self):
        """All mailboxes."""
        lines, _ = self.command('LIST "" "*"')
        return {re.sub(rb'^\* LIST \([^)]*\) "/" "?(.*?)"?$', rb"\1", line).decode() for line in lines}

    def expunge(self, mailbox, numbers="1:*"):
        self.select(mailbox)
        self.command(f"STORE {numbers} +FLAGS.SILENT (\\Deleted)")
        self.command("EXPUNGE")

    def close(self):
        self.wire.close()


class Lmtp:
    def __init__(self, address, timeout=60):
        self.wire = Wire(address, timeout=timeout)
        self.reply()
        self.command("LHLO client.example")

    def reply(self):
        lines = [self.wire.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.wire.line())
        if lines[-1][:1] not in (b"2", b"3"):
            raise Refused(lines[-1].decode(errors="replace"))
        return lines

    def command(self, text):
        self.wire.send(text.encode() + b"\r\n")
        return self.reply()

    def deliver(self, recipient, data):
        """One message to one recipient, the envelope pipelined."""
        self.wire.send(b"MAIL FROM:<sender@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient.encode())
        for _ in range(3):
            self.reply()
        body = re.sub(rb"(?m)^\.", b"..", data)
        if not body.endswith(b"\r\n"):
            body += b"\r\n"
        self.wire.send(body + b".\r\n")
        self.reply()

    def close(self):
        self.wire.close()
