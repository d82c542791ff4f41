"""Debian's Thunderbird under Xvfb, steered from inside: an account, mail pushed to it, flags, moves, folders, all over TLS with a
certificate of a test authority. The server is the witness. Only in the long form; there, not starting is a failure."""
import os
import subprocess
import time

import pytest

from lib import client, peers, server as posthorn
from lib.long import LONG
from lib.marionette import Marionette

if not LONG:
    pytest.skip("POSTHORN_LONG=1 only: it needs Thunderbird and a minute", allow_module_level=True)

SECONDS = 180  # for anything that is waited for
PREFS = {
    "app.update.enabled": False, "extensions.update.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True, "mail.provider.suppress_dialog_on_startup": True,
    "mail.shell.checkDefaultClient": False, "mail.spotlight.firstRunDone": True, "mailnews.start_page.enabled": False,
    "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
}

# What the scripts below share. Folders go by their path under the account.
SHARED = """
var { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
var server = MailServices.accounts.allServers.find(s => s.type == "imap");
var folder = path => path.split("/").reduce((f, name) => f && f.subFolders.find(s => s.name.toLowerCase() == name.toLowerCase()), server.rootFolder);
var header = (path, subject) => [...folder(path).messages].find(h => h.mime2DecodedSubject == subject);
"""

ACCOUNT = """
const [user, password, port, authority] = arguments;
Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(authority, "CT,C,C");
server = MailServices.accounts.createIncomingServer(user, "localhost", "imap");
server.port = port;
server.socketType = Ci.nsMsgSocketType.SSL;
server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
server.password = password;
server.doBiff = false;  // new mail comes by IDLE or not at all
server.valid = true;
const identity = MailServices.accounts.createIdentity();
identity.email = user + "@example.org";
const account = MailServices.accounts.createAccount();
account.addIdentity(identity);
account.incomingServer = server;
MailServices.accounts.defaultAccount = account;
server.performExpand(null);
server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox).getNewMessages(null, null);
"""


class Thunderbird:
    """Xvfb on a display that it chooses itself, and Thunderbird on it, with a profile of its own."""

    def __init__(self, folder):
        self.folder = folder
        port = peers.free_ports(1)[0]
        prefs = {**PREFS, "marionette.port": port}
        (folder / "profile").mkdir()
        written = {True: "true", False: "false"}
        (folder / "profile" / "user.js").write_text("".join(
            f'user_pref("{name}", {written[value] if isinstance(value, bool) else value});\n' for name, value in prefs.items()))
        reading, writing = os.pipe()
        self.screen = subprocess.Popen(["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
                                       pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(writing)
        with os.fdopen(reading) as told:
            display = told.readline().strip()
        assert display, "Xvfb did not start"
        self.log = open(folder / "log", "wb")
        env = {**os.environ, "HOME": str(folder), "DISPLAY": f":{display}", "MOZ_CRASHREPORTER_DISABLE": "1", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(["thunderbird", "--no-remote", "--profile", str(folder / "profile"), "--marionette",
                                         "--remote-allow-system-access"], stdout=self.log, stderr=self.log, env=env)
        self.inside = Marionette(port, self.process, SECONDS)

    def script(self, text, *args):
        return self.inside.script(SHARED + text, *args)

    def wait(self, text, want, *args):
        """Until the script returns what is wanted."""
        end = time.monotonic() + SECONDS
        while (got := self.script(text, *args)) != want:
            assert time.monotonic() < end, f"{text.strip()} gives {got!r}\n{(self.folder / 'log').read_text(errors='replace')[-2000:]}"
            time.sleep(0.3)

    def quit(self):
        self.inside.command("Marionette:Quit", {"flags": ["eAttemptQuit"]})
        assert self.process.wait(SECONDS) == 0

    def close(self):
        for process in (self.process, self.screen):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.log.close()


@pytest.fixture(params=["posthorn", "dovecot"])
def signed(request):
    """A server with a certificate of the test authority."""
    where = peers.Dovecot(start=False) if request.param == "dovecot" else posthorn.Server(start=False)
    peers.make_authority(where.dir)
    where.start()
    yield where
    where.stop()


@pytest.fixture
def thunderbird(tmp_path):
    program = Thunderbird(tmp_path)
    yield program
    program.close()


def eventually(look, want):
    """Until the server shows it."""
    end = time.monotonic() + SECONDS
    while (got := look()) != want:
        assert time.monotonic() < end, f"{got!r} instead of {want!r}"
        time.sleep(0.2)


def rows(witness, mailbox):
    """{subject: flags}"""
    found = {}
    if witness.select(mailbox)["EXISTS"]:
        for row in witness.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").values():
            subject = row["BODY[HEADER.FIELDS (SUBJECT)]"].split(b":")[1].strip().decode()
            found[subject] = frozenset(row["FLAGS"]) - {"\\Recent"}
    return found


def message(subject):
    return f"From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.org>\r\n\r\nthe text of {subject}\r\n".encode()


def push(where, user, subject):
    lmtp = client.Lmtp(where.address("lmtp"))
    lmtp.deliver(user, message(subject))
    lmtp.close()


COUNT = "return folder(arguments[0])?.getTotalMessages(false) ?? null;"


def test_thunderbird(signed, thunderbird):
    user = signed.fresh_user("bird")
    witness = client.Imap(signed.address("imap"), user, signed.password)
    for subject in ("first", "second", "third"):
        witness.append("INBOX", message(subject))
    authority = "".join((signed.dir / "authority.pem").read_text().split("\n")[1:-2])
    thunderbird.script(ACCOUNT, user, signed.password, signed.address("imaps")[1], authority)
    thunderbird.wait(COUNT, 3, "Inbox")
    thunderbird.wait("return ['Sent', 'Drafts', 'Trash', 'Junk', 'Archive'].every(folder);", True)

    time.sleep(10)  # it has nothing to do and idles
    push(signed, user, "pushed")
    thunderbird.wait("return header('Inbox', 'pushed') != null;", True)

    thunderbird.script("""folder("Inbox").markMessagesFlagged([header("Inbox", "first")], true);
                          folder("Inbox").markMessagesRead([header("Inbox", "pushed")], true);""")
    eventually(lambda: rows(witness, "INBOX"), {"first": {"\\Flagged"}, "second": set(), "third": set(), "pushed": {"\\Seen"}})
    witness.command("STORE 2 +FLAGS (\\Answered)")
    thunderbird.wait("return (header('Inbox', 'second').flags & Ci.nsMsgMessageFlags.Replied) != 0;", True)

    thunderbird.script("""MailServices.copy.copyMessages(folder("Inbox"), [header("Inbox", "first")], folder("Archive"), true,
                                                         null, null, true);""")
    eventually(lambda: rows(witness, "Archive"), {"first": {"\\Flagged"}})
    thunderbird.script('folder("Inbox").deleteMessages([header("Inbox", "third")], null, false, false, null, true);')
    eventually(lambda: set(rows(witness, "Trash")), {"third"})
    eventually(lambda: set(rows(witness, "INBOX")), {"second", "pushed"})

    witness.expunge("INBOX", "1")
    thunderbird.wait(COUNT, 1, "Inbox")

    thunderbird.script('server.rootFolder.createSubfolder("Für & wider", null);')
    eventually(lambda: "F&APw-r &- wider" in witness.names(), True)
    thunderbird.wait("return folder('Für & wider') != null;", True)
    thunderbird.script('folder("Für & wider").rename("Neu & anders", null);')
    eventually(lambda: {"Neu &- anders", "F&APw-r &- wider"} & witness.names(), {"Neu &- anders"})
    witness.close()
    thunderbird.quit()
