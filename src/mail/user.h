#ifndef MAIL_USER_H
#define MAIL_USER_H

// A user is who a session acts for: the own account and the trees of others beside it (Shared/USER, Public). A mailbox is
// named (account, mailbox id); names become ids at ONE place, mail_access; what may be done with it is decided by ONE
// function, acl_rights (mail/acl.h). The answer for "no such mailbox" and for "no right to know of it" is the same.
// Names are UTF-8 (NFC), levels separated by '/', INBOX in any case. Owner: the session.

#include "mail/account.h"

// RFC 4314 section 2.1
enum right {
    RIGHT_LOOKUP = 1,     // l
    RIGHT_READ = 2,       // r
    RIGHT_SEEN = 4,       // s
    RIGHT_WRITE = 8,      // w
    RIGHT_INSERT = 16,    // i
    RIGHT_POST = 32,      // p
    RIGHT_CREATE = 64,    // k
    RIGHT_DELETE = 128,   // x
    RIGHT_DELETED = 256,  // t
    RIGHT_EXPUNGE = 512,  // e
    RIGHT_ADMIN = 1024,   // a
    RIGHTS_ALL = 2047,
};

enum result rights_from_text(struct span letters, uint32_t *rights_out);
void rights_to_text(uint32_t rights, char out[12]);

struct mail_user;

struct mailbox_ref {
    const struct mail_user *user;  // who asked; NULL: nobody who has a session
    struct account *account;       // borrowed from the user
    uint64_t mailbox;
    uint32_t rights;
};

// Suspends.
// `language`: of the folders of an account that is made now; empty: as the settings say.
enum result mail_user_make(struct mail *m, uint64_t account, struct span name,
                           struct span language, struct mail_user **u_out,
                           struct fault *f) MUST_CHECK;
enum result mail_user_open(struct mail *m, uint64_t account, struct span name,
                           struct mail_user **u_out, struct fault *f) MUST_CHECK;
// The same for a user who has been here; R_NONE: their account was never made.
enum result mail_user_find(struct mail *m, uint64_t account, struct span name,
                           struct mail_user **u_out, struct fault *f) MUST_CHECK;
void mail_user_close(struct mail_user **u);
struct account *mail_user_account(struct mail_user *u);
struct span mail_user_name(const struct mail_user *u);
// Suspends. Mounts another account's tree at prefix ("Shared/bob") with a fixed grant, beside what its lists say. Once.
enum result mail_user_mount(struct mail_user *u, struct span prefix, uint64_t account,
                            struct span owner, uint32_t rights, struct fault *f) MUST_CHECK;
// Says, first or anew, who the user is: what is open follows within a moment. Before that the user has the own tree alone,
// and what is mounted. Any task of the user's thread; does not suspend.
struct acl_identity;
void mail_user_identify(struct mail_user *u, const struct acl_identity *now);
// Octets of a message that the user may store; 0: as the settings say. In the user's thread.
void mail_user_size_limit(struct mail_user *u, uint64_t octets);
uint64_t mail_user_size_max(const struct mail_user *u);
// Is a copy of what the user submits filed (mail/sent.h)? The same.
enum sent_wish { SENT_WISH_DEFAULT, SENT_WISH_YES, SENT_WISH_NO };
void mail_user_sent_set(struct mail_user *u, enum sent_wish wish);
enum sent_wish mail_user_sent(const struct mail_user *u);
// All of this thread to whom that was said.
void mail_users_each(void (*fn)(struct mail_user *u, void *arg), void *arg);

// Is the name one that may exist? FAULT_CANNOT: control characters, empty or too many levels, "." and "..",
// not Net-Unicode (RFC 5198); LIMIT_mailbox_name. One trailing separator is taken off (QUIRKS.md, Thunderbird), and the
// name is brought to NFC (RFC 9051 section 5.1).
enum result mail_name_check(struct arena *a, struct span name, struct span *clean_out,
                            struct fault *f) MUST_CHECK;
// The one spelling of a clean name: INBOX, also that of another's tree, in upper case, and NFC.
struct span mail_name_canonical(struct arena *a, struct span name);

// Suspends. THE access check. FAULT_NONEXISTENT when there is no such mailbox or no RIGHT_LOOKUP on it;
// FAULT_NOPERM when it may be seen but `need` is not granted in full. need 0: existence only.
enum result mail_access(struct mail_user *u, struct span name, uint32_t need,
                        struct mailbox_ref *ref_out, struct fault *f) MUST_CHECK;

#endif
