#include "mail/watch_log.h"

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

void
watch_list_drop(struct watch_list *l, size_t i, size_t n)
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
        watch_list_drop(l, 0, 1);
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

void
watch_trim(struct watch_log *log)
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
        watch_list_drop(lists[i], 0, n);
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
    watch_trim(log);
}

// RFC 5465 section 3.1: l for the name, r for the messages; RFC 5464 section 3.3 for entries.
static unsigned
may_hear(uint32_t rights)
{
    unsigned kinds = WATCH_NAME;
    if (!(rights & RIGHT_LOOKUP))
        return 0;
    if (rights & RIGHT_READ)
        kinds |= WATCH_MESSAGES;
    if (metadata_may(rights))
        kinds |= WATCH_METADATA;
    return kinds;
}

unsigned
watch_may(const struct watch_ear *e, uint64_t mailbox)
{
    if (e->own)
        return ~0u;
    return mailbox ? may_hear(acl_rights(e->who, e->account, mailbox)) : 0;
}

static unsigned
wants(const struct watch_ear *e, unsigned kinds, const struct mail_user *by)
{
    return e->watch->user != by ? atomic_load(&e->watch->kinds) & kinds : 0;
}

// How many messages are unseen is each user's own: what everybody sees of flags does not change it for others.
unsigned
watch_kinds_for(const struct watch_ear *e, unsigned kinds, struct watch_note_key key)
{
    bool foreign = private_foreign(e->account, e->user);
    if (key.user != 0 && key.user != e->user)
        return 0;
    if (key.user == 0 && foreign && (private_mask(e->account, e->user) & FLAG_SEEN))
        kinds &= ~(unsigned)WATCH_UNSEEN;
    kinds &= atomic_load(&e->watch->kinds);
    return kinds ? kinds & watch_may(e, key.mailbox) : 0;
}

static void
poke(struct watch_ear *e, unsigned kinds)
{
    e->owes = true;
    atomic_fetch_or(&e->watch->pending, kinds);
    poke_post(e->watch->poke);
}

// A new serial: pokes the ears it is for, the others that owe nothing pass it over. False: it is for none.
static bool
announce(struct account *a, struct watch_note_key key, unsigned kinds,
         const struct mail_user *by)
{
    struct watch_log *log = a->watched;
    bool wanted = false;
    log->serial++;
    for (struct watch_ear *e = log->ears; e; e = e->next) {
        unsigned mine = e->watch->user != by ? watch_kinds_for(e, kinds, key) : 0;
        if (mine)
            poke(e, mine);
        else if (!e->owes)
            e->told = log->serial;
        wanted |= mine != 0;
    }
    return wanted;
}

// ---- what happened ----

static void
messages_changed_for(struct account *a, struct watch_note_key key, unsigned kinds)
{
    struct watch_log *log = a->watched;
    const struct mail_user *by = a->by ? a->by->user : NULL;
    if (!announce(a, key, kinds, by))
        return;
    struct watch_note *n = note_of(log, key);
    n->serial = log->serial;
    for (unsigned i = 0; i < sizeof n->when / sizeof *n->when; i++)
        if (kinds & 1u << i)
            mark(&n->when[i], log->serial, by);
}

// Who is not the owner is told of a name when it was, or is, of a mailbox that may be seen: known only now.
static bool
show(struct watch_ear *e, const struct watch_change *c)
{
    if (e->own || c->kind != WATCH_NAME || !wants(e, WATCH_NAME, c->by))
        return false;
    uint32_t has = state_mailbox(account_state(e->account), c->mailbox)
                       ? acl_rights(e->who, e->account, c->mailbox)
                       : 0;
    if (!((may_hear(e->had) | may_hear(has)) & WATCH_NAME))
        return false;
    list_add(&e->shown, c);
    poke(e, WATCH_NAME);
    return true;
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
    struct watch_change c = {.serial = ++log->serial,
                             .mailbox = mailbox,
                             .by = a->by ? a->by->user : NULL,
                             .kind = mailbox ? WATCH_NAME : WATCH_SUBSCRIBED,
                             .name = name,
                             .old = old};
    bool wanted = false;
    for (struct watch_ear *e = log->ears; e; e = e->next) {
        bool mine = e->own && wants(e, c.kind, c.by);
        wanted |= mine;
        if (mine)
            poke(e, c.kind);
        else if (!show(e, &c) && !e->owes)
            e->told = log->serial;
    }
    if (wanted)
        list_add(&log->names, &c);
}

void
watch_rights_before(struct account *a, uint64_t mailbox)
{
    for (struct watch_ear *e = a->watched->ears; e; e = e->next)
        e->had = e->own ? 0 : acl_rights(e->who, a, mailbox);
}

// RFC 5465 sections 5.4 and 5.9: to whom l is granted or revoked the mailbox is made or deleted.
void
watch_rights_changed(struct watch_ear *e, const struct mailbox_state *m)
{
    uint32_t has = acl_rights(e->who, e->account, m->id);
    if (e->own || ((e->had ^ has) & RIGHT_LOOKUP) == 0 || !wants(e, WATCH_NAME, NULL))
        return;
    struct watch_change c = {
        .serial = ++e->account->watched->serial, .mailbox = m->id, .kind = WATCH_NAME};
    struct arena *arena = arena_new();
    c.name = name_full(arena, account_state(e->account), m);
    list_add(&e->shown, &c);
    poke(e, WATCH_NAME);
    arena_free(&arena);
}

void
watch_rights_after(struct account *a, uint64_t mailbox)
{
    const struct mailbox_state *m = state_mailbox(account_state(a), mailbox);
    const struct mail_user *by = a->by ? a->by->user : NULL;
    for (struct watch_ear *e = a->watched->ears; m && e; e = e->next)
        if (e->watch->user != by)
            watch_rights_changed(e, m);
}

void
watch_entry(struct account *a, uint64_t mailbox, struct span key,
            const struct mail_user *by)
{
    struct watch_log *log = a->watched;
    if (!log || !announce(a, (struct watch_note_key){mailbox, 0}, WATCH_METADATA, by))
        return;
    struct watch_list *l = &log->entries;
    for (size_t i = 0; i < l->count; i++)  // the last change of an entry stands for all
        if (l->p[i].mailbox == mailbox && span_eq(l->p[i].name, key)) {
            watch_list_drop(l, i, 1);
            break;
        }
    list_add(l, &(struct watch_change){log->serial, mailbox, by, WATCH_METADATA, key,
                                       SPAN_NONE});
}

// ---- records ----

static void
look_mailbox(struct account *a, uint64_t id, struct watch_before *out)
{
    const struct mailbox_state *m = state_mailbox(account_state(a), id);
    if (!m)
        return;
    out->was = true;
    out->flags = m->flags;
    out->unseen = m->counts.unseen;
    out->name = name_full(a->batch_arena, account_state(a), m);
}

void
watch_look(struct account *a, enum record_type type, struct span meta,
           struct watch_before *out)
{
    struct unpack u = unpack_of(meta);
    if (type != RECORD_MAILBOX && type != RECORD_MAILBOX_GONE && type != RECORD_FLAGS)
        return;
    uint64_t id = unpack_var(&u);
    look_mailbox(a, id, out);
    if (type != RECORD_FLAGS)
        watch_rights_before(a, id);
}

// Does the ear see a level above m, up to `top`?
static bool
sees_above(const struct watch_ear *e, const struct mailbox_state *m, uint64_t top)
{
    struct state *s = account_state(e->account);
    while (m->id != top && (m = state_mailbox(s, m->parent)) != NULL)
        if (acl_rights(e->who, e->account, m->id) != 0)
            return true;
    return false;
}

// RFC 5465 section 5.4: children are not told of beside their parent. Below one that may not be seen they are.
static void
child_moved(struct account *a, const struct mailbox_state *m, uint64_t top,
            struct span name, struct span old)
{
    struct watch_change c = {.mailbox = m->id,
                             .by = a->by ? a->by->user : NULL,
                             .kind = WATCH_NAME,
                             .name = name,
                             .old = old};
    for (struct watch_ear *e = a->watched->ears; e; e = e->next) {
        c.serial = ++a->watched->serial;
        if (!sees_above(e, m, top))
            (void)show(e, &c);
    }
}

static struct span
old_name(struct arena *a, struct span name, struct span from, struct span to)
{
    struct span rest = span_skip(name, to.n);
    char *p = arena_alloc(a, from.n + rest.n);
    memcpy(p, from.p, from.n);
    memcpy(p + from.n, rest.p, rest.n);
    return span_of(p, from.n + rest.n);
}

// All that is named otherwise now, with the mailbox `top`.
static void
names_moved(struct account *a, uint64_t top, struct span from, struct span to)
{
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        const struct mailbox_state *m = account_state(a)->mailboxes[i];
        struct span name = name_full(a->batch_arena, account_state(a), m);
        if (!span_within(name, to))
            continue;
        if (m->id != top)
            child_moved(a, m, top, name, old_name(a->batch_arena, name, from, to));
        messages_changed(a, m->id, WATCH_VALIDITY);
    }
}

static void
mailbox_named(struct account *a, uint64_t id, const struct watch_before *was)
{
    const struct mailbox_state *m = state_mailbox(account_state(a), id);
    if (!m)
        return;
    struct span name = name_full(a->batch_arena, account_state(a), m), from = SPAN_NONE;
    if (was->was && !span_eq(was->name, name)) {
        name_changed_to(a, id, name, was->name);
        names_moved(a, id, was->name, name);
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
    const struct mailbox_state *m = state_mailbox(account_state(a), id);
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
