#ifndef BASE_PERCENT_H
#define BASE_PERCENT_H

// Percent-encoding of URIs (RFC 3986 section 2.1).

#include "base/arena.h"
#include "base/buf.h"

// All but unreserved characters (section 2.3) as %HH.
void percent_encode(struct buf *b, struct span s);
// Each %HH is an octet, all others stand for themselves. False: a broken %, a NUL, or no UTF-8.
bool percent_decode(struct arena *a, struct span s, struct span *out);

#endif
