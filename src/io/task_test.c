#include "io/stage.h"
#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct pair {
    struct task *a, *b;
    int trips;
};

static void
pair_b(void *arg)
{
    struct pair *p = arg;
    p->b = task_self();
    for (;;) {
        task_suspend();
        if (p->trips < 0)
            break;
        task_wake(p->a);
    }
    p->b = NULL;
    task_wake(p->a);
}

enum { TRIPS = 20000 };

static void
pair_a(void *arg)
{
    struct pair *p = arg;
    p->a = task_self();
    task_start(pair_b, p);
    uint64_t start = clock_mono_us();
    for (p->trips = 0; p->trips < TRIPS; p->trips++) {
        task_wake(p->b);
        task_suspend();
    }
    print_message("task: %.0f ns per wake and suspend, through the loop\n",
                  (double)(clock_mono_us() - start) * 1000 / TRIPS / 2);
    p->trips = -1;
    task_wake(p->b);
    while (p->b)
        task_suspend();
}

static void
test_ping_pong(void **state)
{
    (void)state;
    struct pair p = {0};
    on_stage(pair_a, &p);
    assert_null(p.b);
}

static void
nothing(void *arg)
{
    ++*(int *)arg;
}

static void
start_many(void *arg)
{
    uint64_t start = clock_mono_us();
    for (int i = 0; i < TRIPS; i++)
        task_start(nothing, arg);
    print_message("task: %.0f ns to start and end one (two switches)\n",
                  (double)(clock_mono_us() - start) * 1000 / TRIPS);
}

static void
test_start_runs_at_once(void **state)
{
    (void)state;
    int ran = 0;
    on_stage(start_many, &ran);
    assert_int_equal(ran, TRIPS);
}

static void
wake_before_suspend(void *arg)
{
    int *steps = arg;
    task_wake(task_self());
    task_wake(task_self());
    task_suspend();  // the remembered wake
    ++*steps;
    uint64_t before = clock_mono_ms();
    task_sleep(30);
    assert_true(clock_mono_ms() - before >= 30);
    ++*steps;
}

static void
test_wake_is_remembered_once(void **state)
{
    (void)state;
    int steps = 0;
    on_stage(wake_before_suspend, &steps);
    assert_int_equal(steps, 2);
}

struct hog {
    int turns[2], ended;
    struct task *waiter;
};

static void
hog_body(void *arg)
{
    struct hog *h = arg;
    int me = h->turns[0] > 0;
    uint64_t end = clock_mono_ms() + 10000;
    while ((h->turns[0] < 3 || h->turns[1] < 3) && clock_mono_ms() < end) {
        uint64_t before = clock_mono_us();
        task_yield();
        if (clock_mono_us() - before > 1000)
            h->turns[me]++;  // somebody else had a slice
        h->turns[me] += h->turns[me] == 0;
    }
    h->ended++;
    task_wake(h->waiter);
}

static void
hogs(void *arg)
{
    struct hog *h = arg;
    h->waiter = task_self();
    task_start(hog_body, h);
    task_start(hog_body, h);
    while (h->ended < 2)
        task_suspend();
}

static void
test_yield_is_fair(void **state)
{
    (void)state;
    struct hog h = {0};
    on_stage(hogs, &h);
    assert_true(h.turns[0] >= 3);
    assert_true(h.turns[1] >= 3);
}

static void
wake_arg(void *arg)
{
    task_wake(arg);
}

// A wake that comes while the task has yielded belongs to its next suspend.
static void
yield_keeps_wakes(void *arg)
{
    task_sleep(1);  // from here on it runs from the ready queue
    uint64_t start = clock_mono_us();
    while (clock_mono_us() - start < 3000)
        continue;
    loop_post(loop_self(), wake_arg, task_self());
    task_yield();
    task_suspend();
    ++*(int *)arg;
}

static void
test_yield_keeps_wakes(void **state)
{
    (void)state;
    int ran = 0;
    on_stage(yield_keeps_wakes, &ran);
    assert_int_equal(ran, 1);
}

struct far {
    struct loop *there;
    struct loop *seen;
    int count;
};

static void
far_body(void *arg)
{
    struct far *f = arg;
    f->seen = loop_self();
    f->count++;
    if (f->count % 16 == 0)
        task_sleep(1);  // it may suspend there
}

static void
far_run(void *arg)
{
    struct far *f = arg;
    for (int i = 0; i < 1000; i++)
        task_run_on(f->there, far_body, f);
    assert_ptr_equal(f->seen, f->there);
    f->there = loop_self();
    task_run_on(f->there, far_body, f);
    assert_ptr_equal(f->seen, loop_self());
}

static void *
run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void
test_run_on_another_loop(void **state)
{
    (void)state;
    struct loop *there = loop_new();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, there), 0);
    struct far f = {.there = there};
    on_stage(far_run, &f);
    assert_int_equal(f.count, 1001);
    loop_stop(there);
    pthread_join(thread, NULL);
    loop_free(&there);
}

struct chores {
    struct pool *pool;
    pthread_t loop_thread;
    int started, ended, wrong_thread;
    struct task *waiter;
};

static void
chore(void *arg)
{
    struct timespec ms = {0, 1000000};
    nanosleep(&ms, NULL);
    *(pthread_t *)arg = pthread_self();
}

static void
chore_task(void *arg)
{
    struct chores *c = arg;
    pthread_t ran_on = pthread_self();
    c->started++;
    pool_run(c->pool, chore, &ran_on);
    c->wrong_thread += pthread_equal(ran_on, c->loop_thread) != 0;
    if (++c->ended == 100)
        task_wake(c->waiter);
}

static void
chores_run(void *arg)
{
    struct chores *c = arg;
    c->waiter = task_self();
    for (int i = 0; i < 100; i++)
        task_start(chore_task, c);
    assert_int_equal(c->started, 100);  // none waited for another
    while (c->ended < 100)
        task_suspend();
}

static void
test_pool(void **state)
{
    (void)state;
    struct chores c = {.pool = pool_new(3), .loop_thread = pthread_self()};
    on_stage(chores_run, &c);
    assert_int_equal(c.wrong_thread, 0);
    pthread_t ran_on;
    pool_run(c.pool, chore, &ran_on);  // outside a task: inline
    assert_true(pthread_equal(ran_on, pthread_self()));
    pool_free(&c.pool);
    assert_null(c.pool);
}

// One account with many busy tasks, one with a single one: each has half of the time.
enum { BUSY = 40, BUSY_ACCOUNT = 7, LONE_ACCOUNT = 8 };

struct rivals {
    struct task *waiter;
    uint64_t busy_us, lone_us;
    unsigned ended;
    bool over;
};

static void
work(uint64_t *spent_us, const bool *over)
{
    while (!*over) {
        uint64_t start = clock_mono_us();
        while (clock_mono_us() - start < 500)
            ;
        *spent_us += clock_mono_us() - start;
        task_yield();
    }
}

static void
busy_task(void *arg)
{
    struct rivals *r = arg;
    work(&r->busy_us, &r->over);
    if (++r->ended == BUSY + 1)
        task_wake(r->waiter);
}

static void
lone_task(void *arg)
{
    struct rivals *r = arg;
    work(&r->lone_us, &r->over);
    if (++r->ended == BUSY + 1)
        task_wake(r->waiter);
}

static void
rivals_run(void *arg)
{
    struct rivals *r = arg;
    r->waiter = task_self();
    for (unsigned i = 0; i < BUSY; i++)
        task_start_for(BUSY_ACCOUNT, busy_task, r);
    task_start_for(LONE_ACCOUNT, lone_task, r);
    task_sleep(400);
    r->over = true;
    while (r->ended < BUSY + 1)
        task_suspend();
}

static void
test_accounts_share_the_time(void **state)
{
    (void)state;
    struct rivals r = {0};
    on_stage(rivals_run, &r);
    assert_true(r.lone_us > r.busy_us / 4);
    assert_true(r.busy_us > r.lone_us / 4);
}

// What a task wakes runs in the same turn: before what was posted for the next one.
struct chain {
    struct task *first, *second;
    int order[3];
    size_t n;
};

static void
chain_next_turn(void *arg)
{
    struct chain *c = arg;
    c->order[c->n++] = 3;
    task_wake(c->first);
}

static void
chain_second(void *arg)
{
    struct chain *c = arg;
    c->second = task_self();
    task_suspend();
    c->order[c->n++] = 2;
}

static void
chain_first(void *arg)
{
    struct chain *c = arg;
    c->first = task_self();
    task_start(chain_second, c);
    task_sleep(1);
    loop_post(loop_self(), chain_next_turn, c);
    task_wake(c->second);
    c->order[c->n++] = 1;
    task_suspend();
}

static void
test_woken_in_the_same_turn(void **state)
{
    (void)state;
    struct chain c = {0};
    on_stage(chain_first, &c);
    assert_int_equal(c.n, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(c.order[i], i + 1);
}

// Who has used his time waits; another account's task starts at once.
struct latecomer {
    struct rivals rivals;
    bool started;
};

static void
started(void *arg)
{
    *(bool *)arg = true;
}

static void
latecomer_run(void *arg)
{
    struct latecomer *l = arg;
    l->rivals.waiter = task_self();
    for (unsigned i = 0; i < BUSY + 1; i++)
        task_start_for(BUSY_ACCOUNT, busy_task, &l->rivals);
    task_start_for(BUSY_ACCOUNT, started, &l->started);
    assert_false(l->started);
    task_start_for(BUSY_ACCOUNT, started, &l->started);
    task_start_for(LONE_ACCOUNT, started, &l->started);
    assert_true(l->started);
    l->rivals.over = true;
    while (l->rivals.ended < BUSY + 1)
        task_suspend();
}

static void
test_used_time_delays_its_account_only(void **state)
{
    (void)state;
    struct latecomer l = {0};
    on_stage(latecomer_run, &l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_start_runs_at_once),
        cmocka_unit_test(test_wake_is_remembered_once),
        cmocka_unit_test(test_woken_in_the_same_turn),
        cmocka_unit_test(test_yield_is_fair),
        cmocka_unit_test(test_yield_keeps_wakes),
        cmocka_unit_test(test_run_on_another_loop),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_accounts_share_the_time),
        cmocka_unit_test(test_used_time_delays_its_account_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
