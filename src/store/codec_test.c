#include "store/codec.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void
test_round_trip(void **state)
{
    static const char *names[] = {"identity", "scramble"};
    char text[1000], coded[1100], back[1000];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t k = 0; k < 2; k++) {
        const struct codec *c = codec_by_name(names[k]);
        assert_non_null(c);
        assert_ptr_equal(codec_find(c->id), c);
        for (size_t n = 0; n < sizeof text; n += n / 7 + 1) {
            struct codec_context ctx = {.key_id = 1, .a = n, .b = 3};
            c->encode(&ctx, span_of(text, n), coded);
            assert_int_equal(c->decode(&ctx, span_of(coded, n + c->overhead), back), R_OK);
            assert_memory_equal(back, text, n);
        }
    }
}

static void
test_scramble_hides_and_notices(void **state)
{
    const struct codec *c = codec_by_name("scramble");
    struct codec_context ctx = {.a = 5, .b = 6}, other = {.a = 5, .b = 7};
    struct span text = SPAN("the quick brown fox jumps over the lazy dog");
    char coded[100], twin[100], back[100];
    (void)state;
    c->encode(&ctx, text, coded);
    c->encode(&other, text, twin);
    size_t n = text.n + c->overhead;
    assert_memory_not_equal(coded, twin, n);
    for (size_t i = 0; i + 4 < text.n; i++)  // no five octets of it stand there
        assert_int_equal(span_find(span_of(coded, n), span_slice(text, i, i + 5)), n);
    assert_int_equal(c->decode(&other, span_of(coded, n), back), R_FAIL);
    assert_int_equal(c->decode(&ctx, span_of(coded, n - 1), back), R_FAIL);
    assert_int_equal(c->decode(&ctx, span_of(coded, 7), back), R_FAIL);
    for (size_t i = 0; i < n; i++) {
        coded[i] ^= 1;
        assert_int_equal(c->decode(&ctx, span_of(coded, n), back), R_FAIL);
        coded[i] ^= 1;
    }
}

static void
test_unknown(void **state)
{
    (void)state;
    assert_null(codec_find(200));
    assert_null(codec_by_name("rot13"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_scramble_hides_and_notices),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
