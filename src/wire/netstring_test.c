#include "wire/netstring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void
test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum netstring_state want;
        const char *want_body;
        size_t want_used;
    } rows[] = {
        {"5:hello,", NETSTRING_WHOLE, "hello", 8},
        {"5:hello,5:world,", NETSTRING_WHOLE, "hello", 8},
        {"0:,", NETSTRING_WHOLE, "", 3},
        {"1:,,", NETSTRING_WHOLE, ",", 4},
        {"10:0123456789,", NETSTRING_WHOLE, "0123456789", 14},
        {"", NETSTRING_MORE, NULL, 0},
        {"5", NETSTRING_MORE, NULL, 0},
        {"5:", NETSTRING_MORE, NULL, 0},
        {"5:hello", NETSTRING_MORE, NULL, 0},
        {"0:", NETSTRING_MORE, NULL, 0},
        {"10:0123456789", NETSTRING_MORE, NULL, 0},
        {"5:hello!", NETSTRING_BAD, NULL, 0},
        {"05:hello,", NETSTRING_BAD, NULL, 0},
        {"00:,", NETSTRING_BAD, NULL, 0},
        {"11:", NETSTRING_BAD, NULL, 0},
        {"123456789", NETSTRING_BAD, NULL, 0},
        {"9999999999:", NETSTRING_BAD, NULL, 0},
        {":", NETSTRING_BAD, NULL, 0},
        {"-1:,", NETSTRING_BAD, NULL, 0},
        {"5;hello,", NETSTRING_BAD, NULL, 0},
        {"x", NETSTRING_BAD, NULL, 0},
        {" 5:hello,", NETSTRING_BAD, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span body = SPAN("untouched");
        size_t used = 77;
        assert_int_equal(netstring_parse(span_str(rows[i].in), 10, &body, &used),
                         rows[i].want);
        bool whole = rows[i].want == NETSTRING_WHOLE;
        assert_true(span_eq(body, span_str(whole ? rows[i].want_body : "untouched")));
        assert_int_equal(used, whole ? rows[i].want_used : 77);
    }
}

static void
test_what_was_put_is_read(void **state)
{
    (void)state;
    struct buf b;
    struct span body;
    size_t used;
    buf_init(&b, 100);
    netstring_put(&b, SPAN("alias ann@x.org"));
    assert_true(span_eq(buf_span(&b), SPAN("15:alias ann@x.org,")));
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(netstring_parse(span_of(b.p, n), 15, &body, &used),
                         NETSTRING_MORE);
    assert_int_equal(netstring_parse(buf_span(&b), 15, &body, &used), NETSTRING_WHOLE);
    assert_true(span_eq(body, SPAN("alias ann@x.org")));
    assert_int_equal(netstring_parse(buf_span(&b), 14, &body, &used), NETSTRING_BAD);
    buf_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_what_was_put_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
