#ifndef MAIL_URL_H
#define MAIL_URL_H

// What an IMAP URL stands for: a message, or a section of it. Without a server it is the user's own and may be read now;
// with one it is of a user here who may read it now, and is authorised for this session (RFC 4467 section 6) or the own one.
// Owner: the task that opened it. Threads: the session's loop; all but close suspend.

#include "mail/part.h"
#include "mail/view.h"
#include "wire/url.h"

// What a URL with a server asks of who runs the session: users other than its own, and what this server is called.
struct mail_url_users {
    // Suspends. Opens the user of this name, as if logged in. R_NONE: there is none, or they have never been here.
    enum result (*open)(struct span name, struct mail_user **out, void *arg,
                        struct fault *f);
    // Suspends where it may be. Is it a name of the session's own user? R_NONE: it is not, and who else is called so is not
    // looked at.
    enum result (*is_own)(struct span name, void *arg, struct fault *f);
    // Is it this server? port 0: none was named.
    bool (*is_here)(struct span host, uint16_t port, void *arg);
    bool (*submits)(void *arg);  // may the session's user fetch what is to be submitted?
};

// Who reads.
struct mail_url_reader {
    struct mail_user *user;              // the session's
    struct view *selected;               // the mailbox of ";UID=20"; NULL: none
    const struct mail_url_users *users;  // NULL: no URLs with a server
    void *arg;                           // theirs
};

struct mail_url {
    struct arena *arena;
    struct mail_user *owner;  // opened for it; NULL: the session's
    struct view *view;        // keeps the message readable
    struct message_row row;
    struct section section;
    struct mail_part part;  // of `row`
};

enum mail_url_use {
    MAIL_URL_APPEND,  // of CATENATE
    MAIL_URL_FETCH,   // of URLFETCH: authorised ones alone
    MAIL_URL_SUBMIT,  // of BURL: with a server; "submit+" is for the user (RFC 4468 section 3.3)
};

// R_NONE: it stands for nothing that may be read: syntax, server, user, expiry, access, token, name, rights, UIDVALIDITY, UID
// or section. No answer tells which.
enum result mail_url_open(const struct mail_url_reader *who, struct span text,
                          enum mail_url_use use, struct mail_url *out,
                          struct fault *f) MUST_CHECK;
void mail_url_close(struct mail_url *u);

// Opens the mailbox of a URL as this user, out of u->arena. R_NONE: it is not there, not to be seen, or has another
// UIDVALIDITY; FAULT_NOPERM: it may not be read.
enum result mail_url_mailbox(struct mail_user *user, const struct url *url,
                             struct mailbox_ref *ref_out, struct view **view_out,
                             struct fault *f) MUST_CHECK;

#endif
