"""Posthorn under test: its own data directory and ports, fails on sanitizer reports, can be killed and restarted."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from . import scratch
from .client import Imap
from .peers import free_ports, make_certificate, read_message, wait_port

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PASSWORD = "secret"
REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer|\bmust\b.*failed")
USERS = ("alice", "bob", "carol")


def binary():
    return os.environ.get("POSTHORN_BINARY", str(ROOT / "build/asan/src/main/posthorn"))


def environment():
    env = dict(os.environ)
    env["ASAN_OPTIONS"] = ("detect_leaks=1:abort_on_error=0:handle_abort=1:detect_stack_use_after_return=0:"
                           "quarantine_size_mb=16")  # freed memory that is kept would count as the server's
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
    env["TSAN_OPTIONS"] = "halt_on_error=0"
    return env


def run_verb(*words, stdin=b"", timeout=60):
    """One admin verb; returns its output, raises with everything it said when it fails."""
    done = subprocess.run([binary(), *map(str, words)], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(), timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"posthorn {' '.join(map(str, words))}: {done.returncode}\n"
                           f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
    return done.stdout


def auth_test(server, user, password, *more):
    """`posthorn auth test`: (exit status, rows, what went wrong)."""
    words = [binary(), "auth", "test", user, *more, "--json", "-c", server.config]
    done = subprocess.run(list(map(str, words)), input=password.encode() + b"\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                          timeout=60, check=False)
    rows, errors = ([json.loads(line) for line in said.decode().splitlines()] for said in (done.stdout, done.stderr))
    return done.returncode, rows, errors


def wait_gone(pids, seconds=20):
    """Waits until none of the processes runs; the kernel ends a killed one some time after the signal."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        while runs(pid):
            if time.monotonic() > deadline:
                raise RuntimeError(f"process {pid} still runs {seconds} s after SIGKILL")
            time.sleep(0.002)


def runs(pid):
    """Does any thread? The first may be gone while others still hold the sockets."""
    try:
        states = [stat.read_text() for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return pathlib.Path(f"/proc/{pid}/task").exists()
    return any(state.rsplit(")", 1)[1].split()[0] not in "ZX" for state in states)


FRAME = re.compile(r"\((/[^()+]*posthorn)\+(0x[0-9a-f]+)\)")


def symbolize(text):
    """The sandbox keeps the roles from starting a symbolizer: done here, afterwards."""
    found = FRAME.findall(text)
    if not found:
        return text
    program, offsets = found[0][0], list(dict.fromkeys(offset for _, offset in found))
    done = subprocess.run(["addr2line", "-f", "-e", program, *offsets], stdout=subprocess.PIPE, check=False)
    lines = done.stdout.decode().split("\n")
    names = {o: f"{lines[2 * i]} {lines[2 * i + 1].replace(str(ROOT), '')}" for i, o in enumerate(offsets) if 2 * i + 1 < len(lines)}
    return FRAME.sub(lambda m: names.get(m[2], m[0]), text)


_template = None


def template():
    """A data directory with alice, bob and carol, made once for each run of the tests."""
    global _template
    if _template is None:
        _template = scratch.folder("template") / "data"
        for name in USERS:
            run_verb("user", "add", name, "--data", _template, stdin=PASSWORD.encode() + b"\n")
    return _template


def give_to_service(path):
    """The tree, if there is one, belongs to whom a server that root starts becomes."""
    if os.getuid() == 0 and os.path.exists(path):
        subprocess.run(["chown", "-R", "nobody:nogroup", str(path)], check=True)


def setting(value):
    """A value in the configuration's syntax."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(setting(v) for v in value) + " }"
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


SERVICES = ("imap", "imaps", "lmtp", "managesieve")


class Server:
    name = "posthorn"
    password = PASSWORD

    def __init__(self, settings=None, data=None, plaintext=True, start=True, services=SERVICES):
        self.dir = scratch.folder("test")
        self.data = pathlib.Path(data) if data else self.dir / "data"
        if data is None:
            subprocess.run(["cp", "-a", "--sparse=always", str(template()), str(self.data)], check=True)
        self.ports = dict(zip(services, free_ports(len(services))))
        self.settings = {"plaintext_auth": plaintext, "auth_penalty": False, "mail_threads": 2,
                         "gate_processes": 1, **(settings or {})}
        self.users, self.process, self.reported = 0, None, 0
        make_certificate(self.dir)
        self.write_config()
        if start:
            self.start()

    def write_config(self):
        lines = ["version = 1", 'hostname = "localhost"', f'data = "{self.data}"']
        lines += [f'{name} = {{ "127.0.0.1:{port}" }}' for name, port in self.ports.items()]
        if os.getuid() == 0:
            lines.append('user = "nobody"')
            give_to_service(self.data)
        for name, value in self.settings.items():
            lines.append(f"{name} = {setting(value)}")
        lines.append(f'tls {{ certificate = "{self.dir}/cert.pem"  key = "{self.dir}/key.pem" }}')
        self.config = self.dir / "posthorn.conf"
        self.config.write_text("\n".join(lines) + "\n")

    # -- life --------------------------------------------------------------------------------
    def environment(self):
        return environment()

    def command(self):
        return [binary(), "serve", "-c", str(self.config)]

    def start(self):
        began = time.monotonic()
        self.log = open(self.dir / "stderr", "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env=self.environment(), start_new_session=True)
        try:
            wait_port(self.ports["imap"], self.process, 30)
            wait_port(self.ports["lmtp"], self.process, 30)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.stderr()[-4000:]}") from None
        self.start_seconds = time.monotonic() - began

    def family(self):
        """The pids of the server and all its roles."""
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    parents.setdefault(int(fields[1]), []).append(int(entry.name))
                except OSError:
                    pass
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            left += parents.get(pid, [])
        return found

    def imap(self, user="alice", tls=False, timeout=60):
        """A session of this user."""
        return Imap(self.address("imaps" if tls else "imap"), user, self.password, tls=tls, timeout=timeout)

    def roles(self):
        """{"auth": [pid], "gate": [pid, ...], "mail": [pid]}"""
        found = {}
        for pid in self.family():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0].split(": ")
            except OSError:
                continue  # it has just ended
            if len(words) == 2 and words[0] == "posthorn":
                found.setdefault(words[1], []).append(pid)
        return found

    def pids(self, role):
        return self.roles().get(role, [])

    def reload(self, **settings):
        """It goes on with these settings changed."""
        self.settings.update(settings)
        self.write_config()
        run_verb("reload", "-c", self.config)

    def kill(self):
        """kill -9 of the whole tree at once; nothing of it listens any more when this returns."""
        family = self.family()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_gone(family)
        self.process = None
        self.log.close()

    def stop(self):
        """A clean end; raises when it was not clean or a sanitizer had something to say."""
        code = 0
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                code = "still running 20 s after SIGTERM"
            self.process = None
        try:
            self.check_reports()
            if code:
                raise RuntimeError(f"the server ended with {code}\n{self.stderr()[-4000:]}")
        except (AssertionError, RuntimeError):
            scratch.keep(self.dir)
            raise
        shutil.rmtree(self.dir, ignore_errors=True)

    def restart(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.start()

    def stderr(self):
        return (self.dir / "stderr").read_text(errors="replace")

    def check_reports(self):
        """Raises for every sanitizer report since the last call."""
        text = self.stderr()
        new, self.reported = text[self.reported:], len(text)
        if REPORT.search(new):
            at = max(REPORT.search(new).start() - 200, 0)
            raise AssertionError("the server reported:\n" + symbolize(new[at:at + 5000]))

    # -- what transcripts need ---------------------------------------------------------------
    def address(self, service):
        return ("127.0.0.1", self.ports[service]) if service in self.ports else None

    def user_add(self, name, password=PASSWORD):
        run_verb("user", "add", name, "--data", self.data, stdin=password.encode() + b"\n")

    def user_renew(self, name):
        """The account is a new one, without mail."""
        run_verb("user", "delete", name, "--data", self.data)
        self.user_add(name)

    def labels(self, user, mode):
        run_verb("mailbox", "labels", user, mode, "--data", self.data)

    def fresh_user(self, name):
        if name == OWNER:
            return name
        self.users += 1
        fresh = f"{name}{self.users}"
        self.user_add(fresh)
        return fresh

    def message(self, name):
        return read_message(name)

    def for_script(self, script):
        return self


OWNER = "olga"  # of what `server shared` mounts for all
VARIANTS = {
    "plain": {},
    "split": {"test_split_io": True, "test_packing": True, "mail_compress": "zstd"},
    "mount": {"test_mount": "bob lrswipkxte"},
}


# What a transcript's line `server KIND` asks for.
KINDS = {
    "readonly-mount": {"test_mount": "bob lr"},
    "progress": {"test_progress_ms": 1, "search_index": False},
    "dropbox-mount": {"test_mount": "bob li", "quota_mailboxes": 60, "quota_messages": 1000},
    "shared": {"test_mount": f"{OWNER} lrswipkxte", "private_flags": ["\\Seen", "\\Flagged"]},
    "messagelimit": {"message_limit": 3, "message_limit_enforce": True},
    "savelimit": {"message_limit": 0, "save_limit": 3},
    "overloaded": {"test_overload": True},
    "smarthost": {"relay_host": "localhost:9", "relay_tls": "none"},
    "marks": {"intake_keywords": ["$hasattachment", "$hasnoattachment", "$canunsubscribe", "$autosent", "$imported"]},
    "still-here": {"idle_notify": "1s"},
    "submit": {"submit_users": [f"carol{n}" for n in range(1, 60)], "host_names": ["mail.example.org"]},
    "late-previews": {"test_preview_late": True},
    "quota": {"test_mount": "bob lr", "admin_users": [f"carol{n}" for n in range(1, 60)], "quota_mailboxes": 8,
              "quota_annotations": "4096", "local_domains": ["example.test"]},
    "entries": {"server_comment": "A note for all", "server_admin": "mailto:postmaster@example.org",
                "filters": ['Boss OR LARGER 5000 FROM "boss@example.com"', "broken OR LARGER", "loud filter boss flagged", "mine seen"],
                "filter_descriptions": ["boss From the boss"]},
}


class Fleet:
    """The servers a run of transcripts needs, started when first asked for."""
    name = "posthorn"

    def __init__(self, variant="plain"):
        self.variant, self.servers = variant, {}

    def for_script(self, script):
        kind = script.server
        if kind not in self.servers:
            self.servers[kind] = Server({**VARIANTS[self.variant], **KINDS.get(kind, {})}, plaintext=kind != "tls",
                                        services=(*SERVICES, "pop3", "pop3s"))
            if kind == "shared":
                self.servers[kind].user_add(OWNER)
        return self.servers[kind]

    def stop(self):
        errors = []
        for server in self.servers.values():
            try:
                server.stop()
            except (RuntimeError, AssertionError) as error:
                errors.append(str(error))
        if errors:
            raise RuntimeError("\n".join(errors))
