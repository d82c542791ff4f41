"""Debian's HAProxy in front: its headers of the PROXY protocol (1, 2, with checksum and TLVs, before TLS), its checks, and who counts."""
import json
import os
import shutil
import subprocess

import pytest

from lib import server as posthorn
from lib.peers import free_ports, wait_port
from lib.proxied import Line

HAPROXY = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
FRONT = """
listen {name}
    mode tcp
    bind 127.0.0.1:{port} {bind}
    server it 127.0.0.1:{to} {options}
"""
# name: where to, how HAProxy listens, what it sends
WAYS = {
    "one": ("imaps", "", "send-proxy"),
    "two": ("imaps", "", "send-proxy-v2"),
    "all": ("imaps", "", "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,unique-id,crc32c,authority "
                         "check check-send-proxy inter 100"),
    "tls": ("imap", "ssl crt {dir}/both.pem alpn imap", "send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority"),
    "clear": ("imap", "", "send-proxy-v2-ssl"),
    "lmtp": ("lmtp", "", "send-proxy-v2"),
}


@pytest.fixture(scope="module")
def ways():
    """A Posthorn and the ports of HAProxy before it, which comes to it from 127.0.0.3."""
    server = posthorn.Server({"proxy_networks": ["127.0.0.3"], "proxy_tls": True, "lmtp_networks": ["127.0.0.9"],
                              "log_format": "json"}, plaintext=False, start=False)
    text = server.config.read_text()
    for port in server.ports.values():
        text = text.replace(f':{port}"', f':{port} proxy"')
    server.config.write_text(text)
    server.start()
    ports = dict(zip(WAYS, free_ports(len(WAYS))))
    (server.dir / "both.pem").write_text((server.dir / "cert.pem").read_text() + (server.dir / "key.pem").read_text())
    config = "global\n    log stderr local0\ndefaults\n    timeout connect 10s\n    timeout client 60s\n    timeout server 60s\n"
    for name, (service, bind, options) in WAYS.items():
        config += FRONT.format(name=name, port=ports[name], bind=bind.format(dir=server.dir), to=server.ports[service],
                               options=options + " source 127.0.0.3")
    (server.dir / "haproxy.cfg").write_text(config)
    with open(server.dir / "haproxy.log", "wb") as log:
        process = subprocess.Popen([HAPROXY, "-db", "-f", server.dir / "haproxy.cfg"], stdout=log, stderr=log)
    try:
        for port in ports.values():
            wait_port(port, process, 30)
        yield server, ports
    finally:
        process.terminate()
        process.wait(20)
        server.stop()


def logins(server):
    rows = [json.loads(line) for line in server.stderr().splitlines() if line.startswith("{")]
    return [row for row in rows if row["event"] == "Login"]


@pytest.mark.parametrize("name", ["one", "two", "all", "tls"])
def test_logins(ways, name):
    server, ports = ways
    before = len(logins(server))
    with Line(("127.0.0.1", ports[name]), tls=True, source="127.0.0.9") as line:
        assert line.line().startswith(b"* OK")
        assert line.login().startswith(b"a OK")
        assert line.ask("b SELECT INBOX")[-1].startswith(b"b OK")
        row = logins(server)[before]
        assert (row["rip"], row["lip"], row["tls"]) == ("127.0.0.9", "127.0.0.1", True)


def test_in_the_clear_at_the_proxy(ways):
    server, ports = ways
    with Line(("127.0.0.1", ports["clear"]), source="127.0.0.9") as line:
        assert b"LOGINDISABLED" in line.line()
        assert b"PRIVACYREQUIRED" in line.login()


def test_deliveries(ways):
    _, ports = ways
    with Line(("127.0.0.1", ports["lmtp"]), source="127.0.0.9") as line:
        assert line.line().startswith(b"220 ")
    with Line(("127.0.0.1", ports["lmtp"]), source="127.0.0.10") as line:
        assert line.line() == b"", "127.0.0.10 is not of lmtp_networks, its proxy neither"


def test_checks_are_no_trouble(ways):
    """HAProxy's checks come as LOCAL, from itself, and find the server up."""
    server, _ = ways
    assert "is DOWN" not in (server.dir / "haproxy.log").read_text()
    assert "PROXY header: " not in server.stderr()
