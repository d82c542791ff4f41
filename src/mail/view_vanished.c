#include "mail/home.h"

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

static int
by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void
add_tombstones(const struct view *v, const struct vanished_call *c,
               const struct store_tombstones *t)
{
    uint32_t *uids = arena_array(c->arena, t->n, sizeof *uids);
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t uid = t->list[i].row.uid;
        if (uid <= v->last_uid && (!c->uids || seqset_contains(c->uids, uid)) &&
            !is_ghost(v, uid))
            uids[n++] = uid;
    }
    if (n > 1)
        qsort(uids, n, sizeof *uids, by_number);
    for (size_t i = 0; i < n; i++)
        seqset_add(c->out, uids[i]);
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
vanished(struct view *v, void *arg, struct fault *f)
{
    struct vanished_call *c = arg;
    struct store_tombstones t = {.a = c->arena, .modseq = c->since, .uid = UINT32_MAX};
    if (v->gone)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    if (c->since >= v->mailbox->state->horizon &&
        store_tombstones(mail_store(v->account->mail), v->account->state, v->mailbox_id, &t,
                         f) != R_OK)
        return R_FAIL;
    if (view_table(v, f) != R_OK)
        return R_FAIL;
    if (c->since >= v->mailbox->state->horizon)
        add_tombstones(v, c, &t);
    else
        add_all_missing(v, c);
    return R_OK;
}

enum result
view_vanished(struct view *v, uint64_t since, const struct seqset *uids, struct arena *a,
              struct seqset *out, struct fault *f)
{
    struct vanished_call c = {since, uids, a, out};
    seqset_init(out, a);
    return view_run(v, vanished, &c, f);
}
