#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

// `posthorn doctor ADDRESS`: tries what mail clients do with an address, from the DNS over the documents of HTTP to the greeting of
// each server, and tells of each step what came of it. It knows nothing of this installation, so it can be asked of any
// address, from anywhere. No password is sent.
// Owner: the caller. Trust: what the DNS and the servers say is a stranger's: each answer is cut at a row of limits.def.
// Threads: any; blocks.

#include "base/arena.h"
#include "base/buf.h"

enum finding { FINDING_OK, FINDING_WARNING, FINDING_WRONG };

// hint: what to do; empty where nothing is to be done.
typedef void doctor_tell_fn(void *arg, const char *step, enum finding found,
                            struct span text, struct span hint);

struct doctor_options {
    const char
        *resolver;  // "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:53"; NULL: the system's
    const char *
        authorities;  // a PEM file of those that certificates are checked by; NULL: the system's
};

// R_OK: nothing was FINDING_WRONG; R_NONE: something was. R_FAIL: it is no address, or the options are wrong.
enum result doctor_visit(struct span address, const struct doctor_options *o,
                         doctor_tell_fn *tell, void *arg, struct fault *f) MUST_CHECK;

#endif
