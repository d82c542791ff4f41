#include "main/mail_role.h"
#include "base/clock.h"
#include "base/load.h"
#include "base/log.h"
#include "io/task.h"

// Every account has its second in the round, by its number, so that restarts move nothing and the work is spread. The
// timer takes those whose second has come since it looked last; while the process is overloaded it takes none.

enum { LOOKS = 60, LOOK_MAX_S = 60 };

static void
look_later(struct mail_round *round)
{
    int64_t pause = round->period_s / LOOKS;
    if (pause > LOOK_MAX_S)
        pause = LOOK_MAX_S;
    if (!round->role->homes[0].draining)
        timer_set(&round->timer, (uint32_t)(pause > 0 ? pause : 1) * 1000);
}

// Has the account's second come after `from`, and up to `to`?
static bool
is_due(uint64_t account, int64_t from, int64_t to, int64_t round)
{
    int64_t second = (int64_t)((account * 0x9e3779b97f4a7c15u >> 33) % (uint64_t)round);
    return (to + round - second) / round > (from + round - second) / round;
}

// Those that are due up to `to`. False: it had to stop before the last.
static bool
visit_due(struct mail_round *round, struct arena *a, int64_t to)
{
    struct mail_role *r = round->role;
    struct fault f;
    uint64_t *ids;
    size_t n;
    if (round->ops->wanted && !round->ops->wanted(r))
        return true;
    if (store_accounts(r->store, a, &ids, &n, &f) != R_OK) {
        log_error("mail", round->ops->name, log_fault(&f));
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_due(ids[i], round->upto_s, to, round->period_s))
            continue;
        if (load_is_high() || r->homes[0].draining || !round->ops->visit(r, ids[i]))
            return false;
    }
    return true;
}

static void
look(void *arg)
{
    struct mail_round *round = arg;
    struct arena *a = arena_new();
    int64_t now = clock_wall_s();
    if (now < round->upto_s)  // the clock went back
        round->upto_s = now;
    if (!load_is_high() && visit_due(round, a, now))
        round->upto_s = now;
    arena_free(&a);
    look_later(round);
}

static void
on_timer(void *arg)
{
    task_start(look, arg);
}

void
mail_round_start(struct mail_round *round, struct mail_role *r, int64_t period_s,
                 const struct mail_round_ops *ops)
{
    *round = (struct mail_round){
        .role = r, .ops = ops, .period_s = period_s, .upto_s = clock_wall_s()};
    timer_init(&round->timer, on_timer, round);
    look_later(round);
}

void
mail_round_stop(struct mail_round *round)
{
    timer_clear(&round->timer);
}
