#ifndef SUBMISSION_HEADER_H
#define SUBMISSION_HEADER_H

// The header of a mail that a user submits (RFC 6409 section 8): where it ends, who it says it is from, and what it lacks.
// Trust: any octets. Where readers could disagree about its end or its author, it is refused or written so that they cannot.
// Owner: the arena; spans borrow the block. No I/O.

#include "base/arena.h"
#include "base/buf.h"

// A header grows line by line. It ends with an empty line, or before the first line that is none of a field (RFC 5322 section 2.2):
// that begins the body.
struct submission_header_end {
    size_t at;   // octets looked at: whole lines of fields
    bool found;  // at: the header's size
    size_t gap;  // octets of the empty line
};
// `whole`: there is no more, so the last line may have no end.
void submission_header_scan(struct submission_header_end *e, struct span text, bool whole);

struct submission_header {
    struct span block;
    // "local@domain" of From and Sender, as they stand there without quotes
    struct span *authors;
    size_t author_count;
    bool has_from, has_sender, has_date, has_bcc;
    bool has_id;    // a Message-ID with an id
    unsigned hops;  // Received
};
// FAULT_BAD: more than one From or Sender, one in which an address cannot be told, or in which readers may see another; FAULT_CANNOT: the mail goes round in a loop.
enum result submission_header_read(struct span block, struct arena *a,
                                   struct submission_header *out,
                                   struct fault *f) MUST_CHECK;

// What is added where it is missing.
struct submission_header_made {
    struct span from;  // "ann@example.org", as SMTP writes it
    const char *hostname;
    uint64_t id;
    int64_t now_s;
};
// The header with what it lacked, and the empty line. `outgoing`: without Bcc, and without what only a last delivery writes.
void submission_header_put(struct buf *b, const struct submission_header *h,
                           const struct submission_header_made *made, bool outgoing);

#endif
