#ifndef MAIL_SCAN_CACHE_H
#define MAIL_SCAN_CACHE_H

// Renders a scanned message into its cache value. Only files of mail/ include this.

#include "mail/message.h"
#include "mime/scan.h"

// utf8: for clients that take UTF-8 and know message/global.
void scan_cache(const struct mime_part *root, struct arena *a, bool utf8,
                struct message_cache *out);
void scan_cache_done(void *buf);  // ends with the arena

#endif
