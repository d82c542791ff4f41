#ifndef MAIN_AUTH_PACE_H
#define MAIN_AUTH_PACE_H

// The pace of refusals. Password hashes of different schemes take different times, so a refusal that left as soon as it
// is known would tell whose is which. All leave at the end of a step of time, and no sooner than the slowest hash takes
// that is known here: from measuring some of each scheme, and from what logins took in the last minutes.
// Threads: the role's loop.

#include <stdint.h>

struct auth_role;

struct pace {
    uint32_t floor_ms;           // measured
    uint32_t now_ms, before_ms;  // the slowest in this window, and in the one before
    uint64_t since_ms;           // when the window began
};

// A hash took so long, its turn on the pool included.
void pace_learn(struct pace *p, uint64_t took_ms, uint64_t now_ms);
// How long after its question a refusal leaves that is ready after `spent_ms`.
uint32_t pace_leave_ms(struct pace *p, uint64_t spent_ms, uint64_t now_ms);

// Measures hashes of the schemes that users have, on the pool, one after the other; pace_learn hears the rest.
// On the loop, not in a task.
void pace_measure(struct auth_role *role);

#endif
