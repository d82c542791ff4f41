#include "mail/maildrop_sets.h"

#include "base/limits.h"
#include "mail/tree_record.h"

enum { UIDL_KEY = 16 };

static const struct span set_keys[] = {
    [MAILDROP_HIDDEN] = {"pop3/hidden", 11},
    [MAILDROP_FETCHED] = {"pop3/fetched", 12},
};
#define UIDL_PREFIX SPAN("uidl/")

// ---- unique ids ----

struct uidl_entry {
    uint32_t uid;
    struct span text;  // n 0: another message has it, too
};

// Ascending by UID.
struct maildrop_uidls {
    struct uidl_entry *entries;
    size_t n;
};

void
maildrop_uidl_put(struct buf *b, uint32_t uid, uint32_t uidvalidity)
{
    buf_printf(b, "%08x%08x", uid, uidvalidity);
}

static bool
is_good(struct span uidl)
{
    for (size_t i = 0; i < uidl.n; i++)
        if ((unsigned char)uidl.p[i] < 0x21 || (unsigned char)uidl.p[i] > 0x7E)
            return false;
    return uidl.n > 0 && uidl.n <= LIMIT_uidl;
}

static struct span
uidl_key(char room[UIDL_KEY], uint32_t uid)
{
    int n = snprintf(room, UIDL_KEY, "uidl/%08x", uid);
    return span_of(room, (size_t)n);
}

static bool
uidl_key_parse(struct span key, uint32_t *uid_out)
{
    char text[UIDL_KEY], *end;
    if (!span_starts(key, UIDL_PREFIX) || key.n != UIDL_PREFIX.n + 8)
        return false;
    memcpy(text, key.p, key.n);
    text[key.n] = '\0';
    unsigned long uid = strtoul(text + UIDL_PREFIX.n, &end, 16);
    *uid_out = (uint32_t)uid;
    return end == text + key.n && uid > 0;
}

static int
by_uid(const void *x, const void *y)
{
    const struct uidl_entry *a = x, *b = y;
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static int
by_text(const void *x, const void *y)
{
    const struct uidl_entry *a = x, *b = y;
    int order = span_cmp(a->text, b->text);
    return order != 0 ? order : by_uid(x, y);
}

struct gather {
    uint64_t mailbox;
    struct arena *arena;
    struct maildrop_uidls *out;
    size_t n;  // counted before
};

static void
count_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct gather *g = arg;
    uint32_t uid;
    g->n += mailbox == g->mailbox && value.n > 0 && uidl_key_parse(key, &uid);
}

static void
take_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct gather *g = arg;
    uint32_t uid;
    if (mailbox == g->mailbox && value.n > 0 && uidl_key_parse(key, &uid))
        g->out->entries[g->out->n++] = (struct uidl_entry){uid, arena_dup(g->arena, value)};
}

// Of two messages with the same one the later has that of the server, as if it had none; nor may one be what another
// message has by itself.
static void
make_unique(struct maildrop_uidls *u, uint32_t uidvalidity)
{
    char tail[9];
    snprintf(tail, sizeof tail, "%08x", uidvalidity);
    qsort(u->entries, u->n, sizeof *u->entries, by_text);
    struct span last = SPAN_NONE;
    for (size_t i = 0; i < u->n; i++) {
        struct span text = u->entries[i].text;
        if (span_eq(text, last) || (text.n == 16 && span_ends(text, span_str(tail))))
            u->entries[i].text.n = 0;
        last = text;
    }
    qsort(u->entries, u->n, sizeof *u->entries, by_uid);
}

static struct maildrop_uidls *
gather(struct account *a, const struct mailbox *m, struct arena *arena)
{
    struct gather g = {.mailbox = m->id, .arena = arena};
    state_meta_each(account_state(a), count_each, &g);
    if (g.n == 0)
        return NULL;
    g.out = ARENA_NEW(arena, struct maildrop_uidls);
    g.out->entries = arena_array(arena, g.n, sizeof *g.out->entries);
    state_meta_each(account_state(a), take_each, &g);
    make_unique(g.out, m->state->uidvalidity);
    return g.out;
}

struct span
maildrop_uidls_find(const struct maildrop_uidls *u, uint32_t uid)
{
    struct uidl_entry key = {.uid = uid};
    const struct uidl_entry *e =
        u && u->n > 0 ? bsearch(&key, u->entries, u->n, sizeof key, by_uid) : NULL;
    return e && e->text.n > 0 ? e->text : SPAN_NONE;
}

void
maildrop_uidl_note(struct account *a, struct store_batch *b, const struct mailbox *m,
                   uint32_t uid, struct span uidl)
{
    char room[UIDL_KEY];
    struct buf usual;
    buf_init(&usual, LIMIT_uidl);
    maildrop_uidl_put(&usual, uid, m->state->uidvalidity);
    if (is_good(uidl) && !span_eq(uidl, buf_span(&usual)))
        tree_put_meta(
            b, &(struct record_meta){m->id, change_modseq(a), uidl_key(room, uid), uidl});
    buf_done(&usual);
}

struct maildrop_uidls *
maildrop_uidls_read(struct view *v, struct arena *a)
{
    struct maildrop_sets sets;
    maildrop_sets_read(v, a, &sets);
    return sets.uidls;
}

void
maildrop_uidls_put_gone(const struct maildrop_uidls *u, const struct seqset *gone,
                        struct account *a, struct store_batch *b, const struct mailbox *m)
{
    char room[UIDL_KEY];
    uint64_t modseq = u ? change_modseq(a) : 0;
    for (size_t i = 0; u && i < u->n; i++) {
        uint32_t uid = u->entries[i].uid, at = state_row_at(m->state, uid);
        bool there = at < m->state->counts.exists && m->state->rows[at].uid == uid;
        struct record_meta r = {m->id, modseq, uidl_key(room, uid), SPAN_NONE};
        yield_at(i);
        // one that lost to another's is not to come up when that goes
        if (!there || seqset_contains(gone, uid) || u->entries[i].text.n == 0)
            tree_put_meta(b, &r);
    }
}

// ---- sets of UIDs ----

// {u64 mailbox, u32 UIDVALIDITY, UIDs}: of another INBOX they say nothing.
static void
read_set(struct account *a, const struct mailbox *m, enum maildrop_set which,
         struct arena *arena, struct seqset *out)
{
    struct span value;
    seqset_init(out, arena);
    if (state_meta_find(account_state(a), 0, set_keys[which], &value) != R_OK ||
        value.n == 0)
        return;
    struct unpack u = unpack_of(value);
    uint64_t mailbox = unpack_u64(&u);
    uint32_t uidvalidity = unpack_u32(&u);
    struct seqset uids;
    if (mailbox == m->id && uidvalidity == m->state->uidvalidity &&
        seqset_get(&u, arena, &uids) == R_OK && unpack_end(&u) == R_OK)
        *out = uids;
}

void
maildrop_sets_here(struct account *a, struct mailbox *m, struct arena *arena,
                   struct maildrop_sets *out)
{
    read_set(a, m, MAILDROP_HIDDEN, arena, &out->hidden);
    read_set(a, m, MAILDROP_FETCHED, arena, &out->fetched);
    out->uidls = gather(a, m, arena);
}

struct read_call {
    struct view *view;
    struct arena *arena;
    struct maildrop_sets *out;
};

static void
read_run(void *arg)
{
    struct read_call *c = arg;
    if (!c->view->gone)
        maildrop_sets_here(c->view->account, c->view->mailbox, c->arena, c->out);
}

void
maildrop_sets_read(struct view *v, struct arena *a, struct maildrop_sets *out)
{
    struct read_call c = {v, a, out};
    seqset_init(&out->hidden, a);
    seqset_init(&out->fetched, a);
    out->uidls = NULL;
    account_run(v->account, read_run, &c);
}

enum result
maildrop_set_put(struct account *a, struct store_batch *b, const struct mailbox *m,
                 enum maildrop_set which, const struct seqset *uids)
{
    struct buf value;
    buf_init(&value, LIMIT_meta_value);
    pack_u64(&value, m->id);
    pack_u32(&value, m->state->uidvalidity);
    seqset_put(&value, uids);
    struct record_meta r = {0, change_modseq(a), set_keys[which], buf_span(&value)};
    bool fits = !value.over;
    if (fits)
        tree_put_meta(b, &r);
    buf_done(&value);
    return fits ? R_OK : R_FAIL;
}
