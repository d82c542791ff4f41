#include "io/conn_zip.h"

#include <openssl/ssl.h>

enum { SCRATCH = 16384, READ_AT_ONCE = 65536 };

// Small input passes through here, so that a conn's own buffer is never larger than what it holds.
static _Thread_local char scratch[SCRATCH];

static void
charge(struct conn *c)
{
    if (c->in.cap == c->in_charged)
        return;
    if (c->in.cap > c->in_charged)
        budget_force(BUDGET_INTAKE, c->in.cap - c->in_charged);
    else
        budget_give(BUDGET_INTAKE, c->in_charged - c->in.cap);
    c->in_charged = c->in.cap;
}

bool
conn_reading(const struct conn *c)
{
    if (c->is.eof || c->is.handshake || c->is.finishing)
        return false;
    if (c->zip && zip_held(c))
        return false;
    if (c->waiting.reader)
        return conn_unread_count(c) < c->waiting.octets;
    return !c->is.paused && conn_unread_count(c) < c->in_max;
}

static void
compact(struct conn *c)
{
    if (c->in_skip > 0)
        buf_consume(&c->in, c->in_skip);
    c->in_skip = 0;
}

// One read of at most `room` octets; *more_out tells whether another may find more at once.
static ssize_t
read_once(struct conn *c, size_t room, bool *more_out)
{
    bool direct = c->waiting.reader && conn_unread_count(c) + SCRATCH <= c->waiting.octets;
    size_t most = direct ? READ_AT_ONCE : SCRATCH;
    size_t asked = room < most ? room : most;
    char *at = direct ? buf_reserve(&c->in, asked) : scratch;
    must(at != NULL);
    ssize_t n = c->zip ? zip_read(c, at, asked) : stream_read(c, at, asked);
    *more_out = n > 0 && !stream_split_reads() && (c->ssl || c->zip || (size_t)n == asked);
    if (n > 0 && direct)
        c->in.n += (size_t)n;
    else if (n > 0)
        buf_put(&c->in, span_of(scratch, (size_t)n));
    return n;
}

static void
read_ended(struct conn *c, ssize_t end)
{
    if (end == STREAM_EOF)
        c->is.eof = true;
    else if (end == STREAM_FAILED)
        conn_error(c, "read failed");
}

void
conn_read_some(struct conn *c)
{
    size_t before = conn_unread_count(c);
    ssize_t n = 1;
    bool more = true;
    compact(c);
    while (more && c->in.n < c->in_max && c->in.n - before < READ_AT_ONCE)
        n = read_once(c, c->in_max - c->in.n, &more);
    charge(c);
    read_ended(c, n);
    if (c->in.n > before || (c->is.eof && !c->is.failed))
        conn_deliver(c);
    if (!c->is.dead)
        conn_read_poke(c);
}

bool
conn_pending(const struct conn *c)
{
    return (c->ssl && SSL_has_pending(c->ssl)) || (c->zip && zip_pending(c));
}

// What OpenSSL has read already, or what is packed, does not make the descriptor readable again.
void
conn_read_poke(struct conn *c)
{
    if (!conn_reading(c))
        return;
    if (conn_pending(c))
        conn_work_later(c);
    if (!(c->armed.what & EV_READ))
        conn_arm(c);
}

struct span
conn_input(struct conn *c)
{
    return span_skip(buf_span(&c->in), c->in_skip);
}

void
conn_consume(struct conn *c, size_t n)
{
    must(n <= conn_unread_count(c));
    c->in_skip += n;
    c->octets.in += n;
    if (conn_unread_count(c) == 0) {
        buf_done(&c->in);
        c->in_skip = 0;
        charge(c);
    }
    conn_read_poke(c);
}

void
conn_input_max(struct conn *c, size_t max)
{
    must(max > 0 && max <= SIZE_MAX / 4);
    c->in_max = max;
    if (c->zip)
        zip_release(c);
    conn_read_poke(c);
}

void
conn_unread(struct conn *c, struct span s)
{
    if (s.n == 0)
        return;
    struct buf all;
    buf_init(&all, c->in.max);
    buf_put(&all, s);
    buf_put(&all, conn_input(c));
    must(!all.over);
    buf_done(&c->in);
    c->in = all;
    c->in_skip = 0;
    charge(c);
    c->is.call_due = true;
    conn_work_later(c);
}

void
conn_input_add(struct conn *c, struct span s)
{
    buf_put(&c->in, s);
    charge(c);
    c->is.call_due |= s.n > 0;
}

// The descriptor stays armed until it is next readable: most pauses are over by then.
void
conn_read_pause(struct conn *c)
{
    c->is.paused = true;
}

void
conn_read_resume(struct conn *c)
{
    c->is.paused = false;
    if (conn_unread_count(c) > 0 || c->is.eof)
        c->is.call_due = true;
    if (c->is.call_due)
        conn_work_later(c);
    conn_read_poke(c);
}

struct patience {
    struct task *task;
    bool over;
};

static void
patience_over(void *arg)
{
    struct patience *p = arg;
    p->over = true;
    task_wake(p->task);
}

static enum result
wait_progress(struct conn *c, size_t n, uint32_t timeout_ms)
{
    struct patience patience = {task_self(), false};
    struct timer timer;
    timer_init(&timer, patience_over, &patience);
    c->waiting.cancelled = false;
    while (conn_unread_count(c) < n && !c->is.eof && !patience.over &&
           !c->waiting.cancelled) {
        size_t before = conn_unread_count(c);
        if (!timer_is_set(&timer))
            timer_set(&timer, timeout_ms);
        conn_read_poke(c);
        task_suspend();
        if (conn_unread_count(c) > before)
            timer_clear(&timer);
    }
    timer_clear(&timer);
    return conn_unread_count(c) < n ? R_FAIL : R_OK;
}

void
conn_wait_cancel(struct conn *c)
{
    if (!c->waiting.reader)
        return;
    c->waiting.cancelled = true;
    task_wake(c->waiting.reader);
}

enum result
conn_wait_input(struct conn *c, size_t n, uint32_t timeout_ms)
{
    must(task_self() != NULL && n <= c->in_max && !c->waiting.reader);
    if (conn_unread_count(c) >= n)
        return R_OK;
    c->waiting.reader = task_self();
    c->waiting.octets = n;
    if (c->zip)
        zip_release(c);
    enum result r = wait_progress(c, n, timeout_ms);
    c->waiting.reader = NULL;
    if (c->is.call_due)
        conn_work_later(c);
    conn_read_poke(c);
    return r;
}
