// Sessions that stand by: how long others wait while one works.

#include "bench/crowd.h"

#include "base/clock.h"

enum { EVERY_US = 5000 };

static struct session *
first_of(const struct crowd *c)
{
    return c->all + c->n - c->l->noop;
}

void
standby_place(struct crowd *c)
{
    for (size_t i = 0; i < c->l->noop; i++) {
        first_of(c)[i].stands_by = true;
        first_of(c)[i].user = (unsigned)(c->l->first + c->l->users + i);
    }
}

void
standby_answer(struct crowd *c, struct session *s)
{
    tally_add(&c->m->noop, clock_mono_us() - s->started_us);
    s->phase = PHASE_READY;
    s->await = AWAIT_NOTHING;
}

enum result
standby_tick(struct crowd *c)
{
    uint64_t now = clock_mono_us();
    for (size_t i = 0; c->standing_by && i < c->l->noop; i++) {
        struct session *s = &first_of(c)[i];
        if (s->phase != PHASE_READY || now < s->started_us + EVERY_US)
            continue;
        s->started_us = clock_mono_us();
        turn_begin(c->l, s);
        if (crowd_go(c, s) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

void
standby_end(struct crowd *c)
{
    for (size_t i = 0; i < c->l->noop; i++)
        if (first_of(c)[i].phase == PHASE_BUSY)
            standby_answer(c, &first_of(c)[i]);
    c->standing_by = false;
}
