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
// BODYSTRUCTURE; `extensions` tells what of it BODY does not have: packed pairs of octets to keep and to leave out.
void mime_render_structure(struct buf *b, struct buf *extensions,
                           const struct mime_part *root, bool utf8);
// BODY of such a BODYSTRUCTURE. R_FAIL: they do not belong together; nothing was put.
enum result mime_render_body_of(struct buf *b, struct span structure,
                                struct span extensions) MUST_CHECK;

#endif
