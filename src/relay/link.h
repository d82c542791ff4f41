#ifndef RELAY_LINK_H
#define RELAY_LINK_H

// A mail thread's way to the role relay, behind relay_hand_over.
// Threads: each thread has its own.

#include "relay/relay.h"

// Before any thread: is there a smarthost?
void relay_set(bool is_set);

struct relay_link_ops {
    // The channel is gone, or has not come: the supervisor is to be asked for it (relay/link.c waits meanwhile).
    void (*lost)(void *arg);
    // A report for a user here, of so many octets at `at` in fd, which is the callee's; relay_link_returned answers it.
    void (*returned)(void *arg, uint64_t request, struct span address, int fd, uint64_t at,
                     uint64_t size);
    void *arg;
};
void relay_link_open(int fd, const struct relay_link_ops *ops);
void relay_link_close(void);
void relay_link_returned(uint64_t request, uint8_t verdict);

// Suspends. A verb of `posthorn queue`, carried out by the role; its rows are put into `rows`.
enum result relay_link_verb(struct span verb, const struct span *args, size_t n,
                            struct buf *rows, struct fault *f) MUST_CHECK;

#endif
