#ifndef IO_LOOP_INSIDE_H
#define IO_LOOP_INSIDE_H

// The inside of a loop, for src/io only: what one turn runs, and in which order:
// posted functions, due timers, ready tasks, deferred work (conns write here), then the wait.
// Threads: the loop's own, but for `lock` and what stands behind it.

#include "base/table.h"
#include "io/fiber.h"
#include "io/loop.h"
#include "io/task.h"

#include <event2/event.h>
#include <event2/event_struct.h>
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
    struct deferred mark;  // while the list is run: the end of what was in it then
};

// A descriptor's event, and what it waits for: EV_READ | EV_WRITE, or 0.
struct armed {
    struct event event;
    short what;
};

struct task_queue {
    struct task *first, **last;
};

struct task_waiting {  // not yet started: the cap of live tasks was reached
    struct task_waiting *next;
    uint64_t account;
    task_fn *fn;
    void *arg;
};

// What one account, with all its tasks, has of the thread (share.c).
struct share {
    UT_hash_handle hh;
    uint64_t account;  // 0: nobody's
    uint64_t turn;     // when left_us was true
    int64_t left_us;   // of its time in this turn; below 0 it took too much
    struct task_queue ready;
    unsigned tasks;
    bool queued, resting, running;
    struct share *next;          // in the queue of those that have ready tasks
    struct share *next_resting;  // those without tasks
};

// The tasks of one loop (task.c).
struct task_room {
    struct task *current;
    uint64_t since_us;  // the current task, or who started it, is charged from here on
    uint64_t turn;
    struct share *shares, *resting;
    struct share *queue, **queue_last;
    struct task_waiting *waiting, **waiting_last;
    struct fiber_pool fibers;
    struct task *all;  // that live, oldest first
    uint64_t started;
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
    struct post between;        // of tests; fn NULL: none
};

static inline void
loop_between(const struct loop *l)
{
    if (l->between.fn)
        l->between.fn(l->between.arg);
}

// From now on fn(fd, what, arg) is called for `what`, and no longer for what it was before.
void loop_arm(struct armed *a, int fd, short what, event_callback_fn fn, void *arg);
void loop_disarm(struct armed *a);

void loop_defer(struct deferred *d, void (*fn)(struct deferred *d));
void loop_undefer(struct deferred *d);
// Runs fn(d) in loop_free: for what would otherwise outlive the loop.
void loop_at_end(struct deferred *d, void (*fn)(struct deferred *d));

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_run(struct wheel *w, uint64_t now_ms);
uint64_t
wheel_next_ms(const struct wheel *w);  // 0 when empty; never later than the next timer

// One task more. The share stays until share_put.
struct share *share_get(struct task_room *r, uint64_t account);
void share_put(struct task_room *r, struct share *s);
void share_forget_idle(struct task_room *r);
// Has it time left in this turn?
bool share_may_run(const struct task_room *r, struct share *s);
void share_queue(struct task_room *r, struct share *s);  // it has ready tasks

void task_room_init(struct task_room *r);
void task_room_done(struct task_room *r);
// Every share that has ready tasks, as long as its time for this turn lasts.
void task_room_run(struct task_room *r);
void task_room_turn(struct task_room *r);  // a new turn begins
bool task_room_busy(const struct task_room *r);

#endif
