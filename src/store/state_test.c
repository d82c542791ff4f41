#include "store/generator.h"

#include "base/budget.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
expect_equal(struct state *a, struct state *b, bool tables)
{
    struct buf x, y;
    buf_init(&x, SIZE_MAX);
    buf_init(&y, SIZE_MAX);
    generator_dump(a, tables, &x);
    generator_dump(b, tables, &y);
    buf_put_char(&x, '\0');
    buf_put_char(&y, '\0');
    assert_string_equal(x.p, y.p);
    buf_done(&x);
    buf_done(&y);
}

// Counts in headers are those of the rows.
static void
expect_counts(const struct mailbox_state *m)
{
    uint32_t unseen = 0, deleted = 0;
    uint64_t size = 0;
    for (uint32_t i = 0; i < m->counts.exists; i++) {
        unseen += (m->rows[i].flags & FLAG_SEEN) == 0;
        deleted += (m->rows[i].flags & FLAG_DELETED) != 0;
        size += m->rows[i].size;
        assert_true(i == 0 || m->rows[i].uid > m->rows[i - 1].uid);
        assert_int_equal(state_row_at(m, m->rows[i].uid), i);
    }
    assert_true(unseen == m->counts.unseen && deleted == m->counts.deleted &&
                size == m->counts.size);
}

static void
apply_to(struct state *s, const struct generator *g, uint64_t seq)
{
    struct fault f;
    struct record_place place = {.seq = seq, .blob = 1ull << 32 | seq};
    assert_int_equal(state_apply(s, g->type, buf_span(&g->meta), place, &f), R_OK);
}

// A state without tables has the same headers, and applying twice is applying once.
static void
test_replay(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct generator g;
        generator_init(&g, 7, seed * 7919);
        struct state *headers = state_new(7), *whole = state_new_keeping(7);
        for (uint64_t seq = 1; seq < 800; seq++) {
            generator_next(&g);
            apply_to(headers, &g, seq);
            apply_to(whole, &g, seq);
            apply_to(whole, &g, seq);
            generator_apply(&g,
                            (struct record_place){.seq = seq, .blob = 1ull << 32 | seq});
        }
        expect_equal(headers, g.state, false);
        expect_equal(whole, g.state, true);
        for (uint32_t i = 0; i < whole->mailbox_count; i++)
            expect_counts(whole->mailboxes[i]);
        state_free(&headers);
        state_free(&whole);
        generator_done(&g);
    }
}

// A state that is packed from time to time, while mail has some of its mailboxes, is as one that never was.
static void
test_packed(void **unused)
{
    (void)unused;
    int viewed;
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct generator g;
        generator_init(&g, 7, seed * 104729);
        struct state *never = state_new(7), *packed = state_new(7);
        for (uint64_t seq = 1; seq < 800; seq++) {
            generator_next(&g);
            apply_to(never, &g, seq);
            apply_to(packed, &g, seq);
            generator_apply(&g,
                            (struct record_place){.seq = seq, .blob = 1ull << 32 | seq});
            if (generator_random(&g, 3) > 0)
                continue;
            for (uint32_t i = 0; i < packed->mailbox_count; i++)
                packed->mailboxes[i]->mail = generator_random(&g, 4) > 0 ? NULL : &viewed;
            state_pack(packed);
            for (uint32_t i = 0; i < packed->mailbox_count; i++)
                assert_ptr_equal(packed->mailboxes[i]->mail, &viewed);
            assert_true(state_is_packed(packed));
            if (generator_random(&g, 2) > 0)
                state_settle(packed);
            assert_memory_equal(state_usage(packed), state_usage(never),
                                sizeof(struct usage));
            if (generator_random(&g, 2) > 0)
                continue;  // the next record wakes it
            state_unpack(packed);
            expect_equal(packed, never, false);
        }
        state_unpack(packed);
        expect_equal(packed, never, false);
        assert_memory_equal(state_usage(packed), state_usage(never), sizeof(struct usage));
        if (seed % 2)
            state_pack(packed);  // and it is freed as it is
        state_free(&packed);
        state_free(&never);
        generator_done(&g);
    }
}

static void
add_rows(struct state *s, uint32_t n, uint64_t seq)
{
    struct buf rows, meta;
    buf_init(&rows, SIZE_MAX);
    buf_init(&meta, SIZE_MAX);
    record_mailbox_put(&meta,
                       &(struct record_mailbox){
                           .id = 1, .modseq = 1, .name = SPAN("INBOX"), .uidvalidity = 1});
    struct fault f;
    assert_int_equal(
        state_apply(s, RECORD_MAILBOX, buf_span(&meta), (struct record_place){seq, 0}, &f),
        R_OK);
    for (uint32_t uid = 1; uid <= n; uid++)
        record_rows_add(&rows,
                        &(struct record_row){
                            .row = {.uid = uid, .size = 10, .modseq = 2, .emailid = uid}});
    buf_reset(&meta);
    struct record_copied c = {.mailbox = 1,
                              .counts = {.uidnext = n + 1,
                                         .exists = n,
                                         .unseen = n,
                                         .size = 10ull * n,
                                         .modseq = 2},
                              .rows = buf_span(&rows)};
    record_copied_put(&meta, &c);
    assert_int_equal(state_apply(s, RECORD_COPIED, buf_span(&meta),
                                 (struct record_place){seq + 1, 0}, &f),
                     R_OK);
    buf_done(&rows);
    buf_done(&meta);
}

// Every second of 100,000 rows: one sweep, a few milliseconds even under the sanitizers.
static void
test_expunge_sweep(void **unused)
{
    (void)unused;
    enum { N = 100000 };
    struct state *s = state_new_keeping(1);
    add_rows(s, N, 1);
    struct buf ranges, meta;
    buf_init(&ranges, SIZE_MAX);
    buf_init(&meta, SIZE_MAX);
    for (uint32_t uid = 2; uid <= N; uid += 2)
        record_ranges_add(&ranges, uid, uid);
    struct record_expunged e = {.mailbox = 1,
                                .modseq = 3,
                                .counts = {.uidnext = N + 1,
                                           .exists = N / 2,
                                           .unseen = N / 2,
                                           .size = 5ull * N,
                                           .modseq = 3},
                                .uids = buf_span(&ranges)};
    record_expunged_put(&meta, &e);
    uint64_t start = clock_mono_us();
    struct fault f;
    assert_int_equal(
        state_apply(s, RECORD_EXPUNGED, buf_span(&meta), (struct record_place){3, 0}, &f),
        R_OK);
    print_message("sweep of %d: %llu us\n", N,
                  (unsigned long long)(clock_mono_us() - start));
    const struct mailbox_state *m = state_mailbox(s, 1);
    for (uint32_t i = 0; i < N / 2; i++)
        assert_int_equal(m->rows[i].uid, 2 * i + 1);
    assert_int_equal(s->inside->kept->tombstone_count, N / 2);
    buf_done(&ranges);
    buf_done(&meta);
    state_free(&s);
}

static void
test_contradiction(void **unused)
{
    (void)unused;
    struct state *s = state_new_keeping(1);
    add_rows(s, 10, 1);
    struct buf meta;
    buf_init(&meta, 1024);
    struct record_flags r = {
        .mailbox = 1, .modseq = 3, .counts = {.uidnext = 11, .exists = 11, .modseq = 3}};
    record_flags_put(&meta, &r);
    struct fault f;
    assert_int_equal(
        state_apply(s, RECORD_FLAGS, buf_span(&meta), (struct record_place){3, 0}, &f),
        R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    assert_int_equal(
        state_apply(s, RECORD_FLAGS, SPAN("nonsense"), (struct record_place){4, 0}, &f),
        R_FAIL);
    assert_int_equal(
        state_apply(s, (enum record_type)99, SPAN(""), (struct record_place){4, 0}, &f),
        R_FAIL);
    buf_done(&meta);
    state_free(&s);
}

static void
test_restored(void **unused)
{
    (void)unused;
    struct state *s = state_new_keeping(1);
    struct buf meta;
    struct fault f;
    buf_init(&meta, 1024);
    record_account_put(&meta, &(struct record_account){SPAN("anna"), 1, 2});
    assert_int_equal(
        state_apply(s, RECORD_ACCOUNT, buf_span(&meta), (struct record_place){1, 0}, &f),
        R_OK);
    add_rows(s, 10, 2);
    buf_reset(&meta);
    struct record_restored r = {
        .uid_jump = 1 << 20, .modseq_jump = 1ull << 32, .id_jump = 5};
    record_restored_put(&meta, &r);
    assert_int_equal(
        state_apply(s, RECORD_RESTORED, buf_span(&meta), (struct record_place){4, 0}, &f),
        R_OK);
    const struct mailbox_state *m = state_mailbox(s, 1);
    assert_int_equal(m->counts.uidnext, 11 + (1 << 20));
    assert_true(s->modseq == (1ull << 32) + 2 && m->counts.modseq == s->modseq);
    assert_true(m->rows[0].modseq == s->modseq && m->horizon == s->modseq - 1);
    assert_int_equal(apply_max_id(RECORD_RESTORED, buf_span(&meta), 10), 15);
    buf_done(&meta);
    state_free(&s);
}

// A row is touched only by what is younger than it.
static void
test_older_edit(void **unused)
{
    (void)unused;
    struct state *s = state_new_keeping(1);
    struct fault f;
    static const enum rows_edit_kind kinds[] = {EDIT_FLAGS, EDIT_EXPUNGE, EDIT_RESTORE};
    add_rows(s, 3, 1);
    for (size_t i = 0; i < 3; i++) {
        struct rows_edit e = {.kind = kinds[i], .modseq = 2, .flags = FLAG_SEEN};
        assert_int_equal(state_rows.rows_edit(s, 1, SPAN("\1\2"), &e, &f), R_OK);
        assert_int_equal(state_entry(state_mailbox(s, 1))->count, 3);
        assert_int_equal(state_mailbox(s, 1)->rows[0].flags, 0);
    }
    state_free(&s);
}

static void
test_keyword_sets(void **unused)
{
    (void)unused;
    struct keyword_sets *sets = keyword_sets_new();
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 3000; i++) {
            uint32_t numbers[3] = {i % 50, 50 + i / 50, 1000 + i % 7};
            uint32_t set = keyword_sets_intern(sets, numbers, 3);
            size_t n;
            const uint32_t *back = keyword_sets_get(sets, set, &n);
            assert_int_equal(n, 3);
            assert_memory_equal(back, numbers, sizeof numbers);
        }
    assert_int_equal(keyword_sets_count(sets), 3001);
    assert_int_equal(keyword_sets_intern(sets, NULL, 0), 0);
    keyword_sets_free(&sets);
}

static void
count_gone(struct mailbox_state *m, void *arg)
{
    m->mail = NULL;
    ++*(int *)arg;
}

static void
test_mailbox_gone(void **unused)
{
    (void)unused;
    int gone = 0;
    struct fault f;
    struct state *s = state_new(1);
    state_on_mailbox_gone(s, count_gone, &gone);
    add_rows(s, 3, 1);
    struct buf meta;
    buf_init(&meta, 64);
    record_mailbox_gone_put(&meta, &(struct record_mailbox_gone){1, 9, 0});
    assert_int_equal(state_apply(s, RECORD_MAILBOX_GONE, buf_span(&meta),
                                 (struct record_place){3, 0}, &f),
                     R_OK);
    assert_true(gone == 1 && s->mailbox_count == 0 && !state_mailbox(s, 1));
    add_rows(s, 3, 4);
    state_free(&s);
    assert_int_equal(gone, 2);
    buf_done(&meta);
}

static void
count_value(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    int *n = arg;
    n[0] += mailbox == 1 && span_eq(key, SPAN("/a")) && span_eq(value, SPAN("x"));
    n[1] += mailbox == 0 && span_eq(key, SPAN("/b")) && span_eq(value, SPAN("y"));
    n[2]++;
}

static void
put_value(struct state *s, uint64_t seq, const struct record_meta *r)
{
    struct buf meta;
    struct fault f;
    buf_init(&meta, 256);
    record_meta_put(&meta, r);
    assert_int_equal(
        state_apply(s, RECORD_META, buf_span(&meta), (struct record_place){seq, 0}, &f),
        R_OK);
    buf_done(&meta);
}

// A value of a mailbox raises its HIGHESTMODSEQ, one of the account does not; the removal of none does, too.
static void
test_values(void **unused)
{
    (void)unused;
    int n[3] = {0};
    struct state *s = state_new_keeping(1);
    add_rows(s, 3, 1);
    const struct mailbox_state *m = state_mailbox(s, 1);
    uint64_t before = m->counts.modseq;
    put_value(s, 10, &(struct record_meta){0, 40, SPAN("/b"), SPAN("y")});
    assert_true(m->counts.modseq == before);
    put_value(s, 11, &(struct record_meta){1, 50, SPAN("/a"), SPAN("x")});
    assert_true(m->counts.modseq == 50);
    put_value(s, 12, &(struct record_meta){1, 60, SPAN("/none"), SPAN_NONE});
    assert_true(m->counts.modseq == 60);
    put_value(s, 13, &(struct record_meta){9, 70, SPAN("/a"), SPAN("x")});
    state_meta_each(s, count_value, n);
    assert_true(n[0] == 1 && n[1] == 1 && n[2] == 2);
    state_free(&s);
}

// What values take is in the budget until they go.
static void
test_values_are_charged(void **unused)
{
    (void)unused;
    static char text[100];
    size_t before = budget_used(BUDGET_TABLES);
    struct state *s = state_new_keeping(1);
    add_rows(s, 3, 1);
    size_t empty = budget_used(BUDGET_TABLES);
    put_value(s, 10, &(struct record_meta){0, 40, SPAN("/b"), span_of(text, sizeof text)});
    size_t full = budget_used(BUDGET_TABLES);
    assert_true(full >= empty + sizeof text);
    put_value(s, 11, &(struct record_meta){0, 41, SPAN("/b"), SPAN("y")});
    assert_int_equal(budget_used(BUDGET_TABLES), full - sizeof text + 1);
    put_value(s, 12, &(struct record_meta){0, 42, SPAN("/b"), SPAN_NONE});
    assert_int_equal(budget_used(BUDGET_TABLES), empty);
    put_value(s, 13, &(struct record_meta){0, 43, SPAN("/b"), SPAN("y")});
    state_free(&s);
    assert_int_equal(budget_used(BUDGET_TABLES), before);
}

// A table grows from the heap into pages of its own, and on over where those become huge.
static void
test_table_grows(void **state)
{
    enum { ROWS = 120000 };
    (void)state;
    struct message_table t = message_table_new(0);
    for (uint32_t uid = 1; uid <= ROWS; uid++) {
        struct message_row row = {.uid = uid, .size = uid * 7, .blob = ~(uint64_t)uid};
        assert_int_equal(message_table_append(&t, &row, SPAN_NONE), R_OK);
    }
    assert_int_equal(t.count, ROWS);
    for (uint32_t i = 0; i < ROWS; i++)
        assert_true(t.rows[i].uid == i + 1 && t.rows[i].size == (i + 1) * 7 &&
                    t.rows[i].blob == ~(uint64_t)(i + 1));
    message_table_done(&t);
    assert_null(t.rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_expunge_sweep), cmocka_unit_test(test_contradiction),
        cmocka_unit_test(test_restored),      cmocka_unit_test(test_keyword_sets),
        cmocka_unit_test(test_mailbox_gone),  cmocka_unit_test(test_older_edit),
        cmocka_unit_test(test_values),        cmocka_unit_test(test_values_are_charged),
        cmocka_unit_test(test_table_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
