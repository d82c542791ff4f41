#include "ctl/backup.h"
#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/owner.h"
#include "ctl/verbs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

// The command's side of restore for one folder or message. A child process becomes the data's owner, unpacks the whole
// backup into a directory of its own inside the data (which checks it all), opens the store there and reads the mail
// that is wanted; what it sends is fed to the verb's other half, which has the running store. The directory goes when
// the child ends. One whose child was killed has no lock any more and goes with the next run.

#define PREFIX "restoring-"

enum { DEPTH_MAX = 8 };

// ---- the directory ----

// NULL when there is none; no link is followed.
static DIR *
open_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

static void
remove_tree(int at, const char *name, unsigned depth)
{
    DIR *dir = open_dir(at, name);
    if (dir == NULL)
        return;
    int fd = dirfd(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            unlinkat(fd, e->d_name, 0) != 0 && depth < DEPTH_MAX)
            remove_tree(fd, e->d_name, depth + 1);
    closedir(dir);
    unlinkat(at, name, AT_REMOVEDIR);
}

static void
sweep_one(int data, const char *name)
{
    int old = openat(data, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (old < 0)
        return;
    if (flock(old, LOCK_EX | LOCK_NB) == 0)
        remove_tree(data, name, 0);
    close(old);
}

// Of runs that were killed: their lock is free.
static void
sweep(int data)
{
    DIR *dir = open_dir(data, ".");
    if (dir == NULL)
        return;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (span_starts(span_str(e->d_name), SPAN(PREFIX)))
            sweep_one(data, e->d_name);
    closedir(dir);
}

struct place {
    int data, dir;  // dir is locked as long as it is open
    char path[PATH_MAX];
};

static enum result
make_directory(struct place *p, const struct config *c, struct fault *f)
{
    int n = snprintf(p->path, sizeof p->path, "%s/" PREFIX "XXXXXX", c->data);
    if (n < 0 || (size_t)n >= sizeof p->path)
        return fault_set(f, FAULT_BAD, "the data directory's path is too long");
    if (mkdtemp(p->path) == NULL)
        return fault_errno(f, FAULT_DISK, p->path);
    p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->dir < 0 || flock(p->dir, LOCK_EX | LOCK_NB) != 0)
        return fault_errno(f, FAULT_DISK, p->path);
    return R_OK;
}

// The lock of data/ keeps another run from sweeping a directory between its making and its locking.
static enum result
place_open(struct place *p, const struct config *c, struct fault *f)
{
    p->data = open(c->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->data < 0 || flock(p->data, LOCK_EX) != 0)
        return fault_errno(f, FAULT_DISK, c->data);
    sweep(p->data);
    enum result r = make_directory(p, c, f);
    flock(p->data, LOCK_UN);
    return r;
}

static void
place_close(struct place *p)
{
    if (p->dir >= 0) {
        remove_tree(p->data, strrchr(p->path, '/') + 1, 0);
        close(p->dir);
    }
    if (p->data >= 0)
        close(p->data);
}

// The running server must not be left without room.
static enum result
check_room(FILE *file, const struct place *p, struct fault *f)
{
    struct stat st;
    struct statvfs disk;
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode) ||
        fstatvfs(p->data, &disk) != 0)
        return R_OK;  // not known
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize, needed = (uint64_t)st.st_size;
    needed += needed / 4;  // the index
    if (room > needed)
        return R_OK;
    return fault_set(f, FAULT_DISK,
                     "the backup takes %llu MB beside the data, %llu MB are free",
                     (unsigned long long)needed >> 20, (unsigned long long)room >> 20);
}

// ---- the child ----

static enum result
unpack(FILE *file, struct place *p, const struct config *c, int fd, struct fault *f)
{
    if (owner_become(c, f) != R_OK || place_open(p, c, f) != R_OK ||
        check_room(file, p, f) != R_OK)
        return R_FAIL;
    struct config beside = *c;
    beside.data = p->path;
    return backup_unpack(file, &beside, true, fd, f);
}

struct child {
    FILE *file;
    const struct config *config;
};

static void
child(int fd, void *arg)
{
    const struct child *x = arg;
    struct place p = {.data = -1, .dir = -1};
    struct config beside = *x->config;
    struct fault f;
    if (unpack(x->file, &p, x->config, fd, &f) == R_OK) {
        beside.data = p.path;
        call_serve_here(&beside, fd);
    } else {
        call_refuse(fd, &f);
    }
    place_close(&p);
}

// ---- the command ----

// What the feed reads from: one in a process.
static struct {
    int fd;
    const char *const *args;
} source;

static enum result
pass_on(struct verb_client *c, struct span bytes, struct fault *f)
{
    return bytes.n > 0 ? verb_client_put(*verb_client_state(c), bytes, f) : R_OK;
}

static const struct verb reader = {.words = "restore", .sink = pass_on};

enum result
feed_restore(struct verb_client *c, struct fault *f)
{
    int fd = source.fd;
    source.fd = -1;
    return call_ask(fd, &reader, source.args, RESTORE_ARGS, c, f);
}

// The backup is good and open, or the child tells why not.
static enum result
wait_ready(struct fault *f)
{
    char what = CALL_REFUSED;
    ssize_t n;
    while ((n = recv(source.fd, &what, 1, 0)) < 0 && errno == EINTR)
        ;
    if (n == 1 && what == CALL_READY)
        return R_OK;
    int fd = source.fd;
    source.fd = -1;
    if (call_ask(fd, &reader, source.args, RESTORE_ARGS, NULL, f) == R_OK)
        return fault_set(f, FAULT_SERVERBUG, "the backup cannot be opened");
    return R_FAIL;
}

static const char *
or_empty(const char *s)
{
    return s != NULL ? s : "";
}

static int
restore_from(pid_t pid, const struct config *c, const char *const *write)
{
    struct fault f;
    int code;
    if (wait_ready(&f) == R_OK)
        code = call_run_on_store(c, verb_find(SPAN("restore")), write, RESTORE_ARGS);
    else
        code = output_fault(&f, 1);
    if (source.fd >= 0)
        close(source.fd);
    (void)waitpid(pid, NULL, 0);
    return code;
}

int
restore_part(FILE *file, const struct config *c, const struct verb_options *o)
{
    const char *write[RESTORE_ARGS] = {[RESTORE_MODE] = "write",
                                       [RESTORE_USER] = o->user,
                                       [RESTORE_FOLDER] = or_empty(o->folder),
                                       [RESTORE_UID] = or_empty(o->uid),
                                       [RESTORE_MESSAGE_ID] = or_empty(o->message_id),
                                       [RESTORE_EMAILID] = or_empty(o->emailid),
                                       [RESTORE_TO] = or_empty(o->to),
                                       [RESTORE_DRY_RUN] = o->dry_run ? "dry-run" : ""};
    const char *read[RESTORE_ARGS];
    struct fault f;
    struct call_child reading;
    struct child x = {file, c};
    memcpy(read, write, sizeof read);
    read[RESTORE_MODE] = "read";
    source.args = read;
    if (call_store_there(c, &f) != R_OK || call_fork(child, &x, &reading, &f) != R_OK)
        return output_fault(&f, 1);
    source.fd = reading.fd;
    return restore_from(reading.pid, c, write);
}
