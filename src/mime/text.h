#ifndef MIME_TEXT_H
#define MIME_TEXT_H

// A text search asks of parts and headers, pushed in any cuts, which of its needles occur:
// transfer-decoded, converted to UTF-8, compared by a collation (RFC 4790). Memory does
// not grow with the text. The texts are the streams of mime/streams.h.
// Trust: none.
// Threads: one at a time.
// Owner: mime_text_search_new .. mime_text_search_free.

#include "base/span.h"
#include "mime/charset.h"
#include "mime/streams.h"

struct mime_text_search;

// Needles are UTF-8, not yet folded, at most LIMIT_search_keys, together at most LIMIT_command
// octets (as they come in one command). An empty needle is always found.
struct mime_text_search *mime_text_search_new(const struct span *needles, size_t n,
                                              enum collation collation);
void mime_text_search_free(struct mime_text_search **s);
// Buffers stay between messages, some 100 KB and twice the longest needle; false drops them. Between two messages.
void mime_text_keep(struct mime_text_search *s, bool keeps);

// Begin a part, feed its raw body octets, end it. Matches never cross from one part to another.
void mime_text_begin(struct mime_text_search *s, const struct mime_index_part *part);
void mime_text_feed(struct mime_text_search *s, struct span raw);
void mime_text_end(struct mime_text_search *s);

// Searches a header block: every field, "Name: decoded value", or one value alone.
void mime_text_header(struct mime_text_search *s, struct span block);
// False: nothing that is still looked for is in any field of the block. Cheap.
bool mime_text_may_have(const struct mime_text_search *s, struct span block);
void mime_text_value(struct mime_text_search *s, struct span raw_value);

// For text from elsewhere; what goes in here is searched too.
struct mime_streams *mime_text_streams(struct mime_text_search *s);

bool mime_text_found(const struct mime_text_search *s, size_t needle);
bool mime_text_found_all(const struct mime_text_search *s);  // nothing left to look for
// forget what was found: the next message
void mime_text_reset(struct mime_text_search *s);

#endif
