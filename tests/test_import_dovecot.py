"""import from Debian's Dovecot: mdbox and Maildir, odd names, keywords, a namespace of others, a master user, 2,000 messages."""
import os
import subprocess

import pytest

from lib import accounts, client, holder as holding, peers, server as posthorn
from lib.waiting import wait_for
from test_import_imap import command, message, pull

MANY = 2000
# With '.' between levels '/' is a character like others. Dovecot refuses names that its file system could not hold.
SLASH = ["Lists/dev", "Lists/dev/Old mails", "M&APw-ll", "a &- b", "100%", 'quo"te', "back\\slash", "&ZeVnLA-", "l" * 120, " front", "x.y"]
DOT = ["Lists.dev", "Lists.dev.Old mails", "M&APw-ll", "a &- b", "100%", "sla/sh", "sla/sh.below", "sla&IhU-sh2"]

MORE = """
mail_location = {location}
namespace inbox {{
  separator = {separator}
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
  mailbox "Deleted Messages" {{
    auto = create
    special_use = \\Trash
  }}
}}
namespace board {{
  type = public
  separator = {separator}
  prefix = Public{separator}
  location = {public}
  subscriptions = no
}}
mail_plugins = {plugins}
mail_fsync = never
auth_master_user_separator = *
passdb {{
  driver = passwd-file
  args = {dir}/masters
  master = yes
}}
"""


class Source(peers.Dovecot):
    separator, location, public, plugins, names = "/", "mdbox:~/mdbox", "mdbox:{dir}/home/public", "", SLASH

    def prepare(self):
        super().prepare()
        (self.dir / "masters").write_text("root:{PLAIN}master-password\n")
        os.chmod(self.dir / "masters", 0o644)
        (self.dir / "dovecot.conf").write_text(self.config + MORE.format(
            dir=self.dir, separator=self.separator, location=self.location, plugins=self.plugins, public=self.public.format(dir=self.dir)))


class Slashes(Source):
    """Names that hold a '/', which is stored as %2f."""
    separator, location, public, names = ".", "maildir:~/Maildir:LAYOUT=fs", "maildir:{dir}/home/public:LAYOUT=fs", DOT
    plugins = "listescape"


@pytest.fixture(scope="module", params=[Source, Slashes], ids=["mdbox", "maildir"])
def source(request):
    one = request.param()
    yield one
    one.stop()


def there_name(source, name):
    """What a name of that server is here."""
    here = name if source.separator == "/" else name.replace("/", "&IhU-").replace(".", "/")
    return {"Deleted Messages": "Trash"}.get(here, here)


def fill(source, user, many):
    connection = client.Imap(source.address("imap"), user, source.password)
    for i, name in enumerate(source.names):
        connection.command(f'CREATE "{accounts.quoted(name)}"')
        connection.append(accounts.quoted(name), message(i), ("\\Seen", "\\Flagged $Label1", "\\Answered NonJunk", "\\Draft \\Deleted")[i % 4])
    for name in source.names[::2]:
        connection.command(f'SUBSCRIBE "{accounts.quoted(name)}"')
    connection.append("Sent", message(501), "\\Seen")
    connection.append("Deleted Messages", message(502))
    connection.append_all("INBOX", [message(i, 1500) for i in range(many)])
    connection.expunge("INBOX", f"3:5,{many}")
    connection.command("STORE 1:20 +FLAGS.SILENT (\\Seen Project:Blue)")
    board = f"Public{source.separator}board"
    if not accounts.listed(connection, board):
        connection.command(f'CREATE "{board}"')
        connection.append(board, message(900))
    connection.close()


def assert_moved(source, user, server, here):
    was, subscribed = accounts.seen(source.address("imap"), user, source.password)
    now, subscribed_here = accounts.seen(server.address("imap"), here, server.password)
    own = {there_name(source, name): rows for name, rows in was.items() if not name.startswith("Public")}
    assert len(own) >= len(source.names) + 3
    for name, rows in own.items():
        if name == "Trash" or rows[2]:
            assert now[name] == rows, name
    assert not [name for name in now if "board" in name], now.keys()
    assert {there_name(source, n) for n in subscribed} <= subscribed_here


def url(source, user):
    return f"imaps://{user}@localhost:{source.ports['imaps']}"


def test_everything(source, server):
    """Over verified TLS, as the user: names, UIDs, UIDVALIDITY, flags, keywords, dates, subscriptions; the board of all stays there."""
    user, here = source.fresh_user("ann"), server.fresh_user("dovecot")
    fill(source, user, 30)
    pull(server, url(source, user), here, "--ca", f"{source.dir}/cert.pem")
    assert_moved(source, user, server, here)
    assert "imported 0 messages" in pull(server, url(source, user), here, "--ca", f"{source.dir}/cert.pem")


def test_master_user(source, server):
    """--master is SASL PLAIN with two names; user*master works too, and a wrong password does not."""
    user, here = source.fresh_user("bob"), server.fresh_user("master")
    connection = client.Imap(source.address("imap"), user, source.password)
    connection.append("INBOX", message(1))
    connection.close()
    ca = ("--ca", f"{source.dir}/cert.pem")
    assert "lets" in pull(server, url(source, user), here, *ca, "--master", "root", password="wrong", want=1)
    assert "imported 1 messages" in pull(server, url(source, user), here, *ca, "--master", "root", password="master-password")
    assert "imported 0 messages" in pull(server, url(source, f"{user}*root"), here, *ca, password="master-password")


def test_killed_among_many(source, server):
    """2,000 messages (of the Maildir 400); kill -9 of the command, then of the server, in the midst; at the end all is as there, once."""
    user, here = source.fresh_user("many"), server.fresh_user("many")
    fill(source, user, MANY if source.separator == "/" else 400)
    for victim in ("command", "server"):
        holder = holding.Holder(source.ports["imaps"], 250_000)  # the list of 500, and some 140 messages
        words = command(server, f"imaps://{user}@localhost:{holder.port}", "-u", here, "--ca", f"{source.dir}/cert.pem", "--timeout", "300")
        connection = client.Imap(server.address("imap"), here, server.password)
        began = connection.select("INBOX")["EXISTS"]
        running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=posthorn.environment())
        try:
            running.stdin.write(f"{source.password}\n".encode())
            running.stdin.close()
            assert holder.held.wait(120)
            wait_for(lambda: connection.select("INBOX")["EXISTS"] > began)
            connection.close()
            if victim == "server":
                server.kill()
        finally:
            running.kill()
            running.wait()
        holder.stop()
        if victim == "server":
            server.start()
    pull(server, url(source, user), here, "--ca", f"{source.dir}/cert.pem")
    assert_moved(source, user, server, here)
