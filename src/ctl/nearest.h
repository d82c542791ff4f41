#ifndef CTL_NEAREST_H
#define CTL_NEAREST_H

// The nearest of several names to one that was mistyped: fewest letters inserted, removed or changed.
// Trust: the name is typed by a person; only its first 40 octets count.

#include "base/span.h"

struct nearest {
    struct span name;
    const char *best;
    unsigned distance;
};

struct nearest nearest_start(struct span name);
void nearest_offer(struct nearest *n, const char *candidate);
const char *nearest_answer(const struct nearest *n);  // NULL when nothing is similar

#endif
