"""POP3's unique ids (RFC 1939 section 7) after import from Debian's Dovecot: whatever pop3_uidl_format it had, programs that leave mail
on the server fetch nothing again."""
import subprocess

import pytest

from lib import client, fetching, peers, server as posthorn
from lib.pop3 import Pop3
from test_import_imap import pull

MORE = """
protocols = imap pop3
mail_location = {location}
mail_fsync = never
pop3_uidl_format = {form}
pop3_save_uidl = {save}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""
USUAL = "%08Xu%08Xv"
LAYOUTS = {"maildir": "maildir:~/Maildir", "sdbox": "sdbox:~/sdbox", "mdbox": "mdbox:~/mdbox"}


class Source(peers.Dovecot):
    services = ("imap", "imaps", "pop3")
    layout, form, save = "maildir", USUAL, "no"

    def __init__(self, **how):
        self.__dict__.update(how)
        super().__init__()

    def prepare(self):
        self.ports["lmtp"] = 0
        super().prepare()
        del self.ports["lmtp"]

    def configure(self, more=""):
        super().configure(MORE.format(location=LAYOUTS[self.layout], form=self.form, save=self.save, pop3=self.ports["pop3"]))


def uidls(port, user):
    with Pop3(port, user) as c:
        return [line.split(b" ", 1)[1] for line in c.all("UIDL")]


def fill(source, user):
    """Gaps between the UIDs, a message that came by COPY, and one whose GUID is not its file's name."""
    connection = client.Imap(source.address("imap"), user, source.password)
    connection.append_all("INBOX", [b"Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\ntext\r\n" % (i, i) for i in range(7)])
    connection.expunge("INBOX", "2,5")
    connection.command("COPY 2 INBOX")
    connection.expunge("INBOX", "2")
    connection.command('CREATE "Other"')
    connection.append("Other", b"Subject: 7\r\nMessage-ID: <7@x>\r\n\r\ntext\r\n")
    connection.select("Other")
    connection.command("COPY 1 INBOX")
    connection.close()


class Move:
    """An account that moves from Dovecot to a server here, which then listens where Dovecot did."""

    def __init__(self, source, folder):
        self.source, self.folder = source, folder
        self.user = source.fresh_user("pop")
        self.port = source.ports["pop3"]
        fill(source, self.user)
        self.server = posthorn.Server(start=False, services=("imap", "lmtp", "pop3"))
        self.server.ports["pop3"] = self.port
        self.server.write_config()
        self.server.user_add(self.user)

    def read_by(self, programs):
        self.programs = [p(self.folder / p.__name__, self.user, posthorn.PASSWORD, tls=False) for p in programs]
        for program in self.programs:
            program.fetch(self.port)
            assert len(program.files()) == 6

    def from_disk(self, *words, want=0):
        maildir = self.source.dir / "home" / self.user / "Maildir"
        done = subprocess.run([posthorn.binary(), "import", "maildir", str(maildir), "-u", self.user, *words, "-c", str(self.server.config)],
                              capture_output=True, env=posthorn.environment(), timeout=120, check=False)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == want, said
        return said

    def over_imap(self, *words, want=0):
        url = f"imaps://{self.user}@localhost:{self.source.ports['imaps']}"
        return pull(self.server, url, self.user, "--ca", f"{self.source.dir}/cert.pem", *words, want=want)

    def switch(self):
        self.source.end()
        posthorn.give_to_service(self.server.data)
        self.server.start()

    def stop(self):
        if self.server.process is not None:
            self.server.stop()

    def assert_nothing_again(self):
        """What came since is fetched, and nothing else."""
        connection = client.Imap(self.server.address("imap"), self.user, self.server.password)
        connection.append("INBOX", b"Subject: new\r\n\r\nnew\r\n")
        connection.close()
        for program in self.programs:
            before = set(program.files())
            program.fetch(self.port)
            new = set(program.files()) - before
            assert [b"Subject: new" in path.read_bytes() for path in new] == [True], program


@pytest.fixture
def move(request, tmp_path):
    made = []

    def make(**how):
        source = Source(**how)
        made.append(source)
        made.append(Move(source, tmp_path))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def option(form):
    return () if form == USUAL else ("--uidl-format", form)


@pytest.mark.parametrize("form", [USUAL, "%08Xv%08Xu", "%v.%u", "UID%u-%v", "%f", "%g", "%Mf", "%-25f_%u", "%LUg", "%3.09Rf%-4.u%%%v"])
def test_maildir(move, form):
    one = move(form=form)
    was = uidls(one.port, one.user)
    one.from_disk(*option(form))
    one.switch()
    assert uidls(one.port, one.user) == was and len(set(was)) == 6


@pytest.mark.parametrize("layout,form", [("mdbox", USUAL), ("sdbox", "%v.%u"), ("sdbox", "%g"), ("mdbox", "%g"), ("maildir", "%g")])
def test_over_imap(move, layout, form):
    one = move(layout=layout, form=form)
    was = uidls(one.port, one.user)
    one.over_imap(*option(form))
    one.switch()
    assert uidls(one.port, one.user) == was and len(set(was)) == 6


@pytest.mark.parametrize("how", ["maildir", "saved", "imap"])
def test_programs_fetch_nothing_again(move, how):
    """fetchmail, getmail6 and mpop with what they keep; `saved`: ids that dovecot-uidlist has of its own, since the format was
    changed after they were given out (pop3_save_uidl)."""
    form = {"maildir": "%f", "saved": "%v_%u", "imap": "%g"}[how]
    one = move(form=form, save="yes" if how == "saved" else "no", layout="mdbox" if how == "imap" else "maildir")
    one.read_by(fetching.ALL)
    was = uidls(one.port, one.user)
    if how == "saved":
        one.source.end()
        one.source.form = USUAL
        one.source.configure()
        one.source.start()
        assert uidls(one.port, one.user) == was
        assert " P" in (one.source.dir / "home" / one.user / "Maildir" / "dovecot-uidlist").read_text()
    if how == "imap":
        one.over_imap(*option(form))
    else:
        one.from_disk(*(option(form) if how == "maildir" else ()))
    one.switch()
    assert uidls(one.port, one.user) == was
    one.assert_nothing_again()


def test_into_an_inbox_with_mail(move):
    """Where UIDs cannot be kept the unique ids are."""
    one = move()
    was = uidls(one.port, one.user)
    one.switch()
    connection = client.Imap(one.server.address("imap"), one.user, one.server.password)
    connection.append("INBOX", b"Subject: first\r\n\r\nx\r\n")
    connection.close()
    one.from_disk()
    assert uidls(one.port, one.user)[1:] == was


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_export_carries_them(move, form, tmp_path):
    one = move(form="%f")
    was = uidls(one.port, one.user)
    one.from_disk("--uidl-format", "%f")
    run = ["-c", str(one.server.config)]
    posthorn.run_verb("export", form, tmp_path / "out", "-u", one.user, *run)
    one.server.user_add("second")
    posthorn.run_verb("import", form, tmp_path / "out", "-u", "second", *run)
    one.switch()
    assert uidls(one.port, "second") == was


def test_what_cannot_be(move):
    one = move()
    assert "IMAP does not tell %f" in one.over_imap("--uidl-format", "%f", want=2)
    assert "only the variables" in one.from_disk("--uidl-format", "%m", want=2)
    assert "the same id" in one.from_disk("--uidl-format", "x%v", want=2)
