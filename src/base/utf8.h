#ifndef BASE_UTF8_H
#define BASE_UTF8_H

// UTF-8 (RFC 3629): strict validity and one code point at a time. No overlong forms, no surrogates,
// nothing above U+10FFFF.
// Trust: any bytes.

#include "base/buf.h"

bool utf8_valid(struct span s);
// Takes one code point off the front of *s; R_NONE at the end, R_FAIL (nothing taken) on wrong bytes.
enum result utf8_next(struct span *s, uint32_t *point_out) MUST_CHECK;
void utf8_put(struct buf *b, uint32_t point);
bool ascii_only(struct span s);

#endif
