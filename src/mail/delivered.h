#ifndef MAIL_DELIVERED_H
#define MAIL_DELIVERED_H

// Delivered: which accounts of a recipient with several have a message already, until all of them have it. A transfer agent
// that comes again, since one of them could not take it or we were gone before the answer, gives nobody a second copy.
// A value of the account, `delivered/KEY`, set in the commit of the message; the key is of the octets as they came (without
// our trace fields, which are others each time), the sender and the detail. One that never ends is dropped after a week.
// Owner: the delivery. Threads: the account's home, but for the digest.

#include "mail/home.h"
#include "base/arena.h"
#include "store/record.h"

struct delivered_digest;  // SHA-256 of what comes
struct delivered_digest *delivered_digest_new(struct arena *a);
void delivered_digest_add(struct delivered_digest *d, struct span octets);

struct delivered_key {
    size_t n;
    char text[48];
};
// The digest can go on; its end is what was added until now.
struct delivered_key delivered_key_of(const struct delivered_digest *d, struct span sender,
                                      struct span detail);

// R_NONE: the account does not have it. *mailbox_out: where it came to.
enum result delivered_find(struct account *a, const struct delivered_key *key,
                           uint64_t *mailbox_out) MUST_CHECK;
// The value that goes with the message, for intake_commit_all: key and value are borrowed.
struct record_meta delivered_note(const struct delivered_key *key, uint64_t mailbox,
                                  struct buf *value);
// Suspends. The same by itself: the account has it by another recipient.
enum result delivered_put(struct account *a, const struct delivered_key *key,
                          uint64_t mailbox, struct fault *f) MUST_CHECK;
// All have it. From now on it is not found; the value goes within a moment.
void delivered_end(struct account *a, const struct delivered_key *key);

#endif
