#include "extract/readers.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/limits.h"

// Office documents are ZIP archives of XML files. Nothing is unpacked: files of known names are read, all others skipped;
// what a name points to never matters. Archives inside are not opened.

static const struct {
    const char *start;
    enum office_dialect dialect;
} files[] = {
    {"word/document", OFFICE_WORD},
    {"word/header", OFFICE_WORD},
    {"word/footer", OFFICE_WORD},
    {"word/footnotes", OFFICE_WORD},
    {"word/endnotes", OFFICE_WORD},
    {"word/comments", OFFICE_WORD},
    {"word/charts/", OFFICE_SLIDE},
    {"word/diagrams/data", OFFICE_SLIDE},
    {"xl/sharedStrings", OFFICE_SHEET},
    {"xl/worksheets/", OFFICE_SHEET},
    {"xl/workbook", OFFICE_SHEET},
    {"xl/comments", OFFICE_SHEET},
    {"xl/drawings/", OFFICE_SLIDE},
    {"xl/charts/", OFFICE_SLIDE},
    {"xl/diagrams/data", OFFICE_SLIDE},
    {"ppt/slides/", OFFICE_SLIDE},
    {"ppt/notesSlides/", OFFICE_SLIDE},
    {"ppt/charts/", OFFICE_SLIDE},
    {"ppt/diagrams/data", OFFICE_SLIDE},
    {"ppt/comments/", OFFICE_SLIDE},
    {"content.xml", OFFICE_ODF},
    {"styles.xml", OFFICE_ODF},
    {"meta.xml", OFFICE_FACTS},
    {"docProps/core.xml", OFFICE_FACTS},
    {"META-INF/manifest.xml", OFFICE_MANIFEST},
};

struct office {
    struct archive *archive;
    struct extract_out *out;
    uint64_t unpacked;
    unsigned entries, texts;
    enum extract_verdict worst;
};

// The first thing that went wrong is what is told, but that a document is encrypted explains everything else.
static void
note(struct office *o, enum extract_verdict v)
{
    if (o->worst == EXTRACT_DONE || v == EXTRACT_ENCRYPTED)
        o->worst = v;
}

static unsigned
dialect_of(struct span name)
{
    if (!span_ends(name, SPAN(".xml")))
        return 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (span_starts(name, span_str(files[i].start)))
            return files[i].dialect;
    return 0;
}

static enum extract_verdict
read_pieces(struct office *o, struct office_xml *x)
{
    const void *p;
    size_t n;
    la_int64_t offset;
    int r;
    while ((r = archive_read_data_block(o->archive, &p, &n, &offset)) == ARCHIVE_OK) {
        o->unpacked += n;
        if (o->unpacked > LIMIT_extract_unpacked || o->out->full)
            return EXTRACT_TOO_LARGE;
        if (office_xml_feed(x, span_of(p, n)) != R_OK)
            return EXTRACT_DAMAGED;
    }
    return r == ARCHIVE_EOF ? EXTRACT_DONE : EXTRACT_DAMAGED;
}

static void
read_entry(struct office *o, struct archive_entry *e, enum office_dialect dialect)
{
    if (archive_entry_is_data_encrypted(e)) {
        note(o, EXTRACT_ENCRYPTED);
        return;
    }
    struct office_xml *x = office_xml_new(dialect, o->out);
    note(o, read_pieces(o, x));
    note(o, office_xml_free(&x));
    o->texts += dialect < OFFICE_FACTS;
}

static bool
goes_on(const struct office *o)
{
    return o->worst != EXTRACT_ENCRYPTED && o->worst != EXTRACT_TOO_LARGE && !o->out->full;
}

static void
read_entries(struct office *o)
{
    struct archive_entry *e;
    int r = ARCHIVE_EOF;
    while (goes_on(o) && ((r = archive_read_next_header(o->archive, &e)) == ARCHIVE_OK ||
                          r == ARCHIVE_WARN)) {
        unsigned dialect = dialect_of(span_str(archive_entry_pathname(e)));
        if (++o->entries > LIMIT_extract_entries)
            note(o, EXTRACT_TOO_LARGE);
        else if (dialect && archive_entry_filetype(e) == AE_IFREG)
            read_entry(o, e, dialect);
    }
    if (goes_on(o) && r != ARCHIVE_EOF)
        note(o, EXTRACT_DAMAGED);
}

// An OOXML document with a password is wrapped in a compound file of the formats before it.
static enum extract_verdict
read_wrapped(struct span document)
{
    static const char stream[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";
    bool locked = span_find(document, span_of(stream, sizeof stream)) < document.n;
    return locked ? EXTRACT_ENCRYPTED : EXTRACT_DAMAGED;
}

enum extract_verdict
extract_office(struct span document, struct extract_out *out)
{
    struct office o = {.archive = archive_read_new(), .out = out};
    if (span_starts(document, SPAN("\xD0\xCF\x11\xE0"))) {
        archive_read_free(o.archive);
        return read_wrapped(document);
    }
    must(o.archive != NULL && archive_read_support_format_zip(o.archive) == ARCHIVE_OK);
    if (archive_read_open_memory(o.archive, document.p, document.n) == ARCHIVE_OK)
        read_entries(&o);
    if (o.texts == 0)
        note(&o, EXTRACT_DAMAGED);
    archive_read_free(o.archive);
    return out->full ? EXTRACT_TOO_LARGE : o.worst;
}
