// RFC 5465: NOTIFY. What is asked for is in notify_parse.c, what is told in notify_tell.c.
#include "imap/notify.h"
#include "imap/response.h"

#include "base/limits.h"
#include "io/task.h"

enum { YIELD_EVERY = 256 };

static const char supported[] =
    "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange "
    "MailboxMetadataChange ServerMetadataChange";

static unsigned
kinds_of(unsigned events)
{
    unsigned kinds = 0;
    if (events & EVENT_MESSAGES)
        kinds |= WATCH_NEW | WATCH_EXPUNGED;
    if (events & EVENT_FLAGS)
        kinds |= WATCH_FLAGS | WATCH_UNSEEN | WATCH_VALIDITY;
    if (events & EVENT_NAME)
        kinds |= WATCH_NAME;
    if (events & EVENT_SUBSCRIPTION)
        kinds |= WATCH_SUBSCRIBED;
    return kinds;
}

// ---- the mailboxes there are now ----

struct scan {
    struct imap_session *session;
    const struct imap_wish *wish;
    struct tree_entry *entries;
    unsigned *events;  // of each
    size_t n;
};

static enum result
scan_mailboxes(struct scan *sc, struct arena *a, struct fault *f)
{
    size_t watched = 0;
    if (tree_list(sc->session->user, a, &sc->entries, &sc->n, f) != R_OK)
        return R_FAIL;
    sc->events = arena_array(a, sc->n, sizeof *sc->events);
    for (size_t i = 0; i < sc->n; i++) {
        const struct tree_entry *e = &sc->entries[i];
        if (!e->noselect && !e->nonexistent)
            sc->events[i] = imap_notify_events(sc->wish, e, a);
        watched += sc->events[i] != 0;
        if (i % YIELD_EVERY == 0)
            task_yield();
    }
    if (watched > LIMIT_notify_mailboxes)
        return fault_set(f, FAULT_NOTIFYOVERFLOW, "%zu mailboxes to be watched", watched);
    return R_OK;
}

// Section 3.1: what may be listed and is not watched for lack of rights; STATUS, when it is asked for.
static enum result
tell_mailboxes(struct imap_command *c, const struct scan *sc, struct fault *f)
{
    struct imap_session *s = c->session;
    for (size_t i = 0; i < sc->n; i++) {
        struct tree_entry *e = &sc->entries[i];
        unsigned items = NOTIFY_COUNTS;
        if (sc->events[i] & EVENT_FLAGS)
            items |= NOTIFY_UNSEEN | NOTIFY_MODSEQ;
        if (imap_enabled(s, ENABLE_CONDSTORE))
            items |= NOTIFY_MODSEQ;
        e->no_access = (sc->events[i] & EVENT_MESSAGES) && !(e->rights & RIGHT_READ);
        if (e->no_access)
            imap_list_send(s, e, e->name);
        else if (sc->wish->status && (sc->events[i] & EVENT_MESSAGES) &&
                 !imap_is_selected(s, e->mailbox)) {
            enum result r = tree_own(s->user, e, f);
            if (r == R_FAIL)
                return R_FAIL;
            if (r == R_OK)
                imap_notify_status(s, items, e);
        }
        if (i % YIELD_EVERY == 0)
            task_yield();
    }
    return R_OK;
}

// ---- NOTIFY ----

static struct imap_notify *
notify_of(struct imap_session *s)
{
    if (s->notify)
        return s->notify;
    s->notify = calloc(1, sizeof *s->notify);
    must(s->notify != NULL);
    timer_init(&s->notify->gather, imap_session_poke, s);
    return s->notify;
}

// A successful SET tells first what has gathered, by the rules of before (section 3.1).
static enum result
flush(struct imap_command *c, struct fault *f)
{
    if (imap_sync(c->session, VIEW_EXPUNGE, c->arena, f) != R_OK)
        return R_FAIL;
    return imap_sync_all(c->session, c->arena, f);
}

// The same watch goes on, so that nothing is missed between two NOTIFYs.
static void
install(struct imap_session *s, struct imap_wish *w)
{
    struct imap_notify *n = notify_of(s);
    unsigned kinds = kinds_of(w->events);
    if (!kinds)
        mail_watch_close(&n->watch);
    else if (n->watch)
        mail_watch_kinds(n->watch, kinds);
    else
        n->watch = mail_watch_open(s->user, kinds, imap_session_poke, s);
    arena_free(&n->wish.arena);
    n->wish = *w;
    w->arena = NULL;
}

// What happens from the end of flush on is told by the new rules, and STATUS is of later.
static enum result
set(struct imap_command *c, struct imap_wish *w, struct fault *f)
{
    struct imap_session *s = c->session;
    struct scan sc = {.session = s, .wish = w};
    if (w->events && scan_mailboxes(&sc, c->arena, f) != R_OK)
        return R_FAIL;
    if (s->notify && s->notify->watch)
        mail_watch_kinds(s->notify->watch, kinds_of(w->events | s->notify->wish.events));
    if (flush(c, f) != R_OK)
        return R_FAIL;
    install(s, w);
    if (w->events && w->status && scan_mailboxes(&sc, c->arena, f) != R_OK)
        return R_FAIL;
    return tell_mailboxes(c, &sc, f);
}

static enum result
wish_run(struct imap_command *c, struct imap_wish *w, struct fault *f)
{
    imap_notify_parse(c, w);
    if (parse_end(&c->parse, f) != R_OK)
        return R_FAIL;
    if ((w->events | w->selected) & (EVENT_ANNOTATION | EVENT_UNKNOWN))
        return imap_answer_no(c, f, FAULT_CANNOT, "[BADEVENT (%s)] There is no such event",
                              supported);
    if (w->set && set(c, w, f) != R_OK)
        return R_FAIL;
    if (!w->set) {
        notify_of(c->session);
        imap_notify_none(c->session);
    }
    imap_condstore_aware(c);
    return R_OK;
}

static enum result
run_notify(struct imap_command *c, struct fault *f)
{
    struct imap_wish w = {.arena = arena_new_small()};
    enum result r = wish_run(c, &w, f);
    arena_free(&w.arena);
    return r;
}

static void
on_end(struct imap_session *s)
{
    if (!s->notify)
        return;
    imap_notify_none(s);
    free(s->notify);
    s->notify = NULL;
}

static const struct imap_verb verbs[] = {
    {"NOTIFY", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_notify},
    {.name = NULL},
};

const struct imap_ext imap_ext_notify = {
    .name = "notify",
    .rfc = "RFC 5465",
    .capability = "NOTIFY",
    .verbs = verbs,
    .on_sync = imap_notify_on_sync,
    .on_end = on_end,
};
