#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

// Base64 (RFC 4648 section 4), strict: padding required, no white space, surplus bits zero.
// Trust: any bytes.

#include "base/buf.h"

void base64_encode(struct span in, struct buf *out);
// Appends the octets to out; R_FAIL on anything else or when out is full (then out may hold a part).
enum result base64_decode(struct span in, struct buf *out) MUST_CHECK;
// The same for a word of SASL, where "=" is an empty one (RFC 4954, 4959, 5034).
enum result base64_decode_word(struct span in, struct buf *out) MUST_CHECK;

#endif
