#ifndef MIME_ENCODED_WORD_H
#define MIME_ENCODED_WORD_H

// Encoded words (RFC 2047) and encoded parameters (RFC 2231) to UTF-8. Unknown charsets and broken octets
// become U+FFFD; what is not an encoded word stays, 8-bit octets outside are UTF-8 or else ISO-8859-1... as
// mime_charset_guess says. Linear in the input; output is bounded by the buf. Trust: none.

#include "base/arena.h"
#include "base/buf.h"
#include "mime/scan.h"

void mime_decode_words(struct buf *b, struct span text);
// Writes text (any octets, no line ends) with 8-bit runs as encoded words, for clients without UTF-8.
void mime_encode_words(struct buf *b, struct span text);

// The parameter `name` with name*, name*0, name*1*... joined and decoded. R_NONE when there is none.
enum result mime_param_find(const struct mime_param *params, struct span name,
                            struct buf *out) MUST_CHECK;

#endif
