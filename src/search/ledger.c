#include "search/ledger.h"

#include "base/budget.h"
#include "base/limits.h"

enum result
search_ledger_take(struct search_ledger *l, size_t octets, struct fault *f)
{
    size_t held = atomic_load(&l->octets);
    do {
        if (octets > LIMIT_sort_octets - held)
            return fault_set(
                f, FAULT_LIMIT,
                "sorts and threads of the account are too large: %zu and %zu octets", held,
                octets);
    } while (!atomic_compare_exchange_weak(&l->octets, &held, held + octets));
    if (budget_take(BUDGET_TABLES, octets, f) == R_OK)
        return R_OK;
    atomic_fetch_sub(&l->octets, octets);
    return R_FAIL;
}

void
search_ledger_give(struct search_ledger *l, size_t octets)
{
    must(atomic_fetch_sub(&l->octets, octets) >= octets);
    budget_give(BUDGET_TABLES, octets);
}
