#ifndef OS_USER_H
#define OS_USER_H

// The service user, and becoming it for good.
// Trust: the name comes from the configuration. Threads: before any other runs (name service, credentials).

#include "base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct user_ids {
    uid_t uid;
    gid_t gid;
};

// R_FAIL (FAULT_NONEXISTENT) when there is no such user.
enum result user_find(const char *name, struct user_ids *ids_out,
                      struct fault *f) MUST_CHECK;
// Becomes that user and group, without other groups, and makes sure that there is no way back.
// Does nothing when the process is not root.
enum result user_drop(const struct user_ids *ids, struct fault *f) MUST_CHECK;

#endif
