#ifndef MAIL_NOTICE_H
#define MAIL_NOTICE_H

// A notice is a message of the server's own to a user, in INBOX: the quota is nearly used up, a filter script failed. Only files
// of mail/ include this. In the home.

#include "mail/home.h"

struct notice {
    const char *from;     // name of the sender, ASCII
    const char *kind;     // begins the Message-ID
    struct span subject;  // ASCII
    struct span body;     // UTF-8, lines end with CRLF
};

bool notice_german(const struct account *a);
// Suspends. Puts it into INBOX, whatever the account's quota, and the META record in the same commit.
enum result notice_commit(struct account *a, const struct notice *n,
                          const struct record_meta *note, struct fault *f) MUST_CHECK;

#endif
