#include "base/arena_scene.h"
#include "base/limits.h"
#include "wire/seqset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
assert_prints(const struct seqset *s, const char *want)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    seqset_print(s, &b);
    buf_put_char(&b, '\0');
    assert_string_equal(b.p, want);
    buf_done(&b);
}

static void
test_parse(void **unused)
{
    (void)unused;
    static const struct {
        const char *in;
        uint32_t star;
        const char *want;  // NULL: refused
    } rows[] = {
        {"1", 9, "1"},
        {"1:3,5", 9, "1:3,5"},
        {"5,1:3", 9, "1:3,5"},
        {"3:1,4", 9, "1:4"},
        {"*", 9, "9"},
        {"*:7", 9, "7:9"},
        {"12:*", 9, "9:12"},
        {"1:*,*", 9, "1:9"},
        {"*", 0, ""},
        {"1:*", 0, ""},
        {"1:*,5", 0, "5"},
        {"1:4294967295", 9, "1:4294967295"},
        {"4294967295,4294967294", 9, "4294967294:4294967295"},
        {"1,1,1:2,2", 9, "1:2"},
        {"4294967296", 9, NULL},
        {"18446744073709551617", 9, NULL},
        {"0", 9, NULL},
        {"0:4", 9, NULL},
        {"01", 9, NULL},
        {"", 9, NULL},
        {",", 9, NULL},
        {"1,", 9, NULL},
        {"1:", 9, NULL},
        {":1", 9, NULL},
        {"1::2", 9, NULL},
        {"1:2:3", 9, NULL},
        {"**", 9, NULL},
        {"$", 9, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seqset s;
        struct fault f;
        enum result r = seqset_parse(span_str(rows[i].in), rows[i].star, arena, &s, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (rows[i].want)
            assert_prints(&s, rows[i].want);
        else
            assert_int_equal(f.kind, FAULT_BAD);
    }
}

static void
test_ranges_are_capped(void **unused)
{
    (void)unused;
    struct buf b;
    struct seqset s;
    struct fault f;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < LIMIT_seqset_ranges; i++)
        buf_put_str(&b, i ? ",7" : "7");
    assert_int_equal(seqset_parse(buf_span(&b), 9, arena, &s, &f), R_OK);
    assert_int_equal(s.count, 1);
    buf_put_str(&b, ",7");
    assert_int_equal(seqset_parse(buf_span(&b), 9, arena, &s, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    buf_done(&b);
}

// The set against a plain array of booleans, over many random additions.
static void
test_against_model(void **unused)
{
    (void)unused;
    enum { TOP = 60 };
    uint32_t seed = 1;
    for (int round = 0; round < 500; round++) {
        bool model[TOP + 12] = {false};
        struct seqset s;
        seqset_init(&s, arena);
        for (int i = 0; i < 12; i++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t first = 1 + (seed >> 8) % TOP, width = (seed >> 20) % 5;
            seqset_add_range(&s, first, first + width);
            for (uint32_t n = first; n <= first + width; n++)
                model[n] = true;
        }
        struct seqset_iter it = {0, 0};
        uint32_t got, size = 0;
        for (uint32_t n = 1; n < TOP + 12; n++) {
            assert_int_equal(seqset_contains(&s, n), model[n]);
            if (!model[n])
                continue;
            size++;
            assert_true(seqset_next(&s, &it, &got));
            assert_int_equal(got, n);
        }
        assert_false(seqset_next(&s, &it, &got));
        assert_int_equal(seqset_size(&s), size);
        for (uint32_t i = 1; i < s.count; i++)
            assert_true(s.ranges[i - 1].last + 1 < s.ranges[i].first);
    }
}

static void
test_round_trips(void **unused)
{
    (void)unused;
    static const char *const rows[] = {"", "1", "1:2,4,9:4294967295", "4294967295",
                                       "2,4,6,8,10:100"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seqset s, back, copy;
        struct fault f;
        struct buf b;
        seqset_init(&s, arena);
        if (*rows[i])
            assert_int_equal(seqset_parse(span_str(rows[i]), 1, arena, &s, &f), R_OK);
        buf_init(&b, 1000);
        seqset_put(&b, &s);
        struct unpack u = unpack_of(buf_span(&b));
        assert_int_equal(seqset_get(&u, arena, &back), R_OK);
        assert_int_equal(unpack_end(&u), R_OK);
        seqset_copy(&copy, arena, &back);
        assert_prints(&copy, rows[i]);
        for (size_t cut = 0; cut < b.n; cut++) {
            u = unpack_of(span_of(b.p, cut));
            assert_int_equal(seqset_get(&u, arena, &back), R_FAIL);
        }
        buf_done(&b);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_ranges_are_capped),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
