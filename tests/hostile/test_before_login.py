"""HOSTILE.md A: what strangers send before they log in."""
import base64
import re
import socket
import ssl
import threading
import time

import pytest

from lib import scram
from lib.samples import kolmogorov_smirnov
from lib.server import run_verb
from lib.wire import Closed, client_tls
from .conftest import PATIENCE, Target, rest_of

PLAIN = base64.b64encode(b"\0alice\0secret").decode()


# -- STARTTLS --------------------------------------------------------------------------------
def start_tls(sock):
    context = client_tls()
    return context.wrap_socket(sock, server_hostname="localhost")


INJECTED = b"a STARTTLS\r\ninj NOOP\r\n"


@pytest.mark.parametrize("cut", range(1, len(INJECTED) + 1))
def test_starttls_injection(target, cut):
    """However the segment is cut: `inj` is answered neither inside TLS nor after the OK."""
    sock = target.open()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.recv(4096)
    sock.sendall(INJECTED[:cut])
    if cut < len(INJECTED):
        time.sleep(0.005)
        try:
            sock.sendall(INJECTED[cut:])
        except (BrokenPipeError, ConnectionResetError):
            return
    try:
        sock.settimeout(3)
        tls = start_tls_after_ok(sock)
        tls.sendall(b"b NOOP\r\nc LOGOUT\r\n")
    except (ssl.SSLError, ConnectionError, OSError):
        return
    answer, _ = rest_of(tls, 3)
    assert b"inj" not in answer, answer


def start_tls_after_ok(sock):
    line = b""
    while not line.endswith(b"\n"):
        octet = sock.recv(1)
        if not octet:
            raise ConnectionError("closed")
        line += octet
    assert line.startswith(b"a OK"), line
    return start_tls(sock)


def test_starttls_twice_and_after_authenticate(target):
    """What began before TLS is forgotten; nothing is left of the exchange."""
    with target.unharmed():
        wire = target.raw()
        wire.send(b'i ID ("name" "before")\r\n')
        wire.line(), wire.line()
        wire.send(b"a AUTHENTICATE PLAIN\r\n")
        assert wire.line().startswith(b"+")
        wire.send(b"b STARTTLS\r\n")  # a response that is not base64
        assert b"BAD" in wire.line()
        wire.send(b"c STARTTLS\r\n")
        assert wire.line().startswith(b"c OK")
        wire.start_tls()
        wire.send(PLAIN.encode() + b"\r\n")
        assert b"BAD" in wire.line()
        wire.send(b"d STARTTLS\r\n")
        assert wire.line().startswith(b"d BAD")
        wire.send(b"e CAPABILITY\r\n")
        assert b"STARTTLS" not in wire.line()
        wire.close()


def test_nothing_of_a_stranger_comes_back_untagged(target):
    """NO STARTTLS: what a stranger sends in clear stands in no untagged answer, and no greeting is PREAUTH."""
    with target.open() as sock:
        greeting = sock.recv(4096)
        assert greeting.startswith(b"* OK ")
        sock.sendall(b'a LOGIN evilmark evilmark\r\nb ID ("name" "evilmark")\r\nc AUTHENTICATE evilmark\r\nevilmark EVILMARK evilmark\r\n'
                     b"d LOGOUT\r\n")
        got, closed = rest_of(sock)
        assert closed
        for line in (greeting + got).split(b"\r\n"):
            assert b"evilmark" not in line.lower() or line.startswith(b"evilmark BAD "), line


def test_cleartext_instead_of_handshake(target):
    with target.unharmed():
        for service, first in (("imaps", b""), ("imap", b"a STARTTLS\r\n")):
            sock = target.open(service)
            sock.sendall(first)
            if first:
                while b"a OK" not in sock.recv(4096):
                    pass
            sock.sendall(b"b NOOP\r\n" * 10)
            got, closed = rest_of(sock, 3)
            assert closed and b"NOOP" not in got


# -- literals, lists, lines -----------------------------------------------------------------
SIZES = ["4294967296", "99999999999999999999", "18446744073709551617", "4000000000+", "4294967297+", "-1", "0001x",
         "9223372036854775807", "9223372036854775808", "", "+", "1 ", "0x10", "99999999999999999999999999+"]


@pytest.mark.parametrize("command", ["LOGIN", "ID (", "AUTHENTICATE PLAIN", "APPEND x"])
def test_literal_sizes(target, command):
    with target.unharmed(memory=8 << 20):
        for size in SIZES:
            wire = target.raw()
            began = time.monotonic()
            wire.send(b"a %s {%s}\r\n" % (command.encode(), size.encode()))
            line = wire.line(2 * PATIENCE)
            assert line.startswith((b"a BAD", b"a NO", b"* BYE")), (size, line)
            assert time.monotonic() - began < PATIENCE
            wire.close()


def test_literal_with_leading_zeros_is_a_number(target):
    wire = target.raw()
    wire.send(b"a LOGIN {0005}\r\n")
    assert wire.line().startswith((b"+", b"a BAD"))
    wire.close()


def test_many_literals(target):
    with target.unharmed(memory=16 << 20):
        sock = target.open()
        try:
            for _ in range(200):
                sock.sendall(b"a ID (" + b"{4000+}\r\n" + b"x" * 4000)
        except OSError:
            pass
        got, closed = rest_of(sock)
        assert closed or b"BAD" in got
        assert b"a OK" not in got


@pytest.mark.parametrize("flood", [b"(", b")", b"(()(()", b"((((" + b"))))", b"{", b"}", b"[", b'"', b"\\"])
@pytest.mark.parametrize("command", [b"ID ", b"LOGIN ", b"AUTHENTICATE ", b"x "])
def test_bracket_floods(target, flood, command):
    with target.unharmed(memory=16 << 20):
        sock = target.open()
        try:
            sock.sendall(b"a " + command + flood * ((1 << 20) // len(flood)) + b"\r\n")
        except OSError:
            pass
        got, _ = rest_of(sock)
        assert b"BYE" in got or b"BAD" in got or len(got) == 0  # a reset may swallow the BYE
        assert b"a OK" not in got


@pytest.mark.parametrize("flood", [b"(", b")", b"()(", b"{"])
def test_short_bracket_floods(target, flood):
    """Below the line's cap: refused by the command, and the connection goes on."""
    wire = target.raw()
    wire.send(b"a ID " + flood * (7000 // len(flood)) + b"\r\n")
    assert wire.line(1).startswith(b"a BAD")
    wire.send(b"b NOOP\r\n")
    assert wire.line(1).startswith(b"b OK")
    wire.close()


@pytest.mark.parametrize("octet", [b"x", b" ", b"\0", b"\r", b"\xff"])
def test_endless_line(target, octet):
    with target.unharmed(memory=8 << 20):
        sock = target.open()
        try:
            for _ in range(160):
                sock.sendall(octet * 65536)
        except OSError:
            pass
        _, closed = rest_of(sock)
        assert closed


@pytest.mark.parametrize("command", [b'a LOGIN "al\0ice" pa', b"a LOGIN al\0ice pa", b"a LOGIN {6+}\r\nal\0ice pa",
                                     b"a NO\0OP", b"\0a NOOP", b'a ID ("x" "\0")', b"a AUTHENTICATE PLAIN \0"])
def test_nul(target, command):
    wire = target.raw()
    wire.send(command + b"\r\n")
    assert b" BAD " in wire.line(2)
    wire.close()


@pytest.mark.parametrize("tls", [False, True])
def test_pipelined_noops(target, tls):
    """100,000 commands in one write, by somebody who reads late: all answered, none of them queued in memory."""
    count = 100_000 if not target.sanitized else 20_000
    with target.unharmed(memory=16 << 20):
        wire = target.raw("imaps" if tls else "imap", tls=tls, timeout=60)
        sender = threading.Thread(target=send_quietly, args=(wire, b"a NOOP\r\n" * count))
        sender.start()
        time.sleep(0.5)
        deadline, seen = time.monotonic() + 60, 0
        while seen < count:
            assert wire.line(60).startswith(b"a OK")
            seen += 1
        assert time.monotonic() < deadline
        sender.join()
        wire.close()


def send_quietly(wire, data):
    try:
        wire.sock.sendall(data)
    except OSError:
        pass


def test_bad_commands_end_the_connection(target):
    sock = target.open()
    sock.sendall(b"a X\r\n" * 50)
    got, closed = rest_of(sock)
    assert closed and got.count(b"BAD") <= 3 and b"BYE" in got


@pytest.mark.parametrize("request_line", [b"POST / HTTP/1.1", b"GET /x HTTP/1.0", b"PRI * HTTP/2.0", b"OPTIONS * HTTP/1.1"])
def test_http(target, request_line):
    sock = target.open()
    sock.sendall(request_line + b"\r\nHost: a\r\nContent-Length: 40\r\n\r\na LOGIN alice secret\r\nb CREATE x\r\n")
    got, closed = rest_of(sock)
    assert closed and b"OK [CAPABILITY" not in got.split(b"\r\n", 1)[1]
    sock = target.open("imaps")
    sock.sendall(request_line + b"\r\n\r\n")
    assert rest_of(sock)[1]


# -- TLS ---------------------------------------------------------------------------------------
def tls_context(**settings):
    context = client_tls()
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def test_wrong_alpn_is_refused_by_alert(target):
    context = client_tls()
    context.set_alpn_protocols(["http/1.1", "h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        context.wrap_socket(target.open("imaps"), server_hostname="localhost")
    context = client_tls()
    context.set_alpn_protocols(["http/1.1", "imap"])
    assert context.wrap_socket(target.open("imaps"), server_hostname="localhost").selected_alpn_protocol() == "imap"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(target, version):
    context = client_tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        context.wrap_socket(target.open("imaps"), server_hostname="localhost")
    assert "PROTOCOL_VERSION" in str(refused.value).upper().replace(" ", "_")


def test_bad_ciphers_are_refused(target):
    for ciphers in ("RC4", "3DES", "aNULL", "eNULL", "EXPORT", "LOW"):
        context = client_tls()
        try:
            context.set_ciphers(ciphers + ":@SECLEVEL=0")
        except ssl.SSLError:
            continue  # this OpenSSL has none
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(target.open("imaps"), server_hostname="localhost")


def test_renegotiation_is_refused(target):
    import subprocess
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{target.ports['imaps']}", "-tls1_2", "-legacy_renegotiation"],
                          input=b"R\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    said = done.stdout.lower()
    assert b"renegotiating" in said
    assert b"no renegotiation" in said or b"error" in said or b"alert" in said, said[-600:]


def test_random_server_names(target, long_form):
    with target.unharmed(memory=16 << 20):
        for i in range(1000 if long_form else 60):
            context = client_tls()
            name = "x" * 63 + "." + f"{i}" * 20 + ".example" if i % 2 else f"name{i}.example"
            sock = context.wrap_socket(target.open("imaps"), server_hostname=name[:250])
            sock.close()


def test_broken_handshakes(target):
    hello = bytes.fromhex("16030100c8010000c40303") + b"\x41" * 190
    with target.unharmed(memory=16 << 20):
        for cut in range(1, len(hello), 7):
            sock = target.open("imaps")
            sock.sendall(hello[:cut])
            sock.close()
        for junk in (b"\x16\x03\x01\xff\xff" + b"A" * 70000, b"\x80\x2e\x01\x00\x02" + b"A" * 100, b"\0" * 1000):
            sock = target.open("imaps")
            try:
                sock.sendall(junk)
            except OSError:
                pass
            assert rest_of(sock)[1]


# -- SASL ----------------------------------------------------------------------------------------
TOGETHER = 50  # connections at a time


@pytest.mark.parametrize("first", [b"PLAIN", b"LOGIN", b"SCRAM-SHA-256", b"SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw=="])
def test_aborted_exchanges(target, long_form, first):
    """Aborted by `*`, and by closing. Two per connection: three bad commands end it."""
    exchanges = 100_000 if long_form else 1_250
    depot = 200 * exchanges if target.sanitized else 0  # of stacks that the sanitizer reads wrongly in libgsasl; a release build is flat
    with target.unharmed(memory=(12 << 20) + depot):
        for _ in range(exchanges // 2 // TOGETHER):
            wires = [target.raw(timeout=30) for _ in range(TOGETHER)]
            for text, want in ((b"a AUTHENTICATE " + first + b"\r\n", b"+"), (b"*\r\n", b"a BAD"), (b"b AUTHENTICATE " + first + b"\r\n", b"")):
                for wire in wires:
                    wire.send(text)
                for wire in wires[::1 if want else 2]:
                    assert wire.line().startswith(want)
            for wire in wires:
                wire.close()


RESPONSES = [b"", b"=", b"====", b"%%%%", b"=\x80%%", b"A", b"AAA", b"AA=A", b"A" * 8000, b"A" * 64 * 1024, b"\xff" * 100,
             base64.b64encode(b"\0" * 3000), base64.b64encode(b"a\0b\0c\0d"), base64.b64encode(b"x" * 5000),
             base64.b64encode(b"\0alice"), base64.b64encode(b"\0al\xffice\0x"), base64.b64encode(b"n,,n=" + b"a" * 4000 + b",r=x"),
             base64.b64encode(b"n,,n==2,r=x"), base64.b64encode(b"p=tls-unique,,n=alice,r=x"), base64.b64encode(b"n,,m=x,n=alice,r=x"),
             base64.b64encode(b"y,,n=alice,r=abcdef"), base64.b64encode(b"n,a=bob,n=alice,r=abcdef")]


@pytest.mark.parametrize("mechanism", [b"PLAIN", b"LOGIN", b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-1-PLUS", b"NTLM", b"%n%s%n"])
def test_odd_responses(target, mechanism):
    with target.unharmed(memory=16 << 20):
        for response in RESPONSES:
            for initial in (False, True):
                sock = target.open()
                sock.sendall(b"a AUTHENTICATE " + mechanism + (b" " + response if initial else b"") + b"\r\n")
                try:
                    if not initial:
                        time.sleep(0.002)
                        sock.sendall(response + b"\r\n" + response + b"\r\n*\r\n")
                    sock.sendall(b"z LOGOUT\r\n*\r\nz LOGOUT\r\n")
                except OSError:
                    pass
                got, closed = rest_of(sock, 3)
                assert b"a OK" not in got and closed, (mechanism, response[:50], got[-200:])


@pytest.mark.parametrize("gs2, channel, good", [("n,,", b"", True), ("y,,", b"", False), ("n,,", b"x", False), ("p=tls-exporter,,", b"\0" * 32, False),
                                                ("p=tls-exporter,,", b"", False), ("p=tls-unique,,", b"\0" * 12, False),
                                                ("p=tls-server-end-point,,", b"\0" * 32, False), ("n,a=bob,", b"", False)])
@pytest.mark.parametrize("kind", ["sha256", "sha1"])
def test_channel_binding(target, gs2, channel, good, kind):
    """RFC 5802 section 6: `y` where PLUS was offered is a downgrade; a binding to another channel is another's."""
    wire = target.raw("imaps", tls=True)
    assert scram.login(wire, "a", "alice", "secret", gs2, channel, initial=False, kind=kind).startswith(b"a OK" if good else b"a NO")
    wire.close()


def test_bad_base64_harms_only_its_sender(target):
    """Dovecot CVE-2025-59028: other logins failed with the offender's."""
    failed, stop = [], threading.Event()

    def offend():
        while not stop.is_set():
            try:
                wire = target.raw()
                wire.send(b"a AUTHENTICATE PLAIN =\x80%%\r\nb AUTHENTICATE PLAIN\r\n=\x80%%\r\n")
                wire.line(), wire.line()
                wire.close()
            except (Closed, OSError):
                pass

    def log_in():
        for _ in range(5):
            try:
                target.imap("alice").close()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                failed.append(error)

    offenders = [threading.Thread(target=offend) for _ in range(3)]
    honest = [threading.Thread(target=log_in) for _ in range(10)]
    with target.unharmed():
        for t in offenders + honest:
            t.start()
        for t in honest:
            t.join()
        stop.set()
        for t in offenders:
            t.join()
    assert not failed


@pytest.mark.parametrize("authzid", ["bob", "nobody-at-all", "", "alice"])
def test_authzid(target, authzid):
    wire = target.raw()
    token = base64.b64encode(f"{authzid}\0alice\0secret".encode())
    wire.send(b"a AUTHENTICATE PLAIN " + token + b"\r\n")
    line = wire.line()
    if authzid in ("", "alice"):
        assert line.startswith(b"a OK")
    else:
        assert line.startswith(b"a NO [AUTHORIZATIONFAILED]"), line
    wire.close()


NAMES = [b"x' OR 1=1--", b"*)(uid=*", b"%{env:HOME}", b"../bob", b"%n%s%n", b"alice\\", b"alice ", b" alice", b"alice\xc2\xa0",
         b"a" * 255, b"a" * 4000, b"\xff\xfe", b"", b"ALICE%00", b"alice@", b"@", b"alice/x", "аlice".encode()]


@pytest.mark.parametrize("name", NAMES)
def test_odd_user_names(target, name):
    with target.unharmed(memory=8 << 20):
        wire = target.raw()
        wire.send(b"a LOGIN {%d+}\r\n%s secret\r\n" % (len(name), name))
        assert wire.line(5).startswith((b"a NO [AUTHENTICATIONFAILED]", b"a BAD", b"* BYE [TOOBIG]"))
        wire.close()


def test_log_injection(target):
    """One line per event, whatever a name or an ID says."""
    evil = b"x\r\nposthorn imap: Login: user=<root>\x1b[2J\x07"
    before = len(target.stderr())
    wire = target.raw()
    wire.send(b"a ID (\"name\" {%d+}\r\n%s)\r\n" % (len(evil), evil))
    while not wire.line().startswith(b"a "):
        pass
    wire.send(b"b LOGIN {%d+}\r\n%s pw\r\n" % (len(evil), evil))
    assert b" NO " in wire.line() or b" BAD "
    wire.send(b"c AUTHENTICATE PLAIN " + base64.b64encode(b"\0" + evil + b"\0pw") + b"\r\n")
    wire.line()
    wire.send(b"d LOGIN alice secret\r\n")
    wire.line()
    wire.close()
    time.sleep(0.2)
    log = target.stderr()[before:]
    assert "\x1b" not in log and "\x07" not in log
    assert not [line for line in log.splitlines() if line.startswith("posthorn imap: Login")], log


# -- time --------------------------------------------------------------------------------------------
def login_seconds(target, name):
    wire = target.raw()
    began = time.perf_counter()
    wire.send(f"a LOGIN {name} wrong-password\r\n".encode())
    line = wire.line()
    took = time.perf_counter() - began
    wire.close()
    assert line.startswith(b"a NO [AUTHENTICATIONFAILED]"), line
    return took, re.sub(rb"^a ", b"", line)


# Users whose hashes take very different times, and nobody: the refusals do not tell them apart, from the first one on.
def test_mixed_schemes_cost_the_same():
    server = Target()
    try:
        hashes = {"dear": "{BLF-CRYPT}$2b$11$xvhk7HZldEwsd9c.treje.Nk330PsgnajzgntnXw/7uPZ53/BRB82", "cheap": "{PLAIN}secret"}
        path = server.dir / "passwd"
        path.write_text("".join(f"{name}{i}:{text}\n" for name, text in hashes.items() for i in range(4)))
        run_verb("user", "load", path, "-c", server.config)
        server.restart()
        deadline = time.monotonic() + 60
        while login_seconds(server, "nobody")[0] < 0.1:  # until it has been measured
            assert time.monotonic() < deadline
        times = {name: min(login_seconds(server, f"{name}{i}")[0] for i in range(4)) for name in ("dear", "cheap", "nobody")}
        assert times["dear"] > 0.1, "the machine is too fast for this test"
        assert times["cheap"] > times["dear"] - 0.06, times
        assert times["nobody"] > times["dear"] - 0.06, times
    finally:
        server.stop()


def test_unknown_users_cost_the_same(target, long_form):
    count, p = 500 if long_form else 40, 0.0
    for _ in range(3):  # noise of a busy machine
        known, unknown, texts = [], [], set()
        for i in range(count):
            for times, name in ((known, "bob"), (unknown, f"nobody{i}")):
                seconds, text = login_seconds(target, name)
                times.append(seconds)
                texts.add(text)
        assert len(texts) == 1
        p = kolmogorov_smirnov(known, unknown)
        if p > 0.01:
            return
    pytest.fail(f"p={p}: {sorted(known)[count // 2]:.4f} s and {sorted(unknown)[count // 2]:.4f} s")
