#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

// Reading a message: its cached structure and its bytes. From any loop thread; nothing here needs the home.

#include "mail/view.h"
#include "mime/scan.h"

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
// A part by its numbers; none: the message.
struct message_part {
    const uint32_t *numbers;
    size_t count;
    bool utf8;
    const struct mime_range
        *decoded;  // its size and lines without transfer encoding; NULL: as it is
};
// Suspends. The IMAP text of BODYSTRUCTURE of the part: scans the body. R_NONE: no such part.
enum result message_part_structure(struct mail *m, const struct message_row *row,
                                   const struct message_part *part, struct arena *a,
                                   struct span *out, struct fault *f) MUST_CHECK;
// Suspends. len octets at offset of the message. dst NULL: whether they are there and whole (store_blob_read).
enum result message_read(struct mail *m, const struct message_row *row, uint64_t offset,
                         size_t len, char *dst, struct fault *f) MUST_CHECK;
// Suspends. SHA-256 of the whole message.
enum { MESSAGE_HASH = 32 };
enum result message_hash(struct mail *m, const struct message_row *row,
                         unsigned char out[MESSAGE_HASH], struct fault *f) MUST_CHECK;

#endif
