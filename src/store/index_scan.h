#ifndef STORE_INDEX_SCAN_H
#define STORE_INDEX_SCAN_H

// A walk over the index's rows in one reader: for (index_scan_first(..); s.now == R_OK; index_scan_next(..)).
// Only index_*.c include this. Owner: one scan; nothing suspends between index_read_begin and _end.

#include "store/index.h"

struct index_scan {
    struct index_reader r;
    struct index_key prefix;
    struct span key, value;  // until the next step
    enum result now;
};

// All entries that begin with `prefix`, from `from` on (NULL: the first).
void index_scan_first(struct index_scan *s, struct index_key prefix,
                      const struct index_key *from, struct fault *f);
void index_scan_next(struct index_scan *s, struct fault *f);
enum result index_scan_damaged(struct index_scan *s, const char *what, struct fault *f);
// Room for one more behind `n`; frees and returns as realloc does.
void *index_list_add(void *list, size_t n, size_t size);

// index_private.c: the marks of the tombstones found (store_tombstones.marked). A page that has too many is cut.
enum result index_marks(struct index_scan *s, uint64_t account, uint64_t mailbox,
                        struct store_tombstones *out, struct fault *f) MUST_CHECK;

#endif
