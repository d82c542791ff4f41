"""SEARCH looks into attachments: PDF, office documents, RTF, HTML and plain text under other types; names of files; what cannot be
read is logged and listed, and never harms mail."""
import base64
import json
import os
import signal
import time
from email.message import EmailMessage

import pytest

from lib import documents, server as posthorn
from lib.waiting import wait_for

ODT = "application/vnd.oasis.opendocument.text"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def mail(*files, text="see the attachment"):
    m = EmailMessage()
    m["Subject"] = "with files"
    m.set_content(text)
    for kind, name, data in files:
        main, sub = kind.split("/")
        m.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return bytes(m).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def search(c, keys, literal=None):
    if literal is not None:
        lines, _ = c.command(f"UID SEARCH CHARSET UTF-8 {keys}", literal)
    else:
        lines, _ = c.command(f"UID SEARCH {keys}")
    return [int(n) for line in lines if line.startswith(b"* SEARCH") for n in line.split()[2:]]


def opened(server, name, *messages):
    c = server.imap(server.fresh_user(name), timeout=240)
    c.user = f"{name}{server.users}"
    uids = [c.append("INBOX", m) for m in messages]
    c.command("SELECT INBOX")
    return c, uids


def log_of(server):
    return server.stderr()


FORMATS = {
    "pdf": ("application/pdf", "a.pdf", documents.pdf("Zebrafish in the tank\nsecond line (here)")),
    "pdf-late": ("application/pdf", "a.pdf", b"\n" * 1020 + documents.pdf("Zebrafish in the tank\nsecond line (here)")),
    "pdf-headless": ("application/pdf", "a.pdf", documents.pdf("Zebrafish in the tank\nsecond line (here)")[9:]),
    "pdf-by-name": ("application/octet-stream", "a.PDF", documents.pdf("Zebrafish in the tank\nsecond line (here)", False)),
    "docx": (DOCX, "a.docx", documents.docx("Zebrafish in the tank\nsecond line (here)")),
    "docx-by-name": ("application/octet-stream", "a.docx", documents.docx("Zebrafish in the tank\nsecond line (here)")),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "a.xlsx",
             documents.xlsx(["Zebrafish in the tank", "second line (here)"])),
    "pptx": ("application/octet-stream", "a.pptx", documents.pptx("Zebrafish in the tank, second line (here)")),
    "odt": (ODT, "a.odt", documents.odf("Zebrafish in the tank\nsecond line (here)")),
    "ods": ("application/octet-stream", "a.ods", documents.odf("Zebrafish in the tank\nsecond line (here)")),
    "rtf": ("application/rtf", "a.rtf", documents.rtf("Zebrafish in the tank\nsecond line (here)")),
    "html": ("application/octet-stream", "a.html", b"<html><body><p>Zebra<b>fish</b> in the tank<p>second line (here)</body></html>"),
    "plain": ("application/octet-stream", "a.txt", b"Zebrafish in the tank\nsecond line (here)\n"),
    "utf-16": ("application/octet-stream", "a.csv", "Zebrafish in the tank\nsecond line (here)\n".encode("utf-16")),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(shared_server, name):
    c, (uid, other) = opened(shared_server, name, mail(FORMATS[name]), mail(text="nothing"))
    for key in ("BODY", "TEXT"):
        for needle in ("zebrafish", "BRAFISH IN the t", "second line (here)"):
            assert search(c, f'{key} "{needle}"') == [uid], (key, needle)
        assert search(c, f'NOT {key} "zebrafish"') == [other]
        assert search(c, f'{key} "zebrafishes"') == []
    assert search(c, 'SUBJECT "zebrafish"') == []
    assert search(c, 'BODY "zebrafish" BODY "see the attachment"') == [uid]
    assert search(c, 'BODY "attachment zebrafish"') == []  # a match never crosses
    c.close()


def test_what_documents_say(shared_server):
    """Cells, numbers, formulas, names of sheets; letters of other alphabets; what is hidden is not found."""
    facts = f'{documents.HEAD}<c:coreProperties xmlns:c="c" xmlns:dc="d"><dc:title>Fact title</dc:title></c:coreProperties>'
    word = documents.docx("Grüße отпуск", {"docProps/core.xml": facts, "word/header1.xml": f'<w:hdr xmlns:w="{documents.WORD}"><w:p><w:r><w:t>Top of page</w:t></w:r></w:p></w:hdr>',
                                           "word/embeddings/inner.docx": documents.docx("nestedword"), "word/settings.xml": "<w:t>settingsword</w:t>"})
    c, (sheet, doc, rtf) = opened(shared_server, "say", mail(("application/octet-stream", "s.xlsx", documents.xlsx(["shared string", "7"], [1234.5, 98765]))),
                                  mail((DOCX, "d.docx", word)), mail(("application/rtf", "r.rtf", documents.rtf("Grüße отпуск 😀 end"))))
    for needle in ("shared string", "1234.5", "98765", "inline cell", "formula result", "Quarterly figures"):
        assert search(c, f'BODY "{needle}"') == [sheet], needle
    for needle in ("fact title", "top of page"):
        assert search(c, f'BODY "{needle}"') == [doc], needle
    for needle in ("nestedword", "settingsword", "Hiddenfont", "generator"):
        assert search(c, f'BODY "{needle}"') == [], needle
    assert search(c, "BODY", "GRÜSSE".replace("SS", "ß").encode()) == [doc, rtf]
    assert search(c, "BODY", "ОТПУСК".encode()) == [doc, rtf]
    assert search(c, "BODY", "отпуск".encode()) == [doc, rtf]
    c.close()


def test_names_of_files(shared_server):
    """RFC 9051 section 6.4.4: MIME header fields count for TEXT; names are found as people see them (RFC 2231, RFC 2047)."""
    body = base64.encodebytes(b"\0\1\2").decode()
    raw = ("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
           "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\nContent-Description: a small box\r\n"
           "Content-Disposition: attachment;\r\n filename*0*=UTF-8''Jahres%C3%BCber;\r\n filename*1*=sicht%20of%20; filename*2=tigers.bin\r\n\r\n" + body +
           "\r\n--b\r\nContent-Type: application/octet-stream; name=\"=?utf-8?q?Gr=C3=BC=C3=9Fe_of_lions=2Ebin?=\"\r\n\r\nx\r\n--b--\r\n")
    single = ("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream;\r\n name*=utf-8''%6Felephants%2Ebin\r\n\r\nx\r\n")
    c, (uid, one, other) = opened(shared_server, "names", raw.encode(), single.encode(), mail(text="nothing"))
    for key in ("TEXT", "BODY"):
        assert search(c, key, "Jahresübersicht of tigers.bin".encode()) == [uid]
        assert search(c, key, "Grüße of lions".encode()) == [uid]
        assert search(c, key, b"oelephants.bin") == [one]
    assert search(c, 'TEXT "content-description: a SMALL box"') == [uid]
    assert search(c, 'NOT TEXT "small box"') == [one, other]
    assert search(c, 'BODY "small box"') == []
    assert search(c, 'HEADER Content-Description "small"') == []  # that is the message's own header
    c.close()


def failed(server, user):
    out = posthorn.run_verb("attachments", user, "--json", "--data", server.data)
    return [json.loads(line) for line in out.splitlines() if line.strip()]


BROKEN = {
    "encrypted-ooxml": (DOCX, b"\xD0\xCF\x11\xE0" + b"\0" * 500 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 500, "encrypted"),
    "encrypted-odf": (ODT, documents.odf("locked", more={"META-INF/manifest.xml": '<m:manifest xmlns:m="m"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'}), "encrypted"),
    "cut-docx": (DOCX, documents.docx("zebra " * 5000)[:200], "damaged"),
    "no-zip": (DOCX, b"this is no archive", "damaged"),
    "no-pdf": ("application/pdf", b"this is no PDF", "damaged"),
    "no-rtf": ("application/rtf", b"this is no RTF", "damaged"),
    "cut-rtf": ("application/rtf", b"{\\rtf1 {\\b zebra", "damaged"),
    "empty": ("application/pdf", b"", "damaged"),
    "large": ("application/pdf", b"%PDF-1.4\n" + b"\0" * (33 << 20), "too large"),
    "long-text": ("application/octet-stream", b"words of it\n" * 500_000, "too large"),
}


def test_failures(server):
    """Each has a name, is logged once, and is listed; what could be read of it counts."""
    names = list(BROKEN)
    c, uids = opened(server, "broken", *[mail((BROKEN[n][0], f"{n}.{'txt' if n == 'long-text' else 'bin'}", BROKEN[n][1])) for n in names])
    user = c.user
    for _ in range(2):
        assert search(c, 'BODY "nothing of the kind"') == []
    assert search(c, 'BODY "words of it"') == [uids[names.index("long-text")]]
    assert search(c, 'BODY "zebra"') == [uids[names.index("cut-rtf")]]
    lines = [line for line in log_of(server).split("\n") if "cannot be searched" in line]
    assert sorted(line.rsplit(": ", 1)[1] for line in lines) == sorted(BROKEN[n][2] for n in names), lines
    assert all("part=2" in line and "zebra" not in line for line in lines)
    rows = failed(server, user)
    assert sorted(row["reason"] for row in rows) == sorted(BROKEN[n][2] for n in names)
    assert {row["part"] for row in rows} == {"2"}
    lines, _ = c.command(f"UID FETCH {uids[0]} (EMAILID)")
    assert any(row["emailid"].encode() + b")" in b"".join(lines) for row in rows)
    c.close()


def test_remembered_over_a_restart(make):
    server = make({"log_level": "debug"})
    c, (uid, bad) = opened(server, "kept", mail(FORMATS["pdf"]), mail(("application/pdf", "x.pdf", b"no pdf")))
    assert search(c, 'BODY "zebrafish"') == [uid]
    wait_for(lambda: any("files-" in name for _, _, names in os.walk(os.path.join(server.data, "derived")) for name in names))
    c.close()
    server.restart()
    before = log_of(server).count("an attachment was read")
    user, c = c.user, server.imap(c.user)
    c.command("SELECT INBOX")
    assert search(c, 'BODY "zebrafish"') == [uid]
    assert [row["reason"] for row in failed(server, user)] == ["damaged"]
    assert log_of(server).count("an attachment was read") == before
    c.close()


def test_the_role_dies(make):
    """Killed, again and again, also in the middle of a document: mail goes on, and the answer is whole."""
    server = make()
    slow = documents.docx("slow words " * 200_000 + "\nneedle")
    c, uids = opened(server, "dies", *[mail((DOCX, f"{i}.docx", slow + bytes([i]))) for i in range(4)], mail(FORMATS["pdf"]))
    pid = wait_for(lambda: server.pids("extract"))[0]
    os.kill(pid, signal.SIGSTOP)  # so that it has the document, however fast it is
    tag = c.send('UID SEARCH BODY "needle"')
    for _ in range(2):
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        pid = wait_for(lambda old=pid: [p for p in server.pids("extract") if p != old])[0]
        other = server.imap(c.user)
        other.command("NOOP")
        other.close()
    lines, _ = c.answer(tag)
    assert b"* SEARCH 1 2 3 4" in lines, lines
    assert search(c, 'BODY "needle"') == uids[:4]
    assert search(c, 'BODY "zebrafish"') == uids[4:]
    c.close()


def test_the_channel_is_lost(make):
    """The role lives, the channel to it is gone: it is made again, and the next document is read."""
    server = make({"test_extract_lost": True, "mail_threads": 1})
    c, uids = opened(server, "lost", *[mail(("application/rtf", f"{i}.rtf", documents.rtf(f"Zebrafish {i}"))) for i in range(3)])
    pid = wait_for(lambda: server.pids("extract"))[0]
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, server.process.pid) + 10)
    assert search(c, 'BODY "zebrafish"') == uids
    assert server.pids("extract") == [pid]
    assert log_of(server).count("a message is malformed") == 2  # of three documents, and two tries more
    c.close()


def test_no_landlock(make):
    """pdftotext opens files: where nothing keeps it from the mail's, PDFs are left unread, unless it is wanted."""
    server = make({"test_no_landlock": True})
    c, (pdf, docx) = opened(server, "bare", mail(FORMATS["pdf"]), mail(FORMATS["docx"]))
    user = c.user
    assert search(c, 'BODY "zebrafish"') == [docx]
    assert [row["reason"] for row in failed(server, user)] == ["tool missing"]
    assert "this kernel has no Landlock" in log_of(server)
    c.close()
    server.settings["search_pdf_unconfined"] = True
    server.write_config()
    server.restart()
    c = server.imap(user)
    c.command("SELECT INBOX")
    assert search(c, 'BODY "zebrafish"') == [pdf, docx]
    assert failed(server, user) == []
    c.close()


def test_off(make):
    server = make({"search_attachments": False})
    c, (uid,) = opened(server, "off", mail(FORMATS["pdf"]))
    assert search(c, 'BODY "zebrafish"') == []
    assert search(c, 'BODY "a.pdf"') == [uid]
    assert server.pids("extract") == []
    c.close()
