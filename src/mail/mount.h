#ifndef MAIL_MOUNT_H
#define MAIL_MOUNT_H

// The trees of one user: the own account first, then the mounted ones. Only files of mail/ include this.

#include "mail/user.h"

struct mount {
    // "Shared/bob"; SPAN_NONE for the own tree. The prefix alone is a level, not a mailbox
    struct span prefix;
    struct account *account;
    uint32_t rights;
    struct mount *next;
};

struct mail_user {
    struct arena *arena;
    struct span name;
    struct mount own;
};

// Which tree the name belongs to, and the name inside it.
struct mount *mount_find(struct mail_user *u, struct span name, struct span *inside_out);
// The reverse.
struct span mount_name(struct arena *a, const struct mount *m, struct span inside);
// The rights half of mail_access, for names that do not exist yet (CREATE, RENAME).
enum result access_check(const struct mount *m, uint32_t need, struct fault *f) MUST_CHECK;

#endif
