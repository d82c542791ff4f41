#include "store/index_scan.h"

#include "base/limits.h"

// Flags that users have of their own, as the index has them: of messages that are there, and of those that were expunged.

enum result
index_privates(struct index *ix, uint64_t account, uint64_t mailbox, uint64_t user,
               struct store_privates *out, struct fault *f)
{
    struct index_scan s;
    struct index_key prefix = index_key(account, INDEX_PRIVATE);
    struct store_private *list = NULL;
    size_t n = 0;
    index_key_u64(&prefix, mailbox);
    index_key_u64(&prefix, user);
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    for (index_scan_first(&s, prefix, NULL, f); s.now == R_OK; index_scan_next(&s, f)) {
        struct unpack u = unpack_of(s.value);
        struct store_private p = {.uid = index_key_get_u32(s.key, 25),
                                  .modseq = unpack_u64(&u)};
        p.flags = unpack_u16(&u);
        list = index_list_add(list, n, sizeof *list);
        list[n++] = p;
    }
    index_read_end(&s.r);
    if (s.now == R_FAIL) {
        free(list);
        return R_FAIL;
    }
    out->list = list;
    out->n = n;
    return R_OK;
}

// From user to user: one look for each.
static enum result
scan_private_users(struct index_scan *s, uint64_t account, struct store_private_users *out,
                   struct fault *f)
{
    struct index_key prefix = index_key(account, INDEX_PRIVATE), from = prefix;
    for (index_scan_first(s, prefix, NULL, f); s->now == R_OK;
         index_scan_first(s, prefix, &from, f)) {
        struct store_private_user one = {index_key_get_u64(s->key, 9),
                                         index_key_get_u64(s->key, 17)};
        out->list = index_list_add(out->list, out->n, sizeof *out->list);
        out->list[out->n++] = one;
        bool last = one.user == UINT64_MAX;  // of the mailbox
        if (last && one.mailbox == UINT64_MAX)
            break;
        from = prefix;
        index_key_u64(&from, one.mailbox + last);
        index_key_u64(&from, one.user + 1);
    }
    return s->now == R_FAIL ? R_FAIL : R_OK;
}

enum result
index_private_users(struct index *ix, uint64_t account, struct store_private_users *out,
                    struct fault *f)
{
    struct index_scan s;
    struct store_private_users found = {0};
    if (index_read_begin(ix, &s.r, f) != R_OK)
        return R_FAIL;
    enum result r = scan_private_users(&s, account, &found, f);
    index_read_end(&s.r);
    if (r != R_OK) {
        free(found.list);
        return R_FAIL;
    }
    out->list = found.list;
    out->n = found.n;
    return R_OK;
}

// ---- of tombstones ----

// The marks of one page.
struct gathering {
    struct index_scan *scan;
    struct store_tombstones *t;
    size_t cap;
    uint64_t account, mailbox;
    const struct store_tombstone *held;  // what a deleted mailbox held, ascending
    size_t held_count;
};

static void
add_mark(struct gathering *g, const struct store_mark *one)
{
    struct store_tombstones *t = g->t;
    if (t->mark_count == g->cap) {
        g->cap = g->cap > 0 ? g->cap * 2 : 64;
        struct store_mark *more = arena_array(t->a, g->cap, sizeof *more);
        if (t->mark_count > 0)
            memcpy(more, t->marks, t->mark_count * sizeof *more);
        t->marks = more;
    }
    t->marks[t->mark_count++] = *one;
}

static bool
too_many(const struct store_tombstones *t)
{
    return t->mark_count > LIMIT_tombstone_marks && t->n > 1;
}

static struct index_key
mark_key(const struct gathering *g, const struct store_tombstone *t, uint64_t user)
{
    struct index_key key = index_key(g->account, INDEX_MARK);
    index_key_u64(&key, g->mailbox);
    index_key_u64(&key, t->modseq);
    index_key_u32(&key, t->row.uid);
    index_key_u64(&key, user);
    return key;
}

static int
place_order(const void *a, const void *b)
{
    const struct store_tombstone *x = a, *y = b;
    if (x->modseq != y->modseq)
        return x->modseq < y->modseq ? -1 : 1;
    return (x->row.uid > y->row.uid) - (x->row.uid < y->row.uid);
}

static bool
has_tombstone(const struct gathering *g, uint64_t modseq, uint32_t uid)
{
    const struct store_tombstone key = {.row.uid = uid, .modseq = modseq};
    return bsearch(&key, g->t->list, g->t->n, sizeof key, place_order) != NULL;
}

static enum result
scan_marks(struct gathering *g, struct fault *f)
{
    struct index_scan *s = g->scan;
    struct store_tombstones *t = g->t;
    struct index_key prefix = index_key(g->account, INDEX_MARK);
    struct index_key from = mark_key(g, &t->list[0], 0);
    struct index_key to = mark_key(g, &t->list[t->n - 1], UINT64_MAX);
    index_key_u64(&prefix, g->mailbox);
    for (index_scan_first(s, prefix, &from, f); s->now == R_OK && !too_many(t);
         index_scan_next(s, f)) {
        if (span_cmp(s->key, span_of(to.p, to.n)) > 0)
            return R_OK;
        struct unpack u = unpack_of(s->value);
        struct store_mark one = {.user = index_key_get_u64(s->key, 29),
                                 .uid = index_key_get_u32(s->key, 25),
                                 .flags = unpack_u16(&u)};
        if (unpack_end(&u) != R_OK)
            return index_scan_damaged(s, "mark", f);
        if (has_tombstone(g, index_key_get_u64(s->key, 17), one.uid))
            add_mark(g, &one);
    }
    return s->now == R_FAIL ? R_FAIL : R_OK;
}

// What one user has in a deleted mailbox, of the page's messages.
static enum result
scan_left(struct gathering *g, uint64_t user, struct fault *f)
{
    struct index_scan *s = g->scan;
    struct index_key prefix = index_key(g->account, INDEX_PRIVATE), from;
    index_key_u64(&prefix, g->mailbox);
    index_key_u64(&prefix, user);
    from = prefix;
    index_key_u32(&from, g->held[0].row.uid);
    for (index_scan_first(s, prefix, &from, f); s->now == R_OK && !too_many(g->t);
         index_scan_next(s, f)) {
        struct unpack u = unpack_of(s->value);
        struct store_mark one = {.user = user, .uid = index_key_get_u32(s->key, 25)};
        (void)unpack_u64(&u);
        one.flags = unpack_u16(&u);
        if (u.bad)
            return index_scan_damaged(s, "private flags", f);
        if (one.uid > g->held[g->held_count - 1].row.uid)
            return R_OK;
        if (has_tombstone(g, g->held[0].modseq, one.uid))
            add_mark(g, &one);
    }
    return s->now == R_FAIL ? R_FAIL : R_OK;
}

// R_NONE: the mailbox is not a deleted one.
static enum result
deleted_modseq(struct gathering *g, uint64_t *out, struct fault *f)
{
    struct index_scan *s = g->scan;
    struct index_key mark = index_key(g->account, INDEX_DELETED);
    index_key_u64(&mark, g->mailbox);
    index_scan_first(s, mark, NULL, f);
    if (s->now != R_OK)
        return s->now;
    struct unpack u = unpack_of(s->value);
    *out = unpack_u64(&u);
    return u.bad ? index_scan_damaged(s, "deleted mailbox", f) : R_OK;
}

// From user to user.
static enum result
scan_users_left(struct gathering *g, struct fault *f)
{
    struct index_scan *s = g->scan;
    struct index_key prefix = index_key(g->account, INDEX_PRIVATE), from;
    index_key_u64(&prefix, g->mailbox);
    from = prefix;
    for (index_scan_first(s, prefix, NULL, f); s->now == R_OK && !too_many(g->t);
         index_scan_first(s, prefix, &from, f)) {
        uint64_t user = index_key_get_u64(s->key, 17);
        if (user != g->account && scan_left(g, user, f) != R_OK)
            return R_FAIL;
        if (user == UINT64_MAX)
            break;
        from = prefix;
        index_key_u64(&from, user + 1);
    }
    return s->now == R_FAIL ? R_FAIL : R_OK;
}

// The messages that a deleted mailbox held have their flags as they were; they are the page's last tombstones.
static enum result
scan_deleted_marks(struct gathering *g, struct fault *f)
{
    const struct store_tombstones *t = g->t;
    uint64_t deleted = 0;
    size_t at = t->n;
    enum result r = deleted_modseq(g, &deleted, f);
    while (r == R_OK && at > 0 && t->list[at - 1].modseq == deleted)
        at--;
    if (r != R_OK || at == t->n)
        return r == R_FAIL ? R_FAIL : R_OK;
    g->held = &t->list[at];
    g->held_count = t->n - at;
    return scan_users_left(g, f);
}

enum result
index_marks(struct index_scan *s, uint64_t account, uint64_t mailbox,
            struct store_tombstones *out, struct fault *f)
{
    struct gathering g = {.scan = s, .t = out, .account = account, .mailbox = mailbox};
    while (out->n > 0) {
        out->mark_count = 0;
        if (scan_marks(&g, f) != R_OK || scan_deleted_marks(&g, f) != R_OK)
            return R_FAIL;
        if (!too_many(out))
            break;
        out->n /= 2;
        out->last = false;
    }
    return R_OK;
}
