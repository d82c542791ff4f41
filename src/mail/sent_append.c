// A client's own copy meets the server's.
#include "mail/sent_inside.h"

#include "base/order.h"
#include "mail/intake_inside.h"
#include "mail/rows.h"
#include "mail/select.h"

static bool
is_octet_for_octet(const struct intake *in, const struct sent_copy *c)
{
    struct span hash = span_of(in->hash, INTAKE_HASH);
    return span_eq(hash, c->hash) ||
           (c->client_hash.n > 0 && span_eq(hash, c->client_hash));
}

// Did the server file the message here?
static bool
find_copy(struct account *a, const struct mailbox *m, const struct intake *in, char *key,
          struct sent_copy *out)
{
    struct mime_summary summary;
    struct span id = sent_summary(in, &summary) == R_OK ? summary.message_id : SPAN_NONE;
    sent_key(key, id, span_of(in->hash, INTAKE_HASH));
    return sent_ledger_find(a, key, out) == R_OK && out->mailbox == m->id;
}

static bool
any_copy(struct account *a, const struct mailbox *m, const struct sent_append *s)
{
    char key[REMEMBERED_KEY];
    struct sent_copy copy;
    for (size_t i = 0; i < s->n; i++)
        if (find_copy(a, m, s->items[i].intake, key, &copy))
            return true;
    return false;
}

static bool
is_known(const struct sent_twins *t, uint32_t uid)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->uids[i] == uid)
            return true;
    return false;
}

// The row of a copy as it will be; R_NONE: it is not there any more, or somebody else takes care of it.
static enum result
row_of(struct account *a, struct mailbox *m, const struct sent_append *s, uint32_t uid,
       const struct message_row **row_out, struct row_flags *flags_out)
{
    uint32_t i = state_row_at(m->state, uid);
    if (uid == s->leaves || i == m->state->counts.exists || m->state->rows[i].uid != uid)
        return R_NONE;
    *row_out = &m->state->rows[i];
    return pending_get(a, m, *row_out, flags_out);
}

// What the user did to the server's copy is not lost with it.
static struct intake_item
united(struct account *a, const struct mailbox *m, const struct intake_item *item,
       const struct row_flags *had)
{
    struct intake_item both = *item;
    struct intake_params *p = &both.params;
    size_t most = p->keyword_count + had->keyword_count;
    struct span *names = arena_array(a->batch_arena, most, sizeof *names);
    for (size_t i = 0; i < p->keyword_count; i++)
        names[i] = p->keywords[i];
    for (size_t i = 0; i < had->keyword_count; i++)
        names[p->keyword_count + i] = keyword_name(m, had->keywords[i]);
    p->keywords = names;
    p->keyword_count = most;
    p->flags |= had->flags & (uint16_t)~FLAG_DELETED;
    return both;
}

static void
take_twin(struct account *a, struct mailbox *m, const struct sent_append *s, size_t at,
          struct intake_item *items, struct sent_twins *t)
{
    const struct intake *in = s->items[at].intake;
    struct sent_copy copy;
    const struct message_row *row;
    struct row_flags flags;
    if (!find_copy(a, m, in, t->keys[t->n], &copy) || is_known(t, copy.uid) ||
        row_of(a, m, s, copy.uid, &row, &flags) != R_OK)
        return;
    t->same = s->n == 1 && !s->replaces && is_octet_for_octet(in, &copy);
    t->uids[t->n++] = copy.uid;
    t->octets += row->size;
    if (!t->same)
        items[at] = united(a, m, &items[at], &flags);
}

enum result
sent_twins_find(struct account *a, struct mailbox *m, const struct sent_append *s,
                struct sent_twins *out, struct fault *f)
{
    struct sent_twins t = {.items = s->items};
    *out = t;
    if (!any_copy(a, m, s))
        return R_OK;
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, m) == R_NONE)
        return R_NONE;
    struct intake_item *items = arena_array(a->batch_arena, s->n, sizeof *items);
    memcpy(items, s->items, s->n * sizeof *items);
    t.items = items;
    t.uids = arena_array(a->batch_arena, s->n, sizeof *t.uids);
    t.keys = arena_array(a->batch_arena, s->n, sizeof *t.keys);
    for (size_t i = 0; i < s->n; i++)
        take_twin(a, m, s, i, items, &t);
    *out = t;
    return R_OK;
}

enum result
sent_twin_merge(struct account *a, struct store_batch *b, struct mailbox *m,
                const struct sent_twins *t, struct intake_result *out, struct fault *f)
{
    const struct intake_params *p = &t->items[0].params;
    struct sent_flags add = {.uids = t->uids,
                             .n = 1,
                             .flags = p->flags,
                             .keywords = p->keywords,
                             .keyword_count = p->keyword_count};
    size_t changed;
    const struct message_row *row = &m->state->rows[rows_index(m, t->uids[0])];
    *out = (struct intake_result){m->state->uidvalidity, row->uid, row->emailid,
                                  row->threadid};
    return sent_flags_add(a, b, m, &add, &changed, f);
}

void
sent_twins_put_away(struct account *a, struct store_batch *b, struct mailbox *m,
                    const struct sent_twins *t)
{
    uint32_t *rows = arena_array(a->batch_arena, t->n, sizeof *rows);
    for (size_t i = 0; i < t->n; i++)
        rows[i] = rows_index(m, t->uids[i]);
    if (t->n > 1)
        qsort(rows, t->n, sizeof *rows, order_u32);
    if (t->n > 0)
        rows_put_away(a, b, m, RECORD_EXPUNGED, rows, t->n);
    for (size_t i = 0; i < t->n; i++)
        remembered_drop(a, b, remembered_key_span(t->keys[i]));
}
