#ifndef WIRE_MUTF7_H
#define WIRE_MUTF7_H

// Modified UTF-7 (RFC 3501 section 5.1.3): how mailbox names travel before UTF8=ACCEPT or IMAP4rev2.
// Exactly one encoding of each name is accepted, so that two spellings never name one mailbox:
// decode(encode(x)) = x and encode(decode(y)) = y.
// Trust: any bytes.

#include "base/buf.h"

// Appends the UTF-8 form. FAULT_BAD for octets above 126 or below 32, "a&", "&AGE-" (ASCII encoded), broken
// surrogates, surplus bits, two adjacent shifts ("&AOQ-&AOQ-").
enum result mutf7_to_utf8(struct span in, struct buf *out, struct fault *f) MUST_CHECK;
// `utf8` must be valid UTF-8.
void mutf7_from_utf8(struct span utf8, struct buf *out);

#endif
