#include "mail/copy_inside.h"

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
    uint8_t from_use;
    struct message_row *rows;
    struct row_flags *flags;
    struct keyword_names names;  // by the source's numbers
    size_t count;
    uint16_t *owners;  // of each row, where a guest moves: the flags that its owner sees
    struct private_others marks;  // of all others, by the source's UIDs; in `arena`
    struct move_intent intent;
};

static const uint32_t removing = RIGHT_DELETED | RIGHT_EXPUNGE;

static bool
same_account(const struct copy_call *c)
{
    return c->view->account == c->dest->account;
}

// ---- within the account ----

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

// What the others have of their own on these messages goes with them.
static enum result
copy_with(struct account *a, struct store_batch *b, struct copy_call *call,
          const struct private_others *others, struct fault *f)
{
    const struct view *v = call->view;
    struct rows_copy c = {.from = v->mailbox, .first = store_batch_count(b) == 0};
    uint32_t *rows;
    if (mailbox_load(a, c.from, f) != R_OK)
        return R_FAIL;
    c.to = mailbox_of(a, call->dest->mailbox);
    if (!c.to)
        return fault_set(f, FAULT_TRYCREATE, "target mailbox is gone");
    if (acl_check(ref_rights(call->dest), RIGHT_INSERT, f) != R_OK)
        return R_FAIL;
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
    struct copying_for by = {.dest = call->dest,
                             .source = v,
                             .move = call->move,
                             .user = v->mine.user,
                             .reserve = private_others_octets(others, c.from, c.rows, c.n)};
    enum result r = rows_copy_by(a, b, &c, &by, call->out, f);
    if (r != R_OK || !call->move || n == 0)
        return r;
    private_others_put(a, b, others, &(struct private_put){.mailbox = c.to},
                       &call->out->source, &call->out->target);
    rows_put_away(a, b, v->mailbox, RECORD_MOVED, rows, n);
    return R_OK;
}

static enum result
copy_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *call = arg;
    struct private_others others = {0};
    const struct view *v = call->view;
    if (view_may(v, RIGHT_READ | (call->move ? removing : 0), f) != R_OK)
        return R_FAIL;
    enum result r =
        call->move ? private_others_open(a, v->mailbox, v->mine.user, &others, f) : R_OK;
    if (r == R_OK)
        r = copy_with(a, b, call, &others, f);
    private_others_close(&others);
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
    c->owners = arena_array(c->arena, c->count, sizeof *c->owners);
    for (size_t i = 0; i < c->count; i++) {
        size_t n;
        yield_at(i);
        c->rows[i] = m->state->rows[rows[i]];
        c->owners[i] = c->rows[i].flags;
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
    c->from_use = s->special_use;
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
    if (view_may(v, RIGHT_READ, c->fault) != R_OK)
        return;
    if (mailbox_read_begin(v->account, v->mailbox, c->fault) != R_OK)
        return;
    c->result = read_held(c);
    mailbox_read_end(v->account, v->mailbox);
}

// ---- what others than the mover have of their own on messages that move ----

static struct private_set *
marks_new(struct copy_call *c, uint64_t user, size_t n)
{
    struct private_set *s = ARENA_NEW(c->arena, struct private_set);
    s->user = user;
    s->list.p = arena_array(c->arena, n, sizeof *s->list.p);
    return s;
}

static void
marks_add(struct copy_call *c, struct private_set *s)
{
    if (s->list.n > 0)
        c->marks.sets[c->marks.n++] = s;
}

static void
copy_out(struct copy_call *c, const struct private_set *from)
{
    size_t most = from->list.n < c->count ? from->list.n : c->count, at = 0;
    struct private_set *s = marks_new(c, from->user, most);
    for (size_t i = 0; i < c->count; i++) {
        const struct private_entry *e = private_find(&from->list, c->rows[i].uid, &at);
        yield_at(i);
        if (e && e->flags != 0)
            s->list.p[s->list.n++] = *e;
    }
    marks_add(c, s);
}

// They are in the rows.
static void
copy_out_owners(struct copy_call *c, const struct account *a)
{
    uint16_t mask = mail_private_flags(a->mail);
    struct private_set *s = marks_new(c, a->id, c->count);
    for (size_t i = 0; i < c->count; i++)
        if (c->owners[i] & mask)
            s->list.p[s->list.n++] =
                (struct private_entry){.uid = c->rows[i].uid, .flags = c->owners[i] & mask};
    marks_add(c, s);
}

static enum result
marks_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct copy_call *c = arg;
    const struct view *v = c->view;
    struct private_others others = {0};
    enum result r = private_others_open(a, v->mailbox, v->mine.user, &others, f);
    (void)b;
    c->marks = (struct private_others){
        arena_array(c->arena, others.n + 1, sizeof(struct private_set *)), 0};
    for (size_t i = 0; r == R_OK && i < others.n; i++)
        copy_out(c, others.sets[i]);
    if (r == R_OK && private_foreign(a, v->mine.user))
        copy_out_owners(c, a);
    private_others_close(&others);
    return r;
}

// In the source's home. Where nobody but the owner has anything there is nothing to look for.
static void
marks_run(void *arg)
{
    struct copy_call *c = arg;
    struct account *a = c->view->account;
    const struct mailbox *m = c->view->mailbox;
    bool some = private_foreign(a, c->view->mine.user) || (m->state && m->state->privates);
    c->result =
        some ? account_change(a, marks_change, c, CHANGE_OF_MODE, NULL, c->fault) : R_OK;
}

// What the owner of the target has is in the rows there. NULL: nothing.
static const struct private_list *
marks_of(const struct copy_call *c, uint64_t user)
{
    for (size_t i = 0; i < c->marks.n; i++)
        if (c->marks.sets[i]->user == user)
            return &c->marks.sets[i]->list;
    return NULL;
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
                        .from_use = call->from_use,
                        .batch = b,
                        .first = store_batch_count(b) == 0,
                        .names = call->names,
                        .rows = call->rows,
                        .n = call->count};
    if (!c.to)
        return fault_set(f, FAULT_TRYCREATE, "target mailbox is gone");
    if (acl_check(ref_rights(call->dest), RIGHT_INSERT, f) != R_OK)
        return R_FAIL;
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
    struct copying_for by = {.dest = call->dest,
                             .move = call->move,
                             .user = private_user(a, call->dest->user),
                             .reserve = private_others_octets(&call->marks, NULL, NULL, 0),
                             .owners = marks_of(call, a->id)};
    c.by = &by;
    enum result r = copy_rows(a, &c, call->out, f);
    if (r == R_OK)
        private_others_put(a, b, &call->marks, &(struct private_put){.mailbox = c.to},
                           &call->out->source, &call->out->target);
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
    if (view_may(c->view, removing, f) != R_OK) {
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
        rows_put_away(a, b, from, RECORD_MOVED, rows, n);
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
    c->intent = (struct move_intent){.source = c->view->account->id,
                                     .target = c->dest->account->id};
    account_run(c->view->account, marks_run, c);
    if (c->result != R_OK)
        return;
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
    else
        move_undo(c->view->account, c->dest->account, &c->intent);
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
