#include "io/conn_zip.h"

#include "base/clock.h"

// Compression begins and ends, RFC 4978 section 3 and RFC 8437 section 5.

enum { TICK_MS = 2 };

void
conn_compress(struct conn *c, conn_holds_fn *holds)
{
    if (c->out_n > 0)
        conn_flush(c);
    zip_new(c, holds);
    conn_consume(c, conn_unread_count(c));
}

bool
conn_is_compressed(const struct conn *c)
{
    return c->zip != NULL;
}

void
conn_rest(struct conn *c)
{
    if (c->zip)
        zip_rest(c);
}

size_t
conn_held(struct conn *c)
{
    return conn_unread_count(c) + (c->zip ? zip_raw(c).n : 0);
}

static enum result
await_end(struct conn *c)
{
    zip_stop_at_flush(c);
    uint64_t deadline = clock_mono_ms() + LIMIT_linger_ms;
    while (!zip_at_end(c)) {
        char octet;
        ssize_t n = zip_read(c, &octet, 1);
        if (n != STREAM_BLOCKED || c->is.failed || clock_mono_ms() > deadline)
            return R_FAIL;
        if (!zip_at_end(c))
            task_sleep(TICK_MS);
    }
    return R_OK;
}

enum result
conn_uncompress(struct conn *c)
{
    must(task_self() != NULL && c->is.paused);
    if (await_end(c) != R_OK || c->is.failed || conn_unread_count(c) > 0)
        return R_FAIL;
    zip_finish(c);
    conn_input_add(c, zip_raw(c));
    zip_free(c);
    conn_work_later(c);
    return R_OK;
}
