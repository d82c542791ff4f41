#include "store/state_inside.h"

#include "base/limits.h"
#include "io/task.h"

// The fold's target in memory. Rows of tables that are not loaded are left alone.

// Owned strings of the state are replaced only when they differ: the source may be the string itself.
static void
replace(struct span *owned, struct span now)
{
    if (owned->p && span_eq(*owned, now))
        return;
    struct span copy = keep_span_in(KEEP_AWAKE, now);
    keep_span_free(owned);
    *owned = copy;
}

static enum result
account_get(void *t, struct account_row *out, struct fault *f)
{
    (void)f;
    struct state *s = t;
    if (!s->inside->exists)
        return R_NONE;
    *out = (struct account_row){s->user, s->inside->created_s, s->modseq};
    return R_OK;
}

static enum result
account_put(void *t, const struct account_row *a, struct fault *f)
{
    (void)f;
    struct state *s = t;
    replace(&s->user, a->user);
    s->inside->created_s = a->created_s;
    s->modseq = a->modseq;
    s->inside->exists = true;
    s->gone = false;
    return R_OK;
}

static enum result
account_gone(void *t, struct fault *f)
{
    (void)f;
    struct state *s = t;
    state_clear(s);
    s->gone = true;
    s->inside->exists = false;
    return R_OK;
}

static enum result
mailbox_get(void *t, uint64_t id, struct mailbox_row *out, struct fault *f)
{
    (void)f;
    struct mailbox_state *m = state_mailbox(t, id);
    if (!m)
        return R_NONE;
    *out = (struct mailbox_row){
        .id = m->id,
        .parent = m->parent,
        .name = m->name,
        .uidvalidity = m->uidvalidity,
        .special_use = m->special_use,
        .flags = m->flags,
        .recent_mark = m->recent_mark,
        .created_modseq = m->created_modseq,
        .horizon = m->horizon,
        .counts = m->counts,
    };
    return R_OK;
}

static enum result
mailbox_put(void *t, const struct mailbox_row *row, struct fault *f)
{
    struct mailbox_state *m = state_mailbox(t, row->id);
    if (!m)
        m = &state_mailbox_add(t, row->id)->m;
    struct state_inside *in = ((struct state *)t)->inside;
    state_count(in, m, -1);
    m->parent = row->parent;
    replace(&m->name, row->name);
    m->uidvalidity = row->uidvalidity;
    m->special_use = row->special_use;
    m->flags = row->flags;
    m->recent_mark = row->recent_mark;
    m->created_modseq = row->created_modseq;
    m->horizon = row->horizon;
    m->counts = row->counts;
    state_count(in, m, 1);
    return m->loaded ? state_table_check(m, f) : R_OK;
}

static struct kept_row *
add_tombstone(struct kept *k)
{
    if (k->tombstone_count == k->tombstone_cap) {
        k->tombstone_cap = k->tombstone_cap > 0 ? k->tombstone_cap * 2 : 64;
        k->tombstones =
            reallocarray(k->tombstones, k->tombstone_cap, sizeof *k->tombstones);
        must(k->tombstones != NULL);
    }
    return &k->tombstones[k->tombstone_count++];
}

static void
bury(struct kept *k, const struct mailbox_entry *e, uint32_t from, uint32_t to,
     const struct rows_edit *edit)
{
    for (uint32_t i = from; k && i < to; i++) {
        struct kept_row *t = add_tombstone(k);
        struct buf list;
        buf_init(&list, SIZE_MAX);
        keyword_sets_pack(e->m.sets, e->m.rows[i].keywords, &list);
        *t = (struct kept_row){.mailbox = e->m.id,
                               .modseq = edit->modseq,
                               .when_s = edit->when_s,
                               .moved = edit->moved,
                               .row = e->m.rows[i],
                               .keywords = keep_span(buf_span(&list))};
        buf_done(&list);
    }
}

static void
kept_row_done(struct kept_row *t)
{
    keep_span_free(&t->keywords);
}

static void
kept_mailbox_done(struct kept_mailbox *m)
{
    for (uint32_t i = 0; i < m->keyword_count; i++)
        keep_span_free(&m->keywords[i]);
    free(m->keywords);
    keep_span_free(&m->row.name);
}

void
state_kept_done(struct kept *k)
{
    for (size_t i = 0; i < k->tombstone_count; i++)
        kept_row_done(&k->tombstones[i]);
    for (size_t i = 0; i < k->deleted_count; i++)
        kept_mailbox_done(&k->deleted[i]);
    free(k->tombstones);
    free(k->deleted);
    free(k->privates);
    free(k->marks);
    *k = (struct kept){0};
}

// What stays known of a mailbox that is deleted.
static void
keep_mailbox(struct kept *k, const struct mailbox_state *m, const struct mailbox_row *row,
             const struct record_mailbox_gone *g)
{
    k->deleted = reallocarray(k->deleted, k->deleted_count + 1, sizeof *k->deleted);
    must(k->deleted != NULL);
    struct kept_mailbox *d = &k->deleted[k->deleted_count++];
    *d = (struct kept_mailbox){.row = *row, .modseq = g->modseq, .when_s = g->when_s};
    d->row.name = keep_span(row->name);
    d->keyword_count = m->keyword_count;
    d->keywords = calloc(m->keyword_count + 1, sizeof *d->keywords);
    must(d->keywords != NULL);
    for (uint32_t i = 0; i < m->keyword_count; i++)
        d->keywords[i] = keep_span(m->keywords[i]);
}

static void
forget_values(struct state_inside *in, uint64_t mailbox)
{
    struct value_entry *v, *next;
    HASH_ITER(hh, in->values, v, next)
    {
        struct unpack u = unpack_of(v->key);
        if (unpack_u64(&u) != mailbox)
            continue;
        state_value_remove(in, v);
    }
}

static enum result
mailbox_gone(void *t, const struct record_mailbox_gone *g, struct fault *f)
{
    struct state *s = t;
    struct mailbox_entry *e = state_entry(state_mailbox(s, g->id));
    struct rows_edit edit = {.modseq = g->modseq, .when_s = g->when_s};
    struct mailbox_row row;
    if (s->inside->kept && mailbox_get(t, g->id, &row, f) == R_OK)
        keep_mailbox(s->inside->kept, &e->m, &row, g);
    bury(s->inside->kept, e, 0, e->count, &edit);
    forget_values(s->inside, g->id);
    state_mailbox_remove(s, e);
    return R_OK;
}

static enum result
mailbox_ids(void *t, uint64_t **ids_out, size_t *n_out, struct fault *f)
{
    (void)f;
    const struct state *s = t;
    uint64_t *ids = calloc(s->mailbox_count + 1, sizeof *ids);
    must(ids != NULL);
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        ids[i] = s->mailboxes[i]->id;
    *ids_out = ids;
    *n_out = s->mailbox_count;
    return R_OK;
}

static enum result
keyword_put(void *t, const struct record_keyword *k, struct fault *f)
{
    (void)f;
    struct mailbox_state *m = state_mailbox(t, k->mailbox);
    if (k->index >= m->keyword_count) {
        m->keywords =
            keep_grow_in(KEEP_AWAKE, m->keywords, m->keyword_count * sizeof *m->keywords,
                         (k->index + 1) * sizeof *m->keywords);
        m->keyword_count = k->index + 1;
    }
    replace(&m->keywords[k->index], k->name);
    return R_OK;
}

// After so many rows others have their turn.
static void
breathe(const struct state *s, uint32_t rows)
{
    if (s->yields && rows % LIMIT_rows_at_once == 0)
        task_yield();
}

static enum result
row_add(void *t, uint64_t mailbox, const struct record_row *row, struct fault *f)
{
    (void)f;
    struct mailbox_state *m = state_mailbox(t, mailbox);
    if (!m->loaded)
        return R_OK;
    state_row_insert(state_entry(m), &row->row, row->keywords);
    breathe(t, state_entry(m)->count);
    return R_OK;
}

// Gallops: ranges ascend, so the next one is usually near.
uint32_t
state_row_from(const struct mailbox_state *m, uint32_t from, uint32_t uid)
{
    uint32_t count = ((const struct mailbox_entry *)(const void *)m)->count;
    uint32_t step = 1, low = from;
    while (low < count && m->rows[low].uid < uid) {
        from = low + 1;
        low = step < count - low ? low + step : count;
        step *= 2;
    }
    while (from < low) {
        uint32_t middle = from + (low - from) / 2;
        if (m->rows[middle].uid < uid)
            from = middle + 1;
        else
            low = middle;
    }
    return low;
}

static void
edit_rows(const struct state *s, struct mailbox_entry *e, struct span ranges,
          const struct rows_edit *edit)
{
    struct unpack u = unpack_of(ranges);
    uint32_t first = 0, last = 0, at = 0;
    uint32_t set = edit->kind == EDIT_FLAGS
                       ? keyword_sets_intern_packed(e->m.sets, edit->keywords)
                       : 0;
    while (record_ranges_next(&u, &first, &last) == R_OK) {
        for (at = state_row_from(&e->m, at, first);
             at < e->count && e->m.rows[at].uid <= last; at++) {
            struct message_row *row = &e->m.rows[at];
            breathe(s, at);
            if (row->modseq >= edit->modseq)
                continue;
            if (edit->kind == EDIT_OWN) {
                row->flags = (uint16_t)((row->flags & ~edit->mask) | edit->flags);
                continue;
            }
            row->modseq = edit->modseq;
            if (edit->kind == EDIT_FLAGS) {
                row->flags = edit->flags;
                row->keywords = set;
            }
        }
    }
}

// Rows [from, end) to `to`, below.
static void
move_down(const struct state *s, struct message_row *rows, uint32_t to, uint32_t from,
          uint32_t end)
{
    enum { PIECE = LIMIT_rows_at_once * 16 };
    while (to != from && from < end) {
        uint32_t n = end - from < PIECE ? end - from : PIECE;
        memmove(rows + to, rows + from, n * sizeof *rows);
        from += n;
        to += n;
        breathe(s, 0);
    }
}

// One sweep: the rows between two ranges move down once.
static void
expunge_rows(struct state *s, struct mailbox_entry *e, struct span ranges,
             const struct rows_edit *edit)
{
    struct unpack u = unpack_of(ranges);
    struct message_row *rows = e->m.rows;
    uint32_t first = 0, last = 0, from = 0, to = 0;
    while (record_ranges_next(&u, &first, &last) == R_OK) {
        uint32_t start = state_row_from(&e->m, from, first);
        move_down(s, rows, to, from, start);
        to += start - from;
        for (from = start; from < e->count && rows[from].uid <= last; from++) {
            if (rows[from].modseq >= edit->modseq)
                rows[to++] = rows[from];
            else
                bury(s->inside->kept, e, from, from + 1, edit);
            breathe(s, from);
        }
    }
    move_down(s, rows, to, from, e->count);
    e->count -= from - to;
}

static enum result
rows_edit(void *t, uint64_t mailbox, struct span ranges, const struct rows_edit *edit,
          struct fault *f)
{
    (void)f;
    struct mailbox_state *m = state_mailbox(t, mailbox);
    if (!m->loaded)
        return R_OK;
    if (edit->kind == EDIT_EXPUNGE)
        expunge_rows(t, state_entry(m), ranges, edit);
    else
        edit_rows(t, state_entry(m), ranges, edit);
    return R_OK;
}

static enum result
forget(void *t, uint64_t mailbox, uint64_t up_to_modseq, struct fault *f)
{
    (void)f;
    struct kept *k = ((struct state *)t)->inside->kept;
    size_t to = 0;
    for (size_t i = 0; k && i < k->tombstone_count; i++)
        if (k->tombstones[i].mailbox != mailbox || k->tombstones[i].modseq > up_to_modseq)
            k->tombstones[to++] = k->tombstones[i];
        else
            kept_row_done(&k->tombstones[i]);
    if (!k)
        return R_OK;
    k->tombstone_count = to;
    state_marks_forget(k, mailbox, up_to_modseq);
    to = 0;
    for (size_t i = 0; i < k->deleted_count; i++)
        if (k->deleted[i].row.id != mailbox || k->deleted[i].modseq > up_to_modseq)
            k->deleted[to++] = k->deleted[i];
        else {
            state_privates_drop(k, mailbox, 0, SPAN_NONE, 0, 0);
            kept_mailbox_done(&k->deleted[i]);
        }
    k->deleted_count = to;
    return R_OK;
}

static enum result
private_put(void *t, const struct record_private *p, struct fault *f)
{
    (void)f;
    struct kept *k = ((struct state *)t)->inside->kept;
    state_mailbox(t, p->mailbox)->privates = true;
    if (k)
        state_private_put(k, p);
    return R_OK;
}

static enum result
privates_put(void *t, const struct record_privates *p, const struct record_group *g,
             struct fault *f)
{
    (void)f;
    struct kept *k = ((struct state *)t)->inside->kept;
    struct unpack u = unpack_of(g->ranges);
    uint32_t first = 0, last = 0;
    state_mailbox(t, p->mailbox)->privates = true;
    while (k && record_ranges_next(&u, &first, &last) == R_OK)
        for (uint64_t uid = first; uid <= last; uid++) {
            struct record_private one = {p->mailbox, p->user, p->modseq, (uint32_t)uid,
                                         g->flags};
            state_private_put(k, &one);
        }
    return R_OK;
}

static enum result
privates_drop(void *t, uint64_t mailbox, uint64_t user, struct span ranges, uint64_t buried,
              struct fault *f)
{
    (void)f;
    struct kept *k = ((struct state *)t)->inside->kept;
    if (k)
        state_privates_drop(k, mailbox, user, ranges, buried, ((struct state *)t)->account);
    return R_OK;
}

static enum result
meta_put(void *t, const struct record_meta *m, struct fault *f)
{
    (void)f;
    struct state_inside *in = ((struct state *)t)->inside;
    struct value_entry *v = keep_new_in(KEEP_AWAKE, sizeof *v), *old;
    struct buf key;
    buf_init(&key, SIZE_MAX);
    pack_u64(&key, m->mailbox);
    buf_put(&key, m->key);
    v->key = keep_span_in(KEEP_AWAKE, buf_span(&key));
    v->value = keep_span_in(KEEP_AWAKE, m->value);
    buf_done(&key);
    HASH_FIND(hh, in->values, v->key.p, v->key.n, old);
    if (old)
        state_value_remove(in, old);
    state_value_add(in, v);
    if (m->value.n == 0)
        state_value_remove(in, v);
    return R_OK;
}

static void
unsubscribe(struct state *s, uint32_t at)
{
    size_t one = sizeof *s->subscriptions;
    keep_span_free(&s->subscriptions[at].name);
    memmove(s->subscriptions + at, s->subscriptions + at + 1,
            (--s->subscription_count - at) * one);
    s->subscriptions =
        keep_grow_in(KEEP_AWAKE, s->subscriptions, (s->subscription_count + 1) * one,
                     s->subscription_count * one);
}

static enum result
subscribe(void *t, const struct record_subscribe *r, struct fault *f)
{
    (void)f;
    struct state *s = t;
    uint32_t at;
    bool there = state_subscription_find(s, r->name, &at);
    if (there && !r->on)
        unsubscribe(s, at);
    if (there || !r->on)
        return R_OK;
    s->subscriptions = keep_grow_in(KEEP_AWAKE, s->subscriptions,
                                    s->subscription_count * sizeof *s->subscriptions,
                                    (s->subscription_count + 1) * sizeof *s->subscriptions);
    memmove(s->subscriptions + at + 1, s->subscriptions + at,
            (s->subscription_count++ - at) * sizeof *s->subscriptions);
    s->subscriptions[at].name = SPAN_NONE;
    replace(&s->subscriptions[at].name, r->name);
    return R_OK;
}

static enum result
body_put(void *t, uint64_t blob, const struct record_added *r, struct fault *f)
{
    (void)t, (void)blob, (void)r, (void)f;
    return R_OK;
}

const struct store_rows state_rows = {
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
    .private_put = private_put,
    .privates_put = privates_put,
    .privates_drop = privates_drop,
    .meta_put = meta_put,
    .subscribe = subscribe,
    .body_put = body_put,
};

// ---- a table alone, behind a header that is further already ----

struct table_target {
    struct state *s;
    struct mailbox_state *m;
};

static enum result
table_account_get(void *t, struct account_row *out, struct fault *f)
{
    (void)t, (void)out, (void)f;
    return R_NONE;
}

static enum result
table_mailbox_get(void *t, uint64_t id, struct mailbox_row *out, struct fault *f)
{
    const struct table_target *a = t;
    return a->m->id == id ? mailbox_get(a->s, id, out, f) : R_NONE;
}

static enum result
table_mailbox_put(void *t, const struct mailbox_row *m, struct fault *f)
{
    (void)t, (void)m, (void)f;
    return R_OK;
}

static enum result
table_row_add(void *t, uint64_t mailbox, const struct record_row *row, struct fault *f)
{
    return row_add(((struct table_target *)t)->s, mailbox, row, f);
}

static enum result
table_rows_edit(void *t, uint64_t mailbox, struct span ranges, const struct rows_edit *edit,
                struct fault *f)
{
    return rows_edit(((struct table_target *)t)->s, mailbox, ranges, edit, f);
}

static enum result
table_privates_put(void *t, const struct record_privates *p, const struct record_group *g,
                   struct fault *f)
{
    (void)t, (void)p, (void)g, (void)f;
    return R_OK;
}

static enum result
table_privates_drop(void *t, uint64_t mailbox, uint64_t user, struct span ranges,
                    uint64_t buried, struct fault *f)
{
    (void)t, (void)mailbox, (void)user, (void)ranges, (void)buried, (void)f;
    return R_OK;
}

enum result
state_table_replay(struct state *s, struct mailbox_state *m, enum record_type type,
                   struct span meta, struct record_place place, struct fault *f)
{
    static const struct store_rows table_rows = {
        .account_get = table_account_get,
        .mailbox_get = table_mailbox_get,
        .mailbox_put = table_mailbox_put,
        .row_add = table_row_add,
        .rows_edit = table_rows_edit,
        .privates_put = table_privates_put,
        .privates_drop = table_privates_drop,
        .body_put = body_put,
    };
    if (type != RECORD_ADDED && type != RECORD_COPIED && type != RECORD_FLAGS &&
        type != RECORD_EXPUNGED && type != RECORD_MOVED && type != RECORD_FILED &&
        type != RECORD_PRIVATES)
        return R_OK;
    struct table_target target = {s, m};
    return apply_record(&table_rows, &target, type, meta, place, f);
}
