"""mutt and mbsync at once on one shared mailbox: the owner with one, a guest with the other, then the other way round. Each sees only what
they have read themselves; nothing is lost, and nothing is there twice."""
import subprocess

import pytest

from lib import client, terminal
from test_mutt import RC
from test_sync import MBSYNC, local_file, local_subjects, message, run, set_flags, settings


class Reader:
    """A user with the shared mailbox under the name that it has for them, and their own Maildir of it."""

    def __init__(self, where, user, mailbox, folder):
        self.where, self.user, self.mailbox, self.folder = where, user, mailbox, folder
        folder.mkdir()
        values = settings(where, user, folder)
        self.maildir = values["maildir"]
        text = MBSYNC.format(**values).replace("Patterns *", f"Patterns {mailbox}")
        for section in ("IMAPStore", "MaildirStore", "Channel"):
            text = text.replace(f"\n{section}", f"\n\n{section}")
        (folder / "mbsyncrc").write_text(text)
        self.words = ["mbsync", "-c", str(folder / "mbsyncrc"), "-a"]

    def sync(self):
        run(*self.words)

    def local(self, subject):
        return local_file(self.maildir, self.mailbox, subject)

    def upload(self, subject):
        new = self.local("one").parent.parent / "new"
        (new / f"{subject}.local.host").write_bytes(message(subject).replace(b"\r\n", b"\n"))

    def mutt(self, keys):
        """mutt with these keys, and meanwhile whatever the body of the with statement does."""
        config = self.folder / "muttrc"
        config.write_text(RC.format(user=self.user, password=self.where.password, certificate=self.where.dir / "cert.pem",
                                    port=self.where.address("imaps")[1])
                          + f"set spoolfile=imaps://localhost:{self.where.address('imaps')[1]}/{self.mailbox}\npush '{keys}'\n")
        return terminal.Terminal(["mutt", "-n", "-F", str(config)], self.folder)

    def state(self):
        """{subject: flags} as the server tells this user, each subject once."""
        session = client.Imap(self.where.address("imap"), self.user, self.where.password)
        known = session.select(self.mailbox)
        rows = session.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])") if known["EXISTS"] else {}
        session.close()
        pairs = [(next(v for k, v in row.items() if k.startswith("BODY[")).split(b":")[1].strip().decode(), set(row["FLAGS"]) - {"\\Recent"})
                 for row in rows.values()]
        assert len(pairs) == len(dict(pairs)), f"twice: {pairs}"
        return dict(pairs)


def at_once(reader, keys, syncer):
    with reader.mutt(keys) as screen:
        process = subprocess.Popen(syncer.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        screen.wait_end()
        said = process.communicate(timeout=120)[0]
    # a message may go under its hands: then it says so, and the next run is whole
    assert process.returncode in (0, 1), said.decode(errors="replace")
    syncer.sync()


def with_flag(state, flag):
    return {subject for subject, flags in state.items() if flag in flags}


@pytest.mark.parametrize("where", ["posthorn"], indirect=True)
def test_two_users(where, tmp_path):
    names = [where.fresh_user(name) for name in ("host", "guest")]
    session = client.Imap(where.address("imap"), names[0], where.password)
    session.command("CREATE Team")
    for subject in ("one", "two", "three", "four", "five", "six"):
        session.append("Team", message(subject))
    session.command(f"SETACL Team {names[1]} lrswite")
    session.close()
    owner = Reader(where, names[0], "Team", tmp_path / "owner")
    guest = Reader(where, names[1], f"Shared/{names[0]}/Team", tmp_path / "guest")
    for reader in (owner, guest):
        reader.sync()
    assert local_subjects(guest.maildir) == sorted(["one", "two", "three", "four", "five", "six"])

    set_flags(guest.local("two"), "S")
    guest.local("three").unlink()
    guest.upload("seven")
    at_once(owner, "<limit>~s one<enter><first-entry><display-message><exit><limit>all<enter><delete-pattern>~s six<enter><sync-mailbox><quit>", guest)
    here, there = owner.state(), guest.state()
    assert set(here) == set(there) == {"one", "two", "four", "five", "seven"}
    assert with_flag(here, "\\Seen") == {"one"} and with_flag(there, "\\Seen") == {"two"}

    owner.sync()
    set_flags(owner.local("five"), "FS")
    owner.local("two").unlink()
    owner.upload("eight")
    at_once(guest, "<limit>~s four<enter><first-entry><display-message><exit><limit>all<enter><delete-pattern>~s seven<enter><sync-mailbox><quit>", owner)
    here, there = owner.state(), guest.state()
    assert set(here) == set(there) == {"one", "four", "five", "eight"}
    assert with_flag(here, "\\Seen") == {"one", "five"} and with_flag(there, "\\Seen") == {"four"}
    assert with_flag(here, "\\Flagged") == with_flag(there, "\\Flagged") == {"five"}
    guest.sync()
    for reader in (owner, guest):
        assert local_subjects(reader.maildir) == sorted(here)
    assert "S" in guest.local("four").name.partition(":2,")[2] and "S" not in guest.local("five").name.partition(":2,")[2]
    where.check_reports()
