#include "mail/intake_inside.h"

#include "base/clock.h"
#include "mail/acl_fold.h"
#include "mail/learn_inside.h"
#include "mail/maildrop_sets.h"
#include "mail/move_intent.h"
#include "mail/private.h"
#include "mail/rows.h"
#include "mail/select.h"
#include "mail/sent_inside.h"
#include "mail/tree_record.h"

#include <strings.h>
#include <time.h>

static const uint32_t removing = RIGHT_DELETED | RIGHT_EXPUNGE;

// What can refuse a batch is looked at before the first UID is given and the first record put.

struct commit_call {
    const struct intake_item *items;
    size_t n;
    const struct mailbox_ref *dest;
    const struct selection *replaced;  // in dest's account; NULL: none
    const struct move_intent *intent;  // of what goes in another account; NULL: none
    const struct record_meta *notes;
    size_t note_n;
    bool by_client;
    struct sent_twins twins;    // of the server, that go
    struct intake_result *out;  // n
    struct fault *fault;
    enum result result;
};

static int16_t
zone_now(time_t at)
{
    struct tm tm;
    localtime_r(&at, &tm);
    return (int16_t)(tm.tm_gmtoff / 60);
}

void
intake_row(const struct intake_item *item, struct message_row *row)
{
    const struct intake_params *p = &item->params;
    int64_t now = clock_wall_s();
    row->size = (uint32_t)item->intake->size;
    row->flags = p->flags;
    row->internal_date = p->has_internal_date ? p->internal_date : now;
    row->zone_min = p->has_internal_date ? p->zone_min : zone_now((time_t)now);
    row->save_date = p->save_date ? p->save_date : (uint32_t)now;
    row->emailid = p->emailid ? p->emailid : store_id_next(mail_store(item->intake->mail));
    row->threadid = p->threadid;
    row->sent = item->intake->sent;
}

static struct thread_ask
threads_of(const struct account *a, const struct commit_call *c, struct mailbox *m,
           const struct intake *in)
{
    bool foreign = private_foreign(a, private_user(a, c->dest->user));
    return (struct thread_ask){in->keys, in->key_count, foreign ? m : NULL};
}

static enum result
assign_threads(struct account *a, struct mailbox *m, const struct commit_call *c,
               struct message_row *rows, struct fault *f)
{
    for (size_t i = 0; i < c->n; i++) {
        struct thread_ask ask = threads_of(a, c, m, c->items[i].intake);
        intake_row(&c->items[i], &rows[i]);
        if (rows[i].threadid == 0 && thread_assign(a, &ask, &rows[i].threadid, f) != R_OK)
            return R_FAIL;
        if (c->n > 1)
            task_yield();
    }
    return R_OK;
}

// ---- what can refuse ----

static enum result
check_uids(struct account *a, struct mailbox *m, const struct commit_call *c,
           struct fault *f)
{
    uint64_t next = mailbox_next(a, m)->uidnext;
    for (size_t i = 0; i < c->n; i++, next++) {
        uint32_t wanted = c->items[i].params.uid;
        if (wanted > 0 && wanted < next)
            return fault_set(f, FAULT_CANNOT, "UID %u is not above UIDNEXT", wanted - 1);
        if (wanted > 0)
            next = wanted;
        if (next >= UINT32_MAX)
            return fault_set(f, FAULT_LIMIT, "mailbox has no UIDs left");
    }
    return R_OK;
}

// One message always has room.
static enum result
check_room(const struct commit_call *c, const struct store_batch *b, struct fault *f)
{
    enum { FIXED = 512, PER_KEYWORD = LIMIT_keyword + 64 };
    size_t octets = 0;
    if (c->n == 1)
        return R_OK;
    for (size_t i = 0; i < c->n; i++) {
        const struct intake *in = c->items[i].intake;
        octets += FIXED + PRIVATE_OCTETS + in->cache.n + 2 * in->packed_keys.n +
                  c->items[i].params.uidl.n +
                  c->items[i].params.keyword_count * PER_KEYWORD;
    }
    return change_room(b, store_batch_count(b) == 0, octets, f);
}

static int
name_order(const void *x, const void *y)
{
    const struct span *a = x, *b = y;
    return span_icmp(*a, *b);
}

// The keywords of all messages, each once.
static struct keyword_names
all_names(struct arena *arena, const struct commit_call *c)
{
    size_t total = 0, unique = 0;
    for (size_t i = 0; i < c->n; i++)
        total += c->items[i].params.keyword_count;
    struct span *names = arena_array(arena, total, sizeof *names);
    total = 0;
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->items[i].params.keyword_count; k++)
            names[total++] = c->items[i].params.keywords[k];
    if (total > 1)
        qsort(names, total, sizeof *names, name_order);
    for (size_t i = 0; i < total; i++)
        if (unique == 0 || !span_ieq(names[unique - 1], names[i]))
            names[unique++] = names[i];
    return (struct keyword_names){names, unique};
}

// Afterwards every keyword of the messages has its number.
static enum result
name_keywords(struct account *a, struct mailbox *m, struct store_batch *b,
              const struct commit_call *c, struct fault *f)
{
    struct keyword_list numbers;
    struct keyword_names names = all_names(a->batch_arena, c);
    return keyword_numbers(a, m, b, &names, &numbers, f);
}

// What `gone` leaves free counts, also where it is in another mailbox.
static enum result
check_quota(struct account *a, const struct commit_call *c, const struct message_row *gone,
            struct fault *f)
{
    uint64_t octets = 0, less = c->twins.octets + (gone ? gone->size : 0);
    size_t n_gone = c->twins.n + (gone ? 1 : 0);
    for (size_t i = 0; i < c->n; i++)
        octets += c->items[i].intake->size;
    return quota_room_messages(a, c->n > n_gone ? c->n - n_gone : 0,
                               octets > less ? octets - less : 0, c->items[0].params.quota,
                               f);
}

// ---- the message that goes ----

static enum result
find_replaced(struct account *a, const struct selection *sel, uint32_t *row_out,
              struct fault *f)
{
    struct mailbox *m = sel->view->mailbox;
    uint32_t *rows;
    size_t n;
    if (view_may(sel->view, removing, f) != R_OK || mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, m) == R_NONE)
        return R_NONE;
    select_rows(sel, a->batch_arena, &rows, &n);
    if (select_complete(sel, n, f) != R_OK)
        return R_FAIL;
    if (n != 1)
        return fault_set(f, FAULT_EXPUNGEISSUED, "no such message");
    *row_out = rows[0];
    return R_OK;
}

// ---- the messages that come ----

// Flags whose right is missing are not set (RFC 4314 section 4).
static struct intake_params
allowed_params(uint32_t rights, const struct intake_params *p)
{
    struct intake_params mine = *p;
    mine.flags &= acl_flags(rights);
    if (!(rights & RIGHT_WRITE))
        mine.keyword_count = 0;
    return mine;
}

// The items as the rights allow them now: one may have been revoked since the command began.
static enum result
still_allowed(struct account *a, struct commit_call *c, struct fault *f)
{
    uint32_t rights = ref_rights(c->dest);
    if (acl_check(rights, RIGHT_INSERT, f) != R_OK)
        return R_FAIL;
    if (rights == c->dest->rights)
        return R_OK;
    struct intake_item *items = arena_array(a->batch_arena, c->n, sizeof *items);
    for (size_t i = 0; i < c->n; i++) {
        items[i].intake = c->items[i].intake;
        items[i].params = allowed_params(rights, &c->items[i].params);
    }
    c->items = items;
    return R_OK;
}

static void
put_added(const struct intake *in, struct store_batch *b, struct record_added *r)
{
    struct buf meta;
    r->content_hash = span_of(in->hash, INTAKE_HASH);
    r->cache = in->cache;
    buf_init(&meta, LIMIT_record_meta);
    record_added_put(&meta, r);
    must(!meta.over);
    store_batch_add(b, RECORD_ADDED, buf_span(&meta), in->body);
    buf_done(&meta);
}

void
intake_count_in(struct account *a, struct store_batch *b, struct mailbox *m,
                const struct intake_item *item, struct message_row *row,
                struct buf *keywords)
{
    struct fault f;
    struct keyword_names names = {item->params.keywords, item->params.keyword_count};
    struct keyword_list numbers;
    struct mailbox_counts *next = mailbox_next(a, m);
    if (item->params.uid > 0)
        next->uidnext = item->params.uid;
    must(mailbox_next_uid(a, m, &row->uid, &f) == R_OK);
    must(keyword_numbers(a, m, b, &names, &numbers, &f) == R_OK);
    row->modseq = next->modseq;
    rows_count(next, row, row->flags, 1);
    buf_init(keywords, LIMIT_keywords * 5);
    for (size_t i = 0; i < numbers.n; i++)
        record_keywords_add(keywords, numbers.numbers[i]);
}

void
intake_put(struct account *a, struct store_batch *b, struct mailbox *m,
           const struct intake_item *item, struct span thread_keys, struct message_row *row)
{
    struct buf keywords;
    intake_count_in(a, b, m, item, row, &keywords);
    struct record_added r = {.mailbox = m->id,
                             .row = *row,
                             .keywords = buf_span(&keywords),
                             .thread_keys = thread_keys,
                             .counts = *mailbox_next(a, m)};
    put_added(item->intake, b, &r);
    buf_done(&keywords);
}

// What others bring keeps more (mail/home.h).
static struct span
keys_of(struct account *a, const struct commit_call *c, struct mailbox *m,
        const struct intake *in)
{
    struct thread_ask ask = threads_of(a, c, m, in);
    return ask.among ? thread_keys_pack(a->batch_arena, &ask) : in->packed_keys;
}

// What is only the user's, of messages that they put into a mailbox of somebody else, follows the messages.
static void
put_messages(struct account *a, struct store_batch *b, struct mailbox *m,
             const struct commit_call *c, struct message_row *rows)
{
    struct private_put p = {.mailbox = m, .user = private_user(a, c->dest->user)};
    uint16_t mask = private_mask(a, p.user);
    struct private_entry *mine = arena_array(a->batch_arena, c->n, sizeof *mine);
    mailbox_next(a, m)->modseq = p.modseq = change_modseq(a);
    for (size_t i = 0; i < c->n; i++) {
        uint16_t flags = rows[i].flags & mask;
        rows[i].flags &= (uint16_t)~mask;
        if (c->n > 1)
            task_yield();  // only the commit task changes what will be
        intake_put(a, b, m, &c->items[i], keys_of(a, c, m, c->items[i].intake), &rows[i]);
        c->out[i] = (struct intake_result){m->state->uidvalidity, rows[i].uid,
                                           rows[i].emailid, rows[i].threadid};
        if (c->items[i].params.uidl.n > 0)
            maildrop_uidl_note(a, b, m, rows[i].uid, c->items[i].params.uidl);
        if (c->items[i].params.quota == QUOTA_USER && !c->items[i].params.imported)
            learn_added(a, m, &rows[i]);
        if (flags != 0)
            mine[p.n++] = (struct private_entry){.uid = rows[i].uid, .flags = flags};
    }
    p.entries = mine;
    private_put(a, b, &p);
}

// The server's copies of what a client appends (mail/sent.h); those of somebody else's account are not the user's.
static enum result
find_twins(struct account *a, struct mailbox *m, struct commit_call *c,
           const struct message_row *leaves, struct fault *f)
{
    struct sent_append s = {.items = c->items, .n = c->n, .replaces = leaves || c->intent};
    if (!c->by_client || private_foreign(a, private_user(a, c->dest->user)))
        return R_OK;
    if (leaves && c->replaced->view->mailbox == m)
        s.leaves = leaves->uid;
    enum result r = sent_twins_find(a, m, &s, &c->twins, f);
    if (r == R_OK)
        c->items = c->twins.items;
    return r;
}

// What goes and what else is set in the same commit.
static void
put_others(struct account *a, struct store_batch *b, struct mailbox *m,
           const struct commit_call *c, uint32_t gone)
{
    sent_twins_put_away(a, b, m, &c->twins);
    if (c->replaced)
        rows_put_away(a, b, c->replaced->view->mailbox, RECORD_EXPUNGED, &gone, 1);
    if (c->intent)
        move_put_arrived(a, b, c->intent);
    for (size_t i = 0; i < c->note_n; i++) {
        struct record_meta note = c->notes[i];
        note.modseq = change_modseq(a);
        tree_put_meta(b, &note);
    }
}

static enum result
intake_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct commit_call now = *(const struct commit_call *)arg, *c = &now;
    struct mailbox *m = mailbox_of(a, c->dest->mailbox);
    struct message_row *rows;
    uint32_t gone = 0;
    enum result r;
    if (!m || (m->state->flags & MAILBOX_NOSELECT))
        return fault_set(f, FAULT_TRYCREATE, "mailbox is gone");
    if (still_allowed(a, c, f) != R_OK)
        return R_FAIL;
    if (c->replaced && (r = find_replaced(a, c->replaced, &gone, f)) != R_OK)
        return r;
    const struct message_row *leaves =
        c->replaced ? &c->replaced->view->mailbox->state->rows[gone] : NULL;
    if ((r = find_twins(a, m, c, leaves, f)) != R_OK)
        return r;
    if (c->twins.same)
        return sent_twin_merge(a, b, m, &c->twins, c->out, f);
    struct commit_call marked = *c;
    marked.items = intake_marked(a->batch_arena, m, c->items, c->n);
    if ((r = check_room(&marked, b, f)) != R_OK || (r = check_uids(a, m, c, f)) != R_OK)
        return r;
    rows = arena_array(a->batch_arena, c->n, sizeof *rows);
    if (assign_threads(a, m, c, rows, f) != R_OK || check_quota(a, c, leaves, f) != R_OK)
        return R_FAIL;
    if (name_keywords(a, m, b, &marked, f) != R_OK) {
        marked.items = c->items;  // no room for more keywords: then without marks
        if (f->kind != FAULT_LIMIT || name_keywords(a, m, b, &marked, f) != R_OK)
            return R_FAIL;
    }
    put_messages(a, b, m, &marked, rows);
    put_others(a, b, m, c, gone);
    return R_OK;
}

static void
commit_run(void *arg)
{
    struct commit_call *c = arg;
    struct change_by by = {.view = c->replaced ? c->replaced->view : NULL,
                           .user = c->dest->user};
    c->result = account_change(c->dest->account, intake_change, c, 0, &by, c->fault);
}

// ---- a message of another account that goes ----

struct leave_call {
    const struct selection *selection;
    const struct move_intent *intent;  // NULL: only look whether it is there
    uint32_t uid;                      // out
    struct fault *fault;
    enum result result;
};

static enum result
look_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct leave_call *c = arg;
    uint32_t row = 0;
    (void)b;
    enum result r = find_replaced(a, c->selection, &row, f);
    if (r == R_OK)
        c->uid = c->selection->view->mailbox->state->rows[row].uid;
    return r;
}

// What came is there: what may not go any more stays beside it, as with MOVE.
static enum result
leave_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct leave_call *c = arg;
    uint32_t row = 0;
    enum result r = find_replaced(a, c->selection, &row, f);
    bool stays = r == R_FAIL && (f->kind == FAULT_NOPERM || f->kind == FAULT_NONEXISTENT ||
                                 f->kind == FAULT_EXPUNGEISSUED);
    if (r != R_OK && !stays)
        return r;
    if (r == R_OK)
        rows_put_away(a, b, c->selection->view->mailbox, RECORD_EXPUNGED, &row, 1);
    move_put_left(a, b, c->intent);
    return R_OK;
}

static void
leave_run(void *arg)
{
    struct leave_call *c = arg;
    const struct view *v = c->selection->view;
    c->result = account_change(v->account, c->intent ? leave_change : look_change, c, 0,
                               &v->by, c->fault);
}

static enum result
allowed(const struct intake_batch *batch, const struct mailbox_ref *dest, struct fault *f)
{
    const struct view *from = batch->replaced ? batch->replaced->view : NULL;
    if (acl_check(dest->rights, RIGHT_INSERT, f) != R_OK)
        return R_FAIL;
    if (from && (from->read_only || (from->rights & removing) != removing))
        return fault_set(f, FAULT_NOPERM, "no right to remove here");
    return R_OK;
}

// The intent, what comes, then what goes (mail/move_intent.h): at worst both are there, never none.
static enum result
commit_across(struct commit_call *c, const struct selection *replaced, struct fault *f)
{
    struct account *source = view_account(replaced->view), *target = c->dest->account;
    struct leave_call leave = {.selection = replaced, .fault = f};
    struct move_intent intent = {
        .source = source->id, .target = target->id, .replaces = true};
    struct arena *arena = arena_new_small();
    struct seqset uid;
    account_run(source, leave_run, &leave);
    seqset_init(&uid, arena);
    if (leave.result == R_OK)
        seqset_add(&uid, leave.uid);
    enum result r = leave.result;
    if (r == R_OK)
        r = move_begin(source, replaced->view->mailbox_id, &uid, &intent, f);
    arena_free(&arena);
    if (r != R_OK)
        return R_FAIL;
    c->intent = &intent;
    account_run(target, commit_run, c);
    c->intent = NULL;
    if (c->result != R_OK) {
        move_abandon(source, &intent);
        return R_FAIL;
    }
    leave.intent = &intent;
    account_run(source, leave_run, &leave);
    if (leave.result == R_OK)
        move_end(target, &intent);
    else
        move_undo(source, target, &intent);
    return leave.result;
}

enum result
intake_commit_all(const struct intake_batch *batch, const struct mailbox_ref *where,
                  struct intake_result *out, struct fault *f)
{
    const struct selection *replaced = batch->replaced;
    const struct mailbox_ref now = ref_now(where), *dest = &now;
    bool here = replaced && view_account(replaced->view) == dest->account;
    if (allowed(batch, dest, f) != R_OK)
        return R_FAIL;
    struct arena *arena = arena_new_small();
    struct intake_item *items = arena_array(arena, batch->n, sizeof *items);
    struct intake_result *done = arena_array(arena, batch->n, sizeof *done);
    for (size_t i = 0; i < batch->n; i++) {
        must(batch->items[i].intake->finished);
        items[i].intake = batch->items[i].intake;
        items[i].params = allowed_params(dest->rights, &batch->items[i].params);
    }
    struct commit_call c = {.items = items,
                            .n = batch->n,
                            .dest = dest,
                            .replaced = here ? replaced : NULL,
                            .notes = batch->notes,
                            .note_n = batch->note_n,
                            .by_client = batch->by_client,
                            .out = done,
                            .fault = f,
                            .result = R_FAIL};
    enum result r = R_OK;
    if (replaced && !here)
        r = commit_across(&c, replaced, f);
    else
        account_run(dest->account, commit_run, &c);
    if (r == R_OK)
        r = c.result;
    if (r == R_OK)
        memcpy(out, done, batch->n * sizeof *out);
    arena_free(&arena);
    return r;
}

enum result
intake_commit(struct intake *in, const struct mailbox_ref *dest,
              const struct intake_params *p, struct intake_result *out, struct fault *f)
{
    struct intake_item item = {in, *p};
    return intake_commit_all(&(struct intake_batch){.items = &item, .n = 1}, dest, out, f);
}
