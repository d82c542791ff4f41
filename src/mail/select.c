#include "mail/select.h"

#include "base/limits.h"

static uint32_t
seq_of_row(const struct view *v, uint32_t row)
{
    return row + 1 + (uint32_t)view_ghosts_below(v, v->mailbox->state->rows[row].uid);
}

void
select_message(struct view *v, uint32_t row, struct view_message *out)
{
    view_at(v, seq_of_row(v, row), out);
}

// The messages with these UIDs that are still there; how many.
static size_t
find_messages(struct view *v, const uint32_t *uids, size_t n, struct view_message *out)
{
    const struct mailbox_state *s = v->mailbox->state;
    size_t count = 0;
    uint32_t row = 0;
    for (size_t i = 0; i < n; i++) {
        yield_at(i);
        row = state_row_from(s, row, uids[i]);
        if (row < s->counts.exists && s->rows[row].uid == uids[i])
            select_message(v, row, &out[count++]);
    }
    return count;
}

enum result
select_result(struct view *v, const struct addressed *m, struct arena *a,
              struct flag_result *out, struct fault *f)
{
    if (v->gone)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    if (mailbox_read_begin(v->account, v->mailbox, f) != R_OK)
        return R_FAIL;
    view_ghosts(v);
    out->messages = arena_array(a, m->count, sizeof *out->messages);
    out->modified = arena_array(a, m->modified_count, sizeof *out->modified);
    out->count = find_messages(v, m->uids, m->count, out->messages);
    out->modified_count = find_messages(v, m->modified, m->modified_count, out->modified);
    mailbox_read_end(v->account, v->mailbox);
    return R_OK;
}

static void
take(struct view *v, uint32_t row, uint32_t *rows, size_t *n)
{
    struct row_flags now;
    yield_at(row);
    if (pending_get(v->account, v->mailbox, &v->mailbox->state->rows[row], &now) == R_OK)
        rows[(*n)++] = row;
}

// Rows with first <= uid <= last that the view was told of.
static void
take_uids(struct view *v, uint32_t first, uint32_t last, uint32_t *rows, size_t *n)
{
    const struct mailbox_state *s = v->mailbox->state;
    if (last > v->last_uid)
        last = v->last_uid;
    for (uint32_t i = state_row_at(s, first);
         i < s->counts.exists && s->rows[i].uid <= last; i++)
        take(v, i, rows, n);
}

static void
take_seqs(struct view *v, uint32_t first, uint32_t last, uint32_t *rows, size_t *n)
{
    struct view_message msg;
    const struct mailbox_state *s = v->mailbox->state;
    for (uint32_t seq = first; seq <= last && seq <= v->exists; seq++) {
        view_at(v, seq, &msg);
        if (!msg.expunged)
            take(v, (uint32_t)state_row_at(s, msg.row.uid), rows, n);
    }
}

static size_t
most(const struct view *v, const struct seqset *set)
{
    size_t exists = v->mailbox->state->counts.exists;
    return set && seqset_size(set) < exists ? (size_t)seqset_size(set) : exists;
}

void
select_rows(const struct selection *sel, struct arena *a, uint32_t **rows_out,
            size_t *n_out)
{
    struct view *v = sel->view;
    const struct seqset *set = sel->set;
    uint32_t *rows = arena_array(a, most(v, set), sizeof *rows);
    size_t n = 0;
    view_ghosts(v);
    if (!set)
        take_uids(v, 1, UINT32_MAX, rows, &n);
    for (uint32_t i = 0; set && i < set->count; i++)
        if (sel->by_uid)
            take_uids(v, set->ranges[i].first, set->ranges[i].last, rows, &n);
        else
            take_seqs(v, set->ranges[i].first, set->ranges[i].last, rows, &n);
    *rows_out = rows;
    *n_out = n;
}

enum result
select_complete(const struct selection *sel, size_t n, struct fault *f)
{
    if (!sel->by_uid && sel->set && n < seqset_size(sel->set))
        return fault_set(f, FAULT_EXPUNGEISSUED, "expunged elsewhere");
    return R_OK;
}

enum result
select_ready(struct account *a, struct mailbox *m)
{
    mailbox_next(a, m);
    return m->rows_dirty ? R_NONE : R_OK;
}

void
select_touched(struct mailbox *m, size_t n)
{
    if (n > LIMIT_overlay_rows)
        m->rows_dirty = true;
}
