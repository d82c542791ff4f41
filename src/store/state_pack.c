#include "store/state_inside.h"

// What a state knows, as one block while nobody looks at it. The block never leaves memory: its form may change at any time.

// Larger values stay where they are: they would be copied each time.
enum { VALUES_MAX = 1024 };

static bool
mailbox_packs(const struct mailbox_state *m)
{
    return !m->mail && !m->loaded && !m->sets;
}

static bool
values_pack(const struct state_inside *in)
{
    size_t n = 0;
    for (const struct value_entry *v = in->values; v; v = v->hh.next)
        n += v->key.n + v->value.n;
    return n <= VALUES_MAX;
}

// ---- into the block ----

static void
mailbox_put(struct buf *b, const struct mailbox_state *m)
{
    pack_var(b, m->id);
    pack_var(b, m->parent);
    pack_span(b, m->name);
    pack_var(b, m->uidvalidity);
    pack_u8(b, m->special_use);
    pack_u8(b, m->flags);
    pack_u8(b, m->privates);
    pack_var(b, m->recent_mark);
    pack_var(b, m->created_modseq);
    pack_var(b, m->horizon);
    pack_var(b, m->counts.uidnext);
    pack_var(b, m->counts.exists);
    pack_var(b, m->counts.unseen);
    pack_var(b, m->counts.deleted);
    pack_var(b, m->counts.size);
    pack_var(b, m->counts.modseq);
    pack_var(b, m->keyword_count);
    for (uint32_t i = 0; i < m->keyword_count; i++)
        pack_span(b, m->keywords[i]);
}

static void
mailboxes_put(struct state *s, struct buf *b)
{
    uint32_t kept = 0, n = s->mailbox_count;
    for (uint32_t i = 0; i < n; i++)
        kept += !mailbox_packs(s->mailboxes[i]);
    pack_var(b, n - kept);
    for (uint32_t i = 0, to = 0; i < n; i++) {
        struct mailbox_state *m = s->mailboxes[i];
        if (!mailbox_packs(m)) {
            s->mailboxes[to++] = m;
            continue;
        }
        mailbox_put(b, m);
        state_entry_free(state_entry(m));
    }
    s->mailboxes =
        keep_grow_in(KEEP_AWAKE, s->mailboxes, s->mailbox_cap * sizeof *s->mailboxes,
                     kept * sizeof *s->mailboxes);
    s->mailbox_count = s->mailbox_cap = kept;
}

static void
values_put(struct state_inside *in, struct buf *b)
{
    struct value_entry *v, *next;
    bool packs = values_pack(in);
    pack_var(b, packs ? HASH_COUNT(in->values) : 0);
    if (!packs)
        return;
    HASH_ITER(hh, in->values, v, next)
    {
        pack_span(b, v->key);
        pack_span(b, v->value);
        state_value_remove(in, v);
    }
}

static void
subscriptions_put(struct state *s, struct buf *b)
{
    pack_var(b, s->subscription_count);
    for (uint32_t i = 0; i < s->subscription_count; i++)
        pack_span(b, s->subscriptions[i].name);
    state_subscriptions_clear(s);
}

void
state_pack(struct state *s)
{
    struct usage usage = s->inside->usage;
    struct buf b;
    if (state_is_packed(s) || s->inside->kept)
        return;
    buf_init(&b, SIZE_MAX);
    mailboxes_put(s, &b);
    values_put(s->inside, &b);
    subscriptions_put(s, &b);
    s->packed = keep_span(buf_span(&b));
    s->inside->usage = usage;
    buf_done(&b);
}

static struct span
span_move(struct span s)
{
    return span_of(keep_move((char *)(uintptr_t)s.p, s.n + 1), s.n);
}

void
state_settle(struct state *s)
{
    s->user = span_move(s->user);
    s->packed = span_move(s->packed);
    s->mailboxes = keep_move(s->mailboxes, s->mailbox_cap * sizeof *s->mailboxes);
    for (uint32_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox_entry *e =
            keep_move(state_entry(s->mailboxes[i]), sizeof(struct mailbox_entry));
        e->m.name = span_move(e->m.name);
        e->m.keywords =
            keep_move(e->m.keywords, e->m.keyword_count * sizeof *e->m.keywords);
        for (uint32_t k = 0; k < e->m.keyword_count; k++)
            e->m.keywords[k] = span_move(e->m.keywords[k]);
        s->mailboxes[i] = &e->m;
    }
}

// ---- out of it ----

static struct span
part(struct span s)
{
    return keep_span_in(KEEP_AWAKE, s);
}

static void
mailbox_get(struct state *s, struct unpack *u)
{
    struct mailbox_state *m = &state_mailbox_add(s, unpack_var(u))->m;
    m->parent = unpack_var(u);
    m->name = part(unpack_span(u));
    m->uidvalidity = (uint32_t)unpack_var(u);
    m->special_use = unpack_u8(u);
    m->flags = unpack_u8(u);
    m->privates = unpack_u8(u) != 0;
    m->recent_mark = (uint32_t)unpack_var(u);
    m->created_modseq = unpack_var(u);
    m->horizon = unpack_var(u);
    m->counts.uidnext = (uint32_t)unpack_var(u);
    m->counts.exists = (uint32_t)unpack_var(u);
    m->counts.unseen = (uint32_t)unpack_var(u);
    m->counts.deleted = (uint32_t)unpack_var(u);
    m->counts.size = unpack_var(u);
    m->counts.modseq = unpack_var(u);
    m->keyword_count = (uint32_t)unpack_var(u);
    if (m->keyword_count > 0)
        m->keywords = keep_new_in(KEEP_AWAKE, m->keyword_count * sizeof *m->keywords);
    for (uint32_t i = 0; i < m->keyword_count; i++)
        m->keywords[i] = part(unpack_span(u));
}

static void
values_get(struct state_inside *in, struct unpack *u)
{
    for (uint64_t n = unpack_var(u); n > 0; n--) {
        struct value_entry *v = keep_new_in(KEEP_AWAKE, sizeof *v);
        v->key = part(unpack_span(u));
        v->value = part(unpack_span(u));
        state_value_add(in, v);
    }
}

static void
subscriptions_get(struct state *s, struct unpack *u)
{
    s->subscription_count = (uint32_t)unpack_var(u);
    if (s->subscription_count > 0)
        s->subscriptions =
            keep_new_in(KEEP_AWAKE, s->subscription_count * sizeof *s->subscriptions);
    for (uint32_t i = 0; i < s->subscription_count; i++)
        s->subscriptions[i].name = part(unpack_span(u));
}

void
state_unpack(struct state *s)
{
    struct usage usage = s->inside->usage;
    struct span packed = s->packed;
    struct unpack u = unpack_of(packed);
    if (!state_is_packed(s))
        return;
    s->packed = SPAN_NONE;
    for (uint64_t n = unpack_var(&u); n > 0; n--)
        mailbox_get(s, &u);
    values_get(s->inside, &u);
    subscriptions_get(s, &u);
    must(unpack_end(&u) == R_OK);
    s->inside->usage = usage;
    keep_span_free(&packed);
}
