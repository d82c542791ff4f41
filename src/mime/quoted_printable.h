#ifndef MIME_QUOTED_PRINTABLE_H
#define MIME_QUOTED_PRINTABLE_H

// Quoted-printable, written (RFC 2045 section 6.7).

#include "base/buf.h"

// Text whose lines end with LF or CRLF; they end with CRLF in the output, and so does the last. No line begins with a
// dot, "--" or "From ", so that none is taken for a delimiter on its way.
void mime_encode_quoted_printable(struct buf *out, struct span text);

#endif
