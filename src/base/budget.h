#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

// The ledger of memory that grows with use: message tables, unfolded records, intake, output, stacks.
// Over the soft limit caches are evicted; at the hard limit new work is refused (NO [LIMIT], 451).
// Threads: any (atomic counters).

#include "base/fault.h"
#include <stdbool.h>
#include <stddef.h>

enum budget_kind {
    BUDGET_TABLES,
    BUDGET_RECORDS,
    BUDGET_INTAKE,
    BUDGET_OUTPUT,
    BUDGET_STACKS,
    BUDGET_KINDS
};

void budget_limits(size_t soft, size_t hard);
// R_FAIL (FAULT_LIMIT) when the hard limit would be passed; nothing is taken then.
enum result budget_take(enum budget_kind kind, size_t bytes, struct fault *f) MUST_CHECK;
// takes without asking, for what already exists
void budget_force(enum budget_kind kind, size_t bytes);
void budget_give(enum budget_kind kind, size_t bytes);
size_t budget_used(enum budget_kind kind);
size_t budget_total(void);
bool budget_over_soft(void);
bool budget_over_middle(void);  // between the two limits
void budget_trim(void);  // what was freed goes back to the system; takes milliseconds

#endif
