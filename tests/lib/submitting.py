"""A mail transfer agent whose clients are asked for by a server's auth_service: what every agent must do."""
import base64
import contextlib
import os
import secrets
import signal
import smtplib

import pytest

from . import scram
from .wire import client_tls


@contextlib.contextmanager
def serving(where, tmp_path_factory, owner):
    """The path of the socket, which belongs to `owner`."""
    folder = tmp_path_factory.mktemp("auth")
    for parent in (folder, *folder.parents[:3]):
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
    path = folder / "auth"
    where.reload(auth_service=[f"unix:{path}"], plaintext_auth=False)
    try:
        if os.getuid() == 0:
            os.chown(path, *owner)
        yield path
    finally:
        where.reload(auth_service=[], plaintext_auth=True)


def connect(port, tls=True):
    smtp = smtplib.SMTP("127.0.0.1", port, timeout=60)
    smtp.ehlo()
    if tls:
        smtp.starttls(context=client_tls())
        smtp.ehlo()
    return smtp


def scram_client(user, password):
    """For smtplib's auth(): each call is one response."""
    bare, steps = f"n={user},r={secrets.token_urlsafe(18)}", []

    def respond(challenge=None):
        steps.append(challenge)
        if challenge is None:
            return "n,," + bare
        text = challenge.decode()
        if text.startswith("v="):
            assert text == f"v={respond.proof}"
            return ""
        said = dict(part.split("=", 1) for part in text.split(","))
        client, stored, server = scram.keys(scram.salted_password(password, base64.b64decode(said["s"]), int(said["i"])))
        final = f"c=biws,r={said['r']}"
        message = f"{bare},{text},{final}".encode()
        respond.proof = scram.b64(scram.hmac.digest(server, message, "sha256"))
        proof = bytes(a ^ b for a, b in zip(client, scram.hmac.digest(stored, message, "sha256")))
        return f"{final},p={scram.b64(proof)}"
    return respond


def refusal(port, user, password, mechanism="plain"):
    smtp = connect(port)
    smtp.user, smtp.password = user, password
    with pytest.raises(smtplib.SMTPAuthenticationError) as error:
        smtp.auth(mechanism.upper(), getattr(smtp, f"auth_{mechanism}"))
    smtp.close()
    return error.value.smtp_code, error.value.smtp_error


def check_logins(where, port, user, mechanisms):
    """Right, wrong and unknown, each mechanism, and only in TLS."""
    open_smtp = connect(port, tls=False)
    assert not open_smtp.has_extn("auth")
    open_smtp.mail("sender@example.test")
    assert open_smtp.rcpt(f"{user}@example.test")[0] >= 500  # nobody sends without a login
    open_smtp.close()
    smtp = connect(port)
    assert set(smtp.esmtp_features["auth"].split()) >= mechanisms, smtp.esmtp_features["auth"]
    smtp.login(user, where.password)  # PLAIN with an initial response
    smtp.sendmail("sender@example.test", f"{user}@example.test", "Subject: by a login\r\n\r\ntext\r\n")
    smtp.close()
    for mechanism, initial in (("plain", False), ("login", True), ("login", False)):
        smtp = connect(port)
        smtp.user, smtp.password = user, where.password
        assert smtp.auth(mechanism.upper(), getattr(smtp, f"auth_{mechanism}"), initial_response_ok=initial)[0] == 235
        smtp.close()
    smtp = connect(port)
    assert smtp.auth("SCRAM-SHA-256", scram_client(user, where.password))[0] == 235
    smtp.close()
    wrong = refusal(port, user, "wrong")
    assert wrong[0] == 535 and refusal(port, "nobody-here", where.password) == wrong
    assert refusal(port, user, "wrong", "login")[0] == 535


def check_outage(where, port, user):
    """While auth is away, and nobody starts it again: come back later."""
    os.kill(where.process.pid, signal.SIGSTOP)
    try:
        for pid in where.pids("auth"):
            os.kill(pid, signal.SIGKILL)
        code, text = refusal(port, user, where.password)
        assert 400 <= code < 500, (code, text)
    finally:
        os.kill(where.process.pid, signal.SIGCONT)
    smtp = connect(port)
    smtp.login(user, where.password)
    smtp.close()
