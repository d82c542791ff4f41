#ifndef IO_TASK_H
#define IO_TASK_H

// A task is a stackful coroutine on its loop's thread: straight-line code that may suspend. Stacks are
// pooled, 64 KiB with a guard page; live tasks are capped (LIMIT_tasks). Deep recursion is forbidden.
// An account's tasks share a thread's time: one that has 50 busy ones gets no more of it than one that has one.
// Threads: a task never leaves its loop; task_wake may be called from any thread.

#include "base/fault.h"
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct task;
typedef void task_fn(void *arg);

// Starts fn(arg) on this thread's loop, at once, until its first suspension. At the cap of live tasks it
// is queued and started when one ends; it never fails.
void task_start(task_fn *fn, void *arg);
// The same in the share of an account; what a task starts is in the share of that task otherwise. It starts at once where
// the account has time left in this turn of the loop, else with its next share.
void task_start_for(uint64_t account, task_fn *fn, void *arg);
// The same for a task that others wait for: the cap does not hold it back, since they are what fills it. At most one for
// each of them.
void task_start_helper(uint64_t account, task_fn *fn, void *arg);
struct task *task_self(void);  // NULL outside a task

// Suspends until somebody calls task_wake. A wake that came before the suspend is remembered (one).
void task_suspend(void);
// Makes the task runnable: in this turn of the loop when its account's tasks run and have time left, else in the next;
// from other threads by loop_post.
// A wake of a task that is not suspended is remembered once. Waking a task that ended is a bug.
void task_wake(struct task *t);

// Suspends. Lets others run when this task had its slice (LIMIT_task_slice_ms); cheap otherwise.
void task_yield(void);
// For tests, process-wide: it does each time.
void task_test_yield(bool always);
// Suspends for a time.
void task_sleep(uint32_t ms);

// Suspends. Runs fn(arg) on the loop `l` in a task of its own and comes back when that task is done.
// Inline when `l` is this thread's loop. This is how an account's home is reached.
void task_run_on(struct loop *l, task_fn *fn, void *arg);

unsigned task_live(void);  // tasks of this thread
// How many tasks this thread has started; and which of them is the oldest that lives (UINT64_MAX: none does; 0: some wait to be started).
// When task_oldest() is above what task_count() was, no task is left of those that were there then.
uint64_t task_count(void);
uint64_t task_oldest(void);

// Pool: threads for calls that block (disk reads that miss the page cache, slow password hashes).
struct pool;
struct pool *pool_new(unsigned threads);
void pool_free(struct pool **p);
// Suspends. Runs fn(arg) on a pool thread; from outside a task it runs inline.
void pool_run(struct pool *p, task_fn *fn, void *arg);

#endif
