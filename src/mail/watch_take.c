#include "mail/watch_log.h"

#include "base/arena_grow.h"
#include "mail/name.h"
#include "mail/tree_inside.h"

enum {
    SAME_NAME_AMONG = 64
};  // so many events are looked through for one of the same name

struct taken {
    struct watch_ear *ear;
    struct arena *arena;
    struct watch_change *changes;  // copies
    size_t change_count;
    struct watch_event *notes;
    size_t note_count;
    bool own_notes;  // among the notes
    bool lost;
};

// ---- in the home ----

static unsigned
wanted(const struct taken *t)
{
    return atomic_load(&t->ear->watch->kinds);
}

static void
take_changes(struct taken *t, const struct watch_list *l)
{
    struct mount mount = {.prefix = t->ear->prefix};
    t->changes = arena_array(t->arena, l->count, sizeof *t->changes);
    for (size_t i = 0; i < l->count; i++) {
        const struct watch_change *c = &l->p[i];
        if (c->serial <= t->ear->told || c->by == t->ear->watch->user ||
            !(c->kind & wanted(t)))
            continue;
        struct watch_change *mine = &t->changes[t->change_count++];
        bool own = c->kind == WATCH_SUBSCRIBED;  // such a name is whole already
        *mine = *c;
        mine->name =
            arena_dup(t->arena, own ? c->name : mount_name(t->arena, &mount, c->name));
        if (c->old.p)
            mine->old = arena_dup(t->arena, mount_name(t->arena, &mount, c->old));
    }
}

static unsigned
note_kinds(const struct taken *t, const struct watch_note *n)
{
    unsigned kinds = 0;
    if (!state_mailbox(account_state(t->ear->account), n->key.mailbox))
        return 0;
    for (unsigned i = 0; i < sizeof n->when / sizeof *n->when; i++)
        if (watch_when(&n->when[i], t->ear->watch->user) > t->ear->told)
            kinds |= 1u << i;
    return watch_kinds_for(t->ear, kinds, n->key);
}

// What the user alone sees, and what everybody does, is one event of the mailbox.
static bool
joined(struct taken *t, const struct watch_note *n, unsigned kinds)
{
    for (size_t i = 0; t->own_notes && i < t->note_count; i++)
        if (t->notes[i].entry.mailbox == n->key.mailbox) {
            t->notes[i].kinds |= kinds;
            return true;
        }
    return false;
}

static void
take_notes(struct taken *t, const struct watch_log *log)
{
    struct state *s = account_state(t->ear->account);
    struct account *a = t->ear->account;
    struct mount mount = {.prefix = t->ear->prefix, .account = a};
    size_t room = 0;
    const struct watch_note *n = log->newest;
    for (; n && n->serial > t->ear->told; n = n->older)
        room++;
    t->notes = arena_array(t->arena, room, sizeof *t->notes);
    // the one that changed first is told first
    for (n = n ? n->newer : log->oldest; n; n = n->newer) {
        const struct mailbox_state *m = state_mailbox(s, n->key.mailbox);
        unsigned kinds = note_kinds(t, n);
        t->own_notes |= n->key.user != 0 && kinds != 0;
        if (!m || kinds == 0 || (m->flags & MAILBOX_NOSELECT) || joined(t, n, kinds))
            continue;
        struct tree_entry *e = &t->notes[t->note_count].entry;
        t->notes[t->note_count++].kinds = kinds;
        tree_entry_fill(e, &mount, acl_rights(t->ear->who, a, m->id), m);
        e->name = mount_name(t->arena, &mount, name_full(t->arena, s, m));
    }
}

static void
take_run(void *arg)
{
    struct taken *t = arg;
    const struct watch_log *log = t->ear->account->watched;
    const struct watch_list *names = t->ear->own ? &log->names : &t->ear->shown;
    t->lost = t->ear->told < names->lost;
    take_changes(t, names);
    watch_list_clear(&t->ear->shown);
    take_notes(t, log);
    watch_told(t->ear);
}

// ---- for the session ----

struct events {
    struct mail_user *user;
    struct arena *arena;
    struct watch_event *p;
    size_t n, room;
};

static struct watch_event *
event_add(struct events *e)
{
    e->p = arena_grow(e->arena, e->p, e->n, &e->room, sizeof *e->p);
    return &e->p[e->n++];
}

static void
add_name(struct events *e, unsigned kind, struct span name, struct span old)
{
    size_t from = e->n > SAME_NAME_AMONG ? e->n - SAME_NAME_AMONG : 0;
    for (size_t i = from; i < e->n; i++)
        if (span_eq(e->p[i].entry.name, name) && (!old.p || span_eq(e->p[i].old, old))) {
            e->p[i].kinds |= kind;
            return;
        }
    struct watch_event *mine = event_add(e);
    *mine = (struct watch_event){.kinds = kind, .old = old};
    tree_find(e->user, e->arena, name, &mine->entry);
}

static struct span
level_above(struct span name)
{
    size_t n = span_behind_last(name, '/');
    return n > 1 ? span_slice(name, 0, n - 1) : SPAN_NONE;
}

// RFC 5465 section 5.4: what is made or deleted affects the level above, too.
static void
add_changes(struct events *e, const struct taken *t)
{
    for (size_t i = 0; i < t->change_count; i++) {
        const struct watch_change *c = &t->changes[i];
        struct span above = level_above(c->name);
        if (c->kind == WATCH_NAME && !c->old.p && above.p)
            add_name(e, WATCH_NAME, above, SPAN_NONE);
        add_name(e, c->kind, c->name, c->old);
    }
}

// False: what they count cannot be told.
static bool
add_notes(struct events *e, const struct taken *t)
{
    struct fault f;
    struct tree_entry *entries = arena_array(e->arena, t->note_count, sizeof *entries);
    for (size_t i = 0; i < t->note_count; i++)
        entries[i] = t->notes[i].entry;
    if (t->note_count > 0)
        tree_mark_subscribed(e->user, entries, t->note_count);
    for (size_t i = 0; i < t->note_count; i++) {
        enum result r = tree_own(e->user, &entries[i], &f);
        if (r == R_FAIL)
            return false;
        if (r == R_OK)
            *event_add(e) = (struct watch_event){t->notes[i].kinds, entries[i], SPAN_NONE};
    }
    return true;
}

enum result
mail_watch_take(struct mail_watch *w, struct arena *a, struct watch_event **out,
                size_t *n_out)
{
    struct events e = {.user = w->user, .arena = a};
    bool lost = false;
    *out = NULL;
    *n_out = 0;
    if (atomic_exchange(&w->pending, 0) == 0)
        return R_OK;
    if (atomic_exchange(&w->stale, false))
        watch_extend(w);
    struct taken *taken = arena_array(a, w->ear_count, sizeof *taken);
    for (size_t i = 0; i < w->ear_count; i++) {
        taken[i] = (struct taken){.ear = w->ears[i], .arena = a};
        account_run(w->ears[i]->account, take_run, &taken[i]);
        lost |= taken[i].lost;
    }
    if (lost)
        return R_NONE;
    for (size_t i = 0; i < w->ear_count; i++)
        add_changes(&e, &taken[i]);
    for (size_t i = 0; i < w->ear_count; i++)
        lost |= !add_notes(&e, &taken[i]);
    if (lost)
        return R_NONE;
    *out = e.p;
    *n_out = e.n;
    return R_OK;
}
