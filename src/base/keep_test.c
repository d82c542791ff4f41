#include "base/keep.h"

#include "base/fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

// Built with KEEP_ALWAYS: pages of its own in every build.

enum { PIECES = 3000, ROUNDS = 40000, SPARE_PAGES = 8 * 4 };

static uint32_t
next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void
check_octets(const char *p, size_t n, char want)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p[i], want);
}

struct piece {
    char *p;
    size_t size;
    char mark;
};

// No two pieces share an octet, new ones are zero, and what grows or shrinks keeps what it had.
static void
replace(struct piece *piece, uint32_t *seed)
{
    size_t size = next_random(seed) % (KEEP_MAX + 200) + 1;
    size_t both = size < piece->size ? size : piece->size;
    if (piece->p)
        check_octets(piece->p, piece->size, piece->mark);
    if (next_random(seed) % 3 == 0) {
        piece->p = keep_grow(piece->p, piece->size, size);
        check_octets(piece->p, both, piece->mark);
        check_octets(piece->p + both, size - both, 0);
    } else {
        keep_free(piece->p, piece->size);
        piece->p = keep_new(size);
        check_octets(piece->p, size, 0);
    }
    assert_int_equal((uintptr_t)piece->p % 16, 0);
    piece->size = size;
    piece->mark = (char)(next_random(seed) | 1);
    memset(piece->p, piece->mark, size);
}

static void *
work(void *arg)
{
    uint32_t seed = *(uint32_t *)arg;
    struct piece *all = calloc(PIECES, sizeof *all);
    must(all != NULL);
    for (int i = 0; i < ROUNDS; i++)
        replace(&all[next_random(&seed) % PIECES], &seed);
    for (int i = 0; i < PIECES; i++) {
        if (all[i].p)
            check_octets(all[i].p, all[i].size, all[i].mark);
        keep_free(all[i].p, all[i].size);
    }
    free(all);
    return NULL;
}

static void
test_random(void **state)
{
    (void)state;
    uint32_t seeds[3] = {1, 2, 3};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &seeds[i]), 0);
    work(&seeds[2]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static size_t
resident_pages(char *const *all, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), resident = 0;
    const char *last = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned char in = 0;
        char *at = all[i] - (uintptr_t)all[i] % page;
        if (at != last && mincore(at, page, &in) == 0)
            resident += in & 1;
        last = at;
    }
    return resident;
}

// Pieces lie side by side, whatever the heap does meanwhile, and their pages go when they go.
static void
test_dense(void **state)
{
    (void)state;
    enum { SIZE = 160, N = 1000 };
    static char *all[N];
    for (int i = 0; i < N; i++) {
        void *other = calloc(1, 3000);
        all[i] = keep_new(SIZE);
        free(other);
    }
    size_t pages = resident_pages(all, N);
    assert_in_range(pages, 1, N * SIZE / 4096 + 5);
    for (int i = 0; i < N; i++)
        if (i % 12 != 0)
            keep_free(all[i], SIZE);
    size_t left = 0;
    for (int i = 0; i < N; i += 12) {
        *all[i] = (char)i;
        all[left++] = keep_move(all[i], SIZE);
        assert_int_equal(*all[left - 1], (char)i);
    }
    pages = resident_pages(all, left);
    assert_in_range(pages, 1, left * SIZE / 4096 + 5);
    for (size_t i = 0; i < left; i++)
        keep_free(all[i], SIZE);
    assert_in_range(resident_pages(all, left), 0, SPARE_PAGES);
}

// What comes and goes has the page it had.
static void
test_spare(void **state)
{
    (void)state;
    enum { SIZE = 1000 };
    char *p = keep_new(SIZE);
    for (int i = 0; i < 3; i++) {
        keep_free(p, SIZE);
        assert_int_equal(resident_pages(&p, 1), 1);
        assert_ptr_equal(keep_new(SIZE), p);
        check_octets(p, SIZE, 0);
        memset(p, 'x', SIZE);
    }
    keep_free(p, SIZE);
}

static void
test_span(void **state)
{
    (void)state;
    struct span s = keep_span(SPAN("INBOX")), empty = keep_span(SPAN_NONE);
    assert_true(span_eq(s, SPAN("INBOX")) && s.p[5] == '\0');
    assert_true(empty.p != NULL && empty.n == 0);
    keep_span_free(&s);
    keep_span_free(&empty);
    keep_span_free(&empty);
    assert_null(empty.p);
    char *text = keep_cstr(span_of("a\0bcdefghijklmnopq", 19));
    assert_string_equal(text, "a");
    keep_cstr_free(&text);
    keep_cstr_free(&text);
    assert_null(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_spare),
        cmocka_unit_test(test_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
