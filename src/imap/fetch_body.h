#ifndef IMAP_FETCH_BODY_H
#define IMAP_FETCH_BODY_H

// FETCH items that read the message: BODY[...], RFC822*, BINARY (RFC 9051 section 6.4.5, RFC 3516).

#include "imap/fetch.h"
#include "mime/index.h"

extern const struct imap_fetch_item imap_item_body, imap_item_body_peek, imap_item_rfc822,
    imap_item_rfc822_header, imap_item_rfc822_text;

#endif
