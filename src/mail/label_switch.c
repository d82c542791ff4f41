#include "mail/labels.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/flag_groups.h"
#include "mail/folders.h"
#include "mail/label_mode.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/rows.h"
#include "mail/tree_record.h"

// A row of the account; sorted, the copies of a message stand together.
struct copy_of {
    uint64_t emailid;
    struct mailbox *mailbox;
    uint32_t index;
};
struct new_row {
    const struct message_row *row;
    struct row_flags now;  // numbers of \All
};
struct new_flags {
    struct copy_of copy;  // first: ordered by place_order
    struct row_flags now;
};

struct switch_call {
    struct account *account;
    struct arena *arena;
    struct label_switch *out;
    struct fault *fault;
    enum result result;
};

struct switching {
    struct switch_call *call;
    struct account *account;
    struct store_batch *batch;
    struct mailbox *all;      // NULL: would be made (dry run)
    struct mailbox *numbers;  // whose keyword numbers stand for the message's
    struct copy_of *copies;
    size_t n;
    struct new_row *added;
    struct new_flags *flags;
    struct copy_of *removed;
    size_t added_n, flags_n, removed_n;
    struct fault *fault;
};

// ---- all rows of the account ----

static int
place_order(const void *pa, const void *pb)
{
    const struct copy_of *a = pa, *b = pb;
    if (a->mailbox->id != b->mailbox->id)
        return a->mailbox->id < b->mailbox->id ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int
copy_order(const void *pa, const void *pb)
{
    const struct copy_of *a = pa, *b = pb;
    if (a->emailid != b->emailid)
        return a->emailid < b->emailid ? -1 : 1;
    return place_order(a, b);
}

static enum result
load_all(struct switching *s)
{
    struct account *a = s->account;
    size_t total = 0;
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        struct mailbox *m = mailbox_of(a, account_state(a)->mailboxes[i]->id);
        total += m->state->counts.exists;
        if (m->state->counts.exists > 0 && mailbox_load(a, m, s->fault) != R_OK)
            return R_FAIL;
    }
    s->copies = arena_array(a->batch_arena, total, sizeof *s->copies);
    s->removed = arena_array(a->batch_arena, total, sizeof *s->removed);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        struct mailbox *m = mailbox_of(a, account_state(a)->mailboxes[i]->id);
        mailbox_next(a, m);
        for (uint32_t k = 0; k < m->state->counts.exists; k++)
            s->copies[s->n++] = (struct copy_of){m->state->rows[k].emailid, m, k};
    }
    if (s->n > 1)
        qsort(s->copies, s->n, sizeof *s->copies, copy_order);
    return R_OK;
}

static const struct message_row *
row_of(const struct copy_of *c)
{
    return &c->mailbox->state->rows[c->index];
}

static struct row_flags
flags_of(const struct copy_of *c)
{
    struct row_flags now = {.flags = row_of(c)->flags};
    now.keywords =
        keyword_sets_get(c->mailbox->state->sets, row_of(c)->keywords, &now.keyword_count);
    return now;
}

typedef enum result message_fn(struct switching *s, struct copy_of *copies, size_t n);

static enum result
each_message(struct switching *s, message_fn *fn)
{
    for (size_t i = 0, end; i < s->n; i = end) {
        for (end = i; end < s->n && s->copies[end].emailid == s->copies[i].emailid;)
            end++;
        if (fn(s, s->copies + i, end - i) != R_OK)
            return R_FAIL;
        yield_at(++s->call->out->messages);
    }
    return R_OK;
}

// ---- to labels mode ----

// Union of sorted numbers.
static void
unite(struct account *a, struct row_flags *all, const struct row_flags *more)
{
    size_t room = all->keyword_count + more->keyword_count, n = 0, i = 0, k = 0;
    uint32_t *numbers = arena_array(a->batch_arena, room, sizeof *numbers);
    while (i < all->keyword_count || k < more->keyword_count) {
        bool left = k == more->keyword_count ||
                    (i < all->keyword_count && all->keywords[i] <= more->keywords[k]);
        uint32_t number = left ? all->keywords[i] : more->keywords[k];
        i += i < all->keyword_count && all->keywords[i] == number;
        k += k < more->keyword_count && more->keywords[k] == number;
        numbers[n++] = number;
    }
    all->flags |= more->flags;
    all->keywords = numbers;
    all->keyword_count = n;
}

// What the message has, in \All's numbers.
static enum result
united(struct switching *s, const struct copy_of *copies, size_t n, struct row_flags *out)
{
    *out = (struct row_flags){0};
    for (size_t i = 0; i < n; i++) {
        struct row_flags now = flags_of(&copies[i]);
        if (label_keywords(s->account, s->batch, copies[i].mailbox, s->numbers, &now,
                           s->fault) != R_OK)
            return R_FAIL;
        unite(s->account, out, &now);
    }
    out->flags &= (uint16_t)~FLAG_DELETED;
    return R_OK;
}

static enum result
level(struct switching *s, const struct copy_of *c, const struct row_flags *all)
{
    struct row_flags had = flags_of(c), now = *all;
    now.flags |= had.flags & FLAG_DELETED;
    if (label_keywords(s->account, s->batch, s->numbers, c->mailbox, &now, s->fault) !=
        R_OK)
        return R_FAIL;
    if (now.flags != had.flags || !flag_same_keywords(now.keywords, now.keyword_count,
                                                      had.keywords, had.keyword_count))
        s->flags[s->flags_n++] = (struct new_flags){*c, now};
    return R_OK;
}

static enum result
join_message(struct switching *s, struct copy_of *copies, size_t n)
{
    struct row_flags all;
    bool held = false;
    if (united(s, copies, n, &all) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        held |= copies[i].mailbox == s->all;
        if (i > 0 && copies[i].mailbox == copies[i - 1].mailbox)
            s->removed[s->removed_n++] = copies[i];
        else if (n > 1 && level(s, &copies[i], &all) != R_OK)
            return R_FAIL;
    }
    if (!held)
        s->added[s->added_n++] = (struct new_row){row_of(&copies[0]), all};
    return R_OK;
}

static int
date_order(const void *pa, const void *pb)
{
    const struct message_row *a = ((const struct new_row *)pa)->row,
                             *b = ((const struct new_row *)pb)->row;
    if (a->internal_date != b->internal_date)
        return a->internal_date < b->internal_date ? -1 : 1;
    return a->emailid < b->emailid ? -1 : a->emailid > b->emailid;
}

static enum result
put_added(struct switching *s)
{
    struct account *a = s->account;
    struct mailbox_counts *next = mailbox_next(a, s->all);
    struct buf packed;
    enum result r = R_OK;
    if (s->added_n == 0)
        return R_OK;
    qsort(s->added, s->added_n, sizeof *s->added, date_order);
    buf_init(&packed, LIMIT_record_meta);
    next->modseq = change_modseq(a);
    for (size_t i = 0; i < s->added_n && r == R_OK; i++) {
        struct message_row row = *s->added[i].row;
        const struct row_flags *now = &s->added[i].now;
        row.modseq = next->modseq;
        r = mailbox_next_uid(a, s->all, &row.uid, s->fault);
        rows_count(next, &row, now->flags, 1);
        rows_add(&packed, &row, now, now->keywords, now->keyword_count);
    }
    if (r == R_OK)
        r = change_room(s->batch, true, packed.over ? SIZE_MAX : packed.n, s->fault);
    if (r == R_OK)
        rows_put_copied(s->batch, s->all->id, next, buf_span(&packed));
    buf_done(&packed);
    return r;
}

static enum result
put_flags_of(struct switching *s, const struct new_flags *list, size_t n)
{
    struct mailbox *m = list[0].copy.mailbox;
    struct flag_groups groups;
    flag_groups_init(&groups);
    for (size_t i = 0; i < n; i++) {
        const struct message_row *row = row_of(&list[i].copy);
        flag_groups_recount(mailbox_next(s->account, m), row->flags, list[i].now.flags);
        flag_groups_add(&groups, list[i].copy.index, row->uid, &list[i].now);
    }
    enum result r = flag_groups_put(s->account, s->batch, m, &groups, true, s->fault);
    flag_groups_done(&groups);
    return r;
}

static enum result
put_flags(struct switching *s)
{
    if (s->flags_n > 1)
        qsort(s->flags, s->flags_n, sizeof *s->flags, place_order);
    for (size_t i = 0, end; i < s->flags_n; i = end) {
        const struct mailbox *m = s->flags[i].copy.mailbox;
        for (end = i; end < s->flags_n && s->flags[end].copy.mailbox == m;)
            end++;
        if (put_flags_of(s, s->flags + i, end - i) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
put_removed(struct switching *s)
{
    enum { RANGE = 16 };
    struct seqset uids;
    if (change_room(s->batch, true, s->removed_n * RANGE, s->fault) != R_OK)
        return R_FAIL;
    if (s->removed_n > 1)
        qsort(s->removed, s->removed_n, sizeof *s->removed, place_order);
    for (size_t i = 0; i < s->removed_n;) {
        struct mailbox *m = s->removed[i].mailbox;
        seqset_init(&uids, s->account->batch_arena);
        for (; i < s->removed_n && s->removed[i].mailbox == m; i++) {
            const struct message_row *row = row_of(&s->removed[i]);
            seqset_add(&uids, row->uid);
            rows_count(mailbox_next(s->account, m), row, row->flags, -1);
        }
        rows_put_expunged(s->account, s->batch, m, RECORD_MOVED, &uids);
    }
    return R_OK;
}

static void
put_mailbox(struct switching *s, enum special_use use, uint8_t flags)
{
    const struct mailbox_state *m = s->all->state;
    struct record_mailbox r = {m->id,   m->parent,      change_modseq(s->account),
                               m->name, m->uidvalidity, (uint8_t)use,
                               flags};
    tree_put_mailbox(s->batch, &r);
}

static enum result
to_labels(struct switching *s)
{
    struct label_switch *out = s->call->out;
    if (load_all(s) != R_OK)
        return R_FAIL;
    s->added = arena_array(s->account->batch_arena, s->n, sizeof *s->added);
    s->flags = arena_array(s->account->batch_arena, s->n, sizeof *s->flags);
    if (each_message(s, join_message) != R_OK)
        return R_FAIL;
    out->added = s->added_n;
    out->copies = s->removed_n;
    out->flags = s->flags_n;
    if (out->dry_run)
        return R_OK;
    // second copies go last, so that their flags are in the counts that are changed before
    if (put_added(s) != R_OK || put_flags(s) != R_OK || put_removed(s) != R_OK)
        return R_FAIL;
    put_mailbox(s, USE_ALL, 0);
    label_mode_put(s->account, s->batch, true, s->all->id);
    return quota_grown(s->account, QUOTA_USER, s->fault);
}

// ---- to folders mode ----

static enum result
part_message(struct switching *s, struct copy_of *copies, size_t n)
{
    size_t in_all = n;
    for (size_t i = 0; i < n; i++)
        if (copies[i].mailbox == s->all)
            in_all = i;
    if (in_all == n)
        return R_OK;
    if (n == 1)
        s->call->out->alone++;
    else
        s->removed[s->removed_n++] = copies[in_all];
    return R_OK;
}

static enum result
to_folders(struct switching *s)
{
    struct label_switch *out = s->call->out;
    if (load_all(s) != R_OK || each_message(s, part_message) != R_OK)
        return R_FAIL;
    out->removed = s->removed_n;
    out->kept = out->alone > 0 || name_has_children(account_state(s->account), s->all->id);
    if (out->dry_run)
        return R_OK;
    if (put_removed(s) != R_OK)
        return R_FAIL;
    if (out->kept) {
        put_mailbox(s, USE_NONE, 0);
    } else {
        struct record_mailbox_gone gone = {s->all->id, change_modseq(s->account),
                                           clock_wall_s()};
        tree_put_gone(s->batch, &gone);
    }
    label_mode_put(s->account, s->batch, false, out->kept ? s->all->id : 0);
    return R_OK;
}

// ---- the mailbox ----

static struct span
free_name(struct switch_call *c)
{
    static const char *const names[] = {"All Mail", "All Mail 2", "All Mail 3",
                                        "All Mail 4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!name_find(c->account, span_str(names[i])))
            return span_str(names[i]);
    return SPAN_NONE;
}

// Empty, and a level only: nobody can select it before the switch.
static enum result
make_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct switch_call *c = arg;
    struct span name = free_name(c);
    if (!name.p)
        return fault_set(f, FAULT_ALREADYEXISTS, "All Mail 1 to 4 exist");
    if (tree_room_for(a, name, f) != R_OK)
        return R_FAIL;
    struct record_mailbox r = {.id = store_id_next(mail_store(a->mail)),
                               .modseq = change_modseq(a),
                               .name = name,
                               .uidvalidity = tree_uidvalidity(a, b),
                               .flags = MAILBOX_NOSELECT};
    tree_put_mailbox(b, &r);
    tree_put_subscribe(b, name, true);
    label_mode_put(a, b, false, r.id);
    return R_OK;
}

static enum result
switch_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct switch_call *c = arg;
    struct switching s = {.call = c, .account = a, .batch = b, .fault = f};
    uint64_t all;
    label_mode(a, &all);
    s.all = all ? mailbox_of(a, all) : NULL;
    s.numbers = s.all ? s.all : mailbox_of(a, name_find(a, SPAN("INBOX"))->id);
    if (!s.all && !(c->out->on && c->out->dry_run))
        return fault_set(f, FAULT_NONEXISTENT, "the mailbox with all messages is gone");
    c->out->all =
        s.all ? name_full(c->arena, account_state(a), s.all->state) : free_name(c);
    enum result r = c->out->on ? to_labels(&s) : to_folders(&s);
    if (c->out->dry_run)
        store_batch_cut(b, 0);
    return r;
}

static void
switch_run(void *arg)
{
    struct switch_call *c = arg;
    struct account *a = c->account;
    uint64_t all;
    c->out->was = label_mode(a, &all);
    c->result = R_OK;
    if (c->out->was == c->out->on)
        return;
    c->out->made = c->out->on && (all == 0 || !state_mailbox(account_state(a), all));
    if (c->out->made && !c->out->dry_run)
        c->result = account_change(a, make_change, c, CHANGE_ALONE, NULL, c->fault);
    if (c->result == R_OK)
        c->result = account_change(a, switch_change, c, CHANGE_ALONE | CHANGE_OF_MODE, NULL,
                                   c->fault);
}

enum result
label_switch(struct mail_user *u, bool on, bool dry_run, struct arena *a,
             struct label_switch *out, struct fault *f)
{
    struct label_switch done = {.on = on, .dry_run = dry_run};
    struct switch_call c = {
        .account = mail_user_account(u), .arena = a, .out = &done, .fault = f};
    account_run(c.account, switch_run, &c);
    if (c.result == R_OK)
        *out = done;
    return c.result;
}
