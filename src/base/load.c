#include "base/load.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include <stdatomic.h>

static _Atomic uint64_t own_until_ms;
static _Atomic uint64_t *high_until_ms = &own_until_ms;
static atomic_bool pretended;

void
load_timer(uint64_t due_ms, uint64_t now_ms)
{
    if (now_ms > due_ms + LIMIT_load_late_ms || budget_over_middle())
        *high_until_ms = now_ms + LIMIT_load_rest_ms;
}

bool
load_is_high(void)
{
    return pretended || budget_over_middle() || clock_mono_ms() < *high_until_ms;
}

void
load_share(_Atomic uint64_t *until_ms)
{
    high_until_ms = until_ms;
}

void
load_pretend(bool high)
{
    pretended = high;
}
