#ifndef MAIL_EMAILIDS_H
#define MAIL_EMAILIDS_H

// All EMAILIDs of an account and whose octets they name: of messages that are there, expunged, or in deleted mailboxes,
// until they are forgotten. For restore, which brings EMAILIDs from outside: never two bodies under one (RFC 8474
// section 5.1). Ids that are given out after the load are new ones, so it stays good.
// Owner: one task. Memory: some 80 octets for each, in the budget.

#include "mail/user.h"

struct emailids;

// Suspends. FAULT_LIMIT: no memory for it now.
enum result emailids_load(struct account *a, struct emailids **out,
                          struct fault *f) MUST_CHECK;
void emailids_free(struct emailids **e);  // takes NULL

enum emailid_holder {
    EMAILID_FREE,
    EMAILID_SAME,   // it names these octets
    EMAILID_OTHER,  // or others, or what cannot be read
};
// Suspends: reads the message that has it. *threadid_out: its THREADID; set for EMAILID_SAME only.
enum emailid_holder emailids_find(struct emailids *e, uint64_t emailid, uint64_t size,
                                  struct span sha256, uint64_t *threadid_out);
// From now on it names these octets.
enum result emailids_put(struct emailids *e, uint64_t emailid, uint64_t threadid,
                         uint64_t size, struct span sha256, struct fault *f) MUST_CHECK;

#endif
