#include "store/record_inside.h"

// ---- lists ----

void
record_ranges_add(struct buf *b, uint32_t first, uint32_t last)
{
    pack_var(b, first);
    pack_var(b, last - first);
}

enum result
record_ranges_next(struct unpack *u, uint32_t *first_out, uint32_t *last_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    uint32_t first = unpack_max32(u, 1, UINT32_MAX);
    uint32_t more = unpack_max32(u, 0, UINT32_MAX - first);
    if (u->bad)
        return R_FAIL;
    *first_out = first;
    *last_out = first + more;
    return R_OK;
}

void
record_keywords_add(struct buf *b, uint32_t index)
{
    pack_var(b, index);
}

enum result
record_keywords_next(struct unpack *u, uint32_t *index_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    uint32_t index = unpack_max32(u, 0, LIMIT_keywords - 1);
    if (u->bad)
        return R_FAIL;
    *index_out = index;
    return R_OK;
}

void
record_groups_add(struct buf *b, const struct record_group *g)
{
    pack_var(b, g->flags);
    pack_span(b, g->keywords);
    pack_span(b, g->ranges);
}

enum result
record_groups_next(struct unpack *u, struct record_group *g_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    struct record_group g = {.flags = unpack_flags(u)};
    g.keywords = unpack_span(u);
    g.ranges = unpack_span(u);
    if (u->bad)
        return R_FAIL;
    *g_out = g;
    return R_OK;
}

// Beside the flags of a row: its `sent` stands at the end. Rows of older stores have none.
enum { ROW_SENT = 32 };

void
record_put_row(struct buf *b, const struct message_row *r)
{
    pack_var(b, r->uid);
    pack_var(b, r->size);
    pack_var(b, r->flags | (r->sent != SENT_UNKNOWN ? ROW_SENT : 0u));
    pack_signed(b, r->zone_min);
    pack_var(b, r->modseq);
    pack_signed(b, r->internal_date);
    pack_signed(b, r->save_date);
    pack_var(b, r->emailid);
    pack_var(b, r->threadid);
    if (r->sent != SENT_UNKNOWN)
        pack_var(b, r->sent);
}

struct message_row
record_get_row(struct unpack *u)
{
    struct message_row r = {.uid = unpack_max32(u, 1, UINT32_MAX)};
    r.size = unpack_max32(u, 0, UINT32_MAX);
    uint64_t flags = unpack_max(u, 0, ROW_SENT | FLAG_ALL);
    r.flags = (uint16_t)(flags & FLAG_ALL);
    r.zone_min = (int16_t)unpack_within(u, -RECORD_ZONE_MAX, RECORD_ZONE_MAX);
    r.modseq = unpack_modseq(u);
    r.internal_date = unpack_signed(u);
    r.save_date = (uint32_t)unpack_within(u, 0, UINT32_MAX);
    r.emailid = unpack_var(u);
    r.threadid = unpack_var(u);
    if (flags & ROW_SENT)
        r.sent = (uint16_t)unpack_max(u, SENT_NONE, UINT16_MAX);
    return r;
}

void
record_rows_add(struct buf *b, const struct record_row *r)
{
    record_put_row(b, &r->row);
    pack_var(b, r->row.blob);
    pack_span(b, r->keywords);
}

enum result
record_rows_next(struct unpack *u, struct record_row *r_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    struct record_row r = {.row = record_get_row(u)};
    r.row.blob = unpack_var(u);
    r.keywords = unpack_span(u);
    if (u->bad)
        return R_FAIL;
    *r_out = r;
    return R_OK;
}

// Whole lists: well-formed, and ascending without overlap, so that they are applied in one pass.

bool
record_ranges_good(struct span list)
{
    struct unpack u = unpack_of(list);
    uint32_t first = 0, last = 0, before = 0;
    enum result r;
    while ((r = record_ranges_next(&u, &first, &last)) == R_OK) {
        if (first <= before)
            return false;
        before = last;
    }
    return r == R_NONE;
}

bool
record_keywords_good(struct span list)
{
    struct unpack u = unpack_of(list);
    uint32_t index = 0;
    int64_t before = -1;
    enum result r;
    while ((r = record_keywords_next(&u, &index)) == R_OK) {
        if ((int64_t)index <= before)
            return false;
        before = index;
    }
    return r == R_NONE;
}

bool
record_groups_good(struct span list)
{
    struct unpack u = unpack_of(list);
    struct record_group g;
    enum result r;
    while ((r = record_groups_next(&u, &g)) == R_OK)
        if (!record_keywords_good(g.keywords) || !record_ranges_good(g.ranges))
            return false;
    return r == R_NONE;
}

bool
record_rows_good(struct span list)
{
    struct unpack u = unpack_of(list);
    struct record_row row;
    uint32_t before = 0;
    enum result r;
    while ((r = record_rows_next(&u, &row)) == R_OK) {
        if (row.row.uid <= before || !record_keywords_good(row.keywords))
            return false;
        before = row.row.uid;
    }
    return r == R_NONE;
}

struct span
record_unpack_list(struct unpack *u, bool (*good)(struct span))
{
    struct span list = unpack_span(u);
    if (u->bad || !good(list))
        u->bad = true;
    return u->bad ? SPAN_NONE : list;
}

void
record_pack_list(struct buf *b, struct span list, bool (*good)(struct span))
{
    must(good(list));
    pack_span(b, list);
}
