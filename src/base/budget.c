#include "base/budget.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>

static atomic_size_t used[BUDGET_KINDS], total;
static atomic_size_t limit_soft = SIZE_MAX, limit_hard = SIZE_MAX;

void
budget_limits(size_t soft, size_t hard)
{
    limit_soft = soft;
    limit_hard = hard;
}

void
budget_force(enum budget_kind kind, size_t bytes)
{
    atomic_fetch_add(&total, bytes);
    atomic_fetch_add(&used[kind], bytes);
}

enum result
budget_take(enum budget_kind kind, size_t bytes, struct fault *f)
{
    size_t now = atomic_load(&total), most = limit_hard;
    if (now > most || bytes > most - now)
        return fault_set(f, FAULT_LIMIT, "memory budget: %zu more octets refused", bytes);
    budget_force(kind, bytes);
    return R_OK;
}

void
budget_give(enum budget_kind kind, size_t bytes)
{
    must(atomic_fetch_sub(&used[kind], bytes) >= bytes);
    atomic_fetch_sub(&total, bytes);
}

size_t
budget_used(enum budget_kind kind)
{
    return atomic_load(&used[kind]);
}

size_t
budget_total(void)
{
    return atomic_load(&total);
}

bool
budget_over_soft(void)
{
    return atomic_load(&total) > limit_soft;
}

bool
budget_over_middle(void)
{
    size_t soft = limit_soft, hard = limit_hard;
    return atomic_load(&total) > soft + (hard > soft ? (hard - soft) / 2 : 0);
}

void
budget_trim(void)
{
    (void)malloc_trim(0);
}
