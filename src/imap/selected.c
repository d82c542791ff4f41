// The selected mailbox of a session: untagged updates, sequence sets, the saved search result.
#include "imap/context.h"
#include "imap/notify.h"
#include "imap/response.h"

#include "base/keep.h"

void
imap_saved_set(struct imap_session *s, const struct seqset *uids)
{
    arena_free(&s->saved.arena);
    s->saved = (struct imap_saved){.arena = NULL};
    if (!uids || uids->count == 0)
        return;
    s->saved.arena = arena_new_small();
    seqset_copy(&s->saved.uids, s->saved.arena, uids);
}

bool
imap_is_selected(const struct imap_session *s, uint64_t mailbox)
{
    struct view_info v;
    if (!s->view)
        return false;
    view_info(s->view, &v);
    return v.mailbox == mailbox;
}

void
imap_unselect(struct imap_session *s)
{
    view_close(&s->view);
    keep_cstr_free(&s->mailbox);
    imap_saved_set(s, NULL);
    s->modseq.held = false;
    s->modseq.told = 0;
    s->due.key = false;
    arena_free(&s->own.arena);
    imap_contexts_end(s);
}

enum result
imap_set_read(struct view *v, struct span text, bool by_uid, struct arena *a,
              struct seqset *out, struct fault *f)
{
    uint32_t star = 0;
    bool has_star = span_find_char(text, '*') < text.n;
    if (has_star && view_star(v, by_uid, &star, f) != R_OK)
        return R_FAIL;
    return seqset_parse(text, star, a, out, f);
}

enum result
imap_set_resolve(struct imap_session *s, struct span text, bool *by_uid, struct arena *a,
                 struct seqset *out, struct fault *f)
{
    if (!span_eq(text, SPAN("$")))
        return imap_set_read(s->view, text, *by_uid, a, out, f);
    if (s->saved.arena)
        seqset_copy(out, a, &s->saved.uids);
    else
        seqset_init(out, a);
    *by_uid = true;
    return R_OK;
}

enum result
imap_uids_of(struct view *v, const struct seqset *set, bool by_uid, struct arena *a,
             struct seqset *out, struct fault *f)
{
    enum { BATCH = 128 };
    struct view_message got[BATCH];
    struct view_cursor cursor;
    size_t n;
    enum result r;
    seqset_init(out, a);
    if (view_cursor_init(&cursor, v, set, by_uid, f) != R_OK)
        return R_FAIL;
    while ((r = view_next(&cursor, got, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++)
            seqset_add(out, got[i].row.uid);
    return r == R_NONE ? R_OK : R_FAIL;
}

enum result
imap_goes_on(const struct imap_session *s, const struct view *v, struct fault *f)
{
    if (conn_failed(s->conn))
        return fault_set(f, FAULT_CLOSED, "client went");
    return view_gone(v) ? fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted") : R_OK;
}

// The mailbox was deleted elsewhere. A client that does not know CLOSED could only go on in error.
static void
tell_gone(struct imap_session *s)
{
    imap_unselect(s);
    if (s->enabled & (ENABLE_REV2 | ENABLE_QRESYNC))
        imap_untagged(s, "OK [CLOSED] The selected mailbox was deleted");
    else
        imap_bye(s, "The selected mailbox was deleted");
}

static void
tell_expunged(struct imap_session *s, const struct view_delta *d, struct arena *a)
{
    struct seqset uids;
    if (!imap_vanishes(s)) {
        for (size_t i = 0; i < d->expunged_count; i++)
            imap_untagged(s, "%u EXPUNGE", d->expunged[i]);
        return;
    }
    seqset_init(&uids, a);
    for (size_t i = d->expunged_count; i > 0; i--)
        seqset_add(&uids, d->expunged_uids[i - 1]);
    imap_vanished_send(s, false, &uids);
}

static enum result
tell(struct imap_session *s, const struct view_delta *d, unsigned flags, struct arena *a,
     struct fault *f)
{
    imap_contexts_lose(s, d->expunged, d->expunged_uids, d->expunged_count, a);
    tell_expunged(s, d, a);
    if (d->keywords_changed && imap_flags_send(s, true, a, f) != R_OK)
        return R_FAIL;
    if (d->exists_changed)
        imap_untagged(s, "%u EXISTS", d->exists);
    if (d->exists_changed && !imap_enabled(s, ENABLE_REV2))
        imap_untagged(s, "%u RECENT", d->recent);
    for (size_t i = 0; i < d->changed_count; i++)
        if (imap_fetch_flags_send(s, &d->changed[i], a, f) != R_OK)
            return R_FAIL;
    imap_contexts_lose(s, d->lost, d->lost_uids, d->lost_count, a);
    // while NOTIFY holds new messages back, results stay as well
    if (!(flags & VIEW_HOLD_NEW) &&
        imap_contexts_update(s, flags & VIEW_HOLD_FLAGS, a, f) != R_OK)
        return R_FAIL;
    if (d->fresh_first <= d->fresh_last)
        imap_fresh_fetch(s, d->fresh_first, d->fresh_last, a);
    return R_OK;
}

void
imap_highest_send(struct imap_session *s, uint64_t modseq)
{
    imap_untagged(s, "OK [HIGHESTMODSEQ %llu] Highest", (unsigned long long)modseq);
}

// RFC 7162 section 3.2: while an expunge is held back, a client that lost the connection must not begin after it.
static void
settle_highest(struct imap_session *s)
{
    struct view_info v;
    if (!s->view || !imap_enabled(s, ENABLE_QRESYNC))
        return;
    view_info(s->view, &v);
    bool hold = v.modseq < s->modseq.told;
    if (hold || s->modseq.held)
        imap_highest_send(s, v.modseq);
    s->modseq.held = hold;
    s->modseq.told = 0;
}

void
imap_condstore_aware(struct imap_command *c)
{
    struct imap_session *s = c->session;
    struct view_info v;
    if (!c->aware || imap_enabled(s, ENABLE_CONDSTORE))
        return;
    s->enabled |= ENABLE_CONDSTORE;
    if (!s->view)
        return;
    view_info(s->view, &v);
    imap_highest_send(s, v.modseq);
}

// *expunged_out: how many messages were told to be gone.
static enum result
tell_changed(struct imap_session *s, unsigned flags, struct arena *a, size_t *expunged_out,
             struct fault *f)
{
    struct view_delta d = {.gone = false};
    if (!s->view || (!view_pending(s->view) && !imap_contexts_due(s)))
        return R_OK;
    if (s->contexts)
        flags |= VIEW_LOST;
    if (view_sync(s->view, flags, a, &d, f) != R_OK)
        return R_FAIL;
    *expunged_out = d.expunged_count;
    if (!d.gone)
        return tell(s, &d, flags, a, f);
    tell_gone(s);
    return R_OK;
}

static void
tell_elsewhere(struct imap_session *s, struct arena *a)
{
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        if ((*e)->on_sync)
            (*e)->on_sync(s, a);
}

enum result
imap_sync(struct imap_session *s, unsigned flags, struct arena *a, struct fault *f)
{
    size_t expunged = 0;
    enum result r = R_OK;
    if (!imap_notify_is_frozen(s) || (s->view && view_gone(s->view)))
        r = tell_changed(s, flags | imap_notify_view_flags(s), a, &expunged, f);
    settle_highest(s);
    tell_elsewhere(s, a);
    return r;
}

enum result
imap_sync_all(struct imap_session *s, struct arena *a, struct fault *f)
{
    size_t expunged = 0;
    return tell_changed(s, VIEW_EXPUNGE, a, &expunged, f);
}

enum result
imap_sync_expunged(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    struct view_info v;
    size_t expunged = 0;
    unsigned hold = imap_notify_view_flags(s);
    if (imap_notify_is_frozen(s))
        hold |= VIEW_HOLD_NEW;
    if (tell_changed(s, VIEW_EXPUNGE | hold, c->arena, &expunged, f) != R_OK)
        return R_FAIL;
    if (expunged == 0 || !s->view || !imap_enabled(s, ENABLE_QRESYNC))
        return R_OK;
    view_info(s->view, &v);
    imap_answer(c, "[HIGHESTMODSEQ %llu] %s completed", (unsigned long long)v.modseq,
                c->verb->name);
    return R_OK;
}
