#include "mail/private.h"

// Which messages came or changed, for who follows the result of a search (RFC 5267).

struct touched_call {
    bool untold;
    struct view_mark *mark;
    struct seqset *out;
};

// The remembered events reach back to the mark.
static void
by_events(const struct view *v, uint64_t since, struct seqset *out)
{
    const struct mailbox *m = v->mailbox;
    for (size_t i = m->event_count; i > 0; i--) {
        const struct flag_event *e = &m->events[(m->event_at + i - 1) % m->event_cap];
        if (e->modseq <= since)
            return;
        if (e->first <= v->last_uid && (e->user == 0 || e->user == v->mine.user))
            seqset_add_range(out, e->first, e->last < v->last_uid ? e->last : v->last_uid);
    }
}

static void
by_scan(struct view *v, uint64_t since, struct seqset *out)
{
    const struct mailbox_state *s = v->mailbox->state;
    for (uint32_t i = 0; i < s->counts.exists && s->rows[i].uid <= v->last_uid; i++) {
        if (private_modseq(v, &s->rows[i]) > since)
            seqset_add(out, s->rows[i].uid);
        yield_at(i);
    }
}

// What came and is not shown yet is not passed over: then the mark stays.
static void
move_on(const struct view *v, const struct touched_call *c)
{
    const struct mailbox_state *s = v->mailbox->state;
    struct view_mark *mark = c->mark;
    mark->uid = v->last_uid;
    if (!c->untold)
        mark->modseq = v->modseq > mark->modseq ? v->modseq : mark->modseq;
    else if (s->counts.uidnext == v->uidnext)
        mark->modseq = private_position(v->mailbox);
}

static enum result
touched(struct view *v, void *arg, struct fault *f)
{
    struct touched_call *c = arg;
    struct mailbox *m = v->mailbox;
    uint64_t since = c->mark->modseq;
    uint32_t uid = c->mark->uid;
    if (v->gone)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    if (m->events_from <= since) {
        move_on(v, c);
        by_events(v, since, c->out);
        if (v->last_uid > uid)
            seqset_add_range(c->out, uid + 1, v->last_uid);
        return R_OK;
    }
    if (mailbox_read_begin(v->account, m, f) != R_OK)
        return R_FAIL;
    move_on(v, c);
    by_scan(v, since, c->out);
    mailbox_read_end(v->account, m);
    return R_OK;
}

enum result
view_touched(struct view *v, bool untold, struct view_mark *mark, struct arena *a,
             struct seqset *out, struct fault *f)
{
    struct touched_call c = {untold, mark, out};
    seqset_init(out, a);
    return view_run(v, touched, &c, f);
}
