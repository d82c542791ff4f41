#ifndef STORE_INDEX_BLOCK_H
#define STORE_INDEX_BLOCK_H

// How the index holds the rows of a mailbox: one entry (INDEX_ROW) for those of INDEX_BLOCK UIDs, field by field, each as what it
// is above the field's least value. The octets depend on the rows alone, so that equal folds are equal entries. The form is in
// docs/format.md.
// Trust: entries are read as what may be damaged. Threads: any.

#include "store/index.h"

enum { INDEX_BLOCK = 32 };

struct index_block {
    uint32_t n;
    struct message_row rows[INDEX_BLOCK];  // ascending by uid; row.keywords is 0
    struct span keywords[INDEX_BLOCK];     // packed
};

// The key of the block that this UID belongs to.
struct index_key index_block_key(uint64_t account, uint64_t mailbox, uint32_t uid);
// The first UID of the block with this (good) key; and the last.
uint32_t index_block_first(struct span key);
uint32_t index_block_last(struct span key);
// R_FAIL: damaged. Keywords are borrowed from the value.
enum result index_block_get(struct span key, struct span value,
                            struct index_block *out) MUST_CHECK;
// Of one row at least.
void index_block_put(struct buf *b, const struct index_block *block);
// Index of the first row with a UID >= uid (n when there is none).
uint32_t index_block_at(const struct index_block *block, uint32_t uid);

#endif
