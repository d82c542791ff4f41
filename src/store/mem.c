#include "store/engine.h"

#include "store/batch.h"
#include "store/body.h"

#include <pthread.h>

// The test engine: the journal is a list in memory, there is no index. What is asked for is folded anew each
// time, so it is right by construction and slow with long histories.

struct mem_record {
    uint64_t account;
    enum record_type type;
    struct record_place place;
    struct span meta, body;  // owned; body is SPAN_NONE when there is none (any more)
};

struct mem_account {
    UT_hash_handle hh;
    uint64_t account;
    uint32_t *records;  // numbers
    size_t count;
};

struct mem {
    pthread_mutex_t mutex;
    struct mem_record **records;  // sequence - 1; records themselves never change
    size_t count, cap;
    struct mem_account *accounts;
    struct store_stats stats;
};

enum { MEM_SEGMENT = 1 };

static struct span
copy_of(struct span s)
{
    char *p = calloc(1, s.n + 1);
    must(p != NULL);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return span_of(p, s.n);
}

static enum result
mem_open(struct store *s, const struct store_options *o, struct fault *f)
{
    (void)o, (void)f;
    s->mem = calloc(1, sizeof *s->mem);
    must(s->mem != NULL);
    must(pthread_mutex_init(&s->mem->mutex, NULL) == 0);
    return R_OK;
}

static void
mem_close(struct store *s)
{
    struct mem *m = s->mem;
    struct mem_account *a, *next;
    for (size_t i = 0; i < m->count; i++) {
        free((char *)(uintptr_t)m->records[i]->meta.p);
        free((char *)(uintptr_t)m->records[i]->body.p);
        free(m->records[i]);
    }
    HASH_ITER(hh, m->accounts, a, next)
    {
        HASH_DELETE(hh, m->accounts, a);
        free(a->records);
        free(a);
    }
    pthread_mutex_destroy(&m->mutex);
    free(m->records);
    free(m);
}

// ---- commits ----

static struct mem_account *
account_of(struct mem *m, uint64_t account)
{
    struct mem_account *a;
    HASH_FIND(hh, m->accounts, &account, sizeof account, a);
    if (a)
        return a;
    a = calloc(1, sizeof *a);
    must(a != NULL);
    a->account = account;
    HASH_ADD(hh, m->accounts, account, sizeof a->account, a);
    return a;
}

static void
add_record(struct mem *m, struct store_batch *b, size_t i)
{
    struct mem_record *r = calloc(1, sizeof *r);
    struct mem_account *a = account_of(m, b->account);
    struct span body;
    must(r != NULL);
    if (m->count == m->cap) {
        m->cap = m->cap > 0 ? m->cap * 2 : 64;
        m->records = reallocarray(m->records, m->cap, sizeof(struct mem_record *));
        must(m->records != NULL);
    }
    a->records = reallocarray(a->records, a->count + 1, sizeof *a->records);
    must(a->records != NULL);
    a->records[a->count++] = (uint32_t)m->count;
    r->account = b->account;
    r->type = store_batch_type(b, i);
    r->meta = copy_of(store_batch_meta(b, i));
    r->place = (struct record_place){m->count + 1, (uint64_t)MEM_SEGMENT << 32 | m->count};
    if (b->records[i].body && body_plain(b->records[i].body, &body) == R_OK)
        r->body = copy_of(body);
    b->records[i].place = r->place;
    m->stats.bytes_written += r->meta.n + r->body.n;
    m->records[m->count++] = r;
}

static enum result
mem_commit(struct store *s, struct store_batch *b, struct fault *f)
{
    struct mem *m = s->mem;
    (void)f;
    pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < store_batch_count(b); i++)
        add_record(m, b, i);
    m->stats.commits++;
    m->stats.syncs++;
    m->stats.records = m->count;
    pthread_mutex_unlock(&m->mutex);
    return R_OK;
}

// ---- reading ----

// The account's records now; the caller frees the array.
static struct mem_record **
records_of(struct mem *m, uint64_t account, size_t *n_out)
{
    struct mem_account *a;
    pthread_mutex_lock(&m->mutex);
    HASH_FIND(hh, m->accounts, &account, sizeof account, a);
    size_t n = a ? a->count : 0;
    struct mem_record **list = calloc(n + 1, sizeof *list);
    must(list != NULL);
    for (size_t i = 0; i < n; i++)
        list[i] = m->records[a->records[i]];
    pthread_mutex_unlock(&m->mutex);
    *n_out = n;
    return list;
}

// Applies the account's records up to the sequence `to`.
static enum result
replay(struct mem *m, struct state *st, uint64_t to, struct fault *f)
{
    size_t n;
    enum result r = R_OK;
    struct mem_record **list = records_of(m, st->account, &n);
    for (size_t i = 0; i < n && r == R_OK && list[i]->place.seq <= to; i++)
        r = state_apply(st, list[i]->type, list[i]->meta, list[i]->place, f);
    free(list);
    return r;
}

static enum result
mem_state_load(struct store *s, uint64_t account, struct state **out, struct fault *f)
{
    struct state *st = state_new(account);
    enum result r = replay(s->mem, st, UINT64_MAX, f);
    if (r == R_OK && !st->inside->exists)
        r = R_NONE;
    if (r == R_OK)
        *out = st;
    else
        state_free(&st);
    return r;
}

static enum result
replay_keeping(struct store *s, struct state *st, struct state **out, struct fault *f)
{
    struct state *whole = state_new_keeping(st->account);
    if (replay(s->mem, whole, st->applied, f) != R_OK) {
        state_free(&whole);
        return R_FAIL;
    }
    *out = whole;
    return R_OK;
}

static enum result
mem_table_load(struct store *s, struct state *st, uint64_t mailbox, struct fault *f)
{
    struct mailbox_state *m = state_mailbox(st, mailbox), *from;
    struct state *whole;
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "the mailbox is gone");
    if (m->loaded)
        return R_OK;
    if (replay_keeping(s, st, &whole, f) != R_OK)
        return R_FAIL;
    from = state_mailbox(whole, mailbox);
    struct message_table t = {from->rows, state_entry(from)->count, from->row_cap,
                              from->sets};
    from->rows = NULL;
    from->sets = NULL;
    state_table_drop(from);
    state_table_install(m, &t);
    state_free(&whole);
    return state_table_check(m, f);
}

static enum result
mem_accounts(struct store *s, uint64_t **out, size_t *n_out, struct fault *f)
{
    struct mem *m = s->mem;
    size_t n = 0;
    pthread_mutex_lock(&m->mutex);
    uint64_t *ids = calloc(HASH_COUNT(m->accounts) + 1, sizeof *ids);
    must(ids != NULL);
    for (struct mem_account *a = m->accounts; a; a = a->hh.next) {
        size_t at = n++;
        for (; at > 0 && ids[at - 1] > a->account; at--)
            ids[at] = ids[at - 1];
        ids[at] = a->account;
    }
    pthread_mutex_unlock(&m->mutex);
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        struct state *st = NULL;
        enum result r = mem_state_load(s, ids[i], &st, f);
        if (r == R_FAIL) {
            free(ids);
            return R_FAIL;
        }
        if (r == R_OK)
            ids[to++] = ids[i];
        state_free(&st);
    }
    *out = ids;
    *n_out = to;
    return R_OK;
}

static enum result
mem_tombstones(struct store *s, struct state *st, uint64_t mailbox,
               struct store_tombstones *out, struct fault *f)
{
    struct state *whole;
    if (replay_keeping(s, st, &whole, f) != R_OK)
        return R_FAIL;
    const struct kept *k = whole->inside->kept;
    out->list = arena_array(out->a, k->tombstone_count, sizeof *out->list);
    out->n = 0;
    for (size_t i = 0; i < k->tombstone_count; i++) {
        const struct kept_row *t = &k->tombstones[i];
        bool behind =
            t->modseq > out->modseq || (t->modseq == out->modseq && t->row.uid > out->uid);
        if (t->mailbox == mailbox && behind && (out->max == 0 || out->n < out->max))
            out->list[out->n++] = (struct store_tombstone){
                t->row, t->modseq, t->when_s, t->moved, arena_dup(out->a, t->keywords)};
    }
    state_marks_list(k, mailbox, st->account, out);
    state_free(&whole);
    return R_OK;
}

static enum result
mem_deleted(struct store *s, struct state *st, struct store_deleted *out, struct fault *f)
{
    struct state *whole;
    struct store_deleted_mailbox **end = &out->first;
    if (replay_keeping(s, st, &whole, f) != R_OK)
        return R_FAIL;
    const struct kept *k = whole->inside->kept;
    *end = NULL;
    out->n = k->deleted_count;
    for (size_t i = 0; i < k->deleted_count; i++) {
        const struct mailbox_row *m = &k->deleted[i].row;
        struct store_deleted_mailbox *d = ARENA_NEW(out->a, struct store_deleted_mailbox);
        *d = (struct store_deleted_mailbox){.id = m->id,
                                            .parent = m->parent,
                                            .name = arena_dup(out->a, m->name),
                                            .uidvalidity = m->uidvalidity,
                                            .created_modseq = m->created_modseq,
                                            .modseq = k->deleted[i].modseq,
                                            .when_s = k->deleted[i].when_s,
                                            .special_use = m->special_use,
                                            .flags = m->flags,
                                            .counts = m->counts};
        *end = d;
        end = &d->next;
    }
    state_free(&whole);
    return out->n > out->max ? fault_set(f, FAULT_LIMIT, "too many deleted mailboxes")
                             : R_OK;
}

static enum result
mem_keywords(struct store *s, struct state *st, uint64_t mailbox,
             struct store_keywords *out, struct fault *f)
{
    struct state *whole;
    out->n = 0;
    if (replay_keeping(s, st, &whole, f) != R_OK)
        return R_FAIL;
    const struct kept *k = whole->inside->kept;
    for (size_t i = 0; i < k->deleted_count; i++) {
        const struct kept_mailbox *d = &k->deleted[i];
        if (d->row.id != mailbox)
            continue;
        out->names = arena_array(out->a, d->keyword_count, sizeof *out->names);
        for (; out->n < d->keyword_count; out->n++)
            out->names[out->n] = arena_dup(out->a, d->keywords[out->n]);
    }
    state_free(&whole);
    return R_OK;
}

static enum result
mem_privates(struct store *s, struct state *st, uint64_t mailbox, uint64_t user,
             struct store_privates *out, struct fault *f)
{
    struct state *whole;
    if (replay_keeping(s, st, &whole, f) != R_OK)
        return R_FAIL;
    state_privates_list(whole->inside->kept, mailbox, user, out);
    state_free(&whole);
    return R_OK;
}

static enum result
mem_private_users(struct store *s, struct state *st, struct store_private_users *out,
                  struct fault *f)
{
    struct state *whole;
    if (replay_keeping(s, st, &whole, f) != R_OK)
        return R_FAIL;
    state_private_users(whole->inside->kept, out);
    state_free(&whole);
    return R_OK;
}

static enum result
mem_thread_keys(struct store *s, struct state *st, struct store_thread_key **out,
                size_t *n_out, struct fault *f)
{
    size_t n, count = 0;
    struct mem_record **list = records_of(s->mem, st->account, &n);
    struct store_thread_key *keys = NULL;
    (void)f;
    for (size_t i = 0; i < n; i++) {
        struct record_added a;
        if (list[i]->type != RECORD_ADDED || record_added_get(list[i]->meta, &a) != R_OK)
            continue;
        keys = reallocarray(keys, count + a.thread_keys.n / 8 + 1, sizeof *keys);
        must(keys != NULL);
        for (struct unpack u = unpack_of(a.thread_keys); u.rest.n >= 8;)
            keys[count++] = (struct store_thread_key){unpack_u64(&u), a.row.threadid};
    }
    free(list);
    *out = keys;
    *n_out = count;
    return R_OK;
}

// NULL when there is no such record. Under the mutex.
static struct mem_record *
record_of(struct mem *m, uint64_t blob)
{
    uint64_t number = blob & UINT32_MAX;
    return blob >> 32 == MEM_SEGMENT && number < m->count ? m->records[number] : NULL;
}

static enum result
mem_blob_read(struct store *s, uint64_t blob, uint64_t offset, size_t len, char *dst,
              struct fault *f)
{
    struct mem *m = s->mem;
    pthread_mutex_lock(&m->mutex);
    const struct mem_record *r = record_of(m, blob);
    bool there = r && r->body.p && offset <= r->body.n && len <= r->body.n - offset;
    if (there && dst)
        memcpy(dst, r->body.p + offset, len);
    pthread_mutex_unlock(&m->mutex);
    return there ? R_OK : fault_set(f, FAULT_CORRUPTION, "no such octets of a body");
}

static void
mem_blob_readahead(struct store *s, uint64_t blob)
{
    (void)s, (void)blob;
}

static void
mem_cache_begin(struct store_cache_reader *r)
{
    (void)r;
}

static enum result
mem_cache_find(struct store_cache_reader *r, uint64_t blob, struct span *cache_out)
{
    struct mem *m = r->store->mem;
    struct record_added a = {0};
    pthread_mutex_lock(&m->mutex);
    const struct mem_record *record = record_of(m, blob);
    pthread_mutex_unlock(&m->mutex);
    if (!record || record->type != RECORD_ADDED ||
        record_added_get(record->meta, &a) != R_OK || a.cache.n == 0)
        return R_NONE;
    *cache_out = a.cache;
    return R_OK;
}

static void
mem_cache_end(struct store_cache_reader *r)
{
    (void)r;
}

// ---- keeping ----

static enum result
whole_state(struct store *s, uint64_t account, struct state **out, struct fault *f)
{
    struct state now = {.account = account, .applied = UINT64_MAX};
    return replay_keeping(s, &now, out, f);
}

static size_t
count_records(struct mem *m)
{
    pthread_mutex_lock(&m->mutex);
    size_t n = m->count;
    pthread_mutex_unlock(&m->mutex);
    return n;
}

static void
count_state(const struct state *st, struct store_verify_result *out)
{
    out->accounts++;
    out->mailboxes += st->mailbox_count;
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        out->messages += st->mailboxes[i]->counts.exists;
}

static enum result
mem_verify(struct store *s, store_report_fn *report, void *arg,
           struct store_verify_result *out, struct fault *f)
{
    struct store_verify_result found = {.records = count_records(s->mem)};
    uint64_t *ids;
    size_t n;
    (void)report, (void)arg;
    if (mem_accounts(s, &ids, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        struct state *st;
        if (whole_state(s, ids[i], &st, f) != R_OK) {
            free(ids);
            return R_FAIL;
        }
        count_state(st, &found);
        state_free(&st);
    }
    free(ids);
    found.bodies = found.messages;
    *out = found;
    return R_OK;
}

static enum result
mem_backup(struct store *s, store_sink_fn *sink, void *arg, struct fault *f)
{
    (void)s, (void)sink, (void)arg;
    return fault_set(f, FAULT_CANNOT,
                     "the engine mem keeps nothing that could be backed up");
}

// Tombstones whose retention is over, oldest first, as long as they come in that order.
static enum result
forget_old(struct store *s, struct state *st, int64_t now_s, store_forget_fn *forget,
           void *arg)
{
    struct span own;
    bool has = state_meta_find(st, 0, store_retention_key, &own) == R_OK;
    int64_t before_s = now_s - store_retention_of(s, has ? own : SPAN_NONE);
    const struct kept *k = st->inside->kept;
    enum result r = R_OK;
    for (size_t i = 0; i < k->tombstone_count && r != R_FAIL; i++) {
        const struct kept_row *t = &k->tombstones[i];
        bool last = i + 1 == k->tombstone_count ||
                    k->tombstones[i + 1].mailbox != t->mailbox ||
                    k->tombstones[i + 1].when_s > before_s;
        if (last && t->when_s <= before_s)
            r = forget(st->account, t->mailbox, t->modseq, arg);
    }
    return r;
}

static void
mark(const struct state *st, bool *live, size_t n)
{
    const struct kept *k = st->inside->kept;
    for (size_t i = 0; i < k->tombstone_count; i++)
        if ((k->tombstones[i].row.blob & UINT32_MAX) < n)
            live[k->tombstones[i].row.blob & UINT32_MAX] = true;
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        for (uint32_t row = 0; row < st->mailboxes[i]->counts.exists; row++)
            if ((st->mailboxes[i]->rows[row].blob & UINT32_MAX) < n)
                live[st->mailboxes[i]->rows[row].blob & UINT32_MAX] = true;
}

static uint64_t
drop_dead(struct mem *m, const bool *live, size_t n, store_blob_in_use_fn *in_use,
          void *arg)
{
    uint64_t freed = 0;
    pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < n; i++) {
        struct mem_record *r = m->records[i];
        if (live[i] || !r->body.p || (in_use && in_use(r->place.blob, arg)))
            continue;
        freed += r->body.n;
        free((char *)(uintptr_t)r->body.p);
        r->body = SPAN_NONE;
    }
    pthread_mutex_unlock(&m->mutex);
    return freed;
}

static enum result
mem_compact(struct store *s, const struct store_compaction *c, uint64_t *freed_out,
            struct fault *f)
{
    uint64_t *ids = NULL;
    size_t n = 0, records = count_records(s->mem);
    enum result r = mem_accounts(s, &ids, &n, f);
    bool *live = calloc(records + 1, sizeof *live);
    must(live != NULL);
    for (size_t i = 0; n > 0 && i < 2 * n && r == R_OK; i++) {
        struct state *st;
        r = whole_state(s, ids[i % n], &st, f);
        if (r != R_OK)
            break;
        if (i < n && forget_old(s, st, c->now_s, c->forget, c->arg) == R_FAIL)
            r = fault_set(f, FAULT_UNAVAILABLE, "tombstones could not be forgotten");
        else if (i >= n)
            mark(st, live, records);
        state_free(&st);
    }
    if (r == R_OK)
        *freed_out = drop_dead(s->mem, live, records, c->in_use, c->arg);
    free(ids);
    free(live);
    return r;
}

static enum result
mem_checkpoint(struct store *s, struct fault *f)
{
    (void)s, (void)f;
    return R_OK;
}

static void
mem_stats(struct store *s, struct store_stats *out)
{
    pthread_mutex_lock(&s->mem->mutex);
    *out = s->mem->stats;
    pthread_mutex_unlock(&s->mem->mutex);
}

const struct engine mem_engine = {
    .name = "mem",
    .open = mem_open,
    .close = mem_close,
    .state_load = mem_state_load,
    .table_load = mem_table_load,
    .accounts = mem_accounts,
    .tombstones = mem_tombstones,
    .deleted = mem_deleted,
    .keywords = mem_keywords,
    .privates = {mem_privates, mem_private_users},
    .thread_keys = mem_thread_keys,
    .commit = mem_commit,
    .blob_read = mem_blob_read,
    .blob_readahead = mem_blob_readahead,
    .cache_begin = mem_cache_begin,
    .cache_find = mem_cache_find,
    .cache_end = mem_cache_end,
    .verify = mem_verify,
    .backup = mem_backup,
    .compact = mem_compact,
    .checkpoint = mem_checkpoint,
    .stats = mem_stats,
    .derived = &derived_mem,
};
