#include "mail/learn_inside.h"
#include "mail/copy_inside.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/order.h"
#include "mail/acl_fold.h"
#include "mail/label_index.h"
#include "mail/select.h"

enum { COPY_ROWS = 4096 };  // in one record

static enum result
translate_number(struct account *a, struct copying *c, uint32_t number, uint32_t *out,
                 struct fault *f)
{
    if (c->map[number] == 0) {
        struct keyword_names name = {&c->names.names[number], 1};
        struct keyword_list in_target;
        if (keyword_numbers(a, c->to, c->batch, &name, &in_target, f) != R_OK)
            return R_FAIL;
        c->map[number] = in_target.numbers[0] + 1;
    }
    *out = c->map[number] - 1;
    return R_OK;
}

// Keyword numbers of the source as numbers of the target mailbox, by name.
static enum result
translate(struct account *a, struct copying *c, struct row_flags *now, struct fault *f)
{
    size_t n = now->keyword_count;
    uint32_t *numbers = arena_array(a->batch_arena, n, sizeof *numbers);
    for (size_t i = 0; i < n; i++)
        if (translate_number(a, c, now->keywords[i], &numbers[i], f) != R_OK)
            return R_FAIL;
    if (n > 1)
        qsort(numbers, n, sizeof *numbers, order_u32);
    now->keywords = numbers;
    return R_OK;
}

// Neighbours that share a list of numbers share the translated one.
static enum result
translate_all(struct account *a, struct copying *c, struct fault *f)
{
    const uint32_t *before = NULL, *after = NULL;
    if (c->from == c->to)
        return R_OK;
    c->map = arena_array(a->batch_arena, c->names.n, sizeof *c->map);
    for (size_t i = 0; i < c->n; i++) {
        struct row_flags *now = &c->flags[i];
        const uint32_t *numbers = now->keywords;
        yield_at(i);
        if (now->keyword_count == 0)
            continue;
        if (numbers == before)
            now->keywords = after;
        else if (translate(a, c, now, f) != R_OK)
            return R_FAIL;
        before = numbers;
        after = now->keywords;
    }
    return R_OK;
}

static enum result
room_for_uids(struct account *a, struct mailbox *to, size_t n, struct fault *f)
{
    if (n >= UINT32_MAX - mailbox_next(a, to)->uidnext)
        return fault_set(f, FAULT_LIMIT, "mailbox has no UIDs left");
    return R_OK;
}

// Puts one message into the target's rows under the next UID.
static void
put_row(struct account *a, struct copying *c, size_t i, struct copy_result *out)
{
    struct fault f;
    struct message_row row = c->rows[i];
    const struct row_flags *now = &c->flags[i];
    must(mailbox_next_uid(a, c->to, &row.uid, &f) == R_OK);
    row.modseq = mailbox_next(a, c->to)->modseq;
    row.save_date = (uint32_t)clock_wall_s();
    rows_count(mailbox_next(a, c->to), &row, now->flags, 1);
    rows_add(&c->packed, &row, now, now->keywords, now->keyword_count);
    seqset_add(&out->source, c->rows[i].uid);
    seqset_add(&out->target, row.uid);
    out->count++;
    if (c->by && c->by->mine[i] != 0)
        c->by->entries[c->by->count++] =
            (struct private_entry){.uid = row.uid, .flags = c->by->mine[i]};
}

static enum result
put_part(struct account *a, struct copying *c, const struct mailbox_counts *next,
         struct fault *f)
{
    size_t octets = c->packed.over ? SIZE_MAX : c->packed.n;
    if (c->by && octets < SIZE_MAX)
        octets += c->by->count * PRIVATE_OCTETS + PRIVATE_RECORD + c->by->reserve;
    enum result r = change_room(c->batch, c->first, octets, f);
    if (r == R_OK)
        rows_put_copied(c->batch, c->to->id, next, buf_span(&c->packed));
    buf_reset(&c->packed);
    if (r != R_OK || !c->by)
        return r;
    struct private_put mine = {.mailbox = c->to,
                               .user = c->by->user,
                               .modseq = next->modseq,
                               .entries = c->by->entries,
                               .n = c->by->count};
    private_put(a, c->batch, &mine);
    c->by->count = 0;
    return R_OK;
}

// A record holds as many rows as are quickly copied, hashed and applied; each has a modseq of its own, since others may see
// the mailbox between two of them. The counts go back when the rows are too many for the batch; the UIDs do not.
static enum result
put_rows(struct account *a, struct copying *c, struct copy_result *out, struct fault *f)
{
    struct mailbox_counts *next = mailbox_next(a, c->to), before = *next;
    size_t count = store_batch_count(c->batch);
    enum result r = R_OK;
    for (size_t i = 0; i < c->n && r == R_OK; i++) {
        if (i % COPY_ROWS == 0)
            next->modseq = change_modseq(a);
        put_row(a, c, i, out);
        if (i % COPY_ROWS == COPY_ROWS - 1 || i == c->n - 1)
            r = put_part(a, c, next, f);
        yield_at(i);
    }
    if (r == R_OK)
        return R_OK;
    store_batch_cut(c->batch, count);
    before.uidnext = next->uidnext;
    *next = before;
    return r;
}

// RFC 4314 section 4: flags whose right is missing there are not set.
static void
leave_out_denied(struct copying *c)
{
    const uint32_t flags = RIGHT_SEEN | RIGHT_WRITE | RIGHT_DELETED;
    for (size_t i = 0; (c->denied & flags) && i < c->n; i++) {
        struct row_flags *now = &c->flags[i];
        now->flags &= acl_flags(~c->denied);
        if (c->denied & RIGHT_WRITE)
            now->keyword_count = 0;
        yield_at(i);
    }
}

// The copy has the flags that its user sees; which of them only that user sees there is up to the target. What moves
// within an account stays what it is for the owner.
static void
flags_for(struct account *a, struct copying *c)
{
    struct copying_for *by = c->by;
    uint16_t allowed = acl_flags(by->dest->rights);
    uint16_t from = by->source ? by->source->mine.mask : 0, to = private_mask(a, by->user);
    size_t at = 0, own_at = 0;
    by->mine = arena_array(a->batch_arena, c->n, sizeof *by->mine);
    by->entries = arena_array(a->batch_arena, COPY_ROWS, sizeof *by->entries);
    for (size_t i = 0; i < c->n; i++) {
        struct row_flags *now = &c->flags[i];
        const struct private_entry *e =
            from ? private_find(&by->source->mine.set->list, c->rows[i].uid, &at) : NULL;
        const struct private_entry *own =
            by->owners ? private_find(by->owners, c->rows[i].uid, &own_at) : NULL;
        uint16_t owners = by->move && by->source ? now->flags & to : 0;
        owners |= own ? own->flags & to : 0;
        uint16_t seen = (uint16_t)((now->flags & ~from) | (e ? e->flags & from : 0));
        seen &= allowed;
        by->mine[i] = seen & to;
        now->flags = (uint16_t)((seen & ~to) | owners);
        if (!(by->dest->rights & RIGHT_WRITE))
            now->keyword_count = 0;
    }
}

enum result
copy_rows(struct account *a, struct copying *c, struct copy_result *out, struct fault *f)
{
    struct copy_result made = {.uidvalidity = c->to->state->uidvalidity};
    seqset_init(&made.source, out->source.arena);
    seqset_init(&made.target, out->target.arena);
    enum result r = R_OK;
    leave_out_denied(c);
    if (c->by)
        flags_for(a, c);
    if (room_for_uids(a, c->to, c->n, f) != R_OK || translate_all(a, c, f) != R_OK)
        return R_FAIL;
    buf_init(&c->packed, LIMIT_record_meta);
    if (c->n > 0)
        r = put_rows(a, c, &made, f);
    buf_done(&c->packed);
    if (r != R_OK)
        return r;
    learn_copied(a, c->from_use, c->to, c->rows, c->n);
    *out = made;
    return R_OK;
}

// ---- within the account ----

void
rows_put_away(struct account *a, struct store_batch *b, struct mailbox *from,
              enum record_type type, const uint32_t *rows, size_t n)
{
    struct seqset gone;
    seqset_init(&gone, a->batch_arena);
    for (size_t i = 0; i < n; i++) {
        const struct message_row *row = &from->state->rows[rows[i]];
        struct row_flags now;
        must(pending_get(a, from, row, &now) == R_OK);
        rows_count(mailbox_next(a, from), row, now.flags, -1);
        seqset_add(&gone, row->uid);
        yield_at(i);
    }
    expunge_pending(a, from, &gone);
    rows_put_expunged(a, b, from, type, &gone);
}

static struct keyword_names
names_of(struct arena *arena, const struct mailbox *m, uint32_t n)
{
    struct span *names = arena_array(arena, n, sizeof *names);
    for (uint32_t i = 0; i < n; i++)
        names[i] = keyword_name(m, i);
    return (struct keyword_names){names, n};
}

static void
take_rows(struct account *a, struct copying *c, const uint32_t *rows)
{
    c->rows = arena_array(a->batch_arena, c->n, sizeof *c->rows);
    c->flags = arena_array(a->batch_arena, c->n, sizeof *c->flags);
    for (size_t i = 0; i < c->n; i++) {
        c->rows[i] = c->from->state->rows[rows[i]];
        must(pending_get(a, c->from, &c->rows[i], &c->flags[i]) == R_OK);
        yield_at(i);
    }
    c->names = names_of(a->batch_arena, c->from, c->from->next_keywords);
}

enum result
rows_copy_by(struct account *a, struct store_batch *b, const struct rows_copy *what,
             struct copying_for *by, struct copy_result *out, struct fault *f)
{
    struct copying c = {.from = what->from,
                        .from_use = what->from->state->special_use,
                        .to = what->to,
                        .batch = b,
                        .first = what->first,
                        .n = what->n,
                        .denied = what->denied,
                        .by = by};
    mailbox_next(a, what->from);
    take_rows(a, &c, what->rows);
    return copy_rows(a, &c, out, f);
}

enum result
rows_copy(struct account *a, struct store_batch *b, const struct rows_copy *what,
          struct copy_result *out, struct fault *f)
{
    return rows_copy_by(a, b, what, NULL, out, f);
}

enum result
rows_not_held(struct account *a, struct rows_copy *c, struct fault *f)
{
    uint32_t *some = arena_array(a->batch_arena, c->n, sizeof *some);
    size_t n = 0;
    if (label_index_ready(a, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < c->n; i++)
        if (!label_held(a, c->from->state->rows[c->rows[i]].emailid, c->to->id))
            some[n++] = c->rows[i];
    c->rows = some;
    c->n = n;
    return R_OK;
}
