#ifndef SEARCH_TEXT_NEEDLE_H
#define SEARCH_TEXT_NEEDLE_H

// A needle as conditions on terms: a document in which it occurs has, for each condition, a term that meets it. Where `exact`, the one
// condition holds only where the needle occurs. Private to this folder. Trust: any octets.

#include "search/text_words.h"

enum text_how { TEXT_WHOLE, TEXT_PREFIX, TEXT_SUFFIX, TEXT_INFIX };
struct text_condition {
    enum text_kind kind;
    enum text_how how;
    bool folded;  // or a term of TEXT_FOLDED
    uint8_t n;
    char octets[TERM_MAX];
};

enum { TEXT_CONDITIONS = 24 };  // of a longer needle the others are left to verification
struct text_needle {
    struct text_condition conditions[TEXT_CONDITIONS];
    size_t n;  // 0: every document may have it
    bool exact;
};

void text_needle_read(struct text_needle *out, struct span needle);
// Of a text folded by COLLATION_FUZZY: its words; what is between them is left to verification.
void text_needle_read_fuzzy(struct text_needle *out, struct span needle);

#endif
