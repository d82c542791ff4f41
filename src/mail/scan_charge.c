#include "mail/scan_charge.h"

#include "base/budget.h"

struct scan_charge {
    struct arena *arena;
    size_t before, taken;
};

static void
give(void *arg)
{
    struct scan_charge *c = arg;
    budget_give(BUDGET_INTAKE, c->taken);
}

struct scan_charge *
scan_charge_new(struct arena *a)
{
    struct scan_charge *c = ARENA_NEW(a, struct scan_charge);
    *c = (struct scan_charge){.arena = a, .before = arena_used(a)};
    arena_on_end(a, give, c);
    return c;
}

enum result
scan_charge_grow(struct scan_charge *c, struct fault *f)
{
    size_t grown = arena_used(c->arena) - c->before - c->taken;
    if (grown == 0)
        return R_OK;
    if (budget_take(BUDGET_INTAKE, grown, f) != R_OK)
        return R_FAIL;
    c->taken += grown;
    return R_OK;
}
