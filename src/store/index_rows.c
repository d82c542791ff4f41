#include "store/index_fold.h"

// The fold's row operations in an LMDB transaction.

enum result
fold_find(struct index_fold *w, const struct index_key *prefix,
          const struct index_key *from, struct index_key *found_out, struct fault *f)
{
    MDB_val k = {from->n, (void *)(uintptr_t)from->p}, v;
    MDB_cursor *cursor;
    struct index_key found = {0};
    int rc = mdb_cursor_open(w->txn, w->ix->rows, &cursor);
    if (rc != 0)
        return index_fault(w->ix, rc, "cursor", f);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (rc == 0 && k.mv_size <= sizeof found.p) {
        memcpy(found.p, k.mv_data, k.mv_size);
        found.n = (uint8_t)k.mv_size;
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return index_fault(w->ix, rc, "range", f);
    if (rc != 0 || !span_starts(span_of(found.p, found.n), span_of(prefix->p, prefix->n)))
        return R_NONE;
    *found_out = found;
    return R_OK;
}

enum result
fold_delete_between(struct index_fold *w, const struct index_key *prefix,
                    const struct index_key *from, const struct index_key *last,
                    struct fault *f)
{
    for (;;) {
        struct index_key found = {0};
        enum result r = fold_find(w, prefix, from, &found, f);
        if (r != R_OK)
            return r == R_NONE ? R_OK : R_FAIL;
        if (last && span_cmp(span_of(found.p, found.n), span_of(last->p, last->n)) > 0)
            return R_OK;
        if (fold_make_room(w, f) != R_OK || fold_delete(w, &found, f) != R_OK)
            return R_FAIL;
    }
}

static enum result
delete_range(struct index_fold *w, const struct index_key *prefix,
             const struct index_key *last, struct fault *f)
{
    return fold_delete_between(w, prefix, prefix, last, f);
}

static enum result
delete_mailbox_range(struct index_fold *w, enum index_letter letter, uint64_t mailbox,
                     struct fault *f)
{
    struct index_key prefix = index_key(w->account, letter);
    index_key_u64(&prefix, mailbox);
    return delete_range(w, &prefix, NULL, f);
}

// ---- the block that is worked on ----

void
fold_block_drop(struct index_fold *w)
{
    w->block.key.n = 0;
    w->block.dirty = false;
    arena_reset(w->block.arena);
}

enum result
fold_block_close(struct index_fold *w, struct fault *f)
{
    struct fold_block *k = &w->block;
    enum result r = R_OK;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    if (k->dirty && k->rows.n > 0) {
        index_block_put(&b, &k->rows);
        r = fold_put(w, &k->key, buf_span(&b), 0, f);
    } else if (k->dirty) {
        r = fold_delete(w, &k->key, f);
    }
    buf_done(&b);
    fold_block_drop(w);
    return r;
}

// The keywords are in the place where the value was decoded.
static enum result
block_take(struct index_fold *w, struct span key, MDB_val v, struct fault *f)
{
    struct fold_block *k = &w->block;
    struct span value;
    if (fold_decode(w, key, v, &value, f) != R_OK)
        return R_FAIL;
    if (!index_key_good(key) || index_block_get(key, value, &k->rows) != R_OK)
        return index_fault(w->ix, MDB_CORRUPTED, "rows", f);
    for (uint32_t i = 0; i < k->rows.n; i++)
        if (k->rows.keywords[i].n > 0)
            k->rows.keywords[i] = arena_dup(k->arena, k->rows.keywords[i]);
    memcpy(k->key.p, key.p, key.n);
    k->key.n = (uint8_t)key.n;
    return R_OK;
}

static bool
block_is(const struct index_fold *w, const struct index_key *key)
{
    return w->block.key.n == key->n && memcmp(w->block.key.p, key->p, key->n) == 0;
}

// Opens the block of the first UID from `first` on, up to that of `last`. R_NONE: there is none.
static enum result
block_find(struct index_fold *w, uint64_t mailbox, uint32_t first, uint32_t last,
           struct fault *f)
{
    struct index_key from = index_block_key(w->account, mailbox, first),
                     to = index_block_key(w->account, mailbox, last);
    MDB_val k = {from.n, from.p}, v;
    MDB_cursor *cursor;
    if (block_is(w, &from))
        return R_OK;
    if (fold_block_close(w, f) != R_OK)
        return R_FAIL;
    int rc = mdb_cursor_open(w->txn, w->ix->rows, &cursor);
    if (rc != 0)
        return index_fault(w->ix, rc, "cursor", f);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return index_fault(w->ix, rc, "rows", f);
    if (rc != 0 || span_cmp(span_of(k.mv_data, k.mv_size), span_of(to.p, to.n)) > 0)
        return R_NONE;
    return block_take(w, span_of(k.mv_data, k.mv_size), v, f);
}

// The block of this UID, also one that is not there yet.
static enum result
block_open(struct index_fold *w, uint64_t mailbox, uint32_t uid, struct fault *f)
{
    enum result r = block_find(w, mailbox, uid, uid, f);
    if (r != R_NONE)
        return r;
    w->block.key = index_block_key(w->account, mailbox, uid);
    w->block.rows.n = 0;
    return R_OK;
}

static void
block_insert(struct fold_block *k, uint32_t at, const struct message_row *row,
             struct span keywords)
{
    struct index_block *b = &k->rows;
    must(b->n < INDEX_BLOCK);
    memmove(b->rows + at + 1, b->rows + at, (b->n - at) * sizeof *b->rows);
    memmove(b->keywords + at + 1, b->keywords + at, (b->n - at) * sizeof *b->keywords);
    b->rows[at] = *row;
    b->rows[at].keywords = 0;
    b->keywords[at] = keywords.n > 0 ? arena_dup(k->arena, keywords) : SPAN_NONE;
    b->n++;
    k->dirty = true;
}

static void
block_remove(struct fold_block *k, uint32_t at)
{
    struct index_block *b = &k->rows;
    b->n--;
    memmove(b->rows + at, b->rows + at + 1, (b->n - at) * sizeof *b->rows);
    memmove(b->keywords + at, b->keywords + at + 1, (b->n - at) * sizeof *b->keywords);
    k->dirty = true;
}

// ---- changes of rows ----

static enum result
bury(struct index_fold *w, uint64_t mailbox, uint32_t at, const struct rows_edit *e,
     struct fault *f)
{
    struct index_key key = index_key(w->account, INDEX_TOMBSTONE);
    struct message_row stored = w->block.rows.rows[at];
    struct buf b;
    index_key_u64(&key, mailbox);
    index_key_u64(&key, e->modseq);
    index_key_u32(&key, stored.uid);
    stored.flags |= e->moved ? INDEX_MOVED : 0;
    buf_init(&b, SIZE_MAX);
    buf_put(&b, span_of(&stored, sizeof stored));
    pack_u64(&b, (uint64_t)e->when_s);
    buf_put(&b, w->block.rows.keywords[at]);
    enum result r = fold_put(w, &key, buf_span(&b), 0, f);
    buf_done(&b);
    if (r == R_OK)
        block_remove(&w->block, at);
    return r;
}

static void
edit_row(struct index_fold *w, uint32_t at, const struct rows_edit *e)
{
    struct fold_block *k = &w->block;
    struct message_row *row = &k->rows.rows[at];
    if (e->kind == EDIT_OWN)
        row->flags = (uint16_t)((row->flags & ~e->mask) | e->flags);
    else
        row->modseq = e->modseq;
    if (e->kind == EDIT_FLAGS) {
        row->flags = e->flags;
        k->rows.keywords[at] =
            e->keywords.n > 0 ? arena_dup(k->arena, e->keywords) : SPAN_NONE;
    }
    k->dirty = true;
    w->ops++;
}

// The rows of the open block from *uid on, until the transaction is full. *uid is where to go on: in it, or behind it.
static enum result
edit_block(struct index_fold *w, uint64_t mailbox, uint64_t *uid, uint32_t last,
           const struct rows_edit *e, struct fault *f)
{
    const struct index_block *b = &w->block.rows;
    uint32_t at = index_block_at(b, (uint32_t)*uid);
    while (at < b->n && b->rows[at].uid <= last && w->ops < w->ops_max) {
        uint32_t before = b->n;
        *uid = (uint64_t)b->rows[at].uid + 1;
        if (b->rows[at].modseq < e->modseq && e->kind == EDIT_EXPUNGE) {
            if (bury(w, mailbox, at, e, f) != R_OK)
                return R_FAIL;
        } else if (b->rows[at].modseq < e->modseq) {
            edit_row(w, at, e);
        }
        at += b->n == before;
    }
    if (w->ops < w->ops_max)
        *uid = (uint64_t)index_block_last(span_of(w->block.key.p, w->block.key.n)) + 1;
    return R_OK;
}

static enum result
edit_range(struct index_fold *w, uint64_t mailbox, uint32_t first, uint32_t last,
           const struct rows_edit *e, struct fault *f)
{
    uint64_t uid = first;
    while (uid <= last) {
        if (fold_make_room(w, f) != R_OK)
            return R_FAIL;
        enum result r = block_find(w, mailbox, (uint32_t)uid, last, f);
        if (r != R_OK)
            return r == R_NONE ? R_OK : R_FAIL;
        if (edit_block(w, mailbox, &uid, last, e, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// ---- the operations ----

static enum result
account_get(void *t, struct account_row *out, struct fault *f)
{
    struct header *h;
    if (fold_header_get(t, 0, &h, f) != R_OK)
        return R_FAIL;
    if (!h->exists)
        return R_NONE;
    *out = h->account.row;
    return R_OK;
}

static enum result
account_put(void *t, const struct account_row *a, struct fault *f)
{
    struct header *h;
    if (fold_header_get(t, 0, &h, f) != R_OK)
        return R_FAIL;
    h->account.row = *a;
    fold_header_name(h, a->user);
    h->exists = h->dirty = true;
    return R_OK;
}

static enum result
account_gone(void *t, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key all = {0};
    struct header *h, *next;
    index_key_u64(&all, w->account);
    if (fold_block_close(w, f) != R_OK)
        return R_FAIL;
    HASH_ITER(hh, w->headers, h, next)
    {
        if (h->key.account == w->account)
            fold_header_drop(w, h);
    }
    return delete_range(w, &all, NULL, f);
}

static enum result
mailbox_get(void *t, uint64_t id, struct mailbox_row *out, struct fault *f)
{
    struct header *h;
    if (fold_header_get(t, id, &h, f) != R_OK)
        return R_FAIL;
    if (!h->exists)
        return R_NONE;
    *out = h->mailbox;
    return R_OK;
}

static enum result
mailbox_put(void *t, const struct mailbox_row *m, struct fault *f)
{
    struct header *h;
    if (fold_header_get(t, m->id, &h, f) != R_OK)
        return R_FAIL;
    h->mailbox = *m;
    fold_header_name(h, m->name);
    h->exists = h->dirty = true;
    return R_OK;
}

// The rows stay where they are: the mark says that they are tombstones.
static enum result
mailbox_gone(void *t, const struct record_mailbox_gone *g, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key key = index_key(w->account, INDEX_DELETED), header;
    struct header *h;
    struct buf b;
    index_key_u64(&key, g->id);
    if (delete_mailbox_range(w, INDEX_VALUE, g->id, f) != R_OK ||
        fold_header_get(w, g->id, &h, f) != R_OK)
        return R_FAIL;
    header = fold_header_place(&h->key);
    buf_init(&b, SIZE_MAX);
    pack_u64(&b, g->modseq);
    pack_u64(&b, (uint64_t)g->when_s);
    index_mailbox_put(&b, &h->mailbox);
    fold_header_drop(w, h);
    enum result r = fold_put(w, &key, buf_span(&b), 0, f);
    buf_done(&b);
    return r == R_OK ? fold_delete(w, &header, f) : R_FAIL;
}

static enum result
row_add(void *t, uint64_t mailbox, const struct record_row *row, struct fault *f)
{
    struct index_fold *w = t;
    uint32_t uid = row->row.uid;
    if (fold_make_room(w, f) != R_OK || block_open(w, mailbox, uid, f) != R_OK)
        return R_FAIL;
    uint32_t at = index_block_at(&w->block.rows, uid);
    w->ops++;
    if (at == w->block.rows.n || w->block.rows.rows[at].uid != uid)
        block_insert(&w->block, at, &row->row, row->keywords);
    return R_OK;
}

static enum result
rows_edit(void *t, uint64_t mailbox, struct span ranges, const struct rows_edit *e,
          struct fault *f)
{
    struct unpack u = unpack_of(ranges);
    uint32_t first = 0, last = 0;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        if (edit_range(t, mailbox, first, last, e, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
mailbox_ids(void *t, uint64_t **ids_out, size_t *n_out, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key from = index_key(w->account, INDEX_MAILBOX);
    MDB_val k = {from.n, from.p}, v;
    MDB_cursor *cursor;
    uint64_t *ids = NULL;
    size_t n = 0;
    // Headers of mailboxes made in this transaction are not in LMDB yet.
    if (fold_headers_write(w, f) == R_FAIL)
        return R_FAIL;
    int rc = mdb_cursor_open(w->txn, w->ix->rows, &cursor);
    if (rc != 0)
        return index_fault(w->ix, rc, "cursor", f);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && span_starts(span_of(k.mv_data, k.mv_size), span_of(from.p, from.n)) &&
           index_key_good(span_of(k.mv_data, k.mv_size))) {
        ids = reallocarray(ids, n + 1, sizeof *ids);
        must(ids != NULL);
        ids[n++] = index_key_get_u64(span_of(k.mv_data, k.mv_size), 9);
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    bool damaged = rc == 0 && !index_key_good(span_of(k.mv_data, k.mv_size));
    mdb_cursor_close(cursor);
    if (damaged) {
        free(ids);
        return index_fault(w->ix, MDB_CORRUPTED, "key", f);
    }
    *ids_out = ids;
    *n_out = n;
    return R_OK;
}

static enum result
keyword_put(void *t, const struct record_keyword *k, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key key = index_key(w->account, INDEX_KEYWORD);
    index_key_u64(&key, k->mailbox);
    index_key_u32(&key, k->index);
    return fold_put(w, &key, k->name, 0, f);
}

static enum result
deleted_get(struct index_fold *w, uint64_t mailbox, uint64_t *modseq_out, struct fault *f)
{
    struct index_key key = index_key(w->account, INDEX_DELETED);
    struct span value;
    index_key_u64(&key, mailbox);
    enum result r = fold_get(w, &key, &value, f);
    if (r != R_OK)
        return r;
    struct unpack u = unpack_of(value);
    *modseq_out = unpack_u64(&u);
    return u.bad ? index_fault(w->ix, MDB_CORRUPTED, "deleted mailbox", f) : R_OK;
}

static enum result
delete_buried(struct index_fold *w, enum index_letter letter, uint64_t mailbox,
              uint64_t up_to_modseq, struct fault *f)
{
    struct index_key prefix = index_key(w->account, letter), end;
    index_key_u64(&prefix, mailbox);
    end = prefix;
    index_key_u64(&end, up_to_modseq + 1);
    return up_to_modseq == UINT64_MAX ? delete_range(w, &prefix, NULL, f)
                                      : delete_range(w, &prefix, &end, f);
}

static enum result
forget(void *t, uint64_t mailbox, uint64_t up_to_modseq, struct fault *f)
{
    static const enum index_letter all[] = {INDEX_ROW,     INDEX_TOMBSTONE, INDEX_MARK,
                                            INDEX_PRIVATE, INDEX_KEYWORD,   INDEX_DELETED};
    struct index_fold *w = t;
    uint64_t deleted = 0;
    if (fold_block_close(w, f) != R_OK)
        return R_FAIL;
    enum result r = deleted_get(w, mailbox, &deleted, f);
    for (size_t i = 0;
         r == R_OK && deleted <= up_to_modseq && i < sizeof all / sizeof all[0]; i++)
        r = delete_mailbox_range(w, all[i], mailbox, f);
    if (r == R_FAIL)
        return R_FAIL;
    return delete_buried(w, INDEX_MARK, mailbox, up_to_modseq, f) == R_OK
               ? delete_buried(w, INDEX_TOMBSTONE, mailbox, up_to_modseq, f)
               : R_FAIL;
}

static enum result
meta_put(void *t, const struct record_meta *m, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key key = index_key(w->account, INDEX_VALUE);
    index_key_u64(&key, m->mailbox);
    index_key_hash(&key, m->key);
    if (m->value.n == 0)
        return fold_delete(w, &key, f);
    struct buf b;
    buf_init(&b, SIZE_MAX);
    pack_u64(&b, m->modseq);
    pack_span(&b, m->key);
    pack_span(&b, m->value);
    enum result r = fold_put(w, &key, buf_span(&b), 0, f);
    buf_done(&b);
    return r;
}

static enum result
subscribe(void *t, const struct record_subscribe *s, struct fault *f)
{
    struct index_key key = index_key(((struct index_fold *)t)->account, INDEX_SUBSCRIBED);
    index_key_hash(&key, s->name);
    return s->on ? fold_put(t, &key, s->name, 0, f) : fold_delete(t, &key, f);
}

// Blobs ascend, so nearly every cache goes behind the last one: MDB_APPEND fills a page before the next is begun, where
// splitting in the middle would leave most pages with one cache.
static enum result
cache_put(struct index_fold *w, uint64_t blob, struct span cache, struct fault *f)
{
    const struct codec *c = w->ix->codec;
    uint64_t big = __builtin_bswap64(blob);
    MDB_val k = {sizeof big, &big}, v = {cache.n + c->overhead, NULL};
    int rc = mdb_put(w->txn, w->ix->caches, &k, &v, MDB_RESERVE | MDB_APPEND);
    if (rc == MDB_KEYEXIST)
        rc = mdb_put(w->txn, w->ix->caches, &k, &v, MDB_RESERVE);
    w->ops++;
    if (rc != 0)
        return index_fault(w->ix, rc, "cache", f);
    struct codec_context ctx = {.a = blob, .b = INDEX_CACHE_CONTEXT};
    c->encode(&ctx, cache, v.mv_data);
    return R_OK;
}

static enum result
body_put(void *t, uint64_t blob, const struct record_added *r, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key key = index_key(w->account, INDEX_THREAD);
    if (!w->with_body)
        return R_OK;
    if (r->cache.n > 0 && cache_put(w, blob, r->cache, f) != R_OK)
        return R_FAIL;
    if (r->thread_keys.n == 0)
        return R_OK;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    index_key_u64(&key, blob);
    pack_u64(&b, r->row.threadid);
    buf_put(&b, r->thread_keys);
    enum result put = fold_put(w, &key, buf_span(&b), 0, f);
    buf_done(&b);
    return put;
}

const struct store_rows index_fold_rows = {
    .account_get = account_get,
    .account_put = account_put,
    .account_gone = account_gone,
    .mailbox_get = mailbox_get,
    .mailbox_put = mailbox_put,
    .mailbox_gone = mailbox_gone,
    .mailbox_ids = mailbox_ids,
    .keyword_put = keyword_put,
    .row_add = row_add,
    .rows_edit = rows_edit,
    .forget = forget,
    .private_put = fold_private_put,
    .privates_put = fold_privates_put,
    .privates_drop = fold_privates_drop,
    .meta_put = meta_put,
    .subscribe = subscribe,
    .body_put = body_put,
};
