#ifndef MAIL_MOUNT_H
#define MAIL_MOUNT_H

// The trees of one user: the own account first, then those of others, as the directory tells (mail/shares.h), and the public
// one. A tree is opened when somebody looks into it. Only files of mail/ include this.

#include "mail/acl.h"

struct mount {
    // "Shared/bob"; SPAN_NONE for the own tree. The prefix alone is a level, not a mailbox
    struct span prefix;
    struct account *account;  // NULL: not open yet
    uint64_t id;              // of the account
    uint64_t missed;          // the account was not there, as of this generation of shares
    struct mount *next;
};

struct mail_user {
    struct arena *arena;  // of the mounts; NULL: there is only its own
    struct span name;     // of its first who
    struct mount own;
    _Atomic(struct acl_who *) who;
    struct acl_who **former;  // whos that a home may still look at
    size_t former_count;
    uint64_t shares;      // the generation that the mounts are of; 0: none yet
    bool roams;           // looks beyond the own tree
    uint64_t size_limit;  // 0: none of their own
    enum sent_wish sent;
    struct view *views;
    struct mail_watch *watches;
    struct mail_user *next, **at;  // all of this thread
};

// Any thread, while the user is open.
const struct acl_who *mail_user_who(const struct mail_user *u);
// Takes who over. Its views and watches follow.
void mail_user_become(struct mail_user *u, struct acl_who *who);

// Suspends. Which tree the name belongs to, open, and the name inside it. FAULT_NONEXISTENT: there is none.
enum result mount_find(struct mail_user *u, struct span name, struct mount **out,
                       struct span *inside_out, struct fault *f) MUST_CHECK;
// Suspends. The public tree is made when an administrator names something in it.
enum result mount_begin(struct mail_user *u, struct span name, struct fault *f) MUST_CHECK;
// Suspends. All there are now, open; one that cannot be opened has no account.
enum result mounts_open(struct mail_user *u, struct fault *f) MUST_CHECK;
// The reverse of mount_find.
struct span mount_name(struct arena *a, const struct mount *m, struct span inside);
// Does a name lie in others' trees, by its form? The octets of the tree's prefix; 0: it is the user's own.
size_t mount_prefix(struct span name);

#endif
