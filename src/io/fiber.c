#include "io/fiber.h"

#include "base/budget.h"
#include "base/limits.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)  // clang's way of saying it
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(FIBER_UCONTEXT) || !(defined(__x86_64__) || defined(__aarch64__))
#define WITH_UCONTEXT 1
#include <ucontext.h>
#endif

// Instrumented frames are several times larger.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STACK_FACTOR = 4 };
#else
enum { STACK_FACTOR = 1 };
#endif

enum { STACK_SIZE = LIMIT_task_stack * STACK_FACTOR };

// ---- the switch itself ----

#ifdef WITH_UCONTEXT

static void
context_prepare(struct fiber *f, fiber_fn *fn)
{
    ucontext_t *u = f->context;
    must(getcontext(u) == 0);
    u->uc_stack.ss_sp = (void *)f->bottom;
    u->uc_stack.ss_size = f->size;
    makecontext(u, fn, 0);
}

static void
context_swap(struct fiber *from, struct fiber *to)
{
    if (!from->context)
        from->context = calloc(1, sizeof(ucontext_t));
    must(from->context != NULL && swapcontext(from->context, to->context) == 0);
}

static void
context_new(struct fiber *f)
{
    f->context = calloc(1, sizeof(ucontext_t));
    must(f->context != NULL);
}

#else

void fiber_swap(void **save, void *to);

// The frame that fiber_swap takes back at the first switch: zeroed registers and the entry address.
static void
context_prepare(struct fiber *f, fiber_fn *fn)
{
#if defined(__x86_64__)
    enum {
        WORDS = 8,
        ENTRY = 6
    };  // six registers, the entry, a return address of 0 for unwinders
#else
    enum { WORDS = 20, ENTRY = 11 };  // x19..x28, x29, x30 (the entry), d8..d15
#endif
    uintptr_t *frame = (uintptr_t *)((const char *)f->bottom + f->size) - WORDS;
    memset(frame, 0, WORDS * sizeof *frame);
    frame[ENTRY] = (uintptr_t)fn;
    f->stack_pointer = frame;
}

static void
context_swap(struct fiber *from, struct fiber *to)
{
    fiber_swap(&from->stack_pointer, to->stack_pointer);
}

static void
context_new(struct fiber *f)
{
    (void)f;
}

#endif

// ---- what the sanitizers are told ----

static _Thread_local struct fiber *came_from, *running;

static void
announce_switch(struct fiber *from, struct fiber *to, bool last)
{
    came_from = from;
    running = to;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(last ? NULL : &from->shadow, to->bottom, to->size);
#endif
#if defined(__SANITIZE_THREAD__)
    if (!from->thread)
        from->thread = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->thread, 0);
#endif
    (void)last;
}

void
fiber_entered(void)
{
#if defined(__SANITIZE_ADDRESS__)
    // Tells where the stack lies that was left: the only way to learn it for a thread's own.
    __sanitizer_finish_switch_fiber(running->shadow, &came_from->bottom, &came_from->size);
#endif
}

static void
announce_new(struct fiber *f)
{
    f->shadow = NULL;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(f->bottom, f->size);  // a task's last frames never return
#endif
#if defined(__SANITIZE_THREAD__)
    if (!f->thread)
        f->thread = __tsan_create_fiber(0);  // costs 400 us: it stays with the stack
#endif
}

void
fiber_switch(struct fiber *from, struct fiber *to, bool last)
{
    announce_switch(from, to, last);
    context_swap(from, to);
    fiber_entered();
}

// ---- stacks ----

static struct fiber *
stack_new(void)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, guard + STACK_SIZE, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    must(p != MAP_FAILED && mprotect(p + guard, STACK_SIZE, PROT_READ | PROT_WRITE) == 0);
    struct fiber *f = calloc(1, sizeof *f);
    must(f != NULL);
    f->bottom = p + guard;
    f->size = STACK_SIZE;
    context_new(f);
    budget_force(BUDGET_STACKS, STACK_SIZE);
#if defined(__SANITIZE_ADDRESS__)
    __lsan_register_root_region(f->bottom, f->size);
#endif
    return f;
}

static void
stack_free(struct fiber *f)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
#if defined(__SANITIZE_ADDRESS__)
    __lsan_unregister_root_region(f->bottom, f->size);
    __asan_unpoison_memory_region(f->bottom, f->size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(f->thread);
#endif
    must(munmap((char *)f->bottom - guard, guard + STACK_SIZE) == 0);
    budget_give(BUDGET_STACKS, STACK_SIZE);
    free(f->context);
    free(f);
}

struct fiber *
fiber_pool_get(struct fiber_pool *p, fiber_fn *fn)
{
    struct fiber *f = p->idle;
    if (f) {
        p->idle = f->next;
        p->idle_count--;
    } else {
        f = stack_new();
    }
    announce_new(f);
    context_prepare(f, fn);
    return f;
}

void
fiber_pool_put(struct fiber_pool *p, struct fiber **fp)
{
    struct fiber *f = *fp;
    *fp = NULL;
    if (p->idle_count >= FIBER_POOL_KEEP) {
        stack_free(f);
        return;
    }
    f->next = p->idle;
    p->idle = f;
    p->idle_count++;
}

void
fiber_pool_done(struct fiber_pool *p)
{
    while (p->idle) {
        struct fiber *f = p->idle;
        p->idle = f->next;
        stack_free(f);
    }
    p->idle_count = 0;
    free(p->outside.context);
    p->outside = (struct fiber){0};
}
