#ifndef OS_SPAWN_H
#define OS_SPAWN_H

// Spawning runs this very binary again as a role: argv[0] is "posthorn: NAME", so that ps tells them apart.
// The child has descriptors 0 (/dev/null), 1 and 2 of its parent, and those passed from SPAWN_FIRST_FD on,
// in order; nothing else. It dies with its parent.
// Threads: the supervisor's only one.

#include "os/role.h"

#include <sys/types.h>

enum { SPAWN_FIRST_FD = 3, SPAWN_FDS_MAX = 64 };

struct spawned {
    pid_t pid;
    int pidfd;  // readable when the child has ended; the caller closes it
};

// The descriptors stay open here.
enum result spawn_role(const struct role *r, const int *fds, size_t count,
                       struct spawned *out, struct fault *f) MUST_CHECK;
// For main: the role that argv[0] names, NULL when this is not a spawned role.
const struct role *spawn_role_of(const char *argv0);
// In a child: all signals as a new program has them. -1 and errno.
int spawn_reset_signals(void);

#endif
