#include "mime/html.h"

#include <libxml/HTMLparser.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "mime/utf8.h"

// HTML by libxml2's push parser, which is linear where tree builders are not (DEPENDENCIES.md); no tree is made.

struct mime_html {
    htmlParserCtxtPtr parser;  // NULL: no text yet
    struct buf *out;
    unsigned hidden;  // elements open whose text is not shown
    char slice[MIME_HTML_SLICE];
    size_t n;  // octets in it
};

static bool
is_one_of(const xmlChar *name, const char *const *names)
{
    // most differ in the first letter
    for (; *names; names++)
        if ((*name | 0x20) == (unsigned char)**names &&
            strcasecmp((const char *)name, *names) == 0)
            return true;
    return false;
}

static bool
is_hidden(const xmlChar *name)
{
    static const char *const names[] = {"head",     "script", "style",  "title",
                                        "template", "object", "select", NULL};
    return is_one_of(name, names);
}

static bool
is_inline(const xmlChar *name)
{
    static const char *const names[] = {
        "a", "abbr",  "b",    "big", "code", "em",     "font",   "i", "ins", "mark",
        "s", "small", "span", "sub", "sup",  "strong", "strike", "u", NULL};
    return is_one_of(name, names);
}

static void
on_start(void *arg, const xmlChar *name, const xmlChar **attributes)
{
    struct mime_html *page = arg;
    (void)attributes;
    page->hidden += is_hidden(name);
    if (!is_inline(name))
        buf_put_char(page->out, '\n');
}

static void
on_end(void *arg, const xmlChar *name)
{
    struct mime_html *page = arg;
    if (is_hidden(name) && page->hidden > 0)
        page->hidden--;
    if (!is_inline(name))
        buf_put_char(page->out, '\n');
}

uint32_t
mime_html_character(uint32_t point)
{
    static const uint16_t windows_1252[] = {
        0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
        0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008D, 0x017D, 0x008F,
        0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
        0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};
    return point >= 0x80 && point < 0xA0 ? windows_1252[point - 0x80] : point;
}

static void
on_text(void *arg, const xmlChar *text, int n)
{
    struct mime_html *page = arg;
    struct span rest = span_of((const char *)text, (size_t)n);
    if (page->hidden > 0)
        return;
    for (size_t at; (at = span_find_char(rest, '\xC2')) + 1 < rest.n;) {
        unsigned char second = (unsigned char)rest.p[at + 1];
        buf_put(page->out, span_slice(rest, 0, at));
        utf8_put(page->out, mime_html_character(second));
        rest = span_skip(rest, at + 2);
    }
    buf_put(page->out, rest);
}

static void
open_parser(struct mime_html *h)
{
    htmlSAXHandler sax = {
        .startElement = on_start,
        .endElement = on_end,
        .characters = on_text,
        .ignorableWhitespace = on_text,
    };
    h->parser = htmlCreatePushParserCtxt(&sax, h, "", 0, NULL, XML_CHAR_ENCODING_UTF8);
    must(h->parser != NULL);
    (void)htmlCtxtUseOptions(h->parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR |
                                            HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                            HTML_PARSE_IGNORE_ENC);
    h->hidden = 0;
}

static void
close_parser(struct mime_html *h)
{
    if (!h->parser)
        return;
    if (h->parser->myDoc)
        xmlFreeDoc(h->parser->myDoc);
    htmlFreeParserCtxt(h->parser);
    h->parser = NULL;
}

// An end tag looks through all open elements, a tag is kept until its end was seen, and what was read is kept as long as
// there is nothing but tags.
static bool
is_out_of_hand(const struct mime_html *h)
{
    const xmlParserInput *input = h->parser->input;
    return h->parser->nameNr > LIMIT_html_depth ||
           (input && input->end - input->base > LIMIT_html_tag);
}

struct mime_html *
mime_html_new(void)
{
    struct mime_html *h = calloc(1, sizeof *h);
    must(h != NULL);
    return h;
}

void
mime_html_free(struct mime_html **h)
{
    if (!*h)
        return;
    close_parser(*h);
    free(*h);
    *h = NULL;
}

// Octets of whole characters in the slice.
static size_t
whole(const struct mime_html *h)
{
    for (size_t i = 1; i <= 3 && i < h->n; i++) {
        struct span last = span_of(h->slice + h->n - i, i);
        if ((*last.p & 0xC0) != 0x80)
            return mime_utf8_sequence(last) < 0 ? h->n - i : h->n;
    }
    return h->n;
}

static void
parse_slice(struct mime_html *h)
{
    size_t n = whole(h);
    if (!h->parser)
        open_parser(h);
    (void)htmlParseChunk(h->parser, h->slice, (int)n, 0);
    h->n -= n;
    memmove(h->slice, h->slice + n, h->n);
    if (is_out_of_hand(h))
        close_parser(h);
}

void
mime_html_feed(struct mime_html *h, struct span utf8, struct buf *out)
{
    h->out = out;
    while (utf8.n > 0) {
        struct span piece = span_slice(utf8, 0, MIME_HTML_SLICE - h->n);
        memcpy(h->slice + h->n, piece.p, piece.n);
        h->n += piece.n;
        utf8 = span_skip(utf8, piece.n);
        if (h->n == MIME_HTML_SLICE)
            parse_slice(h);
    }
}

void
mime_html_end(struct mime_html *h, struct buf *out)
{
    h->out = out;
    if (h->n > 0)
        parse_slice(h);
    h->n = 0;
    if (h->parser)
        (void)htmlParseChunk(h->parser, "", 0, 1);
    close_parser(h);
}

void
mime_html_text(struct buf *b, struct span utf8)
{
    struct mime_html *h = mime_html_new();
    for (size_t at = 0; at < utf8.n && !b->over; at += MIME_HTML_SLICE)
        mime_html_feed(h, span_slice(utf8, at, at + MIME_HTML_SLICE), b);
    mime_html_end(h, b);
    mime_html_free(&h);
}
