#include "ctl/import.h"
#include "base/limits.h"
#include "mail/acl.h"

enum result
import_map(struct import *im, struct fault *f)
{
    struct tree_entry *entries;
    size_t n;
    if (im->mapped)
        return R_OK;
    if (tree_list(im->user, im->arena, &entries, &n, f) != R_OK)
        return R_FAIL;
    import_names_map(&im->names, entries, n);
    im->mapped = true;
    return R_OK;
}

// What comes back is not shown to whoever sees the folder above it: whom it was shown to is told behind it.
static enum result
hide(struct import *im, struct fault *f)
{
    struct acl_list list;
    enum result r = acl_get(&im->ref, im->mailbox_arena, &list, f);
    for (size_t i = 0; r == R_OK && i < list.n; i++) {
        struct acl_change change = {.identifier = list.p[i].identifier, .op = ACL_DELETE};
        r = acl_change(&im->ref, &change, f);
    }
    return r;
}

// Makes the mailbox where it is missing, or a level that holds no messages yet. R_NONE: it would be made.
static enum result
find_or_make(struct import *im, struct span name, struct tree_entry *entry, struct fault *f)
{
    enum result r = mail_access(im->user, name, RIGHT_INSERT, &im->ref, f);
    bool missing = r == R_FAIL && f->kind == FAULT_NONEXISTENT;
    if (r == R_FAIL && !missing)
        return R_FAIL;
    if (!missing && tree_status(im->user, im->mailbox_arena, name, entry, f) != R_OK)
        return R_FAIL;
    if (!missing && !entry->noselect)
        return R_OK;
    if (import_pull_is_dry(im->pull) || (im->restore != NULL && im->restore->dry_run))
        return R_NONE;
    if (tree_create(im->user, name, USE_NONE, &im->ref, f) != R_OK ||
        (im->restore != NULL && hide(im, f) != R_OK))
        return R_FAIL;
    if (!im->subscriptions && tree_subscribe(im->user, name, true, f) != R_OK)
        return R_FAIL;
    return tree_status(im->user, im->mailbox_arena, name, entry, f);
}

static bool
is_fresh(const struct tree_entry *e)
{
    return e->counts.exists == 0 && e->counts.uidnext <= 1;
}

// What is added there gets new UIDs.
static void
note_new_uids(struct import *im, const char *style)
{
    import_note(im, "new_uids", FIELDS(field_text("mailbox", style, im->target)));
}

// UIDNEXT follows at the end, so that every UID can be given.
static enum result
take_over(struct import *im, struct fault *f)
{
    uint32_t theirs = im->source.uidvalidity;
    enum result r = intake_may_adopt(&im->ref, theirs, im->source.uidnext, f);
    if (r == R_NONE) {
        note_new_uids(
            im, "%: was deleted when it had more UIDs, so what is added gets new ones");
        return R_OK;
    }
    if (r == R_OK && !import_pull_is_dry(im->pull))
        r = intake_adopt(&im->ref, theirs, 1, f);
    im->keep_uids = r == R_OK;
    return r;
}

// Takes UIDVALIDITY over where nothing speaks against it.
static enum result
adopt(struct import *im, struct tree_entry *entry, struct fault *f)
{
    uint32_t theirs = im->source.uidvalidity;
    im->uidnext = entry->counts.uidnext > 0 ? entry->counts.uidnext : 1;
    im->keep_uids = theirs > 0 && theirs == entry->uidvalidity;
    if (theirs > LIMIT_import_uid || im->source.uidnext > LIMIT_import_uid) {
        note_new_uids(
            im,
            "%: its UIDs there leave no room behind them, so what is added gets new ones");
        im->keep_uids = false;
        return R_OK;
    }
    if (theirs == 0 || im->keep_uids)
        return R_OK;
    if (!is_fresh(entry)) {
        note_new_uids(im, "%: has had mail already, so what is added gets new UIDs");
        return R_OK;
    }
    return take_over(im, f);
}

static enum result
open_mailbox(struct import *im, struct fault *f)
{
    struct arena *a = im->mailbox_arena;
    struct tree_entry entry;
    struct span name = import_names_target(&im->names, im->source.name, a);
    if (mail_name_check(a, name, &name, f) != R_OK)
        return R_FAIL;
    if (!import_names_take(&im->names, name))
        return fault_set(f, FAULT_ALREADYEXISTS,
                         "another folder of the source goes to that name here already");
    enum result r = find_or_make(im, name, &entry, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_OK && is_fresh(&entry))
        import_names_set_fresh(&im->names, name);
    im->target = r == R_NONE && im->pull != NULL ? SPAN_NONE : name;
    if (r == R_OK && im->pull != NULL && import_pull_begin(im, f) != R_OK)
        return R_FAIL;
    if (r == R_OK &&
        (adopt(im, &entry, f) != R_OK || import_have_load(&im->ref, &im->have, f) != R_OK))
        return R_FAIL;
    if (im->source.altered || !span_eq(name, im->source.name))
        import_note(im, "renamed",
                    FIELDS(field_text("source", "%", im->source.there),
                           field_text("mailbox", " goes to %", name)));
    im->counts.mailboxes++;
    return R_OK;
}

enum result
import_mailbox_begin(struct import *im, const struct parcel_mailbox *m, struct fault *f)
{
    struct fault why;
    if (import_mailbox_end(im, f) != R_OK || import_map(im, f) != R_OK)
        return R_FAIL;
    im->source = *m;
    im->source.name = arena_dup(im->mailbox_arena, m->name);
    im->source.there =
        m->there.n > 0 ? arena_dup(im->mailbox_arena, m->there) : im->source.name;
    if (im->restore != NULL)
        import_restore_mailbox_begin(im);
    if (open_mailbox(im, &why) == R_OK)
        return R_OK;
    if (im->restore != NULL) {
        im->target = SPAN_NONE;
        return fault_set(f, why.kind, "%.150s", why.why);
    }
    import_leave_out(im, im->source.there, span_str(why.why));
    im->target = SPAN_NONE;
    return R_OK;
}

static void
forget_mailbox(struct import *im)
{
    if (im->pull != NULL)
        import_pull_forget(im);
    import_have_free(&im->have);
    arena_reset(im->mailbox_arena);
    im->target = SPAN_NONE;
    im->keep_uids = false;
}

enum result
import_mailbox_settle(struct import *im, struct fault *f)
{
    enum result r = R_OK;
    import_wait(im, 0);
    if (im->target.p != NULL && im->keep_uids && im->source.uidnext > im->uidnext &&
        !import_pull_is_dry(im->pull))
        r = intake_adopt(&im->ref, im->source.uidvalidity, im->source.uidnext, f);
    return r == R_OK ? import_deferred_commit(im, f) : r;
}

enum result
import_mailbox_end(struct import *im, struct fault *f)
{
    enum result r = import_mailbox_settle(im, f);
    if (r == R_OK && im->restore != NULL && im->target.p != NULL)
        import_restore_mailbox_end(im);
    forget_mailbox(im);
    return r;
}

void
import_mailbox_drop(struct import *im)
{
    import_wait(im, 0);
    while (im->deferred != NULL) {
        struct import_message *m = im->deferred;
        im->deferred = m->next;
        import_message_free(&m);
    }
    im->deferred_end = &im->deferred;
    im->deferred_count = 0;
    forget_mailbox(im);
}
