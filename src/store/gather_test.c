#include "store/gather.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { SYNC_US = 3000 };

// Writers come back some time after they were answered, all at once; each round takes one sync.
struct crowd {
    struct gather g;
    uint64_t now_us, back_us;
    unsigned waiting, answered, most_waited_us, waits;
};

// True: the answered came back within the wait.
static bool
come_back(struct crowd *c, uint64_t wait_us)
{
    bool back = c->back_us <= wait_us;
    c->now_us += back ? c->back_us : wait_us;
    c->waiting += back ? c->answered : 0;
    c->answered = back ? 0 : c->answered;
    return back;
}

// Writes what waits, after a wait where one is told; how many.
static unsigned
round_once(struct crowd *c)
{
    uint64_t wait_us = gather_wait_us(&c->g, c->waiting, c->now_us);
    if (wait_us > 0) {
        c->waits++;
        if (wait_us > c->most_waited_us)
            c->most_waited_us = (unsigned)wait_us;
        (void)come_back(c, wait_us);
        gather_waited(&c->g, c->waiting);
    }
    unsigned written = c->waiting;
    c->waiting = c->answered;  // while it syncs
    c->answered = written;
    c->now_us += SYNC_US;
    gather_round(&c->g, written, c->waiting, SYNC_US, c->now_us);
    return written;
}

// Half of the writers are a sync ahead of the others.
static struct crowd
two_halves(unsigned half, uint64_t back_us)
{
    return (struct crowd){
        .now_us = 1, .back_us = back_us, .waiting = half, .answered = half};
}

static void
test_two_halves_become_one(void **state)
{
    (void)state;
    struct crowd c = two_halves(4, 200);
    (void)round_once(&c);
    assert_int_equal(round_once(&c), 8);
    for (int i = 0; i < 100; i++) {
        // nobody waits now: the first that comes back begins, and the rest is waited for
        c.waiting = 1;
        c.answered = 7;
        assert_int_equal(round_once(&c), 8);
    }
    assert_true(c.most_waited_us <= SYNC_US / 3);
}

static void
test_one_writer_never_waits(void **state)
{
    (void)state;
    struct crowd c = {.now_us = 1, .waiting = 1};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(round_once(&c), 1);
        c.answered = 0;
        c.waiting = 1;
    }
    assert_int_equal(c.waits, 0);
}

// Clients far away: waiting is tried more and more seldom, and never given up.
static void
test_slow_writers(void **state)
{
    (void)state;
    struct crowd c = two_halves(4, 2 * SYNC_US);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(round_once(&c), 4);
    assert_in_range(c.waits, 10, 25);
    c.back_us = 200;
    unsigned most = 0;
    for (int i = 0; i < 200; i++) {
        unsigned written = round_once(&c);
        most = written > most ? written : most;
    }
    assert_int_equal(most, 8);
}

// A quarter of the writers may stay away.
static void
test_some_stay_away(void **state)
{
    (void)state;
    struct gather g = {0};
    gather_round(&g, 5, 3, SYNC_US, 10000);
    assert_int_equal(gather_wait_us(&g, 5, 10000), SYNC_US / 3);
    assert_int_equal(gather_wait_us(&g, 5, 10400), SYNC_US / 3 - 400);
    assert_int_equal(gather_wait_us(&g, 6, 10000), 0);
    assert_int_equal(gather_wait_us(&g, 5, 11000),
                     0);  // the time is over, and it stays over
    assert_int_equal(gather_wait_us(&g, 5, 5000000), 0);
}

// A disk that takes a second makes nobody wait for a third of it.
static void
test_the_longest_wait(void **state)
{
    (void)state;
    struct gather g = {0};
    gather_round(&g, 4, 4, 1000000, 10000);
    assert_int_equal(gather_wait_us(&g, 4, 10000), 3000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_halves_become_one),
        cmocka_unit_test(test_one_writer_never_waits),
        cmocka_unit_test(test_slow_writers),
        cmocka_unit_test(test_some_stay_away),
        cmocka_unit_test(test_the_longest_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
