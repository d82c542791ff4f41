// The selected mailbox of a session: untagged updates, sequence sets, the saved search result.
#include "imap/response.h"

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

void
imap_unselect(struct imap_session *s)
{
    view_close(&s->view);
    imap_saved_set(s, NULL);
}

enum result
imap_set_resolve(struct imap_session *s, struct span text, bool *by_uid, struct arena *a,
                 struct seqset *out, struct fault *f)
{
    if (span_eq(text, SPAN("$"))) {
        if (s->saved.arena)
            seqset_copy(out, a, &s->saved.uids);
        else
            seqset_init(out, a);
        *by_uid = true;
        return R_OK;
    }
    uint32_t star = 0;
    bool has_star = span_find_char(text, '*') < text.n;
    if (has_star && view_star(s->view, *by_uid, &star, f) != R_OK)
        return R_FAIL;
    return seqset_parse(text, star, a, out, f);
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

static enum result
tell(struct imap_session *s, const struct view_delta *d, struct arena *a, struct fault *f)
{
    for (size_t i = 0; i < d->expunged_count; i++)
        imap_untagged(s, "%u EXPUNGE", d->expunged[i]);
    if (d->keywords_changed && imap_flags_send(s, true, a, f) != R_OK)
        return R_FAIL;
    if (d->exists_changed)
        imap_untagged(s, "%u EXISTS", d->exists);
    if (d->exists_changed && !imap_enabled(s, ENABLE_REV2))
        imap_untagged(s, "%u RECENT", d->recent);
    for (size_t i = 0; i < d->changed_count; i++)
        if (imap_fetch_flags_send(s, &d->changed[i], a, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
imap_sync(struct imap_session *s, unsigned flags, struct arena *a, struct fault *f)
{
    struct view_delta d = {.gone = false};
    if (!s->view || !view_pending(s->view))
        return R_OK;
    if (view_sync(s->view, flags, a, &d, f) != R_OK)
        return R_FAIL;
    if (d.gone) {
        tell_gone(s);
        return R_OK;
    }
    return tell(s, &d, a, f);
}
