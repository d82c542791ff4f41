#ifndef BASE_TABLE_H
#define BASE_TABLE_H

// Hash tables: uthash's macros (HASH_FIND, HASH_ADD, HASH_DELETE, HASH_ITER). The table is a pointer to its first
// entry; entries are the owner's, with a UT_hash_handle inside. Where keys come from outside, define HASH_FUNCTION
// as hash_keyed (base/hash.h) before including this.

#include "base/keep.h"

// The tables' own memory stays as long as they do.
#define uthash_malloc(size) keep_new(size)
#define uthash_free(p, size) keep_free((p), (size))

#include <uthash.h>

// Most tables hold a few entries (an account's mailboxes); they grow from here.
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS 4U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 2U

// The analyzer follows the macros into their buckets, loses the thread there and takes every entry that is freed
// after its removal for one still in the table. What it needs to know is that the pointers may change.
#ifdef __clang_analyzer__
void *table_unseen(const void *head, ...);
#undef HASH_FIND
#undef HASH_ADD
#undef HASH_ADD_KEYPTR
#undef HASH_DELETE
#undef HASH_CLEAR
#undef HASH_SORT
#define HASH_FIND(hh, head, key, n, out) ((out) = table_unseen((head), (key), (size_t)(n)))
#define HASH_ADD(hh, head, field, n, entry) ((head) = table_unseen((head), (entry)))
#define HASH_ADD_KEYPTR(hh, head, key, n, entry)                                           \
    ((head) = table_unseen((head), (key), (size_t)(n), (entry)))
#define HASH_DELETE(hh, head, entry) ((head) = table_unseen((head), (entry)))
#define HASH_CLEAR(hh, head) ((head) = table_unseen(head))
#define HASH_SORT(head, order) ((head) = table_unseen((head), (order)))
#endif

#endif
