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
// A control, or a separator of lines or paragraphs.
static inline bool
utf8_is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x2028 ||
           point == 0x2029;
}
// Valid, and without any of these.
bool utf8_is_line(struct span s);
// For terminals and lines of text: controls (also C1: U+009B is ESC [ to many) but those in `kept`, and octets that are no
// UTF-8, become \xHH. *b has at most size_max octets then: whole characters.
void utf8_put_visible(struct buf *b, struct span s, const char *kept, size_t size_max);

#endif
