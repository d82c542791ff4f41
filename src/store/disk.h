#ifndef STORE_DISK_H
#define STORE_DISK_H

// Plain file calls that finish what they begin: whole reads and writes at an offset, folders made and synced.
// Threads: any. They block, except disk_read with nowait.

#include "base/span.h"

#include <sys/types.h>
#include <sys/uio.h>

// Opens the folder, making it when missing; its entry in the parent is durable.
enum result disk_folder_open(int at, const char *name, int *fd_out,
                             struct fault *f) MUST_CHECK;
// New file for writing; it must not exist.
enum result disk_create(int at, const char *name, int *fd_out, struct fault *f) MUST_CHECK;
// with metadata; also for folders
enum result disk_sync(int fd, struct fault *f) MUST_CHECK;
enum result disk_write(int fd, uint64_t offset, struct span s, struct fault *f) MUST_CHECK;
// Changes the iovecs. *errno_out says why it failed.
enum result disk_writev(int fd, uint64_t offset, struct iovec *iov, size_t n,
                        int *errno_out) MUST_CHECK;
// R_NONE: not (all) in the page cache, with nowait; or the file ends before.
enum result disk_read(int fd, uint64_t offset, char *dst, size_t n, bool nowait,
                      struct fault *f) MUST_CHECK;
enum result disk_size(int fd, uint64_t *size_out, struct fault *f) MUST_CHECK;

#endif
