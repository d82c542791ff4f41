"""Postfix as the smarthost that relays what users submit: verified TLS, AUTH, DSN, SMTPUTF8, a refused recipient, and a Postfix that is away.
It asks this server for passwords, and hands local mail back by LMTP."""
import os
import shutil
import subprocess

import pytest

from lib import client, server as posthorn
from lib.peers import free_ports, make_certificate
from lib.waiting import wait_for
from test_postfix import running
from test_submission import Talk

MORE = """smtpd_tls_cert_file = {dir}/cert.pem
smtpd_tls_key_file = {dir}/key.pem
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dir}/auth
smtpd_sasl_mechanism_filter = plain
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ no@far.test=550 5.7.1 not to them }} }}, permit_sasl_authenticated, reject"""


class Sender(posthorn.Server):
    """A server whose mail goes out through a Postfix on this port."""

    def __init__(self, folder, port, **settings):
        super().__init__({"relay_host": f"localhost:{port}", "relay_tls": "starttls", "relay_ca": f"{folder}/cert.pem", "relay_user": "alice",
                          "relay_password_file": f"{folder}/password", "auth_service": [f"unix:{folder}/auth"], "local_domains": ["example.test"],
                          "test_relay_retry_ms": 300, "relay_delay_report": "0s", **settings}, services=(*posthorn.SERVICES, "submission"))
        shutil.chown(f"{folder}/auth", "postfix")

    def queue(self):
        return [p.name for p in (self.data / "queue").iterdir()]

    def texts(self, user):
        imap = client.Imap(self.address("imap"), user, posthorn.PASSWORD)
        try:
            found = imap.fetch("1:*", "(BODY.PEEK[])") if imap.select("INBOX")["EXISTS"] else {}
            return [values["BODY[]"].decode() for values in found.values()]
        finally:
            imap.close()

    def has(self, user, *words):
        """The message of this user's in which all of these stand."""
        return wait_for(lambda: [t for t in self.texts(user) if all(w in t for w in words)], f"{words} did not come")[0]


@pytest.fixture(name="folder")
def one_folder(tmp_path):
    if os.getuid() != 0:
        pytest.fail("Postfix can only be started by root")
    make_certificate(tmp_path)
    (tmp_path / "password").write_text(posthorn.PASSWORD + "\n")
    for path in (tmp_path, *tmp_path.parents[:3]):
        os.chmod(path, os.stat(path).st_mode | 0o055)
    posthorn.give_to_service(tmp_path)
    return tmp_path


def submit(talk, to, text, params="", options=""):
    assert talk.ask(f"MAIL FROM:<alice@example.test>{params}").startswith("250"), talk.lines
    for one in to:
        assert talk.ask(f"RCPT TO:<{one}>{options}").startswith("250"), talk.lines
    assert talk.data(text + ".\r\n").startswith("250 2.0.0"), talk.lines


def test_postfix_is_the_smarthost(folder, tmp_path_factory):
    port = free_ports(1)[0]
    server = Sender(folder, port)
    try:
        with running(server, tmp_path_factory, MORE.format(dir=folder), port=port) as (_, log):
            talk = Talk(server.ports["submission"])
            submit(talk, ["bob@example.test"], "Subject: by postfix\r\n\r\n.. dots \xe4\r\n", " BODY=8BITMIME")
            text = server.has("bob", "Subject: by postfix\r\n", "\r\n\r\n. dots \xe4\r\n")
            assert "(using TLS" in text and "with ESMTPSA id" in text
            submit(talk, ["bob@example.test"], "Subject: gr\xfc\xdfe\r\n\r\nx\r\n", " SMTPUTF8 BODY=8BITMIME")
            assert "UTF8SMTPSA" in server.has("bob", "Subject: gr\xfc\xdfe\r\n")
            submit(talk, ["bob@example.test"], "Subject: tell me\r\n\r\nx\r\n", " RET=HDRS ENVID=e-1", " NOTIFY=SUCCESS ORCPT=rfc822;bob@example.test")
            report = server.has("alice", "message/delivery-status", "Subject: tell me")
            assert "Original-Envelope-Id: e-1" in report and "Status: 2." in report and "bob@example.test" in report and "Action: delivered" in report
            submit(talk, ["bob@example.test", "no@far.test"], "Subject: two\r\n\r\nx\r\n")
            server.has("bob", "Subject: two\r\n")
            report = server.has("alice", "message/delivery-status", "Subject: two")
            assert "550 5.7.1" in report and "no@far.test" in report and "Action: failed" in report
            assert "sasl_method=PLAIN, sasl_username=alice" in log.read_text()
            stopped = subprocess.run(["postfix", "-c", str(log.parent / "etc"), "stop"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            assert stopped.returncode == 0, stopped.stdout
            submit(talk, ["bob@example.test"], "Subject: later\r\n\r\nx\r\n")
            wait_for(lambda: "deferred" in posthorn.run_verb("queue", "list", "--data", server.data).decode() or "refused" in server.stderr())
            assert server.queue() and not [t for t in server.texts("bob") if "Subject: later" in t]
            started = subprocess.run(["postfix", "-c", str(log.parent / "etc"), "start"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            assert started.returncode == 0, started.stdout
            server.has("bob", "Subject: later\r\n")
            wait_for(lambda: not server.queue())
            assert len([t for t in server.texts("alice") if "Subject: tell me" in t]) == 1
            for subject in ("by postfix", "gr\xfc\xdfe", "tell me", "two", "later"):
                assert len([t for t in server.texts("bob") if f"Subject: {subject}\r\n" in t]) == 1, subject
    finally:
        server.stop()


def test_another_postfix_hears_nothing(folder, tmp_path_factory):
    """Its certificate is not the one that is trusted: no password, no mail; the queue waits."""
    port = free_ports(1)[0]
    server = Sender(folder, port)
    other = tmp_path_factory.mktemp("other")
    make_certificate(other)
    more = MORE.format(dir=folder).replace(f"{folder}/cert.pem", f"{other}/cert.pem").replace(f"{folder}/key.pem", f"{other}/key.pem")
    try:
        with running(server, tmp_path_factory, more, port=port) as (_, log):
            submit(Talk(server.ports["submission"]), ["bob@example.test"], "Subject: secret\r\n\r\nx\r\n")
            wait_for(lambda: "the smarthost's certificate is not one for localhost: self-signed certificate" in server.stderr())
            wait_for(lambda: "SSL_accept error" in log.read_text())
            assert server.queue() and not server.texts("bob") and "sasl_username" not in log.read_text()
    finally:
        server.stop()
