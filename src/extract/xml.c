#include "extract/readers.h"

#include <libxml/parser.h>

#include "mime/charset.h"

// One XML file of an office document by libxml2's push parser; no tree, no entities, no other file. What an element
// means goes by its local name: the prefixes differ between programs.

enum { SLICE = 4096 };

enum meaning {
    COLLECT = 1,  // its text is text
    HIDE = 2,     // nothing in it is
    LINE = 4,     // a line ends with it
    TAB = 8,      // a column begins with it
    BREAK = 16,   // a line ends at it
    BLANK = 32,
    CELL = 64,    // of a sheet: its attribute t says what v in it is
    VALUE = 128,  // text, unless it is the number of a shared string
    NAMED = 256,  // its attribute name is text
    LOCKED = 512,
};

static const struct {
    const char *name;
    unsigned dialects, meaning;
} elements[] = {
    {"t", OFFICE_WORD | OFFICE_SHEET | OFFICE_SLIDE, COLLECT},
    {"p", OFFICE_WORD | OFFICE_SLIDE, LINE},
    {"tab", OFFICE_WORD | OFFICE_ODF, TAB},
    {"br", OFFICE_WORD | OFFICE_SLIDE, BREAK},
    {"cr", OFFICE_WORD, BREAK},
    {"Fallback", OFFICE_WORD | OFFICE_SLIDE, HIDE},  // says again what Choice said
    {"v", OFFICE_SLIDE, COLLECT | LINE},             // in charts
    {"text", OFFICE_SLIDE, COLLECT | LINE},          // in comments
    {"c", OFFICE_SHEET, CELL | TAB},
    {"v", OFFICE_SHEET, VALUE},
    {"row", OFFICE_SHEET, LINE},
    {"si", OFFICE_SHEET, LINE},
    {"comment", OFFICE_SHEET, LINE},
    {"rPh", OFFICE_SHEET, HIDE},  // how it is spoken
    {"sheet", OFFICE_SHEET, NAMED},
    {"p", OFFICE_ODF, COLLECT | LINE},
    {"h", OFFICE_ODF, COLLECT | LINE},
    {"s", OFFICE_ODF, BLANK},
    {"line-break", OFFICE_ODF, BREAK},
    {"table-cell", OFFICE_ODF, TAB},
    {"tracked-changes", OFFICE_ODF, HIDE},
    {"table", OFFICE_ODF, NAMED},
    {"title", OFFICE_FACTS, COLLECT | LINE},
    {"subject", OFFICE_FACTS, COLLECT | LINE},
    {"creator", OFFICE_FACTS, COLLECT | LINE},
    {"initial-creator", OFFICE_FACTS, COLLECT | LINE},
    {"keyword", OFFICE_FACTS, COLLECT | LINE},
    {"keywords", OFFICE_FACTS, COLLECT | LINE},
    {"description", OFFICE_FACTS, COLLECT | LINE},
    {"category", OFFICE_FACTS, COLLECT | LINE},
    {"encryption-data", OFFICE_MANIFEST, LOCKED},
};

struct office_xml {
    xmlParserCtxtPtr parser;
    struct extract_out *out;
    enum office_dialect dialect;
    unsigned collecting, hidden;  // elements open
    bool shared;                  // the cell has the number of a shared string
    bool locked, refused;
};

static const xmlChar *
local(const xmlChar *name)
{
    const xmlChar *colon = xmlStrchr(name, ':');
    return colon ? colon + 1 : name;
}

static unsigned
meaning_of(const struct office_xml *x, const xmlChar *name)
{
    name = local(name);
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++)
        if ((elements[i].dialects & x->dialect) &&
            xmlStrEqual(name, BAD_CAST elements[i].name))
            return elements[i].meaning;
    return 0;
}

static struct span
attribute(const xmlChar **all, const char *name)
{
    for (size_t i = 0; all && all[i]; i += 2)
        if (all[i + 1] && xmlStrEqual(local(all[i]), BAD_CAST name))
            return span_str((const char *)all[i + 1]);
    return SPAN_NONE;
}

static unsigned
collects(const struct office_xml *x, unsigned meaning)
{
    return (meaning & COLLECT) || ((meaning & VALUE) && !x->shared);
}

// The parser goes on behind octets that are no UTF-8, and passes them on.
static void
put(struct office_xml *x, struct span s)
{
    struct buf clean;
    if (x->hidden > 0)
        return;
    if (mime_utf8_valid(s)) {
        extract_put(x->out, s);
        return;
    }
    buf_init(&clean, s.n * 3 + 3);
    mime_utf8_clean(&clean, s);
    extract_put(x->out, buf_span(&clean));
    buf_done(&clean);
}

static void
on_start(void *arg, const xmlChar *name, const xmlChar **attributes)
{
    struct office_xml *x = arg;
    unsigned m = meaning_of(x, name);
    if (m & (TAB | BLANK))
        put(x, m & TAB ? SPAN("\t") : SPAN(" "));
    if (m & BREAK)
        put(x, SPAN("\n"));
    if (m & CELL)
        x->shared = span_eq(attribute(attributes, "t"), SPAN("s"));
    if (m & NAMED) {
        put(x, attribute(attributes, "name"));
        put(x, SPAN("\n"));
    }
    x->hidden += (m & HIDE) != 0;
    x->collecting += collects(x, m) != 0;
    x->locked |= (m & LOCKED) != 0;
}

static void
on_end(void *arg, const xmlChar *name)
{
    struct office_xml *x = arg;
    unsigned m = meaning_of(x, name);
    if (m & LINE)
        put(x, SPAN("\n"));
    if ((m & HIDE) && x->hidden > 0)
        x->hidden--;
    if (collects(x, m) && x->collecting > 0)
        x->collecting--;
}

static void
on_text(void *arg, const xmlChar *text, int n)
{
    struct office_xml *x = arg;
    if (x->collecting > 0)
        put(x, span_of(text, (size_t)n));
}

// No office document has a DTD; entities come in one.
static void
on_doctype(void *arg, const xmlChar *name, const xmlChar *id, const xmlChar *system)
{
    struct office_xml *x = arg;
    (void)name, (void)id, (void)system;
    x->refused = true;
    xmlStopParser(x->parser);
}

struct office_xml *
office_xml_new(enum office_dialect dialect, struct extract_out *out)
{
    struct office_xml *x = calloc(1, sizeof *x);
    xmlSAXHandler sax = {
        .startElement = on_start,
        .endElement = on_end,
        .characters = on_text,
        .ignorableWhitespace = on_text,
        .cdataBlock = on_text,
        .internalSubset = on_doctype,
    };
    must(x != NULL);
    x->dialect = dialect;
    x->out = out;
    x->parser = xmlCreatePushParserCtxt(&sax, x, NULL, 0, NULL);
    must(x->parser != NULL);
    (void)xmlCtxtUseOptions(x->parser, XML_PARSE_RECOVER | XML_PARSE_NONET |
                                           XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    return x;
}

enum result
office_xml_feed(struct office_xml *x, struct span piece)
{
    for (size_t at = 0; at < piece.n && !x->refused; at += SLICE) {
        struct span s = span_slice(piece, at, at + SLICE);
        (void)xmlParseChunk(x->parser, s.p, (int)s.n, 0);
        if (x->parser->disableSAX)
            return R_FAIL;
    }
    return x->refused ? R_FAIL : R_OK;
}

enum extract_verdict
office_xml_free(struct office_xml **xp)
{
    struct office_xml *x = *xp;
    if (!x->refused)
        (void)xmlParseChunk(x->parser, "", 0, 1);
    bool whole = x->parser->wellFormed && !x->refused;
    bool locked = x->locked;
    if (x->parser->myDoc)
        xmlFreeDoc(x->parser->myDoc);
    xmlFreeParserCtxt(x->parser);
    free(x);
    *xp = NULL;
    return locked ? EXTRACT_ENCRYPTED : whole ? EXTRACT_DONE : EXTRACT_DAMAGED;
}
