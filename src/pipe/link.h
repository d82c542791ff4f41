#ifndef PIPE_LINK_H
#define PIPE_LINK_H

// A mail thread's way to the role pipe. Only who holds a thread's channel opens it; everybody in mail may ask.
// Threads: each thread has its own.

#include "pipe/pipe.h"

struct pipe_link_ops {
    // The channel is gone, or has not come: the supervisor is to be asked for it.
    void (*lost)(void *arg);
    void *arg;
};
void pipe_link_open(int fd, const struct pipe_link_ops *ops);
void pipe_link_close(void);

// A message of `size` octets, which is the whole file; the descriptor is borrowed.
struct pipe_message {
    int fd;
    uint64_t size;
};
// Suspends until the program has ended. R_FAIL: the role is away, or went away: then it may have run. What a program says, and why
// it did not run, is in the role's log.
enum result pipe_run(const struct pipe_call *c, const struct pipe_message *message,
                     enum pipe_status *status_out, struct fault *f) MUST_CHECK;

#endif
