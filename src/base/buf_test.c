#include "base/arena.h"
#include "base/buf.h"
#include "base/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
test_buf_cap_is_sticky(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    buf_put_str(&b, "1234");
    buf_put_str(&b, "56789");
    assert_true(b.over);
    assert_int_equal(b.n, 4);
    buf_put_char(&b, 'x');
    assert_int_equal(b.n, 4);
    buf_reset(&b);
    buf_put_str(&b, "12345678");
    assert_false(b.over);
    buf_consume(&b, 6);
    assert_true(span_eq(buf_span(&b), SPAN("78")));
    buf_done(&b);
}

static void
test_span_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum result want;
        uint32_t want_value;
    } rows[] = {
        {"0", R_OK, 0},
        {"4294967295", R_OK, UINT32_MAX},
        {"4294967296", R_FAIL, 0},
        {"18446744073709551617", R_FAIL, 0},
        {"", R_FAIL, 0},
        {"-1", R_FAIL, 0},
        {"1x", R_FAIL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t v = 0;
        assert_int_equal(span_to_u32(span_str(rows[i].in), &v), rows[i].want);
        assert_int_equal(v, rows[i].want_value);
    }
}

static void
test_pack_round_trip(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1024);
    uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < 8; i++)
        pack_var(&b, values[i]);
    pack_span(&b, SPAN("hello"));
    pack_u16(&b, 0xbeef);
    struct unpack u = unpack_of(buf_span(&b));
    for (size_t i = 0; i < 8; i++)
        assert_true(unpack_var(&u) == values[i]);
    assert_true(span_eq(unpack_span(&u), SPAN("hello")));
    assert_int_equal(unpack_u16(&u), 0xbeef);
    assert_int_equal(unpack_end(&u), R_OK);
    for (size_t cut = 0; cut < b.n; cut++) {  // every truncation is noticed
        struct unpack t = unpack_of(span_of(b.p, cut));
        for (size_t i = 0; i < 8; i++)
            unpack_var(&t);
        unpack_span(&t);
        unpack_u16(&t);
        assert_int_equal(unpack_end(&t), R_FAIL);
    }
    buf_done(&b);
}

static void
count_end(void *arg)
{
    ++*(int *)arg;
}

static void
test_arena_ends(void **state)
{
    (void)state;
    int ends = 0;
    struct arena *a = arena_new();
    arena_on_end(a, count_end, &ends);
    for (size_t i = 1; i < 3000; i += 7) {
        char *p = arena_alloc(a, i);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 1, i);
    }
    arena_reset(a);
    assert_int_equal(ends, 1);
    assert_true(span_eq(arena_dup(a, SPAN("abc")), SPAN("abc")));
    arena_free(&a);
    assert_null(a);
    assert_int_equal(ends, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_cap_is_sticky),
        cmocka_unit_test(test_span_numbers),
        cmocka_unit_test(test_pack_round_trip),
        cmocka_unit_test(test_arena_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
