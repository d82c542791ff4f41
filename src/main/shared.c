#include "main/shared.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static enum result
prepare(int fd, struct fault *f)
{
    struct shared *s = NULL;
    if (ftruncate(fd, sizeof *s) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "shared memory");
    if (shared_map(fd, &s, f) != R_OK)
        return R_FAIL;
    crowd_counts_init(&s->crowd);
    (void)munmap(s, sizeof *s);
    return R_OK;
}

enum result
shared_new(int *fd_out, struct fault *f)
{
    int fd = memfd_create("posthorn-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "shared memory");
    if (prepare(fd, f) != R_OK) {
        close(fd);
        return R_FAIL;
    }
    *fd_out = fd;
    return R_OK;
}

enum result
shared_map(int fd, struct shared **out, struct fault *f)
{
    void *p = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return fault_errno(f, FAULT_UNAVAILABLE, "shared memory");
    *out = p;
    return R_OK;
}
