#ifndef AUTH_USER_QUOTA_H
#define AUTH_USER_QUOTA_H

// What an outer user database lets a user keep, in the words of Dovecot's: `quota_storage` and `quota_messages` (plain
// limits), `quota_rule` ("*:storage=1G:messages=1000"; a bare number of storage= is KiB there).
// Trust: the database's text.

#include "base/fault.h"
#include "base/span.h"

#define USER_QUOTA_NONE UINT64_MAX  // any amount
#define USER_QUOTA_DEFAULT                                                                 \
    (UINT64_MAX - 1)  // the database says nothing: as the settings have it

struct user_quota {
    uint64_t storage, messages;  // octets, number
};
#define USER_QUOTA_UNSAID ((struct user_quota){USER_QUOTA_DEFAULT, USER_QUOTA_DEFAULT})

// Takes a field, if it is one of these. R_NONE: it is another. FAULT_BAD: a value that is no limit. Rules for single folders
// are passed over: there are none here. 0 is any amount, an empty value says nothing.
enum result user_quota_take(struct user_quota *q, struct span field, struct span value,
                            struct fault *f) MUST_CHECK;

#endif
