#ifndef RELAY_TEXT_H
#define RELAY_TEXT_H

// What DATA carries (RFC 5321 sections 2.3.8 and 4.5.2): every line ends with CRLF, no CR or LF stands elsewhere, and a dot
// that begins a line is doubled. So nothing in a text can end it, whatever the other side takes for a line end: a bare LF
// becomes CRLF, a bare CR a blank.
// Trust: any octets, in any cuts.

#include "base/buf.h"

// What was seen of a text: bits of `traits`.
enum relay_trait {
    RELAY_TRAIT_8BIT = 1,     // octets above 127
    RELAY_TRAIT_NUL = 2,      // binary
    RELAY_TRAIT_BARE = 4,     // a bare CR or LF was mended
    RELAY_TRAIT_LONG = 8,     // a line of more than 998 octets
    RELAY_TRAIT_HEADER8 = 16  // octets above 127 in the header
};

struct relay_lines {
    uint64_t octets;  // that came out, without the doubled dots
    uint32_t traits;
    size_t line;  // octets of the line so far
    bool held_cr, body, dots;
};

// dots: double them.
void relay_lines_init(struct relay_lines *l, bool dots);
// `out` may be NULL: only looked at. It grows by at most 2 * in.n + 2.
void relay_lines_feed(struct relay_lines *l, struct span in, struct buf *out);
// The last line gets its end.
void relay_lines_end(struct relay_lines *l, struct buf *out);

#endif
