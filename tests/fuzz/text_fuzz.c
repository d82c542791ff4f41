// What is written on the wire is read again as it was: base64, quoted strings, atoms, literals and mailbox names in both
// spellings. The base subject of a base subject is itself.
#include "base/limits.h"
#include "mime/subject.h"
#include "wire/base64.h"
#include "wire/parse.h"
#include "wire/quote.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
base64(struct span in)
{
    struct buf text, back;
    buf_init(&text, in.n * 2 + 8);
    buf_init(&back, in.n + 3);
    base64_encode(in, &text);
    must(base64_decode(buf_span(&text), &back) == R_OK && span_eq(buf_span(&back), in));
    buf_reset(&back);
    if (base64_decode(in, &back) == R_OK) {  // there is one spelling only
        buf_reset(&text);
        base64_encode(buf_span(&back), &text);
        must(span_eq(buf_span(&text), in));
    }
    buf_done(&text);
    buf_done(&back);
}

static void
read_back(struct buf *b, struct span want, bool utf8, struct span (*read)(struct parse *p))
{
    struct arena *a = arena_new();
    struct parse p;
    struct fault f;
    buf_put_str(b, "\r\n");
    parse_init(&p, buf_span(b), a, utf8);
    must(span_eq(read(&p), want) && parse_end(&p, &f) == R_OK);
    buf_reset(b);
    arena_free(&a);
}

static void
quoting(struct span s, bool utf8)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    quote_nstring(&b, SPAN_NONE, utf8);
    must(span_eq(buf_span(&b), SPAN("NIL")));
    buf_reset(&b);
    if (!memchr(s.n ? s.p : "", '\0',
                s.n)) {  // a literal has none: it is written as another octet
        quote_string(&b, s, utf8), read_back(&b, s, utf8, parse_string);
        quote_nstring(&b, s, utf8), read_back(&b, s, utf8, parse_nstring);
        quote_astring(&b, s, utf8), read_back(&b, s, utf8, parse_astring);
        if (s.n > 0 && s.n < 200 && utf8_valid(s) && !span_istarts(s, SPAN("INBOX")) &&
            s.p[s.n - 1] != '/')
            quote_mailbox(&b, s, utf8), read_back(&b, s, utf8, parse_mailbox);
    }
    quote_nstring(&b, s, utf8);
    must(!memchr(b.p, '\0', b.n));
    buf_done(&b);
}

static void
subject(struct span s)
{
    bool reply, again;
    struct span base = mime_subject_base(s, &reply);
    must(base.n <= s.n);
    must(span_eq(mime_subject_base(base, &again), base) && !again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    base64(in);
    quoting(in, size % 2);
    subject(in);
    return 0;
}
