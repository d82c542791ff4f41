#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
test_memory(void **state)
{
    (void)state;
    budget_limits(1000, 2000);
    budget_force(BUDGET_TABLES, 1500);
    assert_true(budget_over_soft() && !load_is_high());
    budget_force(BUDGET_TABLES, 1);
    assert_true(load_is_high());
    budget_give(BUDGET_TABLES, 1501);
    assert_false(load_is_high());
}

static void
test_pretended(void **state)
{
    (void)state;
    load_pretend(true);
    assert_true(load_is_high());
    load_pretend(false);
    assert_false(load_is_high());
}

// A timer that is late by a little is none of overload; a very late one is, for a while.
static void
test_late(void **state)
{
    (void)state;
    uint64_t now = clock_mono_ms();
    load_timer(now - LIMIT_load_late_ms, now);
    assert_false(load_is_high());
    load_timer(now - LIMIT_load_late_ms - 1, now - LIMIT_load_rest_ms);
    assert_false(load_is_high());
    load_timer(now - LIMIT_load_late_ms - 1, now);
    assert_true(load_is_high());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_pretended),
        cmocka_unit_test(test_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
