// Attachments: no reader ever gives more than it may, or what is no UTF-8.
#include "base/limits.h"
#include "extract/readers.h"
#include "mime/charset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum extract_kind kinds[] = {EXTRACT_OFFICE, EXTRACT_RTF, EXTRACT_HTML,
                                              EXTRACT_PLAIN};
    if (size == 0)
        return 0;
    struct span s = span_of(data + 1, size - 1);
    unsigned choice = data[0] % 10;
    if (choice >= 4) {
        xml(1U << (choice - 4), s);
        return 0;
    }
    struct buf text;
    buf_init(&text, LIMIT_extract_text);
    struct extract_out out = {.put = put, .arg = &text};
    must(extract_read(kinds[choice], s, &out) < EXTRACT_VERDICTS);
    check(&text, &out);
    buf_done(&text);
    return 0;
}
