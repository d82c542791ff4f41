#ifndef MIME_CHARSET_H
#define MIME_CHARSET_H

// Charsets: any label seen in mail to UTF-8 (ICU, with the labels of the wild), and the
// canonical form in which text is compared (i;unicode-casemap, RFC 5051).
// Trust: none; broken input becomes U+FFFD.
// Threads: a converter belongs to one thread at a time.

#include "base/buf.h"
#include "base/span.h"

struct mime_charset;

bool mime_charset_known(struct span label);

// A stream to UTF-8. R_NONE for an unknown label: read the text as
// mime_charset_open(SPAN("utf-8")).
enum result mime_charset_open(struct span label, struct mime_charset **out) MUST_CHECK;
void mime_charset_feed(struct mime_charset *c, struct span in, struct buf *out);
// flushes; ready for new text
void mime_charset_end(struct mime_charset *c, struct buf *out);
void mime_charset_free(struct mime_charset **c);

// Whole text; an unknown label is R_FAIL (FAULT_BADCHARSET): SEARCH CHARSET.
enum result mime_charset_to_utf8(struct span label, struct span in, struct buf *out,
                                 struct fault *f) MUST_CHECK;
// Puts unlabelled header or body text as valid UTF-8: valid UTF-8 stays, other octets become
// U+FFFD.
void mime_utf8_clean(struct buf *out, struct span in);
bool mime_utf8_valid(struct span in);

// The comparison key of i;unicode-casemap: equal keys are equal strings, substring of keys is
// substring.
void mime_fold(struct buf *out, struct span utf8);

#endif
