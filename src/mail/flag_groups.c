#include "mail/flag_groups.h"

#include "base/limits.h"

void
flag_groups_init(struct flag_groups *g)
{
    *g = (struct flag_groups){0};
    buf_init(&g->groups, LIMIT_record_meta);
    buf_init(&g->ranges, LIMIT_record_meta);
}

void
flag_groups_done(struct flag_groups *g)
{
    buf_done(&g->groups);
    buf_done(&g->ranges);
}

bool
flag_same_keywords(const uint32_t *a, size_t na, const uint32_t *b, size_t nb)
{
    return na == nb && (na == 0 || memcmp(a, b, na * sizeof *a) == 0);
}

static void
range_close(struct flag_groups *g)
{
    if (g->first > 0)
        record_ranges_add(&g->ranges, g->first, g->last);
    g->first = 0;
}

static void
flush(struct flag_groups *g)
{
    struct buf list;
    range_close(g);
    if (g->ranges.n == 0)
        return;
    buf_init(&list, LIMIT_keywords * 5);
    for (size_t i = 0; i < g->keyword_count; i++)
        record_keywords_add(&list, g->keywords[i]);
    struct record_group r = {g->flags, buf_span(&list), buf_span(&g->ranges)};
    record_groups_add(&g->groups, &r);
    buf_reset(&g->ranges);
    buf_done(&list);
}

void
flag_groups_add(struct flag_groups *g, uint32_t index, uint32_t uid,
                const struct row_flags *now)
{
    if (g->flags != now->flags || !flag_same_keywords(g->keywords, g->keyword_count,
                                                      now->keywords, now->keyword_count)) {
        flush(g);
        g->flags = now->flags;
        g->keywords = now->keywords;
        g->keyword_count = now->keyword_count;
    }
    // a row that was not touched lies between
    if (g->touched == 0 || g->last_index + 1 != index)
        range_close(g);
    if (g->first == 0)
        g->first = uid;
    g->last = uid;
    g->last_index = index;
    g->touched++;
}

void
flag_groups_recount(struct mailbox_counts *c, uint16_t before, uint16_t after)
{
    c->unseen += (uint32_t)(!(after & FLAG_SEEN)) - (uint32_t)(!(before & FLAG_SEEN));
    c->deleted +=
        (uint32_t)(!!(after & FLAG_DELETED)) - (uint32_t)(!!(before & FLAG_DELETED));
}

enum result
flag_groups_put(struct account *a, struct store_batch *b, struct mailbox *m,
                struct flag_groups *g, bool first, struct fault *f)
{
    struct mailbox_counts *next = mailbox_next(a, m);
    struct buf meta;
    flush(g);
    if (g->touched == 0)
        return R_OK;
    bool over = g->groups.over || g->ranges.over;
    enum result r = change_room(b, first, over ? SIZE_MAX : g->groups.n, f);
    if (r != R_OK)
        return r;
    next->modseq = change_modseq(a);
    struct record_flags record = {m->id, next->modseq, *next, buf_span(&g->groups)};
    buf_init(&meta, LIMIT_record_meta);
    record_flags_put(&meta, &record);
    must(!meta.over);
    store_batch_add(b, RECORD_FLAGS, buf_span(&meta), NULL);
    buf_done(&meta);
    return R_OK;
}

bool
flag_has_keyword(const struct row_flags *now, uint32_t number)
{
    for (size_t i = 0; i < now->keyword_count; i++)
        if (now->keywords[i] == number)
            return true;
    return false;
}

void
flag_toggle_keyword(struct account *a, struct row_flags *now, uint32_t number, bool on)
{
    uint32_t *list = arena_array(a->batch_arena, now->keyword_count + 1, sizeof *list);
    size_t n = 0, i = 0;
    for (; i < now->keyword_count && now->keywords[i] < number; i++)
        list[n++] = now->keywords[i];
    if (on)
        list[n++] = number;
    for (; i < now->keyword_count; i++)
        if (now->keywords[i] != number)
            list[n++] = now->keywords[i];
    now->keywords = list;
    now->keyword_count = n;
}
