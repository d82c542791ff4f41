#include "store/folder.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum result
take_lock(int at, int *fd_out, struct fault *f)
{
    int fd = openat(at, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, "lock");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *fd_out = fd;
        return R_OK;
    }
    enum result r =
        errno == EWOULDBLOCK
            ? fault_set(f, FAULT_INUSE, "another process uses this data directory")
            : fault_errno(f, FAULT_DISK, "lock");
    close(fd);
    return r;
}

// A small file that is there whole or not at all.
static enum result
write_file(int at, const char *name, struct span content, struct fault *f)
{
    int fd = openat(at, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, name);
    bool good = write(fd, content.p, content.n) == (ssize_t)content.n && fsync(fd) == 0;
    close(fd);
    if (!good || renameat(at, "new", at, name) != 0 || fsync(at) != 0)
        return fault_errno(f, FAULT_DISK, name);
    return R_OK;
}

// R_NONE: no such file.
static enum result
read_file(int at, const char *name, char *dst, size_t max, size_t *n_out, struct fault *f)
{
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? R_NONE : fault_errno(f, FAULT_DISK, name);
    ssize_t n = read(fd, dst, max);
    close(fd);
    if (n < 0)
        return fault_errno(f, FAULT_DISK, name);
    *n_out = (size_t)n;
    return R_OK;
}

// R_NONE: there is none yet.
static enum result
read_format(int at, uint32_t *version_out, struct fault *f)
{
    static const char words[] = "posthorn store ";
    char text[64];
    size_t n = 0;
    uint32_t version = 0;
    enum result r = read_file(at, "format", text, sizeof text, &n, f);
    if (r != R_OK)
        return r;
    struct span s = span_trim(span_of(text, n));
    if (!span_starts(s, span_str(words)) ||
        span_to_u32(span_skip(s, sizeof words - 1), &version) != R_OK || version == 0)
        return fault_set(f, FAULT_CORRUPTION, "data/format cannot be read");
    if (version > FOLDER_FORMAT)
        return fault_set(
            f, FAULT_CORRUPTION,
            "this data has format %u, this program knows up to %d: use a newer one",
            version, FOLDER_FORMAT);
    *version_out = version;
    return R_OK;
}

// It only rises: what needs it may be there for ever.
static enum result
settle_format(int at, bool compress, uint32_t *version_out, struct fault *f)
{
    uint32_t version = 0, least = compress ? FOLDER_FORMAT : FOLDER_FORMAT_PLAIN;
    char text[64];
    if (read_format(at, &version, f) == R_FAIL)
        return R_FAIL;
    *version_out = version > least ? version : least;
    if (version >= least)
        return R_OK;
    int n = snprintf(text, sizeof text, "posthorn store %u\n", least);
    return write_file(at, "format", span_of(text, (size_t)n), f);
}

static enum result
read_uuid(int at, uint8_t uuid[16], struct fault *f)
{
    char bytes[16];
    size_t n = 0;
    enum result r = read_file(at, "uuid", bytes, sizeof bytes, &n, f);
    if (r == R_NONE) {
        random_bytes(bytes, sizeof bytes);
        r = write_file(at, "uuid", span_of(bytes, sizeof bytes), f);
    } else if (r == R_OK && n != sizeof bytes) {
        return fault_set(f, FAULT_CORRUPTION, "data/uuid cannot be read");
    }
    memcpy(uuid, bytes, sizeof bytes);
    return r;
}

static enum result
check_restoring(int at, unsigned how, struct fault *f)
{
    if (how & FOLDER_RESTORING || faccessat(at, "restoring", F_OK, 0) != 0)
        return R_OK;
    return fault_set(
        f, FAULT_CORRUPTION,
        "a restore into this directory was not finished: empty it and restore again");
}

// Runs in the folder, which is made when missing.
static enum result
open_folder(const char *path, int *at_out, struct fault *f)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, FAULT_DISK, "data directory");
    *at_out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *at_out >= 0 ? R_OK : fault_errno(f, FAULT_DISK, "data directory");
}

enum result
folder_compress(const char *path, struct fault *f)
{
    int at = -1;
    uint32_t version;
    if (open_folder(path, &at, f) != R_OK)
        return R_FAIL;
    enum result r = settle_format(at, true, &version, f);
    close(at);
    return r;
}

enum result
folder_restore_begin(const char *path, struct fault *f)
{
    int at = -1;
    if (open_folder(path, &at, f) != R_OK)
        return R_FAIL;
    bool used =
        faccessat(at, "journal", F_OK, 0) == 0 || faccessat(at, "bodies", F_OK, 0) == 0;
    enum result r =
        used ? fault_set(f, FAULT_ALREADYEXISTS, "the data directory is not empty")
             : write_file(at, "restoring", SPAN("not complete\n"), f);
    close(at);
    return r;
}

enum result
folder_restore_end(const char *path, struct fault *f)
{
    int at = -1;
    if (open_folder(path, &at, f) != R_OK)
        return R_FAIL;
    enum result r = unlinkat(at, "restoring", 0) == 0 && fsync(at) == 0
                        ? R_OK
                        : fault_errno(f, FAULT_DISK, "restoring");
    close(at);
    return r;
}

enum result
folder_open(const char *path, unsigned how, struct folder *out, struct fault *f)
{
    struct folder found = {.lock_fd = -1};
    int at = -1;
    if (open_folder(path, &at, f) != R_OK)
        return R_FAIL;
    enum result r = take_lock(at, &found.lock_fd, f);
    if (r == R_OK)
        r = check_restoring(at, how, f);
    if (r == R_OK)
        r = settle_format(at, how & FOLDER_COMPRESS, &found.format, f);
    if (r == R_OK)
        r = read_uuid(at, found.uuid, f);
    close(at);
    if (r != R_OK) {
        folder_close(&found);
        return R_FAIL;
    }
    *out = found;
    return R_OK;
}

void
folder_close(struct folder *folder)
{
    if (folder->lock_fd >= 0)
        close(folder->lock_fd);
    folder->lock_fd = -1;
}
