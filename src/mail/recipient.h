#ifndef MAIL_RECIPIENT_H
#define MAIL_RECIPIENT_H

// A recipient before the message is there: for LMTP's RCPT and the policy service. Threads: any loop.

#include "mail/quota.h"

struct recipient {
    uint64_t account;
    struct span user;
};
// Suspends. May a message of so many octets (0: nobody said) be delivered, as far as quota goes? FAULT_OVERQUOTA. The
// delivery looks again.
enum result recipient_has_room(struct mail *m, const struct recipient *r, uint64_t octets,
                               struct fault *f) MUST_CHECK;

#endif
