"""HOSTILE.md C: documents that harm who reads them. Each is bounded, has a name, and is found in the list; others wait for nothing."""
import base64
import io
import json
import os
import subprocess
import time
import zipfile

import pytest

from lib import documents, server as posthorn
from .conftest import Target

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
W = f'xmlns:w="{documents.WORD}"'


def message(kind, data):
    body = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return (b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: " + kind.encode() + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body)


def stretched(start, piece, times, end):
    """A ZIP with word/document.xml of start + piece * times + end, without ever having it in memory."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z, z.open("word/document.xml", "w", force_zip64=True) as f:
        f.write(start)
        for _ in range(times):
            f.write(piece)
        f.write(end)
    return out.getvalue()


def link(to):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        info = zipfile.ZipInfo("word/document.xml")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        z.writestr(info, to)
    return out.getvalue()


def word(xml, more=None):
    return documents.archive({"word/document.xml": xml, **(more or {})})


def page(content, resources=b""):
    return documents.pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                             b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> %s >> >>" % resources,
                             b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
                             b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >> /Length 12 >>\n"
                             b"stream\n/X Do /X Do \nendstream"])


def locked_pdf():
    return documents.pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"],
                            b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>]" % (b"41" * 32, b"42" * 32))


LAUGHS = "<!DOCTYPE l [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12)) + "]>"
BOMBS = {
    "spaces": (DOCX, lambda: stretched(f"<w:document {W}><w:t>".encode(), b" " * (1 << 20), 160, b"</w:t></w:document>"), {"too large"}),
    "zeros": (DOCX, lambda: stretched(b"", b"\0" * (1 << 20), 160, b""), {"damaged"}),
    "tags": (DOCX, lambda: stretched(f"<w:document {W}>".encode(), b"<w:p/>" * 170_000, 160, b"</w:document>"), {"too large"}),
    "laughs": (DOCX, lambda: word(f"{LAUGHS}<w:document {W}><w:t>&a11;</w:t></w:document>"), {"damaged"}),
    "outside": (DOCX, lambda: word(f"<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><w:document {W}><w:t>&e;</w:t></w:document>"), {"damaged"}),
    "deep": (DOCX, lambda: word(f"<w:document {W}>" + "<w:p>" * 200_000), {"damaged"}),
    "attributes": (DOCX, lambda: word(f"<w:document {W} " + " ".join(f"a{i}='x'" for i in range(20_000)) + "/>"), None),
    "entries": (DOCX, lambda: documents.archive({f"word/media/{i}": b"" for i in range(20_000)}), {"too large"}),
    "link": (DOCX, lambda: link("/etc/passwd"), {"damaged"}),
    "names": (DOCX, lambda: documents.archive({"../../../../../tmp/posthorn-evil": b"x", "/tmp/posthorn-evil": b"x", "word/document.xml": f"<w:document {W}/>"}), set()),
    "nested": (DOCX, lambda: word(f"<w:document {W}/>", {"word/embeddings/a.docx": word("<x/>") * 10}), set()),
    "half-zip": (DOCX, lambda: documents.docx("words " * 100_000)[:1000], {"damaged"}),
    "rtf-braces": ("application/rtf", lambda: b"{\\rtf1 " + b"{" * 3_000_000, {"damaged"}),
    "rtf-bin": ("application/rtf", lambda: b"{\\rtf1 \\bin2147483647 x\\u-99999999999 \\f-1\\f99999\\uc999 \\'", {"damaged"}),
    "rtf-fonts": ("application/rtf", lambda: b"{\\rtf1 " + b"\\f1\\'e4{\\fonttbl\\f1\\fcharset128 }" * 60_000 + b"}", None),
    "pdf-garbage": ("application/pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 4000, {"damaged"}),
    "pdf-locked": ("application/pdf", locked_pdf, {"encrypted"}),
    "pdf-kids": ("application/pdf", lambda: documents.pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000000 >>"]), None),
    "pdf-forms": ("application/pdf", lambda: page(b"/X Do " * 1000), None),
    "pdf-strings": ("application/pdf", lambda: page(b"BT " + b"(" * 2_000_000), None),
}


def listed(target, user):
    out = posthorn.run_verb("attachments", user, "--json", "--data", target.data)
    return {json.loads(line)["reason"] for line in out.splitlines() if line.strip()}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(target, bomb):
    """With a bystander, whose commands are answered all the while."""
    kind, make, want = BOMBS[bomb]
    user, data = target.fresh_user("reader"), message(kind, make())
    with target.unharmed(memory=96 << 20, peak=192 << 20):
        client = target.imap(user, timeout=120)
        client.append("INBOX", data)
        client.append("INBOX", message("application/rtf", documents.rtf("after it")))
        client.select("INBOX")
        lines, _ = client.command('SEARCH BODY "after it"')
        assert b"* SEARCH 2" in lines, lines
        lines, _ = client.command('SEARCH BODY "root:"')
        assert b"* SEARCH" in lines
        client.close()
        found = listed(target, user)
    if want is not None:
        assert found == want
    assert not os.path.exists("/tmp/posthorn-evil")


def test_too_slow():
    """A document that takes longer than it may is given up, with all that its child started; the next one is read."""
    target = Target({"test_extract_ms": 1000})
    try:
        client = target.imap("alice", timeout=120)
        slow = page(b"q " + b"0 0 m 1 1 l S BT (a) Tj ET " * 1_000_000)
        client.append("INBOX", message("application/pdf", slow))
        client.append("INBOX", message("application/pdf", documents.pdf("after it")))
        number = client.select("INBOX")["EXISTS"]
        began = time.monotonic()
        lines, _ = client.command('SEARCH BODY "after it"')
        assert [line for line in lines if line.startswith(b"* SEARCH")] == [b"* SEARCH %d" % number]
        assert time.monotonic() - began < 30
        assert "timeout" in listed(target, "alice")
        left = subprocess.run(["pgrep", "-P", str(target.pids("extract")[0])], stdout=subprocess.PIPE, check=False).stdout
        assert not left
        client.close()
    finally:
        target.stop()


def test_no_tool():
    """Without pdftotext the server says so once, and names it where a PDF was to be read; with it, the same PDF is read."""
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("only root may hide a program from a server")
    target = Target(start=False)
    wrapped = target.dir / "hidden"
    wrapped.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind /dev/null /usr/bin/pdftotext && exec "$0" "$@"\' {posthorn.binary()} "$@"\n')
    wrapped.chmod(0o755)
    real = posthorn.binary
    posthorn.binary = lambda: str(wrapped)
    try:
        target.start()
    finally:
        posthorn.binary = real
    try:
        client = target.imap("alice", timeout=60)
        client.append("INBOX", message("application/pdf", documents.pdf("zebrafish")))
        client.select("INBOX")
        lines, _ = client.command('SEARCH BODY "zebrafish"')
        assert b"* SEARCH" in lines
        assert listed(target, "alice") == {"tool missing"}
        assert target.stderr().count("install poppler-utils") == 1
        client.close()
        target.restart()
        client = target.imap("alice", timeout=60)
        client.select("INBOX")
        lines, _ = client.command('SEARCH BODY "zebrafish"')
        assert b"* SEARCH" not in lines
        assert listed(target, "alice") == set()
        client.close()
    finally:
        target.stop()
