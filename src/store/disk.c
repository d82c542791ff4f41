#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum result
disk_folder_open(int at, const char *name, int *fd_out, struct fault *f)
{
    if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, FAULT_DISK, name);
    if (at != AT_FDCWD &&
        disk_sync(at, f) != R_OK)  // whoever made it may not have come so far
        return R_FAIL;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    *fd_out = fd;
    return R_OK;
}

enum result
disk_create(int at, const char *name, int *fd_out, struct fault *f)
{
    int fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    *fd_out = fd;
    return R_OK;
}

enum result
disk_sync(int fd, struct fault *f)
{
    return fsync(fd) == 0 ? R_OK : fault_errno(f, FAULT_DISK, "fsync");
}

enum result
disk_write(int fd, uint64_t offset, struct span s, struct fault *f)
{
    struct iovec iov = {(char *)s.p, s.n};
    int err;
    if (disk_writev(fd, offset, &iov, 1, &err) == R_OK)
        return R_OK;
    errno = err;
    return fault_errno(f, FAULT_DISK, "write");
}

// Drops `done` octets off the front; returns how many iovecs are used up.
static size_t
iov_advance(struct iovec *iov, size_t n, size_t done)
{
    size_t i = 0;
    while (i < n && done >= iov[i].iov_len)
        done -= iov[i++].iov_len;
    if (i < n) {
        iov[i].iov_base = (char *)iov[i].iov_base + done;
        iov[i].iov_len -= done;
    }
    return i;
}

enum result
disk_writev(int fd, uint64_t offset, struct iovec *iov, size_t n, int *errno_out)
{
    while (n > 0) {
        int batch = n < IOV_MAX ? (int)n : IOV_MAX;
        ssize_t done = pwritev(fd, iov, batch, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            *errno_out = errno;
            return R_FAIL;
        }
        offset += (uint64_t)done;
        size_t used = iov_advance(iov, n, (size_t)done);
        if (done == 0 && used == 0) {
            *errno_out = ENOSPC;
            return R_FAIL;
        }
        iov += used;
        n -= used;
    }
    return R_OK;
}

enum result
disk_read(int fd, uint64_t offset, char *dst, size_t n, bool nowait, struct fault *f)
{
    while (n > 0) {
        struct iovec iov = {dst, n};
        ssize_t got = preadv2(fd, &iov, 1, (off_t)offset, nowait ? RWF_NOWAIT : 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0 || (got < 0 && nowait && (errno == EAGAIN || errno == EOPNOTSUPP)))
            return R_NONE;
        if (got < 0)
            return fault_errno(f, FAULT_DISK, "read");
        dst += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return R_OK;
}

enum result
disk_size(int fd, uint64_t *size_out, struct fault *f)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fault_errno(f, FAULT_DISK, "fstat");
    *size_out = (uint64_t)st.st_size;
    return R_OK;
}
