// Sessions that idle, or use NOTIFY: how long until they hear of mail, and what they cost.

#include "bench/crowd.h"

#include "base/clock.h"

static bool
is_deliverer(const struct crowd *c, const struct session *s)
{
    return op_delivers(c->l->op) && s->index == c->l->sessions;
}

static void
settle(struct crowd *c)
{
    if (c->told_us == 0 || c->heard_us == 0)
        return;
    tally_add(&c->m->tally, c->heard_us > c->told_us ? c->heard_us - c->told_us : 0);
    tally_add(&c->m->data, c->heard_us > c->data_us ? c->heard_us - c->data_us : 0);
    c->told_us = c->heard_us = 0;
    c->m->count++;
    c->deliveries++;
}

static enum result
deliverer_answer(struct crowd *c, struct session *s)
{
    struct span mail = corpus_next(c->l->corpus);
    if (s->phase == PHASE_GREETING) {
        buf_put_str(&s->out, "LHLO bench.example\r\n");
        s->await = AWAIT_CODES;
        s->codes = 1;
        s->phase = PHASE_PREPARE;
        return crowd_go(c, s);
    }
    if (s->phase == PHASE_BUSY) {
        buf_put(&s->out, mail);
        buf_put_str(&s->out, ".\r\n");
        s->codes = 1;
        s->phase = PHASE_DATA;
        c->data_us = clock_mono_us();
        return crowd_go(c, s);
    }
    c->ready += s->phase == PHASE_PREPARE;
    if (s->phase == PHASE_DATA)
        c->told_us = clock_mono_us();
    s->phase = PHASE_READY;
    s->await = AWAIT_NOTHING;
    settle(c);
    return R_OK;
}

static enum result
idler_answer(struct crowd *c, struct session *s)
{
    if (s->phase == PHASE_IDLE) {
        if (s->await == AWAIT_PLUS || s->await == AWAIT_TAG)
            c->ready++;
        else if (s->index == c->deliveries % c->l->sessions)
            c->heard_us = clock_mono_us();
        s->await = op_notifies(c->l->op) ? AWAIT_STATUS : AWAIT_EXISTS;
        settle(c);
        return R_OK;
    }
    turn_prepare(c->l, s);
    if (s->phase == PHASE_READY) {
        turn_begin(c->l, s);
        s->phase = PHASE_IDLE;
        s->await = op_notifies(c->l->op) ? AWAIT_TAG : AWAIT_PLUS;
    }
    return crowd_go(c, s);
}

enum result
watch_answer(struct crowd *c, struct session *s)
{
    return is_deliverer(c, s) ? deliverer_answer(c, s) : idler_answer(c, s);
}

static enum result
deliver(struct crowd *c, struct session *s)
{
    buf_printf(&s->out, "MAIL FROM:<sender@example.org>\r\nRCPT TO:<u%u>\r\nDATA\r\n",
               c->all[c->deliveries % c->l->sessions].user);
    s->await = AWAIT_CODES;
    s->codes = 3;
    s->phase = PHASE_BUSY;
    return crowd_go(c, s);
}

enum result
watch_run(struct crowd *c)
{
    if (!op_delivers(c->l->op)) {
        sleep((unsigned)c->l->hold);
        c->m->count = c->l->sessions;
        return R_OK;
    }
    for (size_t i = 1; i <= c->l->count && crowd_may_begin(c); i++) {
        if (deliver(c, &c->all[c->l->sessions]) != R_OK ||
            crowd_wait(c, &c->deliveries, i) != R_OK)
            return R_FAIL;
        usleep((unsigned)c->l->pause * 1000);
    }
    return R_OK;
}
