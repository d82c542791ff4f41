// Attachments: no reader ever gives more than it may, or what is no UTF-8. The first octet chooses; from REPEATED on the document is
// repeated until it is more than may be said. Three lines of it as type, subtype and name: the kind does not go by their case.
#include "base/limits.h"
#include "extract/readers.h"
#include "mime/charset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPEATED = 250 };

static void
put(void *arg, struct span text)
{
    buf_put(arg, text);
}

static void
check(const struct buf *text, const struct extract_out *out)
{
    must(!text->over && text->n == out->n && out->n <= LIMIT_extract_text);
    must(mime_utf8_valid(buf_span(text)));
}

static enum extract_verdict
read_xml(unsigned dialect, struct span s, size_t cut, struct buf *text)
{
    struct extract_out out = {.put = put, .arg = text};
    struct office_xml *x = office_xml_new(dialect, &out);
    bool goes_on = office_xml_feed(x, span_slice(s, 0, cut)) == R_OK;
    if (goes_on)
        (void)!office_xml_feed(x, span_skip(s, cut < s.n ? cut : s.n));
    enum extract_verdict v = office_xml_free(&x);
    check(text, &out);
    return v;
}

static void
xml(unsigned dialect, struct span s)
{
    struct buf one, two;
    buf_init(&one, LIMIT_extract_text);
    buf_init(&two, LIMIT_extract_text);
    (void)read_xml(dialect, s, s.n, &one);
    (void)read_xml(dialect, s, s.n / 2, &two);
    buf_done(&one);
    buf_done(&two);
}

static void
upper(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(b, ascii_upper(s.p[i]));
}

static void
kind(struct span s)
{
    struct span lines[3] = {SPAN(""), SPAN(""), SPAN("")};
    struct buf capitals;
    for (size_t i = 0; i < 3; i++)
        (void)!span_next_field(&s, '\n', &lines[i]);
    size_t type = lines[0].n, subtype = lines[1].n;
    buf_init(&capitals, SIZE_MAX);
    for (size_t i = 0; i < 3; i++)
        upper(&capitals, lines[i]);
    struct span all = buf_span(&capitals);
    enum extract_kind k = extract_kind_of(lines[0], lines[1], lines[2]);
    must(k < EXTRACT_KINDS);
    must(extract_kind_of(span_slice(all, 0, type), span_slice(all, type, type + subtype),
                         span_skip(all, type + subtype)) == k);
    buf_done(&capitals);
}

static void
document(enum extract_kind k, struct span s)
{
    struct buf text;
    buf_init(&text, LIMIT_extract_text);
    struct extract_out out = {.put = put, .arg = &text};
    enum extract_verdict v = extract_read(k, s, &out);
    must(v < EXTRACT_VERDICTS && extract_verdict_name(v) != NULL);
    must(!out.full || v == EXTRACT_TOO_LARGE);
    check(&text, &out);
    buf_done(&text);
}

static void
repeated(enum extract_kind k, struct span s)
{
    struct buf all;
    buf_init(&all, 2 * LIMIT_extract_text);
    while (s.n > 0 && s.n < LIMIT_extract_text && all.n <= LIMIT_extract_text)
        buf_put(&all, s);
    document(k, buf_span(&all));
    buf_done(&all);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum extract_kind kinds[] = {EXTRACT_OFFICE, EXTRACT_RTF, EXTRACT_HTML,
                                              EXTRACT_PLAIN};
    if (size == 0)
        return 0;
    struct span s = span_of(data + 1, size - 1);
    unsigned choice = data[0] % 10;
    kind(s);
    if (choice >= 4) {
        xml(1U << (choice - 4), s);
        return 0;
    }
    if (data[0] >= REPEATED)
        repeated(kinds[choice], s);
    else
        document(kinds[choice], s);
    return 0;
}
