#include "base/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

enum result
memory_file_new(const char *name, const char *what, int *fd_out, struct fault *f)
{
    *fd_out = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return *fd_out >= 0 ? R_OK : fault_errno(f, FAULT_UNAVAILABLE, what);
}

enum result
memory_file_put(int fd, struct span s, const char *what, struct fault *f)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n <= 0)
            return fault_errno(f, FAULT_UNAVAILABLE, what);
        s = span_skip(s, (size_t)n);
    }
    return R_OK;
}
