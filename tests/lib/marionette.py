"""Thunderbird (or Firefox) from the inside: the Marionette protocol, JSON with its length in front, over TCP."""
import json
import socket
import time


class Marionette:
    """Scripts run in the program's own context; what they return comes back as JSON."""

    def __init__(self, port, process, seconds):
        self.file = self.connect(port, process, time.monotonic() + seconds).makefile("rwb")
        self.count = 0
        self.read()
        self.command("WebDriver:NewSession", {})
        self.command("Marionette:SetContext", {"value": "chrome"})

    @staticmethod
    def connect(port, process, end):
        while True:
            assert process.poll() is None, f"it ended with {process.returncode} before it listened"
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=60)
            except OSError:
                assert time.monotonic() < end, "it does not listen for Marionette"
                time.sleep(0.5)

    def read(self):
        size = b""
        while (octet := self.file.read(1)) != b":":
            assert octet, "it closed the connection"
            size += octet
        return json.loads(self.file.read(int(size)))

    def command(self, name, params):
        self.count += 1
        data = json.dumps([0, self.count, name, params]).encode()
        self.file.write(b"%d:%s" % (len(data), data))
        self.file.flush()
        _, _, error, result = self.read()
        assert error is None, error
        return result

    def script(self, text, *args):
        return self.command("WebDriver:ExecuteScript", {"script": text, "args": args, "sandbox": "system", "newSandbox": False})["value"]
