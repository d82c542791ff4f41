#include "io/task.h"
#include "search/text_inside.h"

// Segments are merged when FAN of them are about as large as each other, so that each document is written again once for each
// FAN-fold growth, and a search looks into few segments; but where it is seldom asked only when there are more than SEGMENTS_MAX.

enum { FAN = 8, SEGMENTS_MAX = 24, SMALLEST = 1 << 20 };

static unsigned
tier_of(const struct text_segment *s)
{
    unsigned tier = 0;
    for (uint64_t n = s->octets; n >= (uint64_t)SMALLEST; n /= FAN)
        tier++;
    return tier;
}

static int
by_octets(const void *left, const void *right)
{
    const struct text_segment *a = *(struct text_segment *const *)left,
                              *b = *(struct text_segment *const *)right;
    return (a->octets > b->octets) - (a->octets < b->octets);
}

// How many from the smallest on fit into one string: terms and lists are less than both together.
static size_t
fitting(const struct text_index *ti, struct text_segment *const *sorted, size_t n)
{
    uint64_t octets = 0;
    size_t fit = 0;
    for (; fit < n && fit < TEXT_REPLACED; fit++) {
        octets += sorted[fit]->octets;
        if (octets > ti->octets_max)
            break;
    }
    return fit;
}

// The smallest ones, up to the first FAN of about one size; 0: none are due.
static size_t
due(const struct text_index *ti, struct text_segment *const *sorted, bool soon)
{
    size_t fit = soon || ti->count > SEGMENTS_MAX ? fitting(ti, sorted, ti->count) : 0;
    for (size_t from = 0; from + FAN <= fit; from++)
        if (tier_of(sorted[from]) == tier_of(sorted[from + FAN - 1]))
            return from + FAN;
    return ti->count > SEGMENTS_MAX && fit > 1 ? (fit < FAN ? fit : FAN) : 0;
}

static bool
has_dead(const struct text_segment *s, const struct text_merge_wish *wish)
{
    for (size_t i = 0; i < s->document_count; i++) {
        if (!wish->alive(wish->arg, s->documents[i].emailid))
            return true;
        if (i % 1024 == 0)
            task_yield();
    }
    return false;
}

// Those with dead documents go to the front. One is written again also where it is as large as a string may be.
static size_t
dead(const struct text_index *ti, const struct text_merge_wish *wish,
     struct text_segment **sorted)
{
    size_t n = 0;
    for (size_t i = 0; i < ti->count; i++)
        if (has_dead(sorted[i], wish))
            sorted[n++] = sorted[i];
    size_t fit = fitting(ti, sorted, n);
    return n > 0 && fit == 0 ? 1 : fit;
}

size_t
text_merge_choose(const struct text_index *ti, const struct text_merge_wish *wish,
                  struct text_segment **sorted)
{
    if (ti->count == 0)
        return 0;
    memcpy(sorted, ti->segments, ti->count * sizeof(struct text_segment *));
    qsort(sorted, ti->count, sizeof *sorted, by_octets);
    if (wish->dead)
        return dead(ti, wish, sorted);
    return wish->all ? fitting(ti, sorted, ti->count) : due(ti, sorted, wish->soon);
}
