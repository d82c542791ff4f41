"""Who may deliver: lmtp_networks for TCP, the mode for unix sockets; and what a stranger gets."""
import re
import smtplib
import socket
import struct

from lib import server as posthorn


def test_stranger_is_closed_before_a_byte():
    server = posthorn.Server({"lmtp_networks": ["192.0.2.0/24", "2001:db8::/32"]})
    try:
        with socket.create_connection(server.address("lmtp"), timeout=10) as s:
            assert s.recv(100) == b""
        assert "not in lmtp_networks" in server.stderr()
    finally:
        server.stop()


def test_a_check_that_resets_its_connection(server):
    """As balancers look whether a port is open: it is one of ours all the same."""
    for _ in range(10):
        s = socket.create_connection(server.address("lmtp"), timeout=10)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    with smtplib.LMTP(*server.address("lmtp"), timeout=60) as relay:
        relay.sendmail("a@example.org", ["alice"], b"Subject: x\r\n\r\nhello\r\n")
    assert "Refused" not in server.stderr()


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


def recipient(relay, address):
    relay.rset()
    relay.mail("a@example.org")
    return relay.rcpt(address)[0]


def test_a_known_recipient_is_forgotten_with_its_user():
    """Recipients are remembered for a while: not across a change of the users, on no connection and thread, and not the account."""
    server = posthorn.Server()
    try:
        relays = [smtplib.LMTP(*server.address("lmtp")) for _ in range(6)]
        for name in ("nina", "olaf"):  # of neighbouring accounts: one in each thread
            server.user_add(name)
        for _ in range(3):
            for name in ("nina", "olaf"):
                for relay in relays:
                    relay.ehlo_or_helo_if_needed()
                    assert recipient(relay, name) == 250
                    assert recipient(relay, name + "+Lists") == 250
                relays[0].rset()
                relays[0].sendmail("a@example.org", [name], b"Subject: x\r\n\r\nhello\r\n")
            for name in ("nina", "olaf"):
                posthorn.run_verb("user", "delete", name, "--data", server.data)
                for relay in relays:
                    assert recipient(relay, name) == 550, "a deleted user took mail"
                    assert recipient(relay, name + "+Lists") == 550
            for name in ("nina", "olaf"):
                server.user_add(name)  # another account of the same name
        saved = re.findall(r"saved: .*user=<nina>, .*uid=(\d+)", server.stderr())
        assert saved == ["1"] * 3, "mail went to the account before"
        for relay in relays:
            relay.close()
    finally:
        server.stop()


def test_a_session_goes_from_home_to_home():
    """Each message is for a user of the other thread than the one before; all of it comes in one piece, the end too."""
    server = posthorn.Server({"mail_threads": 2})
    try:
        for name in ("nina", "olaf"):  # of neighbouring accounts: one in each thread
            server.user_add(name)
        talk = b"LHLO relay\r\n"
        for n in range(20):
            name = b"nina" if n % 2 else b"olaf"
            talk += b"MAIL FROM:<a@example.org>\r\nRCPT TO:<%s>\r\nRCPT TO:<nobody>\r\nDATA\r\n" % name
            talk += b"Subject: %d\r\n\r\nhello\r\n.\r\n" % n
        for chunk in (len(talk), 7):
            with socket.create_connection(server.address("lmtp"), timeout=20) as s:
                for at in range(0, len(talk), chunk):
                    s.sendall(talk[at:at + chunk])
                s.sendall(b"QUIT\r\n")
                s.shutdown(socket.SHUT_WR)
                said = b"".join(iter(lambda: s.recv(65536), b""))
            answers = [line for line in said.split(b"\r\n") if line and line[3:4] == b" "][2:]  # greeting and LHLO
            once = [b"250 2.1.0", b"250 2.1.5", b"550 5.1.1", b"354", b"250 2.0.0"]
            assert len(answers) == 20 * len(once) + 1, said
            assert all(line.startswith(start) for line, start in zip(answers, once * 20 + [b"221 2.0.0"])), said
        saved = re.findall(r"saved: .*user=<(\w+)>, .*uid=(\d+)", server.stderr())
        assert saved == [(name, str(n)) for n in range(1, 21) for name in ("olaf", "nina")]
    finally:
        server.stop()
