#include "auth/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct throttle *
throttle(void)
{
    struct throttle *t = NULL;
    struct fault f;
    assert_int_equal(throttle_new(true, SPAN("127.0.0.0/8 ::1  10.1.0.0/20"), &t, &f),
                     R_OK);
    return t;
}

static uint32_t
start(struct throttle *t, const char *address, const char *user, uint64_t now,
      struct attempt *a)
{
    return throttle_start(t, span_str(address), span_str(user), now, a);
}

static void
fail_once(struct throttle *t, const char *address, const char *user, uint64_t now)
{
    struct attempt a;
    start(t, address, user, now, &a);
    throttle_failure(t, &a, SPAN_NONE, now);
}

static void
test_delays_grow_and_are_forgotten(void **state)
{
    (void)state;
    static const uint32_t want_ms[] = {0, 2000, 4000, 8000, 15000, 15000, 15000};
    struct throttle *t = throttle();
    struct attempt a;
    uint64_t now = 1000;
    for (size_t i = 0; i < sizeof want_ms / sizeof want_ms[0]; i++) {
        assert_int_equal(start(t, "192.0.2.1", "ann", now, &a), want_ms[i]);
        now += want_ms[i];
        throttle_failure(t, &a, SPAN_NONE, now);
    }
    assert_int_equal(start(t, "192.0.2.1", "ann", now + 120001, &a), 0);
    throttle_cancel(t, &a);
    throttle_free(&t);
}

static void
test_who_waits_for_whom(void **state)
{
    (void)state;
    static const struct {
        const char *failing, *asking;
        uint32_t want_ms;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", 2000},
        {"192.0.2.1", "192.0.2.2", 0},
        {"::ffff:192.0.2.1", "192.0.2.1", 2000},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 2000},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", 0},
        {"127.0.0.1", "127.0.0.1", 0},
        {"127.9.9.9", "127.9.9.9", 0},
        {"::1", "::1", 0},
        {"10.1.15.255", "10.1.15.255", 0},
        {"10.1.16.0", "10.1.16.0", 2000},
        {"unix", "unix", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct throttle *t = throttle();
        struct attempt a;
        fail_once(t, rows[i].failing, "ann", 1000);
        assert_int_equal(start(t, rows[i].asking, "bob", 1000, &a), rows[i].want_ms);
        throttle_free(&t);
    }
}

static void
test_known_pair_does_not_wait(void **state)
{
    (void)state;
    struct throttle *t = throttle();
    struct attempt a;
    start(t, "192.0.2.1", "ann", 1000, &a);
    throttle_success(t, &a, 1000);
    fail_once(t, "192.0.2.1", "bob", 1000);
    assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a), 0);
    throttle_cancel(t, &a);
    assert_int_equal(start(t, "192.0.2.1", "carol", 1000, &a), 2000);
    throttle_cancel(t, &a);
    // Failures in her name cost her little: whoever sits behind the same address can make them.
    for (int i = 0; i < 3; i++) {
        assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a), i < 3 ? 0 : 4000);
        throttle_failure(t, &a, SPAN_NONE, 1000);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a), 4000);
        assert_true(a.good);
        throttle_failure(t, &a, SPAN_NONE, 1000);
    }
    assert_int_equal(start(t, "192.0.2.1", "carol", 1000, &a), 15000);
    assert_false(a.good);
    throttle_cancel(t, &a);
    assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a), 4000);
    throttle_success(t, &a, 1000);
    assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a), 0);
    throttle_free(&t);
}

// A phone with last month's password does not keep the household out; another password is another guess.
static void
test_the_same_wrong_password_counts_once(void **state)
{
    (void)state;
    struct throttle *t = throttle();
    struct attempt a;
    for (int i = 0; i < 50; i++) {
        start(t, "192.0.2.1", "ann", 1000, &a);
        assert_int_equal(throttle_failure(t, &a, SPAN("old"), 1000), i == 0 ? 0 : 2000);
    }
    assert_int_equal(start(t, "192.0.2.1", "bob", 1000, &a), 2000);
    throttle_failure(t, &a, SPAN("old"), 1000);  // another user's: a guess
    assert_int_equal(start(t, "192.0.2.1", "carol", 1000, &a), 4000);
    throttle_failure(t, &a, SPAN("new"), 1000);
    assert_int_equal(start(t, "192.0.2.1", "dora", 1000, &a), 8000);
    throttle_free(&t);
}

static void
test_user_failures_delay_refusals_only(void **state)
{
    (void)state;
    struct throttle *t = throttle();
    struct attempt a;
    fail_once(t, "192.0.2.1", "ann", 1000);
    fail_once(t, "192.0.2.2", "ann", 1000);
    assert_int_equal(start(t, "192.0.2.3", "ann", 1000, &a), 0);
    assert_int_equal(throttle_failure(t, &a, SPAN_NONE, 1500), 3500);
    throttle_free(&t);
}

static void
test_parallel_attempts_count(void **state)
{
    (void)state;
    struct throttle *t = throttle();
    struct attempt a[40];
    for (int i = 0; i < 16; i++)
        assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a[i]), 0);
    assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a[16]), 2000);
    throttle_failure(t, &a[0], SPAN_NONE, 1000);
    assert_int_equal(start(t, "192.0.2.1", "ann", 1000, &a[17]), 15000);
    throttle_free(&t);
}

static void
test_flood_stays_bounded(void **state)
{
    (void)state;
    struct throttle *t = throttle();
    char address[32];
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "198.%u.%u.%u", 18 + (i >> 16), i >> 8 & 255,
                 i & 255);
        fail_once(t, address, "ann", 1000 + i);
    }
    struct attempt a;
    assert_int_equal(start(t, address, "bob", 101000, &a), 2000);
    throttle_free(&t);
}

static void
test_wrong_networks(void **state)
{
    (void)state;
    static const char *const rows[] = {"10.0.0.0/33", "::/129",    "x",
                                       "10.0.0",      "10.0.0.0/", "10.0.0.0/8/8"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct throttle *t = NULL;
        struct fault f;
        assert_int_equal(throttle_new(true, span_str(rows[i]), &t, &f), R_FAIL);
        assert_null(t);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays_grow_and_are_forgotten),
        cmocka_unit_test(test_who_waits_for_whom),
        cmocka_unit_test(test_known_pair_does_not_wait),
        cmocka_unit_test(test_the_same_wrong_password_counts_once),
        cmocka_unit_test(test_user_failures_delay_refusals_only),
        cmocka_unit_test(test_parallel_attempts_count),
        cmocka_unit_test(test_flood_stays_bounded),
        cmocka_unit_test(test_wrong_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
