#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

// A tally collects how long each operation took. Owner: the struct that embeds it.

#include <stddef.h>
#include <stdint.h>

struct tally {
    uint32_t *us;
    size_t n, room;
};

void tally_add(struct tally *t, uint64_t us);
// The time that `percent` of the operations did not exceed, in ms. Sorts.
double tally_ms(struct tally *t, double percent);
void tally_done(struct tally *t);

#endif
