#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

// Penalties for guessing, after Dovecot's: failures from an address (IPv6: its /64) delay the next attempts
// from there by 2, 4, 8, then 15 s; failures of a user delay that user's refusals. They are forgotten after
// two quiet minutes. Nobody waits for the failures of other addresses once the password is right, and a pair
// of user and address that succeeded within a day does not wait for its neighbours' failures either: some in its own name
// are free, then each attempt waits 4 s and no longer, since a neighbour may have made them. The same wrong password
// again, from the same place, is a device that was not told of the new one: it counts once.
// Trusted addresses (loopback unless told otherwise) are exempt.
// Owner: the auth role. Trust: the keys are strangers' bytes (SipHash). Bounded by LIMIT_auth_penalties per
// kind: the oldest entry of a bucket goes. Threads: one.

#include "base/buf.h"

struct throttle;

// networks: "127.0.0.0/8 ::1 ..." that are exempt. R_FAIL (FAULT_BAD) names the one that is none.
enum result throttle_new(bool enabled, struct span networks, struct throttle **out,
                         struct fault *f) MUST_CHECK;
void throttle_enable(struct throttle *t, bool enabled);
void throttle_free(struct throttle **t);

// One attempt, from its start to its outcome.
struct attempt {
    uint64_t address, user, pair;  // keys; 0 address: exempt
    bool good;                     // the user has logged in from there within a day
    uint64_t start_ms;
};

// Milliseconds to wait before the password is looked at.
uint32_t throttle_start(struct throttle *t, struct span address, struct span user,
                        uint64_t now_ms, struct attempt *out);
void throttle_success(struct throttle *t, const struct attempt *a, uint64_t now_ms);
// Milliseconds to wait before the refusal is sent.
// `password`: what was wrong, where it is known.
uint32_t throttle_failure(struct throttle *t, const struct attempt *a, struct span password,
                          uint64_t now_ms);
// no outcome: aborted, server fault
void throttle_cancel(struct throttle *t, const struct attempt *a);

#endif
