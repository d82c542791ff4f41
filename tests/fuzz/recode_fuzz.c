// A text that is recoded for a lesser smarthost: lines of ASCII come out, fields stay what they are, and what was recoded needs it
// no more. The first octet says how often more what is behind a form feed stands there: texts are longer than what is read at once.
#include "base/utf8.h"
#include "mime/header.h"
#include "mime/scan.h"
#include "relay/recode.h"
#include "relay/text.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 3 << 15 };

static int
file_of(struct span text)
{
    int fd = memfd_create("text", MFD_CLOEXEC);
    must(fd >= 0 && ftruncate(fd, QUEUE_HEAD) == 0);
    must(pwrite(fd, text.p, text.n, QUEUE_HEAD) == (ssize_t)text.n);
    return fd;
}

static struct span
text_of(int fd, uint64_t n, struct buf *b)
{
    must(pread(fd, buf_reserve(b, n + 1), n + 1, 0) == (ssize_t)n);
    b->n = n;
    return buf_span(b);
}

static bool
says_utf8(struct span text)
{
    struct queue_mail m = {.head = {.text_n = text.n}};
    struct fault f;
    bool utf8 = false;
    int fd = file_of(text);
    must(relay_header_is_utf8(fd, &m, &utf8, &f) == R_OK);
    close(fd);
    return utf8;
}

static enum result
recode(struct span text, uint8_t body, enum recode_aim aim, struct recoded *out,
       struct buf *made)
{
    struct queue_mail m = {.head = {.text_n = text.n}, .envelope = {.body = body}};
    struct fault f;
    int from = file_of(text), to = memfd_create("made", MFD_CLOEXEC);
    must(to >= 0);
    enum result r = relay_recode(from, &m, aim, to, out, &f);
    must(r != R_FAIL && (r == R_NONE) == (out->why != NULL));
    if (r == R_OK)
        (void)text_of(to, out->n, made);
    close(from);
    close(to);
    return r;
}

static struct mime_header_iter
fields_of(struct span text, struct arena *a)
{
    struct mime_scan *s = mime_scan_new(a);
    mime_scan_feed(s, text);
    return mime_header_begin(span_slice(text, 0, (size_t)mime_scan_end(s)->header.size));
}

// All fields of the message but those that say how it is encoded, in their order.
static void
same_fields(struct span text, struct span made)
{
    struct arena *a = arena_new();
    struct mime_header_iter was = fields_of(text, a), is = fields_of(made, a);
    struct mime_header x, y = {0};
    while (mime_header_next(&was, &x) == R_OK) {
        if (span_ieq(x.name, SPAN("Content-Transfer-Encoding")))
            continue;
        do
            must(mime_header_next(&is, &y) == R_OK);
        while (!span_eq(span_trim(x.raw), span_trim(y.raw)));
    }
    arena_free(&a);
}

static void
check(struct span text, uint8_t body, enum recode_aim aim)
{
    struct recoded once, twice;
    struct buf made, again;
    buf_init(&made, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    if (recode(text, body, aim, &once, &made) == R_OK) {
        must(aim != RECODE_7BIT || !(once.traits & RELAY_TRAIT_8BIT));
        must(aim != RECODE_7BIT || ascii_only(buf_span(&made)));
        must(once.wire_n >= once.n / 2);
        same_fields(text, buf_span(&made));
        must(aim != RECODE_7BIT || !says_utf8(text));
        must(recode(buf_span(&made), body, aim, &twice, &again) == R_OK);
        must(span_eq(buf_span(&again), buf_span(&made)) && twice.traits == once.traits);
    }
    buf_done(&made);
    buf_done(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    size_t at = span_find_char(in, '\f');
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_put(&text, span_slice(in, 1, at));
    for (unsigned n = 0; n <= (size > 0 ? data[0] : 0U) && at < size; n++)
        if (text.n + size < TEXT_MAX)
            buf_put(&text, span_skip(in, at + 1));
    for (unsigned form = 0; form < 4; form++)
        check(buf_span(&text), form & 2 ? RELAY_BODY_BINARYMIME : RELAY_BODY_8BITMIME,
              form & 1 ? RECODE_NO_BINARY : RECODE_7BIT);
    (void)says_utf8(buf_span(&text));
    buf_done(&text);
    return 0;
}
