#ifndef STORE_RECORD_INSIDE_H
#define STORE_RECORD_INSIDE_H

// Fields of records, as record.c and record_list.c write and check them. Only these two include this.

#include "store/record.h"

#include "base/limits.h"

static const uint64_t record_modseq_max = INT64_MAX;  // RFC 7162 section 3.1

static inline void
pack_signed(struct buf *b, int64_t v)
{
    pack_var(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static inline int64_t
unpack_signed(struct unpack *u)
{
    uint64_t v = unpack_var(u);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline int64_t
unpack_within(struct unpack *u, int64_t least, int64_t most)
{
    int64_t v = unpack_signed(u);
    if (v < least || v > most)
        u->bad = true;
    return u->bad ? 0 : v;
}

static inline uint64_t
unpack_max(struct unpack *u, uint64_t min, uint64_t max)
{
    uint64_t v = unpack_var(u);
    if (v < min || v > max)
        u->bad = true;
    return u->bad ? 0 : v;
}

static inline uint32_t
unpack_max32(struct unpack *u, uint32_t min, uint32_t max)
{
    return (uint32_t)unpack_max(u, min, max);
}

static inline uint64_t
unpack_id(struct unpack *u)
{
    return unpack_max(u, 1, UINT64_MAX);
}

static inline uint64_t
unpack_modseq(struct unpack *u)
{
    return unpack_max(u, 0, record_modseq_max);
}

static inline uint16_t
unpack_flags(struct unpack *u)
{
    return (uint16_t)unpack_max(u, 0, FLAG_ALL);
}

static inline bool
unpack_bool(struct unpack *u)
{
    return unpack_max(u, 0, 1) == 1;
}

static inline struct span
unpack_capped(struct unpack *u, size_t min, size_t max)
{
    struct span s = unpack_span(u);
    if (s.n < min || s.n > max)
        u->bad = true;
    return u->bad ? SPAN_NONE : s;
}

// ---- packed lists and rows (record_list.c) ----

void record_put_row(struct buf *b, const struct message_row *r);
struct message_row record_get_row(struct unpack *u);
bool record_ranges_good(struct span list);
bool record_keywords_good(struct span list);
bool record_groups_good(struct span list);
bool record_rows_good(struct span list);
struct span record_unpack_list(struct unpack *u, bool (*good)(struct span));
void record_pack_list(struct buf *b, struct span list, bool (*good)(struct span));

#endif
