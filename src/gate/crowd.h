#ifndef GATE_CROWD_H
#define GATE_CROWD_H

// The crowd is all connections before login, by age and by address: over a cap the oldest goes first, so that
// idle strangers cannot keep anybody out. IPv6 addresses count by their /64. The cap of an address holds over all gates,
// but each gate keeps room for a quarter of its share, so that in one that has just begun newcomers do not push out one
// another: an address has less than 1.25 times its cap.
// Owner: the gate. Threads: its loop. Trust: addresses are what the kernel says.

#include "gate/crowd_counts.h"
#include <sys/socket.h>

struct crowd_place;  // one address

struct crowd_member {
    struct crowd_member *older, *newer;  // of all; in the list while place is set
    struct crowd_member *place_older, *place_newer;  // of one address
    struct crowd_place *place;
};

struct crowd {
    struct crowd_member *oldest;  // head of all
    struct crowd_place *places;
    unsigned count, max, per_address_max;
    // of all gates; NULL: this is the only one
    struct crowd_counts *counts;
    unsigned gate, gates;
};

void crowd_init(struct crowd *c, unsigned max, unsigned per_address_max);
// The gate begins, as number `gate` of `gates`.
void crowd_share(struct crowd *c, struct crowd_counts *counts, unsigned gate,
                 unsigned gates);
// NULL: nobody knows yet from where it comes; it counts as an address of its own.
void crowd_join(struct crowd *c, struct crowd_member *m,
                const struct sockaddr_storage *address);
void crowd_leave(struct crowd *c, struct crowd_member *m);  // nothing when it is not in
// Who has to go before one more from this address may come; NULL when there is room.
struct crowd_member *crowd_surplus(const struct crowd *c,
                                   const struct sockaddr_storage *address);

#endif
