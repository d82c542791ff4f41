// An mbox gives the same messages at every cut of its octets.
#include "ctl/mbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum result
on_begin(void *arg, const struct mbox_message *m, struct fault *f)
{
    (void)f;
    buf_printf(arg, "\n[%lld %d %u %u %u <%.*s>]\n", (long long)m->date, m->zone_min,
               m->uid, m->flags, m->uidvalidity, SPAN_ARG(m->keywords));
    return R_OK;
}

static enum result
on_octets(void *arg, struct span bytes, struct fault *f)
{
    (void)f;
    buf_put(arg, bytes);
    return R_OK;
}

static enum result
on_end(void *arg, struct fault *f)
{
    (void)f;
    buf_put_str(arg, "[end]");
    return R_OK;
}

static enum result
read_in(struct span in, size_t step, struct buf *out)
{
    static const struct mbox_ops ops = {on_begin, on_octets, on_end};
    struct mbox m;
    struct fault f;
    enum result r = R_OK;
    mbox_init(&m, &ops, out);
    for (; r == R_OK && in.n > 0; in = span_skip(in, step))
        r = mbox_read(&m, span_slice(in, 0, step), &f);
    if (r == R_OK)
        r = mbox_end(&m, &f);
    mbox_done(&m);
    return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf one, all;
    buf_init(&one, SIZE_MAX);
    buf_init(&all, SIZE_MAX);
    must(read_in(span_of(data, size), 1, &one) ==
         read_in(span_of(data, size), size + 1, &all));
    must(span_eq(buf_span(&one), buf_span(&all)));
    buf_done(&one);
    buf_done(&all);
    return 0;
}
