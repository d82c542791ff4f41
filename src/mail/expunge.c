#include "mail/change.h"

#include "mail/acl_fold.h"
#include "mail/select.h"

struct expunge_call {
    struct view *view;
    const struct seqset *uids;
    uint64_t count;
    struct fault *fault;
    enum result result;
};

static enum result
expunge_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct expunge_call *c = arg;
    struct mailbox *m = c->view->mailbox;
    struct seqset gone;
    struct row_flags now;
    uint32_t *rows;
    size_t n;
    if (view_may(c->view, RIGHT_EXPUNGE, f) != R_OK || mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, m) == R_NONE)
        return R_NONE;
    seqset_init(&gone, a->batch_arena);
    select_rows(&(struct selection){c->view, c->uids, true}, a->batch_arena, &rows, &n);
    for (size_t i = 0; i < n; i++) {
        const struct message_row *row = &m->state->rows[rows[i]];
        must(pending_get(a, m, row, &now) == R_OK);
        yield_at(i);
        if (!(now.flags & FLAG_DELETED))
            continue;
        seqset_add(&gone, row->uid);
        rows_count(mailbox_next(a, m), row, now.flags, -1);
    }
    c->count = seqset_size(&gone);
    if (gone.count > 0) {
        expunge_pending(a, m, &gone);
        rows_put_expunged(a, b, m, RECORD_EXPUNGED, &gone);
    }
    return R_OK;
}

void
expunge_pending(struct account *a, struct mailbox *m, const struct seqset *uids)
{
    struct seqset_iter i = {0};
    uint32_t uid;
    uint64_t n = seqset_size(uids);
    select_touched(m, (size_t)n);
    while (!m->rows_dirty && seqset_next(uids, &i, &uid))
        pending_expunge(a, m, uid);
}

static void
expunge_run(void *arg)
{
    struct expunge_call *c = arg;
    c->result = c->view->gone
                    ? fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted")
                    : account_change(c->view->account, expunge_change, c, 0, &c->view->by,
                                     c->fault);
}

enum result
change_expunge(struct view *v, const struct seqset *uids, uint64_t *count_out,
               struct fault *f)
{
    struct expunge_call c = {v, uids, 0, f, R_FAIL};
    if (v->read_only || !(v->rights & RIGHT_EXPUNGE))
        return fault_set(f, FAULT_NOPERM, "no right to expunge");
    account_run(v->account, expunge_run, &c);
    if (c.result == R_OK)
        *count_out = c.count;
    return c.result;
}
