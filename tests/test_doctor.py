"""`posthorn doctor ADDRESS`: a whole installation seen as mail clients see it, with a DNS and an authority of the test's own."""
import json
import os
import random
import re
import socket
import ssl
import subprocess
import threading

import pytest

from lib import peers, server as posthorn
from lib.smarthost import Smarthost
from lib.zone import Zone

NAMES = ("mail.example.org", "smtp.example.org", "autoconfig.example.org", "autodiscover.example.org", "ua-auto-config.example.org", "localhost")
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="the documents are on port 443: needs root")


def doctor(zone, *words, address="alice@example.org"):
    """(exit status, [(name, finding, message, hint)], what is on standard error)"""
    done = subprocess.run([posthorn.binary(), "doctor", address, "--resolver", zone.address, "--json", *map(str, words)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=posthorn.environment(), timeout=120, check=False)
    assert not posthorn.REPORT.search(done.stderr.decode()), done.stderr.decode()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [(r["name"], r["finding"], r["message"], r.get("hint", "")) for r in rows], done.stderr.decode()


class Installation(posthorn.Server):
    def __init__(self):
        self.ip = "127." + ".".join(str(random.randrange(2, 250)) for _ in range(3))
        super().__init__(start=False, plaintext=False, services=("imap", "lmtp", "managesieve"), settings={
            "announce_host": "mail.example.org", "local_domains": ["example.org"], "imaps": [f"{self.ip}:993"], "https": [f"{self.ip}:443"]})
        peers.make_authority(self.dir, NAMES)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir / "cert.pem", self.dir / "key.pem")
        self.smtp = Smarthost(tls=context, implicit=True, users={"alice": "secret"})
        self.settings["announce"] = [f"submissions smtp.example.org:{self.smtp.port}"]
        self.write_config()
        self.authority = self.dir / "authority.pem"
        self.start()
        self.zone = self.new_zone()

    def new_zone(self):
        zone = Zone()
        zone.put_text(posthorn.run_verb("dns", "example.org", "-c", self.config).decode())
        zone.put("example.org", "MX", "10 mail.example.org.")
        zone.put("mail.example.org", "A", self.ip)
        zone.put("smtp.example.org", "A", "127.0.0.1")
        return zone


@pytest.fixture(scope="module")
def here():
    own = Installation()
    # imap and sieve listen on another address than imaps: one that does not answer stands before it
    own.zone.records[("mail.example.org", "A")] = [own.ip, "127.0.0.1"]
    yield own
    own.zone.close()
    own.smtp.close()
    own.stop()


def by_name(rows):
    return {name: (finding, message, hint) for name, finding, message, hint in rows}


def test_all_is_well(here):
    """The records that `posthorn dns` prints lead to everything, and everything is as it should be."""
    code, rows, error = doctor(here.zone, "--ca", here.authority)
    found = by_name(rows)
    assert code == 0 and not error, "\n".join(map(str, rows))
    assert [r for r in rows if r[1] == "WRONG"] == []
    for step in ("MX", "SRV _imaps", "SRV _imap", "SRV _submissions", "SRV _sieve", "TXT mailconf", "TXT _ua-auto-config", "Thunderbird", "Outlook",
                 "Outlook (v2)", "PACC", "Apple signature", "Apple profile", "server imaps", "server imap", "server submissions", "server sieve"):
        assert found[step][0] == "ok", (step, found[step])
    assert found["SRV _pop3s"][1] == "not offered, says the record"
    assert re.search(r"TLSv1\.3, certificate good for (29|30) days$", found["server imaps"][1]), found["server imaps"]
    assert found["MX"][1] == "mail.example.org"
    # every server once, though five documents and the DNS name it
    assert [name for name, *_ in rows].count("server imaps") == 1


# --json: doctor
def test_plain_and_json_say_the_same(here):
    plain = subprocess.run([posthorn.binary(), "doctor", "alice@example.org", "--resolver", here.zone.address, "--ca", here.authority],
                           stdout=subprocess.PIPE, env=posthorn.environment(), timeout=120, check=True).stdout.decode()
    plain = re.sub(r"for \d+ days", "for N days", plain)  # a day may end between the two
    for name, finding, message, hint in doctor(here.zone, "--ca", here.authority)[1]:
        message = re.sub(r"for \d+ days", "for N days", message)
        assert any(line.startswith(name) and f" {finding} " in line and line.endswith(message) for line in plain.splitlines()), (name, plain)
        assert not hint or f"-> {hint}\n" in plain


def test_an_unknown_authority(here):
    """Without --ca nobody knows who signed: each way ends at the certificate, and is WRONG."""
    code, rows, _ = doctor(here.zone)
    found = by_name(rows)
    assert code == 1
    for step in ("Thunderbird", "Outlook", "PACC", "server imaps", "server imap", "server submissions"):
        assert found[step][0] == "WRONG" and "certificate" in found[step][1] + found[step][2], (step, found[step])


def test_nothing_is_there(here):
    """A domain without anything: warnings with hints, and that no way leads to mail is WRONG."""
    zone = Zone()
    zone.put("empty.example", "TXT", '"v=spf1 -all"')
    code, rows, _ = doctor(zone, "--ca", here.authority, address="x@empty.example")
    found = by_name(rows)
    assert code == 1 and found["reading mail"][0] == "WRONG" and found["sending mail"][0] == "warning"
    assert found["MX"][0] == found["SRV _imaps"][0] == found["Thunderbird"][0] == found["Outlook"][0] == "warning"
    assert "posthorn dns" in found["SRV _imaps"][2]
    assert ("autoconfig.empty.example", "A") in zone.asked and ("_imaps._tcp.empty.example", "SRV") in zone.asked
    zone.close()


def test_no_answer_at_all(here):
    """A resolver that says nothing is told at once, not once for each step."""
    zone = Zone()
    zone.silent = True
    code, rows, _ = doctor(zone)
    assert code == 1 and [r[:2] for r in rows] == [("MX", "WRONG")] and "resolver" in rows[0][3]
    zone.close()


@pytest.mark.parametrize("record", ["v=UAAC1; a=sha256; d=AAAA", "v=UAAC1;a=sha256;d=AAAA"])
def test_a_digest_that_is_not_of_the_document(here, record):
    zone = here.new_zone()
    zone.records[("_ua-auto-config.example.org", "TXT")] = [f'"{record}"']
    found = by_name(doctor(zone, "--ca", here.authority)[1])
    assert found["PACC"][0] == "WRONG" and "digest" in found["PACC"][1]
    zone.close()


def test_a_record_without_a_digest(here):
    zone = here.new_zone()
    zone.records[("_ua-auto-config.example.org", "TXT")] = ['"v=UAAC1; a=sha256"']
    found = by_name(doctor(zone, "--ca", here.authority)[1])
    assert found["TXT _ua-auto-config"][0] == "WRONG" and "posthorn dns" in found["TXT _ua-auto-config"][2]
    zone.close()


class Odd:
    """A server on port 993 of an address of its own that says what it is told, over TLS."""

    def __init__(self, here, answer, pair=("cert.pem", "key.pem")):
        self.ip = "127." + ".".join(str(random.randrange(2, 250)) for _ in range(3))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*(here.dir / name for name in pair))
        self.answer = answer
        self.listener = socket.create_server((self.ip, 993))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
                with self.context.wrap_socket(sock, server_side=True) as tls:
                    tls.sendall(self.answer)
                    tls.recv(1000)
                    tls.unwrap()
            except OSError:
                if self.listener.fileno() < 0:
                    return

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("answer, told", [
    (b"* BYE full\r\n", "it greets by: * BYE full"),
    (b"* OK x\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED\r\na OK\r\n", "offers no way to log in"),
    (b"* OK x\r\n" + b"x" * 100000, "lines without end"),
    (b"* OK x\r\n" + b"* x\r\n" * 1000, "lists without end"),
    (b"* OK x\r\na", "TLS failed"),
    (b"SSH-2.0-x\r\n", "it greets by: SSH-2.0-x"),
])
def test_odd_servers(here, answer, told):
    odd, zone = Odd(here, answer), Zone()
    zone.put("_imaps._tcp.example.org", "SRV", "0 1 993 mail.example.org.")
    zone.put("mail.example.org", "A", odd.ip)
    found = by_name(doctor(zone, "--ca", here.authority)[1])
    assert found["server imaps"][0] == "WRONG" and told in found["server imaps"][1], found["server imaps"]
    zone.close()
    odd.close()


def test_a_name_that_the_certificate_lacks(here):
    zone = here.new_zone()
    zone.records[("_imaps._tcp.example.org", "SRV")] = ["0 1 993 other.example.org."]
    zone.put("other.example.org", "A", here.ip)
    zone.put("_pop3s._tcp.example.net", "SRV", "0 1 995 nowhere.example.org.")
    rows = doctor(zone, "--ca", here.authority)[1]
    lacking = [r for r in rows if r[0] == "server imaps" and "other.example.org" in r[2]]
    assert lacking and lacking[0][1] == "WRONG" and "not good for this name" in lacking[0][2]
    found = by_name(doctor(zone, "--ca", here.authority, address="a@example.net")[1])
    assert "no address in the DNS" in found["server pop3s"][1]
    zone.close()


def test_a_certificate_that_is_not_for_servers(here):
    """Also behind a profile whose signature is good: clients refuse it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=other",
                    "-addext", "subjectAltName=DNS:other.example.org", "-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-CA", "authority.pem", "-CAkey", "authority-key.pem", "-keyout", "client-key.pem", "-out", "client.pem"],
                   check=True, capture_output=True, cwd=here.dir)
    odd, zone = Odd(here, b"* OK x\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK\r\n", ("client.pem", "client-key.pem")), here.new_zone()
    zone.records[("_imaps._tcp.example.org", "SRV")] = ["0 1 993 other.example.org."]
    zone.put("other.example.org", "A", odd.ip)
    rows = doctor(zone, "--ca", here.authority)[1]
    assert by_name(rows)["Apple signature"][0] == "ok"
    other, = [r for r in rows if r[0] == "server imaps" and "other.example.org" in r[2]]
    assert other[1] == "WRONG" and "certificate" in other[2], other
    zone.close()
    odd.close()


@pytest.mark.parametrize("words, code", [(("nonsense",), 2), (("a@example.org", "--resolver", "not-an-address"), 2), (("a@example.org", "--ca", "/none"), 2),
                                         (("a@example.org", "b"), 2)])
def test_wrong_usage(words, code):
    done = subprocess.run([posthorn.binary(), "doctor", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=posthorn.environment(), timeout=60,
                          check=False)
    assert done.returncode == code and done.stderr and not posthorn.REPORT.search(done.stderr.decode())
