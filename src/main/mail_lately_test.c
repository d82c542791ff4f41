#include "main/mail_role.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { MANY = 50000 };

// What came before a time is gone, and nothing else, also where a number came twice.
static void
test_forget(void **state)
{
    (void)state;
    struct lately *all = NULL;
    assert_false(lately_has(all, 1));
    lately_forget(&all, UINT64_MAX);
    lately_add(&all, 1, 100);
    lately_add(&all, 2, 100);
    lately_add(&all, 1, 101);
    lately_forget(&all, 100);
    assert_true(lately_has(all, 1) && lately_has(all, 2) && !lately_has(all, 3));
    lately_forget(&all, 101);
    assert_true(lately_has(all, 1) && !lately_has(all, 2));
    lately_forget(&all, 102);
    assert_null(all);
}

static void
test_many(void **state)
{
    (void)state;
    struct lately *all = NULL;
    for (uint64_t i = 0; i < MANY; i++) {
        assert_false(lately_has(all, i * i));
        lately_add(&all, i * i, i);
    }
    lately_forget(&all, MANY / 2);
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(lately_has(all, i * i), i >= MANY / 2);
    lately_forget(&all, UINT64_MAX);
    assert_null(all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
