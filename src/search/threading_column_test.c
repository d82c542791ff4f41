// Threading by a column that grew in odd steps against threading without one; hostile forms; what it costs.

#include "search/threading_column.h"

#include "base/budget.h"
#include "base/buf.h"
#include "search/threading_inside.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MESSAGES = 300, IDS = 80, LONG = 100000 };

static struct search_ledger ledger;
static uint64_t seed;

static uint32_t
draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static struct span
draw_ids(struct arena *a, uint32_t n)
{
    struct buf b;
    buf_init(&b, 4096);
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&b, "i%u%s", draw(IDS), draw(9) > 0 ? "@x" : "");  // or no id
        buf_put_char(&b, '\0');
    }
    struct span s = arena_dup(a, span_of(b.p, b.n > 0 ? b.n - 1 : 0));
    buf_done(&b);
    return s;
}

static struct threading_message
draw_message(struct arena *a, uint32_t number)
{
    static const char *const subjects[] = {"", "S", "T", "i1@x"};
    return (struct threading_message){.number = number,
                                      .sent_s = draw(20),
                                      .arrived_s = draw(20),
                                      .message_id = draw_ids(a, draw(8) > 0),
                                      .references = draw_ids(a, draw(3) * draw(3)),
                                      .in_reply_to = draw_ids(a, draw(2)),
                                      .subject = span_str(subjects[draw(4)]),
                                      .reply = draw(2)};
}

static uint32_t
uid_of(uint32_t i)
{
    return i * 2 + 1;
}

// Those drawn, and some that are there already.
static struct column *
grow(struct column *old, const struct threading_message *all, bool *in, uint32_t one_in)
{
    struct column *made;
    struct fault f;
    assert_int_equal(threading_column_begin(old, 5, &made, &f), R_OK);
    for (uint32_t i = 0; i < MESSAGES; i++)
        if (draw(one_in) == 0) {
            assert_int_equal(threading_column_add(made, uid_of(i), &all[i], &f), R_OK);
            in[i] = true;
        }
    assert_int_equal(threading_column_end(made, &f), R_OK);
    column_unref(&old);
    return made;
}

static void
finish(struct threading *t, struct buf *b)
{
    enum threading_step step;
    uint32_t number = 0;
    struct fault f;
    assert_int_equal(threading_build(t, &f), R_OK);
    while ((step = threading_next(t, &number)) != THREADING_END)
        if (step == THREADING_MEMBER)
            buf_printf(b, "%u ", number);
        else
            buf_put_char(b, step == THREADING_OPEN ? '(' : ')');
}

// A part of what is in it.
static void
compare(const struct column *c, const struct threading_message *all, const bool *in,
        enum threading_kind kind)
{
    struct arena *a = arena_new();
    struct threading *plain = threading_new(kind, 1, &ledger, a),
                     *known = threading_new(kind, 1, &ledger, a);
    struct buf want, got;
    struct fault f;
    uint32_t at = 0;
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    assert_int_equal(threading_by_column(known, c, &f), R_OK);
    for (uint32_t i = 0, one_in = 1 + draw(3); i < MESSAGES; i++) {
        if (!in[i] || draw(one_in) > 0)
            continue;
        at = column_from(c, at, uid_of(i));
        assert_int_equal(c->uids[at], uid_of(i));
        assert_int_equal(threading_add(plain, &all[i], &f), R_OK);
        assert_int_equal(threading_add_known(known, c, all[i].number, at, &f), R_OK);
    }
    finish(plain, &want);
    finish(known, &got);
    if (!span_eq(buf_span(&want), buf_span(&got)))
        fail_msg("kind %d:\n%.*s\n%.*s", (int)kind, SPAN_ARG(buf_span(&want)),
                 SPAN_ARG(buf_span(&got)));
    buf_done(&want);
    buf_done(&got);
    arena_free(&a);
}

static void
test_growth(void **state)
{
    size_t before = budget_used(BUDGET_TABLES);
    (void)state;
    for (uint64_t with = 1; with < 30; with++) {
        struct arena *a = arena_new();
        struct threading_message *all = arena_array(a, MESSAGES, sizeof *all);
        bool in[MESSAGES] = {false};
        struct column *c = NULL;
        seed = with;
        for (uint32_t i = 0; i < MESSAGES; i++)
            all[i] = draw_message(a, i + 1);
        for (uint32_t round = 0; round < 6; round++) {
            c = grow(c, all, in, 1 + draw(12));
            for (enum threading_kind k = THREADING_SUBJECT; k <= THREADING_REFS; k++)
                compare(c, all, in, k);
        }
        column_unref(&c);
        arena_free(&a);
        assert_int_equal(budget_used(BUDGET_TABLES), before);
    }
    assert_int_equal(ledger.octets, 0);
}

// One chain, each message with the ids of three before it, from both ends; or all of them under one.
static uint32_t
long_threads(bool chain)
{
    struct arena *a = arena_new();
    struct threading *t = threading_new(THREADING_REFERENCES, LONG, &ledger, a);
    struct column *c;
    struct fault f;
    char id[24], refs[80];
    uint32_t opens = 0, members = 0, number;
    assert_int_equal(threading_column_begin(NULL, 10, &c, &f), R_OK);
    for (uint32_t i = 1; i <= LONG; i++) {
        uint32_t k = !chain || i % 2 ? i : LONG - i;
        int n = snprintf(id, sizeof id, "%u@x", k), m = 0;
        for (uint32_t back = 3; back > 0 && chain; back--)
            m += snprintf(refs + m, sizeof refs - (size_t)m, "%u@x%c", k - back, 0);
        m += snprintf(refs + m, sizeof refs - (size_t)m, chain ? "no" : "0@x");
        const struct threading_message one = {.message_id = span_of(id, (size_t)n),
                                              .references = span_of(refs, (size_t)m)};
        assert_int_equal(threading_column_add(c, i, &one, &f), R_OK);
    }
    assert_int_equal(threading_column_end(c, &f), R_OK);
    assert_int_equal(threading_by_column(t, c, &f), R_OK);
    for (uint32_t i = 0; i < LONG; i++)
        assert_int_equal(threading_add_known(t, c, i + 1, i, &f), R_OK);
    assert_int_equal(threading_build(t, &f), R_OK);
    for (enum threading_step s; (s = threading_next(t, &number)) != THREADING_END;) {
        opens += s == THREADING_OPEN;
        members += s == THREADING_MEMBER;
    }
    assert_int_equal(members, LONG);
    column_unref(&c);
    arena_free(&a);
    return opens;
}

static void
test_long(void **state)
{
    (void)state;
    assert_true(long_threads(true) < 10);
    assert_int_equal(long_threads(false), LONG + 1);
}

static void
test_budget(void **state)
{
    size_t before = budget_used(BUDGET_TABLES);
    struct column *c;
    struct fault f;
    const struct threading_message m = {.subject = SPAN("S")};
    enum result r = R_OK;
    (void)state;
    assert_int_equal(threading_column_begin(NULL, 10, &c, &f), R_OK);
    size_t limit = budget_total() + (1 << 20);
    budget_limits(limit, limit);
    for (uint32_t i = 1; i <= LONG && r == R_OK; i++)
        r = threading_column_add(c, i, &m, &f);
    assert_int_equal(r, R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    column_unref(&c);
    budget_limits(SIZE_MAX / 2, SIZE_MAX / 2);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
