"""Programs that fetch by POP3: fetchmail, getmail6, mpop. Each keeps in its folder which unique ids it has seen, and puts what it
fetches into box/ there."""
import os
import subprocess


def run(*words, codes=(0,), **more):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False, **more)
    assert done.returncode in codes, done.stdout.decode(errors="replace")
    return done.stdout


def written(path, text):
    path.write_text(text)
    os.chmod(path, 0o600)
    return path


class Fetcher:
    """One program's account at localhost. fetch() runs it, `keep`: it leaves the mail there; box_count(): what came in all runs."""

    def __init__(self, folder, user, password, tls=True):
        self.folder, self.user, self.password, self.tls = folder, user, password, tls
        self.box = folder / "box"
        self.box.mkdir(parents=True)
        self.mda = written(folder / "mda", f'#!/bin/sh\ncat > "$(mktemp {self.box}/XXXXXX)"\n')
        os.chmod(self.mda, 0o700)

    def files(self):
        return sorted(self.box.iterdir())

    def octets(self):
        return [path.read_bytes() for path in self.files()]


class Fetchmail(Fetcher):
    def fetch(self, port, keep=True, options="", codes=(0, 1)):  # 1: there was no new mail
        tls = 'sslproto "tls1.2+" no sslcertck' if self.tls else "sslproto ''"
        rc = written(self.folder / "rc", f'set idfile "{self.folder}/ids"\npoll localhost protocol POP3 port {port} uidl\n'
                     f'  user "{self.user}" password "{self.password}" {options} {"keep" if keep else "nokeep"} {tls} mda "{self.mda}"\n')
        run("fetchmail", "-f", rc, "--nosyslog", "--pidfile", self.folder / "pid", codes=codes,
            env={**os.environ, "HOME": str(self.folder), "FETCHMAILHOME": str(self.folder)})


class Getmail(Fetcher):
    def fetch(self, port, keep=True):
        """`port`: with TLS from the start, where that is wanted."""
        kind = "SimplePOP3SSLRetriever" if self.tls else "SimplePOP3Retriever"
        written(self.folder / "rc", f"[retriever]\ntype = {kind}\nserver = localhost\nport = {port}\nusername = {self.user}\n"
                f"password = {self.password}\n[destination]\ntype = MDA_external\npath = {self.mda}\nallow_root_commands = true\n[options]\n"
                f"read_all = false\ndelete = {str(not keep).lower()}\ndelivered_to = false\nreceived = false\n")
        run("getmail", "--rcfile", self.folder / "rc", "--getmaildir", self.folder)


class Mpop(Fetcher):
    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        for name in ("cur", "new", "tmp"):
            (self.folder / "mail" / name).mkdir(parents=True)

    def files(self):
        return sorted((self.folder / "mail" / "new").iterdir())

    def fetch(self, port, keep=True):
        tls = "tls on\ntls_starttls on\ntls_certcheck off" if self.tls else "tls off"
        rc = written(self.folder / "rc", f"account default\nhost localhost\nport {port}\n{tls}\nauth {'plain' if self.tls else 'user'}\n"
                     f"user {self.user}\npassword {self.password}\nkeep {'on' if keep else 'off'}\npipelining on\nreceived_header off\n"
                     f"uidls_file {self.folder}/uidls\ndelivery maildir {self.folder}/mail\n")
        run("mpop", "-C", rc)


ALL = (Fetchmail, Getmail, Mpop)
