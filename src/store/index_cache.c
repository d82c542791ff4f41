#include "store/index.h"

enum result
index_cache_begin(struct index *ix, struct index_cache_reader *r, struct fault *f)
{
    *r = (struct index_cache_reader){.ix = ix,
                                     .plain = ix->codec == codec_by_name("identity")};
    return index_cursor_begin(ix, ix->caches, &r->txn, &r->cursor, f);
}

void
index_cache_end(struct index_cache_reader *r)
{
    index_cursor_end(r->ix, r->txn, r->cursor);
    arena_free(&r->arena);
}

static bool
is_key(MDB_val k, uint64_t big)
{
    return k.mv_size == sizeof big && memcmp(k.mv_data, &big, sizeof big) == 0;
}

// The value in LMDB's memory.
static bool
find(struct index_cache_reader *r, uint64_t big, MDB_val *v)
{
    MDB_val k;
    if (r->placed && mdb_cursor_get(r->cursor, &k, v, MDB_NEXT) == 0 && is_key(k, big))
        return true;
    k = (MDB_val){sizeof big, &big};
    r->placed = mdb_cursor_get(r->cursor, &k, v, MDB_SET_KEY) == 0;
    return r->placed;
}

enum result
index_cache_find(struct index_cache_reader *r, uint64_t blob, struct span *cache_out)
{
    const struct codec *c = r->ix->codec;
    MDB_val v;
    if (!find(r, __builtin_bswap64(blob), &v) || v.mv_size < c->overhead)
        return R_NONE;
    if (r->plain) {
        *cache_out = span_of(v.mv_data, v.mv_size);
        return R_OK;
    }
    if (!r->arena)
        r->arena = arena_new();
    size_t n = v.mv_size - c->overhead;
    char *plain = arena_alloc(r->arena, n + 1);
    struct codec_context ctx = {.a = blob, .b = INDEX_CACHE_CONTEXT};
    if (c->decode(&ctx, span_of(v.mv_data, v.mv_size), plain) != R_OK)
        return R_NONE;
    *cache_out = span_of(plain, n);
    return R_OK;
}

static enum result
compare_all(struct index_cache_reader *r, struct index_cache_reader *full,
            index_cache_differs_fn *differs, void *arg, struct fault *f)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int rc = mdb_cursor_open(full->txn, full->ix->caches, &cursor);
    if (rc != 0)
        return index_fault(full->ix, rc, "cursor", f);
    for (rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); rc == 0;
         rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        uint64_t blob = index_key_get_u64(span_of(k.mv_data, k.mv_size), 0);
        struct span want, got;
        if (index_cache_find(full, blob, &want) != R_OK ||
            index_cache_find(r, blob, &got) != R_OK || !span_eq(want, got))
            differs(blob, arg);
        if (r->arena)
            arena_reset(r->arena);
        if (full->arena)
            arena_reset(full->arena);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? R_OK : index_fault(full->ix, rc, "caches", f);
}

enum result
index_caches_compare(struct index *ix, struct index *full, index_cache_differs_fn *differs,
                     void *arg, struct fault *f)
{
    struct index_cache_reader a, b;
    if (index_cache_begin(ix, &a, f) != R_OK)
        return R_FAIL;
    if (index_cache_begin(full, &b, f) != R_OK) {
        index_cache_end(&a);
        return R_FAIL;
    }
    enum result r = compare_all(&a, &b, differs, arg, f);
    index_cache_end(&a);
    index_cache_end(&b);
    return r;
}

static int
drop_one(struct index *ix, MDB_txn *txn, const struct index_body *body)
{
    uint64_t big = __builtin_bswap64(body->blob);
    MDB_val k = {sizeof big, &big};
    int rc = mdb_del(txn, ix->caches, &k, NULL);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    struct index_key key = index_key(body->account, INDEX_THREAD);
    index_key_u64(&key, body->blob);
    k = (MDB_val){key.n, key.p};
    rc = mdb_del(txn, ix->rows, &k, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum result
drop_all(struct index *ix, const struct index_body *bodies, size_t n, struct fault *f)
{
    for (size_t i = 0; i < n;) {
        MDB_txn *txn;
        int rc = mdb_txn_begin(ix->env, NULL, 0, &txn);
        if (rc != 0)
            return index_fault(ix, rc, "begin", f);
        for (size_t end = i + INDEX_OPS / 2; rc == 0 && i < n && i < end; i++)
            rc = drop_one(ix, txn, &bodies[i]);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
        if (rc != 0)
            return index_fault(ix, rc, "drop", f);
    }
    return R_OK;
}

enum result
index_bodies_drop(struct index *ix, const struct index_body *bodies, size_t n,
                  struct fault *f)
{
    index_enter(ix);
    enum result r = drop_all(ix, bodies, n, f);
    index_leave(ix);
    return r;
}
