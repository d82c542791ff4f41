#include "ctl/import.h"
#include "base/limits.h"
#include "mail/change.h"
#include "mail/message.h"
#include "pull/pull.h"

static enum result
find_row(struct view *v, uint32_t uid, struct arena *a, struct message_row *out,
         struct fault *f)
{
    struct seqset one;
    struct view_cursor cursor;
    struct view_message m;
    size_t n;
    seqset_init(&one, a);
    seqset_add(&one, uid);
    if (view_cursor_init(&cursor, v, &one, true, f) != R_OK)
        return R_FAIL;
    enum result r = view_next(&cursor, &m, 1, &n, f);
    if (r == R_OK)
        *out = m.row;
    return r;
}

// Flags are of each copy there: what was copied has those of the mailbox that it was copied from.
static enum result
flags_of_copy(struct import *im, uint32_t uid, const struct import_copy *c, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct view_delta delta;
    struct message_row row;
    uint64_t flags = p->flags;
    if (view_sync(p->view, 0, p->scratch, &delta, f) != R_OK ||
        (p->writer != NULL && view_sync(p->writer, 0, p->scratch, &delta, f) != R_OK))
        return R_FAIL;
    enum result r = find_row(p->view, uid, p->scratch, &row, f);
    if (r == R_OK)
        r = import_flags_bring(im, &row, &c->head, f);
    p->flags = flags;
    return r == R_FAIL ? R_FAIL : R_OK;
}

// Where UIDs are not kept an earlier run may have brought it.
static enum result
is_copied(struct import *im, const struct message_row *row, struct fault *f)
{
    unsigned char sha[MESSAGE_HASH];
    if (im->keep_uids || im->have == NULL || import_have_count(im->have) == 0)
        return R_NONE;
    if (message_hash(verb_host(im->call)->mail, row, sha, f) != R_OK)
        return R_FAIL;
    return import_have_octets(im->have, row->size, span_of(sha, sizeof sha), f);
}

static enum result
adopt_uid(struct import *im, uint32_t uid, struct fault *f)
{
    if (!im->keep_uids || uid <= im->uidnext || uid > LIMIT_import_uid)
        return R_OK;
    return intake_adopt(&im->ref, im->source.uidvalidity, uid, f);
}

// What is there under another UID too: its octets are those that came before.
static enum result
prove_copy(struct import *im, const struct import_copy *c, const struct message_row *row,
           uint32_t uid, struct fault *f)
{
    unsigned char sha[MESSAGE_HASH];
    if (message_hash(verb_host(im->call)->mail, row, sha, f) != R_OK)
        return R_FAIL;
    import_pull_prove(im, &c->head, uid, span_of((const char *)sha, sizeof sha));
    return R_OK;
}

static enum result
copy_one(struct import *im, struct view *from, const struct import_copy *c,
         const struct message_row *row, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct seqset one;
    struct copy_result done = {0};
    struct seqset_iter at = {0};
    uint32_t uid;
    arena_reset(p->scratch);
    seqset_init(&one, p->scratch);
    seqset_add(&one, c->from.uid);
    const struct selection sel = {from, &one, true};
    if (adopt_uid(im, c->head.uid, f) != R_OK ||
        change_copy(&sel, &im->ref, false, p->scratch, &done, f) != R_OK)
        return R_FAIL;
    if (!seqset_next(&done.target, &at,
                     &uid)) {  // in labels mode a mailbox holds a message once
        im->counts.present++;
        return R_OK;
    }
    im->uidnext = uid + 1;
    im->counts.messages++;
    im->counts.renumbered += im->keep_uids && uid != c->head.uid;
    if (flags_of_copy(im, uid, c, f) != R_OK)
        return R_FAIL;
    return prove_copy(im, c, row, uid, f);
}

static enum result
take_copy(struct import *im, struct view *from, const struct import_copy *c,
          struct fault *f)
{
    struct message_row row;
    enum result r = find_row(from, c->from.uid, im->pull->scratch, &row, f);
    if (r == R_NONE) {
        import_pull_left(im, c->head.uid);
        import_leave_out(im, c->head.where,
                         SPAN("its copy here was just expunged; the next run fetches it"));
        return R_OK;
    }
    if (r == R_OK)
        r = is_copied(im, &row, f);
    im->counts.present += r == R_OK;
    return r == R_NONE ? copy_one(im, from, c, &row, f) : r;
}

enum result
import_pull_twin(struct import *im, const struct import_message *m, struct fault *f)
{
    struct import_pull *p = im->pull;
    const struct message_row *row;
    struct view *from;
    if (im->source.role == PULL_ALL || p->all.have == NULL)
        return R_NONE;
    enum result r = import_have_like(p->all.have, intake_size(m->intake),
                                     intake_hash(m->intake), &row, f);
    if (r == R_OK && m->head.has_date && row->internal_date != m->head.date)
        r = R_NONE;
    if (r != R_OK)
        return r;
    const struct import_copy c = {{p->all.box, row->uid, row->size, row->internal_date},
                                  m->head};
    import_wait(im, 0);
    if (view_open(&p->boxes[p->all.box], true, NULL, NULL, &from, f) != R_OK)
        return R_FAIL;
    r = take_copy(im, from, &c, f);
    view_close(&from);
    return r;
}

enum result
import_pull_copy(struct import *im, uint32_t below, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct view *from = NULL;
    uint32_t box = 0;
    enum result r = R_OK;
    if (p->copied == p->copy_count || p->copies[p->copied].head.uid >= below)
        return R_OK;
    import_wait(im, 0);
    while (r == R_OK && p->copied < p->copy_count &&
           p->copies[p->copied].head.uid < below) {
        const struct import_copy *c = &p->copies[p->copied++];
        if (from == NULL || box != c->from.box) {
            view_close(&from);
            box = c->from.box;
            r = view_open(&p->boxes[box], true, NULL, NULL, &from, f);
        }
        if (r == R_OK)
            r = take_copy(im, from, c, f);
    }
    view_close(&from);
    return r;
}
