// What NOTIFY tells (RFC 5465 section 5).
#include "imap/notify.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "imap/fetch.h"
#include "imap/status.h"
#include "io/task.h"

// ---- what is asked for ----

bool
imap_notify_pushes(const struct imap_session *s)
{
    return s->notify && s->notify->wish.set;
}

bool
imap_notify_is_frozen(const struct imap_session *s)
{
    return s->notify && s->notify->wish.selected == 0;
}

unsigned
imap_notify_view_flags(const struct imap_session *s)
{
    return s->notify && !(s->notify->wish.selected & EVENT_FLAGS) ? VIEW_HOLD_FLAGS : 0;
}

// Several groups may name a mailbox: what any of them asks for is told (section 6).
unsigned
imap_notify_events(struct imap_session *s, const struct imap_wish *w,
                   const struct tree_entry *e, struct arena *a)
{
    struct span name = mail_name_canonical(s->user, a, e->name);
    unsigned events = 0;
    for (size_t i = 0; i < w->group_count; i++)
        if (imap_scope_covers(&w->groups[i].scope, e, name))
            events |= w->groups[i].events;
    return events;
}

bool
imap_notify_any_metadata(const struct imap_session *s)
{
    if (!s->notify)
        return imap_enabled(s, ENABLE_METADATA);
    return s->notify->wish.events & (EVENT_METADATA | EVENT_SERVER_METADATA);
}

bool
imap_notify_metadata(struct imap_session *s, struct span mailbox, struct arena *a)
{
    struct tree_entry e;
    if (!s->notify)
        return true;
    if (mailbox.n == 0)
        return s->notify->wish.events & EVENT_SERVER_METADATA;
    tree_find(s->user, a, mailbox, &e);
    return !e.nonexistent && (e.rights & RIGHT_READ) &&
           (imap_notify_events(s, &s->notify->wish, &e, a) & EVENT_METADATA);
}

// ---- the selected mailbox ----

void
imap_notify_own(struct imap_session *s, const struct mailbox_ref *ref, uint32_t first,
                uint32_t last)
{
    struct imap_notify *n = s->notify;
    if (!n || !n->wish.fetch.p || !imap_is_selected(s, ref->mailbox))
        return;
    if (!n->own_arena) {
        n->own_arena = arena_new_small();
        seqset_init(&n->own, n->own_arena);
    }
    seqset_add_range(&n->own, first, last);
}

// [first, last] without the session's own ones, which it knows.
static void
take_others(struct imap_notify *n, uint32_t first, uint32_t last, struct seqset *out)
{
    uint32_t from = first;
    for (uint32_t i = 0; n->own_arena && i < n->own.count; i++) {
        struct seqset_range r = n->own.ranges[i];
        if (r.last < from || r.first > last)
            continue;
        if (r.first > from)
            seqset_add_range(out, from, r.first - 1);
        from = r.last + 1;
    }
    if (from <= last && from >= first)
        seqset_add_range(out, from, last);
    arena_free(&n->own_arena);
}

// Section 5.2. What cannot be read is left out, as by FETCH.
void
imap_notify_fetch(struct imap_session *s, uint32_t first, uint32_t last, struct arena *a)
{
    struct imap_command c = {.session = s, .arena = a};
    struct seqset uids;
    struct fault f;
    if (!s->notify || !s->notify->wish.fetch.p)
        return;
    seqset_init(&uids, a);
    take_others(s->notify, first, last, &uids);
    if (uids.count == 0)
        return;
    struct imap_fetch fetch = {.set = &uids, .by_uid = true};
    parse_init(&c.parse, arena_dup(a, s->notify->wish.fetch), a, imap_utf8(s));
    imap_fetch_items_parse(&c, &fetch);
    if (imap_fetch(&c, &fetch, &f) != R_OK)
        log_line(fault_info(f.kind)->level, "imap", "NOTIFY", log_session(s->id),
                 log_fault(&f));
}

// ---- others ----

// UIDVALIDITY goes with all; what else is in sections 3.1 and 5.1 to 5.3.
static void
add_item(struct imap_status *st, const char *name)
{
    st->items[st->count++] = imap_word_find(SLOT_STATUS, span_str(name));
}

void
imap_notify_status(struct imap_session *s, unsigned items, const struct tree_entry *e)
{
    struct imap_status st = {.count = 0};
    if (items & NOTIFY_COUNTS) {
        add_item(&st, "MESSAGES");
        add_item(&st, "UIDNEXT");
    }
    add_item(&st, "UIDVALIDITY");
    if (items & NOTIFY_UNSEEN)
        add_item(&st, "UNSEEN");
    if (items & NOTIFY_MODSEQ)
        add_item(&st, "HIGHESTMODSEQ");
    imap_status_send(s, &st, e);
}

static void
tell_messages(struct imap_session *s, unsigned events, const struct watch_event *w)
{
    bool modseq = imap_enabled(s, ENABLE_CONDSTORE), flags = events & EVENT_FLAGS;
    unsigned kinds = WATCH_NEW | WATCH_EXPUNGED, items = modseq ? NOTIFY_MODSEQ : 0;
    if (flags)
        kinds |= WATCH_VALIDITY | (modseq ? WATCH_FLAGS : WATCH_UNSEEN);
    if (w->kinds & (WATCH_NEW | WATCH_EXPUNGED | WATCH_VALIDITY))
        items |= NOTIFY_COUNTS;
    if (flags)
        items |= NOTIFY_UNSEEN;
    if ((w->kinds & kinds) && !imap_is_selected(s, w->entry.mailbox))
        imap_notify_status(s, items, &w->entry);
}

// Names: a level without a mailbox is \NonExistent for who asks for mailboxes (section 5.4).
static bool
tell_name(struct imap_session *s, unsigned events, const struct watch_event *w,
          struct arena *a)
{
    struct tree_entry e = w->entry, old;
    if (w->old.p) {
        tree_find(s->user, a, w->old, &old);
        events |= imap_notify_events(s, &s->notify->wish, &old, a);
    }
    if (!(events & EVENT_NAME))
        return false;
    e.nonexistent |= e.noselect;
    imap_list_send(s, &e, w->old.p ? w->old : e.name);
    return true;
}

static void
tell_event(struct imap_session *s, const struct watch_event *w, struct arena *a)
{
    const struct tree_entry *e = &w->entry;
    struct tree_entry covered =
        *e;  // who asks for what is subscribed is told that it is no more
    covered.subscribed |= (w->kinds & WATCH_SUBSCRIBED) != 0;
    unsigned events = imap_notify_events(s, &s->notify->wish, &covered, a);
    if (!e->nonexistent && !e->noselect && !(e->rights & RIGHT_READ))
        return;
    if ((w->kinds & WATCH_NAME) && tell_name(s, events, w, a))
        return;
    if ((w->kinds & WATCH_SUBSCRIBED) && (events & EVENT_SUBSCRIPTION))
        imap_list_send(s, e, e->name);
    if ((w->kinds & WATCH_MESSAGES) && (events & EVENT_MESSAGES))
        tell_messages(s, events, w);
}

void
imap_notify_none(struct imap_session *s)
{
    struct imap_notify *n = s->notify;
    timer_clear(&n->gather);
    mail_watch_close(&n->watch);
    arena_free(&n->wish.arena);
    arena_free(&n->own_arena);
    n->wish = (struct imap_wish){.set = false};
    n->names_ms = 0;
}

static void
tell_seen(struct imap_session *s, struct arena *a)
{
    struct imap_notify *n = s->notify;
    struct watch_event *events;
    size_t count;
    timer_clear(&n->gather);
    n->told_ms = clock_mono_ms();
    n->names_ms = 0;
    if (mail_watch_take(n->watch, a, &events, &count) != R_OK) {
        imap_notify_none(s);
        imap_untagged(s, "OK [NOTIFICATIONOVERFLOW] Too much changed; NOTIFY ends");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        tell_event(s, &events[i], a);
        task_yield();
    }
}

// Names wait for what follows them at once (CREATE, then SUBSCRIBE); what is pushed again and again goes together.
static bool
waits(struct imap_notify *n)
{
    uint64_t now = clock_mono_ms(), due = n->told_ms + LIMIT_notify_gather_ms;
    if (mail_watch_pending(n->watch) & (WATCH_NAME | WATCH_SUBSCRIBED)) {
        if (n->names_ms == 0)
            n->names_ms = now;
        due = n->names_ms + LIMIT_notify_names_ms;
    }
    if (now >= due)
        return false;
    timer_set(&n->gather, (uint32_t)(due - now));
    return true;
}

void
imap_notify_on_sync(struct imap_session *s, struct arena *a)
{
    struct imap_notify *n = s->notify;
    if (!n || !n->watch || mail_watch_pending(n->watch) == 0)
        return;
    if (s->command || !waits(n))
        tell_seen(s, a);
}
