// Shares of a thread's time: one for each account that has tasks, one for what is nobody's. In each turn of the loop a
// share runs for one slice, however many tasks it has; what it took too much is taken off its next slices.
#include "io/loop_inside.h"

#include "base/limits.h"

enum { SLICE_US = LIMIT_task_slice_ms * 1000 };

// What came to it since it was last looked at.
static void
refill(const struct task_room *r, struct share *s)
{
    uint64_t turns = r->turn - s->turn;
    s->turn = r->turn;
    s->left_us = turns > (uint64_t)(SLICE_US - s->left_us) / SLICE_US
                     ? SLICE_US
                     : s->left_us + (int64_t)turns * SLICE_US;
}

struct share *
share_get(struct task_room *r, uint64_t account)
{
    struct share *s;
    HASH_FIND(hh, r->shares, &account, sizeof account, s);
    if (!s) {
        s = calloc(1, sizeof *s);
        must(s != NULL);
        *s = (struct share){.account = account, .turn = r->turn, .left_us = SLICE_US};
        s->ready.last = &s->ready.first;
        HASH_ADD(hh, r->shares, account, sizeof s->account, s);
    }
    s->tasks++;
    return s;
}

// Without tasks it is forgotten later: until then it is known what it took in this turn.
void
share_put(struct task_room *r, struct share *s)
{
    if (--s->tasks > 0 || s->resting)
        return;
    s->resting = true;
    s->next_resting = r->resting;
    r->resting = s;
}

void
share_forget_idle(struct task_room *r)
{
    struct share **at = &r->resting, *s;
    while ((s = *at) != NULL) {
        refill(r, s);
        bool used = s->tasks > 0;
        if (!used && s->left_us < SLICE_US) {
            at = &s->next_resting;
            continue;
        }
        *at = s->next_resting;
        s->resting = false;
        if (used)
            continue;
        HASH_DEL(r->shares, s);
        free(s);
    }
}

bool
share_may_run(const struct task_room *r, struct share *s)
{
    refill(r, s);
    return s->left_us > 0;
}

void
share_queue(struct task_room *r, struct share *s)
{
    if (s->queued || s->running)
        return;
    s->queued = true;
    s->next = NULL;
    *r->queue_last = s;
    r->queue_last = &s->next;
}
