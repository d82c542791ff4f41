#ifndef GATE_CROWD_H
#define GATE_CROWD_H

// The crowd is all connections before login, by age and by address: over a cap the oldest goes first, so that
// idle strangers cannot keep anybody out. IPv6 addresses count by their /64.
// Owner: the gate. Threads: its loop. Trust: addresses are what the kernel says.

#include "base/span.h"
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
};

void crowd_init(struct crowd *c, unsigned max, unsigned per_address_max);
void crowd_join(struct crowd *c, struct crowd_member *m, const struct sockaddr *address);
void crowd_leave(struct crowd *c, struct crowd_member *m);  // nothing when it is not in
// Who has to go before one more from this address may come; NULL when there is room.
struct crowd_member *crowd_surplus(const struct crowd *c, const struct sockaddr *address);

#endif
