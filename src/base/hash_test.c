#include "base/hash.h"
#include "base/hash_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <xxhash.h>

// Every way of making it gives the library's value.
static void
test_hash64(void **state)
{
    enum { MOST = 70000 };
    (void)state;
    char *text = malloc(MOST);
    must(text != NULL);
    random_bytes(text, MOST);
    for (size_t n = 0; n <= MOST; n += n < 3000 ? 1 : 997) {
        struct span s = span_of(text, n);
        assert_int_equal(hash64(s), XXH3_64bits(s.p, s.n));
#ifdef HASH_AVX2
        if (__builtin_cpu_supports("avx2"))
            assert_int_equal(hash64_avx2(s), XXH3_64bits(s.p, s.n));
#endif
    }
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hash64)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
