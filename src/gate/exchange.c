#include "gate/inside.h"
#include "base/limits.h"

static void
forget_start(struct exchange *e)
{
    buf_wipe(&e->start);  // may hold a password
}

static void
exchange_free(struct gate *g, struct exchange *e)
{
    HASH_DEL(g->exchanges, e);
    *e->at = NULL;
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
exchange_start(struct gate *g, struct exchange **at, exchange_fn *answer, void *arg,
               struct auth_start *start)
{
    struct exchange *e = calloc(1, sizeof *e);
    must(e != NULL && *at == NULL);
    e->id = start->exchange = ++g->exchange_last;
    e->at = at;
    e->answer = answer;
    e->arg = arg;
    *at = e;
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
    buf_wipe(&b);  // may hold a password
}

void
exchange_step(struct gate *g, const struct exchange *e, struct span response)
{
    // Without an exchange it was lost with auth; its failure is on the way (exchange_auth_gone).
    if (e != NULL)
        send_step(g, MESSAGE_AUTH_STEP, &(struct auth_step){e->id, response});
}

void
exchange_drop(struct gate *g, struct exchange **at, bool tell_auth)
{
    const struct exchange *e = *at;
    if (e == NULL)
        return;
    if (tell_auth && e->sent)
        send_step(g, MESSAGE_AUTH_ABORT, &(struct auth_step){e->id, SPAN_NONE});
    exchange_free(g, *at);
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
    const struct exchange done = *e;
    exchange_free(g, e);
    done.answer(done.arg,
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
    const struct exchange asked = *e;
    forget_start(e);
    if (r->verdict != AUTH_CONTINUE)
        exchange_free(g, e);
    asked.answer(asked.arg, r);
}
