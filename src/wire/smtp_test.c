#include "wire/smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
test_envelopes(void **unused)
{
    (void)unused;
    static const struct {
        struct span in;
        enum result want;
        const char *want_address, *want_local;
    } rows[] = {
        {SPAN("FROM:<a@b.c>"), R_OK, "a@b.c", "a"},
        {SPAN("from:  <a@b.c> SIZE=12 BODY=8BITMIME"), R_OK, "a@b.c", "a"},
        {SPAN("FROM:<>"), R_OK, "", ""},
        {SPAN("FROM:<@x,@y:a@b>"), R_OK, "a@b", "a"},
        {SPAN("FROM:<\"a b\\\"\"@c>"), R_OK, "a b\"@c", "a b\""},
        {SPAN("FROM:<J\xC3\xBC@c>"), R_OK, "J\xC3\xBC@c", "J\xC3\xBC"},
        {SPAN("FROM:<a@[IPv6:::1]>"), R_OK, "a@[IPv6:::1]", "a"},
        {SPAN("FROM:<postmaster>"), R_OK, "postmaster", "postmaster"},
        {SPAN("FROM:<\"\"@c>"), R_FAIL, "", ""},
        {SPAN("FROM:<@c>"), R_FAIL, "", ""},
        {SPAN("FROM:<a@>"), R_FAIL, "", ""},
        {SPAN("FROM:<a@b..>"), R_FAIL, "", ""},
        {SPAN("FROM:<a@b"), R_FAIL, "", ""},
        {SPAN("FROM:<a b@c>"), R_FAIL, "", ""},
        {SPAN("FROM:<a\x01@c>"), R_FAIL, "", ""},
        {SPAN("FROM:<a\xC3@c>"), R_FAIL, "", ""},
        {SPAN("FROM:a@b"), R_FAIL, "", ""},
        {SPAN("FROM <a@b>"), R_FAIL, "", ""},
        {SPAN("TO:<a@b>"), R_FAIL, "", ""},
        {SPAN("FROM:<a@b>x"), R_FAIL, "", ""},
        {SPAN("FROM:<a@b> =x"), R_FAIL, "", ""},
        {SPAN("FROM:<a@b> SIZE="), R_FAIL, "", ""},
        {SPAN("FROM:<a@b> A A A A A A A A A A A A A A A A A"), R_FAIL, "", ""},
    };
    struct arena *a = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct smtp_envelope e;
        struct fault f;
        assert_int_equal(smtp_envelope_parse(rows[i].in, "FROM", a, &e, &f), rows[i].want);
        if (rows[i].want != R_OK)
            continue;
        assert_true(span_eq(e.path.address, span_str(rows[i].want_address)));
        assert_true(span_eq(e.path.local, span_str(rows[i].want_local)));
    }
    struct smtp_envelope e;
    struct fault f;
    assert_int_equal(smtp_envelope_parse(SPAN("TO:<a@b> size=12 X"), "TO", a, &e, &f),
                     R_OK);
    assert_true(span_eq(smtp_param_find(&e, "SIZE")->value, SPAN("12")));
    assert_null(smtp_param_find(&e, "X")->value.p);
    assert_null(smtp_param_find(&e, "Y"));
    arena_free(&a);
}

static void
test_commands(void **unused)
{
    (void)unused;
    struct smtp_command c;
    assert_int_equal(smtp_command_parse(SPAN("LHLO  host \r\n"), &c), R_OK);
    assert_true(span_eq(c.verb, SPAN("LHLO")));
    assert_true(span_eq(c.args, SPAN("host")));
    assert_int_equal(smtp_command_parse(SPAN("QUIT\r\n"), &c), R_OK);
    assert_int_equal(c.args.n, 0);
    assert_int_equal(smtp_command_parse(SPAN("\r\n"), &c), R_FAIL);
    assert_int_equal(smtp_command_parse(SPAN("RSET\0\r\n"), &c), R_FAIL);
    assert_int_equal(smtp_line(SPAN("QUIT\r\nx")), 6);
    assert_int_equal(smtp_line(SPAN("QUIT\r")), 0);
    assert_int_equal(smtp_line(SPAN("\nQUIT\n")), 0);
    assert_int_equal(smtp_line(SPAN("A\nB\rC\r\nD\r\n")), 7);
}

static void
test_xtext(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(smtp_xtext_decode(SPAN("a+2Bb+3D"), &b), R_OK);
    assert_true(span_eq(buf_span(&b), SPAN("a+b=")));
    buf_reset(&b);
    assert_int_equal(smtp_xtext_decode(SPAN("gr\xC3\xBC+2B"), &b), R_OK);
    assert_true(span_eq(buf_span(&b), SPAN("gr\xC3\xBC+")));
    assert_int_equal(smtp_xtext_decode(SPAN("a+2"), &b), R_FAIL);
    assert_int_equal(smtp_xtext_decode(SPAN("a=b"), &b), R_FAIL);
    assert_int_equal(smtp_xtext_decode(SPAN("+2b"), &b), R_FAIL);
    buf_done(&b);
}

// Feeds pieces of `step` octets; returns the octets used.
static size_t
unstuff(struct span in, size_t step, struct buf *out, bool *done)
{
    struct smtp_data d;
    size_t used = 0;
    smtp_data_init(&d);
    while (used < in.n && !d.done) {
        struct span piece;
        size_t to = used - used % step + step;
        used += smtp_data_next(&d, span_slice(in, used, to), &piece);
        buf_put(out, piece);
    }
    *done = d.done;
    return used;
}

static void
test_data_at_every_cut(void **unused)
{
    (void)unused;
    static const struct {
        struct span in, want;
        size_t want_rest;  // octets after the end
        bool want_done;
    } rows[] = {
        {SPAN("a\r\n.\r\nQUIT\r\n"), SPAN("a\r\n"), 6, true},
        {SPAN(".\r\n"), SPAN(""), 0, true},
        {SPAN("..\r\n.\r\n"), SPAN(".\r\n"), 0, true},
        {SPAN("a\r\n..b\r\n.c\r\n.\r\n"), SPAN("a\r\n.b\r\nc\r\n"), 0, true},
        {SPAN("a\n.\nb\r\n.\r\n"), SPAN("a\n.\nb\r\n"), 0, true},
        {SPAN("a\n.\r\nb\r\n.\r\n"), SPAN("a\n.\r\nb\r\n"), 0, true},
        {SPAN("a\r.\r\nb\r\n.\r\n"), SPAN("a\r.\r\nb\r\n"), 0, true},
        {SPAN("a\r\n.\nb\r\n.\r\n"), SPAN("a\r\n\nb\r\n"), 0, true},
        {SPAN("a\r\n.\rb\r\n.\r\n"), SPAN("a\r\n\rb\r\n"), 0, true},
        {SPAN("a\r\n.\r\r\n.\r\n"), SPAN("a\r\n\r\r\n"), 0, true},
        {SPAN("a\r\r\n.\r\n"), SPAN("a\r\r\n"), 0, true},
        {SPAN("a\r\n."), SPAN("a\r\n"), 0, false},
        {SPAN("a\r\n.\r"), SPAN("a\r\n"), 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t step = 1; step <= rows[i].in.n; step++) {
            struct buf out;
            bool done;
            buf_init(&out, 200);
            size_t used = unstuff(rows[i].in, step, &out, &done);
            assert_int_equal(done, rows[i].want_done);
            assert_int_equal(rows[i].in.n - used, rows[i].want_rest);
            assert_true(span_eq(buf_span(&out), rows[i].want));
            buf_done(&out);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelopes),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_xtext),
        cmocka_unit_test(test_data_at_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
