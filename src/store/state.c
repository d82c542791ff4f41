#include "store/state_inside.h"

#include "base/budget.h"
#include "base/pages.h"

// The table of values goes when they are packed.
#undef uthash_malloc
#define uthash_malloc(size) keep_new_in(KEEP_AWAKE, size)

struct state *
state_new(uint64_t account)
{
    struct state *s = KEEP_NEW(struct state);
    s->account = account;
    s->inside = KEEP_NEW(struct state_inside);
    return s;
}

struct state *
state_new_keeping(uint64_t account)
{
    struct state *s = state_new(account);
    s->inside->kept = calloc(1, sizeof *s->inside->kept);
    must(s->inside->kept != NULL);
    return s;
}

void
state_on_mailbox_gone(struct state *s, state_mailbox_gone_fn *fn, void *arg)
{
    s->inside->gone_fn = fn;
    s->inside->gone_arg = arg;
}

// ---- mailboxes ----

uint32_t
state_mailbox_at(const struct state *s, uint64_t id)
{
    uint32_t low = 0, high = s->mailbox_count;
    must(!state_is_packed(s));
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->mailboxes[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct mailbox_state *
state_mailbox(struct state *s, uint64_t id)
{
    uint32_t at = state_mailbox_at(s, id);
    return at < s->mailbox_count && s->mailboxes[at]->id == id ? s->mailboxes[at] : NULL;
}

void
state_count(struct state_inside *in, const struct mailbox_state *m, int sign)
{
    uint64_t by = (uint64_t)sign, *n = in->usage.n;
    n[USAGE_STORAGE] += by * m->counts.size;
    n[USAGE_MESSAGES] += by * m->counts.exists;
    n[USAGE_MAILBOXES] += m->flags & MAILBOX_NOSELECT ? 0 : by;
}

const struct usage *
state_usage(const struct state *s)
{
    return &s->inside->usage;
}

struct mailbox_entry *
state_mailbox_add(struct state *s, uint64_t id)
{
    struct mailbox_entry *e = keep_new_in(KEEP_AWAKE, sizeof *e);
    e->m.id = id;
    if (s->mailbox_count == s->mailbox_cap) {
        uint32_t cap = s->mailbox_cap > 0 ? s->mailbox_cap * 2 : 6;
        s->mailboxes =
            keep_grow_in(KEEP_AWAKE, s->mailboxes, s->mailbox_cap * sizeof *s->mailboxes,
                         cap * sizeof *s->mailboxes);
        s->mailbox_cap = cap;
    }
    uint32_t at = state_mailbox_at(s, id);
    memmove(s->mailboxes + at + 1, s->mailboxes + at,
            (s->mailbox_count - at) * sizeof *s->mailboxes);
    s->mailboxes[at] = &e->m;
    s->mailbox_count++;
    state_count(s->inside, &e->m, 1);
    if (s->inside->kept) {
        struct message_table t = message_table_new(0);
        state_table_install(&e->m, &t);
    }
    return e;
}

void
state_entry_free(struct mailbox_entry *e)
{
    for (uint32_t i = 0; i < e->m.keyword_count; i++)
        keep_span_free(&e->m.keywords[i]);
    keep_free(e->m.keywords, e->m.keyword_count * sizeof *e->m.keywords);
    keep_span_free(&e->m.name);
    KEEP_FREE(e);
}

void
state_mailbox_remove(struct state *s, struct mailbox_entry *e)
{
    if (s->inside->gone_fn)
        s->inside->gone_fn(&e->m, s->inside->gone_arg);
    state_count(s->inside, &e->m, -1);
    state_table_drop(&e->m);
    state_sets_drop(&e->m);
    uint32_t at = state_mailbox_at(s, e->m.id);
    memmove(s->mailboxes + at, s->mailboxes + at + 1,
            (--s->mailbox_count - at) * sizeof *s->mailboxes);
    state_entry_free(e);
}

// An annotation's name begins with '/', behind the mailbox's id; its value is behind one octet.
static uint64_t
annotation_octets(const struct value_entry *v)
{
    enum { ID = 8, HEAD = 1 };
    return v->key.n > ID && v->key.p[ID] == '/' && v->value.n > HEAD ? v->value.n - HEAD
                                                                     : 0;
}

void
state_value_add(struct state_inside *in, struct value_entry *v)
{
    in->usage.n[USAGE_ANNOTATIONS] += annotation_octets(v);
    v->charged = sizeof *v + v->key.n + v->value.n;
    budget_force(BUDGET_TABLES, v->charged);
    HASH_ADD_KEYPTR(hh, in->values, v->key.p, v->key.n, v);
}

void
state_value_remove(struct state_inside *in, struct value_entry *v)
{
    in->usage.n[USAGE_ANNOTATIONS] -= annotation_octets(v);
    HASH_DELETE(hh, in->values, v);
    budget_give(BUDGET_TABLES, v->charged);
    keep_span_free(&v->key);
    keep_span_free(&v->value);
    KEEP_FREE(v);
}

static void
clear_values(struct state_inside *in)
{
    struct value_entry *v, *next;
    HASH_ITER(hh, in->values, v, next)
    {
        state_value_remove(in, v);
    }
}

void
state_subscriptions_clear(struct state *s)
{
    for (uint32_t i = 0; i < s->subscription_count; i++)
        keep_span_free(&s->subscriptions[i].name);
    keep_free(s->subscriptions, s->subscription_count * sizeof *s->subscriptions);
    s->subscriptions = NULL;
    s->subscription_count = 0;
}

void
state_clear(struct state *s)
{
    keep_span_free(&s->packed);
    while (s->mailbox_count > 0)
        state_mailbox_remove(s, state_entry(s->mailboxes[s->mailbox_count - 1]));
    clear_values(s->inside);
    state_subscriptions_clear(s);
    if (s->inside->kept)
        state_kept_done(s->inside->kept);
}

void
state_free(struct state **s)
{
    if (!*s)
        return;
    state_clear(*s);
    free((*s)->inside->kept);
    KEEP_FREE((*s)->inside);
    keep_free((*s)->mailboxes, (*s)->mailbox_cap * sizeof *(*s)->mailboxes);
    keep_span_free(&(*s)->user);
    KEEP_FREE(*s);
    *s = NULL;
}

// ---- tables ----

static struct message_row *
rows_new(uint32_t cap)
{
    return pages_whole(cap * sizeof(struct message_row));
}

static void
rows_free(struct message_row *rows, uint32_t cap)
{
    pages_free(rows, cap * sizeof *rows);
}

static struct message_row *
rows_grow(struct message_row *rows, uint32_t old, uint32_t cap)
{
    return pages_grow(rows, old * sizeof *rows, cap * sizeof *rows);
}

struct message_table
message_table_new(uint32_t expected)
{
    struct message_table t = {.sets = keyword_sets_new(),
                              .cap = expected > 16 ? expected : 16};
    t.rows = rows_new(t.cap);
    return t;
}

void
message_table_done(struct message_table *t)
{
    rows_free(t->rows, t->cap);
    keyword_sets_free(&t->sets);
    *t = (struct message_table){0};
}

static uint32_t
more_rows(uint32_t cap)
{
    return cap < UINT32_MAX / 2 ? cap + cap / 4 + 16 : UINT32_MAX;
}

enum result
message_table_append(struct message_table *t, const struct message_row *row,
                     struct span keywords)
{
    if (t->count > 0 && t->rows[t->count - 1].uid >= row->uid)
        return R_FAIL;
    if (t->count == t->cap) {
        uint32_t cap = more_rows(t->cap);
        t->rows = rows_grow(t->rows, t->cap, cap);
        t->cap = cap;
    }
    t->rows[t->count] = *row;
    t->rows[t->count++].keywords = keyword_sets_intern_packed(t->sets, keywords);
    return R_OK;
}

size_t
state_table_memory(const struct mailbox_state *m)
{
    return m->row_cap * sizeof *m->rows + keyword_sets_memory(m->sets);
}

void
state_recharge(struct mailbox_entry *e)
{
    size_t now = state_table_memory(&e->m);
    if (now > e->charged)
        budget_force(BUDGET_TABLES, now - e->charged);
    else
        budget_give(BUDGET_TABLES, e->charged - now);
    e->charged = now;
}

// Sets that were given out keep their numbers: the table's sets join those that are there.
static void
sets_join(struct mailbox_state *m, struct message_table *t)
{
    size_t count = keyword_sets_count(t->sets), n;
    uint32_t *map = calloc(count, sizeof *map);
    must(map != NULL);
    for (uint32_t set = 1; set < count; set++) {
        const uint32_t *numbers = keyword_sets_get(t->sets, set, &n);
        map[set] = keyword_sets_intern(m->sets, numbers, n);
    }
    for (uint32_t i = 0; i < t->count; i++)
        t->rows[i].keywords = map[t->rows[i].keywords];
    free(map);
    keyword_sets_free(&t->sets);
}

void
state_table_install(struct mailbox_state *m, struct message_table *t)
{
    state_table_drop(m);
    if (m->sets)
        sets_join(m, t);
    else
        m->sets = t->sets;
    m->rows = t->rows;
    m->row_cap = t->cap;
    m->loaded = true;
    state_entry(m)->count = t->count;
    *t = (struct message_table){0};
    state_recharge(state_entry(m));
}

void
state_table_move(struct mailbox_state *from, struct mailbox_state *to)
{
    struct message_table t = {.rows = from->rows,
                              .count = state_entry(from)->count,
                              .cap = from->row_cap,
                              .sets = from->sets};
    from->rows = NULL;
    from->sets = NULL;
    state_table_drop(from);
    state_table_install(to, &t);
}

void
state_table_drop(struct mailbox_state *m)
{
    rows_free(m->rows, m->row_cap);
    m->rows = NULL;
    m->row_cap = 0;
    m->loaded = false;
    state_entry(m)->count = 0;
    state_recharge(state_entry(m));
}

void
state_sets_drop(struct mailbox_state *m)
{
    if (m->loaded)
        return;
    keyword_sets_free(&m->sets);
    state_recharge(state_entry(m));
}

enum result
state_table_check(struct mailbox_state *m, struct fault *f)
{
    uint32_t count = state_entry(m)->count;
    if (count == m->counts.exists)
        return R_OK;
    state_table_drop(m);
    return fault_set(f, FAULT_CORRUPTION, "mailbox %llu has %u rows, its header says %u",
                     (unsigned long long)m->id, count, m->counts.exists);
}

uint32_t
state_row_at(const struct mailbox_state *m, uint32_t uid)
{
    uint32_t low = 0, high = ((const struct mailbox_entry *)(const void *)m)->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->rows[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void
state_row_insert(struct mailbox_entry *e, const struct message_row *row,
                 struct span keywords)
{
    struct mailbox_state *m = &e->m;
    uint32_t at = e->count;
    if (at > 0 && m->rows[at - 1].uid >= row->uid)
        at = state_row_at(m, row->uid);
    if (at < e->count && m->rows[at].uid == row->uid)
        return;
    if (e->count == m->row_cap) {
        uint32_t cap = more_rows(m->row_cap);
        m->rows = rows_grow(m->rows, m->row_cap, cap);
        m->row_cap = cap;
        state_recharge(e);
    }
    memmove(m->rows + at + 1, m->rows + at, (e->count - at) * sizeof *m->rows);
    m->rows[at] = *row;
    m->rows[at].keywords = keyword_sets_intern_packed(m->sets, keywords);
    e->count++;
}

bool
state_subscription_find(const struct state *s, struct span name, uint32_t *at_out)
{
    uint32_t low = 0, high = s->subscription_count;
    must(!state_is_packed(s));
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span_cmp(s->subscriptions[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at_out = low;
    return low < s->subscription_count && span_eq(s->subscriptions[low].name, name);
}

bool
state_subscribed(const struct state *s, struct span name)
{
    uint32_t at;
    return state_subscription_find(s, name, &at);
}

// ---- values ----

enum result
state_meta_find(struct state *s, uint64_t mailbox, struct span key, struct span *value_out)
{
    struct value_entry *v;
    struct buf full;
    must(!state_is_packed(s));
    buf_init(&full, SIZE_MAX);
    pack_u64(&full, mailbox);
    buf_put(&full, key);
    HASH_FIND(hh, s->inside->values, full.p, full.n, v);
    buf_done(&full);
    if (!v)
        return R_NONE;
    *value_out = v->value;
    return R_OK;
}

void
state_meta_each(const struct state *s, state_meta_fn *fn, void *arg)
{
    const struct value_entry *v;
    must(!state_is_packed(s));
    for (v = s->inside->values; v; v = v->hh.next) {
        struct unpack u = unpack_of(v->key);
        uint64_t mailbox = unpack_u64(&u);
        fn(mailbox, u.rest, v->value, arg);
    }
}

// ---- records ----

enum result
state_apply(struct state *s, enum record_type type, struct span meta,
            struct record_place place, struct fault *f)
{
    if (place.seq <= s->applied)
        return R_OK;
    state_unpack(s);
    if (apply_record(&state_rows, s, type, meta, place, f) != R_OK)
        return R_FAIL;
    s->applied = place.seq;
    return R_OK;
}
