"""rspamd, clamd and a receiver of pushes, on loopback: they keep what they were told, and answer well or badly in any way."""
import hashlib
import hmac
import http.server
import json
import os
import socket
import struct
import threading
import time

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR"


class Rspamd:
    """Scores by a field of the message ("X-Score: 7.5"), or as `say` has it: a function of (handler, path, body) that may answer by
    itself and return True."""

    def __init__(self, port=0, password=None):
        self.scans, self.learnt, self.say, self.password, self.lock = [], [], None, password, threading.Lock()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if fake.password and self.headers["Password"] != fake.password:
                    self.answer({"error": "Unauthorized"}, 401)
                    return
                with fake.lock:
                    (fake.scans if self.path == "/checkv2" else fake.learnt).append((self.path, dict(self.headers.items()),
                                                                                     self.headers.get_all("Rcpt"), body))
                if fake.say and fake.say(self, self.path, body):
                    return
                self.answer(fake.verdict(body) if self.path == "/checkv2" else {"success": True})

            def answer(self, what, status=200):
                body = what if isinstance(what, bytes) else json.dumps(what).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        class Http(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.http = Http(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def verdict(self, body):
        score = next((float(line[8:]) for line in body.split(b"\r\n") if line.startswith(b"X-Score:")), 0.0)
        score = 99.0 if GTUBE in body else score
        symbols = {"TEST": {"name": "TEST", "score": score}}
        if b"rspamd-virus" in body:
            symbols["CLAM_VIRUS"] = {"name": "CLAM_VIRUS", "score": 0.0, "options": ["Test.Virus"]}
        action = "reject" if score >= 15 else "add header" if score >= 6 else "greylist" if score >= 4 else "no action"
        return {"is_skipped": False, "score": score, "required_score": 15.0, "action": action, "symbols": symbols}

    def lessons(self):
        """(spam or ham, subject) of all that was learnt."""
        with self.lock:
            return [(path[6:], next((line[9:].decode() for line in body.split(b"\r\n") if line.startswith(b"Subject: ")), ""))
                    for path, _, _, body in self.learnt]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Clamd:
    """INSTREAM over TCP or a unix socket. `say`: a function of (socket, body) that may answer by itself and return True."""

    def __init__(self, path=None):
        self.streams, self.say, self.open = [], None, True
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            os.chmod(path, 0o777)
            self.listener.listen(64)
            self.where = f"unix:{path}"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.where = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        def take(n):
            got = b""
            while len(got) < n:
                more = sock.recv(n - len(got))
                if not more:
                    raise EOFError
                got += more
            return got

        try:
            assert take(10) == b"zINSTREAM\0"
            body = b""
            while size := struct.unpack(">I", take(4))[0]:
                body += take(size)
            self.streams.append(body)
            if not (self.say and self.say(sock, body)):
                sock.sendall(b"stream: Eicar-Test FOUND\0" if EICAR in body else b"stream: OK\0")
        except (OSError, EOFError):
            pass
        finally:
            sock.close()

    def close(self):
        self.open = False
        self.listener.close()


class Receiver:
    """Of pushes. `failures`: statuses of the next answers."""

    def __init__(self):
        self.texts, self.headers, self.failures, self.lock = [], [], [], threading.Lock()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with fake.lock:
                    status = fake.failures.pop(0) if fake.failures else 204
                    if status == 204:
                        fake.texts.append(body)
                        fake.headers.append(dict(self.headers.items()))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/new"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def told(self, user):
        with self.lock:
            return [text for text in map(json.loads, self.texts) if text["user"] == user]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def is_signed(header, secret, body, within=60):
    """As a receiver checks it."""
    words = dict(word.split("=", 1) for word in header.split(","))
    want = hmac.new(secret.encode(), words["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(want, words["sha256"]) and abs(time.time() - int(words["t"])) < within
