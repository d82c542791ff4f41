#include "mail/change.h"

#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/flag_groups.h"
#include "mail/learn_inside.h"
#include "mail/private.h"
#include "mail/select.h"

static const struct {
    const char *name;
    uint16_t flag;
} system_flags[] = {
    {"\\Seen", FLAG_SEEN},       {"\\Answered", FLAG_ANSWERED}, {"\\Flagged", FLAG_FLAGGED},
    {"\\Deleted", FLAG_DELETED}, {"\\Draft", FLAG_DRAFT},
};
enum { SYSTEM_FLAGS = sizeof system_flags / sizeof system_flags[0] };

uint16_t
change_flag_from(struct span name)
{
    for (size_t i = 0; i < SYSTEM_FLAGS; i++)
        if (span_ieq(name, span_str(system_flags[i].name)))
            return system_flags[i].flag;
    return 0;
}

struct span
change_flag_names(struct arena *a, uint16_t flags, const struct span *keywords, size_t n)
{
    struct buf b;
    buf_init(&b, (n + SYSTEM_FLAGS) * (LIMIT_keyword + 1));
    for (size_t i = 0; i < SYSTEM_FLAGS; i++)
        if (flags & system_flags[i].flag)
            buf_printf(&b, "%s%s", b.n ? " " : "", system_flags[i].name);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%.*s", b.n ? " " : "", SPAN_ARG(keywords[i]));
    struct span names = b.n ? arena_dup(a, buf_span(&b)) : SPAN("");
    buf_done(&b);
    return names;
}

struct flags_call {
    struct view *view;
    const struct selection *selection;
    const struct flag_change *change;
    struct arena *arena;
    struct flag_result *result_out;
    struct fault *fault;
    enum result result;
    uint16_t flags;  // what the rights allow of the change
    bool keywords_allowed;
    struct addressed addressed;
    struct flag_difference *changed;  // where it is asked for
    size_t changed_count;
};

// RFC 4314 section 4: flags whose right is missing are left alone.
static enum result
allow(struct flags_call *c)
{
    uint32_t rights = c->view->rights;
    uint16_t may = acl_flags(rights);
    c->flags = may;
    c->keywords_allowed = rights & RIGHT_WRITE;
    bool asks =
        c->change->flags & may || (c->keywords_allowed && c->change->keyword_count > 0);
    if (may == 0 || (!asks && (c->change->flags || c->change->keyword_count > 0)))
        return fault_set(c->fault, FAULT_NOPERM, "no right to change these flags");
    return R_OK;
}

static uint16_t
outcome(const struct flags_call *c, uint16_t now)
{
    uint16_t asked = c->change->flags & c->flags;
    switch (c->change->op) {
    case FLAG_OP_ADD:
        return now | asked;
    case FLAG_OP_REMOVE:
        return now & (uint16_t)~asked;
    default:
        return (uint16_t)((now & ~c->flags) | asked);
    }
}

// Union, difference or replacement of two sorted lists of keyword numbers.
static size_t
merge(enum flag_op op, const struct row_flags *now, const uint32_t *asked, size_t n,
      uint32_t *out)
{
    size_t i = 0, k = 0, count = 0;
    while (i < now->keyword_count || k < n) {
        bool mine = i < now->keyword_count && (k == n || now->keywords[i] <= asked[k]);
        bool both = mine && k < n && now->keywords[i] == asked[k];
        uint32_t number = mine ? now->keywords[i] : asked[k];
        bool keep =
            op == FLAG_OP_ADD || (op == FLAG_OP_REMOVE ? mine && !both : !mine || both);
        if (keep)
            out[count++] = number;
        i += mine;
        k += both || !mine;
    }
    return count;
}

struct pass {
    struct flags_call *call;
    struct mailbox *mailbox;
    struct keyword_list asked;
    bool overlay, first;
    struct mailbox_counts counts;  // before
    struct flag_groups groups;
    struct flags_mine {
        struct private_set *set;
        uint16_t in_set;  // a foreign user's flags that are not in the row
        uint16_t apart;   // the owner's flags of which others are not told
        size_t at;
        struct private_entry *entries;
        size_t n;
    } mine;
};

// The row with the user's own flags.
static void
as_seen(struct pass *p, const struct message_row *row, struct row_flags *now)
{
    const struct private_entry *e = private_find(&p->mine.set->list, row->uid, &p->mine.at);
    uint16_t mine = e ? e->flags & p->mine.in_set : 0;
    now->flags = (uint16_t)((now->flags & ~p->mine.in_set) | mine);
}

static struct row_flags
keywords_after(struct account *a, const struct pass *p, const struct row_flags *before)
{
    const struct flags_call *c = p->call;
    struct row_flags after = *before;
    if (!c->keywords_allowed ||
        (p->asked.n == 0 && (c->change->op != FLAG_OP_SET || before->keyword_count == 0)))
        return after;
    uint32_t *keywords =
        arena_array(a->batch_arena, before->keyword_count + p->asked.n, sizeof *keywords);
    after.keyword_count =
        merge(c->change->op, before, p->asked.numbers, p->asked.n, keywords);
    after.keywords = keywords;
    return after;
}

static void
note_changed(struct pass *p, uint32_t uid, const struct row_flags *before,
             const struct row_flags *after)
{
    struct flags_call *c = p->call;
    struct flag_difference *d = &c->changed[c->changed_count++];
    uint32_t *numbers = arena_array(c->arena, before->keyword_count + after->keyword_count,
                                    sizeof *numbers);
    size_t i = 0, k = 0, n = 0;
    while (i < before->keyword_count || k < after->keyword_count) {
        bool mine =
            k == after->keyword_count ||
            (i < before->keyword_count && before->keywords[i] <= after->keywords[k]);
        bool both =
            mine && k < after->keyword_count && before->keywords[i] == after->keywords[k];
        if (!both)
            numbers[n++] = mine ? before->keywords[i] : after->keywords[k];
        i += mine;
        k += both || !mine;
    }
    *d = (struct flag_difference){
        .uid = uid, .flags = before->flags ^ after->flags, .numbers = numbers, .n = n};
}

static void
change_mine(struct pass *p, uint32_t uid, uint16_t flags)
{
    p->mine.entries[p->mine.n++] = (struct private_entry){.uid = uid, .flags = flags};
}

// One row: what is the user's own goes to their set, the rest into the row.
static void
change_row(struct account *a, struct pass *p, uint32_t index)
{
    const struct message_row *row = &p->mailbox->state->rows[index];
    struct row_flags before, seen, after;
    must(pending_get(a, p->mailbox, row, &before) == R_OK);
    seen = before;
    as_seen(p, row, &seen);
    after = keywords_after(a, p, &before);
    uint16_t now = outcome(p->call, seen.flags), mine = now & p->mine.in_set;
    after.flags = (uint16_t)((now & ~p->mine.in_set) | (before.flags & p->mine.in_set));
    if ((now ^ seen.flags) & p->mine.in_set)
        change_mine(p, row->uid, mine);
    uint16_t other = after.flags ^ before.flags;
    bool same = flag_same_keywords(before.keywords, before.keyword_count, after.keywords,
                                   after.keyword_count);
    if (other == 0 && same)
        return;
    if (!same)
        learn_marked(a, p->mailbox, row, &before, &after);
    if (p->call->change->tells_changed)
        note_changed(p, row->uid, &before, &after);
    if (same && (other & ~p->mine.apart) == 0)
        change_mine(p, row->uid, after.flags & p->mine.apart);
    else
        flag_groups_add(&p->groups, index, row->uid, &after);
    flag_groups_recount(mailbox_next(a, p->mailbox), before.flags, after.flags);
    if (p->overlay)
        pending_set(a, p->mailbox, row->uid, &after);
}

static enum result
put_records(struct account *a, struct store_batch *b, struct pass *p, struct fault *f)
{
    struct mailbox_counts *next = mailbox_next(a, p->mailbox);
    struct private_put mine = {.mailbox = p->mailbox,
                               .user = p->mine.set->user,
                               .entries = p->mine.entries,
                               .n = p->mine.n};
    size_t octets = p->mine.n * PRIVATE_OCTETS + PRIVATE_RECORD + p->groups.groups.n +
                    p->groups.ranges.n;
    enum result r = p->mine.n > 0 ? change_room(b, p->first, octets, f) : R_OK;
    if (r == R_OK)
        r = flag_groups_put(a, b, p->mailbox, &p->groups, p->first, f);
    if (r != R_OK || p->mine.n == 0)
        return r;
    mine.modseq = p->groups.touched > 0 ? next->modseq : change_modseq(a);
    private_put(a, b, &mine);
    p->call->result_out->modseq = mine.modseq;
    return R_OK;
}

// What does not fit into the batch leaves no trace; rows that are overlaid always fit (LIMIT_overlay_rows).
static enum result
put_record(struct account *a, struct store_batch *b, struct pass *p, struct fault *f)
{
    struct mailbox_counts *next = mailbox_next(a, p->mailbox);
    enum result r = put_records(a, b, p, f);
    if (r != R_OK)
        *next = p->counts;
    if (r != R_OK || (p->groups.touched == 0 && p->mine.n == 0))
        return r;
    if (p->groups.touched > 0)
        p->call->result_out->modseq = next->modseq;
    // Later changes of this batch must see the outcome: in the overlay, or by waiting.
    p->mailbox->rows_dirty |= !p->overlay;
    return R_OK;
}

static void
modified(struct flags_call *c, uint32_t uid)
{
    if (!c->addressed.modified)
        c->addressed.modified =
            arena_array(c->arena, c->view->mailbox->state->counts.exists, sizeof(uint32_t));
    c->addressed.modified[c->addressed.modified_count++] = uid;
}

static void
change_rows(struct account *a, struct pass *p, const uint32_t *rows, size_t n)
{
    struct flags_call *c = p->call;
    p->mine.entries = arena_array(a->batch_arena, n, sizeof *p->mine.entries);
    c->addressed.uids = arena_array(c->arena, n, sizeof *c->addressed.uids);
    c->addressed.count = 0;
    c->changed_count = 0;
    if (c->change->tells_changed)
        c->changed = arena_array(c->arena, n, sizeof *c->changed);
    c->addressed.modified_count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct message_row *row = &p->mailbox->state->rows[rows[i]];
        yield_at(i);
        if (c->change->has_unchangedsince &&
            private_modseq(c->view, row) > c->change->unchangedsince) {
            modified(c, row->uid);
            continue;
        }
        c->addressed.uids[c->addressed.count++] = row->uid;
        change_row(a, p, rows[i]);
    }
}

static enum result
flags_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct flags_call *c = arg;
    struct mailbox *m = c->view->mailbox;
    struct pass p = {.call = c, .mailbox = m, .first = store_batch_count(b) == 0};
    uint32_t *rows, before;
    size_t n;
    if (view_may(c->view, 0, f) != R_OK || allow(c) != R_OK ||
        mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    p.mine.set = c->view->mine.set;
    p.mine.in_set = c->view->mine.mask;
    if (p.mine.in_set == 0 && private_apart(a, m))
        p.mine.apart = mail_private_flags(a->mail);
    if (select_ready(a, m) == R_NONE || p.mine.set->batch == a->batch_number ||
        (c->change->has_unchangedsince && store_batch_count(b) > 0))
        return R_NONE;
    select_rows(c->selection, a->batch_arena, &rows, &n);
    before = m->next_keywords;
    struct keyword_names names = {c->change->keywords, c->change->keyword_count};
    struct store_batch *new_names = c->change->op == FLAG_OP_REMOVE ? NULL : b;
    if (n > 0 && c->keywords_allowed &&
        keyword_numbers(a, m, new_names, &names, &p.asked, f) != R_OK)
        return R_FAIL;
    p.overlay = n <= LIMIT_overlay_rows;
    flag_groups_init(&p.groups);
    p.counts = *mailbox_next(a, m);
    change_rows(a, &p, rows, n);
    enum result r = put_record(a, b, &p, f);
    c->result_out->keywords_changed = m->next_keywords != before;
    flag_groups_done(&p.groups);
    return r;
}

// After the commit, when new keywords have their names.
static void
name_changed_flags(struct flags_call *c)
{
    const struct mailbox *m = c->view->mailbox;
    for (size_t i = 0; i < c->changed_count; i++) {
        struct flag_difference *d = &c->changed[i];
        struct span *names = arena_array(c->arena, d->n, sizeof *names);
        for (size_t k = 0; k < d->n; k++)
            names[k] = keyword_name(m, d->numbers[k]);
        d->names = change_flag_names(c->arena, d->flags, names, d->n);
        yield_at(i);
    }
    c->result_out->changed = c->changed;
    c->result_out->changed_count = c->changed_count;
}

static void
flags_run(void *arg)
{
    struct flags_call *c = arg;
    c->result = R_FAIL;
    if (c->view->gone) {
        fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted");
        return;
    }
    if (account_change(c->view->account, flags_change, c, 0, &c->view->by, c->fault) ==
        R_OK)
        c->result =
            select_result(c->view, &c->addressed, c->arena, c->result_out, c->fault);
    if (c->result == R_OK && c->change->tells_changed)
        name_changed_flags(c);
}

enum result
change_flags(const struct selection *sel, const struct flag_change *change, struct arena *a,
             struct flag_result *out, struct fault *f)
{
    struct flag_result result = {0};
    struct flags_call c = {.view = sel->view,
                           .selection = sel,
                           .change = change,
                           .arena = a,
                           .result_out = &result,
                           .fault = f};
    if (sel->view->read_only)
        return fault_set(f, FAULT_NOPERM, "mailbox is open read-only");
    if (allow(&c) != R_OK)
        return R_FAIL;
    account_run(sel->view->account, flags_run, &c);
    if (c.result == R_OK)
        *out = result;
    return c.result;
}
