#include "io/conn_zip.h"

#include <zlib.h>

// DEPENDENCIES.md: 13 KiB instead of 261 KiB for a state, at nearly the same ratio.
enum { WINDOW_BITS = 10, MEM_LEVEL = 3, LEVEL = 6 };
enum { PEER_WINDOW_BITS = 15, PEER_WINDOW = 32768, SCRATCH = 16384, TRIES = 4 };
enum { FLUSH_MAX = 128, HEAD = 16 };

struct zip {
    z_stream out, in;
    bool out_live, in_live;
    bool dirty;
    bool more;      // inflate ran out of room, not of octets
    bool at_flush;  // the last block was the empty one of a flush, octet aligned
    bool look;      // at_flush is new: ask `holds`
    bool held, ended;
    bool used;       // since the timer was set
    uint64_t block;  // octets that the current block of the input brought so far
    conn_holds_fn *holds;
    struct buf raw, window;
    size_t raw_skip, charged;
    size_t memory;  // zlib's
    struct timer timer;
};

static _Thread_local char scratch[SCRATCH];

// ---- memory ----

static void *
zip_alloc(void *arg, unsigned items, unsigned size)
{
    struct zip *z = arg;
    size_t n = HEAD + (size_t)items * size;
    char *p = reallocarray(NULL, 1, n);
    must(p != NULL);
    memcpy(p, &n, sizeof n);
    z->memory += n;
    budget_force(BUDGET_OUTPUT, n);
    return p + HEAD;
}

static void
zip_dealloc(void *arg, void *block)
{
    struct zip *z = arg;
    char *p = (char *)block - HEAD;
    size_t n;
    memcpy(&n, p, sizeof n);
    z->memory -= n;
    budget_give(BUDGET_OUTPUT, n);
    free(p);
}

static void
charge(struct zip *z)
{
    size_t held = z->raw.cap + z->window.cap;
    budget_force(BUDGET_INTAKE, held);
    budget_give(BUDGET_INTAKE, z->charged);
    z->charged = held;
}

size_t
zip_memory(const struct conn *c)
{
    const struct zip *z = c->zip;
    return sizeof *z + z->memory + z->raw.cap + z->window.cap;
}

static z_stream
stream_none(struct zip *z)
{
    return (z_stream){.zalloc = zip_alloc, .zfree = zip_dealloc, .opaque = z};
}

static void
touch(struct zip *z)
{
    z->used = true;
    if (!timer_is_set(&z->timer))
        timer_set(&z->timer, LIMIT_compress_rest_ms);
}

// ---- rest ----

static void
out_drop(struct zip *z)
{
    if (z->out_live && !z->dirty) {
        (void)deflateEnd(&z->out);
        z->out_live = false;
    }
}

// Between two blocks the window is all that inflate remembers.
static void
in_drop(struct zip *z)
{
    unsigned n = 0;
    if (!z->in_live || !z->at_flush || z->more || z->raw.n > 0)
        return;
    must(inflateGetDictionary(&z->in, NULL, &n) == Z_OK);
    char *p = n > 0 ? buf_reserve(&z->window, n) : NULL;
    if (p) {
        must(inflateGetDictionary(&z->in, (Bytef *)p, &n) == Z_OK);
        z->window.n = n;
    }
    (void)inflateEnd(&z->in);
    z->in_live = false;
    charge(z);
}

void
zip_rest(struct conn *c)
{
    zip_sync(c);
    out_drop(c->zip);
    in_drop(c->zip);
    timer_clear(&c->zip->timer);
}

static void
on_timer(void *arg)
{
    struct zip *z = arg;
    bool used = z->used;
    z->used = false;
    if (used) {
        timer_set(&z->timer, LIMIT_compress_rest_ms);
        return;
    }
    out_drop(z);
    in_drop(z);
}

void
zip_new(struct conn *c, conn_holds_fn *holds)
{
    struct zip *z = calloc(1, sizeof *z);
    must(z != NULL && !c->zip);
    z->holds = holds;
    buf_init(&z->raw, SIZE_MAX / 2);  // what one read brings, or what was unread
    buf_init(&z->window, PEER_WINDOW);
    timer_init(&z->timer, on_timer, z);
    buf_put(&z->raw, conn_input(c));
    charge(z);
    c->zip = z;
}

void
zip_free(struct conn *c)
{
    struct zip *z = c->zip;
    timer_clear(&z->timer);
    if (z->out_live)
        (void)deflateEnd(&z->out);
    if (z->in_live)
        (void)inflateEnd(&z->in);
    buf_done(&z->raw);
    buf_done(&z->window);
    charge(z);
    free(z);
    c->zip = NULL;
}

// ---- output ----

static void
out_start(struct zip *z)
{
    if (z->out_live)
        return;
    z->out = stream_none(z);
    must(deflateInit2(&z->out, LEVEL, Z_DEFLATED, -WINDOW_BITS, MEM_LEVEL,
                      Z_DEFAULT_STRATEGY) == Z_OK);
    z->out_live = true;
}

// Never suspends: between two calls that belong together nothing else may come.
static void
press(struct conn *c, struct span s, int flush)
{
    struct zip *z = c->zip;
    out_start(z);
    touch(z);
    z->out.next_in = (Bytef *)(uintptr_t)s.p;
    z->out.avail_in = (uInt)s.n;
    do {
        size_t room = 0;
        char *at = conn_output_room(c, s.n / 2 + FLUSH_MAX, &room);
        z->out.next_out = (Bytef *)at;
        z->out.avail_out = (uInt)room;
        int rc = deflate(&z->out, flush);
        must(rc == Z_OK || rc == Z_BUF_ERROR || rc == Z_STREAM_END);
        conn_output_add(c, room - z->out.avail_out);
    } while (z->out.avail_out == 0);
    must(z->out.avail_in == 0);
}

void
zip_write(struct conn *c, struct span s)
{
    press(c, s, Z_NO_FLUSH);
    c->zip->dirty = true;
}

void
zip_sync(struct conn *c)
{
    if (!c->zip->dirty || c->is.failed)
        return;
    c->zip->dirty = false;
    press(c, SPAN_NONE, Z_SYNC_FLUSH);
}

void
zip_finish(struct conn *c)
{
    c->zip->dirty = false;
    press(c, SPAN_NONE, Z_FINISH);
}

bool
zip_dirty(const struct conn *c)
{
    return c->zip->dirty && !c->is.failed;
}

// ---- input ----

static void
in_start(struct zip *z)
{
    if (z->in_live)
        return;
    z->in = stream_none(z);
    must(inflateInit2(&z->in, -PEER_WINDOW_BITS) == Z_OK);
    if (z->window.n > 0)
        must(inflateSetDictionary(&z->in, (const Bytef *)z->window.p, (uInt)z->window.n) ==
             Z_OK);
    buf_done(&z->window);
    z->in_live = true;
    charge(z);
}

struct span
zip_raw(const struct conn *c)
{
    return span_skip(buf_span(&c->zip->raw), c->zip->raw_skip);
}

static void
raw_consume(struct zip *z, size_t n)
{
    z->raw_skip += n;
    if (z->raw_skip < z->raw.n)
        return;
    buf_done(&z->raw);
    z->raw_skip = 0;
    charge(z);
}

static ssize_t
raw_fill(struct conn *c)
{
    ssize_t n = stream_read(c, scratch, sizeof scratch);
    if (n > 0)
        buf_put(&c->zip->raw, span_of(scratch, (size_t)n));
    charge(c->zip);
    return n;
}

// data_type tells where inflate stands: 128 between two blocks, below it the bits left of the last octet.
static void
note_block(struct zip *z, size_t got)
{
    z->block += got;
    z->at_flush = false;
    if (!(z->in.data_type & 128))
        return;
    z->at_flush = z->look = z->block == 0 && (z->in.data_type & 63) == 0;
    z->block = 0;
}

// Octets unpacked into p, or STREAM_FAILED. Stops where the peer flushed.
static ssize_t
expand(struct conn *c, char *p, size_t n)
{
    struct zip *z = c->zip;
    struct span raw = zip_raw(c);
    in_start(z);
    touch(z);
    z->in.next_in = (Bytef *)(uintptr_t)raw.p;
    z->in.avail_in = (uInt)raw.n;
    z->in.next_out = (Bytef *)p;
    z->in.avail_out = (uInt)n;
    int rc = Z_OK;
    do {
        uInt before = z->in.avail_out;
        rc = inflate(&z->in, Z_BLOCK);
        note_block(z, before - z->in.avail_out);
    } while (rc == Z_OK && z->in.avail_out > 0 && z->in.avail_in > 0 && !z->at_flush);
    z->ended = rc == Z_STREAM_END;
    z->more = rc == Z_OK && z->in.avail_out == 0;
    raw_consume(z, raw.n - z->in.avail_in);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
        c->why = "compressed input is damaged";
        return STREAM_FAILED;
    }
    return (ssize_t)(n - z->in.avail_out);
}

static bool
has_raw(const struct zip *z)
{
    return z->raw.n > 0 || z->more;
}

// The handler is told, although no octet came: it may be waiting for more.
static void
hold(struct conn *c)
{
    c->zip->held = c->is.call_due = true;
    conn_work_later(c);
}

static bool
always(struct span unread)
{
    (void)unread;
    return true;
}

void
zip_stop_at_flush(struct conn *c)
{
    c->zip->holds = always;
}

static bool
holds(struct conn *c)
{
    struct zip *z = c->zip;
    if (z->look && z->holds && !c->waiting.reader && z->holds(conn_input(c)))
        hold(c);
    z->look = false;
    return z->held;
}

static ssize_t
after_end(struct conn *c)
{
    ssize_t n = has_raw(c->zip) ? 1 : raw_fill(c);
    if (n > 0)
        c->why = "octets behind the end of compression";
    return n > 0 ? STREAM_FAILED : n;
}

ssize_t
zip_read(struct conn *c, char *p, size_t n)
{
    struct zip *z = c->zip;
    for (int i = 0; i < TRIES; i++) {
        if (holds(c))
            return STREAM_BLOCKED;
        if (z->ended)
            return after_end(c);
        ssize_t got = has_raw(z) ? 1 : raw_fill(c);
        if (got <= 0)
            return got;
        got = expand(c, p, n);
        if (z->ended)
            hold(c);
        if (got != 0)
            return got;
    }
    return STREAM_BLOCKED;
}

bool
zip_pending(const struct conn *c)
{
    return has_raw(c->zip) && !c->zip->held;
}

bool
zip_held(const struct conn *c)
{
    return c->zip->held;
}

bool
zip_at_end(const struct conn *c)
{
    return (c->zip->at_flush || c->zip->ended) && !c->zip->more;
}

void
zip_release(struct conn *c)
{
    c->zip->held = false;
}
