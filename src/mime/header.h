#ifndef MIME_HEADER_H
#define MIME_HEADER_H

// Walking over a header block and choosing fields from it (HEADER.FIELDS, RFC 9051 section
// 6.4.5).
// Trust: none; lines without a colon that continue nothing are skipped by next and by the
// filter.
// Owner: all spans borrow the block.

#include "base/buf.h"
#include "base/span.h"

struct mime_header {
    struct span raw;    // the whole field with its line ends
    struct span name;   // without trailing white space
    struct span value;  // after the colon, folded as it is, without the last line end
};

struct mime_header_iter {
    struct span rest;
};

static inline struct mime_header_iter
mime_header_begin(struct span block)
{
    return (struct mime_header_iter){block};
}

// R_NONE at the empty line or the end of the block.
enum result mime_header_next(struct mime_header_iter *it,
                             struct mime_header *out) MUST_CHECK;
// The first field of that name (case-insensitive).
enum result mime_header_find(struct span block, struct span name,
                             struct mime_header *out) MUST_CHECK;

// Puts the value on one line: line ends are removed, white space after them stays, ends trimmed.
void mime_header_unfold(struct buf *b, struct span value);

// Puts the fields whose names are (invert: are not) among names, octet for octet, then the
// empty line that ends a header (always, RFC 9051 section 6.4.5).
void mime_header_filter(struct buf *b, struct span block, const struct span *names,
                        size_t n, bool invert);

#endif
