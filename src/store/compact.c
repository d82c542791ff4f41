#include "store/blob_set.h"
#include "store/embedded.h"
#include "store/index_block.h"
#include "store/index_scan.h"

#include "io/task.h"

// Retention and compaction: tombstones that are old enough are forgotten (by records, through mail), then
// segments with many dead bodies are rewritten without them.

// OPEN_DEAD: dead octets for which the open segment is ended, so that it can be rewritten too
enum { DEAD_PERCENT = 30, OPEN_DEAD = 1 << 20 };

struct forgettable {
    uint64_t account, mailbox, modseq;
};

struct candidate {
    uint64_t account, blob;
    bool dropped;
};

struct compaction {
    struct store *s;
    int64_t now_s, before_s;  // what this account expunged up to then is over
    struct forgettable *forgettable;
    size_t forgettable_count;
    struct blob_set live;
    uint64_t position;  // records after it are live
    store_blob_in_use_fn *in_use;
    void *arg;
    // of the segment that is looked at
    uint64_t first_seq, octets, dead;
    struct candidate *candidates;
    size_t candidate_count;
    uint64_t freed;
    enum result result;
    struct fault fault;
};

// ---- what can be forgotten ----

static void
add_forgettable(struct compaction *c, uint64_t account, uint64_t mailbox, uint64_t modseq)
{
    struct forgettable *last =
        c->forgettable_count > 0 ? &c->forgettable[c->forgettable_count - 1] : NULL;
    if (last && last->account == account && last->mailbox == mailbox) {
        last->modseq = modseq > last->modseq ? modseq : last->modseq;
        return;
    }
    c->forgettable =
        reallocarray(c->forgettable, c->forgettable_count + 1, sizeof *c->forgettable);
    must(c->forgettable != NULL);
    c->forgettable[c->forgettable_count++] = (struct forgettable){account, mailbox, modseq};
}

static bool
is_over(const struct compaction *c, struct unpack *u)
{
    int64_t when_s = (int64_t)unpack_u64(u);
    return !u->bad && when_s <= c->before_s;
}

// The oldest tombstones of each mailbox, as long as they are over.
static enum result
find_tombstones(struct compaction *c, struct index_reader *r, uint64_t account,
                struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_TOMBSTONE);
    struct span begins = span_of(prefix.p, prefix.n), key, value;
    uint64_t kept = 0;  // a mailbox with a tombstone that is not over
    enum result found = index_seek(r, &prefix, begins, &key, &value, f);
    for (; found == R_OK; found = index_next(r, begins, &key, &value, f)) {
        uint64_t mailbox = index_key_get_u64(key, 9);
        struct unpack u = unpack_of(span_skip(value, INDEX_ROW_SIZE));
        if (mailbox == kept)
            continue;
        if (is_over(c, &u))
            add_forgettable(c, account, mailbox, index_key_get_u64(key, 17));
        else
            kept = mailbox;
    }
    return found;
}

static enum result
find_deleted(struct compaction *c, struct index_reader *r, uint64_t account,
             struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_DELETED);
    struct span begins = span_of(prefix.p, prefix.n), key, value;
    enum result found = index_seek(r, &prefix, begins, &key, &value, f);
    for (; found == R_OK; found = index_next(r, begins, &key, &value, f)) {
        struct unpack u = unpack_of(value);
        uint64_t modseq = unpack_u64(&u);
        if (is_over(c, &u))
            add_forgettable(c, account, index_key_get_u64(key, 9), modseq);
    }
    return found;
}

// The mailboxes of an account, ascending, and how many rows each should still have.
struct missing {
    struct {
        uint64_t mailbox, rows;
    } * of;
    size_t n, at;
};

static enum result
missing_load(struct missing *m, struct index_reader *r, uint64_t account, struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_MAILBOX);
    struct span begins = span_of(prefix.p, prefix.n), key, value;
    struct mailbox_row row;
    enum result found = index_seek(r, &prefix, begins, &key, &value, f);
    for (; found == R_OK; found = index_next(r, begins, &key, &value, f)) {
        if (index_mailbox_get(value, &row) != R_OK)
            return index_fault(r->ix, MDB_CORRUPTED, "mailbox", f);
        m->of = index_list_add(m->of, m->n, sizeof *m->of);
        m->of[m->n].mailbox = row.id;
        m->of[m->n++].rows = row.counts.exists;
    }
    return found;
}

// Rows of a deleted mailbox are there without it.
static void
missing_found(struct missing *m, uint64_t mailbox, uint32_t rows)
{
    while (m->at < m->n && m->of[m->at].mailbox < mailbox)
        m->at++;
    if (m->at < m->n && m->of[m->at].mailbox == mailbox)
        m->of[m->at].rows -= rows;
}

static enum result
missing_none(const struct missing *m, struct index_reader *r, uint64_t account,
             struct fault *f)
{
    struct index_position p;
    if (index_read_position(r, &p, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < m->n && !index_is_in_parts(&p, account); i++)
        if (m->of[i].rows != 0)
            return index_fault(r->ix, MDB_CORRUPTED, "rows are missing", f);
    return R_OK;
}

// Mark the blobs of all rows; of tombstones. A row that is not there would cost its message the body.
static enum result
mark_found(struct compaction *c, struct index_reader *r, uint64_t account,
           struct missing *missing, struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_ROW);
    struct span begins = span_of(prefix.p, prefix.n), key, value;
    struct index_block block;
    enum result found = index_seek(r, &prefix, begins, &key, &value, f);
    for (; found == R_OK; found = index_next(r, begins, &key, &value, f)) {
        if (index_block_get(key, value, &block) != R_OK)
            return index_fault(r->ix, MDB_CORRUPTED, "rows", f);
        for (uint32_t i = 0; i < block.n; i++)
            blob_set_add(&c->live, block.rows[i].blob);
        missing_found(missing, index_key_get_u64(key, 9), block.n);
    }
    return found;
}

static enum result
mark_rows(struct compaction *c, struct index_reader *r, uint64_t account, struct fault *f)
{
    struct missing missing = {0};
    enum result done = missing_load(&missing, r, account, f);
    if (done != R_FAIL)
        done = mark_found(c, r, account, &missing, f);
    if (done != R_FAIL)
        done = missing_none(&missing, r, account, f);
    free(missing.of);
    return done;
}

static enum result
mark_tombstones(struct compaction *c, struct index_reader *r, uint64_t account,
                struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_TOMBSTONE);
    struct span begins = span_of(prefix.p, prefix.n), key, value;
    struct index_row row;
    enum result found = index_seek(r, &prefix, begins, &key, &value, f);
    for (; found == R_OK; found = index_next(r, begins, &key, &value, f)) {
        if (index_row_get(value, &row) != R_OK)
            return index_fault(r->ix, MDB_CORRUPTED, "tombstone", f);
        blob_set_add(&c->live, row.row.blob);
    }
    return found;
}

typedef enum result account_fn(struct compaction *c, struct index_reader *r,
                               uint64_t account, struct fault *f);

static enum result
find_retention(struct compaction *c, struct index_reader *r, uint64_t account,
               struct fault *f)
{
    struct index_key key = index_key(account, INDEX_VALUE);
    struct span found, row, value = SPAN_NONE;
    index_key_u64(&key, 0);
    index_key_hash(&key, store_retention_key);
    enum result got = index_seek(r, &key, span_of(key.p, key.n), &found, &row, f);
    if (got == R_OK) {
        struct unpack u = unpack_of(row);
        (void)unpack_u64(&u);   // modseq
        (void)unpack_span(&u);  // the key
        value = unpack_span(&u);
        if (unpack_end(&u) != R_OK)
            return index_fault(r->ix, MDB_CORRUPTED, "retention", f);
    }
    c->before_s = c->now_s - store_retention_of(c->s, value);
    return got == R_FAIL ? R_FAIL : R_OK;
}

static enum result
find_account(struct compaction *c, struct index_reader *r, uint64_t account,
             struct fault *f)
{
    if (find_retention(c, r, account, f) != R_OK)
        return R_FAIL;
    if (find_tombstones(c, r, account, f) == R_FAIL)
        return R_FAIL;
    return find_deleted(c, r, account, f);
}

static enum result
mark_account(struct compaction *c, struct index_reader *r, uint64_t account,
             struct fault *f)
{
    if (mark_rows(c, r, account, f) == R_FAIL)
        return R_FAIL;
    return mark_tombstones(c, r, account, f);
}

// One reader per account, so that none is long.
static enum result
each_account(struct compaction *c, account_fn *fn, struct fault *f)
{
    uint64_t *ids;
    size_t n;
    enum result r = R_OK;
    if (index_accounts(c->s->index, &ids, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n && r != R_FAIL; i++) {
        struct index_reader reader;
        if (index_read_begin(c->s->index, &reader, f) != R_OK) {
            r = R_FAIL;
            break;
        }
        r = fn(c, &reader, ids[i], f);
        index_read_end(&reader);
    }
    free(ids);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static void
find_forgettable(void *arg)
{
    struct compaction *c = arg;
    c->result = each_account(c, find_account, &c->fault);
}

// ---- segments ----

static bool
is_live(struct compaction *c, uint64_t blob)
{
    if (c->first_seq + (blob & UINT32_MAX) > c->position || blob_set_has(&c->live, blob))
        return true;
    return c->in_use && c->in_use(blob, c->arg);
}

static enum result
weigh(const struct journal_record *r, void *arg, struct fault *f)
{
    struct compaction *c = arg;
    const struct record_header *h = &r->header;
    (void)f;
    if (h->type != RECORD_ADDED || (h->flags & RECORD_BODY_DROPPED) || h->body_plain == 0)
        return R_OK;
    uint64_t octets = journal_body_octets(c->s->journal, h);
    if (h->flags & RECORD_BODY_EXTERNAL)
        c->octets += octets;
    if (is_live(c, r->place.blob))
        return R_OK;
    c->dead += octets;
    c->candidates =
        reallocarray(c->candidates, c->candidate_count + 1, sizeof *c->candidates);
    must(c->candidates != NULL);
    c->candidates[c->candidate_count++] =
        (struct candidate){h->account, r->place.blob, false};
    return R_OK;
}

static struct candidate *
find_candidate(struct compaction *c, uint64_t blob)
{
    size_t low = 0, high = c->candidate_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->candidates[middle].blob < blob)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->candidate_count && c->candidates[low].blob == blob ? &c->candidates[low]
                                                                       : NULL;
}

static bool
keep_body(uint64_t blob, void *arg)
{
    struct compaction *c = arg;
    struct candidate *candidate = find_candidate(c, blob);
    if (!candidate || is_live(c, blob))
        return true;
    candidate->dropped = true;
    return false;
}

static enum result
drop_from_index(struct compaction *c, struct fault *f)
{
    struct index_body *bodies = calloc(c->candidate_count + 1, sizeof *bodies);
    size_t n = 0;
    must(bodies != NULL);
    for (size_t i = 0; i < c->candidate_count; i++)
        if (c->candidates[i].dropped)
            bodies[n++] =
                (struct index_body){c->candidates[i].account, c->candidates[i].blob};
    enum result r = index_bodies_drop(c->s->index, bodies, n, f);
    free(bodies);
    return r;
}

// Of the segment that was weighed.
static bool
is_worth_it(const struct compaction *c, bool sealed)
{
    if (!sealed && c->dead < OPEN_DEAD)
        return false;
    return c->dead > 0 && c->dead * 100 >= c->octets * DEAD_PERCENT;
}

static enum result
compact_segment(struct compaction *c, uint32_t number, struct fault *f)
{
    struct journal_segment g = journal_segment_get(c->s->journal, number);
    struct journal_scan scan = {.from = g.first_seq,
                                .to = g.first_seq + g.records,
                                .headers_only = true,
                                .record = weigh,
                                .arg = c};
    uint64_t freed = 0;
    if (g.records == 0)
        return R_OK;
    c->first_seq = g.first_seq;
    c->octets = g.octets;
    c->dead = 0;
    c->candidate_count = 0;
    if (journal_scan(c->s->journal, &scan, f) != R_OK)
        return R_FAIL;
    if (!is_worth_it(c, g.sealed))
        return R_OK;
    if (!g.sealed && journal_seal(c->s->journal, number, f) != R_OK)
        return R_FAIL;
    if (journal_rewrite(c->s->journal, number, keep_body, c, &freed, f) != R_OK)
        return R_FAIL;
    c->freed += freed;
    return drop_from_index(c, f);
}

// The index stands still while the rows are read; what is not folded yet is younger than `position`.
static enum result
mark_live(struct compaction *c, struct fault *f)
{
    fold_pause(c->s->fold);
    c->position = fold_position(c->s->fold);
    enum result r = each_account(c, mark_account, f);
    fold_resume(c->s->fold);
    return r;
}

static void
rewrite_segments(void *arg)
{
    struct compaction *c = arg;
    uint32_t count = journal_segment_count(c->s->journal);
    c->live = blob_set_new(c->s->journal);
    c->result = mark_live(c, &c->fault);
    for (uint32_t number = 1; number <= count && c->result == R_OK; number++)
        c->result = compact_segment(c, number, &c->fault);
    blob_set_done(&c->live);
}

static enum result
forget_all(struct compaction *c, store_forget_fn *forget, struct fault *f)
{
    for (size_t i = 0; i < c->forgettable_count; i++) {
        const struct forgettable *g = &c->forgettable[i];
        if (forget(g->account, g->mailbox, g->modseq, c->arg) == R_FAIL)
            return fault_set(f, FAULT_UNAVAILABLE,
                             "tombstones of account %llu were not forgotten",
                             (unsigned long long)g->account);
    }
    return fold_flush(c->s->fold, 0, f);
}

static enum result
run(struct compaction *c, task_fn *fn, struct fault *f)
{
    pool_run(c->s->pool, fn, c);
    if (c->result != R_OK)
        *f = c->fault;
    return c->result;
}

enum result
embedded_compact(struct store *s, const struct store_compaction *how, uint64_t *freed_out,
                 struct fault *f)
{
    struct compaction c = {
        .s = s, .now_s = how->now_s, .in_use = how->in_use, .arg = how->arg};
    enum result r = fold_flush(s->fold, 0, f);
    if (r == R_OK)
        r = run(&c, find_forgettable, f);
    if (r == R_OK)
        r = forget_all(&c, how->forget, f);
    if (r == R_OK)
        r = run(&c, rewrite_segments, f);
    if (r == R_OK)
        *freed_out = c.freed;
    free(c.forgettable);
    free(c.candidates);
    return r;
}
