#ifndef MAIL_APPEND_LIMIT_H
#define MAIL_APPEND_LIMIT_H

// A mailbox's own limit of what APPEND may put there (RFC 7889 section 3), set by an administrator: a META record of the
// mailbox. Deliveries and COPY have no such limit. Threads: any loop; all suspend.

#include "mail/user.h"

#define APPEND_LIMIT_NONE UINT64_MAX

// Octets of the largest message, or APPEND_LIMIT_NONE.
uint64_t append_limit_get(const struct mailbox_ref *ref);
// APPEND_LIMIT_NONE takes it away.
enum result append_limit_set(const struct mailbox_ref *ref, uint64_t octets,
                             struct fault *f) MUST_CHECK;
// Has any mailbox that the user may see one?
bool append_limit_any(struct mail_user *u);

#endif
