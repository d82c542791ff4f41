"""A forwarder on loopback that lets so many octets of the far side through, and holds the rest back: whoever reads stands still at one
place, however fast the machine is."""
import socket
import threading


class Holder:
    def __init__(self, far, most):
        self.far, self.left = far, most
        self.held, self.released = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.far))
            except OSError:
                return
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, True), daemon=True).start()

    def pump(self, source, target, counted):
        try:
            while octets := source.recv(4096):
                if counted and self.left < len(octets):
                    self.held.set()
                    self.released.wait()
                    break
                self.left -= len(octets) if counted else 0
                target.sendall(octets)
        except OSError:
            pass  # one end is gone: so is the other
        for one in (source, target):
            one.close()

    def stop(self):
        self.released.set()
        self.listener.close()
