#include "store/generator.h"
#include "store/index_fold.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

// The fold of a mailbox of several blocks is the model's, in the index as in memory.

static char folder[64];

static int
make_folder(void **unused)
{
    (void)unused;
    must(snprintf(folder, sizeof folder, "/tmp/index_rows_test.XXXXXX") > 0);
    return mkdtemp(folder) ? 0 : -1;
}

static int
drop_folder(void **unused)
{
    (void)unused;
    struct fault f;
    char zero[80];
    must(snprintf(zero, sizeof zero, "%s/0", folder) > 0);
    return index_remove(folder, &f) == R_OK && rmdir(zero) == 0 ? rmdir(folder) : -1;
}

static struct index *
open_index(void)
{
    static const uint8_t uuid[16] = "0123456789abcde";
    struct index *ix;
    struct fault f;
    assert_int_equal(index_remove(folder, &f), R_OK);
    if (index_open(folder, uuid, codec_by_name("scramble"), &ix, &f) != R_OK)
        fail_msg("%s", f.why);
    return ix;
}

static const uint64_t mailbox = 1ull << 40 | 1;

static void
expect_table(struct index *ix, struct state *model)
{
    struct mailbox_state *m = state_mailbox(model, mailbox);
    struct index_table t = {0};
    struct fault f;
    size_t n, want_n;
    assert_int_equal(index_load_table(ix, 1, mailbox, &t, &f), R_OK);
    assert_int_equal(t.table.count, m->counts.exists);
    for (uint32_t i = 0; i < t.table.count; i++) {
        struct message_row got = t.table.rows[i], want = m->rows[i];
        const uint32_t *numbers = keyword_sets_get(t.table.sets, got.keywords, &n);
        const uint32_t *wanted = keyword_sets_get(m->sets, want.keywords, &want_n);
        assert_int_equal(n, want_n);
        assert_true(n == 0 || memcmp(numbers, wanted, n * sizeof *numbers) == 0);
        got.keywords = want.keywords = 0;
        assert_memory_equal(&got, &want, sizeof got);
    }
    message_table_done(&t.table);
}

static int
by_place(const void *a, const void *b)
{
    const struct kept_row *x = a, *y = b;
    if (x->modseq != y->modseq)
        return x->modseq < y->modseq ? -1 : 1;
    return (x->row.uid > y->row.uid) - (x->row.uid < y->row.uid);
}

// Page by page, so that pages begin within blocks of a mailbox that was deleted.
static void
expect_tombstones(struct index *ix, struct state *model)
{
    struct kept *k = model->inside->kept;
    struct store_tombstones page = {.a = arena_new(), .max = 7};
    size_t at = 0;
    struct fault f;
    qsort(k->tombstones, k->tombstone_count, sizeof *k->tombstones, by_place);
    while (!page.last) {
        assert_int_equal(index_tombstones(ix, 1, mailbox, &page, &f), R_OK);
        for (size_t i = 0; i < page.n; i++, at++) {
            assert_true(at < k->tombstone_count);
            assert_int_equal(page.list[i].row.uid, k->tombstones[at].row.uid);
            assert_int_equal(page.list[i].row.flags, k->tombstones[at].row.flags);
            assert_int_equal(page.list[i].modseq, k->tombstones[at].modseq);
            assert_true(span_eq(page.list[i].keywords, k->tombstones[at].keywords));
        }
        if (page.n > 0) {
            page.modseq = page.list[page.n - 1].modseq;
            page.uid = page.list[page.n - 1].row.uid;
        }
    }
    assert_int_equal(at, k->tombstone_count);
    arena_free(&page.a);
}

enum { ROWS = 300 };

// The same record to the index and to the model.
static void
both(struct index_fold *w, struct state *model, enum record_type type, struct buf *meta,
     uint64_t seq)
{
    struct fault f;
    struct index_record r = {.account = 1,
                             .type = type,
                             .meta = buf_span(meta),
                             .place = {seq, seq},
                             .with_body = true};
    if (index_fold_record(w, &r, &f) != R_OK)
        fail_msg("%s", f.why);
    assert_int_equal(state_apply(model, type, buf_span(meta),
                                 (struct record_place){.seq = seq, .blob = seq}, &f),
                     R_OK);
    buf_reset(meta);
}

static void
block_begin(struct index_fold *w, struct state *model, struct mailbox_counts *counts)
{
    struct buf meta, rows;
    buf_init(&meta, LIMIT_record_meta);
    buf_init(&rows, LIMIT_record_meta);
    record_account_put(&meta, &(struct record_account){SPAN("user"), 1, 1});
    both(w, model, RECORD_ACCOUNT, &meta, 1);
    record_mailbox_put(&meta, &(struct record_mailbox){
                                  .id = mailbox, .name = SPAN("a"), .uidvalidity = 1});
    both(w, model, RECORD_MAILBOX, &meta, 2);
    for (uint32_t i = 0; i < 3; i++) {
        record_keyword_put(&meta, &(struct record_keyword){mailbox, i, SPAN("k")});
        both(w, model, RECORD_KEYWORD, &meta, 3 + i);
    }
    // UIDs with holes: blocks that are full, half full, and one (UID 64 to 95) that is not there
    for (uint32_t uid = 1; uid <= ROWS; uid++)
        if ((uid < 64 || uid > 95) && (uid < 128 || uid % 3 > 0)) {
            record_rows_add(
                &rows,
                &(struct record_row){.row = {.uid = uid, .modseq = 5},
                                     .keywords = uid % 7 == 0 ? SPAN("\1\2") : SPAN_NONE});
            counts->exists++;
        }
    counts->uidnext = ROWS + 1;
    counts->unseen = counts->exists;
    counts->modseq = 5;
    record_copied_put(&meta, &(struct record_copied){mailbox, *counts, buf_span(&rows)});
    both(w, model, RECORD_COPIED, &meta, 6);
    buf_done(&meta);
    buf_done(&rows);
}

static void
block_flags(struct index_fold *w, struct state *model, struct mailbox_counts *counts,
            uint32_t first, uint32_t last, uint64_t seq)
{
    struct buf meta, groups, ranges;
    buf_init(&meta, LIMIT_record_meta);
    buf_init(&groups, LIMIT_record_meta);
    buf_init(&ranges, LIMIT_record_meta);
    record_ranges_add(&ranges, first, last);
    record_groups_add(&groups,
                      &(struct record_group){FLAG_FLAGGED, SPAN("\2"), buf_span(&ranges)});
    counts->modseq = seq;
    record_flags_put(&meta,
                     &(struct record_flags){mailbox, seq, *counts, buf_span(&groups)});
    both(w, model, RECORD_FLAGS, &meta, seq);
    buf_done(&meta);
    buf_done(&groups);
    buf_done(&ranges);
}

static void
block_expunge(struct index_fold *w, struct state *model, struct mailbox_counts *counts,
              uint32_t first, uint32_t last, uint64_t seq)
{
    struct mailbox_state *m = state_mailbox(model, mailbox);
    uint32_t gone = state_row_at(m, last + 1) - state_row_at(m, first);
    struct buf meta, ranges;
    buf_init(&meta, LIMIT_record_meta);
    buf_init(&ranges, LIMIT_record_meta);
    record_ranges_add(&ranges, first, last);
    counts->exists -= gone;
    counts->unseen -= gone;
    counts->modseq = seq;
    record_expunged_put(&meta, &(struct record_expunged){.mailbox = mailbox,
                                                         .modseq = seq,
                                                         .when_s = 9,
                                                         .counts = *counts,
                                                         .uids = buf_span(&ranges)});
    both(w, model, RECORD_EXPUNGED, &meta, seq);
    buf_done(&meta);
    buf_done(&ranges);
}

static size_t
block_entries(struct index *ix)
{
    struct index_key prefix = index_key(1, INDEX_ROW);
    struct span begins = span_of(prefix.p, prefix.n), key, value;
    struct index_reader r;
    struct fault f;
    size_t n = 0;
    assert_int_equal(index_read_begin(ix, &r, &f), R_OK);
    enum result now = index_seek(&r, &prefix, begins, &key, &value, &f);
    for (; now == R_OK; now = index_next(&r, begins, &key, &value, &f))
        n++;
    index_read_end(&r);
    return n;
}

// Changes that begin and end within blocks and pass over whole ones, in transactions of every size.
static void
test_rows(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {2, 3, 31, 32, 33, 100, INDEX_OPS};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mailbox_counts counts = {0};
        struct state *model = state_new_keeping(1);
        struct fault f;
        struct buf meta;
        struct index *ix = open_index();
        struct index_fold *w = index_fold_new(ix);
        w->ops_max = sizes[i];
        block_begin(w, model, &counts);
        block_flags(w, model, &counts, 10, 200, 7);
        block_expunge(w, model, &counts, 30, 130, 8);
        block_flags(w, model, &counts, 1, UINT32_MAX, 9);
        block_expunge(w, model, &counts, 160, 191, 10);  // one block, to its ends
        assert_int_equal(index_fold_commit(w, &f), R_OK);
        expect_table(ix, model);
        expect_tombstones(ix, model);
        assert_int_equal(block_entries(ix), 6);  // 1-31, 128-159, 192-300
        buf_init(&meta, 4096);
        record_mailbox_gone_put(&meta, &(struct record_mailbox_gone){mailbox, 11, 12});
        both(w, model, RECORD_MAILBOX_GONE, &meta, 11);
        assert_int_equal(index_fold_commit(w, &f), R_OK);
        expect_tombstones(ix, model);
        record_forgotten_put(&meta, &(struct record_forgotten){mailbox, 11});
        both(w, model, RECORD_FORGOTTEN, &meta, 12);
        assert_int_equal(index_fold_commit(w, &f), R_OK);
        assert_int_equal(block_entries(ix), 0);
        buf_done(&meta);
        index_fold_free(&w);
        index_close(&ix);
        state_free(&model);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
