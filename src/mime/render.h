#ifndef MIME_RENDER_H
#define MIME_RENDER_H

// The exact IMAP text of ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 and 9051 section 7.5.2),
// without the item's name. `utf8` (UTF8=ACCEPT or IMAP4rev2) leaves valid UTF-8 of header
// values as it is; without it 8-bit octets become RFC 2047 encoded-words. NUL is never written.
// `message` is a part with an envelope (the root, or the child of a message/rfc822 part).

#include "base/buf.h"
#include "mime/scan.h"

void mime_render_envelope(struct buf *b, const struct mime_part *message, bool utf8);
void mime_render_body(struct buf *b, const struct mime_part *root, bool extended,
                      bool utf8);

#endif
