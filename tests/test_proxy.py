"""Who connects through a proxy: the PROXY protocol on marked addresses, and ID of trusted networks. 127.0.0.3 is the proxy,
127.0.0.2 tells by ID, 127.0.0.1 is anybody."""
import json
import re
import time

import pytest

from lib import proxied, server as posthorn
from lib.peers import free_ports
from lib.proxied import Line, header

CLIENT, DENIED = "203.0.113.7", "192.0.2.66"


class Marked(posthorn.Server):
    """Every service once more on an address with the mark."""

    def write_config(self):
        super().write_config()
        if not hasattr(self, "marked"):
            self.marked = dict(zip(self.ports, free_ports(len(self.ports))))
        text = self.config.read_text()
        for name, port in self.marked.items():
            text = re.sub(rf"(?m)^{name} = {{ (.*) }}$", rf'{name} = {{ \1, "127.0.0.1:{port} proxy" }}', text)
        self.config.write_text(text)

    def at(self, service):
        return ("127.0.0.1", self.marked[service])


@pytest.fixture(scope="module")
def server():
    own = Marked({"proxy_networks": ["127.0.0.3"], "trusted_networks": ["127.0.0.2", "127.0.0.3"], "lmtp_networks": ["203.0.113.0/24"],
                  "proxy_tls": True, "auth_deny": [DENIED], "log_format": "json"}, plaintext=False)
    yield own
    own.stop()


def said(server):
    return [json.loads(line) for line in server.stderr().splitlines() if line.startswith("{")]


def await_row(server, since, **want):
    """The first line of the log behind `since` with these values."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for row in said(server)[since:]:
            if all(row.get(k) == v for k, v in want.items()):
                return row
        time.sleep(0.02)
    raise AssertionError((want, said(server)[since:]))


def who(server):
    return [json.loads(line) for line in posthorn.run_verb("who", "--json", "-c", server.config).splitlines()]


@pytest.mark.parametrize("first,rip,lip", [
    (header(CLIENT, tlvs=proxied.TLS), CLIENT, "198.51.100.2"),
    (header("2001:db8::7", "2001:db8::1", proxied.TLS), "2001:db8::7", "2001:db8::1"),
    (header("::ffff:203.0.113.9", "2001:db8::1", proxied.TLS), "203.0.113.9", "2001:db8::1"),
])
@pytest.mark.parametrize("split", [False, True])
def test_the_client_counts_and_not_the_proxy(server, first, rip, lip, split):
    since = len(said(server))
    with Line(server.at("imap"), first, split=split) as line:
        assert b"LOGINDISABLED" not in (greeting := line.line()) and b"STARTTLS" not in greeting and b"-PLUS" not in greeting
        assert line.login().startswith(b"a OK")
        row = await_row(server, since, event="Login")
        assert (row["rip"], row["lip"], row["tls"]) == (rip, lip, True)
        assert rip in [s["rip"] for s in who(server)]
        line.ask("b UNAUTHENTICATE")  # and back in the gate it is the same client
        assert line.ask("c AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=")[-1].startswith(b"c OK")
        assert await_row(server, since, event="Login", user="bob")["rip"] == rip


def test_before_implicit_tls(server):
    since = len(said(server))
    with Line(server.at("imaps"), header(CLIENT), tls=True) as line:
        assert line.line().startswith(b"* OK") and line.login().startswith(b"a OK")
        assert await_row(server, since, event="Login")["rip"] == CLIENT
        line.ask("b UNAUTHENTICATE")
        assert line.login("bob").startswith(b"a OK")
        assert await_row(server, since, event="Login", user="bob")["rip"] == CLIENT


def test_starttls_behind_a_header(server):
    since = len(said(server))
    with Line(server.at("imap"), b"PROXY TCP4 203.0.113.8 198.51.100.2 1 2\r\n") as line:
        assert b"LOGINDISABLED" in line.line()
        line.ask("a STARTTLS")
        line.secure()
        assert line.login().startswith(b"a OK")
        assert await_row(server, since, event="Login")["rip"] == "203.0.113.8"


def test_a_proxy_that_speaks_for_itself(server):
    for first in (proxied.LOCAL, b"PROXY UNKNOWN\r\n", proxied.UNIX):
        since = len(said(server))
        with Line(server.at("imaps"), first, tls=True) as line:
            line.line()
            assert line.login().startswith(b"a OK")
            assert await_row(server, since, event="Login")["rip"] == "127.0.0.3"


@pytest.mark.parametrize("first", [b"a NOOP\r\n", b"\x16\x03\x01\x02\x00\x01", header(CLIENT)[:12] + b"\x31" + header(CLIENT)[13:],
                                   proxied.summed(CLIENT, wrong=1), b"PROXY TCP4 x y 1 2\r\n"])
def test_a_proxy_must_send_a_header(server, first):
    since = len(said(server))
    for service in ("imap", "imaps", "lmtp"):
        behind = len(said(server))
        with Line(server.at(service), first) as line:
            assert line.line() == b""
        row = await_row(server, behind, event="a proxy's connection is closed", level="warning")
        assert row["rip"].startswith("127.0.0.3")
    assert not [r for r in said(server)[since:] if r["event"] == "Disconnected" and r.get("rip") == "127.0.0.3"], "this bans the proxy"


def test_a_checksum_that_fits(server):
    with Line(server.at("imap"), proxied.summed(CLIENT)) as line:
        assert line.line().startswith(b"* OK")


def test_of_others_a_header_is_garbage(server):
    with Line(server.at("imap"), source="127.0.0.1") as line:
        assert line.line().startswith(b"* OK")
        line.send(b"PROXY TCP4 203.0.113.8 198.51.100.2 1 2\r\n")
        assert b" BAD " in line.line()
    with Line(server.address("imap"), source="127.0.0.3") as line:  # no mark there
        assert line.line().startswith(b"* OK")
        line.send(header(CLIENT) + b"\r\n")
        assert b"BAD" in line.line()


def test_lmtp(server):
    since = len(said(server))
    with Line(server.at("lmtp"), header(CLIENT)) as line:
        assert line.line().startswith(b"220 ")
        line.send(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<carol>\r\nDATA\r\nSubject: by proxy\r\n\r\nx\r\n.\r\nQUIT\r\n")
        text = line.file.read()
        assert b"250 2.0.0 <carol> Saved" in text, text
    with Line(server.at("lmtp"), header("198.51.100.77")) as line:
        assert line.line() == b""
    row = await_row(server, since, event="Refused", service="lmtp", rip="198.51.100.77:4660")
    assert "lmtp_networks" in row["error"]
    with Line(server.at("lmtp"), proxied.UNIX) as line:  # a unix socket of the proxy's is none of ours
        assert line.line() == b""
    with Line(server.at("imaps"), header(CLIENT), tls=True) as line:
        line.line()
        line.login("carol")
        line.ask("b SELECT INBOX")
        assert b"[203.0.113.7]" in b"".join(line.ask("c FETCH 1 BODY[HEADER.FIELDS (RECEIVED)]"))


def test_networks_of_logins(server):
    with Line(server.at("imaps"), header(DENIED), tls=True) as line:
        line.line()
        assert b"AUTHENTICATIONFAILED" in line.login()


def test_crowd(server):
    """The cap of connections before login is the client's: others behind the same proxy stay."""
    other = Line(server.at("imap"), header("203.0.113.200"))
    other.line()
    lines = [Line(server.at("imap"), header("203.0.113.201")) for _ in range(201)]
    assert b"BYE" in lines[0].file.read()
    assert all(line.line().startswith(b"* OK") for line in lines[1:])
    assert other.ask("a NOOP")[-1].startswith(b"a OK")
    for line in [other, *lines]:
        line.close()


def test_a_header_in_time_and_the_mark_by_reload():
    server = Marked({"proxy_networks": ["127.0.0.3"], "test_preauth_time": "1s"})
    try:
        for service in ("imap", "lmtp"):
            with Line(server.at(service), header(CLIENT)[:20]) as line:
                assert line.line() == b""
        deadline = time.monotonic() + 30  # the socket is closed before the line is written
        while "No PROXY header in time" not in server.stderr():
            assert time.monotonic() < deadline, server.stderr()
            time.sleep(0.02)
        kept = server.marked
        server.marked = {}
        server.ports["imap2"] = kept["imap"]  # the same address, without its mark
        text = server.config.read_text().replace(" proxy\"", "\"")
        server.config.write_text(text)
        posthorn.run_verb("reload", "-c", server.config)
        with Line(("127.0.0.1", kept["imap"])) as line:
            assert line.line().startswith(b"* OK")
        with Line(("127.0.0.1", kept["lmtp"]), source="127.0.0.1") as line:
            assert line.line().startswith(b"220")
    finally:
        server.stop()


# ---- ID of trusted networks ----

def identify(line, **fields):
    pairs = " ".join(f'"{name.replace("_", "-")}" "{value}"' for name, value in fields.items())
    return line.ask(f"i ID ({pairs})")[-1]


def test_a_trusted_id(server):
    since = len(said(server))
    with Line(server.address("imaps"), tls=True, source="127.0.0.2") as line:
        line.line()
        assert identify(line, name="webmail", x_originating_ip="203.0.113.44", x_originating_port="5", x_connected_ip="198.51.100.9",
                        x_proxy_ttl="4", x_session_id="ab/CD+1").startswith(b"i OK")
        assert b"AUTHENTICATIONFAILED" in line.login(password="wrong")
        assert await_row(server, since, event="Refused", role="auth")["rip"] == "203.0.113.44"
        assert line.login().startswith(b"a OK")
        row = await_row(server, since, event="Login")
        assert (row["rip"], row["lip"], row["proxy_session"]) == ("203.0.113.44", "198.51.100.9", "ab/CD+1")


@pytest.mark.parametrize("source,fields", [("127.0.0.1", {"x_originating_ip": "203.0.113.44"}),
                                           ("127.0.0.2", {"x_originating_ip": "203.0.113.444"}),
                                           ("127.0.0.2", {"x_originating_ip": "203.0.113.44, rip=x"})])
def test_what_is_not_believed(server, source, fields):
    since = len(said(server))
    with Line(server.address("imaps"), tls=True, source=source) as line:
        line.line()
        identify(line, **fields)
        assert line.login().startswith(b"a OK")
        assert await_row(server, since, event="Login")["rip"] == source


def test_the_client_of_a_proxy_is_trusted_as_itself(server):
    """The proxy is of trusted_networks, too: what it passes on is its client's word, not its own."""
    for first, told in ((header(CLIENT), CLIENT), (header("127.0.0.2"), "203.0.113.45"), (b"PROXY UNKNOWN\r\n", "127.0.0.3"),
                        (proxied.UNIX, "127.0.0.3")):
        since = len(said(server))
        with Line(server.at("imaps"), first, tls=True) as line:
            line.line()
            identify(line, x_originating_ip="203.0.113.45")
            assert line.login().startswith(b"a OK")
            assert await_row(server, since, event="Login")["rip"] == told


@pytest.mark.parametrize("tls", [False, True])
def test_nobody_is_trusted_after_unauthenticate(server, tls):
    """A proxy passes on what its client says after the login: the ID behind UNAUTHENTICATE may be the client's own."""
    since = len(said(server))
    address, first = (server.address("imaps"), b"") if tls else (server.at("imap"), header("127.0.0.2", tlvs=proxied.TLS))
    with Line(address, first, tls=tls, source="127.0.0.2" if tls else "127.0.0.3") as line:
        line.line()
        identify(line, x_originating_ip="203.0.113.46")
        assert line.login().startswith(b"a OK")
        line.ask("b UNAUTHENTICATE")
        identify(line, x_originating_ip="198.51.100.99")
        assert line.login("bob").startswith(b"a OK")
        assert await_row(server, since, event="Login", user="bob")["rip"] == "203.0.113.46"


def test_starttls_forgets_what_was_told_in_the_clear(server):
    since = len(said(server))
    with Line(server.address("imap"), source="127.0.0.2") as line:
        line.line()
        identify(line, x_originating_ip="203.0.113.44", x_session_id="x")
        line.ask("a STARTTLS")
        line.secure()
        assert line.login().startswith(b"a OK")
        row = await_row(server, since, event="Login")
        assert row["rip"] == "127.0.0.2" and "proxy_session" not in row
