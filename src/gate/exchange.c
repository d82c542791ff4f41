#include "gate/inside.h"
#include "base/limits.h"

static void
forget_start(struct exchange *e)
{
    if (e->start.p != NULL)
        explicit_bzero(e->start.p, e->start.n);  // may hold a password
    buf_done(&e->start);
}

static void
exchange_free(struct gate *g, struct exchange *e)
{
    HASH_DEL(g->exchanges, e);
    e->front->exchange = NULL;
    forget_start(e);
    free(e);
}

static void
exchange_add(struct gate *g, struct exchange *e)
{
    HASH_ADD(hh, g->exchanges, id, sizeof e->id, e);
}

static struct exchange *
exchange_find(struct gate *g, uint64_t id)
{
    struct exchange *e;
    HASH_FIND(hh, g->exchanges, &id, sizeof id, e);
    return e;
}

// Sends the first message, or waits for auth to come back.
static void
send_start(struct gate *g, struct exchange *e)
{
    e->sent = g->auth != NULL;
    if (e->sent)
        channel_send(g->auth, MESSAGE_AUTH_START, buf_span(&e->start), -1);
    else if (!timer_is_set(&g->auth_wait))
        timer_set(&g->auth_wait, LIMIT_auth_wait_ms);
}

void
exchange_start(struct front *f, struct auth_start *start)
{
    struct gate *g = f->gate;
    struct exchange *e = calloc(1, sizeof *e);
    must(e != NULL);
    e->id = start->exchange = ++g->exchange_last;
    e->front = f;
    f->exchange = e;
    exchange_add(g, e);
    buf_init(&e->start, LIMIT_channel_message);
    auth_start_put(&e->start, start);
    send_start(g, e);
}

static void
send_step(struct gate *g, enum message_type type, const struct auth_step *step)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    auth_step_put(&b, step);
    if (g->auth != NULL)
        channel_send(g->auth, (uint16_t)type, buf_span(&b), -1);
    if (b.p != NULL)
        explicit_bzero(b.p, b.n);  // may hold a password
    buf_done(&b);
}

void
exchange_step(struct front *f, struct span response)
{
    // Without an exchange it was lost with auth; its failure is on the way (exchange_auth_gone).
    if (f->exchange != NULL)
        send_step(f->gate, MESSAGE_AUTH_STEP,
                  &(struct auth_step){f->exchange->id, response});
}

void
exchange_drop(struct front *f, bool tell_auth)
{
    if (f->exchange == NULL)
        return;
    if (tell_auth && f->exchange->sent)
        send_step(f->gate, MESSAGE_AUTH_ABORT,
                  &(struct auth_step){f->exchange->id, SPAN_NONE});
    exchange_free(f->gate, f->exchange);
}

void
exchange_auth_back(struct gate *g)
{
    struct exchange *e, *next;
    timer_clear(&g->auth_wait);
    HASH_ITER(hh, g->exchanges, e, next)
    {
        send_start(g, e);
    }
}

static void
fail(struct gate *g, struct exchange *e)
{
    struct front *f = e->front;
    exchange_free(g, e);
    front_answer(f,
                 &(struct auth_reply){.verdict = AUTH_REFUSED, .fault = FAULT_UNAVAILABLE});
}

// Called when auth died: what it had answered once cannot be taken up by its successor. And again when none came
// in time: then nothing waits any longer.
void
exchange_auth_gone(struct gate *g)
{
    bool too_long = !timer_is_set(&g->auth_wait);
    struct exchange *e, *next;
    HASH_ITER(hh, g->exchanges, e, next)
    {
        e->sent = false;
        if (e->start.n == 0 || too_long)
            fail(g, e);
    }
}

void
exchange_reply(struct gate *g, const struct auth_reply *r)
{
    struct exchange *e = exchange_find(g, r->exchange);
    if (e == NULL)
        return;  // aborted meanwhile
    struct front *f = e->front;
    forget_start(e);
    if (r->verdict != AUTH_CONTINUE)
        exchange_free(g, e);
    front_answer(f, r);
}
