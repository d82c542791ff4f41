"""testssl.sh (Debian's) against the gate: no finding of MEDIUM or worse. The certificate is signed by a CA of the test's own,
which testssl.sh is told to trust: that a certificate is self-signed is a finding about the installation."""
import json
import socket
import ssl
import subprocess

import pytest

from .conftest import Target

BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN")
# Of the test, not of the server. Whether sessions resume is asked below: testssl.sh takes a resumed connection, which shows no
# certificate, for none when its client ends with an error, as it does when the greeting comes after its end of input.
IGNORED = ("DNS_CAArecord", "scanTime", "engine_problem", "sessionresumption_ticket", "sessionresumption_ID")
QUICK = ("--protocols", "--server-defaults", "--heartbleed", "--ccs-injection", "--ticketbleed", "--renegotiation")
WHOLE = ("--protocols", "--std", "--pfs", "--server-preference", "--server-defaults", "--vulnerable", "--grease")

CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
LEAF_EXTENSIONS = """basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
crlDistributionPoints=URI:http://crl.test/ca.crl
"""


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def key_and_request(folder, name, subject):
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
            "-keyout", f"{name}.key", "-out", f"{name}.req")


def certificate_of_a_ca(folder):
    """cert.pem and key.pem as the server reads them; ca.pem."""
    (folder / "ca.ext").write_text(CA_EXTENSIONS)
    (folder / "leaf.ext").write_text(LEAF_EXTENSIONS)
    key_and_request(folder, "ca", "/CN=Test CA")
    openssl(folder, "x509", "-req", "-in", "ca.req", "-signkey", "ca.key", "-days", "300", "-extfile", "ca.ext", "-out", "ca.pem")
    key_and_request(folder, "leaf", "/CN=localhost")
    openssl(folder, "x509", "-req", "-in", "leaf.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "200",
            "-extfile", "leaf.ext", "-out", "leaf.pem")
    (folder / "cert.pem").write_bytes((folder / "leaf.pem").read_bytes() + (folder / "ca.pem").read_bytes())
    (folder / "key.pem").write_bytes((folder / "leaf.key").read_bytes())


class Scan:
    """testssl.sh at work on one port: mostly it waits, so both ports are scanned at once."""

    def __init__(self, target, service, parts):
        self.target, self.out = target, target.dir / f"{service}.json"
        words = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--nodns", "min", "--ip", "127.0.0.1", "--add-ca", "ca.pem",
                 "--jsonfile", str(self.out), *parts, *(("--starttls", "imap") if service == "imap" else ())]
        self.process = subprocess.Popen([*words, f"localhost:{target.ports[service]}"], cwd=target.dir, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def findings(self):
        """A list of {id, severity, finding}, and what was said."""
        said = self.process.communicate(timeout=1800)[0].decode(errors="replace")
        assert self.out.exists(), said
        return json.loads(self.out.read_text()), said


@pytest.fixture(scope="module")
def scans(long_form):
    target = Target(start=False)
    certificate_of_a_ca(target.dir)
    target.start()
    found = {service: Scan(target, service, WHOLE if long_form else QUICK) for service in ("imaps", "imap")}
    yield found
    for scan in found.values():
        if scan.process.poll() is None:
            scan.process.kill()
            scan.process.wait()
    target.stop()


@pytest.mark.parametrize("service", ["imaps", "imap"])
def test_testssl(scans, service):
    found, said = scans[service].findings()
    bad = [f"{f['id']}: {f['severity']}: {f['finding']}" for f in found if f["severity"] in BAD and f["id"] not in IGNORED]
    assert not bad, "\n".join(bad) + "\n" + said[-6000:]
    seen = {f["id"]: f["finding"] for f in found}
    for protocol in ("TLS1_2", "TLS1_3"):
        assert seen[protocol].startswith("offered"), seen[protocol]
    assert seen["heartbleed"].startswith("not vulnerable") and seen["cert_trust"].startswith("Ok"), seen


@pytest.mark.parametrize("group", ["ffdhe2048", "ffdhe8192"])
def test_costly_groups_are_refused(scans, group):
    """In TLS 1.3 the client chooses the group; in ffdhe8192 a stranger's handshake costs the gate many times its own."""
    host, port = scans["imaps"].target.address("imaps")
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-groups", group, "-brief"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    assert b"handshake failure" in done.stdout and b"ESTABLISHED" not in done.stdout, done.stdout


def test_tickets_resume(scans):
    """The second connection, in TLS 1.2 and 1.3, takes up the session of the first."""
    target = scans["imaps"].target
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=target.dir / "ca.pem")
        context.minimum_version = context.maximum_version = version
        session, reused = None, []
        for _ in range(2):
            with socket.create_connection(target.address("imaps"), timeout=30) as plain:
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                    assert tls.recv(1000).startswith(b"* OK")  # in 1.3 the ticket comes before it
                    session = tls.session
                    reused.append(tls.session_reused)
        assert reused == [False, True], (version, reused)
