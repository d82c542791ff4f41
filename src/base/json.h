#ifndef BASE_JSON_H
#define BASE_JSON_H

// JSON strings (RFC 8259) made from any octets: control characters, DEL, U+0080 to U+009F, U+2028 and U+2029 are
// escaped, each octet that is no UTF-8 becomes U+FFFD. The result is valid UTF-8 on one line.
// Trust: any bytes. Threads: any.

#include "base/buf.h"

// Puts s in quotes, at most max octets of output (at least 2); false: not all of s had room.
bool json_put_string(struct buf *b, struct span s, size_t max);

#endif
