#include "mail/rows.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/private.h"

void
rows_put_copied(struct store_batch *b, uint64_t id, const struct mailbox_counts *counts,
                struct span rows)
{
    struct record_copied r = {id, *counts, rows};
    struct buf meta;
    buf_init(&meta, LIMIT_record_meta);
    record_copied_put(&meta, &r);
    must(!meta.over);
    store_batch_add(b, RECORD_COPIED, buf_span(&meta), NULL);
    buf_done(&meta);
}

void
rows_add(struct buf *rows, const struct message_row *row, const struct row_flags *now,
         const uint32_t *keywords, size_t keyword_count)
{
    struct record_row r = {.row = *row};
    struct buf list;
    r.row.flags = now->flags;
    r.row.keywords = 0;
    buf_init(&list, LIMIT_keywords * 5);
    for (size_t i = 0; i < keyword_count; i++)
        record_keywords_add(&list, keywords[i]);
    r.keywords = buf_span(&list);
    record_rows_add(rows, &r);
    buf_done(&list);
}

void
rows_count(struct mailbox_counts *c, const struct message_row *row, uint16_t flags,
           int sign)
{
    c->exists += (uint32_t)sign;
    c->size += (uint64_t)sign * row->size;
    c->unseen += flags & FLAG_SEEN ? 0 : (uint32_t)sign;
    c->deleted += flags & FLAG_DELETED ? (uint32_t)sign : 0;
}

void
rows_put_expunged(struct account *a, struct store_batch *b, struct mailbox *m,
                  enum record_type type, const struct seqset *uids)
{
    struct mailbox_counts *next = mailbox_next(a, m);
    struct buf ranges, meta;
    buf_init(&ranges, LIMIT_record_meta);
    buf_init(&meta, LIMIT_record_meta);
    next->modseq = change_modseq(a);
    for (uint32_t i = 0; i < uids->count; i++)
        record_ranges_add(&ranges, uids->ranges[i].first, uids->ranges[i].last);
    struct record_expunged r = {m->id, next->modseq, clock_wall_s(), *next,
                                buf_span(&ranges)};
    record_expunged_put(&meta, &r);
    must(!meta.over);
    store_batch_add(b, type, buf_span(&meta), NULL);
    buf_done(&ranges);
    buf_done(&meta);
}

uint32_t
rows_index(const struct mailbox *m, uint32_t uid)
{
    uint32_t row = state_row_at(m->state, uid);
    must(row < m->state->counts.exists && m->state->rows[row].uid == uid);
    return row;
}

enum result
rows_put_gone(struct account *a, struct store_batch *b, struct mailbox *m,
              enum record_type type, const struct seqset *uids, struct fault *f)
{
    enum { RANGE = 16 };
    struct seqset_iter i = {0};
    struct row_flags now;
    uint32_t uid;
    if (change_room(b, true, uids->count * (size_t)RANGE, f) != R_OK)
        return R_FAIL;
    struct mailbox_counts *next = mailbox_next(a, m);
    while (seqset_next(uids, &i, &uid)) {
        const struct message_row *row = &m->state->rows[rows_index(m, uid)];
        must(pending_get(a, m, row, &now) == R_OK);
        rows_count(next, row, now.flags, -1);
    }
    rows_put_expunged(a, b, m, type, uids);
    return R_OK;
}

static void
pack_all(struct account *a, struct mailbox *m, struct mailbox_counts *counts,
         struct seqset *uids, struct buf *rows)
{
    for (uint32_t i = 0; i < m->state->counts.exists && !rows->over; i++) {
        struct message_row row = m->state->rows[i];
        struct row_flags now;
        must(pending_get(a, m, &row, &now) == R_OK);
        seqset_add(uids, row.uid);
        rows_count(counts, &row, now.flags, 1);
        row.uid = counts->uidnext++;
        row.modseq = counts->modseq;
        rows_add(rows, &row, &now, now.keywords, now.keyword_count);
        yield_at(i);
    }
}

static enum result
move_with(struct account *a, struct store_batch *b, struct mailbox *m, uint64_t target,
          const struct private_others *others, struct fault *f)
{
    struct mailbox_counts counts = {.uidnext = 1, .modseq = change_modseq(a)};
    struct mailbox_counts *next = mailbox_next(a, m);
    struct seqset uids, made;
    struct buf rows;
    buf_init(&rows, LIMIT_record_meta);
    seqset_init(&uids, a->batch_arena);
    seqset_init(&made, a->batch_arena);
    pack_all(a, m, &counts, &uids, &rows);
    size_t octets =
        rows.over ? SIZE_MAX : rows.n + private_others_octets(others, m, NULL, 0);
    enum result r = change_room(b, true, octets, f);
    for (uint32_t i = 0; r == R_OK && i < m->state->keyword_count; i++)
        keyword_put(b, target, i, m->state->keywords[i]);
    if (r == R_OK && counts.exists > 0) {
        *next = (struct mailbox_counts){.uidnext = next->uidnext};
        seqset_add_range(&made, 1, counts.exists);
        rows_put_copied(b, target, &counts, buf_span(&rows));
        private_others_put(a, b, others, &(struct private_put){.made = target}, &uids,
                           &made);
        rows_put_expunged(a, b, m, RECORD_MOVED, &uids);
    }
    buf_done(&rows);
    return r;
}

enum result
rows_move_all(struct account *a, struct store_batch *b, struct mailbox *m, uint64_t target,
              struct fault *f)
{
    struct private_others others = {0};
    enum result r = private_others_open(a, m, a->id, &others, f);
    must(r != R_NONE);  // it is alone in its batch
    if (r == R_OK && (r = mailbox_load(a, m, f)) == R_OK)
        r = move_with(a, b, m, target, &others, f);
    private_others_close(&others);
    return r;
}
