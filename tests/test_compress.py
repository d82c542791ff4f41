"""COMPRESS=DEFLATE (RFC 4978) beyond its transcripts: what is pipelined behind it and behind UNAUTHENTICATE, in one packet or
octet by octet; bombs, damage, large answers, memory."""
import re
import time
import zlib

import pytest

from lib import server as posthorn
from lib.wire import Closed

MAIL = b"Subject: large\r\n\r\n" + b"".join(b"line %d of a message that packs well\r\n" % i for i in range(60000))


def tagged(wire, tag):
    while not (line := wire.line()).startswith(tag + b" "):
        pass
    return line


def compressed(server, user, tls=False):
    wire = server.imap(user, tls, timeout=30).wire
    wire.send(b"b COMPRESS DEFLATE\r\n")
    assert b" OK" in tagged(wire, b"b")
    wire.compress()
    return wire


def flushed(text, how=zlib.Z_SYNC_FLUSH):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush(how)


def test_octets_behind_the_command_count_as_compressed(shared_server):
    """A client that does not wait for the OK (which it must): its next octets are compressed as RFC 4978 section 3 has it."""
    wire = shared_server.imap(shared_server.fresh_user("early"), timeout=30).wire
    wire.send(b"b COMPRESS DEFLATE\r\n" + flushed(b"c NOOP\r\nd CAPABILITY\r\n"))
    assert b" OK" in tagged(wire, b"b")
    wire.compress()
    assert tagged(wire, b"c").startswith(b"c OK")
    assert tagged(wire, b"d").startswith(b"d OK")


@pytest.mark.parametrize("split", (False, True))
@pytest.mark.parametrize("how", (zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH))
@pytest.mark.parametrize("tls", (False, True))
def test_next_login_pipelined_behind_unauthenticate(shared_server, split, how, tls):
    user = shared_server.fresh_user("next")
    wire = shared_server.imap(user, tls, timeout=30).wire
    wire.send(b"b COMPRESS DEFLATE\r\n")
    assert b" OK" in tagged(wire, b"b")
    wire.unpacker = zlib.decompressobj(-15)
    data = flushed(b"c NOOP\r\nd UNAUTHENTICATE\r\n", how)
    data += b'e LOGIN "%s" "%s"\r\nf NOOP\r\n' % (user.encode(), posthorn.PASSWORD.encode())
    for piece in ([data[i:i + 1] for i in range(len(data))] if split else [data]):
        wire.send(piece)
        if split:
            time.sleep(0.001)
    for tag in (b"c", b"d", b"e", b"f"):
        assert tagged(wire, tag).startswith(tag + b" OK"), tag
    assert wire.unpacker is None, "the server's stream had no end"


def test_a_literal_that_looks_like_unauthenticate(shared_server):
    """Input is held back only until the session asks for more."""
    wire = compressed(shared_server, shared_server.fresh_user("looks"))
    text = b"Subject: x\r\n\r\nc UNAUTHENTICATE\r\n"
    wire.send(b"c APPEND INBOX {%d+}\r\n" % (len(text) + 4) + text)
    wire.send(b"more\r\n")
    assert tagged(wire, b"c").startswith(b"c OK")
    wire.send(b"d SEARCH TEXT {%d+}\r\nx UNAUTHENTICATE\r\n" % len(b"x UNAUTHENTICATE\r\n"))
    time.sleep(0.1)
    wire.send(b"\r\n")
    assert tagged(wire, b"d").startswith(b"d BAD")  # nothing is selected


def test_a_flush_alone_does_not_stop_a_session(shared_server):
    """The end of a block that comes by itself, behind what looks like UNAUTHENTICATE, or as the final one."""
    wire = compressed(shared_server, shared_server.fresh_user("alone"))
    packer, wire.packer = wire.packer, None
    data = packer.compress(b"d SEARCH TEXT {%d+}\r\nx UNAUTHENTICATE\r\n" % 18) + packer.flush(zlib.Z_SYNC_FLUSH)
    wire.send(data[:-4])
    time.sleep(0.2)
    wire.send(data[-4:])
    time.sleep(0.2)
    wire.send(packer.compress(b"\r\ne NOOP\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    assert tagged(wire, b"e").startswith(b"e OK")
    wire.send(packer.flush(zlib.Z_FINISH))
    time.sleep(0.2)
    wire.send(b"f NOOP\r\n")
    with pytest.raises(Closed):
        wire.line()


def test_unauthenticate_without_an_end(shared_server):
    """More compressed octets, or none: the session is over, and nothing of them reaches the next login."""
    for tail in (b"d NOOP\r\n", b""):
        wire = compressed(shared_server, shared_server.fresh_user("endless"))
        packer = wire.packer
        data = packer.compress(b"c UNAUTHENTICATE\r\n" + tail)
        data += packer.flush(zlib.Z_SYNC_FLUSH)
        wire.packer = None
        wire.send(data if tail else data[:-4])
        assert wire.line().startswith(b"c OK")
        assert wire.line().startswith(b"* BYE")
        with pytest.raises(Closed):
            wire.line()


@pytest.mark.parametrize("data", (b"c NOOP\r\n", b"\xff" * 100, flushed(b"c NOOP\r\n", zlib.Z_FINISH) + b"d NOOP\r\n"))
def test_damaged_input_ends_the_connection(shared_server, data):
    wire = compressed(shared_server, shared_server.fresh_user("damage"))
    wire.packer = None
    wire.send(data)
    with pytest.raises(Closed):
        while True:
            assert not wire.line().startswith(b"d ")


def test_bombs_meet_the_caps_of_plain_input(shared_server):
    """A line without end, a literal over its cap and endless empty blocks cost the session, or nothing."""
    witness = shared_server.imap(shared_server.fresh_user("witness"))
    wire = compressed(shared_server, shared_server.fresh_user("bomb"))
    wire.send(b"c NOOP " + b"x" * (64 << 20) + b"\r\n")
    with pytest.raises(Closed):
        while True:
            wire.line()
    witness.command("NOOP")
    wire = compressed(shared_server, shared_server.fresh_user("bomb"))
    wire.send(b"c SEARCH TEXT {%d+}\r\n" % (64 << 20) + b"\0" * (64 << 20) + b"\r\n")
    with pytest.raises(Closed):
        while True:
            assert not wire.line().startswith(b"c OK")
    witness.command("NOOP")
    wire = compressed(shared_server, shared_server.fresh_user("bomb"))
    packer, wire.packer = wire.packer, None
    wire.send(packer.compress(b"c NOOP\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    assert tagged(wire, b"c").startswith(b"c OK")
    wire.send(b"\0\0\0\xff\xff" * 20000)
    witness.command("NOOP")
    wire.send(packer.compress(b"d NOOP\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    assert tagged(wire, b"d").startswith(b"d OK")


@pytest.mark.parametrize("tls", (False, True))
def test_large_messages_both_ways(shared_server, tls):
    wire = compressed(shared_server, shared_server.fresh_user("large"), tls)
    wire.send(b"c APPEND INBOX {%d}\r\n" % len(MAIL))
    assert wire.line().startswith(b"+")
    wire.send(MAIL + b"\r\n")
    assert tagged(wire, b"c").startswith(b"c OK")
    wire.send(b"d SELECT INBOX\r\n")
    assert tagged(wire, b"d").startswith(b"d OK")
    wire.send(b"e FETCH 1 BODY.PEEK[]\r\n")
    line = wire.line(60)
    assert MAIL in line
    assert tagged(wire, b"e").startswith(b"e OK")


def test_sessions_at_rest_go_on(shared_server):
    """Compressed sessions in IDLE, whose state was given back, answer again."""
    user = shared_server.fresh_user("rest")
    wires = []
    for _ in range(20):
        wire = compressed(shared_server, user)
        wire.send(b"c IDLE\r\n")
        assert wire.line().startswith(b"+")
        wires.append(wire)
    client = shared_server.imap(user)
    client.append("INBOX", b"Subject: x\r\n\r\nx\r\n")
    for wire in wires:
        wire.send(b"DONE\r\nd STATUS INBOX (MESSAGES)\r\n")
        line = wire.line()
        while not line.startswith(b"d "):
            if line.startswith(b"* STATUS"):
                assert re.search(rb"MESSAGES 1\)", line)
            line = wire.line()
        wire.close()
