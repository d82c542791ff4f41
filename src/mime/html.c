#include "mime/preview.h"

#include <libxml/HTMLparser.h>

// HTML by libxml2's push parser, which is linear where tree builders are not (DEPENDENCIES.md); no tree is made.

enum { SLICE = 4096 };

struct page {
    struct buf *out;
    unsigned hidden;  // elements open whose text is not shown
};

static bool
is_one_of(const xmlChar *name, const char *const *names)
{
    for (; *names; names++)
        if (strcasecmp((const char *)name, *names) == 0)
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
    struct page *page = arg;
    (void)attributes;
    page->hidden += is_hidden(name);
    if (!is_inline(name))
        buf_put_char(page->out, '\n');
}

static void
on_end(void *arg, const xmlChar *name)
{
    struct page *page = arg;
    if (is_hidden(name) && page->hidden > 0)
        page->hidden--;
    if (!is_inline(name))
        buf_put_char(page->out, '\n');
}

static void
on_text(void *arg, const xmlChar *text, int n)
{
    struct page *page = arg;
    if (page->hidden == 0)
        buf_put(page->out, span_of((const char *)text, (size_t)n));
}

void
mime_html_text(struct buf *b, struct span utf8)
{
    struct page page = {b, 0};
    htmlSAXHandler sax = {
        .startElement = on_start,
        .endElement = on_end,
        .characters = on_text,
        .ignorableWhitespace = on_text,
    };
    htmlParserCtxtPtr parser =
        htmlCreatePushParserCtxt(&sax, &page, "", 0, NULL, XML_CHAR_ENCODING_UTF8);
    must(parser != NULL);
    (void)htmlCtxtUseOptions(parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR |
                                         HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                         HTML_PARSE_IGNORE_ENC);
    for (size_t at = 0; at < utf8.n && !b->over; at += SLICE) {
        struct span piece = span_slice(utf8, at, at + SLICE);
        (void)htmlParseChunk(parser, piece.p, (int)piece.n, 0);
    }
    (void)htmlParseChunk(parser, "", 0, 1);
    if (parser->myDoc)
        xmlFreeDoc(parser->myDoc);
    htmlFreeParserCtxt(parser);
}
