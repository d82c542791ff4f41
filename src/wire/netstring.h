#ifndef WIRE_NETSTRING_H
#define WIRE_NETSTRING_H

// A netstring: "5:hello,". Postfix's socketmap speaks in them (socketmap_table(5)). Nothing here does I/O.
// Trust: any bytes; what is longer than `max` is refused before it is there.

#include "base/buf.h"

enum netstring_state { NETSTRING_WHOLE, NETSTRING_MORE, NETSTRING_BAD };

// WHOLE: *body_out is what is in it, *used_out the octets with length and comma. MORE: it may become one. BAD: it is none, or too
// long.
enum netstring_state netstring_parse(struct span input, size_t max, struct span *body_out,
                                     size_t *used_out) MUST_CHECK;
void netstring_put(struct buf *out, struct span body);

#endif
