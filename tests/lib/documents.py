"""Documents made by hand, for tests of attachments: PDF, OOXML, ODF, RTF."""
import io
import zipfile
import zlib

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


def archive(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in files.items():
            z.writestr(name, data)
    return out.getvalue()


def docx(text, more=None):
    """Each word in two runs, as word processors cut them."""
    def paragraph(line):
        half = len(line) // 2
        runs = "".join(f'<w:r><w:t xml:space="preserve">{piece}</w:t></w:r>' for piece in (line[:half], line[half:]))
        return f"<w:p>{runs}</w:p>"
    body = "".join(paragraph(line) for line in text.split("\n"))
    files = {"[Content_Types].xml": HEAD + "<Types/>",
             "word/document.xml": f'{HEAD}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'}
    return archive({**files, **(more or {})})


def xlsx(strings, numbers=()):
    shared = "".join(f"<si><t>{s}</t></si>" for s in strings)
    cells = "".join(f'<c r="A{i + 1}" t="s"><v>{i}</v></c>' for i in range(len(strings)))
    cells += "".join(f"<c><v>{n}</v></c>" for n in numbers)
    cells += '<c t="inlineStr"><is><t>inline cell</t></is></c><c t="str"><f>A1</f><v>formula result</v></c>'
    return archive({
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{SHEET}"><sheets><sheet name="Quarterly figures"/></sheets></workbook>',
        "xl/sharedStrings.xml": f'{HEAD}<sst xmlns="{SHEET}">{shared}</sst>',
        "xl/worksheets/sheet1.xml": f'{HEAD}<worksheet xmlns="{SHEET}"><sheetData><row>{cells}</row></sheetData></worksheet>'})


def pptx(text):
    return archive({"ppt/slides/slide1.xml":
                    f'{HEAD}<p:sld xmlns:p="p" xmlns:a="{DRAWING}"><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>'})


def odf(text, mimetype="application/vnd.oasis.opendocument.text", more=None):
    body = "".join(f"<text:p>{line}</text:p>" for line in text.split("\n"))
    return archive({"mimetype": mimetype,
                    "content.xml": f'{HEAD}<office:document-content xmlns:office="o" xmlns:text="t"><office:body>{body}</office:body>'
                                   '</office:document-content>', **(more or {})})


def rtf(text):
    def letter(c):
        return c if ord(c) < 128 else f"\\u{ord(c) - (65536 if ord(c) > 32767 else 0)}?" if ord(c) > 255 else f"\\'{ord(c):02x}"
    return ("{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0\\fcharset0 Hiddenfont;}}{\\*\\generator Hidden;}\\f0 "
            + "".join(letter(c) for c in text).replace("\n", "\\par\n") + "\\par}").encode()


def pdf(text, compress=True):
    """One page, one line each."""
    lines = " T* ".join("(" + line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") + ") Tj" for line in text.split("\n"))
    stream = f"BT /F1 12 Tf 14 TL 50 750 Td {lines} ET".encode("latin-1")
    packed = zlib.compress(stream) if compress else stream
    kind = b" /Filter /FlateDecode" if compress else b""
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                   b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
                   b"<< /Length %d%s >>\nstream\n%s\nendstream" % (len(packed), kind, packed),
                   b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"])


def pdf_of(objects, trailer=b""):
    out, places = b"%PDF-1.4\n", []
    for i, o in enumerate(objects):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (i + 1, o)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % p for p in places)
    return out + b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
