#ifndef IO_LOOP_INSIDE_H
#define IO_LOOP_INSIDE_H

// The inside of a loop, for src/io only: what one turn runs, and in which order:
// posted functions, due timers, ready tasks, deferred work (conns write here), then the wait.
// Threads: the loop's own, but for `lock` and what stands behind it.

#include "io/fiber.h"
#include "io/loop.h"
#include "io/task.h"

#include <event2/event.h>
#include <pthread.h>

enum { WHEEL_SLOTS = 4096, WHEEL_TICK_MS = 8 };

struct wheel {
    struct timer *slots[WHEEL_SLOTS];
    uint64_t filled[WHEEL_SLOTS / 64];  // a bit per slot that may hold timers
    uint64_t tick;                      // the next tick to be looked at
};

// Work embedded in its owner that runs once, at the end of this turn.
struct deferred {
    struct deferred *next, **at;  // at is NULL while unset
    struct deferred_list *list;
    void (*fn)(struct deferred *d);
};

struct deferred_list {
    struct deferred *first, **last;
};

struct task_queue {
    struct task *first, **last;
};

struct task_waiting {  // not yet started: the cap of live tasks was reached
    struct task_waiting *next;
    task_fn *fn;
    void *arg;
};

// The tasks of one loop (task.c).
struct task_room {
    struct task *current;
    struct task_queue ready;
    struct task_waiting *waiting, **waiting_last;
    struct fiber_pool fibers;
    unsigned live;
};

struct post {
    loop_fn *fn;
    void *arg;
};

struct post_list {
    struct post *at;
    size_t n, cap;
};

struct loop {
    struct event_base *base;
    struct event *wake_event, *wait_event;
    struct wheel wheel;
    struct deferred_list deferred, at_end;
    struct task_room tasks;
    uint64_t wait_until_ms;  // what wait_event is set to, 0 when unset
    bool stopped;
    int wake_fd;
    pthread_mutex_t lock;
    struct post_list posted;    // under lock
    struct post_list draining;  // the loop's thread only
    bool signalled;             // under lock: wake_fd was written and not yet read
    bool posted_here;           // by its own thread, not run yet
};

void loop_defer(struct deferred *d, void (*fn)(struct deferred *d));
void loop_undefer(struct deferred *d);
// Runs fn(d) in loop_free: for what would otherwise outlive the loop.
void loop_at_end(struct deferred *d, void (*fn)(struct deferred *d));

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_run(struct wheel *w, uint64_t now_ms);
uint64_t
wheel_next_ms(const struct wheel *w);  // 0 when empty; never later than the next timer

void task_room_init(struct task_room *r);
void task_room_done(struct task_room *r);
void task_room_run(struct task_room *r);  // every task that is ready now, once
bool task_room_busy(const struct task_room *r);

#endif
