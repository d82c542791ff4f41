#ifndef MIME_INDEX_H
#define MIME_INDEX_H

// The index is the part tree in few bytes, for the cache: where each section of a message lies,
// so that BODY[1.2.MIME] or BINARY[2] are answered without scanning again. Reading copies
// nothing.
// Trust: damaged bytes give R_FAIL (FAULT_CORRUPTION) or harmless numbers; check ranges against
// the size.
// Owner: the caller owns the bytes; spans in struct mime_index_part borrow them.

#include "base/buf.h"
#include "mime/scan.h"

struct mime_index_part {
    enum mime_kind kind;
    enum mime_encoding encoding;
    uint32_t depth;  // 0 = root
    struct mime_range header, body;
    struct span type, subtype;  // lower case
    struct span charset, name;  // as written; file name in UTF-8
    // Header and text of the message that was asked for (no numbers) or that the part holds
    // (message/rfc822): what HEADER and TEXT mean. `message` is false for every other part.
    bool message;
    struct mime_range message_header, message_text;
    bool attachment;  // Content-Disposition: attachment
    bool root;        // the root of the message or of a nested message
    bool whole;       // found by no numbers: the message itself, not its part 1
};

enum mime_section {
    MIME_SECTION_ALL,
    MIME_SECTION_HEADER,
    MIME_SECTION_TEXT,
    MIME_SECTION_MIME,
};

void mime_index_put(struct buf *b, const struct mime_part *root);

// The part that RFC 9051 section 6.4.5 calls numbers[0].numbers[1]...; n = 0 is the message itself.
// A message that is not a multipart has the one part 1. R_NONE: no such part.
enum result mime_index_find(struct span index, const uint32_t *numbers, size_t n,
                            struct mime_index_part *out, struct fault *f) MUST_CHECK;
// Where the octets of a section of that part are: ALL = BODY[n] (of the root: everything), MIME
// = its MIME header. R_NONE when the part has no such section (HEADER of a text part, MIME of
// the root).
enum result mime_index_section(const struct mime_index_part *part,
                               enum mime_section section,
                               struct mime_range *out) MUST_CHECK;

// All parts in the order of the message: mime_index_begin, then next until R_NONE.
struct mime_index_iter {
    struct span rest;
    uint32_t left;  // parts not yet read
};

enum result mime_index_begin(struct mime_index_iter *it, struct span index,
                             struct fault *f) MUST_CHECK;
enum result mime_index_next(struct mime_index_iter *it, struct mime_index_part *out,
                            struct fault *f) MUST_CHECK;

#endif
