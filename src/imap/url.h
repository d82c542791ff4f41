#ifndef IMAP_URL_H
#define IMAP_URL_H

// What an IMAP URL stands for: a message, or a section of it. Without a server it is the user's own and may be read now;
// with one it is of a user here who may read it now, and is authorised for this session (RFC 4467 section 6) or the own one.
// Owner: the task that opened it. Threads: the session's loop; all but close suspend.

#include "imap/part.h"
#include "wire/url.h"

struct imap_url {
    struct arena *arena;
    struct mail_user *owner;  // opened for it; NULL: the session's
    bool decoy;               // in place of an owner who is not there: nothing may be read
    struct view *view;        // keeps the message readable
    struct message_row row;
    struct section section;
    struct imap_part part;  // of `row`
};

enum imap_url_use {
    IMAP_URL_APPEND,  // of CATENATE
    IMAP_URL_FETCH,   // of URLFETCH: authorised ones alone
};

// R_NONE: it stands for nothing that may be read: syntax, server, user, expiry, access, token, name, rights, UIDVALIDITY, UID
// or section. No answer tells which.
enum result imap_url_open(struct imap_session *s, struct span text, enum imap_url_use use,
                          struct imap_url *out, struct fault *f) MUST_CHECK;
void imap_url_close(struct imap_url *u);

// Is `name` the session's user?
enum result imap_url_is_own(struct imap_session *s, struct span name,
                            struct fault *f) MUST_CHECK;
// Opens the mailbox of a URL as this user, out of u->arena. R_NONE: it is not there, not to be seen, or has another
// UIDVALIDITY; FAULT_NOPERM: it may not be read.
enum result imap_url_mailbox(struct mail_user *user, const struct url *url,
                             struct mailbox_ref *ref_out, struct view **view_out,
                             struct fault *f) MUST_CHECK;

#endif
