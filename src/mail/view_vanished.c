#include "mail/home.h"

#include "base/order.h"

// RFC 7162 section 3.2.6: which UIDs were expunged since a modseq.

struct vanished_call {
    uint64_t since;
    const struct seqset *uids;  // NULL: all
    struct arena *arena;
    struct seqset *out;
};

static bool
is_ghost(const struct view *v, uint32_t uid)
{
    size_t at = view_ghosts_below(v, uid);
    return at < v->ghosts.count && v->ghosts.rows[at].uid == uid;
}

// UIDs of the tombstones that are asked for, as they were expunged.
struct uids {
    uint32_t *p;
    size_t n, room;
};

static void
uids_add(struct uids *u, uint32_t uid)
{
    if (u->n == u->room) {
        u->room = u->room > 0 ? u->room * 2 : 256;
        u->p = reallocarray(u->p, u->room, sizeof *u->p);
        must(u->p != NULL);
    }
    u->p[u->n++] = uid;
}

struct fresh_gone {
    const struct vanished_call *call;
    struct uids *out;
};

static void
add_fresh(uint32_t first, uint32_t last, void *arg)
{
    const struct fresh_gone *g = arg;
    for (uint64_t uid = first; uid <= last; uid++)
        if (!g->call->uids || seqset_contains(g->call->uids, (uint32_t)uid))
            uids_add(g->out, (uint32_t)uid);
}

// What is not in the index yet, and what is: nobody waits for a fold. Page by page: of a million tombstones only the
// UIDs are kept.
static enum result
read_tombstones(const struct view *v, const struct vanished_call *c, struct uids *out,
                struct fault *f)
{
    enum { PAGE = 1024 };
    struct store *store = mail_store(v->account->mail);
    struct store_tombstones page = {.a = arena_new(),
                                    .modseq = c->since,
                                    .uid = UINT32_MAX,
                                    .max = PAGE,
                                    .indexed = true};
    struct fresh_gone fresh = {c, out};
    enum result r;
    store_gone_fresh(store, account_state(v->account), v->mailbox_id, c->since, add_fresh,
                     &fresh);
    do {
        arena_reset(page.a);
        r = store_tombstones(store, account_state(v->account), v->mailbox_id, &page, f);
        for (size_t i = 0; r == R_OK && i < page.n; i++)
            if (!c->uids || seqset_contains(c->uids, page.list[i].row.uid))
                uids_add(out, page.list[i].row.uid);
    } while (r == R_OK && page.n == PAGE);
    arena_free(&page.a);
    return r;
}

static void
add_tombstones(const struct view *v, const struct vanished_call *c, const struct uids *u)
{
    if (u->n > 1)
        qsort(u->p, u->n, sizeof *u->p, order_u32);
    for (size_t i = 0; i < u->n; i++) {
        bool twice = i > 0 && u->p[i] == u->p[i - 1];
        if (u->p[i] <= v->last_uid && !twice && !is_ghost(v, u->p[i]))
            seqset_add(c->out, u->p[i]);
    }
}

// What of [first, last] the view does not show.
static void
add_missing(struct view *v, const struct vanished_call *c, uint32_t first, uint32_t last)
{
    struct view_message m;
    uint64_t next = first;
    for (uint32_t seq = view_seq_from(v, first); seq <= v->exists; seq++) {
        view_at(v, seq, &m);
        if (m.row.uid > last)
            break;
        if (m.row.uid > next)
            seqset_add_range(c->out, (uint32_t)next, m.row.uid - 1);
        next = (uint64_t)m.row.uid + 1;
    }
    if (next <= last)
        seqset_add_range(c->out, (uint32_t)next, last);
}

static void
add_all_missing(struct view *v, const struct vanished_call *c)
{
    struct seqset_range all = {1, UINT32_MAX};
    const struct seqset_range *ranges = c->uids ? c->uids->ranges : &all;
    uint32_t count = c->uids ? c->uids->count : 1;
    for (uint32_t i = 0; i < count && ranges[i].first <= v->last_uid; i++)
        add_missing(v, c, ranges[i].first,
                    ranges[i].last < v->last_uid ? ranges[i].last : v->last_uid);
}

// Tombstones may be forgotten while they are read: the horizon is looked at afterwards.
static enum result
find_vanished(struct view *v, const struct vanished_call *c, struct uids *u,
              struct fault *f)
{
    if (c->since >= v->mailbox->state->horizon && read_tombstones(v, c, u, f) != R_OK)
        return R_FAIL;
    if (view_table(v, f) != R_OK)
        return R_FAIL;
    if (c->since >= v->mailbox->state->horizon)
        add_tombstones(v, c, u);
    else
        add_all_missing(v, c);
    return R_OK;
}

static enum result
vanished(struct view *v, void *arg, struct fault *f)
{
    struct uids u = {0};
    if (v->gone)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    enum result r = find_vanished(v, arg, &u, f);
    free(u.p);
    return r;
}

enum result
view_vanished(struct view *v, uint64_t since, const struct seqset *uids, struct arena *a,
              struct seqset *out, struct fault *f)
{
    struct vanished_call c = {since, uids, a, out};
    seqset_init(out, a);
    return view_run(v, vanished, &c, f);
}
