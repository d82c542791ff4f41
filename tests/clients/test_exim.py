"""Exim authenticates its clients here (driver = dovecot) and delivers by LMTP: Debian's exim4-daemon-heavy, unpacked since it cannot be installed
beside Postfix, as nobody, on loopback. libnss-wrapper gives it the user that its package would have made."""
import os
import pathlib
import shutil
import subprocess

import pytest

from lib import fetched, submitting, unpacked
from lib.peers import free_ports, wait_port
from test_postfix import wait_messages

NOBODY = 65534

CONFIG = """
primary_hostname = mx.example.test
exim_path = {program}
exim_user = nobody
exim_group = nogroup
deliver_drop_privilege
keep_environment = LD_PRELOAD : LD_LIBRARY_PATH : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
spool_directory = {dir}
log_file_path = {dir}/%slog
pid_file_path = {dir}/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = {dir}/cert.pem
tls_privatekey = {dir}/key.pem
smtp_accept_max = 100
acl_smtp_rcpt = senders

begin acl
senders:
  accept authenticated = *
  deny

begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = posthorn

begin transports
posthorn:
  driver = smtp
  protocol = lmtp
  port = {lmtp}
  hosts_avoid_tls = *

begin authenticators
"""

AUTHENTICATOR = """
posthorn_{number}:
  driver = dovecot
  public_name = {name}
  server_socket = {path}
  server_set_id = $auth1
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""


def names(folder, file, line):
    """A copy of /etc/FILE with Debian-exim in it."""
    (folder / file).write_text(pathlib.Path(f"/etc/{file}").read_text() + line)
    return folder / file


@pytest.fixture(name="exim")
def one_exim(where, tmp_path_factory):
    """The port and log of an Exim whose mail goes to the server's LMTP."""
    if where.name != "posthorn":
        pytest.skip("the authentication service is ours")
    if os.getuid() != 0:
        pytest.fail("only root can give Exim a user of its own")
    own = fetched.exim()
    program, folder, port = own / "root/usr/sbin/exim4", tmp_path_factory.mktemp("exim"), free_ports(1)[0]
    os.chmod(program, 0o755)  # not setuid: the wrapper would be left out
    with submitting.serving(where, tmp_path_factory, (NOBODY, NOBODY)) as path:
        text = CONFIG.format(program=program, dir=folder, port=port, lmtp=where.address("lmtp")[1])
        text += "".join(AUTHENTICATOR.format(number=number, name=name, path=path) for number, name in enumerate(("PLAIN", "LOGIN", "SCRAM-SHA-256")))
        (folder / "exim.conf").write_text(text)
        for name in ("cert.pem", "key.pem"):
            shutil.copy(where.dir / name, folder)
        passwd, group = (names(folder, *row) for row in (("passwd", f"Debian-exim:x:{NOBODY}:{NOBODY}::/:/bin/false\n"),
                                                         ("group", f"Debian-exim:x:{NOBODY}:\n")))
        for file in (folder, *folder.iterdir()):
            os.chown(file, NOBODY, NOBODY)
        environment = {"LD_PRELOAD": next((own / "root/usr/lib").glob("*/libnss_wrapper.so")), "LD_LIBRARY_PATH": unpacked.libraries(own),
                       "NSS_WRAPPER_PASSWD": passwd, "NSS_WRAPPER_GROUP": group}
        with open(folder / "said", "wb") as said:
            daemon = subprocess.Popen(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env",
                                       *(f"{name}={value}" for name, value in environment.items()),
                                       program, "-C", folder / "exim.conf", "-bdf"], stdout=said, stderr=said)
        try:
            wait_port(port, daemon)
            yield port, folder / "mainlog"
        finally:
            daemon.terminate()
            daemon.wait(20)


def test_logins(where, exim):
    port, log = exim
    user = where.fresh_user("x")
    submitting.check_logins(where, port, user, {"PLAIN", "LOGIN", "SCRAM-SHA-256"})
    submitting.check_outage(where, port, user)
    where.reload(plaintext_auth=True)
    connection = wait_messages(where, user, 1, log)
    assert "with esmtpsa" in connection.fetch("1", "(BODY.PEEK[HEADER])")[1]["BODY[HEADER]"].decode()
    connection.close()
    where.check_reports()
