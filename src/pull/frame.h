#ifndef PULL_FRAME_H
#define PULL_FRAME_H

// A frame is one response of an IMAP server (RFC 9051 section 7): lines joined by literals. The framer finds where it ends,
// incrementally; a message's own octets (the literal of BODY[]) are left to the caller, who streams them.
// Owner: who embeds it. Trust: raw bytes from the server. Caps: LIMIT_pull_response.

#include "base/span.h"

enum frame_state {
    FRAME_MORE,    // not whole yet
    FRAME_WHOLE,   // size octets are the response, or its last part
    FRAME_STREAM,  // size octets end in the header of BODY[]'s literal, `literal` octets of it follow; then frame_rest
    FRAME_BROKEN,  // `why`: there is no way to find the next response
};

struct framer {
    size_t at, line_start;
    uint64_t literal;  // after FRAME_STREAM
    size_t
        header;  // after FRAME_STREAM: octets of size that are the header ("{12}" and its line end)
    bool later;       // not at the response's first octet
    const char *why;  // a constant text
};

void framer_init(struct framer *r);
// `input` begins with the response's first octet (after frame_rest: the first one behind the literal) and holds at least
// what it held last time.
enum frame_state framer_feed(struct framer *r, struct span input, size_t *size_out);
void framer_rest(struct framer *r);

#endif
