#ifndef SEARCH_TEXT_FIND_H
#define SEARCH_TEXT_FIND_H

// Conditions at work on a segment: looked up where the beginning of a term is known, else in a pass over the pages that may have what
// meets them. Private to this folder.

#include "search/text_inside.h"
#include "search/text_needle.h"

// The octets of a condition, looked for in a page of terms.
struct text_pattern {
    uint8_t n, lead;                // octets; 1: it begins with a delimiter
    uint8_t rare, rarer;            // where its rarest octets are
    char octets[TERM_MAX + 2 + 8];  // eight more can be read
};
void text_pattern_init(struct text_pattern *p, const struct text_condition *c);
// The delimiter before the next term in which the pattern is, from the one at `from` on; text.n: none.
size_t text_pattern_find(const struct text_pattern *p, struct span text, size_t from);

// A segment that is read.
struct text_place {
    struct text_segment *s;
    struct text_page page;
    struct text_list_reader lists;
    struct text_row_reader rows;
};

// One condition.
struct text_work {
    const struct text_condition *c;
    struct text_pattern pattern;
    bool only;  // of its lookup: it may stop when all documents are reached
    size_t lookup;
    struct text_marks marks;
    unsigned char *pages;  // of a pass: those that may meet it, a bit each
};
bool text_is_scanned(const struct text_condition *c);
void text_work_init(struct text_work *w, const struct text_condition *c, size_t documents);
void text_work_done(struct text_work *w);

// Suspend, yield.
enum result text_look_up(struct text_place *at, struct text_work *w,
                         struct fault *f) MUST_CHECK;
enum result text_pass(struct text_place *at, struct text_work *works, size_t n,
                      struct fault *f) MUST_CHECK;

#endif
