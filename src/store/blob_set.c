#include "store/blob_set.h"

struct blob_set
blob_set_new(struct journal *j)
{
    struct blob_set s = {0};
    for (uint32_t number = journal_segment_count(j); number > 0; number--)
        blob_set_reserve(&s, number - 1, journal_segment_get(j, number).records);
    return s;
}

void
blob_set_reserve(struct blob_set *s, uint32_t segment, uint64_t count)
{
    if (segment >= s->segments) {
        s->parts = reallocarray(s->parts, segment + 1, sizeof *s->parts);
        must(s->parts != NULL);
        memset(s->parts + s->segments, 0, (segment + 1 - s->segments) * sizeof *s->parts);
        s->segments = segment + 1;
    }
    struct blob_part *p = &s->parts[segment];
    size_t octets = (size_t)(count / 8 + 1);
    if (octets <= p->octets)
        return;
    octets += octets / 2;
    p->bits = reallocarray(p->bits, octets, 1);
    must(p->bits != NULL);
    memset(p->bits + p->octets, 0, octets - p->octets);
    p->octets = octets;
}

void
blob_set_done(struct blob_set *s)
{
    for (uint32_t i = 0; i < s->segments; i++)
        free(s->parts[i].bits);
    free(s->parts);
    *s = (struct blob_set){0};
}

static uint32_t
segment_of(uint64_t blob)
{
    return (uint32_t)(blob >> 32) - 1;
}

// Segments and records that the journal does not have (damage) are left out.
void
blob_set_add(struct blob_set *s, uint64_t blob)
{
    uint64_t number = blob & UINT32_MAX;
    if (segment_of(blob) > s->segments)
        return;
    blob_set_reserve(s, segment_of(blob), number);
    s->parts[segment_of(blob)].bits[number / 8] |= (uint8_t)(1u << (number % 8));
}

bool
blob_set_has(const struct blob_set *s, uint64_t blob)
{
    uint32_t segment = segment_of(blob);
    uint64_t number = blob & UINT32_MAX;
    return segment < s->segments && number / 8 < s->parts[segment].octets &&
           (s->parts[segment].bits[number / 8] >> (number % 8) & 1) != 0;
}
