#ifndef IMAP_URL_H
#define IMAP_URL_H

// What an IMAP URL of this user stands for: a message, or a section of it, in a mailbox that may be read now.
// Owner: the task that opened it. Threads: the session's loop; open and read suspend.

#include "imap/session.h"
#include "mail/message.h"
#include "wire/url.h"

struct imap_url {
    struct arena *arena;
    struct mail *mail;
    struct view *view;  // keeps the message readable
    struct message_row row;
    bool in_memory;    // chosen header fields: `text`
    struct span text;  // the octets [at, at + size) of it
    uint64_t at, size;
};

// R_NONE: it stands for nothing that may be read: syntax, name, rights, UIDVALIDITY, UID or section.
enum result imap_url_open(struct imap_session *s, struct span text, struct imap_url *out,
                          struct fault *f) MUST_CHECK;
// The next octets, borrowed until the next call; R_NONE at the end.
enum result imap_url_read(struct imap_url *u, struct span *out, struct fault *f) MUST_CHECK;
void imap_url_close(struct imap_url *u);

#endif
