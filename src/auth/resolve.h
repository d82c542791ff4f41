#ifndef AUTH_RESOLVE_H
#define AUTH_RESOLVE_H

// Resolve follows an address through the table and the users' forwards to those who get its mail: each once, whatever loops
// there are. Bounded by LIMIT_address_depth and LIMIT_address_steps.
// Owner: results live in the caller's arena. Trust: the address is a stranger's, the table the administrator's.

#include "auth/lookup.h"
#include "base/arena.h"

struct resolve_target {
    uint64_t account;          // 0: it is elsewhere
    struct span name, detail;  // the user's name; or the address, with the detail in it
};

enum resolve_wish {
    RESOLVE_ALL,      // aliases and forwards: what a mail transfer agent should know
    RESOLVE_HERE,     // aliases; forwards of users are somebody else's business
    RESOLVE_SENDERS,  // who may send as it: users whom entries with send-as lead to
};

enum resolve_step {
    STEP_USER,
    STEP_FORWARD,
    STEP_DISABLED,
    STEP_ALIAS,
    STEP_DOMAIN,
    STEP_CATCH_ALL,
    STEP_REMOTE,
    STEP_UNKNOWN,
    STEP_AGAIN,  // it was there already, by another way
    STEP_LOOP,   // it was there already, on this way
};
// `to`: the user, the entry, or empty.
typedef void resolve_step_fn(void *arg, struct span address, enum resolve_step step,
                             struct span to);

struct resolve {
    struct userdb *db;
    const struct lookup_rules *rules;
    struct arena *arena;
    enum resolve_wish wish;
    resolve_step_fn *step;  // NULL: nobody wants to know
    void *arg;
};

// R_NONE: mail to it gets nowhere. FAULT_UNAVAILABLE: it only goes round; FAULT_LIMIT: it goes on too long, or to too many.
enum result resolve_address(const struct resolve *how, struct span address,
                            struct resolve_target **targets_out, size_t *n_out,
                            struct fault *f) MUST_CHECK;

#endif
