#ifndef IO_ASK_H
#define IO_ASK_H

// Questions to another role over a channel: each lives on the stack of the task that waits for its answer. A role that died is
// started again by the supervisor within a second, and has a new channel then.
// Owner: one for each thread that asks. Threads: its loop.

#include "io/channel.h"

struct task;

struct ask_question {
    struct ask_question *prev, *next;
    uint64_t request;
    struct task *task;
    bool done, failed;  // failed: the role fell meanwhile
};

struct ask_way {
    struct channel *channel;  // NULL: the role is away
    const char *role;         // for faults: "relay"
    // The channel is gone, or has not come: the supervisor is to be asked for it. May be NULL.
    void (*lost)(void *arg);
    void *arg;
    struct ask_question *questions;
    unsigned waiting;
    uint64_t last;
    bool missed;  // it was waited for in vain
};

// A channel that came. The arg of on_message is the way; who finds a message malformed calls ask_close. Questions under way fail
// when it ends.
void ask_open(struct ask_way *w, int fd, channel_fn *on_message);
void ask_close(struct ask_way *w);
// NULL: nobody asked so.
struct ask_question *ask_find(const struct ask_way *w, uint64_t request);
void ask_finish(struct ask_way *w, struct ask_question *q);

// Suspend.
// One of `most` places, within wait_ms (0: however long it takes). FAULT_UNAVAILABLE.
enum result ask_enter(struct ask_way *w, unsigned most, uint32_t wait_ms,
                      struct fault *f) MUST_CHECK;
void ask_leave(struct ask_way *w);
// The channel is there, within wait_ms; who asks after it was waited for in vain does not wait. FAULT_UNAVAILABLE.
enum result ask_await_role(struct ask_way *w, uint32_t wait_ms, struct fault *f) MUST_CHECK;
uint64_t ask_number(struct ask_way *w, struct ask_question *q);  // before it is sent
// R_NONE: the role fell meanwhile, and *f says so.
enum result ask_await(struct ask_way *w, struct ask_question *q,
                      struct fault *f) MUST_CHECK;

#endif
