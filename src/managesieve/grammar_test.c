#include "managesieve/grammar.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { LINE_MAX_ = 60, HELD_MAX_ = 80 };

struct want {
    struct span in;
    enum managesieve_end end;
    size_t size;  // of WHOLE
    bool dropped;
};

static const struct want rows[] = {
    {SPAN("NOOP\r\n"), MANAGESIEVE_WHOLE, 6, false},
    {SPAN("NOOP\nx"), MANAGESIEVE_WHOLE, 5, false},
    {SPAN("NOOP\r"), MANAGESIEVE_MORE, 0, false},
    {SPAN("\r\n"), MANAGESIEVE_WHOLE, 2, false},
    {SPAN("A {3+}\r\n\r\n\"\r\nB"), MANAGESIEVE_WHOLE, 13, false},
    {SPAN("A {3+}\nabc {1+}\n\n\n"), MANAGESIEVE_WHOLE, 18, false},
    {SPAN("A {0+}\r\n\r\n"), MANAGESIEVE_WHOLE, 10, false},
    {SPAN("A {3+}\r\nab"), MANAGESIEVE_MORE, 0, false},
    {SPAN("A {3+} \r\n"), MANAGESIEVE_WHOLE, 9, false},
    {SPAN("A {+}\r\n"), MANAGESIEVE_WHOLE, 7, false},
    {SPAN("A {3+}}\r\n"), MANAGESIEVE_WHOLE, 9, false},
    {SPAN("A {3}\r\n"), MANAGESIEVE_SYNC, 0, false},
    {SPAN("A \"{3}\r\n"), MANAGESIEVE_WHOLE, 8, false},
    {SPAN("A \"\\\"{3}\r\n"), MANAGESIEVE_WHOLE, 10, false},
    {SPAN("A \"\\\\\"{3}\r\n"), MANAGESIEVE_SYNC, 0, false},
    {SPAN("A {{3+}\r\nabc\r\n"), MANAGESIEVE_WHOLE, 14, false},
    {SPAN("A {10+}\r\n0123456789 {90+}\r\n"), MANAGESIEVE_MORE, 0, true},
    {SPAN("123456789012345678901234567890123456789012345678901234567890\n"),
     MANAGESIEVE_LONG, 0, false},
    {SPAN("A {70+}\r\n"
          "1234567890123456789012345678901234567890123456789012345678901234567890\r\nB"),
     MANAGESIEVE_WHOLE, 81, false},
    {SPAN("A {71+}\r\n"
          "1234567890123456789012345678901234567890123456789012345678901234567890x\r\nB"),
     MANAGESIEVE_WHOLE, 82, false},
    {SPAN("A {72+}\r\n"
          "123456789012345678901234567890123456789012345678901234567890123456789012 {2+}\n"
          "ab\r\nB"),
     MANAGESIEVE_WHOLE, 2, true},
    {SPAN("A {99999999999999999999999+}\r\nabc"), MANAGESIEVE_MORE, 0, true},
};

// Feeds `step` more octets each time; what is to be dropped goes off the front.
static enum managesieve_end
feed(struct managesieve_reader *r, struct span in, size_t step, size_t *size_out)
{
    enum managesieve_end end = MANAGESIEVE_MORE;
    size_t given = 0;
    while (given < in.n || end == MANAGESIEVE_DROP) {
        if (end != MANAGESIEVE_DROP)
            given = given + step < in.n ? given + step : in.n;
        end = managesieve_reader_feed(r, span_slice(in, 0, given), size_out);
        if (end == MANAGESIEVE_DROP) {
            assert_true(*size_out > 0 && *size_out <= given);
            in = span_skip(in, *size_out);
            given -= *size_out;
        } else if (end != MANAGESIEVE_MORE) {
            break;
        }
    }
    return end;
}

static void
test_ends_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step <= rows[i].in.n; step++) {
            struct managesieve_reader r;
            size_t size = 0;
            managesieve_reader_init(&r, LINE_MAX_, HELD_MAX_);
            assert_int_equal(feed(&r, rows[i].in, step, &size), rows[i].end);
            assert_int_equal(r.is_dropped, rows[i].dropped);
            if (rows[i].end == MANAGESIEVE_WHOLE && !rows[i].dropped)
                assert_int_equal(size, rows[i].size);
        }
    }
}

// Nobody sends for ever.
static void
test_endless(void **state)
{
    static const char chunk[1 << 20];
    struct managesieve_reader r;
    size_t size = 0;
    uint64_t sent = 0;
    (void)state;
    managesieve_reader_init(&r, LINE_MAX_, HELD_MAX_);
    enum managesieve_end end =
        managesieve_reader_feed(&r, SPAN("A {4294967295+}\r\n"), &size);
    for (; end == MANAGESIEVE_DROP; sent += sizeof chunk)
        end = managesieve_reader_feed(&r, span_of(chunk, sizeof chunk), &size);
    assert_int_equal(end, MANAGESIEVE_LONG);
    assert_true(sent >= LIMIT_stream_discard && sent < LIMIT_stream_discard + (4 << 20));
}

static void
test_words(void **state)
{
    struct arena *a = arena_new();
    struct managesieve_parse p = managesieve_parse_of(
        SPAN("Verb \"a\\\"\\\\b\" {3+}\r\n\r\n\0 \"\" 17 0 4294967295\r\n"), a);
    (void)state;
    assert_true(span_eq(managesieve_parse_atom(&p), SPAN("Verb")));
    assert_true(span_eq(managesieve_parse_string(&p), SPAN("a\"\\b")));
    assert_true(span_eq(managesieve_parse_string(&p), SPAN("\r\n\0")));
    struct span empty = managesieve_parse_string(&p);
    assert_true(empty.p != NULL && empty.n == 0);
    assert_int_equal(managesieve_parse_number(&p), 17);
    assert_int_equal(managesieve_parse_number(&p), 0);
    assert_true(managesieve_parse_more(&p));
    assert_int_equal(managesieve_parse_number(&p), UINT32_MAX);
    assert_false(managesieve_parse_more(&p));
    assert_true(managesieve_parse_end(&p));
    arena_free(&a);
}

static void
test_wrong_words(void **state)
{
    static const struct span strings[] = {
        SPAN(""),
        SPAN("\"a\""),
        SPAN(" \"a"),
        SPAN(" \"\\a\""),
        SPAN(" \"\xff\""),
        SPAN(" \"\0\""),
        SPAN(" a"),
        SPAN("  \"a\""),
        SPAN(" {3}\r\nabc"),
        SPAN(" {3+}\r\nab"),
        SPAN(" {03+}\r\nabc"),
        SPAN(" \"a\" "),
        SPAN(" \"a\"\"b\""),
        SPAN(" {3+}abc"),
        SPAN(" \"a\rb\""),
        SPAN(" {4294967296+}\r\n"),
    };
    struct arena *a = arena_new();
    (void)state;
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        struct managesieve_parse p = managesieve_parse_of(strings[i], a);
        (void)managesieve_parse_string(&p);
        assert_false(managesieve_parse_end(&p));
    }
    arena_free(&a);
}

static void
test_answers(void **state)
{
    char large[1026];
    struct buf b;
    (void)state;
    memset(large, 'x', sizeof large);
    buf_init(&b, SIZE_MAX);
    managesieve_put_answer(&b, "NO", "QUOTA/MAXSIZE", SPAN("a \"b\" \\"));
    managesieve_put_answer(&b, "OK", "", SPAN_NONE);
    managesieve_put_answer(&b, "NO", "", SPAN("a\r\nb"));
    managesieve_put_noop(&b, SPAN_NONE);
    managesieve_put_noop(&b, SPAN(""));
    managesieve_put_noop(&b, SPAN("\xff"));
    assert_true(
        span_eq(buf_span(&b), SPAN("NO (QUOTA/MAXSIZE) \"a \\\"b\\\" \\\\\"\r\nOK\r\n"
                                   "NO {4}\r\na\r\nb\r\nOK \"NOOP completed.\"\r\n"
                                   "OK (TAG \"\") \"Done.\"\r\n"
                                   "OK (TAG {1}\r\n\xff) \"Done.\"\r\n")));
    buf_reset(&b);
    managesieve_put_string(&b, span_of(large, 1024));
    assert_int_equal(b.n, 1026);
    managesieve_put_string(&b, span_of(large, 1025));
    assert_true(span_starts(span_skip(buf_span(&b), 1026), SPAN("{1025}\r\n")));
    buf_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_at_every_cut), cmocka_unit_test(test_endless),
        cmocka_unit_test(test_words), cmocka_unit_test(test_wrong_words),
        cmocka_unit_test(test_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
