#ifndef SEARCH_FUZZY_H
#define SEARCH_FUZZY_H

// Fuzzy search (RFC 6203): the words of a text in any order, each anywhere in a word, without regard to case, accents and
// forms (COLLATION_FUZZY). What matches is in docs/search.md. Owner: an arena. Threads: one at a time.

#include "search/query.h"

// Before query_prepare. Makes text keys fuzzy, the key itself and those in it: one key for each word. *keys counts those that come to it;
// FAULT_LIMIT: more than LIMIT_search_keys.
enum result query_fuzzy(struct query *q, struct arena *a, uint32_t *keys,
                        struct fault *f) MUST_CHECK;

// How relevant a message is that matches, 1 to 100, by where its words stand. It asks the summary alone, so that it is the
// same whether or not the message is indexed. The arena is for a moment.
unsigned query_relevancy(const struct query *q, const struct mime_summary *s,
                         struct arena *a);

#endif
