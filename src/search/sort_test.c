// The order of a sort against a plain one, its stability, alike texts, and what it may cost.

#include "search/sort.h"

#include "base/budget.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { MANY = 3000 };

static struct search_ledger ledger;

static uint64_t seed;

static uint32_t
draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

struct scene {
    struct arena *a;
    size_t n;
    struct message_row *rows;
    struct mime_summary *summaries;
    struct sort_program program;
    struct sort_value *values;  // what the plain sort compares
};
static struct scene *plain;

static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = sort_compare(&plain->program, &plain->values[x * plain->program.n],
                             &plain->values[y * plain->program.n]);
    return order != 0 ? order : x < y ? -1 : 1;
}

static void
scene_begin(struct scene *s, size_t n)
{
    *s = (struct scene){.a = arena_new(), .n = n};
    s->rows = arena_array(s->a, n, sizeof *s->rows);
    s->summaries = arena_array(s->a, n, sizeof *s->summaries);
}

static struct sort *
sorted(struct scene *s, const uint32_t **order)
{
    struct sort *sort;
    struct fault f;
    assert_int_equal(sort_new(&s->program, s->n, &ledger, &sort, &f), R_OK);
    for (size_t i = s->n; i-- > 0;)
        assert_int_equal(sort_set(sort, i, &s->rows[i], &s->summaries[i], &f), R_OK);
    assert_int_equal(sort_order(sort, order, &f), R_OK);
    return sort;
}

static void
check_order(struct scene *s)
{
    const uint32_t *order;
    size_t before = budget_used(BUDGET_TABLES);
    struct sort *sort = sorted(s, &order);
    uint32_t *want = arena_array(s->a, s->n, sizeof *want);
    s->values = arena_array(s->a, s->n * s->program.n, sizeof *s->values);
    for (size_t i = 0; i < s->n; i++) {
        want[i] = (uint32_t)i;
        sort_values_of(&s->program, &s->rows[i], &s->summaries[i], s->a,
                       &s->values[i * s->program.n]);
    }
    plain = s;
    qsort(want, s->n, sizeof *want, compare);
    assert_memory_equal(order, want, s->n * sizeof *want);
    sort_free(&sort);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
}

// Texts that are alike: a few letters, NUL, long common fronts, ends at each place around a digit's.
static struct span
draw_text(struct scene *s)
{
    static const char letters[] = "aab\0";
    size_t n = draw(4) == 0 ? draw(60) : draw(9), same = draw(3) == 0 ? draw(100) : 0;
    char *p = arena_alloc(s->a, n + same + 1);
    memset(p, 'x', same);
    for (size_t i = 0; i < n; i++)
        p[same + i] = letters[draw(sizeof letters - 1)];
    return span_of(p, n + same);
}

static void
draw_message(struct scene *s, size_t i)
{
    s->rows[i] = (struct message_row){.uid = (uint32_t)i + 1,
                                      .size = draw(5),
                                      .modseq = draw(1000),
                                      .internal_date = (int64_t)draw(50) - 25};
    s->summaries[i] = (struct mime_summary){.base_subject = draw_text(s),
                                            .sort_from = draw_text(s),
                                            .display_to = draw_text(s),
                                            .has_date = draw(2),
                                            .date = {.utc_s = (int64_t)draw(50) - 25}};
}

static void
test_random_orders(void **state)
{
    (void)state;
    static const enum sort_key keys[] = {SORT_ARRIVAL, SORT_DATE, SORT_SUBJECT,
                                         SORT_FROM,    SORT_SIZE, SORT_DISPLAYTO,
                                         SORT_MODSEQ,  SORT_UID};
    for (seed = 1; seed < 60; seed++) {
        struct scene s;
        uint64_t round = seed;
        scene_begin(&s, round % 3 == 0 ? MANY : 1 + draw(100));
        for (size_t i = 0; i < s.n; i++)
            draw_message(&s, i);
        for (uint32_t k = 1 + draw(4); k > 0; k--)
            sort_program_add(&s.program, keys[draw(sizeof keys / sizeof *keys)], draw(2));
        check_order(&s);
        arena_free(&s.a);
        seed = round;
    }
}

static void
test_equal_ones_stay(void **state)
{
    (void)state;
    struct scene s;
    const uint32_t *order;
    scene_begin(&s, MANY);
    for (size_t i = 0; i < s.n; i++)
        s.rows[i].size = i % 3 == 0;
    sort_program_add(&s.program, SORT_SIZE, true);
    sort_program_add(&s.program, SORT_SIZE, false);  // says nothing
    assert_int_equal(s.program.n, 1);
    struct sort *sort = sorted(&s, &order);
    for (uint32_t i = 0; i < MANY / 3; i++)
        assert_int_equal(order[i], i * 3);
    assert_int_equal(order[MANY / 3], 1);
    assert_int_equal(order[MANY - 1], MANY - 1);
    sort_free(&sort);
    arena_free(&s.a);
}

static double
seconds_of(struct scene *s)
{
    const uint32_t *order;
    clock_t began = clock();
    struct sort *sort = sorted(s, &order);
    double took = (double)(clock() - began) / CLOCKS_PER_SEC;
    sort_free(&sort);
    return took;
}

// Texts of 8 KB that differ at their ends, or in a place that moves by one octet each: twice as many take twice as long.
static double
alike(size_t n, bool stairs)
{
    enum { LONG = 8000 };
    struct scene s;
    scene_begin(&s, n);
    for (size_t i = 0; i < n; i++) {
        char *p = arena_alloc(s.a, LONG);
        memset(p, 'x', LONG);
        p[stairs ? i % LONG : LONG - 1 - i % 8] = 'y';
        s.summaries[i].base_subject = span_of(p, LONG);
    }
    sort_program_add(&s.program, SORT_SUBJECT, false);
    double took = seconds_of(&s);
    arena_free(&s.a);
    return took;
}

static void
test_alike_texts(void **state)
{
    (void)state;
    for (int stairs = 0; stairs < 2; stairs++) {
        double small = alike(1000, stairs), large = alike(4000, stairs);
        assert_true(large < 16 * small + 1);
    }
}

// A million messages with subjects of 1 KB are refused, and nothing stays charged.
static void
test_too_much(void **state)
{
    (void)state;
    enum { TOO_MANY = 1000000, SUBJECT = 1000 };
    struct sort_program p = {0};
    struct message_row row = {0};
    char text[SUBJECT];
    struct mime_summary m = {.base_subject = span_of(text, SUBJECT)};
    struct sort *sort;
    struct fault f = {0};
    size_t before = budget_used(BUDGET_TABLES), i = 0;
    memset(text, 'a', sizeof text);
    sort_program_add(&p, SORT_SUBJECT, false);
    assert_int_equal(sort_new(&p, TOO_MANY, &ledger, &sort, &f), R_OK);
    while (i < TOO_MANY && sort_set(sort, i, &row, &m, &f) == R_OK)
        i++;
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_true(budget_used(BUDGET_TABLES) - before <= LIMIT_sort_octets);
    sort_free(&sort);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
    assert_int_equal(sort_new(&p, LIMIT_sort_octets, &ledger, &sort, &f), R_FAIL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_orders),
        cmocka_unit_test(test_equal_ones_stay),
        cmocka_unit_test(test_alike_texts),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
