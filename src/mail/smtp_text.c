#include "mail/smtp_text.h"

#include "wire/smtp.h"

static enum result
wait_more(struct conn *c, uint32_t silence_ms)
{
    return conn_input(c).n > 0 ? R_OK : conn_wait_input(c, 1, silence_ms);
}

enum result
smtp_text_data(struct conn *c, uint32_t silence_ms, smtp_text_fn *fn, void *arg)
{
    struct smtp_data scan;
    smtp_data_init(&scan);
    while (!scan.done) {
        if (wait_more(c, silence_ms) != R_OK)
            return R_FAIL;
        struct span in = conn_input(c), piece;
        size_t used = 0;
        while (used < in.n && !scan.done) {
            used += smtp_data_next(&scan, span_skip(in, used), &piece);
            fn(arg, piece);
            in = conn_input(c);  // it may have suspended
        }
        conn_consume(c, used);
    }
    return R_OK;
}

enum result
smtp_text_chunk(struct conn *c, uint64_t size, uint32_t silence_ms, smtp_text_fn *fn,
                void *arg)
{
    while (size > 0) {
        if (wait_more(c, silence_ms) != R_OK)
            return R_FAIL;
        struct span in = conn_input(c);
        size_t n = in.n < size ? in.n : (size_t)size;
        if (fn)
            fn(arg, span_slice(in, 0, n));
        conn_consume(c, n);
        size -= n;
    }
    return R_OK;
}
