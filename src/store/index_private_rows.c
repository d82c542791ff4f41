#include "store/index_fold.h"

// Private flags in the index: INDEX_PRIVATE of messages that are there, INDEX_MARK of tombstones.

enum result
fold_private_put(void *t, const struct record_private *p, struct fault *f)
{
    struct index_fold *w = t;
    struct index_key key = index_key(w->account, INDEX_PRIVATE);
    struct span value;
    index_key_u64(&key, p->mailbox);
    index_key_u64(&key, p->user);
    index_key_u32(&key, p->uid);
    enum result r = fold_get(w, &key, &value, f);
    if (r == R_FAIL)
        return R_FAIL;
    struct unpack u = unpack_of(r == R_OK ? value : SPAN_NONE);
    if (r == R_OK && unpack_u64(&u) >= p->modseq)
        return R_OK;
    struct buf b;
    buf_init(&b, 64);
    pack_u64(&b, p->modseq);
    pack_u16(&b, p->flags);
    r = fold_put(w, &key, buf_span(&b), 0, f);
    buf_done(&b);
    return r;
}

enum result
fold_privates_put(void *t, const struct record_privates *p, const struct record_group *g,
                  struct fault *f)
{
    struct unpack u = unpack_of(g->ranges);
    uint32_t first = 0, last = 0;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        for (uint64_t uid = first; uid <= last; uid++) {
            struct record_private one = {p->mailbox, p->user, p->modseq, (uint32_t)uid,
                                         g->flags};
            if (fold_make_room(t, f) != R_OK || fold_private_put(t, &one, f) != R_OK)
                return R_FAIL;
        }
    return R_OK;
}

// ---- of messages that go ----

static struct index_key
private_prefix(const struct index_fold *w, uint64_t mailbox, uint64_t user)
{
    struct index_key key = index_key(w->account, INDEX_PRIVATE);
    index_key_u64(&key, mailbox);
    index_key_u64(&key, user);
    return key;
}

// The entry goes; its flags stay with the tombstone. The owner's are in the tombstone's row.
static enum result
bury_one(struct index_fold *w, uint64_t mailbox, const struct index_key *key,
         uint64_t modseq, struct fault *f)
{
    struct span bytes = span_of(key->p, key->n), value;
    uint64_t user = index_key_get_u64(bytes, 17);
    if (fold_get(w, key, &value, f) != R_OK)
        return R_FAIL;
    struct unpack u = unpack_of(value);
    (void)unpack_u64(&u);
    uint16_t flags = unpack_u16(&u);
    if (u.bad)
        return index_fault(w->ix, MDB_CORRUPTED, "private flags", f);
    if (user != w->account && flags != 0) {
        struct index_key mark = index_key(w->account, INDEX_MARK);
        struct buf b;
        index_key_u64(&mark, mailbox);
        index_key_u64(&mark, modseq);
        index_key_u32(&mark, index_key_get_u32(bytes, 25));
        index_key_u64(&mark, user);
        buf_init(&b, 64);
        pack_u16(&b, flags);
        enum result r = fold_put(w, &mark, buf_span(&b), 0, f);
        buf_done(&b);
        if (r != R_OK)
            return R_FAIL;
    }
    return fold_delete(w, key, f);
}

static enum result
bury_between(struct index_fold *w, uint64_t mailbox, const struct index_key *from,
             const struct index_key *last, uint64_t modseq, struct fault *f)
{
    struct index_key prefix = *from, found = {0};
    prefix.n -= 4;
    for (;;) {
        enum result r = fold_find(w, &prefix, from, &found, f);
        if (r != R_OK)
            return r == R_NONE ? R_OK : R_FAIL;
        if (span_cmp(span_of(found.p, found.n), span_of(last->p, last->n)) > 0)
            return R_OK;
        if (fold_make_room(w, f) != R_OK || bury_one(w, mailbox, &found, modseq, f) != R_OK)
            return R_FAIL;
    }
}

struct dropping {
    uint64_t mailbox, buried;
    struct span ranges;
};

static enum result
drop_of_user(struct index_fold *w, const struct dropping *d, uint64_t user, struct fault *f)
{
    struct index_key prefix = private_prefix(w, d->mailbox, user);
    struct unpack u = unpack_of(d->ranges);
    uint32_t first = 0, last = 0;
    if (d->ranges.n == 0)
        return fold_delete_between(w, &prefix, &prefix, NULL, f);
    while (record_ranges_next(&u, &first, &last) == R_OK) {
        struct index_key from = prefix, to = prefix;
        index_key_u32(&from, first);
        index_key_u32(&to, last);
        enum result r = d->buried ? bury_between(w, d->mailbox, &from, &to, d->buried, f)
                                  : fold_delete_between(w, &prefix, &from, &to, f);
        if (r != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// From user to user.
static enum result
drop_of_all(struct index_fold *w, const struct dropping *d, struct fault *f)
{
    struct index_key all = index_key(w->account, INDEX_PRIVATE), found = {0};
    enum result r = R_OK;
    index_key_u64(&all, d->mailbox);
    for (uint64_t user = 0; r == R_OK; user++) {
        struct index_key from = private_prefix(w, d->mailbox, user);
        r = fold_find(w, &all, &from, &found, f);
        if (r != R_OK)
            break;
        user = index_key_get_u64(span_of(found.p, found.n), 17);
        r = drop_of_user(w, d, user, f);
        if (user == UINT64_MAX)
            break;
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

// The marks of a user who was deleted: one look for each mark of the mailbox.
static enum result
drop_marks(struct index_fold *w, uint64_t mailbox, uint64_t user, struct fault *f)
{
    struct index_key all = index_key(w->account, INDEX_MARK), from, found = {0};
    enum result r;
    index_key_u64(&all, mailbox);
    from = all;
    while ((r = fold_find(w, &all, &from, &found, f)) == R_OK) {
        from = found;
        from.p[from.n++] = 0;  // behind it
        if (index_key_get_u64(span_of(found.p, found.n), 29) == user &&
            (fold_make_room(w, f) != R_OK || fold_delete(w, &found, f) != R_OK))
            return R_FAIL;
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
fold_privates_drop(void *t, uint64_t mailbox, uint64_t user, struct span ranges,
                   uint64_t buried, struct fault *f)
{
    const struct dropping d = {mailbox, buried, ranges};
    if (user == 0)
        return drop_of_all(t, &d, f);
    if (ranges.n == 0 && drop_marks(t, mailbox, user, f) != R_OK)
        return R_FAIL;
    return drop_of_user(t, &d, user, f);
}
