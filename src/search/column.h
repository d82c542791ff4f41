#ifndef SEARCH_COLUMN_H
#define SEARCH_COLUMN_H

// A column keeps, for messages of one mailbox, what they are sorted or threaded by (sort_column.h, threading_column.h).
// What a message says never changes, so a column is never wrong; it may lack messages. It never changes either: with more
// messages it is another column, and who reads the old one goes on with it.
// Owner: counted references. Threads: any. Memory: its octets are in the budget for as long as it lives.

#include "base/span.h"

#include <stdatomic.h>

struct column {
    atomic_uint refs;
    uint32_t count;
    uint32_t *uids;         // of its messages, ascending
    size_t octets, shared;  // its own in the budget; those that it has together with others
    void (*free)(struct column *c);
};

struct column *column_ref(struct column *c);
void column_unref(struct column **c);  // takes NULL

// More memory of it.
enum result column_take(struct column *c, size_t octets, struct fault *f) MUST_CHECK;
void column_give(struct column *c, size_t octets);
// Octets; of NULL none.
size_t column_memory(const struct column *c);
// The place of the first UID that is not below this one, which is not at or behind `from` when it is below.
uint32_t column_from(const struct column *c, uint32_t from, uint32_t uid);

#endif
