#ifndef OS_ACTIVATION_H
#define OS_ACTIVATION_H

// Sockets that the service manager has opened for us (sd_listen_fds(3)): descriptors from 3 on, counted by LISTEN_FDS
// for the process LISTEN_PID, named by LISTEN_FDNAMES (FileDescriptorName= of the socket unit).
// Trust: the environment is the manager's, but it is checked all the same. Threads: one, before any other runs.

#include "base/fault.h"

enum { ACTIVATION_MAX = 256, ACTIVATION_NAME = 64, ACTIVATION_ADDRESS = 128 };

struct activated {
    char name[ACTIVATION_NAME];        // "imap"
    char address[ACTIVATION_ADDRESS];  // "0.0.0.0:143", "unix:/path"
    int fd;  // non-blocking, close-on-exec, above the roles' numbers
};

// Takes them over, and LISTEN_* out of the environment. R_FAIL: a descriptor is no listening stream socket, or the
// names do not match the count; none is left open then.
enum result activation_take(struct activated rows[ACTIVATION_MAX], size_t *n_out,
                            struct fault *f) MUST_CHECK;

#endif
