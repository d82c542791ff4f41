#include "base/limits.h"
#include "wire/command.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct want {
    struct span in;
    enum command_state state;
    size_t size;
    enum fault_kind kind;
};

static const struct want rows[] = {
    {SPAN("a NOOP\r\n"), COMMAND_WHOLE, 8, 0},
    {SPAN("a NOOP\nb"), COMMAND_WHOLE, 7, 0},
    {SPAN("a NOOP\r"), COMMAND_MORE, 0, 0},
    {SPAN("a LOGIN {3}\r\n"), COMMAND_CONTINUE, 0, 0},
    {SPAN("a LOGIN {3+}\r\nbob {2+}\r\npw\r\nb"), COMMAND_WHOLE, 28, 0},
    {SPAN("a LOGIN \"x {3}\r\n"), COMMAND_WHOLE, 16, 0},
    {SPAN("a X {4294967296}\r\n"), COMMAND_REFUSED, 18, FAULT_TOOBIG},
    {SPAN("a X {99999999999999999999}\r\n"), COMMAND_REFUSED, 28, FAULT_TOOBIG},
    {SPAN("a X {4000000000+}\r\n"), COMMAND_FATAL, 19, FAULT_TOOBIG},
    {SPAN("a X {-1}\r\n"), COMMAND_WHOLE, 10, 0},
    {SPAN("a X {0001}\r\n"), COMMAND_CONTINUE, 0, 0},
    {SPAN("a X {0+}\r\n\r\n"), COMMAND_WHOLE, 12, 0},
    {SPAN("a X \0\r\n"), COMMAND_REFUSED, 7, FAULT_BAD},
    {SPAN("a X {1+}\r\n\0\r\n"), COMMAND_REFUSED, 13, FAULT_BAD},
    {SPAN("a X ~{1+}\r\n\0\r\n"), COMMAND_WHOLE, 14, 0},
    {SPAN("a APPEND box {10}\r\n"), COMMAND_STREAM, 19, 0},
    {SPAN("a append box (\\Seen) ~{9999999999+}\r\n"), COMMAND_STREAM, 37, 0},
    {SPAN("a APPEND {3+}\r\nbox {10}\r\n"), COMMAND_STREAM, 25, 0},
    {SPAN("a APPEND {3}\r\n"), COMMAND_CONTINUE, 0, 0},
    {SPAN("a APPEND \"my box\" {10}\r\n"), COMMAND_STREAM, 24, 0},
    {SPAN("a UID REPLACE 7 box {10}\r\n"), COMMAND_STREAM, 26, 0},
    {SPAN("\r\n"), COMMAND_WHOLE, 2, 0},
};

// Feeds `step` more octets each time, answering every request for a literal.
static enum command_state
feed(struct command_reader *r, struct span in, size_t step, size_t *size_out,
     bool *asked_out)
{
    enum command_state state = COMMAND_MORE;
    *asked_out = false;
    for (size_t n = step < in.n ? step : in.n;; n = n + step < in.n ? n + step : in.n) {
        while ((state = command_reader_feed(r, span_slice(in, 0, n), size_out)) ==
               COMMAND_CONTINUE)
            *asked_out = true;
        if (state != COMMAND_MORE || n == in.n)
            return state;
    }
}

static void
test_rows_at_every_cut(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t step = 1; step <= rows[i].in.n; step++) {
            struct command_reader r;
            size_t size = 0;
            bool asked;
            command_reader_init(&r, LIMIT_line, LIMIT_command);
            enum command_state state = feed(&r, rows[i].in, step, &size, &asked);
            enum command_state want =
                rows[i].state == COMMAND_CONTINUE ? COMMAND_MORE : rows[i].state;
            assert_int_equal(state, want);
            assert_int_equal(asked, rows[i].state == COMMAND_CONTINUE);
            if (want != COMMAND_MORE)
                assert_int_equal(size, rows[i].size);
            if (want == COMMAND_REFUSED || want == COMMAND_FATAL)
                assert_int_equal(r.kind, rows[i].kind);
        }
    }
}

static enum command_state
feed_text(const char *head, const char *repeated, size_t count, enum fault_kind *kind_out)
{
    struct buf b;
    struct command_reader r;
    size_t size;
    buf_init(&b, 8 << 20);
    buf_put_str(&b, head);
    for (size_t i = 0; i < count; i++)
        buf_put_str(&b, repeated);
    buf_put_str(&b, "\r\n");
    command_reader_init(&r, LIMIT_line, LIMIT_command);
    enum command_state state = command_reader_feed(&r, buf_span(&b), &size);
    *kind_out = r.kind;
    buf_done(&b);
    return state;
}

static void
test_floods_are_capped(void **unused)
{
    (void)unused;
    enum fault_kind kind;
    assert_int_equal(feed_text("a ID ", "(", 1000, &kind), COMMAND_REFUSED);
    assert_int_equal(kind, FAULT_LIMIT);
    assert_int_equal(feed_text("a ID ", "()", LIMIT_list_items + 1, &kind),
                     COMMAND_REFUSED);
    assert_int_equal(kind, FAULT_LIMIT);
    assert_int_equal(feed_text("a ID ", ")", 1000, &kind), COMMAND_WHOLE);
    assert_int_equal(feed_text("a X", "x", LIMIT_line, &kind), COMMAND_FATAL);
    assert_int_equal(kind, FAULT_TOOBIG);
    assert_int_equal(feed_text("a X", " {1+}\r\nx", LIMIT_literals + 1, &kind),
                     COMMAND_FATAL);
    assert_int_equal(kind, FAULT_LIMIT);
}

static void
test_rest_after_a_stream(void **unused)
{
    (void)unused;
    struct command_reader r;
    size_t size;
    command_reader_init(&r, LIMIT_line, LIMIT_command);
    assert_int_equal(command_reader_feed(&r, SPAN("a APPEND b (\\Seen) {5+}\r\n"), &size),
                     COMMAND_STREAM);
    assert_int_equal(r.literal.size, 5);
    assert_false(r.literal.sync);
    command_reader_rest(&r);
    assert_int_equal(command_reader_feed(&r, SPAN(" (\\Draft) {7}\r\n"), &size),
                     COMMAND_STREAM);
    assert_true(r.literal.sync);
    assert_int_equal(r.literal.size, 7);
    command_reader_rest(&r);
    assert_int_equal(command_reader_feed(&r, SPAN("\r\nb NOOP\r\n"), &size), COMMAND_WHOLE);
    assert_int_equal(size, 2);
}

static void
test_tags(void **unused)
{
    (void)unused;
    assert_true(span_eq(command_tag(SPAN("a1 NOOP\r\n")), SPAN("a1")));
    assert_true(span_eq(command_tag(SPAN("a+ NOOP\r\n")), SPAN("*")));
    assert_true(span_eq(command_tag(SPAN("(\r\n")), SPAN("*")));
    assert_true(span_eq(command_tag(SPAN("\r\n")), SPAN("*")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_at_every_cut),
        cmocka_unit_test(test_floods_are_capped),
        cmocka_unit_test(test_rest_after_a_stream),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
