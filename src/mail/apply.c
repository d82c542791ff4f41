#include "mail/home.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/index_inside.h"
#include "mail/label_index.h"
#include "mail/name.h"
#include "mail/private.h"
#include "mail/watch_log.h"

static void
poke_run(void *arg)
{
    struct poke *p = arg;
    atomic_store(&p->posted, false);
    if (p->fn)
        p->fn(p->arg);
    poke_unref(p);
}

struct poke *
poke_new(view_poke_fn *fn, void *arg)
{
    struct poke *p = KEEP_NEW(struct poke);
    atomic_store(&p->refs, 1);
    p->loop = loop_self();
    p->fn = fn;
    p->arg = arg;
    return p;
}

void
poke_unref(struct poke *p)
{
    if (atomic_fetch_sub(&p->refs, 1) == 1)
        KEEP_FREE(p);
}

void
poke_post(struct poke *p)
{
    if (atomic_exchange(&p->posted, true))
        return;
    atomic_fetch_add(&p->refs, 1);
    loop_post(p->loop, poke_run, p);
}

void
view_poke(struct view *v)
{
    atomic_store(&v->pending, true);
    poke_post(v->poke);
}

void
mailbox_poke(struct mailbox *m)
{
    for (struct view *v = m->views; v; v = v->next)
        view_poke(v);
}

// ---- expunged rows that views still show ----

static void
ghost_add(struct mailbox *m, const struct message_row *row, uint64_t modseq)
{
    if (m->ghost_count == m->ghost_cap) {
        m->ghost_cap = m->ghost_cap > 0 ? m->ghost_cap * 2 : 16;
        m->ghosts = realloc(m->ghosts, m->ghost_cap * sizeof *m->ghosts);
        must(m->ghosts != NULL);
    }
    m->ghosts[m->ghost_count++] = (struct ghost){++m->version, modseq, *row};
    budget_force(BUDGET_TABLES, sizeof(struct ghost));
}

void
mailbox_trim(struct mailbox *m)
{
    uint64_t oldest = m->version;
    size_t told = 0;
    for (const struct view *v = m->views; v; v = v->next)
        if (v->version < oldest)
            oldest = v->version;
    while (told < m->ghost_count && m->ghosts[told].version <= oldest)
        told++;
    if (told == 0)
        return;
    m->ghost_count -= told;
    memmove(m->ghosts, m->ghosts + told, m->ghost_count * sizeof *m->ghosts);
    for (struct private_set *s = m->privates.sets; s && m->ghost_count == 0; s = s->next)
        s->gone.n = 0;
    budget_give(BUDGET_TABLES, told * sizeof(struct ghost));
}

static void
keep_ghosts(struct mailbox *m, const struct record_expunged *r)
{
    struct unpack u = unpack_of(r->uids);
    uint32_t first, last;
    must(m->state->loaded);
    while (record_ranges_next(&u, &first, &last) == R_OK)
        for (uint32_t i = state_row_at(m->state, first);
             i < m->state->counts.exists && m->state->rows[i].uid <= last; i++) {
            ghost_add(m, &m->state->rows[i], r->modseq);
            yield_at(i);
        }
    mailbox_trim(m);  // the views may have closed meanwhile
}

static void
before_expunge(struct account *a, struct span meta)
{
    struct record_expunged r;
    must(record_expunged_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.mailbox);
    must(m != NULL);
    m->first.known = false;
    if (m->views)
        keep_ghosts(m, &r);
}

static void
before_gone(struct account *a, struct span meta)
{
    struct record_mailbox_gone r;
    must(record_mailbox_gone_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.id);
    if (!m)
        return;
    for (struct view *v = m->views; v; v = v->next)
        v->gone = true;
    mailbox_poke(m);
    m->state->mail = NULL;
    m->state = NULL;
    m->next_gone = a->use.gone;
    a->use.gone = m;
    mailbox_release(a, m);
}

// ---- flag changes ----

// The ring gets twice the room, in order.
static void
events_grow(struct mailbox *m)
{
    size_t cap = m->event_cap > 0 ? m->event_cap * 2 : 64;
    struct flag_event *more = calloc(cap, sizeof *more);
    must(more != NULL);
    for (size_t i = 0; i < m->event_count; i++)
        more[i] = m->events[(m->event_at + i) % m->event_cap];
    free(m->events);
    m->events = more;
    m->event_at = 0;
    m->event_cap = cap;
}

void
mailbox_forget_events(struct mailbox *m)
{
    free(m->events);
    m->events = NULL;
    m->event_at = m->event_count = m->event_cap = 0;
    if (m->state)
        m->events_from = private_position(m);
}

static void
event_add(struct mailbox *m, const struct flag_event *e)
{
    if (m->event_count == m->event_cap && m->event_cap < LIMIT_flag_events)
        events_grow(m);
    if (m->event_count == m->event_cap) {
        m->events_from = m->events[m->event_at].modseq;
        m->event_at = (m->event_at + 1) % m->event_cap;
        m->event_count--;
    }
    m->events[(m->event_at + m->event_count++) % m->event_cap] = *e;
}

// Remembers which UIDs changed.
static void
group_events(struct mailbox *m, struct flag_event e, struct span groups)
{
    struct unpack all = unpack_of(groups);
    struct record_group g;
    while (m->views && record_groups_next(&all, &g) == R_OK) {
        struct unpack u = unpack_of(g.ranges);
        while (record_ranges_next(&u, &e.first, &e.last) == R_OK)
            event_add(m, &e);
    }
    if (!m->views)
        m->events_from = e.modseq;
}

static void
flags_changed(struct account *a, struct span meta)
{
    struct record_flags r;
    must(record_flags_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.mailbox);
    must(m != NULL);
    m->first.known = false;
    struct flag_event e = {.modseq = r.modseq, .origin = a->by ? a->by->view : NULL};
    group_events(m, e, r.groups);
}

// Only the user's own sessions are told.
static void
privates_changed(struct account *a, struct span meta)
{
    struct record_privates r;
    must(record_privates_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.mailbox);
    must(m != NULL);
    struct flag_event e = {
        .modseq = r.modseq, .origin = a->by ? a->by->view : NULL, .user = r.user};
    group_events(m, e, r.groups);
    for (struct view *v = m->views; v; v = v->next)
        if (v->mine.user == r.user)
            view_poke(v);
}

static void
added(struct account *a, struct span meta)
{
    struct record_added r;
    must(record_added_get(meta, &r) == R_OK);
    thread_remember(a, r.thread_keys, r.row.threadid);
}

// Every record's first field is the mailbox (or its id), but for the few that have none.
static struct mailbox *
mailbox_of_record(struct account *a, enum record_type type, struct span meta)
{
    struct unpack u = unpack_of(meta);
    switch (type) {
    case RECORD_KEYWORD:
    case RECORD_ADDED:
    case RECORD_COPIED:
    case RECORD_FLAGS:
    case RECORD_META:
    case RECORD_EXPUNGED:
    case RECORD_MOVED:
    case RECORD_FILED:
        return mailbox_of(a, unpack_var(&u));
    default:
        return NULL;
    }
}

// The one whose rows or life it is about.
static struct mailbox *
mailbox_touched(struct account *a, enum record_type type, struct span meta)
{
    struct unpack u = unpack_of(meta);
    return type == RECORD_MAILBOX_GONE || type == RECORD_PRIVATES
               ? mailbox_of(a, unpack_var(&u))
               : mailbox_of_record(a, type, meta);
}

static void
tree_changed(struct account *a, enum record_type type, struct span meta)
{
    struct unpack u = unpack_of(meta);
    if (type == RECORD_MAILBOX || type == RECORD_MAILBOX_GONE)
        name_changed(a, unpack_var(&u));
    if (type == RECORD_ACCOUNT_GONE)
        names_free(a);
}

void
account_apply(struct account *a, enum record_type type, struct span meta,
              struct record_place place)
{
    struct fault f;
    struct watch_before was = {.was = false};
    if (a->watched)
        watch_look(a, type, meta, &was);
    mailbox_apply_begin(a, mailbox_touched(a, type, meta));
    if (type == RECORD_EXPUNGED || type == RECORD_MOVED)
        before_expunge(a, meta);
    if (type == RECORD_MAILBOX_GONE)
        before_gone(a, meta);
    label_index_before(a, type, meta);
    if (state_apply(account_state(a), type, meta, place, &f) != R_OK)
        // acknowledged on disk, and cannot be served
        fault_abort(f.why, __FILE__, __LINE__);
    private_applied(a, type, meta);
    label_index_after(a, type, meta);
    mail_index_applied(a, type);
    if (type == RECORD_META)
        quota_changed(a, meta);
    tree_changed(a, type, meta);
    if (type == RECORD_FLAGS)
        flags_changed(a, meta);
    if (type == RECORD_PRIVATES)
        privates_changed(a, meta);
    if (type == RECORD_ADDED)
        added(a, meta);
    mailbox_apply_end(a);
    struct mailbox *m = mailbox_of_record(a, type, meta);
    if (m)
        mailbox_poke(m);
    if (a->watched)
        watch_applied(a, type, meta, &was);
    acl_applied(a, type, meta);
}
