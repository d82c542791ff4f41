#ifndef SEARCH_LEDGER_H
#define SEARCH_LEDGER_H

// What sorts and threads of one account hold at a time: at most LIMIT_sort_octets together, also in the budget.
// Threads: any.

#include "base/fault.h"

#include <stdatomic.h>
#include <stddef.h>

struct search_ledger {
    atomic_size_t octets;
};

// FAULT_LIMIT: nothing was taken.
enum result search_ledger_take(struct search_ledger *l, size_t octets,
                               struct fault *f) MUST_CHECK;
void search_ledger_give(struct search_ledger *l, size_t octets);

#endif
