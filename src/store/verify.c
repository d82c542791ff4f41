#include "store/blob_set.h"
#include "store/embedded.h"
#include "store/index_block.h"

#include "io/task.h"
#include "store/derived.h"

#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

// Verification: the whole journal is read (every checksum, every body) and folded into a second index, which is
// then compared with the live one entry by entry while the live one stands still.

struct mailbox_sum {
    UT_hash_handle hh;
    uint64_t id;
    struct mailbox_counts want, got;
};

enum { LINES_MAX = 1 << 20 };

struct verification {
    struct store *s;
    struct buf lines;  // what is wrong, each ends with a NUL; told by the caller's thread
    struct store_verify_result found;
    struct fold *fold;  // of the second index
    struct index *index;
    struct blob_set bodies;
    uint64_t account;  // whose rows are counted
    struct mailbox_sum *sums;
    enum result result;
    struct fault fault;
};

PRINTF_LIKE(2, 3)
static void
error(struct verification *v, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    v->found.errors++;
    buf_put(&v->lines,
            span_of(line, strlen(line) + 1));  // what is too much is only counted
}

// ---- the journal ----

static void
note_damage(const char *line, void *arg)
{
    error(arg, "%s", line);
}

static enum result
note_record(const struct journal_record *r, void *arg, struct fault *f)
{
    struct verification *v = arg;
    struct index_record record = {.account = r->header.account,
                                  .type = (enum record_type)r->header.type,
                                  .meta = r->meta,
                                  .place = r->place,
                                  .with_body =
                                      (r->header.flags & RECORD_BODY_DROPPED) == 0};
    struct fault why;
    v->found.records++;
    if (record.type == RECORD_ADDED && record.with_body) {
        v->found.bodies++;
        blob_set_add(&v->bodies, r->place.blob);
    }
    if (fold_replay(v->fold, &record, &why) == R_OK)
        return R_OK;
    if (why.kind == FAULT_DISK) {
        *f = why;
        return R_FAIL;
    }
    error(v, "%s", why.why);
    return R_OK;
}

static enum result
read_journal(struct verification *v, uint64_t from, uint64_t to, struct fault *f)
{
    struct journal_scan scan = {.from = from,
                                .to = to,
                                .bodies = true,
                                .record = note_record,
                                .damage = note_damage,
                                .arg = v};
    if (from < to && journal_scan(v->s->journal, &scan, f) != R_OK)
        return R_FAIL;
    return fold_replay_end(v->fold, f);
}

// ---- counts ----

static struct mailbox_sum *
sum_of(struct verification *v, uint64_t mailbox)
{
    struct mailbox_sum *m;
    HASH_FIND(hh, v->sums, &mailbox, sizeof mailbox, m);
    return m;
}

static void
end_account(struct verification *v)
{
    struct mailbox_sum *m, *next;
    HASH_ITER(hh, v->sums, m, next)
    {
        const struct mailbox_counts *w = &m->want, *g = &m->got;
        if (w->exists != g->exists || w->unseen != g->unseen || w->deleted != g->deleted ||
            w->size != g->size || g->uidnext >= w->uidnext)
            error(v, "account %llu mailbox %llu: header counts %u/%u/%u, rows %u/%u/%u",
                  (unsigned long long)v->account, (unsigned long long)m->id, w->exists,
                  w->unseen, w->deleted, g->exists, g->unseen, g->deleted);
        HASH_DELETE(hh, v->sums, m);
        free(m);
    }
}

static void
begin_mailbox(struct verification *v, struct span value)
{
    struct mailbox_row row;
    if (index_mailbox_get(value, &row) != R_OK) {
        error(v, "account %llu: a mailbox header cannot be read",
              (unsigned long long)v->account);
        return;
    }
    struct mailbox_sum *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->id = row.id;
    m->want = row.counts;
    HASH_ADD(hh, v->sums, id, sizeof m->id, m);
    v->found.mailboxes++;
}

static void
check_body(struct verification *v, struct span key, const struct message_row *row)
{
    if (!blob_set_has(&v->bodies, row->blob))
        error(v, "account %llu mailbox %llu uid %u: the body is missing",
              (unsigned long long)v->account, (unsigned long long)index_key_get_u64(key, 9),
              row->uid);
}

static void
check_tombstone(struct verification *v, struct span key, struct span value)
{
    struct index_row row;
    if (index_row_get(value, &row) == R_OK)
        check_body(v, key, &row.row);
    else
        error(v, "account %llu: a row cannot be read", (unsigned long long)v->account);
}

static void
count_row(struct mailbox_counts *got, const struct message_row *row)
{
    got->exists++;
    got->size += row->size;
    got->unseen += (row->flags & FLAG_SEEN) == 0;
    got->deleted += (row->flags & FLAG_DELETED) != 0;
    got->uidnext = row->uid;
}

// Rows of a mailbox that was deleted are tombstones.
static void
check_rows(struct verification *v, struct span key, struct span value)
{
    struct index_block block;
    struct mailbox_sum *m = sum_of(v, index_key_get_u64(key, 9));
    if (index_block_get(key, value, &block) != R_OK) {
        error(v, "account %llu: rows cannot be read", (unsigned long long)v->account);
        return;
    }
    for (uint32_t i = 0; i < block.n; i++) {
        check_body(v, key, &block.rows[i]);
        if (m)
            count_row(&m->got, &block.rows[i]);
    }
    v->found.messages += m ? block.n : 0;
}

static void
check_entry(struct verification *v, struct span key, struct span value)
{
    uint64_t account = index_key_get_u64(key, 0);
    if (account != v->account)
        end_account(v);
    v->account = account;
    switch (key.p[8]) {
    case INDEX_ACCOUNT:
        v->found.accounts++;
        break;
    case INDEX_MAILBOX:
        begin_mailbox(v, value);
        break;
    case INDEX_ROW:
        check_rows(v, key, value);
        break;
    case INDEX_TOMBSTONE:
        check_tombstone(v, key, value);
        break;
    default:
        break;
    }
}

// ---- comparison ----

struct side {
    struct index_reader r;
    struct span key, value;
    enum result now;
};

static void
describe(char *out, size_t size, struct span key)
{
    int n = snprintf(out, size, "account %llu, entry %c",
                     (unsigned long long)index_key_get_u64(key, 0), key.p[8]);
    if (key.n >= 17)
        n += snprintf(out + n, size - (size_t)n, ", mailbox %llu",
                      (unsigned long long)index_key_get_u64(key, 9));
    if (key.n == 21 && key.p[8] == INDEX_ROW)
        snprintf(out + n, size - (size_t)n, ", UIDs from %u to %u", index_block_first(key),
                 index_block_last(key));
    else if (key.n == 21)
        snprintf(out + n, size - (size_t)n, ", number %u", index_key_get_u32(key, 17));
}

// Thread keys of dropped bodies may be left over by a crash.
static void
report_difference(struct verification *v, int order, const struct side *live,
                  const struct side *full)
{
    char what[128];
    describe(what, sizeof what, order < 0 ? live->key : full->key);
    if (order < 0 && live->key.p[8] != INDEX_THREAD)
        error(v, "index: %s: is not in the journal", what);
    else if (order > 0)
        error(v, "index: %s: is missing", what);
    else if (order == 0)
        error(v, "index: %s: differs from the journal", what);
}

static int
order_of(const struct side *live, const struct side *full)
{
    if (live->now != R_OK)
        return 1;
    return full->now == R_OK ? span_cmp(live->key, full->key) : -1;
}

static void
step(struct side *side, bool first, struct fault *f)
{
    static const struct index_key start = {.n = 8};
    side->now = first ? index_seek(&side->r, &start, SPAN_NONE, &side->key, &side->value, f)
                      : index_next(&side->r, SPAN_NONE, &side->key, &side->value, f);
}

static enum result
compare_sides(struct verification *v, struct side *live, struct side *full, struct fault *f)
{
    step(live, true, f);
    step(full, true, f);
    while (live->now == R_OK || full->now == R_OK) {
        int order = order_of(live, full);
        if (order != 0 || !span_eq(live->value, full->value))
            report_difference(v, order, live, full);
        if (order <= 0)
            check_entry(v, live->key, live->value);
        if (order <= 0)
            step(live, false, f);
        if (order >= 0)
            step(full, false, f);
        if (live->now == R_FAIL || full->now == R_FAIL)
            return R_FAIL;
    }
    end_account(v);
    return live->now == R_FAIL || full->now == R_FAIL ? R_FAIL : R_OK;
}

static void
note_cache(uint64_t blob, void *arg)
{
    error(arg, "index: the cache of body %llx is missing or differs",
          (unsigned long long)blob);
}

static enum result
compare(struct verification *v, struct fault *f)
{
    struct side live = {0}, full = {0};
    if (index_read_begin(v->s->index, &live.r, f) != R_OK)
        return R_FAIL;
    if (index_read_begin(v->index, &full.r, f) != R_OK) {
        index_read_end(&live.r);
        return R_FAIL;
    }
    enum result r = compare_sides(v, &live, &full, f);
    index_read_end(&live.r);
    index_read_end(&full.r);
    return r == R_OK ? index_caches_compare(v->s->index, v->index, note_cache, v, f)
                     : R_FAIL;
}

static enum result
open_second(struct verification *v, const char *folder, struct fault *f)
{
    if (index_remove(folder, f) != R_OK ||
        index_open(folder, v->s->folder.uuid, v->s->codec, &v->index, f) != R_OK)
        return R_FAIL;
    v->fold = fold_new(&(struct fold_options){.index = v->index});
    return R_OK;
}

// Most of the journal while the store works on, the rest and the comparison while the fold is paused.
static enum result
verify(struct verification *v, struct fault *f)
{
    uint64_t first_to = fold_position(v->s->fold) + 1;
    if (read_journal(v, 1, first_to, f) != R_OK)
        return R_FAIL;
    fold_pause(v->s->fold);
    enum result r = read_journal(v, first_to, fold_position(v->s->fold) + 1, f);
    if (r == R_OK)
        r = compare(v, f);
    fold_resume(v->s->fold);
    return r;
}

static void
verify_job(void *arg)
{
    struct verification *v = arg;
    char folder[PATH_MAX];
    embedded_index_folder(folder, sizeof folder, v->s->path, "index/verify");
    v->bodies = blob_set_new(v->s->journal);
    v->result = open_second(v, folder, &v->fault);
    if (v->result == R_OK)
        v->result = verify(v, &v->fault);
    fold_free(&v->fold);
    index_close(&v->index);
    blob_set_done(&v->bodies);
    struct fault ignored;  // a file that is left over is removed by the next verification
    if (index_remove(folder, &ignored) == R_OK) {
        char zero[PATH_MAX];
        embedded_index_folder(zero, sizeof zero, folder, "0");
        rmdir(zero);
        rmdir(folder);
    }
}

// ---- derived strings ----

static enum result
read_whole(struct derived *d, struct fault *f)
{
    enum { PIECE = 65536 };
    enum result r = R_OK;
    char *piece = calloc(1, PIECE);
    must(piece != NULL);
    for (uint64_t at = 0; at < derived_size(d) && r == R_OK; at += PIECE) {
        uint64_t rest = derived_size(d) - at;
        r = derived_read(d, at, piece, rest < PIECE ? (size_t)rest : PIECE, f);
        task_yield();
    }
    free(piece);
    return r;
}

// What is damaged is told; whoever uses it makes it anew. Only the disk itself is a fault.
static enum result
verify_strings(struct verification *v, uint64_t account, struct fault *f)
{
    struct derived_list list = {.a = arena_new()};
    enum result r = derived_list(v->s, account, &list, f);
    for (size_t i = 0; i < list.n && r != R_FAIL; i++) {
        struct derived *d = NULL;
        r = derived_open(v->s, account, list.entries[i].name, &d, f);
        if (r == R_OK)
            r = read_whole(d, f);
        derived_close(&d);
        if (r == R_FAIL && f->kind == FAULT_CORRUPTION) {
            error(v, "%s; it will be made anew", f->why);
            r = R_OK;
        }
    }
    arena_free(&list.a);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
verify_derived(struct verification *v, struct fault *f)
{
    struct arena *a = arena_new();
    uint64_t *ids;
    size_t n = 0;
    enum result r = derived_accounts(v->s, a, &ids, &n, f);
    for (size_t i = 0; i < n && r == R_OK; i++)
        r = verify_strings(v, ids[i], f);
    arena_free(&a);
    return r;
}

static void
tell(const struct buf *lines, store_report_fn *report, void *arg)
{
    for (size_t at = 0; report && at < lines->n; at += strlen(lines->p + at) + 1)
        report(lines->p + at, arg);
}

enum result
embedded_verify(struct store *s, store_report_fn *report, void *arg,
                struct store_verify_result *out, struct fault *f)
{
    struct verification v = {.s = s};
    if (fold_flush(s->fold, 0, f) != R_OK)
        return R_FAIL;
    buf_init(&v.lines, LINES_MAX);
    pool_run(s->pool, verify_job, &v);
    if (v.result == R_OK)
        v.result = verify_derived(&v, &v.fault);
    tell(&v.lines, report, arg);
    buf_done(&v.lines);
    if (v.result != R_OK) {
        *f = v.fault;
        return R_FAIL;
    }
    *out = v.found;
    return R_OK;
}
