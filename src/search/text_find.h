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

// Words of TEXT_PAIRED, by their places there.
struct text_places {
    unsigned char *bits;  // NULL: all of them
    uint32_t first, end;  // where they are; first >= end: there are none
};
// Adds the words of the page, of TEXT_PAIRED or TEXT_TURNED, that meet the condition: the whole or the beginning.
enum result text_page_places(const struct text_segment *s, const struct text_page *page,
                             const struct text_condition *c, struct text_places *out,
                             struct fault *f) MUST_CHECK;

// A segment that is read.
struct text_place {
    struct text_segment *s;
    struct text_page page;
    struct text_pairs pairs;
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
    struct text_places
        *places;  // gets the terms that meet it; NULL: their documents are marked
};
static inline bool
text_is_done(const struct text_work *w)
{
    return w->only && w->marks.reached == w->marks.documents;
}
bool text_is_scanned(const struct text_condition *c);
void text_work_init(struct text_work *w, const struct text_condition *c, size_t documents);
void text_work_done(struct text_work *w);

// Suspend, yield.
enum result text_look_up(struct text_place *at, struct text_work *w,
                         struct fault *f) MUST_CHECK;
// Marks the documents of the pairs of words that meet a condition on junctions.
enum result text_look_up_pairs(struct text_place *at, struct text_work *w,
                               struct fault *f) MUST_CHECK;
enum result text_pass(struct text_place *at, struct text_work *works, size_t n,
                      struct fault *f) MUST_CHECK;

#endif
