#include "io/conn_zip.h"
#include "io/task.h"

#include <stdarg.h>

enum { CHUNK_FIRST = 2048, CHUNK_NEXT = 16384, PIECE = 65536, FILL_MAX = 262144 };
// What a task writes in one go is sent in bursts: a peer that reads faster than we write sleeps, and is woken, once for each.
// A gate's socket holds no more than a small one.
enum { BURST = 262144, BURST_LOCAL = 65536 };
enum { SENT_TICK_MAX_MS = 64 };

static struct chunk *
chunk_new(struct conn *c, size_t cap)
{
    struct chunk *k = reallocarray(NULL, 1, sizeof *k + cap);
    must(k != NULL);
    *k = (struct chunk){.cap = cap};
    c->out_memory += sizeof *k + cap;
    budget_force(BUDGET_OUTPUT, sizeof *k + cap);
    return k;
}

static void
chunk_free(struct conn *c, struct chunk *k)
{
    c->out_memory -= sizeof *k + k->cap;
    budget_give(BUDGET_OUTPUT, sizeof *k + k->cap);
    free(k);
}

static void
append(struct conn *c, struct chunk *k)
{
    if (c->out_last)
        c->out_last->next = k;
    else
        c->out_first = k;
    c->out_last = k;
}

static void
drop_first(struct conn *c)
{
    struct chunk *k = c->out_first;
    c->out_first = k->next;
    if (!c->out_first)
        c->out_last = NULL;
    c->out_n -= k->end - k->start;
    chunk_free(c, k);
}

void
conn_output_drop(struct conn *c)
{
    while (c->out_first)
        drop_first(c);
}

static void
sent(struct conn *c, size_t n)
{
    while (n > 0) {
        struct chunk *k = c->out_first;
        size_t part = k->end - k->start < n ? k->end - k->start : n;
        k->start += part;
        c->out_n -= part;
        n -= part;
        if (k->start == k->end)
            drop_first(c);
    }
}

static void
watch_for_stall(struct conn *c, bool progress)
{
    if (c->is.finishing)
        return;
    if (!c->is.write_blocked)
        timer_clear(&c->timer);
    else if (progress || !timer_is_set(&c->timer))
        timer_set(&c->timer, conn_stall_ms());
}

void
conn_flush(struct conn *c)
{
    if (c->zip)
        zip_sync(c);
    size_t before = c->out_n;
    ssize_t n = 1;
    while (c->out_n > 0 && n > 0) {
        n = stream_write(c);
        if (n > 0)
            sent(c, (size_t)n);
        if (stream_split_writes())
            break;
    }
    if (n < 0) {
        conn_error(c, "write failed");
        return;
    }
    c->is.write_blocked = c->out_n > 0;
    watch_for_stall(c, c->out_n < before);
    if (c->waiting.writer && c->out_n <= LIMIT_output_low)
        task_wake(c->waiting.writer);
    if (c->out_n == 0)
        conn_output_gone(c);
    // Otherwise nothing has changed but perhaps a pause, and conn_read_pause leaves that to the next event.
    if (!c->is.dead && (c->is.write_blocked || c->armed.what != EV_READ))
        conn_arm(c);
}

static void
wait_for_room(struct conn *c)
{
    must(!c->waiting.writer);
    c->waiting.writer = task_self();
    while (c->out_n > LIMIT_output_low && !c->is.failed)
        task_suspend();
    c->waiting.writer = NULL;
    if (c->is.call_due)
        conn_work_later(c);
}

// A peer that takes everything at once would keep its task running. While others have their turn the task
// counts as writing, so that the handler keeps out and the conn stays.
static void
yield(struct conn *c)
{
    if (c->waiting.writer || !task_self())
        return;
    c->waiting.writer = task_self();
    task_yield();
    c->waiting.writer = NULL;
    if (c->is.call_due)
        conn_work_later(c);
}

static void
pushed(struct conn *c)
{
    if (c->is.write_blocked || c->is.handshake)
        return;
    if (c->out_n < (c->is.tcp ? BURST : BURST_LOCAL)) {
        conn_work_later(c);
        return;
    }
    conn_flush(c);
    yield(c);
}

static void
queued(struct conn *c, struct chunk *k, size_t n)
{
    k->end += n;
    c->out_n += n;
    pushed(c);
}

static void
may_wait(struct conn *c)
{
    if (c->out_n > LIMIT_output_high && task_self() && !c->is.failed)
        wait_for_room(c);
}

// The chunk for the next octets: what is left of the last one, or a new one.
static struct chunk *
chunk_for(struct conn *c, size_t n)
{
    struct chunk *k = c->out_last;
    if (k && k->cap > k->end)
        return k;
    size_t usual = k ? CHUNK_NEXT : CHUNK_FIRST;
    k = chunk_new(c, n < usual ? usual : n < PIECE ? n : PIECE);
    append(c, k);
    return k;
}

char *
conn_output_room(struct conn *c, size_t n, size_t *room_out)
{
    struct chunk *k = chunk_for(c, n);
    *room_out = k->cap - k->end;
    return k->bytes + k->end;
}

void
conn_output_add(struct conn *c, size_t n)
{
    c->out_last->end += n;
    c->out_n += n;
}

// What is pressed to nothing costs time as well: others have their turn by what goes in.
static void
write_packed(struct conn *c, struct span s)
{
    while (s.n > 0 && !c->is.failed) {
        struct span piece = span_slice(s, 0, PIECE);
        s = span_skip(s, piece.n);
        zip_write(c, piece);
        pushed(c);
        if (piece.n == PIECE && !c->is.failed)
            yield(c);
        may_wait(c);
    }
}

static void
count(struct conn *c, struct span s)
{
    c->octets.out += s.n;
    if (c->octets.tap)
        c->octets.tap(c->octets.tap_arg, s);
}

void
conn_tap(struct conn *c, conn_tap_fn *fn, void *arg)
{
    c->octets.tap = fn;
    c->octets.tap_arg = arg;
}

void
conn_write(struct conn *c, struct span s)
{
    count(c, s);
    if (c->zip) {
        write_packed(c, s);
        return;
    }
    while (s.n > 0 && !c->is.failed) {
        struct chunk *k = chunk_for(c, s.n);
        struct span piece = span_slice(s, 0, k->cap - k->end);
        memcpy(k->bytes + k->end, piece.p, piece.n);
        s = span_skip(s, piece.n);
        queued(c, k, piece.n);
        may_wait(c);
    }
}

void
conn_write_str(struct conn *c, const char *cstr)
{
    conn_write(c, span_str(cstr));
}

void
conn_printf(struct conn *c, const char *fmt, ...)
{
    struct buf b;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char small[512];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    must(n >= 0);
    buf_init(&b, (size_t)n + 1);
    if ((size_t)n < sizeof small) {
        conn_write(c, span_of(small, (size_t)n));
    } else {
        char *all = buf_reserve(&b, (size_t)n + 1);
        vsnprintf(all, (size_t)n + 1, fmt, again);
        conn_write(c, span_of(all, (size_t)n));
    }
    va_end(again);
    buf_done(&b);
}

size_t
conn_queued(const struct conn *c)
{
    return c->out_n + (c->zip && zip_dirty(c));
}

void
conn_send_now(struct conn *c)
{
    bool waiting = c->is.write_blocked || c->is.handshake;
    if (!waiting && !c->is.failed && conn_queued(c) > 0)
        conn_flush(c);
}

void
conn_await_sent(struct conn *c)
{
    uint32_t ms = 1;
    while (conn_queued(c) > 0 && !conn_failed(c)) {
        task_sleep(ms);
        ms = ms < SENT_TICK_MAX_MS ? ms * 2 : ms;
    }
}

bool
conn_writing(const struct conn *c)
{
    return c->waiting.writer || c->filling;
}

// The room stands apart from the queue until it is filled, since the caller may suspend meanwhile.
char *
conn_fill(struct conn *c, size_t n)
{
    must(n > 0 && n <= FILL_MAX && !c->filling);
    c->filling = chunk_new(c, n);
    return c->filling->bytes;
}

void
conn_filled(struct conn *c, size_t n)
{
    struct chunk *k = c->filling;
    must(k != NULL && n <= k->cap);
    c->filling = NULL;
    if (c->is.call_due)
        conn_work_later(c);
    if (n == 0 || c->is.failed) {
        chunk_free(c, k);
        return;
    }
    count(c, span_of(k->bytes, n));
    if (c->zip) {
        write_packed(c, span_of(k->bytes, n));
        chunk_free(c, k);
        return;
    }
    append(c, k);
    queued(c, k, n);
    may_wait(c);
}
