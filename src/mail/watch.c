#include "mail/watch_log.h"

#include "base/limits.h"
#include "mail/metadata_log.h"
#include "mail/name.h"
#include "mail/private.h"

// ---- the log ----

static void
change_free(struct watch_change *c)
{
    free((char *)(uintptr_t)c->name.p);
    c->name = c->old = SPAN_NONE;
}

static void
list_drop(struct watch_list *l, size_t i, size_t n)
{
    for (size_t k = i; k < i + n; k++)
        change_free(&l->p[k]);
    l->count -= n;
    if (n > 0 && l->count > i)
        memmove(l->p + i, l->p + i + n, (l->count - i) * sizeof *l->p);
}

static void
list_room(struct watch_list *l)
{
    if (l->count == l->max) {
        l->lost = l->p[0].serial;
        list_drop(l, 0, 1);
    }
    if (l->count < l->cap)
        return;
    l->cap = l->cap ? l->cap * 2 : 16;
    l->p = reallocarray(l->p, l->cap, sizeof *l->p);
    must(l->p != NULL);
}

static void
list_add(struct watch_list *l, const struct watch_change *c)
{
    list_room(l);
    char *text = calloc(1, c->name.n + c->old.n + 1);
    must(text != NULL);
    struct watch_change *mine = &l->p[l->count++];
    *mine = *c;
    memcpy(text, c->name.p, c->name.n);
    mine->name = span_of(text, c->name.n);
    if (c->old.n > 0)
        memcpy(text + c->name.n, c->old.p, c->old.n);
    mine->old = c->old.p ? span_of(text + c->name.n, c->old.n) : SPAN_NONE;
}

static void
note_unlink(struct watch_log *log, struct watch_note *n)
{
    *(n->newer ? &n->newer->older : &log->newest) = n->older;
    *(n->older ? &n->older->newer : &log->oldest) = n->newer;
}

static void
note_link(struct watch_log *log, struct watch_note *n)
{
    n->newer = NULL;
    n->older = log->newest;
    *(log->newest ? &log->newest->newer : &log->oldest) = n;
    log->newest = n;
}

// The note, in front of all others.
static struct watch_note *
note_of(struct watch_log *log, struct watch_note_key key)
{
    struct watch_note *n;
    HASH_FIND(hh, log->notes, &key, sizeof key, n);
    if (n) {
        note_unlink(log, n);
    } else {
        n = calloc(1, sizeof *n);
        must(n != NULL);
        n->key = key;
        HASH_ADD(hh, log->notes, key, sizeof n->key, n);
    }
    note_link(log, n);
    return n;
}

static void
note_free(struct watch_log *log, struct watch_note *n)
{
    note_unlink(log, n);
    HASH_DELETE(hh, log->notes, n);
    free(n);
}

static void
mark(struct watch_when *w, uint64_t serial, const struct mail_user *by)
{
    if (!by || by != w->by)
        w->others = w->serial;
    w->serial = serial;
    w->by = by;
}

uint64_t
watch_when(const struct watch_when *w, const struct mail_user *by)
{
    return w->by == by ? w->others : w->serial;
}

static void
trim(struct watch_log *log)
{
    uint64_t oldest = log->serial;
    for (const struct watch_ear *e = log->ears; e; e = e->next)
        if (e->told < oldest)
            oldest = e->told;
    struct watch_list *lists[] = {&log->names, &log->entries};
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        while (n < lists[i]->count && lists[i]->p[n].serial <= oldest)
            n++;
        list_drop(lists[i], 0, n);
    }
    for (struct watch_note *n = log->oldest, *newer; n && n->serial <= oldest; n = newer) {
        newer = n->newer;
        note_free(log, n);
    }
}

void
watch_told(struct watch_ear *e)
{
    struct watch_log *log = e->account->watched;
    e->told = log->serial;
    e->owes = false;
    trim(log);
}

// How many messages are unseen is each user's own: what everybody sees of flags does not change it for others.
unsigned
watch_kinds_for(const struct watch_ear *e, unsigned kinds, uint64_t user)
{
    bool foreign = private_foreign(e->account, e->user);
    if (user != 0 && user != e->user)
        return 0;
    if (user == 0 && foreign && (private_mask(e->account, e->user) & FLAG_SEEN))
        kinds &= ~(unsigned)WATCH_UNSEEN;
    return kinds & e->may & atomic_load(&e->watch->kinds);
}

// A new serial: pokes the ears it is for, the others that owe nothing pass it over. False: it is for none.
static bool
announce(struct watch_log *log, unsigned kinds, uint64_t user, const struct mail_user *by)
{
    bool wanted = false;
    log->serial++;
    for (struct watch_ear *e = log->ears; e; e = e->next) {
        unsigned mine = watch_kinds_for(e, kinds, user);
        if (mine && e->watch->user != by) {
            wanted = e->owes = true;
            atomic_fetch_or(&e->watch->pending, mine);
            poke_post(e->watch->poke);
        } else if (!e->owes) {
            e->told = log->serial;
        }
    }
    return wanted;
}

// ---- what happened ----

static void
messages_changed_for(struct account *a, struct watch_note_key key, unsigned kinds)
{
    struct watch_log *log = a->watched;
    const struct mail_user *by = a->by ? a->by->user : NULL;
    if (!announce(log, kinds, key.user, by))
        return;
    struct watch_note *n = note_of(log, key);
    n->serial = log->serial;
    for (unsigned i = 0; i < sizeof n->when / sizeof *n->when; i++)
        if (kinds & 1u << i)
            mark(&n->when[i], log->serial, by);
}

static void
messages_changed(struct account *a, uint64_t mailbox, unsigned kinds)
{
    messages_changed_for(a, (struct watch_note_key){mailbox, 0}, kinds);
}

// Also the owner's: others are not told.
static void
privates_changed(struct account *a, struct span meta)
{
    struct record_privates r;
    must(record_privates_get(meta, &r) == R_OK);
    unsigned kinds = r.mask & FLAG_SEEN ? WATCH_FLAGS | WATCH_UNSEEN : WATCH_FLAGS;
    messages_changed_for(a, (struct watch_note_key){r.mailbox, r.user}, kinds);
}

static void
name_changed_to(struct account *a, uint64_t mailbox, struct span name, struct span old)
{
    struct watch_log *log = a->watched;
    struct watch_change c = {.mailbox = mailbox,
                             .by = a->by ? a->by->user : NULL,
                             .kind = mailbox ? WATCH_NAME : WATCH_SUBSCRIBED,
                             .name = name,
                             .old = old};
    if (!announce(log, c.kind, 0, c.by))
        return;
    c.serial = log->serial;
    list_add(&log->names, &c);
}

void
watch_entry(struct account *a, uint64_t mailbox, struct span key,
            const struct mail_user *by)
{
    struct watch_log *log = a->watched;
    if (!log || !announce(log, WATCH_METADATA, 0, by))
        return;
    struct watch_list *l = &log->entries;
    for (size_t i = 0; i < l->count; i++)  // the last change of an entry stands for all
        if (l->p[i].mailbox == mailbox && span_eq(l->p[i].name, key)) {
            list_drop(l, i, 1);
            break;
        }
    list_add(l, &(struct watch_change){log->serial, mailbox, by, WATCH_METADATA, key,
                                       SPAN_NONE});
}

// ---- records ----

static void
look_mailbox(struct account *a, uint64_t id, struct watch_before *out)
{
    const struct mailbox_state *m = state_mailbox(a->state, id);
    if (!m)
        return;
    out->was = true;
    out->flags = m->flags;
    out->unseen = m->counts.unseen;
    out->name = name_full(a->batch_arena, a->state, m);
}

void
watch_look(struct account *a, enum record_type type, struct span meta,
           struct watch_before *out)
{
    struct unpack u = unpack_of(meta);
    if (type == RECORD_MAILBOX || type == RECORD_MAILBOX_GONE || type == RECORD_FLAGS)
        look_mailbox(a, unpack_var(&u), out);
}

// All that is named otherwise now.
static void
names_moved(struct account *a, struct span name)
{
    for (uint32_t i = 0; i < a->state->mailbox_count; i++) {
        const struct mailbox_state *m = a->state->mailboxes[i];
        if (span_within(name_full(a->batch_arena, a->state, m), name))
            messages_changed(a, m->id, WATCH_VALIDITY);
    }
}

static void
mailbox_named(struct account *a, uint64_t id, const struct watch_before *was)
{
    const struct mailbox_state *m = state_mailbox(a->state, id);
    if (!m)
        return;
    struct span name = name_full(a->batch_arena, a->state, m), from = SPAN_NONE;
    if (was->was && !span_eq(was->name, name)) {
        name_changed_to(a, id, name, was->name);
        names_moved(a, name);
    } else if (!was->was || (was->flags & MAILBOX_NOSELECT & ~m->flags)) {
        if (a->by && a->by->renamed_to.p && span_eq(name, a->by->renamed_to))
            from = SPAN("INBOX");
        name_changed_to(a, id, name, from);
        messages_changed(a, id, WATCH_VALIDITY);
    }
}

static void
subscribed(struct account *a, struct span meta)
{
    struct record_subscribe r;
    must(record_subscribe_get(meta, &r) == R_OK);
    name_changed_to(a, 0, r.name, SPAN_NONE);
}

void
watch_applied(struct account *a, enum record_type type, struct span meta,
              const struct watch_before *was)
{
    struct unpack u = unpack_of(meta);
    if (type == RECORD_SUBSCRIBE) {
        subscribed(a, meta);
        return;
    }
    uint64_t id = unpack_var(&u);
    const struct mailbox_state *m = state_mailbox(a->state, id);
    if (type == RECORD_MAILBOX)
        mailbox_named(a, id, was);
    if (type == RECORD_MAILBOX_GONE && was->was)
        name_changed_to(a, id, was->name, SPAN_NONE);
    if (type == RECORD_ADDED || type == RECORD_COPIED || type == RECORD_FILED)
        messages_changed(a, id, WATCH_NEW);
    if (type == RECORD_EXPUNGED || type == RECORD_MOVED)
        messages_changed(a, id, WATCH_EXPUNGED);
    if (type == RECORD_PRIVATES && m)
        privates_changed(a, meta);
    if (type == RECORD_FLAGS && m)
        messages_changed(a, id,
                         m->counts.unseen == was->unseen ? WATCH_FLAGS
                                                         : WATCH_FLAGS | WATCH_UNSEEN);
}

// ---- open and close ----

static void
ear_open(void *arg)
{
    struct watch_ear *e = arg;
    struct account *a = e->account;
    if (!a->watched) {
        a->watched = calloc(1, sizeof *a->watched);
        must(a->watched != NULL);
        a->watched->names.max = LIMIT_watch_names;
        a->watched->entries.max = LIMIT_metadata_events;
    }
    a->use.refs++;
    private_others(a, e->user);
    e->told = a->watched->serial;
    e->next = a->watched->ears;
    e->prev = &a->watched->ears;
    if (e->next)
        e->next->prev = &e->next;
    a->watched->ears = e;
}

static void
log_free(struct watch_log **log)
{
    free((*log)->names.p);
    free((*log)->entries.p);
    free(*log);
    *log = NULL;
}

static void
ear_close(void *arg)
{
    struct watch_ear *e = arg;
    struct account *a = e->account;
    struct mail_watch *w = e->watch;
    *e->prev = e->next;
    if (e->next)
        e->next->prev = e->prev;
    trim(a->watched);
    if (!a->watched->ears)
        log_free(&a->watched);
    if (atomic_fetch_sub(&w->open, 1) == 1) {
        poke_unref(w->poke);
        free(w);
    }
    account_unref(a);
}

static unsigned
may_watch(uint32_t rights)
{
    unsigned kinds = 0;
    if (!(rights & RIGHT_LOOKUP))
        return 0;
    if (rights & RIGHT_READ)
        kinds = WATCH_MESSAGES | WATCH_NAME | WATCH_SUBSCRIBED;
    if (metadata_may(rights))
        kinds |= WATCH_METADATA;
    return kinds;
}

struct mail_watch *
mail_watch_open(struct mail_user *u, unsigned kinds, view_poke_fn *poke, void *arg)
{
    size_t room = 1 + mail_user_mounts(u);
    struct mail_watch *w = calloc(1, sizeof *w + room * sizeof w->ears[0]);
    must(w != NULL);
    w->poke = poke_new(poke, arg);
    w->user = u;
    atomic_store(&w->kinds, kinds);
    for (const struct mount *m = &u->own; m; m = m->next) {
        bool own = m == &u->own;
        unsigned may = may_watch(m->rights) & ~(own ? 0u : WATCH_SUBSCRIBED);
        if (may == 0)
            continue;
        w->ears[w->ear_count++] = (struct watch_ear){.watch = w,
                                                     .user = account_id(u->own.account),
                                                     .account = m->account,
                                                     .prefix = m->prefix,
                                                     .rights = m->rights,
                                                     .may = may,
                                                     .own = own};
    }
    atomic_store(&w->open, (unsigned)w->ear_count);
    for (size_t i = 0; i < w->ear_count; i++)
        account_run(w->ears[i].account, ear_open, &w->ears[i]);
    return w;
}

void
mail_watch_close(struct mail_watch **wp)
{
    struct mail_watch *w = *wp;
    if (!w)
        return;
    w->poke->fn = NULL;
    size_t n = w->ear_count;  // the watch goes with its last ear
    struct watch_ear *ears = w->ears;
    for (size_t i = 0; i < n; i++) {
        struct account *a = ears[i].account;
        loop_post(mail_home(account_mail(a), account_id(a)), ear_close, &ears[i]);
    }
    *wp = NULL;
}

void
mail_watch_kinds(struct mail_watch *w, unsigned kinds)
{
    atomic_store(&w->kinds, kinds);
}

unsigned
mail_watch_pending(const struct mail_watch *w)
{
    return atomic_load(&w->pending);
}
