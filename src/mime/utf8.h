#ifndef MIME_UTF8_H
#define MIME_UTF8_H

// A stream of octets made valid UTF-8 (RFC 3629): each broken sequence becomes one U+FFFD.
// Private to this folder.
// Trust: none. Feed in any cuts.

#include "base/buf.h"

struct mime_utf8 {
    char held[4];
    uint8_t n;
};

// Octets of the valid sequence at p (1-4), 0 when broken, -1 when it is a valid beginning cut
// short.
int mime_utf8_sequence(struct span at);
size_t mime_ascii_run(struct span in);  // how many octets at the front are ASCII
void mime_utf8_feed(struct mime_utf8 *u, struct span in, struct buf *out);
void mime_utf8_end(struct mime_utf8 *u, struct buf *out);

#endif
