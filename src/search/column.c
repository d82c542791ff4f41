#include "search/column.h"

#include "base/budget.h"

#include <stdlib.h>

struct column *
column_ref(struct column *c)
{
    if (c)
        atomic_fetch_add(&c->refs, 1);
    return c;
}

void
column_unref(struct column **cp)
{
    struct column *c = *cp;
    *cp = NULL;
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    budget_give(BUDGET_TABLES, c->octets);
    free(c->uids);
    c->free(c);
}

enum result
column_take(struct column *c, size_t octets, struct fault *f)
{
    if (budget_take(BUDGET_TABLES, octets, f) != R_OK)
        return R_FAIL;
    c->octets += octets;
    return R_OK;
}

void
column_give(struct column *c, size_t octets)
{
    budget_give(BUDGET_TABLES, octets);
    c->octets -= octets;
}

size_t
column_memory(const struct column *c)
{
    return c ? c->octets + c->shared : 0;
}

uint32_t
column_from(const struct column *c, uint32_t from, uint32_t uid)
{
    uint32_t step = 1, low = from, high = from;
    while (high < c->count && c->uids[high] < uid) {
        low = high + 1;
        high = c->count - low > step ? low + step : c->count;
        step *= 2;
    }
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->uids[mid] < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}
