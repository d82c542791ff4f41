"""import from Debian's Cyrus: '.' between levels below INBOX, or '/' and an alternative namespace; an admin logs in for the user."""
import pytest

from lib import accounts, client, cyrus
from test_import_imap import message, pull

# As imapd.conf has them (netnews): INBOX.Lists; a '/' cannot be in a name.
DOTS = ["INBOX.Lists", "INBOX.Lists.dev", "INBOX.M&APw-ll", "INBOX.a &- b", "INBOX.caret^x"]
# unixhierarchysep, altnamespace: Lists/dev; a '.' in a name, which Cyrus keeps as '^'.
SLASHES = ["Lists", "Lists/dev", "Lists/v1.2", "M&APw-ll", "a &- b"]


class Source(cyrus.Cyrus):
    services = ("imap", "imaps", "pop3", "lmtp")
    names, prefix, separator = SLASHES, "", "/"
    more = "altnamespace: yes\nunixhierarchysep: yes\nadmins: cyrus\nproxyservers: cyrus\nconversations: yes\n"


class Netnews(Source):
    names, prefix, separator = DOTS, "INBOX.", "."
    more = Source.more.replace("yes\nunixhierarchysep: yes", "no\nunixhierarchysep: no")


@pytest.fixture(scope="module", params=[Source, Netnews], ids=["slashes", "dots"])
def source(request):
    one = request.param()
    yield one
    one.stop()


def fill(source, user):
    connection = client.Imap(source.address("imap"), user, source.password)
    for i, name in enumerate(source.names):
        connection.command(f'CREATE "{name}"')
        flags = ("\\Seen", "\\Flagged $Label1", "\\Answered NonJunk", "\\Draft")[i % 4]
        connection.command(f'APPEND "{name}" ({flags}) "{i + 1:2d}-Feb-2004 10:11:12 +0000"', message(i))
    for name in source.names[::2]:
        connection.command(f'SUBSCRIBE "{name}"')
    connection.append_all("INBOX", [message(i) for i in range(60)])
    connection.expunge("INBOX", "3:5,60")
    connection.command("STORE 1:20 +FLAGS.SILENT (\\Seen Project:Blue)")
    connection.close()


def share(source, owner):
    """A mailbox of somebody else that everybody may read."""
    connection = client.Imap(source.address("imap"), owner, source.password)
    name = f"{source.prefix}shared"
    connection.command(f'CREATE "{name}"')
    connection.append(name, message(700))
    connection.command(f'SETACL "{name}" anyone lrs')
    connection.close()


def here_name(source, name):
    return name[len(source.prefix):].replace(source.separator, "/") if name != "INBOX" else name


@pytest.mark.parametrize("admin", [False, True], ids=["user", "admin"])
def test_cyrus(source, server, admin):
    """Names, UIDs, UIDVALIDITY, flags, dates, subscriptions, over verified TLS; not what others share. A second run: nothing.
    Its EMAILID is made of the octets: what was appended twice has one, and two dates."""
    user, other, here = f"ann{admin:d}", f"bob{admin:d}", server.fresh_user("cyrus")
    fill(source, user)
    share(source, other)
    url = f"imaps://{user}@localhost:{source.ports['imaps']}"
    words = ("--ca", f"{source.dir}/cert.pem", *(("--master", "cyrus") if admin else ()))
    pull(server, url, here, *words, password=source.password)
    was, subscribed = accounts.seen(source.address("imap"), user, source.password)
    now, subscribed_here = accounts.seen(server.address("imap"), here, server.password)
    own = {here_name(source, name): rows for name, rows in was.items() if name == "INBOX" or name in source.names}
    assert any("shared" in name for name in was) and len(own) == len(source.names) + 1
    for name, rows in own.items():
        assert now[name] == rows, name
    assert not [name for name in now if "shared" in name]
    assert {here_name(source, n) for n in subscribed} <= subscribed_here
    assert "imported 0 messages" in pull(server, url, here, *words, password=source.password)
