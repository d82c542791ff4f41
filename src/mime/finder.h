#ifndef MIME_FINDER_H
#define MIME_FINDER_H

// A finder looks for one needle, sixteen places at a time: those that have its two rarest octets. Linear, whatever the text.
// Trust: none. Owner: it borrows the needle.

#include "base/span.h"

struct mime_finder {
    struct span needle;
    size_t rare, rarer;  // places in it, rare <= rarer
};
struct mime_finder mime_finder_of(struct span needle);
// The longest piece of a text in which nothing `parts`; the first of equals.
struct span mime_longest_piece(struct span text, bool (*parts)(char c));
bool mime_finder_in(const struct mime_finder *f, struct span text);
// The needle has no small letters; those of the text are compared as capitals (ASCII).
bool mime_finder_in_any_case(const struct mime_finder *f, struct span text);

#endif
