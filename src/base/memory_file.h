#ifndef BASE_MEMORY_FILE_H
#define BASE_MEMORY_FILE_H

// A file of no folder: octets that another process gets by its descriptor.
// Owner: whoever made it closes it. Threads: any, one at a time.

#include "base/fault.h"
#include "base/span.h"

// `what` is told where it fails (FAULT_UNAVAILABLE). *fd_out: its descriptor, which can be sealed (fcntl F_ADD_SEALS).
enum result memory_file_new(const char *name, const char *what, int *fd_out,
                            struct fault *f) MUST_CHECK;
// Appends all of it.
enum result memory_file_put(int fd, struct span s, const char *what,
                            struct fault *f) MUST_CHECK;

#endif
