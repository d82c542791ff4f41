#include "ctl/maildir.h"
#include "base/limits.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static void
close_fd(void *arg)
{
    close((int)(intptr_t)arg);
}

static enum result
read_all(int fd, size_t size, struct arena *a, struct span *out, struct fault *f)
{
    char *p = arena_alloc(a, size + 1);
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, p + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_errno(f, FAULT_DISK, "cannot be read");
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *out = span_of(p, n);
    return R_OK;
}

enum result
file_read(int at, const char *name, size_t max, struct arena *a, struct span *out,
          struct fault *f)
{
    struct stat st;
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? R_NONE : fault_errno(f, FAULT_DISK, name);
    enum result r = R_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        r = fault_set(f, FAULT_BAD, "%.100s is no file", name);
    else if ((uint64_t)st.st_size > max)
        r = fault_set(f, FAULT_TOOBIG, "%.100s is larger than %zu octets", name, max);
    else
        r = read_all(fd, (size_t)st.st_size, a, out, f);
    close(fd);
    return r;
}

// ---- the list of messages ----

struct listing {
    struct maildir *m;
    const struct uidlist *uids;
    struct arena *arena;
    size_t cap;
};

static void
add_message(struct listing *l, const char *name, bool fresh)
{
    struct maildir *m = l->m;
    if (m->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        struct maildir_message *grown = arena_array(l->arena, cap, sizeof *grown);
        if (m->count > 0)
            memcpy(grown, m->messages, m->count * sizeof *grown);
        m->messages = grown;
        l->cap = cap;
    }
    struct maildir_message *msg = &m->messages[m->count++];
    msg->file = arena_dup(l->arena, span_of(name, strlen(name) + 1));
    msg->file.n--;
    msg->base = maildir_base(msg->file);
    msg->guid = msg->base;
    msg->fresh = fresh;
    const struct uidlist_entry *e = uidlist_find(l->uids, msg->base);
    if (e != NULL) {
        msg->uid = e->uid;
        msg->has_zone = e->has_zone;
        msg->zone_min = e->zone_min;
        msg->uidl = e->uidl;
        if (e->guid.n > 0)
            msg->guid = e->guid;
    }
}

static enum result
list_dir(struct listing *l, const char *dir, struct fault *f)
{
    int fd = openat(l->m->fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? R_OK : fault_errno(f, FAULT_DISK, dir);
    DIR *d = fdopendir(fd);
    must(d != NULL);
    struct dirent *e;
    errno = 0;
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            add_message(l, e->d_name, dir[0] == 'n');
    enum result r = errno != 0 ? fault_errno(f, FAULT_DISK, dir) : R_OK;
    closedir(d);
    return r;
}

// Known UIDs ascending, then the others by the time in their name, then by name.
static int
by_uid(const void *a, const void *b)
{
    const struct maildir_message *x = a, *y = b;
    uint32_t ux = x->uid - 1, uy = y->uid - 1;  // 0, none, comes last
    if (ux != uy)
        return ux < uy ? -1 : 1;
    uint64_t tx = 0, ty = 0;
    (void)!span_to_u64(span_slice(x->base, 0, span_find_char(x->base, '.')), &tx);
    (void)!span_to_u64(span_slice(y->base, 0, span_find_char(y->base, '.')), &ty);
    if (tx != ty)
        return tx < ty ? -1 : 1;
    return span_cmp(x->base, y->base);
}

// While the folder was listed a file may have been renamed, then it was seen twice.
static void
drop_twins(struct maildir *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        if (n == 0 || !span_eq(m->messages[n - 1].base, m->messages[i].base))
            m->messages[n++] = m->messages[i];
    m->count = n;
}

static enum result
read_uids(struct maildir *m, struct arena *a, struct uidlist *uids)
{
    struct span text;
    struct fault f;
    enum result r = file_read(m->fd, "dovecot-uidlist", LIMIT_uidlist_file, a, &text, &f);
    if (r == R_OK)
        r = uidlist_parse(text, a, uids, &f);
    if (r == R_FAIL)
        m->problem(m->problem_arg, f.why);
    if (r == R_OK && uids->bad_lines > 0)
        m->problem(m->problem_arg, "dovecot-uidlist has lines that make no sense");
    return r;
}

static void
read_keywords(struct maildir *m, struct arena *a)
{
    struct span text;
    struct fault f;
    enum result r = file_read(m->fd, "dovecot-keywords", LIMIT_uidlist_file, a, &text, &f);
    if (r == R_OK)
        keyword_file_parse(text, a, m->keywords);
    if (r == R_FAIL)
        m->problem(m->problem_arg, f.why);
}

bool
maildir_is(int at, const char *path)
{
    char cur[4200];
    struct stat st;
    int n = snprintf(cur, sizeof cur, "%s/cur", path);
    return n > 0 && (size_t)n < sizeof cur && fstatat(at, cur, &st, 0) == 0 &&
           S_ISDIR(st.st_mode);
}

enum result
maildir_open(int at, const char *path, struct arena *a, struct maildir *m, struct fault *f)
{
    struct uidlist uids = {0};
    m->fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->fd < 0)
        return fault_errno(f, FAULT_BAD, path);
    arena_on_end(a, close_fd, (void *)(intptr_t)m->fd);
    if (!maildir_is(m->fd, "."))
        return fault_set(f, FAULT_BAD, "%.150s is no Maildir: it has no cur", path);
    if (read_uids(m, a, &uids) == R_OK) {
        m->uidvalidity = uids.uidvalidity;
        m->uidnext = uids.uidnext;
    }
    read_keywords(m, a);
    struct listing l = {m, &uids, a, 0};
    if (list_dir(&l, "new", f) != R_OK || list_dir(&l, "cur", f) != R_OK)
        return R_FAIL;
    if (m->count > 0)
        qsort(m->messages, m->count, sizeof *m->messages, by_uid);
    drop_twins(m);
    return R_OK;
}

// ---- one message ----

static int
open_in(const struct maildir *m, const char *dir, const char *name)
{
    char path[NAME_MAX + 8];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return openat(m->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

// A mail program may rename the file while we read the folder.
static int
open_moved(const struct maildir *m, struct span base)
{
    int found = -1, fd = openat(m->fd, "cur", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    if (d == NULL)
        return -1;
    while (found < 0 && (e = readdir(d)) != NULL)
        if (span_eq(maildir_base(span_str(e->d_name)), base))
            found = open_in(m, "cur", e->d_name);
    closedir(d);
    if (found < 0)
        errno = ENOENT;
    return found;
}

enum result
maildir_open_message(const struct maildir *m, const struct maildir_message *msg,
                     int *fd_out, struct fault *f)
{
    struct stat st;
    int fd = open_in(m, msg->fresh ? "new" : "cur", msg->file.p);
    if (fd < 0 && errno == ENOENT)
        fd = open_moved(m, msg->base);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, "cannot be opened");
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *fd_out = fd;
        return R_OK;
    }
    close(fd);
    return fault_set(f, FAULT_BAD, "is no file");
}
