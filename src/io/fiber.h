#ifndef IO_FIBER_H
#define IO_FIBER_H

// A fiber is a stack and the point where it stopped: what a task runs on. For src/io/task.c only.
// Switching costs a few instructions (switch.S on x86-64 and aarch64, ucontext elsewhere) and no system
// call. AddressSanitizer, LeakSanitizer and ThreadSanitizer are told of every switch.
// Owner: fiber_pool_get .. fiber_pool_put. Threads: the loop's own.

#include <stdbool.h>
#include <stddef.h>

enum { FIBER_POOL_KEEP = 32 };

typedef void fiber_fn(void);

struct fiber {
    void *stack_pointer;  // while it does not run
    struct fiber *next;   // in the pool
    const void *bottom;   // of the stack, without the guard page
    size_t size;
    void *shadow;   // AddressSanitizer's fake stack while it does not run
    void *thread;   // ThreadSanitizer's fiber
    void *context;  // ucontext_t, where there is no switch.S
};

struct fiber_pool {
    struct fiber *idle;  // at most FIBER_POOL_KEEP; stacks beyond go back to the kernel
    unsigned idle_count;
    struct fiber outside;  // the loop's own stack
};

// A fiber that will run fn, which must never return; it leaves by a last fiber_switch.
struct fiber *fiber_pool_get(struct fiber_pool *p, fiber_fn *fn);
void fiber_pool_put(struct fiber_pool *p, struct fiber **f);
void fiber_pool_done(struct fiber_pool *p);

// `last` says that `from` will never run again.
void fiber_switch(struct fiber *from, struct fiber *to, bool last);
// The first thing a fiber's fn does.
void fiber_entered(void);

#endif
