#include "mail/private.h"

#include "base/limits.h"

struct sync_call {
    struct view *view;
    unsigned flags;
    struct arena *arena;
    struct view_delta *delta;
    struct fault *fault;
    enum result result;
};

// ---- expunges ----

// Descending, so that no number depends on one announced before it.
static void
tell_expunged(struct view *v, struct arena *a, struct view_delta *d)
{
    size_t n = v->ghosts.count;
    d->expunged = arena_array(a, n, sizeof *d->expunged);
    d->expunged_uids = arena_array(a, n, sizeof *d->expunged_uids);
    d->expunged_count = n;
    for (size_t i = 0; i < n; i++) {
        d->expunged[i] = v->ghosts.seqs[n - 1 - i];
        d->expunged_uids[i] = v->ghosts.rows[n - 1 - i].uid;
        v->recent -= view_is_recent(v, v->ghosts.rows[n - 1 - i].uid);
    }
    v->exists -= (uint32_t)n;
    v->version = v->ghosts.version = v->mailbox->version;
    v->ghosts.count = 0;
    mailbox_trim(v->mailbox);
}

// ---- flags ----

static void
put_changed(struct view *v, struct view_delta *d, uint32_t row)
{
    yield_at(d->changed_count);
    const struct mailbox_state *s = v->mailbox->state;
    uint32_t seq = row + 1 + (uint32_t)view_ghosts_below(v, s->rows[row].uid);
    view_at(v, seq, &d->changed[d->changed_count++]);
}

// Is the view to be told of it?
static bool
is_news(const struct view *v, const struct flag_event *e)
{
    return e->modseq > v->modseq && e->origin != v && e->first <= v->last_uid &&
           (e->user == 0 || e->user == v->mine.user);
}

// UIDs that others changed since the view was told, as far as the remembered events know.
static void
changed_uids(const struct view *v, struct seqset *out)
{
    const struct mailbox *m = v->mailbox;
    for (size_t i = 0; i < m->event_count; i++) {
        const struct flag_event *e = &m->events[(m->event_at + i) % m->event_cap];
        if (is_news(v, e))
            seqset_add_range(out, e->first, e->last < v->last_uid ? e->last : v->last_uid);
    }
}

static uint32_t
rows_of(const struct mailbox_state *s, const struct seqset_range *r, uint32_t *first_out)
{
    *first_out = state_row_at(s, r->first);
    uint32_t end = r->last == UINT32_MAX ? s->counts.exists : state_row_at(s, r->last + 1);
    return end - *first_out;
}

// The remembered events reach back to what the view was told: only those rows are looked at.
static void
changed_by_events(struct view *v, struct arena *a, struct view_delta *d)
{
    const struct mailbox_state *s = v->mailbox->state;
    struct seqset uids;
    uint32_t first, n, total = 0;
    seqset_init(&uids, a);
    changed_uids(v, &uids);
    for (uint32_t i = 0; i < uids.count; i++)
        total += rows_of(s, &uids.ranges[i], &first);
    d->changed = arena_array(a, total, sizeof *d->changed);
    for (uint32_t i = 0; i < uids.count; i++) {
        n = rows_of(s, &uids.ranges[i], &first);
        for (uint32_t k = 0; k < n; k++)
            put_changed(v, d, first + k);
    }
}

static void
changed_by_scan(struct view *v, struct arena *a, struct view_delta *d)
{
    const struct mailbox_state *s = v->mailbox->state;
    size_t n = 0;
    for (uint32_t i = 0; i < s->counts.exists && s->rows[i].uid <= v->last_uid; i++) {
        n += private_modseq(v, &s->rows[i]) > v->modseq;
        yield_at(i);
    }
    d->changed = arena_array(a, n, sizeof *d->changed);
    for (uint32_t i = 0; i < s->counts.exists && s->rows[i].uid <= v->last_uid; i++)
        if (private_modseq(v, &s->rows[i]) > v->modseq)
            put_changed(v, d, i);
}

static bool
has_events(const struct view *v)
{
    const struct mailbox *m = v->mailbox;
    for (size_t i = m->event_count; i > 0; i--) {
        const struct flag_event *e = &m->events[(m->event_at + i - 1) % m->event_cap];
        if (e->modseq <= v->modseq)
            return false;
        if (is_news(v, e))
            return true;
    }
    return false;
}

// ---- the whole ----

static bool
flags_changed(const struct view *v)
{
    return v->mailbox->events_from > v->modseq || has_events(v);
}

static bool
needs_table(const struct view *v, unsigned flags)
{
    return v->version != v->mailbox->version ||
           (!(flags & VIEW_HOLD_FLAGS) && flags_changed(v));
}

// Everything that was missed, while the table stays.
static void
sync_rows(struct sync_call *c)
{
    struct view *v = c->view;
    view_ghosts(v);
    if (c->flags & VIEW_EXPUNGE)
        tell_expunged(v, c->arena, c->delta);
    if (c->flags & VIEW_HOLD_FLAGS)
        return;
    if (v->mailbox->events_from > v->modseq)
        changed_by_scan(v, c->arena, c->delta);
    else
        changed_by_events(v, c->arena, c->delta);
}

// RFC 7162 section 3.2: while an expunge is held back, nothing from it on counts as told.
static uint64_t
told_modseq(const struct view *v)
{
    const struct mailbox *m = v->mailbox;
    uint64_t told = v->mine.highest;
    for (size_t i = 0; i < m->ghost_count; i++)
        if (m->ghosts[i].version > v->version && m->ghosts[i].modseq <= told)
            told = m->ghosts[i].modseq - 1;
    return told;
}

// view_take_recent counted what is there; these are told, too, and taken off again when their going is.
static void
count_recent_ghosts(struct view *v, uint32_t first)
{
    for (size_t i = view_ghosts_below(v, first); i < v->ghosts.count; i++)
        v->recent += view_is_recent(v, v->ghosts.rows[i].uid);
}

static void
tell_new(struct view *v, struct view_delta *d)
{
    struct mailbox *m = v->mailbox;
    uint32_t told = v->exists;
    d->fresh_first = v->last_uid + 1;
    d->fresh_last = m->state->counts.uidnext - 1;
    v->uidnext = m->state->counts.uidnext;
    v->last_uid = v->uidnext - 1;
    if (v->version != m->version) {
        v->ghosts.version = UINT64_MAX;  // expunged ones among the new are ghosts too now
        view_ghosts(v);
        count_recent_ghosts(v, d->fresh_first);
    }
    v->exists = m->state->counts.exists + (uint32_t)v->ghosts.count;
    d->exists_changed = v->exists != told;
}

// Is something kept for later?
static bool
tell_up_to(struct view *v, unsigned flags)
{
    const struct mailbox *m = v->mailbox;
    bool held = (flags & VIEW_HOLD_NEW) || ((flags & VIEW_HOLD_FLAGS) && flags_changed(v));
    if (!held) {
        v->modseq = private_position(m);
        v->mine.highest = private_highest(m, v->mine.set);
    }
    v->told = told_modseq(v);
    return held || v->version != m->version;
}

static bool
is_fresh(const struct sync_call *c)
{
    const struct view *v = c->view;
    return !(c->flags & VIEW_HOLD_NEW) && v->mailbox->state->counts.uidnext != v->uidnext;
}

static void
list_lost(struct view *v, struct arena *a, struct view_delta *d)
{
    size_t n = v->version != v->mailbox->version ? v->ghosts.count : 0;
    d->lost = arena_array(a, n, sizeof *d->lost);
    d->lost_uids = arena_array(a, n, sizeof *d->lost_uids);
    d->lost_count = n;
    for (size_t i = 0; i < n; i++) {
        d->lost[i] = v->ghosts.seqs[n - 1 - i];
        d->lost_uids[i] = v->ghosts.rows[n - 1 - i].uid;
    }
}

// Is something kept for later?
static bool
sync_held(struct sync_call *c)
{
    struct view *v = c->view;
    if (is_fresh(c))
        view_take_recent(v);
    if (needs_table(v, c->flags))
        sync_rows(c);
    if (!(c->flags & VIEW_HOLD_NEW))
        tell_new(v, c->delta);
    if (c->flags & VIEW_LOST)
        list_lost(v, c->arena, c->delta);
    return tell_up_to(v, c->flags);
}

static enum result
sync_view(struct sync_call *c)
{
    struct view *v = c->view;
    struct mailbox *m = v->mailbox;
    atomic_store(&v->pending, false);
    if (v->gone) {
        c->delta->gone = true;
        return R_OK;
    }
    bool held = needs_table(v, c->flags) || is_fresh(c);
    if (held && mailbox_read_begin(v->account, m, c->fault) != R_OK) {
        c->delta->gone = v->gone;
        return v->gone ? R_OK : R_FAIL;
    }
    bool later = sync_held(c);
    if (held)
        mailbox_read_end(v->account, m);
    if (later)
        atomic_store(&v->pending, true);
    c->delta->keywords_changed =
        v->user.keywords != m->state->keyword_count || !v->user.told;
    c->delta->exists = v->exists;
    c->delta->recent = v->recent;
    return R_OK;
}

static void
sync_run(void *arg)
{
    struct sync_call *c = arg;
    c->result = sync_view(c);
}

enum result
view_sync(struct view *v, unsigned flags, struct arena *a, struct view_delta *out,
          struct fault *f)
{
    struct view_delta delta = {.exists = v->exists, .recent = v->recent, .fresh_first = 1};
    struct sync_call c = {v, flags, a, &delta, f, R_FAIL};
    if (atomic_load(&v->pending) || v->gone) {
        account_run(v->account, sync_run, &c);
        if (c.result != R_OK)
            return R_FAIL;
    }
    *out = delta;
    return R_OK;
}
