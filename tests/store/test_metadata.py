"""METADATA (RFC 5464) across users and restarts: what is shared and what is not, and that entries are kept."""
import subprocess

import pytest

from lib import server as posthorn
from lib.client import Imap

VALUE = "v" * 1024  # RFC 5464 section 4.1: at least so much, and ten entries


def session(server, user):
    return Imap(server.address("imap"), user, server.password)


def entries(client, box):
    lines, _ = client.command(f'GETMETADATA (DEPTH infinity) "{box}" (/private /shared)')
    return sorted(lines)


@pytest.fixture
def server():
    made = posthorn.Server({"test_mount": "bob lrswipkxte", "test_segment_size": 64 << 10})
    yield made
    made.stop()


def fill(server):
    bob = session(server, "bob")
    bob.command("CREATE Box")
    bob.command("CREATE Gone")
    for n in range(10):
        bob.command(f'SETMETADATA Box (/private/e{n} "{VALUE}" /shared/e{n} "{n}")')
    bob.command('SETMETADATA Box (/private/e3 NIL /shared/e4 NIL /shared/empty "" /private/specialuse "\\\\Archive")')
    bob.command('SETMETADATA Gone (/private/comment "gone")')
    bob.command('SETMETADATA "" (/private/vendor/posthorn/push "token")')
    bob.command("DELETE Gone")
    bob.close()
    alice = session(server, "alice")
    alice.command('SETMETADATA Shared/bob/Box (/private/comment "of alice")')
    alice.close()


def picture(server):
    bob, alice = session(server, "bob"), session(server, "alice")
    seen = [entries(bob, "Box"), entries(bob, ""), entries(alice, "Shared/bob/Box"), entries(alice, "")]
    seen.append(bob.command("STATUS Box (HIGHESTMODSEQ)")[0])
    bob.close()
    alice.close()
    return seen


def kinds(server):
    server.restart()
    yield "restart"
    server.kill()
    server.start()
    yield "kill"
    server.process.terminate()
    assert server.process.wait(20) == 0
    subprocess.run(["rm", "-rf", str(server.data / "index")], check=True)
    posthorn.give_to_service(server.data)
    subprocess.run([posthorn.binary(), "rebuild", "-c", str(server.config)], env=posthorn.environment(), timeout=60,
                   check=True, stdout=subprocess.DEVNULL)
    server.start()
    yield "rebuild"


def test_kept(server):
    fill(server)
    before = picture(server)
    text = b"\n".join(b"\n".join(part) for part in before[:4])
    assert text.count(VALUE.encode()) == 9 and text.count(b"/shared/e") == 2 * (9 + 1) and b"gone" not in text
    for kind in kinds(server):
        assert picture(server) == before, kind
    bob = session(server, "bob")
    assert any(b"\\Archive" in line for line in bob.command('LIST "" Box')[0])
    bob.command("CREATE Gone")
    assert bob.command("GETMETADATA Gone /private/comment")[0] == [b"* METADATA Gone (/private/comment NIL)"]
    bob.close()


def test_each_user_apart(server):
    bob, alice = session(server, "bob"), session(server, "alice")
    alice.command("ENABLE METADATA")
    bob.command('SETMETADATA INBOX (/private/comment "of bob" /shared/comment "of all")')
    bob.command('SETMETADATA "" (/private/comment "of bob")')
    lines, _ = alice.command("NOOP")
    assert lines == [b"* METADATA Shared/bob/INBOX /shared/comment"]
    alice.command('SETMETADATA Shared/bob/INBOX (/private/comment "of alice" /shared/comment "new")')
    assert alice.command("NOOP")[0] == []
    assert entries(bob, "INBOX") == [b'* METADATA INBOX (/private/comment "of bob" /shared/comment "new")']
    assert entries(alice, "Shared/bob/INBOX") == [b'* METADATA Shared/bob/INBOX (/private/comment "of alice" /shared/comment "new")']
    assert entries(alice, "INBOX") == [b"* METADATA INBOX (/private NIL /shared NIL)"]
    bob.close()
    alice.close()
