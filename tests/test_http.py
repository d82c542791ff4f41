"""The role http: documents that set mail clients up, health and metrics, beside a server that works."""
import base64
import hashlib
import json
import os
import plistlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest

from lib import server as posthorn
from lib.client import Refused
from lib.peers import free_ports
from lib.smarthost import Smarthost
from lib.waiting import wait_for
from lib.wire import Wire

CURL = shutil.which("curl")
AUTODISCOVER = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>
<EMailAddress>alice@example.org</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
</Request></Autodiscover>"""


class Web(posthorn.Server):
    def __init__(self, **more):
        self.http, self.https = free_ports(2)
        super().__init__({"http": [f"127.0.0.1:{self.http}"], "https": [f"127.0.0.1:{self.https}"], "announce_host": "mail.example.org",
                          "announce": ["submissions smtp.example.org:465", "pop3 none"], "local_domains": ["example.org", "example.net"],
                          "http_admin_networks": ["127.0.0.1"], "test_index_after": 1, **more})

    def await_http(self):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.ask("/healthz")
                return
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def ask(self, path, body=None, method=None, tls=False, source="127.0.0.1", field=None):
        """Status, fields, body: by curl, as a client would."""
        command = [CURL, "-s", "-k", "-i", "--interface", source, "-m", "30", f"http{'s' if tls else ''}://127.0.0.1:{self.https if tls else self.http}{path}"]
        if body is not None:
            command += ["--data-binary", body, "-H", "Content-Type: text/xml"]
        if field:
            command += ["-H", field]
        if method == "HEAD":
            command += ["-I"]
        elif method:
            command += ["-X", method]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        head, _, text = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), text

    def metrics(self):
        return {m[1]: float(m[2]) for m in re.finditer(r"(?m)^(\S+) (\S+)$", self.ask("/metrics")[2].decode())}


@pytest.fixture(scope="module")
def server():
    own = Web()
    own.await_http()
    yield own
    own.stop()


@pytest.mark.parametrize("tls", [False, True])
def test_thunderbird(server, tls):
    status, fields, text = server.ask("/mail/config-v1.1.xml?emailaddress=alice%40example.net", tls=tls)
    assert status == 200 and fields["content-type"].startswith("application/xml")
    root = ET.fromstring(text)
    assert root.get("version") == "1.1" and root.find("emailProvider/domain").text == "example.net"
    servers = [(s.tag, s.get("type"), s.find("hostname").text, int(s.find("port").text), s.find("socketType").text)
               for s in root.find("emailProvider") if s.tag.endswith("Server")]
    assert servers == [("incomingServer", "imap", "mail.example.org", server.ports["imaps"], "SSL"),
                       ("incomingServer", "imap", "mail.example.org", server.ports["imap"], "STARTTLS"),
                       ("outgoingServer", "smtp", "smtp.example.org", 465, "SSL")]
    assert server.ask("/mail/config-v1.1.xml?emailaddress=alice@elsewhere.org")[0] == 404
    # whether a user exists is not told
    one, two = (server.ask(f"/mail/config-v1.1.xml?emailaddress={u}@example.org")[2] for u in ("alice", "nobody"))
    assert one == two


def unsigned(server, profile):
    """What is in a profile that the server's certificate has signed (CMS); a device verifies the same."""
    done = subprocess.run(["openssl", "cms", "-verify", "-inform", "DER", "-purpose", "any", "-CAfile", server.dir / "cert.pem"], input=profile,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 and b"successful" in done.stderr, done.stderr
    return done.stdout


def test_a_changed_profile_is_seen(server):
    text = server.ask("/mail.mobileconfig?emailaddress=alice@example.org")[2]
    changed = text.replace(b"smtp.example.org", b"evil.example.org")
    assert changed != text
    with pytest.raises(AssertionError):
        unsigned(server, changed)


def test_oauth(server):
    """RFC 9728: who gives tokens for this server; a restart makes it known, as oauth_issuer needs one."""
    path = "/.well-known/oauth-protected-resource"
    assert server.ask(path)[0] == 404
    own = Web(oauth_issuer="https://id.example.org", oauth_audience=["mail"], oauth_jwks_url="https://127.0.0.1:9/keys", oauth_scope="mail offline_access")
    own.await_http()
    status, fields, text = own.ask(path, tls=True)
    assert status == 200 and fields["content-type"] == "application/json"
    assert json.loads(text) == {"resource": "https://mail.example.org", "authorization_servers": ["https://id.example.org"],
                                "scopes_supported": ["mail", "offline_access"]}
    assert json.loads(own.ask("/.well-known/user-agent-configuration.json")[2])["authentication"]["oauth-public"] == {"issuer": "https://id.example.org"}
    own.stop()


def test_outlook_and_apple(server):
    status, _, text = server.ask("/Autodiscover/Autodiscover.xml", body=AUTODISCOVER, tls=True)
    space = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
    protocols = ET.fromstring(text).findall(f".//{space}Protocol")
    assert status == 200 and [(p.find(f"{space}Type").text, p.find(f"{space}Port").text) for p in protocols] == [
        ("IMAP", str(server.ports["imaps"])), ("SMTP", "465")]
    assert server.ask("/autodiscover/autodiscover.xml")[0] == 405
    assert server.ask("/autodiscover/autodiscover.xml", body="x" * 70000)[0] == 413
    status, fields, text = server.ask("/mail.mobileconfig?emailaddress=alice@example.org")
    account = plistlib.loads(unsigned(server, text))["PayloadContent"][0]
    assert status == 200 and fields["content-type"] == "application/x-apple-aspen-config"
    assert (account["IncomingMailServerPortNumber"], account["OutgoingMailServerHostName"]) == (server.ports["imaps"], "smtp.example.org")


# --json: dns
def test_zone_and_pacc(server):
    zone = posthorn.run_verb("dns", "example.net", "-c", server.config).decode()
    assert f"_imaps._tcp.example.net. IN SRV 0 1 {server.ports['imaps']} mail.example.org.\n" in zone
    assert "_pop3._tcp.example.net. IN SRV 0 0 0 .\n" in zone
    text = server.ask("/.well-known/user-agent-configuration.json", tls=True)[2]
    assert f"d={base64.b64encode(hashlib.sha256(text).digest()).decode()}" in zone
    records = [json.loads(line) for line in posthorn.run_verb("dns", "--json", "-c", server.config).splitlines()]
    assert [f"{r['name']} IN {r['record']} {r['data']}" for r in records if r["name"].endswith("example.net.")] == zone.splitlines()
    assert len(records) == 2 * len(zone.splitlines()) and {r["type"] for r in records} == {"record"}


def test_health_and_metrics_are_the_administrators(server):
    assert server.ask("/healthz")[::2] == (200, b"ok\n")
    assert server.ask("/readyz")[::2] == (200, b"ready\n")
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.ask(path, source="127.0.0.2")[0] == 404
        for field in ("Forwarded: for=192.0.2.1", "x-forwarded-for: 127.0.0.1", "X-Real-IP: 192.0.2.1", "Via: 1.1 proxy"):
            assert server.ask(path, field=field)[0] == 404
    status, fields, text = server.ask("/metrics", method="HEAD")
    assert status == 200 and text == b"" and int(fields["content-length"]) > 1000
    assert server.ask("/healthz", method="PUT")[0] in (405, 501)


def test_metrics_move(server):
    before = server.metrics()
    client = server.imap()
    during = server.metrics()
    client.append("INBOX", b"abcde")
    client.command("NOOP")
    for text in ("SELECT nothing", "BOGUS"):
        with pytest.raises(Refused):
            client.command(text)
    client.wire.close()
    wire = Wire(server.address("imap"), timeout=60)
    wire.send(b"a LOGIN alice wrong\r\n")
    wire.line()
    assert wire.line().startswith(b"a NO")
    wire.close()
    after = server.metrics()

    def grew(name, since=before):
        return after[f"posthorn_{name}"] - since.get(f"posthorn_{name}", 0)
    assert during["posthorn_sessions"] - before["posthorn_sessions"] == 1
    assert grew('logins_total{result="ok"}') == 1 and grew('logins_total{result="failed"}') == 1
    assert grew("connections_total") == 2 and grew("journal_commits_total") >= 1 and grew("journal_bytes_total") > 5
    for command, result in (("APPEND", "ok"), ("NOOP", "ok"), ("SELECT", "no"), ("unknown", "bad")):
        labels = f'{{command="{command}",result="{result}"}}'
        assert grew(f"imap_command_duration_seconds_count{labels}") == 1, labels
        assert after[f'posthorn_imap_command_duration_seconds_bucket{{command="{command}",result="{result}",le="+Inf"}}'] >= 1
    assert grew("journal_sync_seconds_count") >= 1 and after["posthorn_ready"] == 1


def test_a_delivery_and_the_index_are_counted(server):
    before = server.metrics()
    with socket.create_connection(server.address("lmtp"), timeout=30) as s, s.makefile("rb") as lines:
        s.sendall(b"LHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<alice>\r\nDATA\r\n")
        while not lines.readline().startswith(b"354"):
            pass
        s.sendall(b"Subject: x\r\n\r\ny\r\n.\r\nQUIT\r\n")
        assert lines.read().count(b"Saved") >= 1
    deadline = time.monotonic() + 60
    while True:
        now = server.metrics()
        if now["posthorn_index_messages_total"] > before["posthorn_index_messages_total"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert now["posthorn_index_lag_seconds_count"] > before["posthorn_index_lag_seconds_count"]
    assert now['posthorn_deliveries_total{result="ok"}'] > before['posthorn_deliveries_total{result="ok"}']


SAMPLE = re.compile(r"(posthorn_[a-z0-9_]+)(?:\{((?:[a-z_]+=\"[^\"\\\n]*\"(?:,(?=[a-z]))?)+)\})? (-?[0-9.e+-]+)")


def families(text):
    """Prometheus' text form (version 0.0.4), read strictly: {name: (type, [(sample, labels, value)])}. HELP and TYPE once for each name, before its
    samples, which stand together; no sample twice; histograms grow to +Inf, which is their count."""
    found, name = {}, None
    for line in text.decode().split("\n")[:-1]:
        head = re.fullmatch(r"# (HELP|TYPE) (posthorn_[a-z0-9_]+) (.+)", line)
        if head and head[1] == "HELP":
            name = head[2]
            assert name not in found and len(head[3]) > 5, line
            found[name] = [None, []]
        elif head:
            assert head[2] == name and found[name][0] is None and head[3] in ("counter", "gauge", "histogram"), line
            found[name][0] = head[3]
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and name and found[name][0], line
            ends = ("_bucket", "_sum", "_count") if found[name][0] == "histogram" else ("",)
            assert sample[1] in [name + end for end in ends], line
            assert found[name][0] != "counter" or name.endswith("_total"), line
            labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', sample[2] or ""))
            assert (sample[1], labels) not in [s[:2] for s in found[name][1]], line
            found[name][1].append((sample[1], labels, float(sample[3])))
    for name, (kind, samples) in found.items():
        assert kind, name
        groups = {}
        for sample, labels, value in samples if kind == "histogram" else ():
            key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
            groups.setdefault(key, {}).setdefault(sample[len(name):], []).append((labels.get("le"), value))
        for group in groups.values():
            bounds, values = zip(*group["_bucket"])
            assert bounds[-1] == "+Inf" and list(values) == sorted(values) and [float(b) for b in bounds] == sorted(float(b) for b in bounds)
            assert values[-1] == group["_count"][0][1] and len(group["_sum"]) == 1
    return found


def test_the_form_of_metrics(server):
    found = families(server.ask("/metrics")[2])
    rows = re.findall(r'^(COUNTER|GAUGE|TIME)\(\s*\w+,\s*"(\w+)"', (posthorn.ROOT / "src/base/metrics.def").read_text(), re.M)
    kinds = {"COUNTER": "counter", "GAUGE": "gauge", "TIME": "histogram"}
    assert len(rows) > 15 and {f"posthorn_{name}": kinds[kind] for kind, name in rows}.items() <= {n: k for n, (k, _) in found.items()}.items()
    for broken in (b"posthorn_x 1\n", b"# HELP posthorn_x some help\n# TYPE posthorn_x counter\nposthorn_x 1\n",
                   b"# HELP posthorn_x some help\n# TYPE posthorn_x gauge\nposthorn_x{a=b} 1\n",
                   b"# HELP posthorn_x some help\n# TYPE posthorn_x gauge\nposthorn_x 1\nposthorn_x 2\n"):
        with pytest.raises(AssertionError):
            families(broken)


def test_the_relay_queue_is_counted():
    """Mail that cannot go out waits, and is counted; then it goes, and one is refused."""
    host = Smarthost()
    own = Web(relay_host=f"127.0.0.1:{host.port}", relay_tls="none", test_relay_retry_ms=200)
    own.await_http()
    host.answers["MAIL"] = lambda session, line: "451 4.3.0 later"
    add = ("queue", "add", "a@example.org", "b@example.com", "-", "-c", own.config)
    posthorn.run_verb(*add, stdin=b"Subject: x\r\n\r\ny\r\n")

    def wait(wanted):
        deadline = time.monotonic() + 60
        while not wanted(own.metrics()):
            assert time.monotonic() < deadline, own.metrics()
            time.sleep(0.1)
    result = 'posthorn_relay_recipients_total{result="%s"}'
    wait(lambda now: now["posthorn_relay_queue_messages"] == 1 and now["posthorn_relay_queue_bytes"] > 10 and now[result % "deferred"] >= 1)
    assert own.metrics()[result % "sent"] == 0
    host.answers.clear()
    wait(lambda now: now["posthorn_relay_queue_messages"] == 0 and now["posthorn_relay_queue_bytes"] == 0 and now[result % "sent"] == 1)
    host.answers["RCPT"] = lambda session, line: "550 5.1.1 nobody"
    posthorn.run_verb(*add, stdin=b"Subject: z\r\n\r\ny\r\n")
    wait(lambda now: now[result % "failed"] >= 1)  # so is the report of it
    own.stop()
    host.close()


def test_a_checkpoint_is_counted(server):
    """Records wait for the index, and are moved into it."""
    before = server.metrics()
    client = server.imap("carol")
    client.append("INBOX", b"abcde" * 1000)
    deadline = time.monotonic() + 60
    while True:
        now = server.metrics()
        if now["posthorn_checkpoint_seconds_count"] > before["posthorn_checkpoint_seconds_count"] and now["posthorn_checkpoint_waiting_bytes"] == 0:
            break
        assert time.monotonic() < deadline
        client.command("NOOP")
        time.sleep(0.2)
    client.wire.close()


def test_readiness_follows_the_roles(server):
    before = server.metrics()["posthorn_role_restarts_total"]
    os.kill(server.pids("auth")[0], signal.SIGSTOP)
    os.kill(server.pids("auth")[0], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while server.metrics()["posthorn_role_restarts_total"] == before or server.ask("/readyz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_role_that_cannot_start(server):
    """/readyz and `posthorn status` say so for as long as it lasts, and no longer."""
    users, aside = server.data / "users", server.data / "users.aside"

    def await_ready(ready):
        deadline = time.monotonic() + 60
        while (server.ask("/readyz")[0] == 200) is not ready or status().returncode != (0 if ready else 1):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def status():
        return subprocess.run([posthorn.binary(), "status", "--data", server.data], capture_output=True, text=True, check=False, env=posthorn.environment())

    assert re.fullmatch(r"ready, version [\d.]+, \d+ sessions, \d+ restarts of processes\n", status().stdout)
    users.rename(aside)
    users.write_text("not a database, and not to be made one: " * 100)
    os.kill(server.pids("auth")[0], signal.SIGKILL)
    await_ready(False)
    assert "not ready" in status().stderr
    users.unlink()
    aside.rename(users)
    await_ready(True)


def said(server, text):
    """Status, fields and body of a request that curl would not send."""
    with socket.create_connection(("127.0.0.1", server.http), timeout=60) as s:
        s.sendall(text)
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    lines = head.lower().split("\r\n")
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), body


def test_whole_urls(server):
    """RFC 9112 section 3.2.2: a server takes the absolute form, whose host counts."""
    url = b"http://autoconfig.example.net"
    for path, host in ((b"/mail/config-v1.1.xml", "example.net"), (b"/mail/config-v1.1.xml?emailaddress=a@example.org", "example.org")):
        status, fields, body = said(server, b"GET " + url + path + b" HTTP/1.1\r\nHost: example.org\r\nProxy-Connection: keep-alive\r\n\r\n")
        assert status == 200 and fields["connection"] == "close" and f"<domain>{host}</domain>" in body
    assert said(server, b"GET http://mail.example.org HTTP/1.1\r\nHost: mail.example.org\r\n\r\n")[0] == 404
    assert said(server, b"GET http://mail.example.org/healthz HTTP/1.1\r\nHost: mail.example.org\r\n\r\n")[::2] == (200, "ok\n")


@pytest.mark.parametrize("tls", [False, True])
def test_answered_and_closed(server, tls):
    """A connection that was answered keeps no descriptor, though its 20 seconds are not over."""
    def descriptors():
        return len(os.listdir(f"/proc/{server.pids('http')[0]}/fd"))
    before = descriptors()
    for _ in range(10):
        assert server.ask("/healthz", tls=tls)[0] == 200
    since = time.monotonic()
    while descriptors() >= before + 10:
        assert time.monotonic() - since < 10
        time.sleep(0.05)


def test_one_host(server):
    """RFC 9112 sections 3.2 and 5.1: what is no request gets 400, also where its path is there."""
    for version, fields, status in ((b"1.1", b"Host: mail.example.org\r\n", 200), (b"1.1", b"Host:\r\n", 200), (b"1.0", b"", 200), (b"1.1", b"Host: [::1]:80\r\n", 200),
                                    (b"1.1", b"", 400), (b"1.1", b"Host: a\r\nHost: a\r\n", 400), (b"1.0", b"Host: a\r\nhost: b\r\n", 400),
                                    (b"1.1", b"Host : a\r\n", 400), (b"1.1", b"Host: a\r\nX : b\r\n", 400), (b"1.1", b"Host: a/b\r\n", 400), (b"1.1", b"Host: a b\r\n", 400)):
        assert said(server, b"GET /healthz HTTP/" + version + b"\r\n" + fields + b"\r\n")[0] == status, fields


def test_strangers(server):
    """Broken requests, and what never ends, take nothing from others."""
    slow = [socket.create_connection(("127.0.0.1", server.http), timeout=60) for _ in range(50)]
    for s in slow:
        s.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    for text in (b"\x16\x03\x01\x02\x00" * 50, b"\0" * 20000, b"GET " + b"/x" * 20000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                 b"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                 b"GET http://[::1 HTTP/1.1\r\n\r\n", b"GET /%00%ff?a=%zz HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.http), timeout=60) as s:
            s.sendall(text)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
    assert server.ask("/healthz")[0] == 200
    since = time.monotonic()
    while slow:  # each goes by itself, though it sends on
        for s in list(slow):
            try:
                s.sendall(b"x")
            except OSError:
                slow.remove(s)
        time.sleep(0.5)
        assert time.monotonic() - since < 60
    with pytest.raises(ssl.SSLError), ssl.create_default_context().wrap_socket(
            socket.create_connection(("127.0.0.1", server.http), timeout=60), server_hostname="localhost"):
        pass


def test_https_keeps_its_certificate():
    """It stays open until a restart, so a reload cannot take the certificate away."""
    own = Web()
    own.await_http()
    own.config.write_text("\n".join(line for line in own.config.read_text().split("\n") if not line.startswith(("tls", "imaps", "https"))))
    with pytest.raises(RuntimeError, match="https on 127.0.0.1:[0-9]+ needs tls"):
        posthorn.run_verb("reload", "-c", own.config)
    before = own.pids("http")
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: own.pids("http") not in ([], before))
    assert own.ask("/", tls=True)[0] == 404
    own.stop()


def test_settings():
    own = posthorn.Server(start=False)
    for row in ("imap", "smtp 25", "imaps host:0", "imaps a b:1", "pop3 x_y:1"):
        own.settings["announce"] = [row]
        own.write_config()
        done = subprocess.run([posthorn.binary(), "config", "check", "-c", own.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 1 and b"announce" in done.stdout, row
