#include "store/generator.h"
#include "store/index_fold.h"

#include "base/limits.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t uuid[16] = "0123456789abcde";
static char folder[64];

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(name);
}

static int
make_folder(void **unused)
{
    (void)unused;
    must(snprintf(folder, sizeof folder, "/tmp/index_test.XXXXXX") > 0);
    return mkdtemp(folder) ? 0 : -1;
}

static int
drop_folder(void **unused)
{
    (void)unused;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct index *
open_index(const char *codec)
{
    struct index *ix;
    struct fault f;
    if (index_open(folder, uuid, codec_by_name(codec), &ix, &f) != R_OK)
        fail_msg("%s", f.why);
    return ix;
}

static void
fold_one(struct index_fold *w, const struct generator *g, uint64_t seq)
{
    struct fault f;
    struct index_record r = {.account = g->state->account,
                             .type = g->type,
                             .meta = buf_span(&g->meta),
                             .place = {.seq = seq, .blob = 1ull << 32 | seq},
                             .with_body = true};
    if (index_fold_record(w, &r, &f) != R_OK)
        fail_msg("%s", f.why);
}

static void
load_tables(struct index *ix, struct state *st)
{
    struct fault f;
    for (uint32_t i = 0; i < st->mailbox_count; i++) {
        struct index_table t = {0};
        assert_int_equal(index_load_table(ix, st->account, st->mailboxes[i]->id, &t, &f),
                         R_OK);
        state_table_install(st->mailboxes[i], &t.table);
        assert_int_equal(state_table_check(st->mailboxes[i], &f), R_OK);
    }
}

static int
by_place(const void *a, const void *b)
{
    const struct kept_row *x = a, *y = b;
    if (x->modseq != y->modseq)
        return x->modseq < y->modseq ? -1 : 1;
    return (x->row.uid > y->row.uid) - (x->row.uid < y->row.uid);
}

static int
by_mark(const void *a, const void *b)
{
    const struct store_mark *x = a, *y = b;
    if (x->uid != y->uid)
        return x->uid < y->uid ? -1 : 1;
    return (x->user > y->user) - (x->user < y->user);
}

static size_t marks_seen;

// What others had of their own on the tombstones: the model's.
static void
expect_marks(const struct state *model, uint64_t mailbox, struct store_tombstones *page)
{
    struct store_tombstones want = *page;
    size_t n = 0;
    state_marks_list(model->inside->kept, mailbox, model->account, &want);
    for (size_t i = 0; i < page->mark_count; i++)
        if (page->marks[i].flags != 0)
            page->marks[n++] = page->marks[i];
    page->mark_count = n;
    n = 0;
    for (size_t i = 0; i < want.mark_count; i++)
        if (want.marks[i].flags != 0)
            want.marks[n++] = want.marks[i];
    assert_int_equal(page->mark_count, n);
    if (n > 0) {
        qsort(page->marks, n, sizeof *page->marks, by_mark);
        qsort(want.marks, n, sizeof *want.marks, by_mark);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(page->marks[i].user, want.marks[i].user);
        assert_int_equal(page->marks[i].uid, want.marks[i].uid);
        assert_int_equal(page->marks[i].flags, want.marks[i].flags);
        marks_seen++;
    }
}

// Page by page they are the same.
static void
expect_pages(struct index *ix, const struct state *model, uint64_t mailbox,
             const struct store_tombstones *all)
{
    struct store_tombstones page = {.a = all->a, .max = 3, .marked = true};
    uint64_t account = model->account;
    struct fault f;
    for (size_t at = 0; at < all->n; at += page.n) {
        assert_int_equal(index_tombstones(ix, account, mailbox, &page, &f), R_OK);
        assert_true(page.n > 0 && page.n <= 3 && at + page.n <= all->n);
        for (size_t i = 0; i < page.n; i++) {
            assert_int_equal(page.list[i].row.uid, all->list[at + i].row.uid);
            assert_int_equal(page.list[i].modseq, all->list[at + i].modseq);
        }
        assert_int_equal(page.last, page.n < 3);
        expect_marks(model, mailbox, &page);
        page.modseq = page.list[page.n - 1].modseq;
        page.uid = page.list[page.n - 1].row.uid;
    }
    assert_int_equal(index_tombstones(ix, account, mailbox, &page, &f), R_OK);
    assert_true(all->n == 0 || page.n == 0);
}

// Mailboxes that are deleted and not forgotten, with their names and keywords.
static void
expect_deleted(struct index *ix, struct state *model)
{
    const struct kept *k = model->inside->kept;
    struct store_deleted found = {.a = arena_new(), .max = 1000};
    struct fault f;
    assert_int_equal(index_deleted(ix, model->account, &found, &f), R_OK);
    assert_int_equal(found.n, k->deleted_count);
    for (const struct store_deleted_mailbox *d = found.first; d; d = d->next) {
        size_t i = 0;
        while (i < k->deleted_count && k->deleted[i].row.id != d->id)
            i++;
        assert_true(i < k->deleted_count);
        const struct kept_mailbox *want = &k->deleted[i];
        struct store_keywords names = {.a = found.a};
        assert_true(span_eq(d->name, want->row.name));
        assert_true(d->parent == want->row.parent && d->modseq == want->modseq &&
                    d->when_s == want->when_s &&
                    d->counts.exists == want->row.counts.exists);
        assert_int_equal(index_keywords(ix, model->account, d->id, &names, &f), R_OK);
        assert_int_equal(names.n, want->keyword_count);
        for (size_t n = 0; n < names.n; n++)
            assert_true(span_eq(names.names[n], want->keywords[n]));
    }
    arena_free(&found.a);
}

// Tombstones of a mailbox in the index are those the model kept.
static void
expect_tombstones(struct index *ix, struct state *model, uint64_t mailbox)
{
    struct kept *k = model->inside->kept;
    struct store_tombstones found = {.a = arena_new(), .marked = true};
    size_t at = 0;
    struct fault f;
    assert_int_equal(index_tombstones(ix, model->account, mailbox, &found, &f), R_OK);
    qsort(k->tombstones, k->tombstone_count, sizeof *k->tombstones, by_place);
    for (size_t i = 0; i < k->tombstone_count; i++) {
        if (k->tombstones[i].mailbox != mailbox)
            continue;
        assert_true(at < found.n);
        assert_int_equal(found.list[at].row.uid, k->tombstones[i].row.uid);
        assert_int_equal(found.list[at].modseq, k->tombstones[i].modseq);
        assert_int_equal(found.list[at].when_s, k->tombstones[i].when_s);
        assert_int_equal(found.list[at].row.blob, k->tombstones[i].row.blob);
        assert_int_equal(found.list[at].row.flags, k->tombstones[i].row.flags);
        assert_int_equal(found.list[at].moved, k->tombstones[i].moved);
        assert_true(span_eq(found.list[at].keywords, k->tombstones[i].keywords));
        at++;
    }
    assert_int_equal(at, found.n);
    expect_marks(model, mailbox, &found);
    expect_pages(ix, model, mailbox, &found);
    arena_free(&found.a);
}

static void
expect_equal(struct index *ix, struct state *model)
{
    struct state *st;
    struct index_position p;
    struct fault f;
    struct buf want, got;
    if (index_load_state(ix, model->account, &st, &p, &f) != R_OK)
        fail_msg("state not loaded");
    load_tables(ix, st);
    buf_init(&want, SIZE_MAX);
    buf_init(&got, SIZE_MAX);
    generator_dump(model, true, &want);
    generator_dump(st, true, &got);
    buf_put_char(&want, '\0');
    buf_put_char(&got, '\0');
    assert_string_equal(got.p, want.p);
    buf_done(&want);
    buf_done(&got);
    for (uint64_t id = 1; id < 20; id++)
        expect_tombstones(ix, model, model->account << 40 | id);
    expect_deleted(ix, model);
    state_free(&st);
}

// Random records of two accounts, transactions of every size (also in the middle of records), some lost.
static void
fold_random(const char *codec, size_t ops_max, uint64_t seed)
{
    struct fault f;
    struct generator g[2];
    assert_int_equal(index_remove(folder, &f), R_OK);
    struct index *ix = open_index(codec);
    struct index_fold *w = index_fold_new(ix);
    w->ops_max = ops_max;
    generator_init(&g[0], 7, seed);
    generator_init(&g[1], 8, seed + 12);
    for (uint64_t seq = 1; seq < 1200; seq++) {
        struct generator *one = &g[seq % 3 == 0];
        generator_next(one);
        fold_one(w, one, seq);
        if (generator_random(one, 20) == 0)
            assert_int_equal(index_fold_commit(w, &f), R_OK);
        // What a crash in the middle of the record leaves, folded again.
        if (index_fold_position(w) == seq - 1 && generator_random(one, 2) == 0) {
            index_fold_abort(w);
            fold_one(w, one, seq);
        }
        generator_apply(one, (struct record_place){.seq = seq, .blob = 1ull << 32 | seq});
    }
    assert_int_equal(index_fold_commit(w, &f), R_OK);
    assert_int_equal(index_fold_position(w), 1199);
    index_fold_free(&w);
    expect_equal(ix, g[0].state);
    expect_equal(ix, g[1].state);
    index_close(&ix);
    generator_done(&g[0]);
    generator_done(&g[1]);
}

static void
test_fold_is_state(void **unused)
{
    (void)unused;
    fold_random("identity", INDEX_OPS, 11);
    fold_random("identity", 3, 977);
    fold_random("identity", 7, 31337);
    fold_random("scramble", 20, 4711);
    assert_true(marks_seen > 50);
}

static void
test_accounts(void **unused)
{
    (void)unused;
    struct fault f;
    assert_int_equal(index_remove(folder, &f), R_OK);
    struct index *ix = open_index("identity");
    struct index_fold *w = index_fold_new(ix);
    struct buf meta;
    buf_init(&meta, 1024);
    record_account_put(&meta, &(struct record_account){SPAN("user"), 1, 1});
    uint64_t seq = 0;
    struct index_record r = {.type = RECORD_ACCOUNT, .meta = buf_span(&meta)};
    for (uint64_t id = 100; id > 0; id--) {
        r.account = id * 3;
        r.place.seq = ++seq;
        assert_int_equal(index_fold_record(w, &r, &f), R_OK);
    }
    r = (struct index_record){
        .account = 30, .type = RECORD_ACCOUNT_GONE, .place.seq = ++seq};
    assert_int_equal(index_fold_record(w, &r, &f), R_OK);
    assert_int_equal(index_fold_commit(w, &f), R_OK);
    uint64_t *ids;
    size_t n;
    assert_int_equal(index_accounts(ix, &ids, &n, &f), R_OK);
    assert_int_equal(n, 99);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], (i < 9 ? i + 1 : i + 2) * 3);
    free(ids);
    index_fold_free(&w);
    index_close(&ix);
    buf_done(&meta);
}

static void
fold_span(struct index_fold *w, enum record_type type, const struct buf *meta, uint64_t seq)
{
    struct fault f;
    struct index_record r = {.account = 1,
                             .type = type,
                             .meta = buf_span(meta),
                             .place = {seq, 1},
                             .with_body = true};
    assert_int_equal(index_fold_record(w, &r, &f), R_OK);
}

// A row is touched only by what is younger than it, and a long record is spread over transactions.
static void
test_rules(void **unused)
{
    (void)unused;
    struct fault f;
    struct buf meta, rows;
    struct index_reader reader;
    struct index_position p;
    struct index_table t = {0};
    assert_int_equal(index_remove(folder, &f), R_OK);
    struct index *ix = open_index("identity");
    struct index_fold *w = index_fold_new(ix);
    w->ops_max = 4;
    buf_init(&meta, 4096);
    buf_init(&rows, 4096);
    record_mailbox_put(
        &meta, &(struct record_mailbox){.id = 1, .name = SPAN("a"), .uidvalidity = 1});
    fold_span(w, RECORD_MAILBOX, &meta, 1);
    for (uint32_t uid = 1; uid <= 10; uid++)
        record_rows_add(&rows, &(struct record_row){.row = {.uid = uid, .modseq = 5}});
    buf_reset(&meta);
    struct mailbox_counts counts = {.uidnext = 11, .exists = 10, .modseq = 5};
    record_copied_put(&meta, &(struct record_copied){1, counts, buf_span(&rows)});
    fold_span(w, RECORD_COPIED, &meta, 2);
    assert_int_equal(index_read_begin(ix, &reader, &f), R_OK);
    assert_int_equal(index_read_position(&reader, &p, &f), R_OK);
    index_read_end(&reader);
    assert_true(p.seq == 1 && p.part_seq == 2 && p.part_account == 1);
    buf_reset(&meta);
    struct record_expunged e = {
        .mailbox = 1, .modseq = 5, .counts = counts, .uids = SPAN("\1\4")};
    record_expunged_put(&meta, &e);
    fold_span(w, RECORD_EXPUNGED, &meta, 3);
    assert_int_equal(index_fold_commit(w, &f), R_OK);
    assert_int_equal(index_load_table(ix, 1, 1, &t, &f), R_OK);
    assert_true(t.table.count == 10 && t.position.seq == 3 && t.position.part_seq == 0);
    message_table_done(&t.table);
    index_fold_free(&w);
    index_close(&ix);
    buf_done(&meta);
    buf_done(&rows);
}

static void
fold_privates(struct index_fold *w, uint64_t user, uint32_t last, uint64_t seq)
{
    struct buf meta, groups, ranges;
    buf_init(&meta, 4096);
    buf_init(&groups, 4096);
    buf_init(&ranges, 4096);
    record_ranges_add(&ranges, 1, last);
    record_groups_add(&groups,
                      &(struct record_group){FLAG_SEEN, SPAN_NONE, buf_span(&ranges)});
    struct record_privates p = {.mailbox = 1,
                                .user = user,
                                .modseq = seq,
                                .mask = FLAG_SEEN,
                                .groups = buf_span(&groups)};
    record_privates_put(&meta, &p);
    fold_span(w, RECORD_PRIVATES, &meta, seq);
    buf_done(&meta);
    buf_done(&groups);
    buf_done(&ranges);
}

// Three messages, which so many users have read, are expunged.
static void
fold_expunged(struct index_fold *w, uint32_t users)
{
    enum { MESSAGES = 3 };
    struct mailbox_counts counts = {.uidnext = MESSAGES + 1, .exists = MESSAGES};
    struct buf meta, rows;
    buf_init(&meta, 4096);
    buf_init(&rows, 4096);
    record_account_put(&meta, &(struct record_account){SPAN("user"), 1, 1});
    fold_span(w, RECORD_ACCOUNT, &meta, 1);
    buf_reset(&meta);
    record_mailbox_put(
        &meta, &(struct record_mailbox){.id = 1, .name = SPAN("a"), .uidvalidity = 1});
    fold_span(w, RECORD_MAILBOX, &meta, 2);
    for (uint32_t uid = 1; uid <= MESSAGES; uid++)
        record_rows_add(&rows, &(struct record_row){.row = {.uid = uid, .modseq = 3}});
    buf_reset(&meta);
    record_copied_put(&meta, &(struct record_copied){1, counts, buf_span(&rows)});
    fold_span(w, RECORD_COPIED, &meta, 3);
    for (uint32_t i = 0; i < users; i++)
        fold_privates(w, 100 + i, MESSAGES, 4 + i);
    buf_reset(&meta);
    struct record_expunged e = {.mailbox = 1,
                                .modseq = 4 + users,
                                .counts = {.uidnext = MESSAGES + 1},
                                .uids = SPAN("\1\2")};
    record_expunged_put(&meta, &e);
    fold_span(w, RECORD_EXPUNGED, &meta, 4 + users);
    buf_done(&meta);
    buf_done(&rows);
}

// A page of tombstones that more marks belong to than are read at once is cut, and nothing is missed.
static void
test_too_many_marks(void **unused)
{
    enum { USERS = LIMIT_tombstone_marks / 2 + 1 };
    (void)unused;
    struct fault f;
    struct store_tombstones page = {.a = arena_new(), .max = 100, .marked = true};
    size_t pages = 0, marks = 0, found = 0;
    assert_int_equal(index_remove(folder, &f), R_OK);
    struct index *ix = open_index("identity");
    struct index_fold *w = index_fold_new(ix);
    fold_expunged(w, USERS);
    assert_int_equal(index_fold_commit(w, &f), R_OK);
    while (!page.last) {
        assert_int_equal(index_tombstones(ix, 1, 1, &page, &f), R_OK);
        assert_int_equal(page.n, 1);
        marks += page.mark_count;
        found += page.n;
        pages++;
        page.modseq = page.list[page.n - 1].modseq;
        page.uid = page.list[page.n - 1].row.uid;
    }
    assert_int_equal(found, 3);
    assert_int_equal(pages, 3);
    assert_int_equal(marks, 3 * (size_t)USERS);
    arena_free(&page.a);
    index_fold_free(&w);
    index_close(&ix);
}

static void
damage(off_t at, bool cut)
{
    char name[128];
    assert_true(snprintf(name, sizeof name, "%s/0/data.mdb", folder) > 0);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0);
    if (cut)
        assert_int_equal(ftruncate(fd, at), 0);
    else
        assert_int_equal(pwrite(fd, "garbage garbage garbage garbage ", 32, at), 32);
    close(fd);
}

static void
refused(const uint8_t id[16], const char *codec)
{
    struct index *ix;
    struct fault f = {0};
    assert_int_equal(index_open(folder, id, codec_by_name(codec), &ix, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    assert_true(f.why[0] != '\0');
    assert_int_equal(index_remove(folder, &f), R_OK);
    ix = open_index("identity");
    index_close(&ix);
}

static void
test_refused(void **unused)
{
    (void)unused;
    static const uint8_t other[16] = "another";
    fold_random("identity", 50, 5);
    refused(other, "identity");
    fold_random("identity", 50, 5);
    refused(uuid, "scramble");
    fold_random("identity", 50, 5);
    damage(20000, true);
    refused(uuid, "identity");
    fold_random("identity", 50, 5);
    damage(0, false);
    damage(4096, false);
    refused(uuid, "identity");
    index_distrust(folder);
    refused(uuid, "identity");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold_is_state), cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_rules),         cmocka_unit_test(test_too_many_marks),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
