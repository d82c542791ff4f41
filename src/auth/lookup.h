#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

// Lookup finds the user whom an LMTP recipient names: the whole address; the address without +detail
// (RFC 5233); the local part, and the local part without +detail, when the domain is ours. "ann" logs in as
// "ann", mail comes to ann+lists@example.org.
// Trust: the address is a stranger's text, already unquoted.

#include "auth/userdb.h"

struct lookup_rules {
    // ours, separated by spaces; empty: any domain's local part may be a bare user name
    struct span domains;
};

// R_NONE when there is no such user or it is disabled. *detail_out is borrowed from `address`, or empty.
enum result lookup_recipient(struct userdb *db, const struct lookup_rules *rules,
                             struct span address, struct user *out, struct span *detail_out,
                             struct fault *f) MUST_CHECK;

#endif
