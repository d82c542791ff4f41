"""Who may deliver: lmtp_networks for TCP, the mode for unix sockets; and what a stranger gets."""
import re
import smtplib
import socket

from lib import server as posthorn


def test_stranger_is_closed_before_a_byte():
    server = posthorn.Server({"lmtp_networks": ["192.0.2.0/24", "2001:db8::/32"]})
    try:
        with socket.create_connection(server.address("lmtp"), timeout=10) as s:
            assert s.recv(100) == b""
        assert "not in lmtp_networks" in server.stderr()
    finally:
        server.stop()


def test_unix_socket_is_trusted_by_its_mode(tmp_path):
    server = posthorn.Server({"lmtp_networks": ["192.0.2.0/24"]}, start=False)
    path = server.dir / "lmtp.sock"
    text = server.config.read_text()
    server.config.write_text(re.sub(r"(?m)^lmtp = \{ (.*) \}$", rf'lmtp = {{ \1, "unix:{path}" }}', text))
    server.start()
    try:
        with smtplib.LMTP(str(path)) as relay:
            relay.sendmail("a@example.org", ["alice"], b"Subject: by unix\r\n\r\nhello\r\n")
        assert "user=<alice>" in server.stderr()
    finally:
        server.stop()
