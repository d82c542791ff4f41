// Preloaded under the server, it shifts the clock of all roles; in the mail role it writes every change of a file and every sync to a
// log, and does what the control page says: fail, end the process at the Nth event, forget writes.
// The log is a shared mapping made before the sandbox: it needs no descriptor and no system call, survives kill -9,
// and the test reads and writes it while the server runs. Layout of an event and of the control page: eventlog.py.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind {
    WRITE = 1,
    SYNC,
    SYNC_ONE,
    TRUNCATE,
    GROW,
    CREATE,
    FOLDER,
    RENAME,
    LINK,
    UNLINK,
    FAILED
};
enum {
    CONTROL = 4096,
    CHANGES = 1 << WRITE | 1 << GROW | 1 << CREATE | 1 << FOLDER | 1 << LINK
};

struct control {
    _Atomic uint64_t tail;  // where the next event goes; the position that the test notes
    uint64_t capacity;
    _Atomic int64_t kill_after;  // the process ends before this many-th event; 0: never
    _Atomic int64_t sync_errno, write_errno;  // 0: none
    _Atomic uint64_t fail_ino;  // only calls on this file fail; 0: all
    _Atomic int64_t clock_s;  // added to the wall clock
    _Atomic int64_t allocations;  // this many-th allocation fails; 0: none
    _Atomic uint64_t counted;  // allocations so far
    _Atomic uint64_t starts;  // of the mail role
    _Atomic int64_t forgetting;  // writes do nothing and say that all is well
    _Atomic int64_t fail_after;  // calls that go well before the errors begin
};

struct event {
    uint32_t size, kind;  // size: with what follows, a multiple of 8
    uint64_t ino, a, b;
    uint32_t n, m;  // octets behind: data, or two names
};

static struct control *control;  // in the mail role
static struct control *shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void
begin(int argc, char **argv)
{
    const char *name = getenv("POWERCUT_LOG");
    struct stat st;
    if (argc < 1 || !name || strncmp(argv[0], "posthorn: ", 10) != 0)
        return;
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        abort();
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    close(fd);
    shared = map;
    if (strcmp(argv[0], "posthorn: mail") != 0)
        return;
    control = map;
    control->capacity = (uint64_t)st.st_size;
    atomic_fetch_add(&control->starts, 1);
}

// ---- the log ----

static void
count_down(void)
{
    if (atomic_load(&control->kill_after) > 0 &&
        atomic_fetch_sub(&control->kill_after, 1) == 1)
        syscall(SYS_exit_group, 137);
}

static void
put(const struct event *head, const void *data, const void *more)
{
    struct event e = *head;
    e.size = (uint32_t)((sizeof e + e.n + e.m + 7) & ~7u);
    pthread_mutex_lock(&lock);
    uint64_t at = atomic_load(&control->tail);
    if (at + e.size > control->capacity)
        abort();
    char *p = (char *)control + at;
    memcpy(p, &e, sizeof e);
    memcpy(p + sizeof e, data, e.n);
    memcpy(p + sizeof e + e.n, more, e.m);
    atomic_store(&control->tail, at + e.size);
    pthread_mutex_unlock(&lock);
}

static void
put_plain(enum kind kind, uint64_t ino, uint64_t a, uint64_t b)
{
    struct event e = {.kind = kind, .ino = ino, .a = a, .b = b};
    put(&e, "", "");
}

static void
put_names(enum kind kind, const uint64_t ids[3], const char *name, const char *more)
{
    struct event e = {.kind = kind,
                      .ino = ids[0],
                      .a = ids[1],
                      .b = ids[2],
                      .n = (uint32_t)strlen(name),
                      .m = (uint32_t)strlen(more)};
    put(&e, name, more);
}

// The file's number, 0 when it is none that matters.
static uint64_t
ino_of(int fd)
{
    struct stat st;
    int kept = errno;
    bool file = control && fd > 2 && fstat(fd, &st) == 0 &&
                (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    errno = kept;
    return file ? st.st_ino : 0;
}

// The folder that a name is in; *last_out is the part behind the slash.
static uint64_t
folder_of(int at, const char *name, const char **last_out)
{
    struct stat st;
    char folder[4096];
    const char *slash = strrchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0;
    *last_out = slash ? slash + 1 : name;
    if (n >= sizeof folder)
        abort();
    memcpy(folder, name, n);
    folder[n] = '\0';
    if (n == 0)
        memcpy(folder, ".", 2);
    return fstatat(at, folder, &st, 0) == 0 ? st.st_ino : 0;
}

// Every call that changes or syncs begins here.
static bool
fails(enum kind kind, uint64_t ino)
{
    count_down();
    int64_t error = kind == SYNC
                        ? atomic_load(&control->sync_errno)
                        : (CHANGES >> kind & 1 ? atomic_load(&control->write_errno) : 0);
    uint64_t only = atomic_load(&control->fail_ino);
    if (error == 0 || (only != 0 && only != ino))
        return false;
    if (atomic_load(&control->fail_after) > 0 &&
        atomic_fetch_sub(&control->fail_after, 1) > 0)
        return false;
    put_plain(FAILED, ino, kind, (uint64_t)error);
    errno = (int)error;
    return true;
}

// ---- data ----

static void
put_iov(uint64_t ino, const struct iovec *iov, int n, uint64_t offset)
{
    for (int i = 0; i < n; i++) {
        struct event e = {
            .kind = WRITE, .ino = ino, .a = offset, .n = (uint32_t)iov[i].iov_len};
        put(&e, iov[i].iov_base, "");
        offset += iov[i].iov_len;
    }
}

static ssize_t
total(const struct iovec *iov, int n)
{
    ssize_t octets = 0;
    for (int i = 0; i < n; i++)
        octets += (ssize_t)iov[i].iov_len;
    return octets;
}

static ssize_t
written(int fd, uint64_t ino, ssize_t result, int flags, uint64_t since)
{
    if (result >= 0 && (flags & RWF_DSYNC || fcntl(fd, F_GETFL) & O_DSYNC))
        put_plain(SYNC_ONE, ino, since, atomic_load(&control->tail));
    return result;
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    uint64_t ino = ino_of(fd), since = ino ? atomic_load(&control->tail) : 0;
    if (ino && fails(WRITE, ino))
        return -1;
    if (ino && atomic_load(&control->forgetting))
        return total(iov, n);
    if (ino)
        put_iov(ino, iov, n, (uint64_t)offset);
    ssize_t r = syscall(SYS_pwritev2, fd, iov, n, offset, 0, flags);
    return ino ? written(fd, ino, r, flags, since) : r;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return pwritev2(fd, iov, n, offset, 0);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t offset)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return pwritev2(fd, &iov, 1, offset, 0);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
    uint64_t ino = ino_of(fd);
    if (!ino)
        return syscall(SYS_writev, fd, iov, n);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t r = pwritev2(fd, iov, n, at, 0);
    if (r > 0)
        lseek(fd, at + r, SEEK_SET);
    return r;
}

ssize_t
write(int fd, const void *p, size_t n)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return ino_of(fd) ? writev(fd, &iov, 1) : syscall(SYS_write, fd, p, n);
}

int
ftruncate(int fd, off_t size)
{
    uint64_t ino = ino_of(fd);
    if (ino && fails(TRUNCATE, ino))
        return -1;
    if (ino)
        put_plain(TRUNCATE, ino, (uint64_t)size, 0);
    return (int)syscall(SYS_ftruncate, fd, size);
}

int
fallocate(int fd, int mode, off_t offset, off_t n)
{
    uint64_t ino = ino_of(fd);
    if (ino && fails(GROW, ino))
        return -1;
    if (ino && mode == 0)
        put_plain(GROW, ino, (uint64_t)(offset + n), 0);
    return (int)syscall(SYS_fallocate, fd, mode, offset, n);
}

// ---- syncs ----

static int
sync_file(int fd, long call)
{
    uint64_t ino = ino_of(fd);
    if (!ino)
        return (int)syscall(call, fd);
    if (fails(SYNC, ino))
        return -1;
    uint64_t since = atomic_load(&control->tail);
    int r = (int)syscall(call, fd);
    if (r == 0)
        put_plain(SYNC, ino, since, 0);
    count_down();
    return r;
}

int
fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

int
fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

// ---- names ----

static int
open_made(int at, const char *name, int flags, mode_t mode)
{
    const char *last;
    struct stat st;
    bool there = fstatat(at, name, &st, 0) == 0;
    uint64_t folder = folder_of(at, name, &last);
    if (!there && fails(CREATE, folder))
        return -1;
    if (there && flags & O_TRUNC)
        put_plain(TRUNCATE, st.st_ino, 0, 0);
    int fd = (int)syscall(SYS_openat, at, name, flags, mode);
    if (fd > 2 && !there)
        put_names(CREATE, (uint64_t[]){folder, ino_of(fd), 0}, last, "");
    return fd;
}

static int
open_any(int at, const char *name, int flags, mode_t mode)
{
    bool changes = flags & (O_CREAT | O_TRUNC) && (flags & O_TMPFILE) != O_TMPFILE;
    return control && changes ? open_made(at, name, flags, mode)
                              : (int)syscall(SYS_openat, at, name, flags, mode);
}

int
openat(int at, const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_any(at, name, flags, mode);
}

int
open(const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_any(AT_FDCWD, name, flags, mode);
}

int
mkdirat(int at, const char *name, mode_t mode)
{
    const char *last;
    struct stat st;
    uint64_t folder = control ? folder_of(at, name, &last) : 0;
    if (folder && fails(FOLDER, folder))
        return -1;
    int r = (int)syscall(SYS_mkdirat, at, name, mode);
    if (folder && r == 0 && fstatat(at, name, &st, 0) == 0)
        put_names(FOLDER, (uint64_t[]){folder, st.st_ino, 0}, last, "");
    return r;
}

int
mkdir(const char *name, mode_t mode)
{
    return mkdirat(AT_FDCWD, name, mode);
}

int
renameat(int at, const char *name, int to, const char *to_name)
{
    const char *last, *to_last;
    if (control) {
        uint64_t from_folder = folder_of(at, name, &last),
                 to_folder = folder_of(to, to_name, &to_last);
        if (fails(RENAME, to_folder))
            return -1;
        put_names(RENAME, (uint64_t[]){from_folder, to_folder, 0}, last, to_last);
    }
    return (int)syscall(SYS_renameat, at, name, to, to_name);
}

int
rename(const char *name, const char *to_name)
{
    return renameat(AT_FDCWD, name, AT_FDCWD, to_name);
}

int
linkat(int at, const char *name, int to, const char *to_name, int flags)
{
    const char *last, *to_last;
    if (control) {
        uint64_t from_folder = folder_of(at, name, &last),
                 to_folder = folder_of(to, to_name, &to_last);
        if (fails(LINK, to_folder))
            return -1;
        put_names(LINK, (uint64_t[]){from_folder, to_folder, 0}, last, to_last);
    }
    return (int)syscall(SYS_linkat, at, name, to, to_name, flags);
}

int
unlinkat(int at, const char *name, int flags)
{
    const char *last;
    if (control) {
        uint64_t folder = folder_of(at, name, &last);
        if (fails(UNLINK, folder))
            return -1;
        put_names(UNLINK, (uint64_t[]){folder, 0, 0}, last, "");
    }
    return (int)syscall(SYS_unlinkat, at, name, flags);
}

int
unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

int
rmdir(const char *name)
{
    return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

// ---- the clock ----

int
clock_gettime(clockid_t clock, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, clock, t);
    if (r == 0 && shared && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        t->tv_sec += atomic_load(&shared->clock_s);
    return r;
}

int
gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t
time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

// ---- memory ----

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool
no_memory(void)
{
    if (!control)
        return false;
    atomic_fetch_add(&control->counted, 1);
    return atomic_load(&control->allocations) > 0 &&
           atomic_fetch_sub(&control->allocations, 1) == 1;
}

static void *
refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

void *
malloc(size_t n)
{
    return no_memory() ? refuse() : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
    return no_memory() ? refuse() : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
    return no_memory() ? refuse() : __libc_realloc(p, n);
}

// ---- the same by their names in programs that are built for large files ----

int open64(const char *name, int flags, ...) __attribute__((alias("open")));
int openat64(int at, const char *name, int flags, ...) __attribute__((alias("openat")));
int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));
int fallocate64(int fd, int mode, off_t offset, off_t n)
    __attribute__((alias("fallocate")));
ssize_t pwrite64(int fd, const void *p, size_t n, off_t offset)
    __attribute__((alias("pwrite")));
ssize_t pwritev64(int fd, const struct iovec *iov, int n, off_t offset)
    __attribute__((alias("pwritev")));
ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
    __attribute__((alias("pwritev2")));
