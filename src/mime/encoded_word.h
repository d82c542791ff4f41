#ifndef MIME_ENCODED_WORD_H
#define MIME_ENCODED_WORD_H

// Encoded words (RFC 2047) and encoded parameters (RFC 2231) to UTF-8. Broken octets become
// U+FFFD; what is not an encoded word, or has an unknown charset, stays as it is. Linear; the
// buf bounds the output.
// Trust: none.

#include "base/buf.h"
#include "mime/scan.h"

void mime_decode_words(struct buf *b, struct span text);
// The reverse, for clients without UTF-8: 8-bit words become encoded words, as utf-8 when the
// whole text is valid, else as unknown-8bit (RFC 1428). Encoded words that are there stay.
void mime_encode_words(struct buf *b, struct span text);
// The same of a phrase (RFC 5322 section 3.2.5), as a display name is one: what stands around the words beyond ASCII goes
// between quotes, as it may have had some before.
void mime_encode_phrase(struct buf *b, struct span text);
// A text of encoded words behind a field's name and blank, a line for each: none is longer than 76 octets then, where words are
// short enough (RFC 2047 section 2). A text without any stays one line.
void mime_fold_words(struct buf *b, struct span text);

// The value of parameter `name` in UTF-8: name* decoded (RFC 2231), else name, in which encoded
// words are decoded too, as mailers put them there. R_NONE when there is none.
enum result mime_param_find(const struct mime_param *params, struct span name,
                            struct buf *out) MUST_CHECK;

#endif
