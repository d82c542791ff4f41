#ifndef WIRE_SEQSET_H
#define WIRE_SEQSET_H

// A seqset is a set of numbers 1..2^32-1 as sorted, disjoint, non-touching ranges: sequence sets and UID
// sets of RFC 9051 section 9, and the UID sets that answers and records carry.
// Owner: an arena, which holds the ranges. Trust: parse takes any bytes; at most LIMIT_seqset_ranges ranges
// from outside. Threads: as its arena.

#include "base/arena.h"
#include "base/pack.h"

struct seqset_range {
    uint32_t first, last;  // 1 <= first <= last
};

struct seqset {
    struct arena *arena;
    struct seqset_range *ranges;
    uint32_t count, room;
};

void seqset_init(struct seqset *s, struct arena *a);  // empty

// Parses the whole of `text`. `star` is what '*' means: EXISTS, or the highest UID of the mailbox. With
// star == 0 (empty mailbox) a range with '*' names nothing. 0, leading zeros, overflow and anything else
// outside the grammar is FAULT_BAD; too many ranges FAULT_LIMIT. The caller recognises "$".
enum result seqset_parse(struct span text, uint32_t star, struct arena *a,
                         struct seqset *s_out, struct fault *f) MUST_CHECK;
// Octets at the front of `text` that can belong to a sequence set (digits, ':', ',', '*').
size_t seqset_span(struct span text);

void seqset_add(struct seqset *s, uint32_t n);  // constant time when numbers rise
void seqset_add_range(struct seqset *s, uint32_t first, uint32_t last);
bool seqset_contains(const struct seqset *s, uint32_t n);
uint64_t seqset_size(const struct seqset *s);  // numbers in the set
void seqset_copy(struct seqset *to, struct arena *a, const struct seqset *from);

// Iteration in rising order: struct seqset_iter i = {0}; while (seqset_next(s, &i, &n)) ...
struct seqset_iter {
    uint32_t range;
    uint64_t next;
};
bool seqset_next(const struct seqset *s, struct seqset_iter *i, uint32_t *n_out);

void seqset_print(const struct seqset *s, struct buf *b);  // "1:3,7"; nothing when empty

// For records: a count and pairs of differences as varints. get checks order and count.
void seqset_put(struct buf *b, const struct seqset *s);
enum result seqset_get(struct unpack *u, struct arena *a, struct seqset *s_out) MUST_CHECK;

#endif
