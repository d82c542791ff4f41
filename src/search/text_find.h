#ifndef SEARCH_TEXT_FIND_H
#define SEARCH_TEXT_FIND_H

// The octets of a condition, looked for in a page of terms. Private to this folder.

#include "search/text_inside.h"
#include "search/text_needle.h"

struct text_pattern {
    uint8_t n, lead;      // octets; 1: it begins with a delimiter
    uint8_t rare, rarer;  // where its rarest octets are
    char octets[TERM_MAX + 2];
};
void text_pattern_init(struct text_pattern *p, const struct text_condition *c);
// The delimiter before the next term in which the pattern is, from the one at `from` on; text.n: none.
size_t text_pattern_find(const struct text_pattern *p, struct span text, size_t from);

#endif
