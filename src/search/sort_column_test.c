// Ranks of a column that grows in odd steps against the values themselves; what it costs; what two sorts of an account may hold.

#include "search/sort_column.h"

#include "base/budget.h"
#include "base/limits.h"
#include "search/sort_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { MESSAGES = 600, ROUNDS = 40 };

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
    struct sort_program program;
    struct mime_summary *summaries;
    struct sort_value *values;
    bool *in;
    struct column *column;
    size_t count;
};

static struct span
draw_text(struct scene *s)
{
    size_t n = draw(3) > 0 ? draw(4) : draw(40);
    char *p = arena_alloc(s->a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = "AB\0"[draw(3)];
    return span_of(p, n);
}

static struct message_row
row_of(size_t i)
{
    return (struct message_row){.uid = (uint32_t)i * 3 + 1,
                                .internal_date = (int64_t)i % 7};
}

static void
scene_begin(struct scene *s, enum sort_key key)
{
    *s = (struct scene){.a = arena_new()};
    sort_program_add(&s->program, key, false);
    s->summaries = arena_array(s->a, MESSAGES, sizeof *s->summaries);
    s->values = arena_array(s->a, MESSAGES, sizeof *s->values);
    s->in = arena_array(s->a, MESSAGES, sizeof *s->in);
    for (size_t i = 0; i < MESSAGES; i++) {
        struct message_row row = row_of(i);
        s->summaries[i] = (struct mime_summary){.base_subject = draw_text(s),
                                                .has_date = draw(2),
                                                .date = {.utc_s = (int64_t)draw(50) - 25}};
        sort_values_of(&s->program, &row, &s->summaries[i], s->a, &s->values[i]);
        s->in[i] = false;
    }
}

// Puts some messages in, also some that are there.
static void
grow(struct scene *s, uint32_t one_in)
{
    uint32_t uids[MESSAGES], which[MESSAGES], n = 0;
    struct sort *sort;
    struct column *longer;
    struct fault f;
    for (uint32_t i = 0; i < MESSAGES; i++)
        if (draw(one_in) == 0) {
            s->count += !s->in[i];
            s->in[i] = true;
            which[n++] = i;
        }
    assert_int_equal(sort_new(&s->program, n, &ledger, &sort, &f), R_OK);
    for (uint32_t i = 0; i < n; i++) {
        struct message_row row = row_of(which[i]);
        uids[i] = row.uid;
        assert_int_equal(sort_set(sort, i, &row, &s->summaries[which[i]], &f), R_OK);
    }
    assert_int_equal(sort_column_more(s->column, sort, 0, uids, &longer, &f), R_OK);
    column_unref(&s->column);
    s->column = longer;
    sort_free(&sort);
    assert_int_equal(longer->count, s->count);
    assert_true(budget_used(BUDGET_TABLES) >= column_memory(longer));
    assert_true(longer->shared >= 10 || s->program.list[0].key == SORT_DATE ||
                s->count < 10);
}

static void
check(const struct scene *s, const struct column *c)
{
    uint32_t uids[MESSAGES], ranks[MESSAGES];
    for (uint32_t i = 0; i < MESSAGES; i++)
        uids[i] = row_of(i).uid;
    assert_int_equal(sort_column_ranks(c, uids, MESSAGES, ranks), MESSAGES - s->count);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(ranks[i] != SORT_NO_RANK, s->in[i]);
        for (uint32_t k = 0; k < i && s->in[i]; k += 1 + draw(4)) {
            if (!s->in[k])
                continue;
            int want = sort_value_compare(&s->values[i], &s->values[k]);
            assert_int_equal((ranks[i] > ranks[k]) - (ranks[i] < ranks[k]),
                             (want > 0) - (want < 0));
        }
    }
}

static void
grow_and_check(enum sort_key key, uint64_t with)
{
    size_t before = budget_used(BUDGET_TABLES);
    struct scene s;
    seed = with;
    scene_begin(&s, key);
    check(&s, NULL);
    for (uint32_t round = 0; round < ROUNDS; round++) {  // more than there may be chunks
        grow(&s, round == 0 ? 1 + draw(20) : 60);
        check(&s, s.column);
    }
    column_unref(&s.column);
    arena_free(&s.a);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
    assert_int_equal(ledger.octets, 0);
}

static void
test_growth(void **state)
{
    (void)state;
    for (uint64_t with = 1; with < 5; with++) {
        grow_and_check(SORT_SUBJECT, with);
        grow_and_check(SORT_DATE, with);
    }
}

// Who holds an old column reads it on, its texts too.
static void
test_old_ones_stay(void **state)
{
    (void)state;
    struct scene s, then;
    seed = 7;
    scene_begin(&s, SORT_SUBJECT);
    grow(&s, 3);
    then = s;
    then.in = arena_array(s.a, MESSAGES, sizeof *then.in);
    memcpy(then.in, s.in, MESSAGES * sizeof *s.in);
    then.column = column_ref(s.column);
    for (uint32_t round = 0; round < ROUNDS; round++)
        grow(&s, 50);
    check(&then, then.column);
    column_unref(&then.column);
    check(&s, s.column);
    column_unref(&s.column);
    arena_free(&s.a);
}

static void
test_places(void **state)
{
    (void)state;
    uint32_t uids[] = {2, 4, 6, 8, 10, 12, 14};
    const struct column c = {.count = 7, .uids = uids};
    for (uint32_t uid = 0; uid < 17; uid++)
        for (uint32_t from = 0; from <= 7 && (from == 0 || uids[from - 1] < uid); from++)
            assert_int_equal(column_from(&c, from, uid),
                             uid < 15 ? (uid < 2 ? 0 : (uid - 1) / 2) : 7);
}

// A column that the budget does not allow leaves the old one as it is.
static void
test_budget(void **state)
{
    (void)state;
    struct scene s;
    struct sort *sort;
    struct column *longer = NULL;
    struct message_row row = row_of(1);
    struct fault f;
    seed = 8;
    scene_begin(&s, SORT_SUBJECT);
    grow(&s, 2);
    size_t with_chunks = budget_used(BUDGET_TABLES);
    assert_int_equal(sort_new(&s.program, 1, &ledger, &sort, &f), R_OK);
    assert_int_equal(sort_set(sort, 0, &row, &s.summaries[1], &f), R_OK);
    size_t used = budget_total();
    budget_limits(used + 3000, used + 3000);
    assert_int_equal(sort_column_more(s.column, sort, 0, &row.uid, &longer, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_null(longer);
    budget_limits(SIZE_MAX / 2, SIZE_MAX / 2);
    sort_free(&sort);
    assert_int_equal(budget_used(BUDGET_TABLES), with_chunks);
    check(&s, s.column);
    column_unref(&s.column);
    arena_free(&s.a);
}

// Sorts of one account share LIMIT_sort_octets; those of another one do not.
static void
test_ledger(void **state)
{
    (void)state;
    enum { MANY = 6000000 };
    static struct search_ledger other;
    struct sort_program p = {0};
    struct sort *sorts[3], *more;
    struct fault f = {0};
    sort_program_add(&p, SORT_SIZE, false);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sort_new(&p, MANY, &ledger, &sorts[i], &f), R_OK);
    assert_int_equal(sort_new(&p, MANY, &ledger, &more, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_true(ledger.octets <= LIMIT_sort_octets);
    assert_int_equal(sort_new(&p, MANY, &other, &sorts[2], &f), R_OK);
    sort_free(&sorts[0]);
    assert_int_equal(sort_new(&p, MANY, &ledger, &sorts[0], &f), R_OK);
    for (unsigned i = 0; i < 3; i++)
        sort_free(&sorts[i]);
    assert_int_equal(ledger.octets + other.octets, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth), cmocka_unit_test(test_old_ones_stay),
        cmocka_unit_test(test_places), cmocka_unit_test(test_budget),
        cmocka_unit_test(test_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
