#include "ctl/import.h"
#include "mail/labels.h"
#include "pull/pull.h"

// UIDs, in the mailbox of all messages, of what is missing here among what was offered.
static void
find_unlabelled(struct import *im, struct seqset *out)
{
    struct import_pull *p = im->pull;
    struct import_ids_place place;
    const struct message_row *row;
    size_t at = 0;
    while ((row = import_have_missing(im->have, p->was.done, &at)) != NULL)
        if (import_ids_find(p->all.here, import_ids_of_row(row), &place) == R_OK)
            seqset_add(out, place.uid);
}

static enum result
remove_label(struct import *im, const struct seqset *uids, struct arena *a, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct label_target target = {im->ref.mailbox, im->ref.rights};
    const struct label_change change = {
        .op = FLAG_OP_REMOVE, .targets = &target, .target_count = 1};
    struct label_result done;
    struct view *v;
    if (view_open(&p->boxes[p->all.box], false, NULL, NULL, &v, f) != R_OK)
        return R_FAIL;
    enum result r = change_labels(&(struct selection){v, uids, true}, &change, a, &done, f);
    view_close(&v);
    return r;
}

enum result
import_unlabel(struct import *im, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct seqset uids;
    if (im->source.role != PULL_LABEL || p->was.done == 0 || !im->keep_uids ||
        im->have == NULL)
        return R_OK;
    arena_reset(p->scratch);
    seqset_init(&uids, p->scratch);
    find_unlabelled(im, &uids);
    p->unlabelled = seqset_size(&uids);
    if (p->unlabelled == 0 || p->dry_run)
        return R_OK;
    return remove_label(im, &uids, p->scratch, f);
}
