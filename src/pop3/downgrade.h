#ifndef POP3_DOWNGRADE_H
#define POP3_DOWNGRADE_H

// A header for clients that have not asked for UTF8 (RFC 6856 section 2.1), who get no octets above 127 in it: texts become
// encoded words, an address that cannot be written so becomes an empty group that names it (RFC 6858 section 2.1). Fields
// without such octets stay as they are. Bodies are sent as they are: their charset is told by MIME.
// Trust: the header is any octets.

#include "base/buf.h"

// Appends the header, with its empty line.
void pop3_downgrade(struct span header, struct buf *out);

#endif
