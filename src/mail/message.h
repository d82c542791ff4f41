#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

// Reading a message: its cached structure and its bytes. From any loop thread; nothing here needs the home.

#include "mail/view.h"

// The cache value of record_added.cache: rendered once at intake.
struct message_cache {
    struct span envelope;  // IMAP text of ENVELOPE, 8-bit headers encoded (RFC 2047)
    // IMAP text of BODY; empty when it is to be made (message_cache_body)
    struct span body;
    struct span extensions;     // what of BODYSTRUCTURE is not in BODY (mime/render.h)
    struct span bodystructure;  // IMAP text of BODYSTRUCTURE
    struct span index;          // mime/index.h part table
    struct span summary;        // mime/index.h summary: values for SEARCH and SORT
};
void message_cache_put(struct buf *b, const struct message_cache *c);
enum result message_cache_get(struct span packed, struct message_cache *c_out) MUST_CHECK;
// Appends the IMAP text of BODY.
enum result message_cache_body(struct buf *b, const struct message_cache *c,
                               struct fault *f) MUST_CHECK;

// Suspends. The cache of one message in the arena; scans the body when there is none stored.
enum result message_cache_load(struct mail *m, const struct message_row *row,
                               struct arena *a, struct message_cache *out,
                               struct fault *f) MUST_CHECK;
// Suspends. The same for clients that take UTF-8 and know message/global (RFC 9051): always scans the body.
enum result message_cache_utf8(struct mail *m, const struct message_row *row,
                               struct arena *a, struct message_cache *out,
                               struct fault *f) MUST_CHECK;
// Suspends. len octets at offset of the message.
enum result message_read(struct mail *m, const struct message_row *row, uint64_t offset,
                         size_t len, char *dst, struct fault *f) MUST_CHECK;
// Suspends. SHA-256 of the whole message.
enum { MESSAGE_HASH = 32 };
enum result message_hash(struct mail *m, const struct message_row *row,
                         unsigned char out[MESSAGE_HASH], struct fault *f) MUST_CHECK;

#endif
