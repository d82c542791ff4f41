#ifndef BASE_QUOTED_H
#define BASE_QUOTED_H

#include "base/buf.h"

// Puts `s` between quotes, with a backslash before each quote and backslash in it: a quoted string of IMAP (RFC 9051 section
// 4.3), of a header field (RFC 5322 section 3.2.4) and of Sieve (RFC 5228 section 2.4.2).
void quoted_put(struct buf *out, struct span s);
// The local part of an address as SMTP writes it (RFC 5321 section 4.1.2): quoted where it is more than atoms with dots; an
// empty one stays empty.
void quoted_put_local(struct buf *out, struct span local);

#endif
