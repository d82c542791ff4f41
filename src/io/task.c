#include "io/loop_inside.h"

#include "base/clock.h"
#include "base/limits.h"
#include <utlist.h>

struct task {
    struct task *prev, *next;  // all of this thread, in the order of their numbers
    uint64_t number;
    struct fiber *fiber;
    struct fiber *back;  // where to go on when this task stops: who switched to it
    struct task *outer;  // the task that ran before, when this one was started inside it
    struct task *next_ready;
    struct share *share;
    struct loop *loop;
    task_fn *fn;
    void *arg;
    uint64_t slice_us;  // when this slice began
    bool running, ready, woken, yielding;
};

static struct task_room *
room(void)
{
    struct loop *l = loop_self();
    must(l != NULL);
    return &l->tasks;
}

struct task *
task_self(void)
{
    struct loop *l = loop_self();
    return l ? l->tasks.current : NULL;
}

unsigned
task_live(void)
{
    struct loop *l = loop_self();
    return l ? l->tasks.live : 0;
}

uint64_t
task_count(void)
{
    struct loop *l = loop_self();
    return l ? l->tasks.started : 0;
}

uint64_t
task_oldest(void)
{
    const struct loop *l = loop_self();
    if (!l || (!l->tasks.all && !l->tasks.waiting))
        return UINT64_MAX;
    return l->tasks.waiting ? 0 : l->tasks.all->number;
}

static struct fiber *
current_fiber(struct task_room *r)
{
    return r->current ? r->current->fiber : &r->fibers.outside;
}

// Leaves the current task for whoever switched to it.
static void
leave(struct task_room *r, struct task *t, bool last)
{
    t->running = false;
    r->current = t->outer;
    fiber_switch(t->fiber, t->back, last);
}

static void
body(void)
{
    fiber_entered();
    struct task_room *r = room();
    struct task *t = r->current;
    t->fn(t->arg);
    t->fn = NULL;
    leave(r, t, true);
    abort();  // a finished task was switched to
}

// The time up to now is the share's.
static void
charge(struct task_room *r, struct share *s, uint64_t now_us)
{
    if (s)
        s->left_us -= (int64_t)(now_us - r->since_us);
    r->since_us = now_us;
}

static void
task_free(struct task_room *r, struct task *t)
{
    must(!t->ready);  // it ended while somebody still wakes it
    DL_DELETE(r->all, t);
    share_put(r, t->share);
    fiber_pool_put(&r->fibers, &t->fiber);
    r->live--;
    free(t);
}

static void
resume(struct task_room *r, struct task *t)
{
    must(!t->running);
    if (!t->fiber)
        t->fiber = fiber_pool_get(&r->fibers, body);
    t->outer = r->current;
    t->back = current_fiber(r);
    t->running = true;
    t->woken = t->woken && t->yielding;
    t->yielding = false;
    t->slice_us = clock_mono_us();
    charge(r, t->outer ? t->outer->share : NULL, t->slice_us);
    r->current = t;
    fiber_switch(t->back, t->fiber, false);
    charge(r, t->share, clock_mono_us());
    if (!t->fn)
        task_free(r, t);
}

static void
make_ready(struct task_room *r, struct task *t)
{
    t->ready = true;
    t->next_ready = NULL;
    *t->share->ready.last = t;
    t->share->ready.last = &t->next_ready;
    share_queue(r, t->share);
}

static struct task *
task_new(struct task_room *r, uint64_t account, task_fn *fn, void *arg)
{
    struct task *t = calloc(1, sizeof *t);
    must(t != NULL);
    *t = (struct task){
        .loop = loop_self(), .share = share_get(r, account), .fn = fn, .arg = arg};
    t->number = ++r->started;
    DL_APPEND(r->all, t);
    r->live++;
    return t;
}

static void
wait_to_start(struct task_room *r, uint64_t account, task_fn *fn, void *arg)
{
    struct task_waiting *w = calloc(1, sizeof *w);
    must(w != NULL);
    *w = (struct task_waiting){.account = account, .fn = fn, .arg = arg};
    *r->waiting_last = w;
    r->waiting_last = &w->next;
}

static uint64_t
account_of(const struct task *t)
{
    return t ? t->share->account : 0;
}

void
task_start(task_fn *fn, void *arg)
{
    struct task_room *r = room();
    uint64_t account = account_of(r->current);
    if (r->live < LIMIT_tasks)
        resume(r, task_new(r, account, fn, arg));
    else
        wait_to_start(r, account, fn, arg);
}

void
task_start_helper(uint64_t account, task_fn *fn, void *arg)
{
    struct task_room *r = room();
    struct task *t = task_new(r, account, fn, arg);
    if (!t->share->queued && share_may_run(r, t->share))
        resume(r, t);
    else
        make_ready(r, t);
}

void
task_start_for(uint64_t account, task_fn *fn, void *arg)
{
    struct task_room *r = room();
    if (r->live < LIMIT_tasks)
        task_start_helper(account, fn, arg);
    else
        wait_to_start(r, account, fn, arg);
}

void
task_suspend(void)
{
    struct task_room *r = room();
    struct task *t = r->current;
    must(t != NULL);
    if (t->woken) {
        t->woken = false;
        return;
    }
    leave(r, t, false);
}

static void
wake_here(void *arg)
{
    struct task *t = arg;
    if (t->running || t->yielding)
        t->woken = true;
    else if (!t->ready)
        make_ready(&t->loop->tasks, t);
}

void
task_wake(struct task *t)
{
    if (t->loop == loop_self())
        wake_here(t);
    else
        loop_post(t->loop, wake_here, t);
}

static bool always_yields;

void
task_test_yield(bool always)
{
    always_yields = always;
}

void
task_yield(void)
{
    struct task *t = task_self();
    if (!t ||
        (!always_yields && clock_mono_us() - t->slice_us < LIMIT_task_slice_ms * 1000))
        return;
    struct task_room *r = room();
    if (always_yields)
        t->share->left_us = 0;  // as if its time were over: others have their turn
    make_ready(r, t);
    t->yielding = true;  // a wake that comes now is for the next suspend
    leave(r, t, false);
}

struct nap {
    struct task *task;
    bool over;
};

static void
nap_over(void *arg)
{
    struct nap *n = arg;
    n->over = true;
    task_wake(n->task);
}

void
task_sleep(uint32_t ms)
{
    struct nap nap = {task_self(), false};
    must(nap.task != NULL);
    struct timer timer;
    timer_init(&timer, nap_over, &nap);
    timer_set(&timer, ms);
    while (!nap.over)
        task_suspend();
}

struct errand {  // lives on the stack of the task that waits for it
    struct task *from;
    uint64_t account;
    task_fn *fn;
    void *arg;
    bool done;
};

static void
errand_back(void *arg)
{
    struct errand *e = arg;
    e->done = true;
    task_wake(e->from);
}

static void
errand_body(void *arg)
{
    struct errand *e = arg;
    e->fn(e->arg);
    loop_post(e->from->loop, errand_back, e);
}

static void
errand_arrived(void *arg)
{
    const struct errand *e = arg;
    task_start_helper(e->account, errand_body, arg);
}

void
task_run_on(struct loop *l, task_fn *fn, void *arg)
{
    if (l == loop_self()) {
        fn(arg);
        return;
    }
    struct errand e = {task_self(), account_of(task_self()), fn, arg, false};
    must(e.from != NULL);
    loop_post(l, errand_arrived, &e);
    while (!e.done)
        task_suspend();
}

void
task_room_init(struct task_room *r)
{
    r->queue_last = &r->queue;
    r->waiting_last = &r->waiting;
}

void
task_room_done(struct task_room *r)
{
    must(r->live == 0 && !r->waiting);
    r->turn += UINT32_MAX;  // every share has all its time again
    share_forget_idle(r);
    fiber_pool_done(&r->fibers);
}

static void
start_waiting(struct task_room *r)
{
    while (r->waiting && r->live < LIMIT_tasks) {
        struct task_waiting w = *r->waiting;
        free(r->waiting);
        r->waiting = w.next;
        if (!r->waiting)
            r->waiting_last = &r->waiting;
        make_ready(r, task_new(r, w.account, w.fn, w.arg));
    }
}

// Its ready tasks in order, and those that they wake, as long as the time lasts.
static void
run_share(struct task_room *r, struct share *s)
{
    s->tasks++;  // it stays while its tasks end
    s->running = true;
    while (s->ready.first && share_may_run(r, s)) {
        struct task *t = s->ready.first;
        s->ready.first = t->next_ready;
        if (!s->ready.first)
            s->ready.last = &s->ready.first;
        t->ready = false;
        resume(r, t);
        loop_between(loop_self());
    }
    s->running = false;
    if (s->ready.first)
        share_queue(r, s);
    share_put(r, s);
}

void
task_room_turn(struct task_room *r)
{
    r->turn++;
    share_forget_idle(r);
}

void
task_room_run(struct task_room *r)
{
    struct share *s = r->queue, *next;
    r->queue = NULL;
    r->queue_last = &r->queue;
    for (; s; s = next) {
        next = s->next;
        s->queued = false;
        run_share(r, s);
    }
    start_waiting(r);
}

bool
task_room_busy(const struct task_room *r)
{
    return r->queue || (r->waiting && r->live < LIMIT_tasks);
}
