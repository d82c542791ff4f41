#ifndef IO_LOOP_H
#define IO_LOOP_H

// A loop is one thread's event loop (one libevent base). Everything that belongs to a loop is touched
// by its own thread only; other threads reach it through loop_post.
// Threads: loop_post and loop_stop from any; all else from the loop's own thread.

#include "base/fault.h"
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
typedef void loop_fn(void *arg);

struct loop *loop_new(void);
void loop_free(struct loop **l);
void loop_run(struct loop *l);  // until loop_stop; makes l this thread's loop
void loop_stop(struct loop *l);
struct loop *loop_self(void);  // this thread's loop, NULL outside one
struct event_base *loop_base(struct loop *l);

// Runs fn(arg) in the loop's thread, in the order posted. Never blocks, never fails.
void loop_post(struct loop *l, loop_fn *fn, void *arg);
// For tests, before loop_run: fn(arg) runs between any two things that the loop does, outside of every task.
void loop_test_between(struct loop *l, loop_fn *fn, void *arg);

// A timer is embedded in its owner and fires once; setting it again moves it. CLOCK_MONOTONIC, one
// wheel per loop, resolution about 8 ms (a timer never fires early).
struct timer {
    struct timer *next, **at;  // the wheel's slot list; at is NULL while unset
    uint64_t due_ms;
    loop_fn *fn;
    void *arg;
};
void timer_init(struct timer *t, loop_fn *fn, void *arg);
void timer_set(struct timer *t, uint32_t delay_ms);
void timer_clear(struct timer *t);
static inline bool
timer_is_set(const struct timer *t)
{
    return t->at != NULL;
}

#endif
