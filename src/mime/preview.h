#ifndef MIME_PREVIEW_H
#define MIME_PREVIEW_H

// A preview is the first characters of a text as a reader sees it (RFC 8970 section 3.3): white space collapsed, quoted
// lines and the signature left out, markup gone. Valid UTF-8, at most PREVIEW_CHARS characters.
// Trust: none. The text is bounded by who reads it (LIMIT_preview_octets).

#include "base/buf.h"
#include "mime/index.h"

enum { PREVIEW_CHARS = 200 };

// Is this a part that a preview may be made of?
bool mime_preview_plain(const struct mime_index_part *part);
bool mime_preview_html(const struct mime_index_part *part);

// Appends the preview of a part's raw octets (its beginning is enough); nothing when there is nothing to see.
void mime_preview_put(struct buf *b, const struct mime_index_part *part, struct span raw);

#endif
