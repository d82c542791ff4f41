#include "base/hash.h"
#include "base/zstd_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// Text with 32 letters of each, so that it becomes smaller; in a block of its own, so that a read behind it is noticed.
static char *
text_new(size_t n)
{
    char *p = calloc(1, n + 1);
    must(p != NULL);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + (i / 32) % 26);
    return p;
}

static char *
room_new(size_t n)
{
    char *p = calloc(1, n > 0 ? n : 1);
    must(p != NULL);
    return p;
}

static void
test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 1023, 1024, 65535, 65536, 65537, 3000000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i], max = zstd_pack_max(n);
        char *plain = text_new(n), *packed = room_new(max), *got = room_new(n);
        size_t m = zstd_pack(span_of(plain, n), 1, packed, max);
        assert_in_range(m, 1, max);
        assert_true(n < 1000 || m < n / 4);
        assert_int_equal(zstd_unpack(span_of(packed, m), got, n), R_OK);
        assert_memory_equal(got, plain, n);
        free(plain);
        free(packed);
        free(got);
    }
}

static void
test_no_room(void **state)
{
    enum { N = 5000 };
    char noise[N], out[N];
    (void)state;
    random_bytes(noise, sizeof noise);
    assert_int_equal(zstd_pack(span_of(noise, N), 1, out, N - N / 16), 0);
}

// Of another size than was said, cut, with something behind: refused, and nothing is written behind the room.
static void
test_refused(void **state)
{
    enum { N = 3000 };
    static const unsigned char skipped[] = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'},
                               draft[] = {0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0};
    size_t max = zstd_pack_max(N);
    char *plain = text_new(N), *packed = room_new(2 * max), *got = room_new(N);
    size_t m = zstd_pack(span_of(plain, N), 1, packed, max);
    (void)state;
    for (size_t cut = 0; cut < m; cut++)
        assert_int_equal(zstd_unpack(span_of(packed, cut), got, N), R_FAIL);
    char *small = room_new(N - 1);
    assert_int_equal(zstd_unpack(span_of(packed, m), small, N - 1), R_FAIL);
    free(small);
    assert_int_equal(zstd_unpack(span_of(packed, m), got, N + 1), R_FAIL);
    memcpy(packed + m, skipped, sizeof skipped);
    assert_int_equal(zstd_unpack(span_of(packed, m + sizeof skipped), got, N), R_FAIL);
    memcpy(packed + m, packed, m);
    assert_int_equal(zstd_unpack(span_of(packed, 2 * m), got, N), R_FAIL);
    memcpy(packed, draft, sizeof draft);
    assert_int_equal(zstd_unpack(span_of(packed, m), got, N), R_FAIL);
    free(plain);
    free(packed);
    free(got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
