#include "auth/name.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
test_names(void **state)
{
    (void)state;
    static const struct {
        struct span in;
        const char *want;  // NULL: refused
    } rows[] = {
        {SPAN("ann"), "ann"},
        {SPAN("Ann.O'Neil@Example.ORG"), "ann.o'neil@example.org"},
        {SPAN("\xc3\x84nne"), "\xc3\xa4nne"},
        {SPAN("A\xcc\x88nne"), "\xc3\xa4nne"},                  // NFD in, NFC out
        {SPAN("\xef\xbc\xa1\xef\xbd\x8e\xef\xbd\x8e"), "ann"},  // full width
        {SPAN("x' OR 1=1--"), NULL},
        {SPAN("*)(uid=*"), "*)(uid=*"},
        {SPAN("%{env:home}"), "%{env:home}"},
        {SPAN(""), NULL},
        {SPAN("../bob"), NULL},
        {SPAN("a/b"), NULL},
        {SPAN("a b"), NULL},
        {SPAN("al\0ice"), NULL},
        {SPAN("a\r\nb"), NULL},
        {SPAN("a\x7f"), NULL},
        {SPAN("a\xc2\xa0z"), NULL},
        {SPAN("a\xe2\x80\x8bz"), NULL},  // zero width space
        {SPAN("a\xe2\x80\xaez"), NULL},  // right-to-left override
        {SPAN("a\xff"), NULL},
        {SPAN("\xed\xa0\x80"), NULL},  // surrogate
        {SPAN("\xef\xbc\x8f"), NULL},  // full-width '/'
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct name n;
        struct fault f;
        enum result r = name_of(rows[i].in, &n, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r == R_OK)
            assert_string_equal(n.text, rows[i].want);
        else
            assert_int_equal(f.kind, FAULT_BAD);
    }
}

static void
test_name_length(void **state)
{
    (void)state;
    char text[LIMIT_user_name + 1];
    struct name n;
    struct fault f;
    memset(text, 'A', sizeof text);
    assert_int_equal(name_of(span_of(text, LIMIT_user_name), &n, &f), R_OK);
    assert_int_equal(n.n, LIMIT_user_name);
    assert_int_equal(name_of(span_of(text, sizeof text), &n, &f), R_FAIL);
}

static void
test_name_is_stable(void **state)
{
    (void)state;
    static const uint32_t points[] = {0x130,  0x1e9e, 0x3a3, 0x212b, 0xfb01,
                                      0xff21, 0x1f80, 0x345, 0xac00, 0x1d400};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        char text[8] = {(char)(0xe0 | points[i] >> 12),
                        (char)(0x80 | (points[i] >> 6 & 63)),
                        (char)(0x80 | (points[i] & 63))};
        struct name once, twice;
        struct fault f;
        if (name_of(span_str(text), &once, &f) != R_OK)
            continue;
        assert_int_equal(name_of(name_span(&once), &twice, &f), R_OK);
        assert_string_equal(once.text, twice.text);
    }
}

static void
test_name_is_distinct(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool want;
    } rows[] = {
        {"ann", true},
        {"a%*", true},
        {"m\xc3\xbcller", true},
        {"stra\xc3\x9f"
         "e",
         true},
        {"\xe2\x93\x90nn", false},      // a circle around it
        {"\xf0\x9d\x90\x9ann", false},  // mathematical bold
        {"\xef\xac\x81nn", false},      // a ligature
        {"ann\xef\xb8\x8f", false},     // a variation selector
        {"an\xcd\x8fn", false},         // a grapheme joiner
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(name_is_distinct(span_str(rows[i].name)), rows[i].want);
}

static void
test_opaque(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"secret", "secret"},     {"a\xc2\xa0z", "a z"}, {"o\xcc\x88", "\xc3\xb6"},
        {"\xff\xfe", "\xff\xfe"}, {"MiXed", "MiXed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b;
        buf_init(&b, 4096);
        name_opaque(span_str(rows[i].in), &b);
        assert_true(span_eq(buf_span(&b), span_str(rows[i].want)));
        buf_done(&b);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_name_length),
        cmocka_unit_test(test_name_is_stable), cmocka_unit_test(test_name_is_distinct),
        cmocka_unit_test(test_opaque),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
