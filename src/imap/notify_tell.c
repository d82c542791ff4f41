// What NOTIFY tells (RFC 5465 section 5).
#include "imap/notify.h"

#include "base/clock.h"
#include "base/limits.h"
#include "imap/response.h"
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
imap_notify_events(const struct imap_wish *w, const struct tree_entry *e, struct arena *a)
{
    struct span name = mail_name_canonical(a, e->name);
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
imap_notify_metadata(const struct imap_session *s, const struct tree_entry *mailbox,
                     struct arena *a)
{
    if (!s->notify)
        return true;
    if (mailbox->name.n == 0)
        return s->notify->wish.events & EVENT_SERVER_METADATA;
    return imap_notify_events(&s->notify->wish, mailbox, a) & EVENT_METADATA;
}

// ---- the selected mailbox ----

void
imap_notify_own(struct imap_session *s, const struct mailbox_ref *ref, uint32_t first,
                uint32_t last)
{
    bool tells = (s->notify && s->notify->wish.fetch.p) || s->contexts;
    if (!tells || !imap_is_selected(s, ref->mailbox))
        return;
    if (!s->own.arena) {
        s->own.arena = arena_new_small();
        seqset_init(&s->own.uids, s->own.arena);
    }
    seqset_add_range(&s->own.uids, first, last);
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
        events |= imap_notify_events(&s->notify->wish, &old, a);
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
    unsigned events = imap_notify_events(&s->notify->wish, &covered, a);
    if (!e->nonexistent && !e->noselect && !(e->rights & RIGHT_READ))
        events &= ~EVENT_MESSAGES;
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
