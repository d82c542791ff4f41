#include "pop3/downgrade.h"
#include "pop3/stuff.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct {
    const char *message, *want;
    bool plain;
} rows[] = {
    {"A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n.\r\n", true},
    {"\r\nx\r\n", "\r\nx\r\n.\r\n", true},
    {"A: b\r\n\r\n.\r\n..\r\nx.\r\n", "A: b\r\n\r\n..\r\n...\r\nx.\r\n.\r\n", false},
    {".A: b\r\n\r\n", "..A: b\r\n\r\n.\r\n", false},
    {"A: b\n\n.\nx", "A: b\r\n\r\n..\r\nx\r\n.\r\n", false},
    {"A: b\r\n", "A: b\r\n\r\n.\r\n", false},
    {"A: b", "A: b\r\n\r\n.\r\n", false},
    {"A: b\r", "A: b\r\n\r\n.\r\n", false},
    {"", "\r\n.\r\n", false},
    {"\r", "\r\n\r\n.\r\n", false},
    {"\n", "\r\n.\r\n", false},
    {"A: b\r\n\r\n\rx\r\r\n", "A: b\r\n\r\n\rx\r\r\n.\r\n", true},
    {"A: "
     "b\r\n\r\n1234567890123456789012345678901234567890123456789012345678901234567890\r\n."
     "\r\n",
     "A: "
     "b\r\n\r\n1234567890123456789012345678901234567890123456789012345678901234567890\r\n"
     "..\r\n.\r\n",
     false},
};

// In pieces of every size.
static void
test_any_cut(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span m = span_str(rows[i].message);
        assert_int_equal(pop3_is_plain(m), rows[i].plain);
        for (size_t step = 1; step <= m.n + 1; step++) {
            struct pop3_stuff s = {0};
            buf_reset(&out);
            for (struct span rest = m; rest.n > 0; rest = span_skip(rest, step))
                assert_false(pop3_stuff_feed(&s, span_slice(rest, 0, step), &out));
            pop3_stuff_end(&s, &out);
            assert_true(span_eq(buf_span(&out), span_str(rows[i].want)));
        }
    }
    buf_done(&out);
}

static void
test_nul(void **state)
{
    struct pop3_stuff s = {0};
    struct buf out;
    (void)state;
    buf_init(&out, SIZE_MAX);
    assert_false(pop3_is_plain(span_of("\r\na\0b\r\n", 7)));
    (void)pop3_stuff_feed(&s, span_of("\r\na\0b\r\n", 7), &out);
    assert_true(span_eq(buf_span(&out), SPAN("\r\na\200b\r\n")));
    buf_done(&out);
}

static void
test_lines_of_top(void **state)
{
    static const char *const want[] = {"A: b\r\n\r\n.\r\n", "A: b\r\n\r\n1\r\n.\r\n",
                                       "A: b\r\n\r\n1\r\n..2\r\n.\r\n",
                                       "A: b\r\n\r\n1\r\n..2\r\n3\r\n.\r\n"};
    struct span m = SPAN("A: b\r\n\r\n1\r\n.2\r\n3");
    struct buf out;
    (void)state;
    buf_init(&out, SIZE_MAX);
    for (size_t n = 0; n < 8; n++) {
        struct pop3_stuff s = {.limited = true, .left = n < 4 ? n : UINT64_MAX};
        buf_reset(&out);
        for (size_t i = 0; i < m.n; i++)
            if (pop3_stuff_feed(&s, span_slice(m, i, i + 1), &out))
                break;
        pop3_stuff_end(&s, &out);
        assert_true(span_eq(buf_span(&out), span_str(want[n < 4 ? n : 3])));
    }
    buf_done(&out);
}

static void
test_header_size(void **state)
{
    (void)state;
    assert_int_equal(pop3_header_size(SPAN("A: b\r\n\r\nx")), 8);
    assert_int_equal(pop3_header_size(SPAN("A: b\n\nx")), 6);
    assert_int_equal(pop3_header_size(SPAN("\r\nx")), 2);
    assert_int_equal(pop3_header_size(SPAN("A: b\r\nx")), 7);
    assert_int_equal(pop3_header_size(SPAN("")), 0);
}

static void
test_downgrade(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, SIZE_MAX);
    pop3_downgrade(
        SPAN("A: b\r\nFrom: J\303\274 <j@x>\r\nTo: \"a\\\"b\" <c@d>, <\303\274@e>\r\n"
             "Subject: \377\r\nX\303\274: y\r\nZ: z\r\n\r\n"),
        &out);
    assert_true(ascii_only(buf_span(&out)));
    assert_true(span_starts(buf_span(&out), SPAN("A: b\r\nFrom: =?utf-8?")));
    assert_true(span_find(buf_span(&out), SPAN("?= <j@x>\r\n")) < out.n);
    assert_true(span_find(buf_span(&out), SPAN("\"a\\\"b\" <c@d>,\r\n =?")) < out.n);
    assert_true(span_find(buf_span(&out), SPAN("?=:;\r\nSubject: =?unknown-8bit?")) <
                out.n);
    assert_true(span_ends(buf_span(&out), SPAN("\r\nZ: z\r\n\r\n")));
    buf_reset(&out);
    pop3_downgrade(SPAN("From: \"Smith, Dr. J\303\274 (x)\" <j@x>\r\n\r\n"), &out);
    assert_true(
        span_eq(buf_span(&out),
                SPAN("From: \"Smith, Dr.\" =?utf-8?Q?J=C3=BC?= \"(x)\" <j@x>\r\n\r\n")));
    buf_done(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),      cmocka_unit_test(test_nul),
        cmocka_unit_test(test_lines_of_top), cmocka_unit_test(test_header_size),
        cmocka_unit_test(test_downgrade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
