#include "store/index_fold.h"

#include "base/hash.h"

enum { HEADERS_MAX = 4096 };

struct index_fold *
index_fold_new(struct index *ix)
{
    struct index_fold *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->ix = ix;
    w->ops_max = INDEX_OPS;
    buf_init(&w->scratch, SIZE_MAX);
    w->block.arena = arena_new();
    return w;
}

void
fold_header_drop(struct index_fold *w, struct header *h)
{
    HASH_DELETE(hh, w->headers, h);
    buf_done(&h->name);
    free(h);
}

static void
drop_headers(struct index_fold *w)
{
    struct header *h, *next;
    HASH_ITER(hh, w->headers, h, next)
    {
        fold_header_drop(w, h);
    }
}

void
index_fold_abort(struct index_fold *w)
{
    if (w->txn) {
        mdb_txn_abort(w->txn);
        index_leave(w->ix);
    }
    w->txn = NULL;
    w->ops = 0;
    w->done = w->committed;
    w->max_id = w->committed_id;
    fold_block_drop(w);
    drop_headers(w);
}

void
index_fold_free(struct index_fold **w)
{
    if (!*w)
        return;
    index_fold_abort(*w);
    buf_done(&(*w)->scratch);
    arena_free(&(*w)->block.arena);
    free(*w);
    *w = NULL;
}

bool
index_fold_full(const struct index_fold *w)
{
    return w->ops >= w->ops_max;
}

uint64_t
index_fold_position(const struct index_fold *w)
{
    return w->committed;
}

uint64_t
index_fold_max_id(const struct index_fold *w)
{
    return w->committed_id;
}

// ---- one value ----

enum result
fold_put(struct index_fold *w, const struct index_key *key, struct span value,
         unsigned flags, struct fault *f)
{
    const struct codec *c = w->ix->codec;
    MDB_val k = {key->n, (void *)(uintptr_t)key->p}, v = {value.n + c->overhead, NULL};
    int rc = mdb_put(w->txn, w->ix->rows, &k, &v, MDB_RESERVE | flags);
    w->ops++;
    if (rc == MDB_KEYEXIST)
        return R_NONE;
    if (rc != 0)
        return index_fault(w->ix, rc, "put", f);
    struct span bytes = span_of(key->p, key->n);
    struct codec_context ctx = {.a = index_key_get_u64(bytes, 0), .b = hash64(bytes)};
    c->encode(&ctx, value, v.mv_data);
    return R_OK;
}

enum result
fold_delete(struct index_fold *w, const struct index_key *key, struct fault *f)
{
    MDB_val k = {key->n, (void *)(uintptr_t)key->p};
    int rc = mdb_del(w->txn, w->ix->rows, &k, NULL);
    w->ops++;
    return rc == 0 || rc == MDB_NOTFOUND ? R_OK : index_fault(w->ix, rc, "delete", f);
}

enum result
fold_decode(struct index_fold *w, struct span key, MDB_val v, struct span *value_out,
            struct fault *f)
{
    const struct codec *c = w->ix->codec;
    if (v.mv_size < c->overhead)
        return index_fault(w->ix, MDB_CORRUPTED, "value", f);
    buf_reset(&w->scratch);
    char *plain = buf_reserve(&w->scratch, v.mv_size - c->overhead);
    struct codec_context ctx = {.a = index_key_get_u64(key, 0), .b = hash64(key)};
    if (c->decode(&ctx, span_of(v.mv_data, v.mv_size), plain) != R_OK)
        return index_fault(w->ix, MDB_CORRUPTED, "value", f);
    *value_out = span_of(plain, v.mv_size - c->overhead);
    return R_OK;
}

enum result
fold_get(struct index_fold *w, const struct index_key *key, struct span *value_out,
         struct fault *f)
{
    MDB_val k = {key->n, (void *)(uintptr_t)key->p}, v;
    int rc = mdb_get(w->txn, w->ix->rows, &k, &v);
    if (rc == MDB_NOTFOUND)
        return R_NONE;
    if (rc != 0)
        return index_fault(w->ix, rc, "get", f);
    return fold_decode(w, span_of(key->p, key->n), v, value_out, f);
}

// ---- headers ----

struct index_key
fold_header_place(const struct header_key *k)
{
    if (k->mailbox == 0)
        return index_key(k->account, INDEX_ACCOUNT);
    struct index_key key = index_key(k->account, INDEX_MAILBOX);
    index_key_u64(&key, k->mailbox);
    return key;
}

void
fold_header_name(struct header *h, struct span name)
{
    if (name.p != h->name.p || name.n != h->name.n) {
        buf_reset(&h->name);
        buf_put(&h->name, name);
    }
    h->mailbox.name = h->account.row.user = buf_span(&h->name);
}

static enum result
read_header(struct index_fold *w, struct header *h, struct fault *f)
{
    struct index_key key = fold_header_place(&h->key);
    struct span value = SPAN_NONE;
    enum result r = fold_get(w, &key, &value, f);
    if (r != R_OK)
        return r;
    if (h->key.mailbox == 0)
        r = index_account_get(value, &h->account);
    else
        r = index_mailbox_get(value, &h->mailbox);
    if (r != R_OK)
        return index_fault(w->ix, MDB_CORRUPTED, "header", f);
    h->exists = true;
    fold_header_name(h, h->key.mailbox == 0 ? h->account.row.user : h->mailbox.name);
    return R_OK;
}

// The header of this account, also one that does not exist (yet).
enum result
fold_header_get(struct index_fold *w, uint64_t mailbox, struct header **h_out,
                struct fault *f)
{
    struct header_key key = {w->account, mailbox};
    struct header *h;
    HASH_FIND(hh, w->headers, &key, sizeof key, h);
    if (!h) {
        h = calloc(1, sizeof *h);
        must(h != NULL);
        h->key = key;
        buf_init(&h->name, SIZE_MAX);
        if (read_header(w, h, f) == R_FAIL) {
            buf_done(&h->name);
            free(h);
            return R_FAIL;
        }
        HASH_ADD(hh, w->headers, key, sizeof key, h);
    }
    *h_out = h;
    return R_OK;
}

enum result
fold_headers_write(struct index_fold *w, struct fault *f)
{
    struct buf b;
    enum result r = R_OK;
    buf_init(&b, SIZE_MAX);
    for (struct header *h = w->headers; h && r != R_FAIL; h = h->hh.next) {
        if (!h->dirty || !h->exists)
            continue;
        struct index_key key = fold_header_place(&h->key);
        buf_reset(&b);
        if (h->key.mailbox == 0)
            index_account_put(&b, &h->account);
        else
            index_mailbox_put(&b, &h->mailbox);
        r = fold_put(w, &key, buf_span(&b), 0, f);
        h->dirty = false;
    }
    buf_done(&b);
    return r;
}

// ---- transactions ----

static enum result
begin(struct index_fold *w, struct fault *f)
{
    if (w->txn)
        return R_OK;
    index_enter(w->ix);
    int rc = mdb_txn_begin(w->ix->env, NULL, 0, &w->txn);
    if (rc != 0) {
        w->txn = NULL;
        index_leave(w->ix);
        return index_fault(w->ix, rc, "begin", f);
    }
    return R_OK;
}

static enum result
put_position(struct index_fold *w, uint64_t part_seq, struct fault *f)
{
    struct buf b;
    buf_init(&b, 64);
    pack_u64(&b, w->done);
    pack_u64(&b, part_seq);
    pack_u64(&b, part_seq != 0 ? w->account : 0);
    pack_u64(&b, w->max_id);
    MDB_val k = {8, (void *)(uintptr_t) "position"}, v = {b.n, b.p};
    int rc = mdb_put(w->txn, w->ix->meta, &k, &v, 0);
    buf_done(&b);
    return rc == 0 ? R_OK : index_fault(w->ix, rc, "position", f);
}

static enum result
commit(struct index_fold *w, uint64_t part_seq, struct fault *f)
{
    if (fold_block_close(w, f) != R_OK || fold_headers_write(w, f) == R_FAIL ||
        put_position(w, part_seq, f) != R_OK)
        return R_FAIL;
    MDB_txn *txn = w->txn;
    w->txn = NULL;
    w->ops = 0;
    int rc = mdb_txn_commit(txn);
    index_leave(w->ix);
    if (rc != 0)
        return index_fault(w->ix, rc, "commit", f);
    w->committed = w->done;
    w->committed_id = w->max_id;
    return R_OK;
}

enum result
index_fold_commit(struct index_fold *w, struct fault *f)
{
    if (!w->txn)
        return R_OK;
    if (commit(w, 0, f) != R_OK)
        return R_FAIL;
    if (HASH_COUNT(w->headers) > HEADERS_MAX)
        drop_headers(w);
    return R_OK;
}

// Before each operation inside a record: a transaction that is full ends here.
enum result
fold_make_room(struct index_fold *w, struct fault *f)
{
    if (w->ops < w->ops_max)
        return R_OK;
    return commit(w, w->seq, f) == R_OK ? begin(w, f) : R_FAIL;
}

static enum result
read_done(struct index_fold *w, struct fault *f)
{
    struct index_reader r = {.ix = w->ix, .txn = w->txn};
    struct index_position p;
    if (w->done != 0)
        return R_OK;
    if (index_read_position(&r, &p, f) != R_OK)
        return R_FAIL;
    w->done = w->committed = p.seq;
    w->max_id = w->committed_id = p.max_id;
    return R_OK;
}

enum result
index_fold_record(struct index_fold *w, const struct index_record *r, struct fault *f)
{
    struct header *h;
    w->account = r->account;
    w->seq = r->place.seq;
    w->with_body = r->with_body;
    if (begin(w, f) != R_OK || read_done(w, f) != R_OK)
        return R_FAIL;
    if (r->place.seq <= w->done)
        return R_OK;
    if (apply_record(&index_fold_rows, w, r->type, r->meta, r->place, f) != R_OK ||
        fold_header_get(w, 0, &h, f) != R_OK)
        return R_FAIL;
    h->account.last_seq = r->place.seq;
    h->dirty = true;
    w->done = r->place.seq;
    w->max_id = apply_max_id(r->type, r->meta, w->max_id);
    return R_OK;
}
