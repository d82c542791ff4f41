#include "extract/readers.h"

#include "base/limits.h"
#include "mime/charset.h"
#include "mime/html.h"

// HTML and plain text without a word about their charset; and what all readers put their text by.

enum { SLICE = 4096 };

// Where a text is cut, a character is not.
static size_t
whole_characters(struct span s, size_t n)
{
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

void
extract_put(struct extract_out *out, struct span utf8)
{
    size_t room = LIMIT_extract_text - out->n;
    size_t n = utf8.n <= room ? utf8.n : whole_characters(utf8, room);
    if (out->full || utf8.n == 0)
        return;
    out->full = n < utf8.n;
    out->n += n;
    out->put(out->arg, span_of(utf8.p, n));
}

static const char *
charset_of(struct span s)
{
    if (span_starts(s, SPAN("\xFF\xFE")) || span_starts(s, SPAN("\xFE\xFF")))
        return "utf-16";
    return mime_utf8_valid(s) ? "utf-8" : "windows-1252";
}

typedef void text_fn(void *arg, struct span utf8);

static void
decode(struct span s, struct extract_out *out, text_fn *fn, void *arg)
{
    struct mime_charset *charset;
    struct buf utf8;
    must(mime_charset_open(span_str(charset_of(s)), &charset) == R_OK);
    buf_init(&utf8, SLICE * 16);
    for (size_t at = 0; at < s.n && !out->full; at += SLICE) {
        mime_charset_feed(charset, span_slice(s, at, at + SLICE), &utf8);
        fn(arg, buf_span(&utf8));
        buf_reset(&utf8);
    }
    mime_charset_end(charset, &utf8);
    fn(arg, buf_span(&utf8));
    buf_done(&utf8);
    mime_charset_free(&charset);
}

static void
put_plain(void *arg, struct span utf8)
{
    extract_put(arg, utf8);
}

static enum extract_verdict
said(const struct extract_out *out)
{
    return out->full ? EXTRACT_TOO_LARGE : EXTRACT_DONE;
}

// A file that only calls itself a text.
static bool
is_binary(struct span s)
{
    struct span start = span_slice(s, 0, SLICE);
    return !span_eq(span_str(charset_of(start)), SPAN("utf-16")) && start.n > 0 &&
           memchr(start.p, '\0', start.n);
}

enum extract_verdict
extract_plain(struct span document, struct extract_out *out)
{
    if (is_binary(document))
        return EXTRACT_DAMAGED;
    decode(document, out, put_plain, out);
    return said(out);
}

struct page {
    struct mime_html *html;
    struct buf text;
    struct extract_out *out;
};

static void
put_html(void *arg, struct span utf8)
{
    struct page *p = arg;
    mime_html_feed(p->html, utf8, &p->text);
    extract_put(p->out, buf_span(&p->text));
    buf_reset(&p->text);
}

enum extract_verdict
extract_html(struct span document, struct extract_out *out)
{
    struct page p = {.html = mime_html_new(), .out = out};
    if (is_binary(document)) {
        mime_html_free(&p.html);
        return EXTRACT_DAMAGED;
    }
    buf_init(&p.text, LIMIT_extract_text);
    decode(document, out, put_html, &p);
    mime_html_end(p.html, &p.text);
    extract_put(out, buf_span(&p.text));
    buf_done(&p.text);
    mime_html_free(&p.html);
    return said(out);
}

enum extract_verdict
extract_read(enum extract_kind kind, struct span document, struct extract_out *out)
{
    switch (kind) {
    case EXTRACT_OFFICE:
        return extract_office(document, out);
    case EXTRACT_RTF:
        return extract_rtf(document, out);
    case EXTRACT_HTML:
        return extract_html(document, out);
    case EXTRACT_PLAIN:
        return extract_plain(document, out);
    case EXTRACT_NONE:
    case EXTRACT_PDF:
    case EXTRACT_KINDS:
        break;
    }
    return EXTRACT_DAMAGED;
}
