// Envelope lines do not crash; DATA gives the same octets and the same end at every cut.
#include "wire/smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
unstuff(struct span in, size_t step, struct buf *out)
{
    struct smtp_data d;
    size_t used = 0;
    smtp_data_init(&d);
    while (used < in.n && !d.done) {
        struct span piece;
        used += smtp_data_next(&d, span_slice(in, used, used + step), &piece);
        buf_put(out, piece);
    }
    return used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct arena *a = arena_new();
    struct smtp_envelope e;
    struct fault f;
    (void)!smtp_envelope_parse(in, "TO", a, &e, &f);
    struct buf one, all;
    buf_init(&one, size + 1);
    buf_init(&all, size + 1);
    must(unstuff(in, 1, &one) == unstuff(in, size + 1, &all));
    must(span_eq(buf_span(&one), buf_span(&all)));
    buf_done(&one);
    buf_done(&all);
    arena_free(&a);
    return 0;
}
