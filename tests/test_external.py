"""EXTERNAL by client certificate (RFC 4422 appendix A, RFC 9051 section 6.2.2): whose it is, and whose it is not."""
import base64
import ssl
import subprocess

import pytest

from lib import server as posthorn
from lib.peers import free_ports
from lib.wire import Closed, Wire, client_tls


def openssl(*words, text=None):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, input=text)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name, self.count = folder, name, 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")

    def client(self, subject, emails=(), days=2, usage="clientAuth"):
        """The path of a certificate and of its key."""
        self.count += 1
        base = self.folder / f"{self.name}-{self.count}"
        names = "".join(f"subjectAltName={','.join(f'email:{e}' for e in emails)}\n" if emails else "")
        base.with_suffix(".ext").write_text(f"extendedKeyUsage={usage}\n{names}")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", f"{base}.key", "-out", f"{base}.csr")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.folder / f"{self.name}.pem", "-CAkey", self.folder / f"{self.name}.key", "-CAcreateserial",
                "-days", days, "-extfile", base.with_suffix(".ext"), "-out", f"{base}.pem")
        return f"{base}.pem", f"{base}.key"


class WithAuthority(posthorn.Server):
    def __init__(self, authority, name="email", **settings):
        self.authority, self.name_from = authority, name
        super().__init__({"master_users": ["carol"], **settings})

    def write_config(self):
        super().write_config()
        if self.authority is None:
            return
        text = self.config.read_text()
        more = f'client_ca = "{self.authority.folder}/{self.authority.name}.pem"  client_name = "{self.name_from}" '
        self.config.write_text(text.replace("tls { ", "tls { " + more))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "theirs")


@pytest.fixture(name="server", scope="module")
def one_server(authority):
    own = WithAuthority(authority)
    for user in ("ann@example.org", "second@example.org"):
        own.user_add(user)
    yield own
    own.stop()


class Shown(Wire):
    """A connection that shows a certificate; forged: whatever its authorities are."""

    def __init__(self, server, pair=None, starttls=False, resume=None):
        super().__init__(server.address("imap" if starttls else "imaps"), timeout=30)
        if starttls:
            self.line()
            self.send(b"s STARTTLS\r\n")
            assert self.line().startswith(b"s OK")
        self.context = resume.context if resume else client_tls()
        if pair:
            self.context.load_cert_chain(*pair)
        self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost", session=resume.sock.session if resume else None)


def offered(wire):
    wire.send(b"c CAPABILITY\r\n")
    line = wire.line()
    while not line.startswith(b"* CAPABILITY"):
        line = wire.line()
    wire.line()
    return b" AUTH=EXTERNAL" in line


def external(wire, authzid="", initial=True):
    """The tagged answer."""
    said = base64.b64encode(authzid.encode()) or b"="
    wire.send(b"a AUTHENTICATE EXTERNAL" + (b" " + said if initial else b"") + b"\r\n")
    line = wire.line()
    while line.startswith(b"*"):
        line = wire.line()
    if line.startswith(b"+"):
        wire.send((b"" if said == b"=" else said) + b"\r\n")
        line = wire.line()
    return line.decode()


def test_a_certificate_logs_in(server, authority):
    pair = authority.client("/CN=x", ["ann@example.org"])
    for starttls in (False, True):
        for authzid, initial in (("", True), ("", False), ("ann@example.org", True), ("ANN@example.org", False)):
            wire = Shown(server, pair, starttls)
            assert offered(wire)
            assert external(wire, authzid, initial).startswith("a OK")
            wire.close()
    assert "method=EXTERNAL" in [line for line in server.stderr().splitlines() if "Login:" in line][-1]
    # a password does as well
    wire = Shown(server, pair)
    assert b" AUTH=EXTERNAL" in wire.line()
    wire.send(b"a LOGIN bob secret\r\n")
    assert wire.line().startswith(b"a OK")
    wire.close()


def test_without_a_certificate(server):
    wire = Shown(server)
    assert not offered(wire)
    assert external(wire, "ann@example.org").startswith("a NO")
    wire.close()
    wire = Wire(server.address("imap"))
    assert not offered(wire)
    assert external(wire, "ann@example.org").startswith("a NO")
    wire.close()


@pytest.mark.parametrize("subject, emails", [("/CN=ann@example.org", []), ("/CN=x", ["ann@example.org", "second@example.org"]),
                                             ("/CN=x/emailAddress=ann@example.org", [])])
def test_without_the_field(server, authority, subject, emails):
    """Dovecot CVE-2019-3814: a certificate without the user's name, and a name beside it."""
    for authzid in ("", "ann@example.org"):
        wire = Shown(server, authority.client(subject, emails))
        assert external(wire, authzid).startswith("a NO")
        wire.close()


def test_acting_for_another(server, authority):
    for emails, authzid, want in ((["ann@example.org"], "bob", "a NO [AUTHORIZATIONFAILED]"), (["nobody@example.org"], "", "a NO [AUTHENTICATIONFAILED]"),
                                  (["nobody@example.org"], "bob", "a NO [AUTHENTICATIONFAILED]")):
        wire = Shown(server, authority.client("/CN=x", emails))
        assert external(wire, authzid).startswith(want), (emails, authzid)
        wire.close()


def refused(server, pair):
    try:
        wire = Shown(server, pair)
        wire.line()
        wire.send(b"a NOOP\r\n")
        wire.line()
        return False
    except (ssl.SSLError, Closed, OSError):
        return True


def test_certificates_that_are_not_good(server, authority, stranger):
    assert refused(server, stranger.client("/CN=x", ["ann@example.org"]))
    assert refused(server, authority.client("/CN=x", ["ann@example.org"], usage="serverAuth"))
    assert not refused(server, authority.client("/CN=x", ["ann@example.org"]))


def resumed(server, first):
    """(was it resumed, the answer to EXTERNAL or None when the connection was ended)"""
    wire = Shown(server, resume=first)
    was = wire.sock.session_reused
    try:
        return was, external(wire)
    except (ssl.SSLError, Closed, OSError):
        return was, None
    finally:
        wire.close()


def test_resumption(authority, stranger):
    """A session goes on with its certificate, but not when its authority is trusted no more; nor does EXTERNAL then go on without any."""
    server = WithAuthority(authority)
    try:
        server.user_add("ann@example.org")
        first = Shown(server, authority.client("/CN=x", ["ann@example.org"]))
        assert external(first).startswith("a OK")
        was, answer = resumed(server, first)
        assert was and answer.startswith("a OK")
        server.authority = stranger
        server.reload()
        assert resumed(server, first) == (False, None)
        held = Shown(server, stranger.client("/CN=x", ["ann@example.org"]))
        assert offered(held)
        server.authority = None
        server.reload()
        wire = Shown(server)
        assert not offered(wire)
        wire.close()
        assert external(held).startswith("a NO")  # its handshake was before
        held.close()
    finally:
        server.stop()


def test_the_common_name(authority):
    server = WithAuthority(authority, name="cn")
    try:
        for subject, authzid, want in (("/CN=alice", "", "a OK"), ("/CN=carol", "bob", "a OK"), ("/CN=alice", "bob", "a NO [AUTHORIZATIONFAILED]"),
                                       ("/CN=alice/CN=bob", "", "a NO"), ("/O=alice", "alice", "a NO")):
            wire = Shown(server, authority.client(subject))
            assert external(wire, authzid).startswith(want), subject
            wire.close()
    finally:
        server.stop()


def test_https_asks_for_none(authority):
    """Nobody logs in there: a browser would ask its user which certificate to show."""
    port, = free_ports(1)
    own = WithAuthority(authority, https=[f"127.0.0.1:{port}"])
    try:
        for at, asks in ((own.ports["imaps"], True), (port, False)):
            said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{at}"], input=b"", capture_output=True, check=False).stdout
            assert b"BEGIN CERTIFICATE" in said
            assert (b"No client certificate CA names sent" not in said) == asks
    finally:
        own.stop()
