#include "search/threading.h"

#include "base/budget.h"
#include "base/buf.h"
#include "base/limits.h"

// cmocka wants these first
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

static struct search_ledger ledger;

enum { MOST = 8 };

struct given {
    const char *id, *refs;  // refs: separated by spaces
    const char *subject;
    int64_t sent_s, arrived_s;
    bool reply;
};

struct row {
    const char *name;
    enum threading_kind kind;
    const char *want;
    struct given given[MOST];
};

// "a b" as "a@x", NUL, "b@x".
static struct span
ids(struct arena *a, const char *text)
{
    struct span rest = *text ? span_str(text) : SPAN_NONE, id;
    struct buf b;
    buf_init(&b, 4096);
    while (span_next_field(&rest, ' ', &id) == R_OK)
        buf_printf(&b, "%.*s@x%c", SPAN_ARG(id), 0);
    struct span s = arena_dup(a, span_of(b.p, b.n > 0 ? b.n - 1 : 0));
    buf_done(&b);
    return s;
}

static void
add(struct threading *t, uint32_t number, const struct given *g)
{
    struct arena *a = arena_new();
    struct fault f;
    struct threading_message m = {.number = number,
                                  .sent_s = g->sent_s,
                                  .arrived_s = g->arrived_s,
                                  .message_id = ids(a, g->id),
                                  .references = ids(a, g->refs),
                                  .subject = span_str(g->subject),
                                  .reply = g->reply};
    assert_int_equal(threading_add(t, &m, &f), R_OK);
    arena_free(&a);
}

static void
print(struct threading *t, struct buf *b)
{
    enum threading_step step;
    uint32_t number;
    bool behind = false;
    while ((step = threading_next(t, &number)) != THREADING_END) {
        if (behind && step != THREADING_CLOSE)
            buf_put_char(b, ' ');
        if (step == THREADING_MEMBER)
            buf_put_u64(b, number);
        else
            buf_put_char(b, step == THREADING_OPEN ? '(' : ')');
        behind = step == THREADING_MEMBER;
    }
}

static void
expect(struct threading *t, const char *name, const char *want)
{
    struct buf b;
    struct fault f;
    buf_init(&b, LIMIT_answer_line);
    assert_int_equal(threading_build(t, &f), R_OK);
    print(t, &b);
    if (!span_eq(buf_span(&b), span_str(want)))
        fail_msg("%s: \"%.*s\", not \"%s\"", name, SPAN_ARG(buf_span(&b)), want);
    buf_done(&b);
}

// Subjects of messages that are about nothing else differ, so that step 5 joins nothing.
static const struct row rows[] = {
    {"nothing", THREADING_REFERENCES, "", {{0}}},
    {"one", THREADING_REFERENCES, "(1)", {{"a", "", "A", 1, 1, false}}},
    {"a chain",
     THREADING_REFERENCES,
     "(1 2 3)",
     {{"a", "", "A", 1, 1, false},
      {"b", "a", "B", 2, 2, false},
      {"c", "a b", "C", 3, 3, false}}},
    {"children",
     THREADING_REFERENCES,
     "(1 (3)(2))",
     {{"a", "", "A", 1, 1, false},
      {"b", "a", "B", 3, 2, false},
      {"c", "a", "C", 2, 3, false}}},
    {"the child comes first",
     THREADING_REFERENCES,
     "(2 1)",
     {{"b", "a", "B", 2, 1, false}, {"a", "", "A", 1, 2, false}}},
    {"a parent that is not there, and one child",
     THREADING_REFERENCES,
     "(1)",
     {{"b", "a", "B", 2, 1, false}}},
    {"a parent that is not there, and two (RFC 5256 section 4)",
     THREADING_REFERENCES,
     "((2)(1))",
     {{"b", "a", "B", 2, 1, false}, {"c", "a", "C", 1, 2, false}}},
    {"dummies below a dummy give way",
     THREADING_REFERENCES,
     "((1)(2)(3))",
     {{"c", "a b", "C", 1, 1, false},
      {"d", "a b", "D", 2, 2, false},
      {"e", "a x", "E", 3, 3, false}}},
    {"dummies below a message give way",
     THREADING_REFERENCES,
     "(1 (2)(3))",
     {{"a", "", "A", 1, 1, false},
      {"c", "a b", "C", 2, 2, false},
      {"d", "a b x y", "D", 3, 3, false}}},
    {"a dummy that is left with one child goes",
     THREADING_REFERENCES,
     "(1 2)",
     {{"c", "x y", "C", 1, 1, false}, {"d", "x z c", "D", 2, 2, false}}},
    {"a truncated References: the last one is the parent",
     THREADING_REFERENCES,
     "(1 2 3)",
     {{"a", "", "A", 1, 1, false},
      {"b", "a", "B", 2, 2, false},
      {"c", "b", "C", 3, 3, false}}},
    {"a link that was made stays",
     THREADING_REFERENCES,
     "(1 (2)(3 4))",
     {{"a", "", "A", 1, 1, false},
      {"b", "a", "B", 2, 2, false},
      {"c", "a", "C", 3, 3, false},
      {"d", "b c", "D", 4, 4, false}}},
    {"the own references break a link",
     THREADING_REFERENCES,
     "(1)(3 2)",
     {{"a", "", "A", 1, 1, false},
      {"c", "a b", "C", 3, 2, false},
      {"b", "", "B", 2, 3, false}}},
    {"itself", THREADING_REFERENCES, "(1)", {{"a", "a", "A", 1, 1, false}}},
    {"itself among others",
     THREADING_REFERENCES,
     "(1 2)",
     {{"a", "b a", "A", 1, 1, false}, {"b", "a", "B", 2, 2, false}}},
    {"two of each other",
     THREADING_REFERENCES,
     "(2 1)",
     {{"a", "b", "A", 1, 1, false}, {"b", "a", "B", 2, 2, false}}},
    {"three in a circle",
     THREADING_REFERENCES,
     "(3 2 1)",
     {{"a", "b", "A", 1, 1, false},
      {"b", "c", "B", 2, 2, false},
      {"c", "a", "C", 3, 3, false}}},
    {"the same id: only the first has it",
     THREADING_REFERENCES,
     "(1 3)(2)",
     {{"a", "", "A", 1, 1, false},
      {"a", "", "B", 2, 2, false},
      {"c", "a", "C", 3, 3, false}}},
    {"the same id may be below the first",
     THREADING_REFERENCES,
     "(1 2)",
     {{"a", "", "A", 1, 1, false}, {"a", "a", "B", 2, 2, false}}},
    {"no id at all",
     THREADING_REFERENCES,
     "(1)(2)",
     {{"", "", "A", 1, 1, false}, {"", "", "B", 2, 2, false}}},
    {"ids are case-sensitive",
     THREADING_REFERENCES,
     "(1)(2)",
     {{"a", "", "A", 1, 1, false}, {"b", "A", "B", 2, 2, false}}},
    {"equal dates: the order of the mailbox",
     THREADING_REFERENCES,
     "(1)(2)(3)",
     {{"a", "", "A", 7, 1, false},
      {"b", "", "B", 7, 2, false},
      {"c", "", "C", 7, 3, false}}},
    {"dates before 1970 and far away",
     THREADING_REFERENCES,
     "(3)(1)(2)",
     {{"a", "", "A", -5, 1, false},
      {"b", "", "B", 1099511627776, 2, false},
      {"c", "", "C", -1099511627776, 3, false}}},
    {"a reply by its subject",
     THREADING_REFERENCES,
     "(1 2)",
     {{"a", "", "S", 1, 1, false}, {"b", "", "S", 2, 2, true}}},
    {"a reply that is older",
     THREADING_REFERENCES,
     "(2 1)",
     {{"b", "", "S", 1, 1, true}, {"a", "", "S", 2, 2, false}}},
    {"two replies, and no original",
     THREADING_REFERENCES,
     "((1)(2))",
     {{"a", "", "S", 1, 1, true}, {"b", "", "S", 2, 2, true}}},
    {"two originals and a reply",
     THREADING_REFERENCES,
     "((1)(2)(3))",
     {{"a", "", "S", 1, 1, false},
      {"b", "", "S", 2, 2, false},
      {"c", "", "S", 3, 3, true}}},
    {"a reply comes before the second original",
     THREADING_REFERENCES,
     "((1 2)(3))",
     {{"a", "", "S", 1, 1, false},
      {"c", "", "S", 2, 2, true},
      {"b", "", "S", 3, 3, false}}},
    {"no subject joins nothing",
     THREADING_REFERENCES,
     "(1)(2)",
     {{"a", "", "", 1, 1, false}, {"b", "", "", 2, 2, true}}},
    {"a message joins a dummy's children",
     THREADING_REFERENCES,
     "((3)(1)(2))",
     {{"a", "x", "S", 2, 1, true},
      {"b", "x", "S", 3, 2, true},
      {"c", "", "S", 1, 3, false}}},
    {"two dummies become one",
     THREADING_REFERENCES,
     "((1)(3)(2)(4))",
     {{"a", "x", "S", 1, 1, false},
      {"b", "x", "T", 3, 2, false},
      {"c", "y", "S", 2, 3, false},
      {"d", "y", "U", 4, 4, false}}},
    {"REFS: subjects join nothing",
     THREADING_REFS,
     "(1)(2)",
     {{"a", "", "S", 1, 1, false}, {"b", "", "S", 2, 2, true}}},
    {"REFS: the thread with the latest arrival is the last",
     THREADING_REFS,
     "(2)(1 3)",
     {{"a", "", "A", 1, 1, false},
      {"b", "", "B", 2, 2, false},
      {"c", "a", "C", 3, 3, false}}},
    {"REFS: threads by arrival, members by sent date",
     THREADING_REFS,
     "(3)((2)(1))",
     {{"a", "x", "A", 9, 30, false},
      {"b", "x", "B", 8, 10, false},
      {"c", "", "C", 7, 20, false}}},
    {"ORDEREDSUBJECT",
     THREADING_SUBJECT,
     "(2 (4)(1))(3)",
     {{"a", "", "S", 3, 1, false},
      {"b", "a", "S", 1, 2, false},
      {"c", "a", "T", 2, 3, false},
      {"d", "", "S", 2, 4, true}}},
    {"ORDEREDSUBJECT: of two there is one line",
     THREADING_SUBJECT,
     "(1 2)",
     {{"a", "", "S", 1, 1, false}, {"b", "", "S", 2, 2, false}}},
    {"ORDEREDSUBJECT: no subject is a subject",
     THREADING_SUBJECT,
     "(1 3)(2)",
     {{"a", "", "", 1, 1, false}, {"b", "", "T", 2, 2, false}, {"c", "", "", 3, 3, false}}},
};

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *a = arena_new();
        struct threading *t = threading_new(rows[i].kind, MOST, &ledger, a);
        for (uint32_t k = 0; k < MOST && rows[i].given[k].id; k++)
            add(t, k + 1, &rows[i].given[k]);
        expect(t, rows[i].name, rows[i].want);
        arena_free(&a);
    }
}

// The example of RFC 5256 section 4: (2)(3 6 (4 23)(44 7 96)).
static void
test_example(void **state)
{
    static const struct {
        uint32_t number;
        struct given given;
    } messages[] = {
        {2, {"2", "", "A", 1, 1, false}},       {3, {"3", "", "B", 2, 1, false}},
        {4, {"4", "3 6", "C", 4, 1, false}},    {6, {"6", "3", "D", 3, 1, false}},
        {7, {"7", "3 6 44", "E", 7, 1, false}}, {23, {"23", "6 4", "F", 5, 1, false}},
        {44, {"44", "6", "G", 6, 1, false}},    {96, {"96", "44 7", "H", 8, 1, false}},
    };
    struct arena *a = arena_new();
    struct threading *t = threading_new(THREADING_REFERENCES, 1, &ledger, a);
    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        add(t, messages[i].number, &messages[i].given);
    expect(t, "section 4", "(2)(3 6 (4 23)(44 7 96))");
    arena_free(&a);
}

// ---- many ----

enum { MANY = 100000 };

static void
add_many(struct threading *t, uint32_t i, const char *id, const char *refs, int64_t sent)
{
    struct given g = {.id = id, .refs = refs, .subject = "", .sent_s = sent};
    struct fault f;
    add(t, i, &g);
    assert_int_equal(threading_settle(t, &f), R_OK);
}

static uint32_t
count_opens(struct threading *t)
{
    struct fault f;
    enum threading_step step;
    uint32_t number, opens = 0, members = 0;
    assert_int_equal(threading_build(t, &f), R_OK);
    while ((step = threading_next(t, &number)) != THREADING_END) {
        opens += step == THREADING_OPEN;
        members += step == THREADING_MEMBER;
    }
    assert_int_equal(members, MANY);
    return opens;
}

// One chain, in an order in which every link is asked for a loop: parents are deep and children have children.
static void
test_deep(void **state)
{
    struct arena *a = arena_new();
    struct threading *t = threading_new(THREADING_REFERENCES, 1, &ledger, a);
    char id[24], ref[24];
    (void)state;
    for (uint32_t i = MANY; i > 0; i--) {
        uint32_t k = i % 2 ? i : MANY - i;  // from both ends
        (void)snprintf(id, sizeof id, "%u", k);
        (void)snprintf(ref, sizeof ref, "%u", k > 0 ? k - 1 : MANY);
        add_many(t, k + 1, id, ref, k);
    }
    assert_int_equal(count_opens(t), 1);
    arena_free(&a);
}

// A deep chain, and its end is to go below each of many that have children already.
static void
test_deep_parents(void **state)
{
    struct arena *a = arena_new();
    struct threading *t = threading_new(THREADING_REFERENCES, 1, &ledger, a);
    char id[24], ref[48];
    (void)state;
    for (uint32_t i = 0; i < MANY / 2; i++) {
        (void)snprintf(id, sizeof id, "%u", i);
        (void)snprintf(ref, sizeof ref, "%u", i - 1);
        add_many(t, i + 1, id, i > 0 ? ref : "", i);
    }
    for (uint32_t i = MANY / 2; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "%u", i);
        (void)snprintf(ref, sizeof ref, "x%u y%u %u", i, i, MANY / 2 - 1);
        add_many(t, i + 1, id, ref, i);
    }
    assert_int_equal(count_opens(t), 1 + MANY / 2);
    arena_free(&a);
}

static void
test_children(void **state)
{
    struct arena *a = arena_new();
    struct threading *t = threading_new(THREADING_REFERENCES, 1, &ledger, a);
    char id[24];
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "%u", i);
        add_many(t, i + 1, id, i > 0 ? "0" : "", MANY - i);
    }
    assert_int_equal(count_opens(t), MANY);
    arena_free(&a);
}

static void
test_budget(void **state)
{
    struct arena *a = arena_new();
    struct threading *t = threading_new(THREADING_REFERENCES, 1, &ledger, a);
    struct threading_message m = {.number = 1};
    struct fault f;
    enum result r = R_OK;
    size_t before = budget_used(BUDGET_TABLES);
    (void)state;
    budget_limits(1 << 20, 2 << 20);
    for (uint32_t i = 0; i < MANY && r == R_OK; i++)
        r = threading_add(t, &m, &f);
    assert_int_equal(r, R_FAIL);
    assert_int_equal(f.kind, FAULT_LIMIT);
    assert_true(budget_used(BUDGET_TABLES) <= 2 << 20);
    arena_free(&a);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
    budget_limits(SIZE_MAX / 2, SIZE_MAX / 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_example),
        cmocka_unit_test(test_deep),     cmocka_unit_test(test_deep_parents),
        cmocka_unit_test(test_children), cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
