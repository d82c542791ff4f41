#include "io/loop.h"
#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

struct ring {  // two loops that post to each other
    struct loop *a, *b;
    int left;
};

static void ring_b(void *arg);

static void
ring_a(void *arg)
{
    struct ring *r = arg;
    if (--r->left > 0) {
        loop_post(r->b, ring_b, r);
        return;
    }
    loop_stop(r->b);
    loop_stop(r->a);
}

static void
ring_b(void *arg)
{
    struct ring *r = arg;
    loop_post(r->a, ring_a, r);
}

static void *
run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void
test_post_between_threads(void **state)
{
    (void)state;
    enum { TRIPS = 5000 };
    struct ring r = {loop_new(), loop_new(), TRIPS};
    pthread_t thread;
    loop_post(r.a, ring_a, &r);  // before loop_run
    assert_int_equal(pthread_create(&thread, NULL, run_loop, r.b), 0);
    uint64_t start = clock_mono_us();
    loop_run(r.a);
    print_message("loop_post: %.2f us per round trip between threads\n",
                  (double)(clock_mono_us() - start) / TRIPS);
    pthread_join(thread, NULL);
    assert_int_equal(r.left, 0);
    assert_null(loop_self());
    loop_free(&r.a);
    loop_free(&r.b);
    assert_null(r.a);
}

struct order {
    struct loop *loop;
    int next, wrong;
};

struct numbered {
    struct order *order;
    int number;
};

static void
check_order(void *arg)
{
    struct numbered *n = arg;
    n->order->wrong += n->order->next++ != n->number;
}

static void
test_posts_keep_their_order(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct order o = {loop_new(), 0, 0};
    static struct numbered all[N];
    for (int i = 0; i < N; i++) {
        all[i] = (struct numbered){&o, i};
        loop_post(o.loop, check_order, &all[i]);
    }
    loop_stop(o.loop);
    loop_run(o.loop);
    assert_int_equal(o.next, N);
    assert_int_equal(o.wrong, 0);
    loop_free(&o.loop);
}

struct alarm {
    struct timer timer;
    uint32_t delay_ms;
    uint64_t set_ms;
    int fired, late_ms;
    struct alarm *clears;  // the timer this one clears when it fires
    int *left;
};

static void
alarm_fired(void *arg)
{
    struct alarm *a = arg;
    uint64_t now = clock_mono_ms();
    a->fired++;
    a->late_ms = (int)(now - a->set_ms) - (int)a->delay_ms;
    if (a->clears)
        timer_clear(&a->clears->timer);
    if (a->left && --*a->left == 0)
        loop_stop(loop_self());
}

static void
alarm_set(struct alarm *a)
{
    a->set_ms = clock_mono_ms();
    timer_set(&a->timer, a->delay_ms);
}

static void
set_many(void *arg)
{
    struct alarm *all = arg;
    for (int i = 0; i < 300; i++)
        alarm_set(&all[i]);
}

static void
test_timers_never_early(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    static struct alarm all[300];
    int left = 300;
    for (int i = 0; i < 300; i++) {
        all[i] = (struct alarm){.delay_ms = (uint32_t)(i * 7 % 211), .left = &left};
        timer_init(&all[i].timer, alarm_fired, &all[i]);
    }
    loop_post(l, set_many, all);
    loop_run(l);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(all[i].fired, 1);
        assert_true(all[i].late_ms >= 0);
        assert_true(all[i].late_ms < 2000);  // a loaded machine, not the wheel
        assert_false(timer_is_set(&all[i].timer));
    }
    loop_free(&l);
}

// Rows of one slot: one fires and clears its neighbour that is due at the same time.
static void
set_rivals(void *arg)
{
    struct alarm *a = arg;
    for (int i = 0; i < 4; i++)
        alarm_set(&a[i]);
    alarm_set(&a[3]);  // setting again moves
    a[3].delay_ms = 40;
    alarm_set(&a[3]);
}

static void
test_timer_cleared_while_due(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct alarm a[4] = {
        {.delay_ms = 10}, {.delay_ms = 10}, {.delay_ms = 3600000}, {.delay_ms = 5}};
    int left = 1;
    for (int i = 0; i < 4; i++)
        timer_init(&a[i].timer, alarm_fired, &a[i]);
    a[0].clears = &a[1];
    a[1].clears = &a[0];
    a[3].clears = &a[2];
    a[3].left = &left;
    loop_post(l, set_rivals, a);
    loop_run(l);
    assert_int_equal(a[0].fired + a[1].fired, 1);
    assert_int_equal(a[2].fired, 0);
    assert_false(timer_is_set(&a[2].timer));
    assert_int_equal(a[3].fired, 1);
    assert_true(a[3].late_ms >= 0);
    loop_free(&l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_post_between_threads),
        cmocka_unit_test(test_posts_keep_their_order),
        cmocka_unit_test(test_timers_never_early),
        cmocka_unit_test(test_timer_cleared_while_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
