#ifndef GATE_CROWD_COUNTS_H
#define GATE_CROWD_COUNTS_H

// How many connections before login each gate has of each address, in memory that all gates share, so that the cap of an
// address holds over all of them. An address has two counters in a gate's part, by hashes with a secret seed; the lower
// one counts. Owner: the supervisor. Threads: each gate writes its own part only. Trust: numbers are other gates', which
// may be taken over: at worst an address is refused too early or too late.

#include "base/limits.h"
#include "base/span.h"
#include <stdatomic.h>

enum { CROWD_COUNTERS = 32768, CROWD_HASHES = 2 };

struct crowd_counts {
    uint64_t seed[CROWD_HASHES];
    struct crowd_part {
        atomic_ushort of[CROWD_HASHES][CROWD_COUNTERS];
    } parts[LIMIT_processes];
};

void crowd_counts_init(struct crowd_counts *c);  // zeroed before
// A gate begins (again): nobody is there.
void crowd_counts_clear(struct crowd_counts *c, unsigned gate);
void crowd_counts_add(struct crowd_counts *c, unsigned gate, struct span address, int sign);
// Of all gates but this one.
unsigned crowd_counts_elsewhere(const struct crowd_counts *c, unsigned gate, unsigned gates,
                                struct span address);

#endif
