"""Postfix delivers by LMTP: a private instance with its own configuration, queue and port."""
import contextlib
import os
import pwd
import shutil
import smtplib
import subprocess
import time

import pytest

from lib import client, submitting
from lib.peers import free_ports, wait_port
from lib.server import Server, run_verb

MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
{domains}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
lmtp_destination_recipient_limit = 50
minimal_backoff_time = 2s
queue_run_delay = 2s
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
smtputf8_enable = yes
{more}
"""

MASTER = """
{port}    inet  n  -  n  -  -  smtpd
cleanup   unix  n  -  n  -  0  cleanup
qmgr      unix  n  -  n  300 1 qmgr
rewrite   unix  -  -  n  -  -  trivial-rewrite
bounce    unix  -  -  n  -  0  bounce
defer     unix  -  -  n  -  0  bounce
trace     unix  -  -  n  -  0  bounce
verify    unix  -  -  n  -  1  verify
lmtp      unix  -  -  n  -  -  lmtp
smtp      unix  -  -  n  -  -  smtp
error     unix  -  -  n  -  -  error
retry     unix  -  -  n  -  -  error
anvil     unix  -  -  n  -  1  anvil
scache    unix  -  -  n  -  1  scache
proxymap  unix  -  -  n  -  -  proxymap
tlsmgr    unix  -  -  n  1000? 1 tlsmgr
postlog   unix-dgram n - n  -  1  postlogd
"""


DOMAINS = "virtual_mailbox_domains = example.test\nvirtual_mailbox_maps = static:ok"
# As docs/mta.md has it, by TCP.
MAPS = """virtual_mailbox_domains = socketmap:inet:127.0.0.1:{maps}:domain
virtual_mailbox_maps = socketmap:inet:127.0.0.1:{maps}:recipient
virtual_alias_maps = socketmap:inet:127.0.0.1:{maps}:alias
smtpd_sender_login_maps = socketmap:inet:127.0.0.1:{maps}:sender_login"""


@contextlib.contextmanager
def running(where, tmp_path_factory, more="", domains=DOMAINS, port=None):  # pylint: disable=too-many-arguments,too-many-positional-arguments
    """The port and log of a Postfix whose mail for example.test goes to the server's LMTP."""
    if os.getuid() != 0:
        pytest.fail("Postfix can only be started by root")
    folder = tmp_path_factory.mktemp("postfix")
    os.chmod(folder, 0o755)
    for parent in folder.parents[:3]:
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
    port = port or free_ports(1)[0]
    etc = folder / "etc"
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix", "postfix")
    (etc / "main.cf").write_text(MAIN.format(dir=folder, lmtp=where.address("lmtp")[1], more=more, domains=domains))
    (etc / "master.cf").write_text(MASTER.format(port=port).lstrip())
    started = subprocess.run(["postfix", "-c", str(etc), "start"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert started.returncode == 0, started.stdout.decode()
    wait_port(port, Still())
    yield port, folder / "log"
    subprocess.run(["postfix", "-c", str(etc), "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


@pytest.fixture
def postfix(where, tmp_path_factory):
    with running(where, tmp_path_factory) as found:
        yield found


class Still:
    """Stands for a process that is not ours to ask."""
    returncode = 0

    @staticmethod
    def poll():
        return None


def wait_messages(where, user, count, log):
    end = time.monotonic() + 30
    found = -1
    while time.monotonic() < end:
        connection = client.Imap(where.address("imap"), user, where.password)
        found = connection.select("INBOX")["EXISTS"]
        if found >= count:
            return connection
        connection.close()
        time.sleep(0.3)
    raise AssertionError(f"{found} of {count} messages came\n" + log.read_text()[-3000:])


def test_postfix(where, user, postfix):
    port, log = postfix
    other = where.fresh_user("u")
    if where.name == "dovecot":
        user, other = user + "@example.test", other + "@example.test"
    plain = [name.split("@")[0] + "@example.test" for name in (user, other)]
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for number in range(20):
            smtp.sendmail("sender@example.test", plain, f"Subject: number {number}\r\n\r\n.dot\r\ntext {number}\r\n")
    for name in (user, other):
        connection = wait_messages(where, name, 20, log)
        rows = connection.fetch("1:20", "(BODY.PEEK[TEXT])")
        texts = sorted(values["BODY[TEXT]"] for values in rows.values())
        assert texts == sorted(b".dot\r\ntext %d\r\n" % n for n in range(20))
        connection.close()


def test_policy(where, tmp_path_factory):
    """Postfix asks at RCPT: unknown users and full mailboxes are refused while the sender is still there."""
    if where.name != "posthorn":
        pytest.skip("a policy service of its own")
    user, port = where.fresh_user("p"), free_ports(1)[0]
    where.reload(policy=[f"127.0.0.1:{port}"], quota_exceeded="permanent")
    restrictions = f"smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{port}, permit_mynetworks, reject"
    try:
        with running(where, tmp_path_factory, restrictions) as (smtp_port, log), smtplib.SMTP("127.0.0.1", smtp_port) as smtp:
            smtp.sendmail("sender@example.test", f"{user}@example.test", "Subject: x\r\n\r\ntext\r\n")
            wait_messages(where, user, 1, log).close()
            assert refused(smtp, "nobody@example.test") == (550, b"5.1.1")
            run_verb("quota", "set", user, "messages=0", "--data", where.data)
            assert refused(smtp, f"{user}@example.test") == (552, b"5.2.2")
            run_verb("quota", "set", user, "messages=none", "storage=10K", "--data", where.data)
            assert refused(smtp, f"{user}@example.test", 20000) == (552, b"5.2.2")
            assert refused(smtp, f"{user}@example.test", 200) is None
    finally:
        where.reload(policy=[], quota_exceeded="temporary")


def test_maps(where, tmp_path_factory):
    """Postfix expands aliases, catch-alls and forwards by the maps, and knows who may send as whom."""
    if where.name != "posthorn":
        pytest.skip("maps of its own")
    ann, bob = where.fresh_user("m"), where.fresh_user("m")
    maps, policy = free_ports(2)
    where.reload(maps=[f"127.0.0.1:{maps}"], policy=[f"127.0.0.1:{policy}"], policy_senders="reject")
    restrictions = (f"smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{policy}, reject_unauth_destination\n"
                    "transport_maps = inline:{ far.test=error:5.1.1_not_here }")

    def verb(*words):
        run_verb(*words, "--data", where.data)

    try:
        verb("address", "add", "sales@example.test", ann, f"{bob}@example.test")
        verb("address", "add", "@example.test", bob)
        verb("address", "add", "@old.test", "@example.test")
        verb("user", "set", ann, "forward=r@far.test", "keep=yes")
        with running(where, tmp_path_factory, restrictions, MAPS.format(maps=maps)) as (port, log), \
                smtplib.SMTP("127.0.0.1", port) as smtp:
            for address, users in (("sales@example.test", f"{ann},{bob}"), ("whoever@example.test", ""), (f"{ann}+x@old.test", ann)):
                told = subprocess.run(["postmap", "-c", log.parent / "etc", "-q", address, f"socketmap:inet:127.0.0.1:{maps}:sender_login"],
                                      stdout=subprocess.PIPE, check=False)
                assert told.stdout.decode().strip() == users
            assert refused(smtp, "someone@far.test") == (454, b"4.7.1") or refused(smtp, "someone@far.test") == (554, b"5.7.1")
            smtp.sendmail("s@far.test", "sales@example.test", "Subject: x\r\n\r\nto sales\r\n")
            smtp.sendmail("s@far.test", f"{ann}+x@old.test", "Subject: x\r\n\r\nto ann\r\n")
            smtp.sendmail("s@far.test", "whoever@old.test", "Subject: x\r\n\r\nto whoever\r\n")
            assert texts(wait_messages(where, ann, 2, log)) == [b"to ann", b"to sales"]
            assert texts(wait_messages(where, bob, 2, log)) == [b"to sales", b"to whoever"]
            wait_log(log, "to=<r@far.test>", 2)
            assert texts(client.Imap(where.address("imap"), ann, where.password)) == [b"to ann", b"to sales"], "a forward that is kept came twice"
    finally:
        for address in ("sales@example.test", "@example.test", "@old.test"):
            run_verb("address", "delete", address, "--data", where.data)
        where.reload(maps=[], policy=[], policy_senders="ignore")


def texts(connection):
    connection.select("INBOX")
    rows = connection.fetch("1:*", "(BODY.PEEK[TEXT])")
    connection.close()
    return sorted(values["BODY[TEXT]"].strip() for values in rows.values())


def wait_log(log, words, count):
    end = time.monotonic() + 30
    while log.read_text().count(words) < count:
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.1)


SASL = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {path}
smtpd_sasl_authenticated_header = yes
smtpd_tls_cert_file = {dir}/cert.pem
smtpd_tls_key_file = {dir}/key.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""


def test_logins(where, tmp_path_factory):
    """Postfix's clients log in with what is known here, and what they send arrives."""
    if where.name != "posthorn":
        pytest.skip("the authentication service is ours")
    user, owner = where.fresh_user("s"), pwd.getpwnam("postfix")
    with submitting.serving(where, tmp_path_factory, (owner.pw_uid, owner.pw_gid)) as path, \
            running(where, tmp_path_factory, SASL.format(path=path, dir=where.dir)) as (port, log):
        submitting.check_logins(where, port, user, {"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1"})
        submitting.check_outage(where, port, user)
        where.reload(plaintext_auth=True)
        connection = wait_messages(where, user, 1, log)
        assert f"Authenticated sender: {user}" in connection.fetch("1", "(BODY.PEEK[HEADER])")[1]["BODY[HEADER]"].decode()
        connection.close()
    where.check_reports()


def refused(smtp, recipient, size=0):
    """(code, enhanced code) of RCPT; None: it was taken."""
    smtp.ehlo()
    smtp.mail("sender@example.test", [f"SIZE={size}"] if size else [])
    code, text = smtp.rcpt(recipient)
    smtp.rset()
    return None if code == 250 else (code, text.split()[0])


def test_smarthost(where, user, postfix):
    """What goes out through a real smarthost comes in whole: several recipients, dots, 8 bits, DSN and SIZE."""
    if where.name != "posthorn":
        pytest.skip("its own mail goes out otherwise")
    port, log = postfix
    other = where.fresh_user("o")
    text = "From: a@example.test\nTo: b@example.test\nSubject: out {}\nContent-Type: text/plain; charset=utf-8\n\n.dot\n.\n..\nGrüße {}\n"
    sender = Server({"relay_host": f"localhost:{port}", "relay_tls": "none"})
    try:
        for number in range(10):
            run_verb("queue", "add", "sender@example.test", f"{user}@example.test", f"{other}@example.test", "notify=failure,delay", "ret=hdrs",
                     "envid=one+1", "-", "--data", sender.data, stdin=text.format(number, number).encode())
        for name in (user, other):
            connection = wait_messages(where, name, 10, log)
            rows = connection.fetch("1:10", "(BODY.PEEK[TEXT])")
            texts = sorted(values["BODY[TEXT]"] for values in rows.values())
            assert texts == sorted(f".dot\r\n.\r\n..\r\nGrüße {n}\r\n".encode() for n in range(10))
            connection.close()
        assert '"mails":0,' in run_verb("--json", "queue", "count", "--data", sender.data).decode()
    finally:
        sender.stop()
