#include "mail/undelete_inside.h"

#include "base/budget.h"
#include "base/limits.h"
#include "base/order.h"
#include "mail/private.h"
#include "mail/rows.h"

// PAGE: messages of one change
enum { PAGE = 4096, FIRST_CAP = 256, SCAN_ROWS = 65536 };

// ---- EMAILID -> its last tombstone ----

struct entry {
    uint64_t emailid, modseq;
    uint32_t uid;
    bool used, present;
};

struct latest {
    struct entry *entries;
    size_t cap, n;
};

static struct entry *
slot_of(const struct latest *l, uint64_t emailid)
{
    size_t at = (size_t)(emailid * 0x9e3779b97f4a7c15 >> 32) & (l->cap - 1);
    while (l->entries[at].used && l->entries[at].emailid != emailid)
        at = (at + 1) & (l->cap - 1);
    return &l->entries[at];
}

static void
latest_done(struct latest *l)
{
    budget_give(BUDGET_TABLES, l->cap * sizeof *l->entries);
    free(l->entries);
    *l = (struct latest){0};
}

static enum result
latest_grow(struct latest *l, struct fault *f)
{
    struct latest more = {.cap = l->cap > 0 ? l->cap * 2 : FIRST_CAP, .n = l->n};
    if (budget_take(BUDGET_TABLES, more.cap * sizeof *more.entries, f) != R_OK)
        return R_FAIL;
    more.entries = calloc(more.cap, sizeof *more.entries);
    must(more.entries != NULL);
    for (size_t i = 0; i < l->cap; i++)
        if (l->entries[i].used)
            *slot_of(&more, l->entries[i].emailid) = l->entries[i];
    latest_done(l);
    *l = more;
    return R_OK;
}

static enum result
latest_put(struct latest *l, const struct store_tombstone *t, struct fault *f)
{
    if (l->n * 2 >= l->cap && latest_grow(l, f) != R_OK)
        return R_FAIL;
    struct entry *e = slot_of(l, t->row.emailid);
    l->n += !e->used;
    *e = (struct entry){t->row.emailid, t->modseq, t->row.uid, true, false};
    return R_OK;
}

// ---- one source ----

struct bringing {
    struct undelete *u;
    const struct source *source;
    struct undelete_folder *out;
    struct latest latest;
    uint64_t wanted;               // tombstones that may be brought
    struct store_tombstones page;  // its place is where the next page begins
    bool last;
    uint64_t target;
    struct store_keywords names;  // the source's, for another target
    uint32_t *map;  // number in the source -> in the target + 1; UINT32_MAX: no room there
    uint32_t *numbers;  // of one message
    struct pair {
        uint32_t old, new;  // UIDs
    } * pairs;              // of the page
    size_t pair_count;
    struct store_mark *marks;  // what others have of their own on these
    size_t mark_count;
    struct arena *arena;
};

enum verdict { BRING, TOO_OLD, OVER, MOVED };

static enum verdict
judge(const struct bringing *b, const struct store_tombstone *t)
{
    if (t->when_s < b->u->wish.since_s)
        return TOO_OLD;
    if (t->when_s <= b->u->wish.over_s)
        return OVER;
    return t->moved ? MOVED : BRING;
}

static enum result
read_page(struct bringing *b, struct fault *f)
{
    struct account *a = b->u->account;
    arena_reset(b->page.a);
    if (store_tombstones(mail_store(a->mail), account_state(a), b->source->mailbox,
                         &b->page, f) != R_OK)
        return R_FAIL;
    b->last = b->page.last;
    return R_OK;
}

static enum result
survey_page(struct bringing *b, struct fault *f)
{
    if (read_page(b, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < b->page.n; i++) {
        const struct store_tombstone *t = &b->page.list[i];
        enum verdict v = judge(b, t);
        b->wanted += v == BRING;
        b->out->over += v == OVER;
        b->out->moved += v == MOVED;
        if (latest_put(&b->latest, t, f) != R_OK)
            return R_FAIL;
    }
    task_yield();
    return R_OK;
}

static void
rewind_pages(struct bringing *b)
{
    b->page.modseq = 0;
    b->page.uid = 0;
    b->last = false;
}

// What may be brought, and which tombstone of a message is the last one.
static enum result
survey(struct bringing *b, struct fault *f)
{
    rewind_pages(b);
    while (!b->last)
        if (survey_page(b, f) != R_OK)
            return R_FAIL;
    rewind_pages(b);
    return R_OK;
}

// ---- one page ----

static enum result
choose(struct bringing *b, struct latest *chosen, struct fault *f)
{
    for (size_t i = 0; i < b->page.n; i++) {
        const struct store_tombstone *t = &b->page.list[i];
        const struct entry *e =
            b->latest.cap > 0 ? slot_of(&b->latest, t->row.emailid) : NULL;
        bool last = e && e->used && e->modseq == t->modseq && e->uid == t->row.uid;
        if (last && judge(b, t) == BRING && latest_put(chosen, t, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// Marks those that the target has.
static enum result
mark_present(struct account *a, struct mailbox *m, struct latest *chosen, struct fault *f)
{
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    m->pins++;
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        struct entry *e = slot_of(chosen, m->state->rows[i].emailid);
        if (e->used)
            e->present = true;
        if (i % SCAN_ROWS == SCAN_ROWS - 1)
            task_yield();
    }
    m->pins--;
    return R_OK;
}

// The target's number of one of the source's keywords. R_NONE: the target has no room for it.
static enum result
translate(struct bringing *b, struct mailbox *m, struct store_batch *batch, uint32_t number,
          uint32_t *out)
{
    struct fault full;
    struct keyword_list in_target;
    if (b->source->mailbox == m->id) {
        *out = number;
        return R_OK;
    }
    if (number >= b->names.n || b->names.names[number].n == 0)
        return R_NONE;
    struct keyword_names name = {&b->names.names[number], 1};
    if (b->map[number] == 0 &&
        keyword_numbers(b->u->account, m, batch, &name, &in_target, &full) == R_OK)
        b->map[number] = in_target.numbers[0] + 1;
    else if (b->map[number] == 0)
        b->map[number] = UINT32_MAX;
    *out = b->map[number] - 1;
    return b->map[number] == UINT32_MAX ? R_NONE : R_OK;
}

static struct row_flags
flags_of(struct bringing *b, struct mailbox *m, struct store_batch *batch,
         const struct store_tombstone *t)
{
    uint32_t *numbers = b->numbers, number;
    struct row_flags now = {.flags = t->row.flags, .keywords = numbers};
    struct unpack u = unpack_of(t->keywords);
    bool expunged = !b->source->lost || t->modseq != b->source->lost->d->modseq;
    if (expunged)
        now.flags &= (uint16_t)~FLAG_DELETED;
    while (record_keywords_next(&u, &number) == R_OK)
        if (translate(b, m, batch, number, &number) != R_OK)
            b->out->keywords_left_out++;
        else if (now.keyword_count < LIMIT_keywords)
            numbers[now.keyword_count++] = number;
    if (now.keyword_count > 1)
        qsort(numbers, now.keyword_count, sizeof *numbers, order_u32);
    return now;
}

static enum result
put_row(struct bringing *b, struct mailbox *m, struct store_batch *batch,
        const struct store_tombstone *t, struct buf *packed, struct fault *f)
{
    struct account *a = b->u->account;
    struct message_row row = t->row;
    struct row_flags now = flags_of(b, m, batch, t);
    if (mailbox_next_uid(a, m, &row.uid, f) != R_OK)
        return R_FAIL;
    row.modseq = mailbox_next(a, m)->modseq;
    b->pairs[b->pair_count++] = (struct pair){t->row.uid, row.uid};
    rows_count(mailbox_next(a, m), &row, now.flags, 1);
    rows_add(packed, &row, &now, now.keywords, now.keyword_count);
    return R_OK;
}

// Each of the chosen once, in the order of their tombstones; m NULL: only counted.
static enum result
put_rows(struct bringing *b, struct mailbox *m, struct store_batch *batch,
         struct latest *chosen, struct buf *packed, struct fault *f)
{
    for (size_t i = 0; i < b->page.n && chosen->cap > 0; i++) {
        const struct store_tombstone *t = &b->page.list[i];
        const struct entry *e = slot_of(chosen, t->row.emailid);
        if (!e->used || e->modseq != t->modseq || e->uid != t->row.uid)
            continue;
        b->out->present += e->present;
        if (e->present)
            continue;
        if (m && put_row(b, m, batch, t, packed, f) != R_OK)
            return R_FAIL;
        b->out->messages++;
        b->out->octets += t->row.size;
    }
    return R_OK;
}

// ---- what the others had of their own ----

static int
pair_order(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    return (a->old > b->old) - (a->old < b->old);
}

static int
mark_order(const void *x, const void *y)
{
    const struct store_mark *a = x, *b = y;
    if (a->user != b->user)
        return a->user < b->user ? -1 : 1;
    return (a->uid > b->uid) - (a->uid < b->uid);
}

// The marks of what is brought, with its new UIDs, user after user.
static void
gather_marks(struct bringing *b)
{
    struct account *a = b->u->account;
    b->marks = arena_array(a->batch_arena, b->page.mark_count, sizeof *b->marks);
    b->mark_count = 0;
    if (b->pair_count > 1)
        qsort(b->pairs, b->pair_count, sizeof *b->pairs, pair_order);
    for (size_t i = 0; i < b->page.mark_count && b->pair_count > 0; i++) {
        const struct store_mark *mark = &b->page.marks[i];
        const struct pair key = {.old = mark->uid};
        const struct pair *pair =
            bsearch(&key, b->pairs, b->pair_count, sizeof key, pair_order);
        uint16_t flags = mark->flags & private_mask(a, mark->user);
        if (pair && flags != 0)
            b->marks[b->mark_count++] = (struct store_mark){mark->user, pair->new, flags};
    }
    if (b->mark_count > 1)
        qsort(b->marks, b->mark_count, sizeof *b->marks, mark_order);
}

static size_t
marks_octets(const struct bringing *b)
{
    size_t octets = b->mark_count * PRIVATE_OCTETS;
    for (size_t i = 0; i < b->mark_count; i++)
        octets += i == 0 || b->marks[i].user != b->marks[i - 1].user ? PRIVATE_RECORD : 0;
    return octets;
}

static void
put_marks(struct bringing *b, struct mailbox *m, struct store_batch *batch)
{
    struct account *a = b->u->account;
    struct private_entry *entries =
        arena_array(a->batch_arena, b->mark_count, sizeof *entries);
    for (size_t i = 0; i < b->mark_count;) {
        struct private_put p = {.mailbox = m, .user = b->marks[i].user, .entries = entries};
        for (; i < b->mark_count && b->marks[i].user == p.user; i++)
            entries[p.n++] =
                (struct private_entry){.uid = b->marks[i].uid, .flags = b->marks[i].flags};
        p.modseq = change_modseq(a);
        private_put(a, batch, &p);
    }
}

static enum result
put_page(struct bringing *b, struct mailbox *m, struct store_batch *batch,
         struct latest *chosen, struct fault *f)
{
    struct account *a = b->u->account;
    struct buf packed;
    uint64_t before = b->out->messages;
    if (b->u->wish.dry_run)
        return put_rows(b, NULL, NULL, chosen, NULL, f);
    must(m != NULL);
    if (chosen->n >= UINT32_MAX - mailbox_next(a, m)->uidnext)
        return fault_set(f, FAULT_LIMIT, "mailbox has no UIDs left");
    buf_init(&packed, LIMIT_record_meta);
    mailbox_next(a, m)->modseq = change_modseq(a);
    enum result r = put_rows(b, m, batch, chosen, &packed, f);
    gather_marks(b);
    if (r == R_OK)
        r = change_room(batch, true, packed.over ? SIZE_MAX : packed.n + marks_octets(b),
                        f);
    if (r == R_OK && b->out->messages > before)
        rows_put_copied(batch, m->id, mailbox_next(a, m), buf_span(&packed));
    if (r == R_OK)
        put_marks(b, m, batch);
    buf_done(&packed);
    return r;
}

// The tombstones are read inside the change: what is forgotten now cannot be brought, what is brought keeps its body.
static enum result
page_change(struct account *a, struct store_batch *batch, void *arg, struct fault *f)
{
    struct bringing *b = arg;
    struct mailbox *m = b->target ? mailbox_of(a, b->target) : NULL;
    struct latest chosen = {0};
    b->pair_count = 0;
    if (b->target && (!m || (m->state->flags & MAILBOX_NOSELECT)))
        return fault_set(f, FAULT_NONEXISTENT, "the folder was deleted meanwhile");
    enum result r = read_page(b, f);
    if (r == R_OK)
        r = choose(b, &chosen, f);
    if (r == R_OK && m && chosen.n > 0)
        r = mark_present(a, m, &chosen, f);
    if (r == R_OK && chosen.n > 0)
        r = put_page(b, m, batch, &chosen, f);
    if (r == R_OK)
        r = quota_room_behind(a, QUOTA_USER, f);
    latest_done(&chosen);
    return r;
}

static enum result
bring(struct bringing *b, struct fault *f)
{
    b->page.marked = !b->u->wish.dry_run;
    struct account *a = b->u->account;
    uint64_t messages, octets, present;
    b->names.a = b->arena;
    if (b->source->lost && store_keywords(mail_store(a->mail), account_state(a),
                                          b->source->mailbox, &b->names, f) != R_OK)
        return R_FAIL;
    b->pairs = arena_array(b->arena, PAGE, sizeof *b->pairs);
    b->map = arena_array(b->arena, b->names.n, sizeof *b->map);
    b->numbers = arena_array(b->arena, LIMIT_keywords, sizeof *b->numbers);
    while (!b->last) {
        messages = b->out->messages;
        octets = b->out->octets;
        present = b->out->present;
        if (account_change(a, page_change, b, CHANGE_ALONE, NULL, f) == R_OK)
            continue;
        b->out->messages = messages;
        b->out->octets = octets;
        b->out->present = present;
        return R_FAIL;
    }
    return R_OK;
}

static enum result
bring_source(struct bringing *b, struct fault *f)
{
    struct lost *x = b->source->lost;
    if (survey(b, f) != R_OK)
        return R_FAIL;
    bool over = x && x->d->when_s <= b->u->wish.over_s;
    if (over && b->out->over == 0)
        return fault_set(f, FAULT_NONEXISTENT, "its retention is over");
    if (x && !over) {
        if (undelete_place(b->u, x, f) != R_OK)
            return R_FAIL;
        b->target = x->target;
        b->out->to = x->to;
        b->out->made = x->made;
    }
    return over || b->wanted == 0 ? R_OK : bring(b, f);
}

enum result
undelete_source(struct undelete *u, const struct source *s, struct undelete_folder *out,
                struct fault *f)
{
    struct mailbox *m = s->lost ? NULL : mailbox_of(u->account, s->mailbox);
    struct bringing b = {.u = u,
                         .source = s,
                         .out = out,
                         .target = s->mailbox,
                         .arena = arena_new(),
                         .page = {.a = arena_new(), .max = PAGE}};
    if (!s->lost && !m) {
        arena_free(&b.page.a);
        arena_free(&b.arena);
        return R_NONE;  // it was deleted since
    }
    out->forgotten = m && m->state->horizon > 0;
    enum result r = bring_source(&b, f);
    latest_done(&b.latest);
    arena_free(&b.page.a);
    arena_free(&b.arena);
    bool told = s->lost || out->messages || out->present || out->moved || out->over ||
                out->forgotten;
    return r == R_OK && !told ? R_NONE : r;
}
