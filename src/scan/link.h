#ifndef SCAN_LINK_H
#define SCAN_LINK_H

// A mail thread's way to the role scan. Only who holds a thread's channel opens it; everybody in mail may ask.
// Threads: each thread has its own.

#include "scan/scan.h"

struct scan_link_ops {
    // The channel is gone, or has not come: the supervisor is to be asked for it.
    void (*lost)(void *arg);
    void *arg;
};
void scan_link_open(int fd, const struct scan_link_ops *ops);
void scan_link_close(void);

// Suspends. The descriptor is borrowed. R_FAIL: the role is away, also at a second try.
enum result scan_ask(enum scan_kind kind, struct span about, const struct scan_text *text,
                     struct buf *answer, enum scan_status *status_out,
                     struct fault *f) MUST_CHECK;

#endif
