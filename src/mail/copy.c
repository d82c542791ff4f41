#include "mail/change.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/select.h"

// Within one account COPY and MOVE are one change. Into another account: the rows are read here, added there as
// one commit, and (MOVE) expunged here afterwards: at worst a duplicate for a moment, never a loss.
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
    struct view_message *messages;
    struct row_flags *flags;
    struct span **names;
    size_t count;
};

// One copy under way, within an account.
struct copying {
    struct mailbox *from, *to;
    struct store_batch *batch;
    uint32_t *rows;           // of `from`
    struct row_flags *flags;  // with the target's keyword numbers
    size_t n;
};

static bool
same_account(const struct copy_call *c)
{
    return c->view->account == c->dest->account;
}

// Keyword numbers of the source as numbers of the target mailbox, by name.
static enum result
translate(struct account *a, const struct copying *c, const struct row_flags *now,
          struct row_flags *out, struct fault *f)
{
    struct span *all = arena_array(a->batch_arena, now->keyword_count, sizeof *all);
    struct keyword_names names = {all, now->keyword_count};
    struct keyword_list numbers;
    *out = *now;
    if (c->from == c->to || names.n == 0)
        return R_OK;
    for (size_t i = 0; i < names.n; i++)
        all[i] = keyword_name(c->from, now->keywords[i]);
    if (keyword_numbers(a, c->to, c->batch, &names, &numbers, f) != R_OK)
        return R_FAIL;
    out->keywords = numbers.numbers;
    out->keyword_count = numbers.n;
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
put_row(struct account *a, struct mailbox *to, const struct message_row *from,
        const struct row_flags *now, struct buf *rows, struct copy_result *out)
{
    struct fault f;
    struct message_row row = *from;
    must(mailbox_next_uid(a, to, &row.uid, &f) == R_OK);
    row.modseq = mailbox_next(a, to)->modseq;
    row.save_date = clock_wall_s();
    rows_count(mailbox_next(a, to), &row, now->flags, 1);
    rows_add(rows, &row, now, now->keywords, now->keyword_count);
    seqset_add(&out->source, from->uid);
    seqset_add(&out->target, row.uid);
    out->count++;
}

// ---- within the account ----

static enum result
translate_all(struct account *a, struct copying *c, struct fault *f)
{
    const struct message_row *rows = c->from->state->rows;
    c->flags = arena_array(a->batch_arena, c->n, sizeof *c->flags);
    for (size_t i = 0; i < c->n; i++) {
        struct row_flags now;
        must(pending_get(a, c->from, &rows[c->rows[i]], &now) == R_OK);
        bool same = i > 0 && !a->pending &&
                    rows[c->rows[i]].keywords == rows[c->rows[i - 1]].keywords;
        if (same) {
            c->flags[i] = c->flags[i - 1];
            c->flags[i].flags = now.flags;
        } else if (translate(a, c, &now, &c->flags[i], f) != R_OK) {
            return R_FAIL;
        }
    }
    return R_OK;
}

static void
put_rows(struct account *a, const struct copying *c, struct copy_result *out)
{
    struct buf packed;
    buf_init(&packed, LIMIT_record_meta);
    mailbox_next(a, c->to)->modseq = change_modseq(a);
    for (size_t i = 0; i < c->n; i++)
        put_row(a, c->to, &c->from->state->rows[c->rows[i]], &c->flags[i], &packed, out);
    rows_put_copied(c->batch, c->to->id, mailbox_next(a, c->to), buf_span(&packed));
    buf_done(&packed);
}

static void
put_source_gone(struct account *a, struct store_batch *b, struct copy_call *c,
                const uint32_t *rows, size_t n)
{
    struct mailbox *from = c->view->mailbox;
    struct seqset gone;
    seqset_init(&gone, a->batch_arena);
    for (size_t i = 0; i < n; i++) {
        const struct message_row *row = &from->state->rows[rows[i]];
        struct row_flags now;
        must(pending_get(a, from, row, &now) == R_OK);
        rows_count(mailbox_next(a, from), row, now.flags, -1);
        seqset_add(&gone, row->uid);
    }
    expunge_pending(a, from, &gone);
    rows_put_expunged(a, b, from, &gone);
}

static enum result
copy_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *call = arg;
    struct copying c = {.from = call->view->mailbox, .batch = b};
    if (mailbox_load(a, c.from, f) != R_OK)
        return R_FAIL;
    c.to = mailbox_of(a, call->dest->mailbox);
    if (!c.to)
        return fault_set(f, FAULT_TRYCREATE, "target mailbox is gone");
    if (select_ready(a, c.from) == R_NONE || (store_batch_count(b) > 0 && c.from == c.to))
        return R_NONE;
    select_rows(call->selection, a->batch_arena, &c.rows, &c.n);
    call->out->uidvalidity = c.to->state->uidvalidity;
    if (c.n == 0)
        return R_OK;
    if (room_for_uids(a, c.to, c.n, f) != R_OK || translate_all(a, &c, f) != R_OK)
        return R_FAIL;
    put_rows(a, &c, call->out);
    if (call->move)
        put_source_gone(a, b, call, c.rows, c.n);
    return R_OK;
}

// ---- into another account ----

// In the source's home: rows, flags and keyword names, copied out.
static void
read_run(void *arg)
{
    struct copy_call *c = arg;
    struct view *v = c->view;
    uint32_t *rows;
    c->result = R_FAIL;
    if (v->gone) {
        fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted");
        return;
    }
    if (mailbox_load(v->account, v->mailbox, c->fault) != R_OK)
        return;
    select_rows(c->selection, c->arena, &rows, &c->count);
    c->messages = arena_array(c->arena, c->count, sizeof *c->messages);
    c->flags = arena_array(c->arena, c->count, sizeof *c->flags);
    c->names = arena_array(c->arena, c->count, sizeof *c->names);
    for (size_t i = 0; i < c->count; i++) {
        size_t n;
        select_message(v, rows[i], &c->messages[i]);
        const uint32_t *numbers =
            keyword_sets_get(v->mailbox->state->sets, c->messages[i].row.keywords, &n);
        c->flags[i] = (struct row_flags){c->messages[i].row.flags, NULL, n};
        c->names[i] = arena_array(c->arena, n, sizeof **c->names);
        for (size_t k = 0; k < n; k++)
            c->names[i][k] = arena_dup(c->arena, keyword_name(v->mailbox, numbers[k]));
    }
    c->result = R_OK;
}

static enum result
arrive_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *c = arg;
    struct mailbox *to = mailbox_of(a, c->dest->mailbox);
    struct buf packed;
    if (!to)
        return fault_set(f, FAULT_TRYCREATE, "target mailbox is gone");
    c->out->uidvalidity = to->state->uidvalidity;
    if (c->count == 0)
        return R_OK;
    if (room_for_uids(a, to, c->count, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < c->count; i++) {
        struct keyword_names names = {c->names[i], c->flags[i].keyword_count};
        struct keyword_list numbers;
        if (keyword_numbers(a, to, b, &names, &numbers, f) != R_OK)
            return R_FAIL;
        c->flags[i].keywords = numbers.numbers;
        c->flags[i].keyword_count = numbers.n;
    }
    buf_init(&packed, LIMIT_record_meta);
    mailbox_next(a, to)->modseq = change_modseq(a);
    for (size_t i = 0; i < c->count; i++)
        put_row(a, to, &c->messages[i].row, &c->flags[i], &packed, c->out);
    rows_put_copied(b, to->id, mailbox_next(a, to), buf_span(&packed));
    buf_done(&packed);
    return R_OK;
}

static enum result
leave_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *c = arg;
    struct mailbox *from = c->view->mailbox;
    uint32_t *rows;
    size_t n;
    if (c->view->gone)
        return R_OK;
    if (mailbox_load(a, from, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, from) == R_NONE)
        return R_NONE;
    select_rows(&(struct selection){c->view, &c->out->source, true}, a->batch_arena, &rows,
                &n);
    if (n > 0)
        put_source_gone(a, b, c, rows, n);
    return R_OK;
}

static void
arrive_run(void *arg)
{
    struct copy_call *c = arg;
    c->result = account_change(c->dest->account, arrive_change, c, 0, NULL, c->fault);
}

static void
leave_run(void *arg)
{
    struct copy_call *c = arg;
    c->result = account_change(c->view->account, leave_change, c, 0, c->view, c->fault);
}

static void
within_run(void *arg)
{
    struct copy_call *c = arg;
    c->result =
        c->view->gone
            ? fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted")
            : account_change(c->view->account, copy_change, c, 0, c->view, c->fault);
}

static enum result
allowed(const struct copy_call *c)
{
    if (!(c->dest->rights & RIGHT_INSERT))
        return fault_set(c->fault, FAULT_NOPERM, "no right to insert there");
    if (!(c->view->rights & RIGHT_READ))
        return fault_set(c->fault, FAULT_NOPERM, "no right to read here");
    if (c->move &&
        (c->view->read_only || (c->view->rights & (RIGHT_DELETED | RIGHT_EXPUNGE)) !=
                                   (RIGHT_DELETED | RIGHT_EXPUNGE)))
        return fault_set(c->fault, FAULT_NOPERM, "no right to remove here");
    return R_OK;
}

enum result
change_copy(const struct selection *sel, const struct mailbox_ref *dest, bool move,
            struct arena *a, struct copy_result *out, struct fault *f)
{
    struct copy_result result = {0};
    struct copy_call c = {.view = sel->view,
                          .selection = sel,
                          .move = move,
                          .dest = dest,
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
        if (c.result == R_OK)
            account_run(dest->account, arrive_run, &c);
        if (c.result == R_OK && move && c.count > 0)
            account_run(c.view->account, leave_run, &c);
    }
    if (c.result == R_OK)
        *out = result;
    return c.result;
}
