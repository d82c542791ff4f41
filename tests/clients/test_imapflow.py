"""imapflow 1.0.188, the IMAP client of much server-side JavaScript: imapflow.js does what it is told, the server is the witness."""
import json
import pathlib
import subprocess

import pytest

from lib import client, fetched

SCRIPT = pathlib.Path(__file__).with_name("imapflow.js")
NAMES = ("plain", "alt", "parts")
SECONDS = 120


@pytest.fixture(scope="module")
def modules():
    return fetched.imapflow()


class Flow:
    """A run of imapflow.js: the lines it says, and a line to it where it waits."""

    def __init__(self, modules, where, user, scenario, secure=True, **more):
        given = {"port": where.address("imaps" if secure else "imap")[1], "secure": secure, "certificate": str(where.dir / "cert.pem"),
                 "auth": {"user": user, "pass": where.password}, **more}
        self.process = subprocess.Popen(["timeout", str(SECONDS), "node", str(SCRIPT), str(modules), scenario, json.dumps(given)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def next_any(self):
        """[what, value] of the next line."""
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def next(self, want):
        """The value of the next line, which must be about `want`."""
        what, value = self.next_any()
        assert what == want, (what, value)
        return value

    def next_of(self, want):
        """The value of the next line about `want`; what else is pushed before it may come."""
        while (said := self.next_any())[0] != want:
            assert said[0] in ("flags", "exists", "expunge"), said
        return said[1]

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        rest, errors = self.process.communicate()
        assert self.process.returncode == 0 and not errors, errors
        return [json.loads(line) for line in rest.splitlines()]


@pytest.mark.parametrize("secure", [True, False])
def test_connect(where, user, modules, secure):
    """TLS or STARTTLS, ID, ENABLE and COMPRESS are of one connection."""
    flow = Flow(modules, where, user, "connect", secure)
    said = flow.next("connected")
    assert said["secure"]
    assert {"CONDSTORE", "QRESYNC"} <= set(said["enabled"])
    if where.name == "posthorn":
        assert said["server"]["name"] == "Posthorn"
        assert said["compressed"] and "UTF8=ACCEPT" in said["enabled"]
    assert flow.end() == []


def test_folders(where, user, modules):
    flow = Flow(modules, where, user, "folders")
    assert flow.next("created")["path"] == "Projekte/Für & wider"
    known = {row["path"]: row for row in flow.next("list")}
    for use in ("Sent", "Drafts", "Junk", "Trash", "Archive"):
        assert known[use]["specialUse"] == f"\\{use}" and known[use]["subscribed"]
    row = known["Projekte/Für & wider"]
    assert row["subscribed"] and row["status"]["messages"] == 1 and row["status"]["unseen"] == 0 and row["status"]["uidNext"] == 2
    assert row["status"]["highestModseq"] > 0 and row["parentPath"] == "Projekte"
    assert flow.next("renamed")["newPath"] == "Projekte/Neu"
    assert flow.next("status") == {"path": "Projekte/Neu", "messages": 1, "unseen": 0}
    assert flow.next("deleted")["path"] == "Projekte/Neu"
    assert "Projekte/Neu" not in flow.next("left")
    assert flow.end() == []


SEARCHES = [({"all": True}, [1, 2, 3]), ({"subject": "two ways"}, [2]), ({"not": {"from": "maria"}}, [1, 3]), ({"seen": False}, []),
            ({"or": [{"body": "Hello"}, {"subject": "numbering"}]}, [1, 3]), ({"keyword": "Label1"}, [1, 2, 3]),
            ({"header": {"message-id": "plain@example.org"}}, [1]), ({"sentBefore": "2008-01-01"}, [2, 3]), ({"larger": 700}, [3]),
            ({"since": "2020-02-03", "before": "2020-02-04"}, [1, 2, 3]), ({"uid": "2:*", "deleted": False}, [2, 3])]


def check_fetched(rows, sources, ours):
    assert [row["uid"] for row in rows] == [1, 2, 3]
    plain, alt, parts = rows
    for row, name in zip(rows, NAMES):
        assert row["source"] == sources[name] and row["size"] == len(sources[name])
        assert set(row["flags"]) - {"\\Recent"} == {"\\Seen", "Label1"} and row["internalDate"] == "2020-02-03T04:05:06.000Z"
        assert row["modseq"] > 0 and (not ours or (row["emailId"] and row["threadId"] and row["labels"] == []))
    assert plain["envelope"]["from"] == [{"name": "Ann", "address": "ann@example.org"}]
    assert plain["envelope"]["date"] == "2020-03-03T09:11:12.000Z" and plain["headers"].strip() == "Subject: plain"
    assert plain["bodyParts"] == {"1": "Hello.\r\n", "text": "Hello.\r\n"}
    assert [node["type"] for node in alt["bodyStructure"]["childNodes"]] == ["text/plain", "text/html"]
    assert parts["bodyStructure"]["childNodes"][1]["dispositionParameters"]["filename"] == "two.bin"
    assert parts["bodyStructure"]["childNodes"][2]["envelope"]["subject"] == "inner three"


def test_messages(where, user, modules):
    sources = {name: where.message(name).decode("latin-1") for name in NAMES}
    parts = [{"uid": 2, "part": "2"}, {"uid": 3, "part": "2"}, {"uid": 1}]
    flow = Flow(modules, where, user, "messages", messages=sources, searches=[query for query, _ in SEARCHES], parts=parts)
    assert [flow.next("appended")["uid"] for _ in NAMES] == [1, 2, 3]
    check_fetched(flow.next("fetched"), sources, where.name == "posthorn")
    assert flow.next("one")["source"] == sources["parts"][2:12]
    for query, want in SEARCHES:
        assert flow.next("search") == want, query
    flags = {row["uid"]: set(row["flags"]) - {"\\Recent"} for row in flow.next("flags")}
    assert flags == {1: {"\\Seen", "\\Flagged", "$Forwarded"}, 2: {"\\Seen", "\\Flagged", "$Forwarded", "Label1"}, 3: {"\\Draft"}}
    ours = where.name == "posthorn"  # a label is a copy in the folder of that name; the folder that is open is not told
    assert flow.next("labelled") is ours
    assert flow.next("labels") == ([["\\Starred"], ["\\Starred"], ["Labelled"]] if ours else [None] * 3)
    html, binary, whole = (flow.next("download") for _ in parts)
    assert html["content"] == "<b>grüße</b>\n".encode().decode("latin-1") and html["meta"]["contentType"] == "text/html"
    assert binary["content"] == "\0\1\2" and binary["meta"]["filename"] == "two.bin" and binary["meta"]["disposition"] == "attachment"
    assert whole["content"] == sources["plain"]
    assert flow.next("many")["1"]["content"] == "Hello.\r\n"
    assert flow.next("copied")["uidMap"] == {"1": 1}
    assert flow.next("moved")["uidMap"] == {"2": 2}
    assert flow.next("deleted") is True
    assert [row["uid"] for row in flow.next("left")] == [1]
    assert flow.next("now in") == {"path": "Kept", "exists": 2}
    assert flow.end() == []
    witness = client.Imap(where.address("imap"), user, where.password)
    assert witness.select("INBOX")["EXISTS"] == 1
    assert witness.select("Labelled")["EXISTS"] == ours
    witness.select("Kept")
    assert [row["BODY[]"].decode("latin-1") for row in witness.fetch("1:*", "(BODY.PEEK[])").values()] == [sources["plain"], sources["alt"]]
    witness.close()


def deliver(where, user, name):
    lmtp = client.Lmtp(where.address("lmtp"))
    lmtp.deliver(user, where.message(name))
    lmtp.close()


def test_idle(where, user, modules):
    """A delivery, a flag and an expunge by others are pushed."""
    witness = client.Imap(where.address("imap"), user, where.password)
    witness.append("INBOX", where.message("plain"))
    flow = Flow(modules, where, user, "idle")
    flow.next("idling")
    deliver(where, user, "alt")
    assert flow.next("exists")["count"] == 2
    witness.select("INBOX")
    witness.command("STORE 1 +FLAGS (\\Flagged)")
    pushed = flow.next("flags")
    assert pushed["seq"] == 1 and "\\Flagged" in pushed["flags"]
    witness.expunge("INBOX", "1")
    what = flow.next_of("expunge")
    assert what.get("seq", what.get("uid")) == 1
    flow.go_on()
    flow.end()
    witness.close()


def test_resync(where, user, modules):
    """What happened meanwhile comes with SELECT (QRESYNC ...) and FETCH (CHANGEDSINCE ...), and no more than that."""
    witness = client.Imap(where.address("imap"), user, where.password)
    for _ in range(6):
        witness.append("INBOX", where.message("plain"))
    flow = Flow(modules, where, user, "resync", uid="5")
    assert flow.next("known")["exists"] == 6
    witness.select("INBOX")
    witness.command("UID STORE 5 +FLAGS (\\Flagged)")
    witness.command("UID STORE 2:3 +FLAGS (\\Deleted)")
    witness.command("EXPUNGE")
    new = witness.append("INBOX", where.message("alt"))
    flow.go_on()
    gone, flags = set(), {}
    while (said := flow.next_any())[0] != "opened":
        if said[0] == "expunge":
            gone.add(said[1]["uid"])
        else:
            flags[said[1]["uid"]] = said[1]["flags"]
    assert said[1] == {"qresync": True, "exists": 5}
    assert gone == {2, 3} and set(flags) == {5, new} and "\\Flagged" in flags[5]
    assert [row["uid"] for row in flow.next_of("changed")] == [5, new]
    assert flow.next_of("unchanged") == []
    flow.next_of("refused")  # UNCHANGEDSINCE: the message was changed after that
    flow.end()
    witness.select("INBOX")
    row = next(row for row in witness.fetch("1:*", "(UID FLAGS)").values() if row["UID"] == 5)
    assert "\\Flagged" in row["FLAGS"] and ("\\Answered" not in row["FLAGS"] or where.name == "dovecot")
    witness.close()
