#ifndef STORE_BLOB_SET_H
#define STORE_BLOB_SET_H

// A set of blobs: one bit per record of the journal. Memory: records / 8.
// Threads: one at a time.

#include "store/journal.h"

struct blob_part {
    uint8_t *bits;
    size_t octets;
};
struct blob_set {
    struct blob_part *parts;  // by segment number - 1
    uint32_t segments;
};

struct blob_set blob_set_new(struct journal *j);  // empty, with room for what is there now
void blob_set_reserve(struct blob_set *s, uint32_t segment, uint64_t count);
void blob_set_done(struct blob_set *s);
void blob_set_add(struct blob_set *s, uint64_t blob);
bool blob_set_has(const struct blob_set *s, uint64_t blob);

#endif
