#ifndef IMAP_PART_H
#define IMAP_PART_H

// What a section names (mail/part.h), sent to the client. Threads: the session's loop.

#include "imap/session.h"
#include "mail/part.h"

// Sends what the window shows; `plain`: NUL octets leave as 0x80 (RFC 9051: CHAR8).
struct imap_part_send {
    bool decoded, plain;
};
enum result imap_part_send(struct imap_session *s, const struct mail_part *p,
                           const struct imap_part_send *how, struct arena *a,
                           struct mail_part_window *w, struct fault *f) MUST_CHECK;
void imap_hide_nuls(char *p, size_t n);

#endif
