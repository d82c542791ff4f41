#include "store/index_scan.h"
#include "store/index_block.h"

#include "base/limits.h"

// What is read from the index in one go.

void
index_scan_first(struct index_scan *s, struct index_key prefix,
                 const struct index_key *from, struct fault *f)
{
    s->prefix = prefix;
    s->now = index_seek(&s->r, from ? from : &prefix, span_of(s->prefix.p, s->prefix.n),
                        &s->key, &s->value, f);
}

void
index_scan_next(struct index_scan *s, struct fault *f)
{
    s->now = index_next(&s->r, span_of(s->prefix.p, s->prefix.n), &s->key, &s->value, f);
}

enum result
index_scan_damaged(struct index_scan *s, const char *what, struct fault *f)
{
    return index_fault(s->r.ix, MDB_CORRUPTED, what, f);
}

// ---- a state ----

static enum result
load_mailboxes(struct index_scan *s, struct state *st, struct fault *f)
{
    for (index_scan_first(s, index_key(st->account, INDEX_MAILBOX), NULL, f);
         s->now == R_OK; index_scan_next(s, f)) {
        struct mailbox_row m;
        if (index_mailbox_get(s->value, &m) != R_OK || m.id != index_key_get_u64(s->key, 9))
            return index_scan_damaged(s, "mailbox", f);
        if (state_rows.mailbox_put(st, &m, f) != R_OK)
            return R_FAIL;
    }
    return s->now;
}

static enum result
load_keywords(struct index_scan *s, struct state *st, struct fault *f)
{
    for (index_scan_first(s, index_key(st->account, INDEX_KEYWORD), NULL, f);
         s->now == R_OK; index_scan_next(s, f)) {
        struct record_keyword k = {.mailbox = index_key_get_u64(s->key, 9),
                                   .index = index_key_get_u32(s->key, 17),
                                   .name = s->value};
        if (k.index >= LIMIT_keywords)
            return index_scan_damaged(s, "keyword", f);
        if (state_mailbox(st, k.mailbox) && state_rows.keyword_put(st, &k, f) != R_OK)
            return R_FAIL;
    }
    return s->now;
}

static enum result
load_values(struct index_scan *s, struct state *st, struct fault *f)
{
    for (index_scan_first(s, index_key(st->account, INDEX_VALUE), NULL, f); s->now == R_OK;
         index_scan_next(s, f)) {
        struct unpack u = unpack_of(s->value);
        struct record_meta m = {.mailbox = index_key_get_u64(s->key, 9),
                                .modseq = unpack_u64(&u)};
        m.key = unpack_span(&u);
        m.value = unpack_span(&u);
        if (unpack_end(&u) != R_OK)
            return index_scan_damaged(s, "value", f);
        if (state_rows.meta_put(st, &m, f) != R_OK)
            return R_FAIL;
    }
    return s->now;
}

static enum result
load_subscriptions(struct index_scan *s, struct state *st, struct fault *f)
{
    for (index_scan_first(s, index_key(st->account, INDEX_SUBSCRIBED), NULL, f);
         s->now == R_OK; index_scan_next(s, f)) {
        struct record_subscribe r = {.name = s->value, .on = true};
        if (state_rows.subscribe(st, &r, f) != R_OK)
            return R_FAIL;
    }
    return s->now;
}

// Which mailboxes have any: one look for each of them.
static enum result
load_privates(struct index_scan *s, struct state *st, struct fault *f)
{
    struct index_key prefix = index_key(st->account, INDEX_PRIVATE), from = prefix;
    for (index_scan_first(s, prefix, NULL, f); s->now == R_OK;
         index_scan_first(s, prefix, &from, f)) {
        uint64_t id = index_key_get_u64(s->key, 9);
        struct mailbox_state *m = state_mailbox(st, id);
        if (m)
            m->privates = true;
        if (id == UINT64_MAX)
            break;
        from = prefix;
        index_key_u64(&from, id + 1);
    }
    return s->now;
}

static enum result
load_all(struct index_scan *s, struct state *st, struct fault *f)
{
    struct index_account a;
    index_scan_first(s, index_key(st->account, INDEX_ACCOUNT), NULL, f);
    if (s->now != R_OK)
        return s->now;
    if (index_account_get(s->value, &a) != R_OK)
        return index_scan_damaged(s, "account", f);
    if (state_rows.account_put(st, &a.row, f) != R_OK ||
        load_mailboxes(s, st, f) == R_FAIL || load_keywords(s, st, f) == R_FAIL ||
        load_values(s, st, f) == R_FAIL || load_privates(s, st, f) == R_FAIL)
        return R_FAIL;
    return load_subscriptions(s, st, f) == R_FAIL ? R_FAIL : R_OK;
}

enum result
index_load_state(struct index *ix, uint64_t account, struct state **out,
                 struct index_position *p_out, struct fault *f)
{
    struct index_scan s;
    *p_out = (struct index_position){0};
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    struct state *st = state_new(account);
    enum result r = index_read_position(&s.r, p_out, f);
    if (r == R_OK)
        r = load_all(&s, st, f);
    index_read_end(&s.r);
    st->applied = p_out->seq;
    if (r == R_OK)
        *out = st;
    else
        state_free(&st);
    return r;
}

// ---- a table ----

static enum result
load_last_seq(struct index_scan *s, uint64_t account, const struct index_position *p,
              uint64_t *out, struct fault *f)
{
    struct index_account a = {0};
    index_scan_first(s, index_key(account, INDEX_ACCOUNT), NULL, f);
    if (s->now == R_FAIL)
        return R_FAIL;
    if (s->now == R_OK && index_account_get(s->value, &a) != R_OK)
        return index_scan_damaged(s, "account", f);
    *out = index_is_in_parts(p, account) ? p->part_seq : a.last_seq;
    return R_OK;
}

static enum result
load_rows(struct index_scan *s, uint64_t account, uint64_t mailbox, struct message_table *t,
          struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_ROW);
    struct index_block block;
    index_key_u64(&prefix, mailbox);
    for (index_scan_first(s, prefix, NULL, f); s->now == R_OK; index_scan_next(s, f)) {
        if (index_block_get(s->key, s->value, &block) != R_OK)
            return index_scan_damaged(s, "rows", f);
        for (uint32_t i = 0; i < block.n; i++)
            if (message_table_append(t, &block.rows[i], block.keywords[i]) != R_OK)
                return index_scan_damaged(s, "rows", f);
    }
    return s->now;
}

static enum result
load_table(struct index *ix, uint64_t account, uint64_t mailbox, struct index_table *t,
           struct fault *f)
{
    struct index_scan s;
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    enum result r = index_read_position(&s.r, &t->position, f);
    if (r == R_OK)
        r = load_last_seq(&s, account, &t->position, &t->last_seq, f);
    if (r == R_OK)
        r = load_rows(&s, account, mailbox, &t->table, f) == R_FAIL ? R_FAIL : R_OK;
    index_read_end(&s.r);
    return r;
}

enum result
index_load_table(struct index *ix, uint64_t account, uint64_t mailbox,
                 struct index_table *t, struct fault *f)
{
    t->table = message_table_new(t->expected);
    enum result r = load_table(ix, account, mailbox, t, f);
    if (r != R_OK)
        message_table_done(&t->table);
    return r;
}

// ---- lists ----

void *
index_list_add(void *list, size_t n, size_t size)
{
    // Doubles at powers of two.
    if (n >= 16 && (n & (n - 1)) != 0)
        return list;
    if (n > 0 && n < 16)
        return list;
    list = reallocarray(list, n < 16 ? 16 : n * 2, size);
    must(list != NULL);
    return list;
}

// An account's own entry stands before all others of it; only while a record is folded in parts it may be missing.
static bool
is_account(const struct index_scan *s)
{
    return s->key.n == 9 && s->key.p[8] == INDEX_ACCOUNT;
}

enum result
index_accounts(struct index *ix, uint64_t **ids_out, size_t *n_out, struct fault *f)
{
    struct index_scan s;
    struct index_position p;
    uint64_t *ids = NULL, account = 0;
    size_t n = 0;
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    s.now = index_read_position(&s.r, &p, f);
    while (s.now == R_OK) {
        struct index_key from = index_key(account, INDEX_ACCOUNT);
        index_scan_first(&s, (struct index_key){0}, &from, f);
        if (s.now != R_OK)
            break;
        account = index_key_get_u64(s.key, 0);
        if (is_account(&s)) {
            ids = index_list_add(ids, n, sizeof *ids);
            ids[n++] = account;
        } else if (!index_is_in_parts(&p, account)) {
            s.now = index_scan_damaged(&s, "account", f);
        }
        if (account == UINT64_MAX)
            break;
        account++;
    }
    index_read_end(&s.r);
    if (s.now == R_FAIL) {
        free(ids);
        return R_FAIL;
    }
    *ids_out = ids;
    *n_out = n;
    return R_OK;
}

// ---- what was deleted ----

static bool
is_full(const struct store_tombstones *t)
{
    return t->max > 0 && t->n == t->max;
}

static void
make_room(struct store_tombstones *t, size_t *cap)
{
    if (t->n < *cap)
        return;
    *cap = *cap > 0 ? *cap * 2 : 64;
    struct store_tombstone *more = arena_array(t->a, *cap, sizeof *more);
    if (t->n > 0)
        memcpy(more, t->list, t->n * sizeof *more);
    t->list = more;
}

// Neighbours often have the same keywords: they share one list.
static void
add_tombstone(struct store_tombstones *t, size_t *cap, const struct store_tombstone *one)
{
    make_room(t, cap);
    struct store_tombstone *now = &t->list[t->n];
    *now = *one;
    now->moved = one->row.flags & INDEX_MOVED;
    now->row.flags &= FLAG_ALL;
    if (t->n > 0 && span_eq(now->keywords, t->list[t->n - 1].keywords))
        now->keywords = t->list[t->n - 1].keywords;
    else
        now->keywords = arena_dup(t->a, now->keywords);
    t->n++;
}

static enum result
scan_tombstones(struct index_scan *s, uint64_t account, uint64_t mailbox,
                struct store_tombstones *t, size_t *cap, struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_TOMBSTONE), from;
    index_key_u64(&prefix, mailbox);
    from = prefix;
    index_key_u64(&from, t->modseq + (t->uid == UINT32_MAX));
    index_key_u32(&from, t->uid + 1);
    for (index_scan_first(s, prefix, &from, f); s->now == R_OK && !is_full(t);
         index_scan_next(s, f)) {
        struct index_row row;
        if (index_row_get(s->value, &row) != R_OK)
            return index_scan_damaged(s, "tombstone", f);
        struct unpack u = unpack_of(row.keywords);
        struct store_tombstone one = {.row = row.row,
                                      .modseq = index_key_get_u64(s->key, 17),
                                      .when_s = (int64_t)unpack_u64(&u)};
        one.keywords = u.rest;
        if (u.bad)
            return index_scan_damaged(s, "tombstone", f);
        add_tombstone(t, cap, &one);
    }
    return s->now == R_FAIL ? R_FAIL : R_OK;
}

// The rows of a deleted mailbox are tombstones of its last modseq.
static enum result
scan_deleted(struct index_scan *s, uint64_t account, uint64_t mailbox,
             struct store_tombstones *t, size_t *cap, struct fault *f)
{
    struct index_key mark = index_key(account, INDEX_DELETED);
    index_key_u64(&mark, mailbox);
    index_scan_first(s, mark, NULL, f);
    if (s->now != R_OK)
        return s->now == R_FAIL ? R_FAIL : R_OK;
    struct unpack u = unpack_of(s->value);
    struct store_tombstone one = {.modseq = unpack_u64(&u)};
    one.when_s = (int64_t)unpack_u64(&u);
    struct index_key prefix = index_key(account, INDEX_ROW), from;
    struct index_block block;
    index_key_u64(&prefix, mailbox);
    if (one.modseq < t->modseq || (one.modseq == t->modseq && t->uid == UINT32_MAX))
        return R_OK;
    uint32_t first = one.modseq == t->modseq ? t->uid + 1 : 0;
    from = index_block_key(account, mailbox, first);
    for (index_scan_first(s, prefix, &from, f); s->now == R_OK && !is_full(t);
         index_scan_next(s, f)) {
        if (index_block_get(s->key, s->value, &block) != R_OK)
            return index_scan_damaged(s, "rows", f);
        for (uint32_t i = index_block_at(&block, first); i < block.n && !is_full(t); i++) {
            one.row = block.rows[i];
            one.keywords = block.keywords[i];
            add_tombstone(t, cap, &one);
        }
    }
    return s->now == R_FAIL ? R_FAIL : R_OK;
}

enum result
index_tombstones(struct index *ix, uint64_t account, uint64_t mailbox,
                 struct store_tombstones *out, struct fault *f)
{
    struct index_scan s;
    size_t cap = 0;
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    out->list = NULL;
    out->n = out->mark_count = 0;
    enum result r = scan_tombstones(&s, account, mailbox, out, &cap, f);
    if (r == R_OK && !is_full(out))
        r = scan_deleted(&s, account, mailbox, out, &cap, f);
    out->last = !is_full(out);
    if (r == R_OK && out->marked)
        r = index_marks(&s, account, mailbox, out, f);
    index_read_end(&s.r);
    return r;
}

// NULL: it cannot be read.
static struct store_deleted_mailbox *
deleted_get(struct index_scan *s, struct arena *a)
{
    struct unpack u = unpack_of(s->value);
    struct store_deleted_mailbox *d = ARENA_NEW(a, struct store_deleted_mailbox);
    struct mailbox_row m;
    d->modseq = unpack_u64(&u);
    d->when_s = (int64_t)unpack_u64(&u);
    if (u.bad || index_mailbox_get(u.rest, &m) != R_OK)
        return NULL;
    d->id = m.id;
    d->parent = m.parent;
    d->created_modseq = m.created_modseq;
    d->name = arena_dup(a, m.name);
    d->uidvalidity = m.uidvalidity;
    d->special_use = m.special_use;
    d->flags = m.flags;
    d->counts = m.counts;
    return d;
}

enum result
index_deleted(struct index *ix, uint64_t account, struct store_deleted *out,
              struct fault *f)
{
    struct index_scan s;
    struct store_deleted_mailbox **end = &out->first;
    enum result r = R_OK;
    *end = NULL;
    out->n = 0;
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    for (index_scan_first(&s, index_key(account, INDEX_DELETED), NULL, f); s.now == R_OK;
         index_scan_next(&s, f)) {
        if (out->n++ == out->max) {
            r = fault_set(f, FAULT_LIMIT, "too many deleted mailboxes");
            break;
        }
        struct store_deleted_mailbox *d = deleted_get(&s, out->a);
        if (d == NULL) {
            r = index_scan_damaged(&s, "deleted mailbox", f);
            break;
        }
        *end = d;
        end = &d->next;
    }
    index_read_end(&s.r);
    return s.now == R_FAIL ? R_FAIL : r;
}

enum result
index_keywords(struct index *ix, uint64_t account, uint64_t mailbox,
               struct store_keywords *out, struct fault *f)
{
    struct index_scan s;
    struct index_key prefix = index_key(account, INDEX_KEYWORD);
    index_key_u64(&prefix, mailbox);
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    out->names = arena_array(out->a, LIMIT_keywords, sizeof *out->names);
    out->n = 0;
    for (index_scan_first(&s, prefix, NULL, f); s.now == R_OK; index_scan_next(&s, f)) {
        uint32_t number = index_key_get_u32(s.key, 17);
        if (number >= LIMIT_keywords) {
            index_read_end(&s.r);
            return index_scan_damaged(&s, "keyword", f);
        }
        out->names[number] = arena_dup(out->a, s.value);
        out->n = number + 1;
    }
    index_read_end(&s.r);
    return s.now == R_FAIL ? R_FAIL : R_OK;
}

enum result
index_thread_keys(struct index *ix, uint64_t account, struct store_thread_key **out,
                  size_t *n_out, struct fault *f)
{
    struct index_scan s;
    struct store_thread_key *list = NULL;
    size_t n = 0;
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    for (index_scan_first(&s, index_key(account, INDEX_THREAD), NULL, f); s.now == R_OK;
         index_scan_next(&s, f)) {
        struct unpack u = unpack_of(s.value);
        uint64_t threadid = unpack_u64(&u);
        while (u.rest.n >= 8) {
            list = index_list_add(list, n, sizeof *list);
            list[n++] = (struct store_thread_key){unpack_u64(&u), threadid};
        }
    }
    index_read_end(&s.r);
    if (s.now == R_FAIL) {
        free(list);
        return R_FAIL;
    }
    *out = list;
    *n_out = n;
    return R_OK;
}
