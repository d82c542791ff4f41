#include "mail/change.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/label_index.h"
#include "mail/label_mode.h"
#include "mail/move_intent.h"
#include "mail/private.h"
#include "mail/select.h"

// Within one account COPY and MOVE are one change. Into another account: the rows are read here, added there as
// one commit, and (MOVE) expunged here afterwards, with an intent before: at worst a duplicate for a moment, never a loss.
struct copy_call {
    struct view *view;
    const struct selection *selection;
    bool move;
    const struct mailbox_ref *dest;
    struct arena *arena;
    struct copy_result *out;
    struct fault *fault;
    enum result result;
    // across accounts
    struct message_row *rows;
    struct row_flags *flags;
    struct keyword_names names;  // by the source's numbers
    size_t count;
    struct move_intent intent;
};

static const uint32_t removing = RIGHT_DELETED | RIGHT_EXPUNGE;

// Rows on their way into a mailbox.
struct copying {
    struct mailbox *from, *to;  // from NULL: another account's
    struct store_batch *batch;
    bool first;                  // the batch was empty
    struct keyword_names names;  // of the source's numbers
    uint32_t *map;               // source's number -> target's number + 1, where known
    struct message_row *rows;
    struct row_flags *flags;  // with the source's numbers, then with the target's
    size_t n;
    uint32_t denied;
    struct buf packed;
    // NULL: flags go into the rows as they are
    struct copying_for {
        const struct mailbox_ref *dest;
        const struct view
            *source;  // of the same account, or NULL: the flags are the user's already
        bool move;
        uint64_t user;
        uint16_t *mine;  // of each row: flags that the user has in the target's set
        struct private_entry *entries;
        size_t count;
    } * by;
};

enum { COPY_ROWS = 4096 };  // in one record

static bool
same_account(const struct copy_call *c)
{
    return c->view->account == c->dest->account;
}

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

static int
number_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
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
        qsort(numbers, n, sizeof *numbers, number_order);
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
        octets += c->by->count * PRIVATE_OCTETS + PRIVATE_RECORD;
    enum result r = change_room(c->batch, c->first, octets, f);
    if (r == R_OK)
        rows_put_copied(c->batch, c->to->id, next, buf_span(&c->packed));
    buf_reset(&c->packed);
    if (r != R_OK || !c->by)
        return r;
    struct private_put mine = {c->to, c->by->user, next->modseq, c->by->entries,
                               c->by->count};
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
    size_t at = 0;
    by->mine = arena_array(a->batch_arena, c->n, sizeof *by->mine);
    by->entries = arena_array(a->batch_arena, COPY_ROWS, sizeof *by->entries);
    for (size_t i = 0; i < c->n; i++) {
        struct row_flags *now = &c->flags[i];
        const struct private_entry *e =
            from ? private_find(&by->source->mine.set->list, c->rows[i].uid, &at) : NULL;
        uint16_t owners = by->move && by->source ? now->flags & to : 0;
        uint16_t seen = (uint16_t)((now->flags & ~from) | (e ? e->flags & from : 0));
        seen &= allowed;
        by->mine[i] = seen & to;
        now->flags = (uint16_t)((seen & ~to) | owners);
        if (!(by->dest->rights & RIGHT_WRITE))
            now->keyword_count = 0;
    }
}

static enum result
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
    if (r == R_OK)
        *out = made;
    return r;
}

// ---- within the account ----

void
rows_put_moved(struct account *a, struct store_batch *b, struct mailbox *from,
               const uint32_t *rows, size_t n)
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
    rows_put_expunged(a, b, from, RECORD_MOVED, &gone);
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

static enum result
rows_copy_by(struct account *a, struct store_batch *b, const struct rows_copy *what,
             struct copying_for *by, struct copy_result *out, struct fault *f)
{
    struct copying c = {.from = what->from,
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

static enum result
room_for_copies(struct account *a, const struct rows_copy *c, struct fault *f)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < c->n; i++) {
        octets += c->from->state->rows[c->rows[i]].size;
        yield_at(i);
    }
    return quota_room_messages(a, c->n, octets, QUOTA_USER, f);
}

static enum result
copy_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *call = arg;
    struct rows_copy c = {.from = call->view->mailbox, .first = store_batch_count(b) == 0};
    uint32_t *rows;
    if (mailbox_load(a, c.from, f) != R_OK)
        return R_FAIL;
    c.to = mailbox_of(a, call->dest->mailbox);
    if (!c.to)
        return fault_set(f, FAULT_TRYCREATE, "target mailbox is gone");
    const struct view *v = call->view;
    if (select_ready(a, c.from) == R_NONE || (!c.first && c.from == c.to) ||
        (v->mine.mask != 0 && v->mine.set->batch == a->batch_number))
        return R_NONE;
    select_rows(call->selection, a->batch_arena, &rows, &c.n);
    if (select_complete(call->selection, c.n, f) != R_OK)
        return R_FAIL;
    size_t n = c.n;
    c.rows = rows;
    // in labels mode a mailbox holds a message once
    if (label_mode(a, NULL) && rows_not_held(a, &c, f) != R_OK)
        return R_FAIL;
    if (!call->move && room_for_copies(a, &c, f) != R_OK)
        return R_FAIL;
    struct copying_for by = {call->dest, v, call->move, v->mine.user, NULL, NULL, 0};
    enum result r = rows_copy_by(a, b, &c, &by, call->out, f);
    if (r == R_OK && call->move && n > 0)
        rows_put_moved(a, b, call->view->mailbox, rows, n);
    return r;
}

// ---- into another account ----

static void
read_rows(struct copy_call *c, const uint32_t *rows)
{
    struct view *v = c->view;
    const struct mailbox *m = v->mailbox;
    const uint32_t *set = NULL, *copied = NULL;
    c->rows = arena_array(c->arena, c->count, sizeof *c->rows);
    c->flags = arena_array(c->arena, c->count, sizeof *c->flags);
    for (size_t i = 0; i < c->count; i++) {
        size_t n;
        yield_at(i);
        c->rows[i] = m->state->rows[rows[i]];
        private_overlay(v, &c->rows[i], false);
        const uint32_t *numbers = keyword_sets_get(m->state->sets, c->rows[i].keywords, &n);
        uint32_t *mine = NULL;
        if (n > 0 && numbers != set) {
            mine = arena_array(c->arena, n, sizeof *mine);
            memcpy(mine, numbers, n * sizeof *mine);
            set = numbers;
            copied = mine;
        }
        c->flags[i] = (struct row_flags){c->rows[i].flags, n > 0 ? copied : NULL, n};
    }
}

static enum result
read_held(struct copy_call *c)
{
    const struct mailbox_state *s = c->view->mailbox->state;
    uint32_t *rows;
    select_rows(c->selection, c->arena, &rows, &c->count);
    if (select_complete(c->selection, c->count, c->fault) != R_OK)
        return R_FAIL;
    read_rows(c, rows);
    struct span *names = arena_array(c->arena, s->keyword_count, sizeof *names);
    for (uint32_t i = 0; i < s->keyword_count; i++)
        names[i] = arena_dup(c->arena, s->keywords[i]);
    c->names = (struct keyword_names){names, s->keyword_count};
    return R_OK;
}

// In the source's home: rows, flags and keyword names, copied out.
static void
read_run(void *arg)
{
    struct copy_call *c = arg;
    struct view *v = c->view;
    c->result = R_FAIL;
    if (v->gone) {
        fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted");
        return;
    }
    if (mailbox_read_begin(v->account, v->mailbox, c->fault) != R_OK)
        return;
    c->result = read_held(c);
    mailbox_read_end(v->account, v->mailbox);
}

static enum result
arrivals_not_held(struct account *a, struct copying *c, struct fault *f)
{
    struct message_row *rows = arena_array(a->batch_arena, c->n, sizeof *rows);
    size_t n = 0;
    if (label_index_ready(a, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < c->n; i++) {
        if (label_held(a, c->rows[i].emailid, c->to->id))
            continue;
        c->flags[n] = c->flags[i];
        rows[n++] = c->rows[i];
    }
    c->rows = rows;
    c->n = n;
    return R_OK;
}

static enum result
arrive_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *call = arg;
    struct copying c = {.to = mailbox_of(a, call->dest->mailbox),
                        .batch = b,
                        .first = store_batch_count(b) == 0,
                        .names = call->names,
                        .rows = call->rows,
                        .n = call->count};
    if (!c.to)
        return fault_set(f, FAULT_TRYCREATE, "target mailbox is gone");
    c.flags = arena_array(a->batch_arena, c.n, sizeof *c.flags);
    if (c.n > 0)
        memcpy(c.flags, call->flags, c.n * sizeof *c.flags);
    if (label_mode(a, NULL) && arrivals_not_held(a, &c, f) != R_OK)
        return R_FAIL;
    uint64_t octets = 0;
    for (size_t i = 0; i < c.n; i++)
        octets += c.rows[i].size;
    if (quota_room_messages(a, c.n, octets, QUOTA_USER, f) != R_OK)
        return R_FAIL;
    struct copying_for by = {
        .dest = call->dest, .move = call->move, .user = private_user(a, call->dest->user)};
    c.by = &by;
    enum result r = copy_rows(a, &c, call->out, f);
    if (r == R_OK && call->move && call->count > 0)
        move_put_arrived(a, b, &call->intent);
    return r;
}

static enum result
leave_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *c = arg;
    struct mailbox *from = c->view->mailbox;
    uint32_t *rows;
    size_t n;
    // both are there now
    if (c->view->gone || (c->view->rights & removing) != removing) {
        move_put_left(a, b, &c->intent);
        return R_OK;
    }
    if (mailbox_load(a, from, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, from) == R_NONE)
        return R_NONE;
    select_rows(&(struct selection){c->view, &c->out->source, true}, a->batch_arena, &rows,
                &n);
    if (n > 0)
        rows_put_moved(a, b, from, rows, n);
    move_put_left(a, b, &c->intent);
    return R_OK;
}

static void
arrive_run(void *arg)
{
    struct copy_call *c = arg;
    c->result = account_change(c->dest->account, arrive_change, c, 0,
                               &(struct change_by){.user = c->dest->user}, c->fault);
}

static void
leave_run(void *arg)
{
    struct copy_call *c = arg;
    c->result =
        account_change(c->view->account, leave_change, c, 0, &c->view->by, c->fault);
}

// The copy is durable before the messages go, and an intent before the copy (mail/move_intent.h).
static void
move_across(struct copy_call *c)
{
    struct seqset uids;
    seqset_init(&uids, c->arena);
    for (size_t i = 0; i < c->count; i++)
        seqset_add(&uids, c->rows[i].uid);
    c->intent = (struct move_intent){c->view->account->id, c->dest->account->id, 0};
    c->result =
        move_begin(c->view->account, c->view->mailbox_id, &uids, &c->intent, c->fault);
    if (c->result != R_OK)
        return;
    account_run(c->dest->account, arrive_run, c);
    if (c->result != R_OK) {
        move_abandon(c->view->account, &c->intent);
        return;
    }
    account_run(c->view->account, leave_run, c);
    if (c->result == R_OK)
        move_end(c->dest->account, &c->intent);
}

static void
within_run(void *arg)
{
    struct copy_call *c = arg;
    c->result =
        c->view->gone
            ? fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted")
            : account_change(c->view->account, copy_change, c, 0, &c->view->by, c->fault);
}

static enum result
allowed(const struct copy_call *c)
{
    if (acl_check(c->dest->rights, RIGHT_INSERT, c->fault) != R_OK)
        return R_FAIL;
    if (!(c->view->rights & RIGHT_READ))
        return fault_set(c->fault, FAULT_NOPERM, "no right to read here");
    if (c->move && (c->view->read_only || (c->view->rights & removing) != removing))
        return fault_set(c->fault, FAULT_NOPERM, "no right to remove here");
    return R_OK;
}

enum result
change_copy(const struct selection *sel, const struct mailbox_ref *dest, bool move,
            struct arena *a, struct copy_result *out, struct fault *f)
{
    struct copy_result result = {0};
    struct mailbox_ref now = ref_now(dest);
    struct copy_call c = {.view = sel->view,
                          .selection = sel,
                          .move = move,
                          .dest = &now,
                          .arena = a,
                          .out = &result,
                          .fault = f};
    seqset_init(&result.source, a);
    seqset_init(&result.target, a);
    if (allowed(&c) != R_OK)
        return R_FAIL;
    if (same_account(&c)) {
        account_run(c.view->account, within_run, &c);
    } else {
        account_run(c.view->account, read_run, &c);
        if (c.result == R_OK && move && c.count > 0)
            move_across(&c);
        else if (c.result == R_OK)
            account_run(dest->account, arrive_run, &c);
    }
    if (c.result == R_OK)
        *out = result;
    return c.result;
}
