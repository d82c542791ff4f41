#ifndef POP3_STUFF_H
#define POP3_STUFF_H

// A message on its way into a multi-line response (RFC 1939 section 3): dots at the front of lines are doubled, lines end with
// CRLF, NUL is sent as 0x80 (QUIRKS.md, Outlook), and what has no empty line behind its header gets one. Any cut of the input
// gives the same result. Trust: the message is any octets.

#include "base/buf.h"

struct pop3_stuff {
    bool cr;       // the last octet was a CR
    bool in_line;  // something of the line was put
    bool only_cr;  // which was a CR
    bool in_body;  // the empty line was there
    bool limited;  // TOP: `left` lines of the body, no more
    uint64_t left;
};

// Appends to `out`. True: no more is wanted.
bool pop3_stuff_feed(struct pop3_stuff *s, struct span in, struct buf *out);
// Appends the end of an open line, a missing empty line, and ".".
void pop3_stuff_end(struct pop3_stuff *s, struct buf *out);

// Where the header ends: behind its empty line; in.n when it has none.
size_t pop3_header_size(struct span in);
// Can the whole message be sent as it is?
bool pop3_is_plain(struct span message);

#endif
