#ifndef STORE_GATHER_H
#define STORE_GATHER_H

// Whom a group commit waits for. Writers that were answered together often write again at once; a group that begins with
// the first of them leaves the rest to the next one, and from then on two halves take turns, each waiting for the other's
// sync. So the journal waits for them: a part of a sync's time at most, for three quarters of those who wrote of late, and
// more and more seldom where they do not come.
// Threads: one, or under its owner's lock. Times: microseconds of one clock.

#include <stdint.h>

struct gather {
    unsigned wanted;    // batches; a wait for fewer than two is none
    uint64_t until_us;  // when a wait for them ends
    uint64_t round_us;  // what a round took, of late
    unsigned passes,
        pause;  // rounds that do not wait: now, and after the next wait in vain
};

// A round is over: so many batches were written in so long and answered; so many came meanwhile and wait.
void gather_round(struct gather *g, unsigned written, unsigned waiting, uint64_t took_us,
                  uint64_t now_us);
// How long to wait, when so many are there already. 0: begin the next round.
uint64_t gather_wait_us(const struct gather *g, unsigned waiting, uint64_t now_us);
// A wait ended with so many.
void gather_waited(struct gather *g, unsigned waiting);

#endif
