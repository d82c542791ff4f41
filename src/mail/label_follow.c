#include "mail/label_mode.h"

#include "base/arena_grow.h"
#include "base/clock.h"
#include "base/limits.h"
#include "mail/change.h"
#include "mail/flag_groups.h"
#include "mail/label_index.h"
#include "mail/rows.h"

// What a copy of a message in another mailbox gets; the higher wins.
enum rank { RANK_TOUCH, RANK_SET, RANK_GONE };
struct edit {
    uint32_t slot, uid;
    enum rank rank;
    uint16_t flags;
    const uint32_t *keywords;  // of the mailbox `from`
    size_t keyword_count;
    struct mailbox *from;
};

struct follow {
    struct account *account;
    struct store_batch *batch;
    uint64_t all_id;
    struct mailbox *all;
    bool adds, sets;  // the change has ADDED, FLAGS records
    struct edit *edits;
    size_t n, room;
    // rows that the change removes
    struct leaving {
        uint64_t mailbox;
        struct seqset uids;
    } leaving[4];
    size_t leaving_count;
    uint64_t deleted;  // a mailbox that goes
    uint64_t set_in;   // where the change has raised the modseq of its messages itself
    struct fault *fault;
};

// ---- keywords ----

static struct row_flags
unpack_flags(struct account *a, uint16_t flags, struct span keywords)
{
    struct unpack u = unpack_of(keywords);
    uint32_t number, *numbers = arena_array(a->batch_arena, keywords.n, sizeof *numbers);
    struct row_flags now = {flags, numbers, 0};
    while (record_keywords_next(&u, &number) == R_OK)
        numbers[now.keyword_count++] = number;
    return now;
}

// ---- what is to be done elsewhere ----

static void
edit_add(struct follow *w, const struct edit *e)
{
    w->edits =
        arena_grow(w->account->batch_arena, w->edits, w->n, &w->room, sizeof *w->edits);
    w->edits[w->n++] = *e;
}

// The same for all copies of the message but that in one mailbox.
static void
edit_copies(struct follow *w, uint64_t emailid, uint64_t but, const struct edit *e)
{
    const struct account *a = w->account;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        uint64_t mailbox = label_slot_mailbox(a, p->slot);
        struct edit mine = *e;
        if (mailbox == but || mailbox == w->deleted ||
            (mailbox == w->set_in && e->rank == RANK_TOUCH))
            continue;
        mine.slot = p->slot;
        mine.uid = p->uid;
        if (p->uid != 0)
            edit_add(w, &mine);
    }
}

static void
touch_copies(struct follow *w, uint64_t emailid, uint64_t but)
{
    edit_copies(w, emailid, but, &(struct edit){.rank = RANK_TOUCH});
}

// ---- \All gets what it has not ----

static enum result
all_uid(struct follow *w, struct message_row *row)
{
    struct mailbox_counts *next = mailbox_next(w->account, w->all);
    if (mailbox_next_uid(w->account, w->all, &row->uid, w->fault) != R_OK)
        return R_FAIL;
    next->modseq = row->modseq = change_modseq(w->account);
    row->flags &= (uint16_t)~FLAG_DELETED;
    rows_count(next, row, row->flags, 1);
    return R_OK;
}

// A new message: its body is in the record `at`.
static enum result
follow_added(struct follow *w, size_t at, struct span meta)
{
    struct account *a = w->account;
    struct record_added r;
    struct buf list, packed;
    must(record_added_get(meta, &r) == R_OK);
    if (r.mailbox == w->all_id || label_held(a, r.row.emailid, w->all_id))
        return R_OK;
    struct row_flags now = unpack_flags(a, r.row.flags, r.keywords);
    struct mailbox *from = mailbox_of(a, r.mailbox);
    if (label_keywords(a, w->batch, from, w->all, &now, w->fault) != R_OK ||
        all_uid(w, &r.row) != R_OK)
        return R_FAIL;
    buf_init(&list, LIMIT_keywords * 5);
    buf_init(&packed, LIMIT_record_meta);
    for (size_t i = 0; i < now.keyword_count; i++)
        record_keywords_add(&list, now.keywords[i]);
    struct record_filed filed = {.mailbox = w->all_id,
                                 .counts = *mailbox_next(a, w->all),
                                 .back = (uint32_t)(store_batch_count(w->batch) - at),
                                 .row = r.row,
                                 .keywords = buf_span(&list)};
    record_filed_put(&packed, &filed);
    store_batch_add(w->batch, RECORD_FILED, buf_span(&packed), NULL);
    buf_done(&list);
    buf_done(&packed);
    return R_OK;
}

static enum result
put_all_rows(struct follow *w, struct buf *packed)
{
    enum result r =
        change_room(w->batch, true, packed->over ? SIZE_MAX : packed->n, w->fault);
    if (r == R_OK && packed->n > 0)
        rows_put_copied(w->batch, w->all_id, mailbox_next(w->account, w->all),
                        buf_span(packed));
    return r;
}

static enum result
all_add(struct follow *w, struct mailbox *from, const struct message_row *row,
        struct row_flags now, struct buf *packed)
{
    struct message_row mine = *row;
    now.flags &= (uint16_t)~FLAG_DELETED;
    mine.flags = now.flags;
    if (label_keywords(w->account, w->batch, from, w->all, &now, w->fault) != R_OK ||
        all_uid(w, &mine) != R_OK)
        return R_FAIL;
    rows_add(packed, &mine, &now, now.keywords, now.keyword_count);
    return R_OK;
}

// ---- what comes from elsewhere takes the flags of the message ----

static enum result
align(struct follow *w, struct mailbox *to, const struct record_row *row,
      uint32_t uid_in_all, struct flag_groups *groups)
{
    struct account *a = w->account;
    const struct mailbox_state *st = w->all->state;
    const struct message_row *mine = &st->rows[rows_index(w->all, uid_in_all)];
    struct row_flags had = unpack_flags(a, row->row.flags, row->keywords);
    struct row_flags now = {.flags = mine->flags};  // no flag is changed now: !sets
    now.keywords = keyword_sets_get(st->sets, mine->keywords, &now.keyword_count);
    if (label_keywords(a, w->batch, w->all, to, &now, w->fault) != R_OK)
        return R_FAIL;
    now.flags = (uint16_t)((now.flags & ~FLAG_DELETED) | (had.flags & FLAG_DELETED));
    if (now.flags == had.flags && flag_same_keywords(now.keywords, now.keyword_count,
                                                     had.keywords, had.keyword_count))
        return R_OK;
    flag_groups_recount(mailbox_next(a, to), had.flags, now.flags);
    flag_groups_add(groups, row->row.uid, row->row.uid, &now);
    return R_OK;
}

static enum result
follow_rows(struct follow *w, struct mailbox *to, struct span rows, struct buf *packed,
            struct flag_groups *groups)
{
    struct unpack u = unpack_of(rows);
    struct record_row row;
    size_t n = 0;
    while (record_rows_next(&u, &row) == R_OK) {
        uint64_t emailid = row.row.emailid;
        const struct label_place *held = label_place_in(w->account, emailid, w->all_id);
        struct row_flags now = unpack_flags(w->account, row.row.flags, row.keywords);
        if (!held && all_add(w, to, &row.row, now, packed) != R_OK)
            return R_FAIL;
        if (held && held->uid != 0 && !w->sets &&
            align(w, to, &row, held->uid, groups) != R_OK)
            return R_FAIL;
        touch_copies(w, emailid, 0);
        yield_at(++n);
    }
    return R_OK;
}

static enum result
follow_copied(struct follow *w, struct span meta)
{
    struct record_copied r;
    struct buf packed;
    struct flag_groups groups;
    must(record_copied_get(meta, &r) == R_OK);
    struct mailbox *to = mailbox_of(w->account, r.mailbox);
    if (!to || r.mailbox == w->all_id)
        return R_OK;
    buf_init(&packed, LIMIT_record_meta);
    flag_groups_init(&groups);
    enum result done = follow_rows(w, to, r.rows, &packed, &groups);
    if (done == R_OK)
        done = put_all_rows(w, &packed);
    if (done == R_OK)
        done = flag_groups_put(w->account, w->batch, to, &groups, true, w->fault);
    flag_groups_done(&groups);
    buf_done(&packed);
    return done;
}

// ---- flags ----

// Only \Deleted belongs to the mailbox. The same flags again: the labels change, and so does the modseq.
static void
follow_group(struct follow *w, struct mailbox *m, const struct record_group *g)
{
    struct account *a = w->account;
    struct row_flags now = unpack_flags(a, g->flags, g->keywords);
    struct unpack u = unpack_of(g->ranges);
    uint32_t first, last;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        for (uint32_t i = state_row_at(m->state, first);
             i < m->state->counts.exists && m->state->rows[i].uid <= last; i++) {
            const struct message_row *row = &m->state->rows[i];
            size_t n;
            const uint32_t *had = keyword_sets_get(m->state->sets, row->keywords, &n);
            bool words = flag_same_keywords(had, n, now.keywords, now.keyword_count);
            uint16_t other = row->flags ^ now.flags;
            if (words && other == FLAG_DELETED)
                continue;
            edit_copies(w, row->emailid, m->id,
                        &(struct edit){.rank = words && other == 0 ? RANK_TOUCH : RANK_SET,
                                       .flags = now.flags,
                                       .keywords = now.keywords,
                                       .keyword_count = now.keyword_count,
                                       .from = m});
            yield_at(i);
        }
}

static enum result
follow_flags(struct follow *w, struct span meta)
{
    struct record_flags r;
    struct record_group g;
    must(record_flags_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(w->account, r.mailbox);
    if (!m || mailbox_load(w->account, m, w->fault) != R_OK)
        return m ? R_FAIL : R_OK;
    struct unpack u = unpack_of(r.groups);
    while (record_groups_next(&u, &g) == R_OK)
        follow_group(w, m, &g);
    return R_OK;
}

// ---- what leaves ----

// What is thrown away here is not kept elsewhere for its own sake; neither is what REPLACE replaces.
static bool
throws_away(const struct follow *w, enum record_type type, const struct mailbox *m)
{
    uint8_t use = m->state->special_use;
    return type == RECORD_EXPUNGED &&
           (w->adds || use == USE_TRASH || use == USE_JUNK || use == USE_DRAFTS);
}

static bool
only_in_all(const struct follow *w, uint64_t emailid, uint64_t but)
{
    const struct account *a = w->account;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        uint64_t mailbox = label_slot_mailbox(a, p->slot);
        if (mailbox != but && mailbox != w->all_id)
            return false;
    }
    return true;
}

static enum result
follow_row_gone(struct follow *w, struct mailbox *m, enum record_type type,
                const struct message_row *row, struct buf *packed)
{
    struct edit gone = {.rank = RANK_GONE};
    size_t n;
    bool from_all = m->id == w->all_id;
    if ((from_all && type == RECORD_EXPUNGED) ||
        (!from_all && throws_away(w, type, m) && only_in_all(w, row->emailid, m->id))) {
        edit_copies(w, row->emailid, m->id, &gone);
        return R_OK;
    }
    touch_copies(w, row->emailid, m->id);
    if (!from_all)
        return R_OK;
    // moved out of \All, which holds every message: it is there again, under a new UID
    const uint32_t *numbers = keyword_sets_get(m->state->sets, row->keywords, &n);
    return all_add(w, m, row, (struct row_flags){row->flags, numbers, n}, packed);
}

static enum result
follow_row_gone_at(struct follow *w, struct mailbox *m, enum record_type type, uint32_t i,
                   struct buf *packed)
{
    yield_at(i);
    return follow_row_gone(w, m, type, &m->state->rows[i], packed);
}

static enum result
follow_gone(struct follow *w, enum record_type type, struct span meta)
{
    struct record_expunged r;
    uint32_t first, last;
    struct buf packed;
    enum result done = R_OK;
    must(record_expunged_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(w->account, r.mailbox);
    if (!m || mailbox_load(w->account, m, w->fault) != R_OK)
        return m ? R_FAIL : R_OK;
    must(w->leaving_count < sizeof w->leaving / sizeof w->leaving[0]);
    struct leaving *leaving = &w->leaving[w->leaving_count++];
    leaving->mailbox = m->id;
    seqset_init(&leaving->uids, w->account->batch_arena);
    buf_init(&packed, LIMIT_record_meta);
    struct unpack u = unpack_of(r.uids);
    while (done == R_OK && record_ranges_next(&u, &first, &last) == R_OK) {
        seqset_add_range(&leaving->uids, first, last);
        for (uint32_t i = state_row_at(m->state, first);
             done == R_OK && i < m->state->counts.exists && m->state->rows[i].uid <= last;
             i++)
            done = follow_row_gone_at(w, m, type, i, &packed);
    }
    if (done == R_OK)
        done = put_all_rows(w, &packed);
    buf_done(&packed);
    return done;
}

static enum result
follow_mailbox_gone(struct follow *w, struct span meta)
{
    struct record_mailbox_gone r;
    must(record_mailbox_gone_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(w->account, r.id);
    if (r.id == w->all_id)
        return fault_set(w->fault, FAULT_CANNOT, "the mailbox with all messages");
    if (!m || mailbox_load(w->account, m, w->fault) != R_OK)
        return m ? R_FAIL : R_OK;
    w->deleted = r.id;
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        touch_copies(w, m->state->rows[i].emailid, r.id);
        yield_at(i);
    }
    return R_OK;
}

static enum result
follow_mailbox(struct follow *w, struct span meta)
{
    struct record_mailbox r;
    must(record_mailbox_get(meta, &r) == R_OK);
    if (r.id == w->all_id && r.special_use != USE_ALL)
        return fault_set(w->fault, FAULT_CANNOT, "the mailbox with all messages");
    return R_OK;
}

// ---- the edits, by mailbox ----

static int
edit_order(const void *pa, const void *pb)
{
    const struct edit *a = pa, *b = pb;
    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    if (a->uid != b->uid)
        return a->uid < b->uid ? -1 : 1;
    return a->rank > b->rank ? -1 : a->rank < b->rank;
}

static bool
leaves_anyway(const struct follow *w, uint64_t mailbox, uint32_t uid)
{
    for (size_t i = 0; i < w->leaving_count; i++)
        if (w->leaving[i].mailbox == mailbox && seqset_contains(&w->leaving[i].uids, uid))
            return true;
    return false;
}

static enum result
edit_flags(struct follow *w, struct mailbox *m, const struct edit *e,
           struct flag_groups *groups)
{
    struct account *a = w->account;
    uint32_t index = rows_index(m, e->uid);
    struct row_flags had, now;
    if (pending_get(a, m, &m->state->rows[index], &had) != R_OK)
        return R_OK;
    now = had;
    if (e->rank == RANK_SET) {
        now = (struct row_flags){e->flags, e->keywords, e->keyword_count};
        now.flags = (uint16_t)((e->flags & ~FLAG_DELETED) | (had.flags & FLAG_DELETED));
        if (label_keywords(a, w->batch, e->from, m, &now, w->fault) != R_OK)
            return R_FAIL;
    }
    flag_groups_recount(mailbox_next(a, m), had.flags, now.flags);
    flag_groups_add(groups, index, e->uid, &now);
    return R_OK;
}

static enum result
put_mailbox(struct follow *w, const struct edit *e, size_t n)
{
    struct account *a = w->account;
    struct mailbox *m = mailbox_of(a, label_slot_mailbox(a, e[0].slot));
    struct flag_groups groups;
    struct seqset gone;
    enum result r = R_OK;
    if (!m || mailbox_load(a, m, w->fault) != R_OK)
        return m ? R_FAIL : R_OK;
    mailbox_next(a, m);
    flag_groups_init(&groups);
    seqset_init(&gone, a->batch_arena);
    for (size_t i = 0; i < n && r == R_OK; i++) {
        if ((i > 0 && e[i].uid == e[i - 1].uid) || leaves_anyway(w, m->id, e[i].uid))
            continue;
        if (e[i].rank == RANK_GONE)
            seqset_add(&gone, e[i].uid);
        else
            r = edit_flags(w, m, &e[i], &groups);
        yield_at(i);
    }
    if (r == R_OK)
        r = flag_groups_put(a, w->batch, m, &groups, true, w->fault);
    flag_groups_done(&groups);
    if (r != R_OK || gone.count == 0)
        return r;
    return rows_put_gone(a, w->batch, m, RECORD_EXPUNGED, &gone, w->fault);
}

static enum result
put_edits(struct follow *w)
{
    if (w->n > 1)
        qsort(w->edits, w->n, sizeof *w->edits, edit_order);
    for (size_t i = 0, end; i < w->n; i = end) {
        for (end = i; end < w->n && w->edits[end].slot == w->edits[i].slot;)
            end++;
        if (put_mailbox(w, w->edits + i, end - i) != R_OK)
            return R_FAIL;
        task_yield();
    }
    return R_OK;
}

// ---- the whole ----

static enum result
follow_record(struct follow *w, size_t i)
{
    enum record_type type = store_batch_type(w->batch, i);
    struct span meta = arena_dup(w->account->batch_arena, store_batch_meta(w->batch, i));
    switch (type) {
    case RECORD_ADDED:
        return follow_added(w, i, meta);
    case RECORD_COPIED:
        return follow_copied(w, meta);
    case RECORD_FLAGS:
        return follow_flags(w, meta);
    case RECORD_EXPUNGED:
    case RECORD_MOVED:
        return follow_gone(w, type, meta);
    case RECORD_MAILBOX_GONE:
        return follow_mailbox_gone(w, meta);
    case RECORD_MAILBOX:
        return follow_mailbox(w, meta);
    default:
        return R_OK;
    }
}

static bool
is_of_messages(enum record_type type)
{
    return type == RECORD_ADDED || type == RECORD_COPIED || type == RECORD_FLAGS ||
           type == RECORD_EXPUNGED || type == RECORD_MOVED || type == RECORD_MAILBOX_GONE ||
           type == RECORD_MAILBOX;
}

enum result
label_follow(struct account *a, struct store_batch *b, struct fault *f)
{
    struct follow w = {.account = a, .batch = b, .fault = f};
    size_t n = store_batch_count(b);
    bool matters = false;
    for (size_t i = 0; i < n; i++)
        matters |= is_of_messages(store_batch_type(b, i));
    if (!matters)
        return R_OK;
    label_mode(a, &w.all_id);
    w.all = mailbox_of(a, w.all_id);
    if (!w.all)
        return fault_set(f, FAULT_SERVERBUG, "no mailbox with all messages");
    if (mailbox_load(a, w.all, f) != R_OK || label_index_ready(a, f) != R_OK)
        return R_FAIL;
    mailbox_next(a, w.all);
    for (size_t i = 0; i < n; i++) {
        w.adds |= store_batch_type(b, i) == RECORD_ADDED;
        if (store_batch_type(b, i) != RECORD_FLAGS)
            continue;
        struct unpack u = unpack_of(store_batch_meta(b, i));
        w.sets = true;
        w.set_in = unpack_var(&u);
    }
    for (size_t i = 0; i < n; i++)
        if (follow_record(&w, i) != R_OK)
            return R_FAIL;
    return put_edits(&w);
}
