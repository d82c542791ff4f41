#ifndef MIME_NEEDLE_H
#define MIME_NEEDLE_H

// A needle is looked for in one short text at a time that is there whole, as a field of the summary is. For texts that come in pieces:
// mime/text.h. Trust: none. Owner: it borrows the text it was made of.

#include "mime/charset.h"
#include "mime/finder.h"

struct mime_needle {
    struct mime_finder finder;
    enum collation collation;
    bool ascii;
};
// Of a text that is folded for the collation. An empty one is in every text that is not empty once it is folded.
struct mime_needle mime_needle_of(struct span folded, enum collation collation);
// Is it in the text, once that is folded too?
bool mime_needle_in(const struct mime_needle *needle, struct span utf8);

#endif
