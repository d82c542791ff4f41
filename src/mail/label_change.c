#include "mail/labels.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/flag_groups.h"
#include "mail/label_index.h"
#include "mail/label_mode.h"
#include "mail/learn_inside.h"
#include "mail/name.h"
#include "mail/private.h"
#include "mail/select.h"

// STORE of labels. It runs alone in its batch, so that what the index tells is what will be.

// A copy of an addressed message in a mailbox; uid 0: all its copies there.
struct copy_at {
    uint32_t slot, uid;
    uint64_t emailid;
};
struct copies {
    struct copy_at *list;
    size_t n, room;
};

struct labels_call {
    struct view *view;
    const struct selection *selection;
    const struct label_change *change;
    struct arena *arena;
    struct label_result *out;
    struct fault *fault;
    enum result result;
    struct addressed addressed;
};

struct work {
    struct labels_call *call;
    struct account *account;
    struct mailbox *mailbox;
    struct store_batch *batch;
    uint32_t *rows;  // addressed
    size_t n;
    bool *changed;          // which of them get or lose a label, or a flag
    struct copies removed;  // leave their mailbox
    struct copies kept;     // stay where they are, with other labels
    struct keyword_list important;
    struct private_entry *mine;
    size_t mine_n;
    uint64_t all;
    // private.h: flags of a foreign user that are in `mine` and not in the rows, and the owner's of which others are not told
    uint16_t in_set, apart;
    bool labels;  // labels mode: the other copies follow (label_mode.h)
    bool orphan;  // a message would be in no mailbox that the user may look up
};

static void
copies_add(struct account *a, struct copies *c, const struct label_place *p)
{
    c->list = arena_grow(a->batch_arena, c->list, c->n, &c->room, sizeof *c->list);
    c->list[c->n++] = (struct copy_at){p->slot, p->count == 1 ? p->uid : 0, p->emailid};
}

static bool
names_mailbox(const struct label_change *c, uint64_t mailbox)
{
    for (size_t i = 0; i < c->target_count; i++)
        if (c->targets[i].mailbox == mailbox)
            return true;
    return false;
}

// ---- which mailboxes a message leaves ----

static bool
is_label(const struct work *w, uint64_t mailbox)
{
    const struct mailbox_state *m = state_mailbox(account_state(w->account), mailbox);
    return m && !(m->flags & MAILBOX_NOSELECT) && m->special_use != USE_ALL;
}

static bool
leaves(const struct work *w, uint64_t mailbox)
{
    const struct label_change *c = w->call->change;
    if (c->op == FLAG_OP_ADD || !is_label(w, mailbox))
        return false;
    bool named = names_mailbox(c, mailbox);
    return c->op == FLAG_OP_REMOVE ? named : !named && mailbox != w->mailbox->id;
}

// What may not be looked up is, to the user, as if it were not there; but each message is in the one with all.
static bool
is_seen(const struct work *w, uint64_t mailbox)
{
    const struct acl_who *who = w->call->view->user.who;
    return !who || (w->labels && mailbox == w->all) ||
           acl_rights(who, w->account, mailbox) != 0;
}

static bool
stays_somewhere(const struct work *w, uint64_t emailid)
{
    const struct account *a = w->account;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        uint64_t mailbox = label_slot_mailbox(a, p->slot);
        const struct mailbox_state *m = state_mailbox(account_state(w->account), mailbox);
        if (m && !(m->flags & MAILBOX_NOSELECT) && !leaves(w, mailbox) &&
            is_seen(w, mailbox))
            return true;
    }
    return w->call->change->op != FLAG_OP_REMOVE && w->call->change->target_count > 0;
}

static void
plan_removals(struct work *w, size_t i)
{
    struct account *a = w->account;
    uint64_t emailid = w->mailbox->state->rows[w->rows[i]].emailid;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        if (!leaves(w, label_slot_mailbox(a, p->slot)))
            continue;
        copies_add(a, &w->removed, p);
        w->changed[i] = true;
    }
    w->orphan |= w->changed[i] && !stays_somewhere(w, emailid);
}

static void
plan_kept(struct work *w, size_t i)
{
    struct account *a = w->account;
    uint64_t emailid = w->mailbox->state->rows[w->rows[i]].emailid;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        uint64_t mailbox = label_slot_mailbox(a, p->slot);
        if (mailbox != w->mailbox->id && !leaves(w, mailbox))
            copies_add(a, &w->kept, p);
    }
}

// ---- copies, by mailbox ----

static int
copy_order(const void *pa, const void *pb)
{
    const struct copy_at *a = pa, *b = pb;
    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static int
emailid_order(const void *pa, const void *pb)
{
    const struct copy_at *a = pa, *b = pb;
    return a->emailid < b->emailid ? -1 : a->emailid > b->emailid;
}

// Every row of the mailbox that is a copy of one of these messages.
static void
find_all_copies(const struct mailbox *m, struct copy_at *list, size_t n, struct seqset *out)
{
    qsort(list, n, sizeof *list, emailid_order);
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        struct copy_at key = {.emailid = m->state->rows[i].emailid};
        if (bsearch(&key, list, n, sizeof *list, emailid_order))
            seqset_add(out, m->state->rows[i].uid);
    }
}

// UIDs of the copies in one mailbox: list[0].slot's. Its table is loaded.
static enum result
copies_uids(struct work *w, struct copy_at *list, size_t n, struct mailbox **m_out,
            struct seqset *out, struct fault *f)
{
    struct account *a = w->account;
    struct mailbox *m = mailbox_of(a, label_slot_mailbox(a, list[0].slot));
    must(m != NULL);
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    seqset_init(out, a->batch_arena);
    if (list[0].uid == 0)
        find_all_copies(m, list, n, out);
    else
        for (size_t i = 0; i < n; i++)
            seqset_add(out, list[i].uid);
    *m_out = m;
    return R_OK;
}

typedef enum result copies_fn(struct work *w, struct mailbox *m, const struct seqset *uids,
                              struct fault *f);

static enum result
each_mailbox(struct work *w, struct copies *c, copies_fn *fn, struct fault *f)
{
    if (c->n > 1)
        qsort(c->list, c->n, sizeof *c->list, copy_order);
    for (size_t i = 0, end; i < c->n; i = end) {
        struct mailbox *m;
        struct seqset uids;
        for (end = i; end < c->n && c->list[end].slot == c->list[i].slot;)
            end++;
        if (copies_uids(w, c->list + i, end - i, &m, &uids, f) != R_OK ||
            fn(w, m, &uids, f) != R_OK)
            return R_FAIL;
        task_yield();
    }
    return R_OK;
}

static bool
adds_trash(const struct work *w)
{
    const struct label_change *c = w->call->change;
    bool trash = false;
    for (size_t i = 0; c->op != FLAG_OP_REMOVE && i < c->target_count; i++) {
        const struct mailbox *m = mailbox_of(w->account, c->targets[i].mailbox);
        trash |= m && m->state->special_use == USE_TRASH;
    }
    return trash;
}

static void
teach_left(struct work *w, const struct mailbox *m, const struct seqset *uids)
{
    struct seqset_iter i = {0};
    uint32_t uid;
    while (seqset_next(uids, &i, &uid))
        learn_left(w->account, m, &m->state->rows[rows_index(m, uid)]);
}

static enum result
put_gone(struct work *w, struct mailbox *m, const struct seqset *uids, struct fault *f)
{
    if (!adds_trash(w))
        teach_left(w, m, uids);
    return rows_put_gone(w->account, w->batch, m, RECORD_MOVED, uids, f);
}

// Nothing but the modseq changes.
static enum result
put_touched(struct work *w, struct mailbox *m, const struct seqset *uids, struct fault *f)
{
    struct flag_groups groups;
    struct seqset_iter i = {0};
    struct row_flags now;
    uint32_t uid;
    mailbox_next(w->account, m);
    flag_groups_init(&groups);
    while (seqset_next(uids, &i, &uid)) {
        uint32_t row = rows_index(m, uid);
        must(pending_get(w->account, m, &m->state->rows[row], &now) == R_OK);
        flag_groups_add(&groups, row, uid, &now);
    }
    enum result r = flag_groups_put(w->account, w->batch, m, &groups, true, f);
    flag_groups_done(&groups);
    return r;
}

// ---- \Starred and \Important ----

static bool
outcome(const struct label_change *c, bool named, bool now)
{
    if (c->op == FLAG_OP_SET)
        return named;
    return named ? c->op == FLAG_OP_ADD : now;
}

enum { DIFFERS_STARRED = 1, DIFFERS_IMPORTANT = 2 };

static void
change_mine(struct work *w, uint32_t uid, uint16_t flags)
{
    w->mine[w->mine_n++] = (struct private_entry){.uid = uid, .flags = flags};
}

static void
plan_mine(struct work *w, const struct message_row *row)
{
    struct message_row seen = *row;
    private_overlay(w->call->view, &seen, false);
    bool now = seen.flags & FLAG_FLAGGED;
    if (outcome(w->call->change, w->call->change->starred, now) != now)
        change_mine(w, row->uid, (seen.flags ^ FLAG_FLAGGED) & w->in_set);
}

// The flags a message will have; 0 when they are no others.
static unsigned
flags_after(struct work *w, const struct message_row *row, struct row_flags *now)
{
    const struct label_change *c = w->call->change;
    must(pending_get(w->account, w->mailbox, row, now) == R_OK);
    bool had = now->flags & FLAG_FLAGGED;
    bool other = !(w->in_set & FLAG_FLAGGED) && outcome(c, c->starred, had) != had;
    if (other)
        now->flags ^= FLAG_FLAGGED;
    if (w->important.n == 0)
        return other ? DIFFERS_STARRED : 0;
    uint32_t number = w->important.numbers[0];
    bool has = flag_has_keyword(now, number), will = outcome(c, c->important, has);
    if (has != will)
        flag_toggle_keyword(w->account, now, number, will);
    return (other ? DIFFERS_STARRED : 0) | (has != will ? DIFFERS_IMPORTANT : 0);
}

// For who asks which flags changed (change.h).
static void
tell_changed(struct work *w, uint32_t uid, unsigned differs)
{
    static const struct span names[] = {[DIFFERS_STARRED] = SPAN("\\Flagged"),
                                        [DIFFERS_IMPORTANT] = SPAN("$Important"),
                                        [DIFFERS_STARRED | DIFFERS_IMPORTANT] =
                                            SPAN("\\Flagged $Important")};
    struct flag_result *out = &w->call->out->flags;
    if (!out->changed)
        out->changed = arena_array(w->call->arena, w->n, sizeof *out->changed);
    out->changed[out->changed_count++] =
        (struct flag_difference){.uid = uid, .names = names[differs]};
}

static enum result
important_number(struct work *w, struct fault *f)
{
    const struct label_change *c = w->call->change;
    struct span name = SPAN("$Important");
    struct keyword_names names = {&name, 1};
    bool makes = c->important && c->op != FLAG_OP_REMOVE;
    return keyword_numbers(w->account, w->mailbox, makes ? w->batch : NULL, &names,
                           &w->important, f);
}

// ---- the change ----

static bool
plan_adds(const struct work *w, uint64_t emailid)
{
    const struct label_change *c = w->call->change;
    for (size_t i = 0; c->op != FLAG_OP_REMOVE && i < c->target_count; i++)
        if (!label_held(w->account, emailid, c->targets[i].mailbox))
            return true;
    return false;
}

// A change of \Flagged alone, of an owner whose own it is, is no news for others.
static void
plan_flags(struct work *w, size_t i)
{
    struct row_flags now;
    const struct message_row *row = &w->mailbox->state->rows[w->rows[i]];
    unsigned differs = flags_after(w, row, &now);
    if (differs == 0)
        return;
    tell_changed(w, row->uid, differs);
    if (!w->changed[i] && differs == DIFFERS_STARRED && (w->apart & FLAG_FLAGGED)) {
        change_mine(w, row->uid, now.flags & w->apart);
        return;
    }
    w->changed[i] = true;
    pending_set(w->account, w->mailbox, row->uid, &now);
}

static void
plan(struct work *w)
{
    const struct message_row *rows = w->mailbox->state->rows;
    w->changed = arena_array(w->account->batch_arena, w->n, sizeof *w->changed);
    w->mine = arena_array(w->account->batch_arena, w->n, sizeof *w->mine);
    for (size_t i = 0; i < w->n; i++) {
        const struct message_row *row = &rows[w->rows[i]];
        plan_removals(w, i);
        w->changed[i] |= plan_adds(w, row->emailid);
        if (w->changed[i] && !w->labels)
            plan_kept(w, i);
        if (w->in_set & FLAG_FLAGGED)
            plan_mine(w, row);
        plan_flags(w, i);
        yield_at(i);
    }
}

static uint32_t
target_rights(const struct work *w, const struct label_target *t)
{
    const struct acl_who *who = w->call->view->user.who;
    return who ? t->rights & acl_rights(who, w->account, t->mailbox) : t->rights;
}

// RFC 4314 section 4, of the commands that this stands for.
static enum result
rights_allow(const struct work *w, struct fault *f)
{
    const uint32_t removing = RIGHT_DELETED | RIGHT_EXPUNGE;
    const struct label_change *c = w->call->change;
    uint32_t rights = w->call->view->rights;
    bool flags = HASH_COUNT(w->account->pending) > 0 || w->mine_n > 0;
    if (w->removed.n > 0 && (rights & removing) != removing)
        return fault_set(f, FAULT_NOPERM, "no right to remove");
    if (flags && !(rights & RIGHT_WRITE))
        return fault_set(f, FAULT_NOPERM, "no right to change flags");
    for (size_t i = 0; c->op != FLAG_OP_REMOVE && i < c->target_count; i++)
        if (!(target_rights(w, &c->targets[i]) & RIGHT_INSERT) &&
            c->targets[i].mailbox != w->mailbox->id)
            return fault_set(f, FAULT_NOPERM, "no right to insert there");
    if (w->labels && c->op == FLAG_OP_REMOVE && names_mailbox(c, w->all))
        return fault_set(f, FAULT_CANNOT, "every message is in this one");
    for (size_t i = 0; c->op == FLAG_OP_REMOVE && i < c->target_count; i++)
        if ((target_rights(w, &c->targets[i]) & removing) != removing)
            return fault_set(f, FAULT_NOPERM, "no right to remove there");
    if (w->orphan)
        return fault_set(f, FAULT_CANNOT, "a message would be in no mailbox");
    return R_OK;
}

static void
tell_gain(struct work *w, const struct label_target *t, const struct seqset *uids)
{
    struct label_result *out = w->call->out;
    if (!out->gains)
        out->gains =
            arena_array(w->call->arena, w->call->change->target_count, sizeof *out->gains);
    struct label_gain *gain = &out->gains[out->gain_count++];
    gain->target = t;
    seqset_init(&gain->uids, w->call->arena);
    for (uint32_t i = 0; i < uids->count; i++)
        seqset_add_range(&gain->uids, uids->ranges[i].first, uids->ranges[i].last);
}

static enum result
put_copies(struct work *w, const struct label_target *t, struct fault *f)
{
    struct account *a = w->account;
    struct mailbox *to = mailbox_of(a, t->mailbox);
    struct rows_copy c = {w->mailbox, to, w->rows, w->n, true, ~target_rights(w, t)};
    struct copy_result done = {0};
    if (!to || (to->state->flags & MAILBOX_NOSELECT))
        return fault_set(f, FAULT_TRYCREATE, "label is gone");
    if (rows_not_held(a, &c, f) != R_OK)
        return R_FAIL;
    seqset_init(&done.source, a->batch_arena);
    seqset_init(&done.target, a->batch_arena);
    if (c.n == 0)
        return R_OK;
    if (rows_copy(a, w->batch, &c, &done, f) != R_OK)
        return R_FAIL;
    tell_gain(w, t, &done.target);
    return R_OK;
}

static enum result
put_mine(struct work *w, struct fault *f)
{
    const struct labels_call *c = w->call;
    const struct private_put p = {
        w->mailbox, c->view->mine.set->user, c->out->flags.modseq, w->mine, w->mine_n, 0};
    if (p.n > 0 &&
        change_room(w->batch, true, p.n * PRIVATE_OCTETS + PRIVATE_RECORD, f) != R_OK)
        return R_FAIL;
    private_put(w->account, w->batch, &p);
    return R_OK;
}

// The messages that stay here: their new flags, or the modseq alone.
static enum result
put_here(struct work *w, struct fault *f)
{
    struct seqset uids;
    if (!w->labels && leaves(w, w->mailbox->id))
        return R_OK;
    seqset_init(&uids, w->account->batch_arena);
    for (size_t i = 0; i < w->n; i++) {
        const struct message_row *row = &w->mailbox->state->rows[w->rows[i]];
        struct row_flags now;
        if (!w->changed[i])
            continue;
        seqset_add(&uids, row->uid);
        must(pending_get(w->account, w->mailbox, row, &now) == R_OK);
        flag_groups_recount(mailbox_next(w->account, w->mailbox), row->flags, now.flags);
    }
    if (put_touched(w, w->mailbox, &uids, f) != R_OK)
        return R_FAIL;
    bool mine = uids.count == 0 && w->mine_n > 0;
    w->call->out->flags.modseq =
        mine ? change_modseq(w->account) : mailbox_next(w->account, w->mailbox)->modseq;
    return put_mine(w, f);
}

static enum result
put_all(struct work *w, struct fault *f)
{
    const struct label_change *c = w->call->change;
    for (size_t i = 0; c->op != FLAG_OP_REMOVE && i < c->target_count; i++)
        if (put_copies(w, &c->targets[i], f) != R_OK)
            return R_FAIL;
    if (put_here(w, f) != R_OK || each_mailbox(w, &w->kept, put_touched, f) != R_OK)
        return R_FAIL;
    w->call->out->left = w->removed.n > 0 && leaves(w, w->mailbox->id);
    if (each_mailbox(w, &w->removed, put_gone, f) != R_OK)
        return R_FAIL;
    return quota_room_behind(w->account, QUOTA_USER, f);
}

// The addressed rows, without those that changed since.
static void
take_rows(struct work *w)
{
    struct labels_call *c = w->call;
    struct account *a = w->account;
    size_t n;
    select_rows(c->selection, a->batch_arena, &w->rows, &n);
    c->addressed.uids = arena_array(c->arena, n, sizeof *c->addressed.uids);
    c->addressed.modified = arena_array(c->arena, n, sizeof *c->addressed.modified);
    for (size_t i = 0; i < n; i++) {
        const struct message_row *row = &w->mailbox->state->rows[w->rows[i]];
        if (c->change->has_unchangedsince &&
            private_modseq(c->view, row) > c->change->unchangedsince) {
            c->addressed.modified[c->addressed.modified_count++] = row->uid;
            continue;
        }
        c->addressed.uids[c->addressed.count++] = row->uid;
        w->rows[w->n++] = w->rows[i];
    }
    c->out->addressed = c->addressed.count;
}

static enum result
labels_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct labels_call *c = arg;
    struct work w = {.call = c, .account = a, .mailbox = c->view->mailbox, .batch = b};
    w.labels = label_mode(a, &w.all);
    if (label_index_ready(a, f) != R_OK || mailbox_load(a, w.mailbox, f) != R_OK)
        return R_FAIL;
    mailbox_next(a, w.mailbox);
    w.in_set = c->view->mine.mask;
    if (w.in_set == 0 && private_apart(a, w.mailbox))
        w.apart = mail_private_flags(a->mail);
    take_rows(&w);
    uint32_t before = w.mailbox->next_keywords;
    if (w.n == 0)
        return R_OK;
    if (important_number(&w, f) != R_OK)
        return R_FAIL;
    plan(&w);
    if (rights_allow(&w, f) != R_OK || put_all(&w, f) != R_OK)
        return R_FAIL;
    c->out->flags.keywords_changed = w.mailbox->next_keywords != before;
    return R_OK;
}

// ---- the call ----

static void
labels_run(void *arg)
{
    struct labels_call *c = arg;
    c->result = R_FAIL;
    if (c->view->gone)
        fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted");
    else if (account_change(c->view->account, labels_change, c, CHANGE_ALONE, &c->view->by,
                            c->fault) == R_OK)
        c->result =
            select_result(c->view, &c->addressed, c->arena, &c->out->flags, c->fault);
}

enum result
change_labels(const struct selection *sel, const struct label_change *change,
              struct arena *a, struct label_result *out, struct fault *f)
{
    struct label_result result = {0};
    struct labels_call c = {.view = sel->view,
                            .selection = sel,
                            .change = change,
                            .arena = a,
                            .out = &result,
                            .fault = f};
    if (sel->view->read_only)
        return fault_set(f, FAULT_NOPERM, "mailbox is open read-only");
    // it would take away labels that the user may not know of
    if (change->op == FLAG_OP_SET && sel->view->mine.user != account_id(sel->view->account))
        return fault_set(f, FAULT_NOPERM, "all labels of another's message");
    if (!(sel->view->rights & RIGHT_READ))
        return fault_set(f, FAULT_NOPERM, "no right to read here");
    account_run(sel->view->account, labels_run, &c);
    if (c.result == R_OK)
        *out = result;
    return c.result;
}
