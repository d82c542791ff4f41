// Figures for docs/decisions/0004-index-rows.md: index_bench FOLDER (an empty directory on the disk to measure).

#include "base/clock.h"
#include "store/index_fold.h"

#include <time.h>

enum { ROWS = 1000000, ADDED = 200000, PAGE = 128, UPDATES = 8192 };

static uint64_t started, started_cpu;

static uint64_t
cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
begin(void)
{
    started = clock_mono_us();
    started_cpu = cpu_us();
}

static void
end(const char *what, uint64_t n)
{
    uint64_t us = clock_mono_us() - started, cpu = cpu_us() - started_cpu;
    printf("%-40s %8.1f ms %8.1f ms CPU %10.0f /s of CPU\n", what, (double)us / 1000,
           (double)cpu / 1000, (double)n * 1e6 / (double)(cpu + 1));
}

static struct message_row
row_of(uint32_t uid)
{
    return (struct message_row){.uid = uid,
                                .size = 4000,
                                .modseq = 9,
                                .emailid = uid,
                                .threadid = uid,
                                .internal_date = 1700000000,
                                .save_date = 1700000000,
                                .blob = 1ull << 32 | uid};
}

static void
fold(struct index_fold *w, enum record_type type, const struct buf *meta, uint64_t seq)
{
    struct fault f;
    struct index_record r = {1, type, buf_span(meta), {seq, 1ull << 32 | seq}, true};
    must(index_fold_record(w, &r, &f) == R_OK);
    if (index_fold_full(w))
        must(index_fold_commit(w, &f) == R_OK);
}

static void
fold_mailbox(struct index_fold *w, struct buf *meta, uint64_t id, uint64_t seq)
{
    struct record_mailbox m = {
        .id = id, .modseq = 1, .name = SPAN("box"), .uidvalidity = 1};
    buf_reset(meta);
    record_mailbox_put(meta, &m);
    fold(w, RECORD_MAILBOX, meta, seq);
}

static void
fold_copied(struct index_fold *w, struct buf *meta, uint64_t *seq)
{
    struct buf rows;
    buf_init(&rows, SIZE_MAX);
    fold_mailbox(w, meta, 1, ++*seq);
    begin();
    for (uint32_t uid = 1; uid <= ROWS; uid++) {
        struct record_row row = {.row = row_of(uid)};
        record_rows_add(&rows, &row);
        if (uid % 10000 != 0)
            continue;
        struct record_copied c = {
            .mailbox = 1, .counts = {uid + 1, uid, uid, 0, 1, 9}, .rows = buf_span(&rows)};
        buf_reset(meta);
        record_copied_put(meta, &c);
        fold(w, RECORD_COPIED, meta, ++*seq);
        buf_reset(&rows);
    }
    must(index_fold_commit(w, &(struct fault){0}) == R_OK);
    end("fold: rows of COPIED records", ROWS);
    buf_done(&rows);
}

static void
fold_added(struct index_fold *w, struct buf *meta, uint64_t *seq)
{
    char cache[600] = "cache";
    fold_mailbox(w, meta, 2, ++*seq);
    begin();
    for (uint32_t uid = 1; uid <= ADDED; uid++) {
        struct record_added a = {.mailbox = 2,
                                 .row = row_of(uid),
                                 .cache = span_of(cache, sizeof cache),
                                 .thread_keys = span_of(cache, 32),
                                 .counts = {uid + 1, uid, uid, 0, 1, 9}};
        buf_reset(meta);
        record_added_put(meta, &a);
        fold(w, RECORD_ADDED, meta, ++*seq);
    }
    must(index_fold_commit(w, &(struct fault){0}) == R_OK);
    end("fold: ADDED records with a cache of 600", ADDED);
}

static void
load_table(struct index *ix)
{
    struct index_table t = {.expected = ROWS};
    struct fault f;
    begin();
    must(index_load_table(ix, 1, 1, &t, &f) == R_OK && t.table.count == ROWS);
    end("table load: single rows", ROWS);
    message_table_done(&t.table);
}

static void
find_caches(struct index *ix, uint64_t from)
{
    struct index_cache_reader r;
    struct fault f;
    struct span cache;
    begin();
    must(index_cache_begin(ix, &r, &f) == R_OK);
    for (uint64_t i = 0; i < ADDED; i++)
        must(index_cache_find(&r, 1ull << 32 | (from + i), &cache) == R_OK);
    index_cache_end(&r);
    end("cache lookups, ascending", ADDED);
}

// Single rows changed here and there: one FLAGS record each.
static void
update_rows(struct index_fold *w, struct buf *meta, uint64_t *seq)
{
    struct buf ranges, groups;
    buf_init(&ranges, 64);
    buf_init(&groups, 128);
    begin();
    for (uint32_t i = 0; i < UPDATES; i++) {
        buf_reset(&ranges);
        buf_reset(&groups);
        buf_reset(meta);
        uint32_t uid = 1 + i * 7919u % ROWS;
        record_ranges_add(&ranges, uid, uid);
        record_groups_add(&groups,
                          &(struct record_group){FLAG_SEEN, SPAN_NONE, buf_span(&ranges)});
        struct record_flags r = {.mailbox = 1,
                                 .modseq = 10 + i,
                                 .counts = {ROWS + 1, ROWS, ROWS, 0, 1, 10 + i},
                                 .groups = buf_span(&groups)};
        record_flags_put(meta, &r);
        fold(w, RECORD_FLAGS, meta, ++*seq);
    }
    must(index_fold_commit(w, &(struct fault){0}) == R_OK);
    end("single row changes: single rows", UPDATES);
    buf_done(&ranges);
    buf_done(&groups);
}

// ---- the other form: pages of 128 rows ----

static void
put_page(MDB_txn *txn, MDB_dbi dbi, uint32_t page, struct message_row *rows)
{
    uint32_t big = __builtin_bswap32(page);
    MDB_val k = {sizeof big, &big}, v = {PAGE * sizeof *rows, rows};
    must(mdb_put(txn, dbi, &k, &v, 0) == 0);
}

static void
write_pages(MDB_env *env, MDB_dbi *dbi)
{
    MDB_txn *txn;
    must(mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
         mdb_dbi_open(txn, "pages", MDB_CREATE, dbi) == 0);
    for (uint32_t page = 0; page < ROWS / PAGE; page++) {
        struct message_row rows[PAGE];
        for (uint32_t i = 0; i < PAGE; i++)
            rows[i] = row_of(page * PAGE + i + 1);
        put_page(txn, *dbi, page, rows);
    }
    must(mdb_txn_commit(txn) == 0);
}

static void
load_pages(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val k, v;
    struct message_table t = message_table_new(ROWS);
    begin();
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 &&
         mdb_cursor_open(txn, dbi, &c) == 0);
    while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0) {
        memcpy(t.rows + t.count, v.mv_data, v.mv_size);
        t.count += PAGE;
    }
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    end("table load: pages of 128", t.count);
    message_table_done(&t);
}

static void
update_pages(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn;
    begin();
    must(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    for (uint32_t i = 0; i < UPDATES; i++) {
        uint32_t row = i * 7919u % (ROWS / PAGE * PAGE),
                 big = __builtin_bswap32(row / PAGE);
        struct message_row rows[PAGE];
        MDB_val k = {sizeof big, &big}, v;
        must(mdb_get(txn, dbi, &k, &v) == 0);
        memcpy(rows, v.mv_data, sizeof rows);
        rows[row % PAGE].flags = FLAG_SEEN;
        put_page(txn, dbi, row / PAGE, rows);
    }
    must(mdb_txn_commit(txn) == 0);
    end("single row changes: pages of 128", UPDATES);
}

static void
compare_pages(struct index *ix)
{
    MDB_dbi dbi;
    write_pages(ix->env, &dbi);
    load_pages(ix->env, dbi);
    load_pages(ix->env, dbi);
    update_pages(ix->env, dbi);
}

int
main(int argc, char **argv)
{
    static const uint8_t uuid[16];
    struct index *ix;
    struct fault f;
    struct buf meta;
    uint64_t seq = 0;
    must(argc == 2 &&
         index_open(argv[1], uuid, codec_by_name("identity"), &ix, &f) == R_OK);
    buf_init(&meta, SIZE_MAX);
    struct index_fold *w = index_fold_new(ix);
    record_account_put(&meta, &(struct record_account){SPAN("bench"), 1, 1});
    fold(w, RECORD_ACCOUNT, &meta, ++seq);
    fold_copied(w, &meta, &seq);
    load_table(ix);
    load_table(ix);
    fold_added(w, &meta, &seq);
    find_caches(ix, seq - ADDED + 1);
    find_caches(ix, seq - ADDED + 1);
    update_rows(w, &meta, &seq);
    compare_pages(ix);
    index_fold_free(&w);
    index_close(&ix);
    buf_done(&meta);
    return 0;
}
