#ifndef SEARCH_SORT_COLUMN_H
#define SEARCH_SORT_COLUMN_H

// A sort column keeps, by one key and i;unicode-casemap, the rank of each message's value among all values in it, so that
// a sort compares numbers. The values stay too, each one once: what comes later finds its rank among them.

#include "search/column.h"
#include "search/sort.h"

enum { SORT_NO_RANK = UINT32_MAX };

// Is there one by this key? Values in the row need none.
bool sort_column_of(enum sort_key key);
// Ranks of messages by ascending UIDs; returns how many have none (SORT_NO_RANK). NULL: an empty column.
size_t sort_column_ranks(const struct column *c, const uint32_t *uids, size_t n,
                         uint32_t *ranks);
// Suspends. A new column: the old one (NULL: none) and all messages of the sort, whose values by this criterion are set
// and whose UIDs rise; some may be in the old one already. FAULT_LIMIT: too much.
enum result sort_column_more(struct column *old, struct sort *s, unsigned criterion,
                             const uint32_t *uids, struct column **out,
                             struct fault *f) MUST_CHECK;

#endif
