#include "os/sandbox_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// What the headers of Debian 12 do not name yet.
#define FS_TRUNCATE (1ULL << 14)   // ABI 3
#define FS_IOCTL_DEV (1ULL << 15)  // ABI 5
#define NET_BIND_TCP (1ULL << 0)   // ABI 4
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT (1ULL << 0)  // ABI 6: abstract unix sockets outside
#define SCOPE_SIGNAL (1ULL << 1)    // ABI 6: signals to processes outside
enum { RULE_NET_PORT = 2 };

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

struct net_attr {
    uint64_t access, port;
};

static const uint64_t fs_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t fs_write =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE;
static const uint64_t fs_of_files = LANDLOCK_ACCESS_FS_READ_FILE |
                                    LANDLOCK_ACCESS_FS_WRITE_FILE |
                                    LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE;

int
sandbox_landlock_abi(void)
{
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static struct ruleset_attr
handled_by(int abi)
{
    uint64_t fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // ABI 1: everything up to there
    if (abi >= 2)
        fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        fs |= FS_TRUNCATE;
    if (abi >= 5)
        fs |= FS_IOCTL_DEV;
    return (struct ruleset_attr){
        .fs = fs,
        .net = abi >= 4 ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
        .scoped = abi >= 6 ? SCOPE_ABSTRACT | SCOPE_SIGNAL : 0,
    };
}

static enum result
allow_path(int ruleset, const char *path, uint64_t access, struct fault *f)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, path);
    long failed =
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    if (failed)
        fault_errno(f, FAULT_UNAVAILABLE, "landlock_add_rule");
    close(rule.parent_fd);
    return failed ? R_FAIL : R_OK;
}

// What lies in a place is as durable as the place's own name: also where who made it was ended before it was synced.
static enum result
parent_sync(const char *path, struct fault *f)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    must(slash != NULL && slash != parent);
    *slash = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, parent);
    bool synced = fsync(fd) == 0;
    if (!synced)
        fault_errno(f, FAULT_DISK, parent);
    close(fd);
    return synced ? R_OK : R_FAIL;
}

static enum result
place_make(const struct role_place *p, const char *path, struct fault *f)
{
    bool folder = p->kind == ROLE_DIR;
    int fd = folder ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (folder ? mkdir(path, 0700) != 0 && errno != EEXIST : fd < 0)
        return fault_errno(f, FAULT_DISK, path);
    if (fd >= 0)
        close(fd);
    return parent_sync(path, f);
}

static enum result
place_path(const struct role_place *p, const char *data, char path[PATH_MAX],
           struct fault *f)
{
    bool absolute = p->path[0] == '/';
    if (!absolute && !data)
        return fault_set(f, FAULT_UNAVAILABLE, "role %s needs a data directory", p->role);
    int n = snprintf(path, PATH_MAX, "%s%s%s", absolute ? "" : data, absolute ? "" : "/",
                     p->path);
    if (n < 0 || n >= PATH_MAX)
        return fault_set(f, FAULT_UNAVAILABLE, "path too long: %.80s", path);
    return absolute || !p->writes ? R_OK : place_make(p, path, f);
}

static uint64_t
place_access(const struct role *r, const struct role_place *p)
{
    uint64_t access = fs_read | (p->writes ? fs_write : 0);
    if (r->may_exec)
        access |= LANDLOCK_ACCESS_FS_EXECUTE;
    if (p->kind == ROLE_LIST)
        return LANDLOCK_ACCESS_FS_READ_DIR;
    return p->kind == ROLE_FILE ? access & fs_of_files : access;
}

// Of a place that the settings name.
static enum result
allow_configured(int ruleset, const struct sandbox_place *p, uint64_t handled,
                 struct fault *f)
{
    struct stat s;
    if (ruleset < 0 || stat(p->path, &s) != 0)
        return R_OK;
    uint64_t access = fs_read | (p->writes ? fs_write : 0);
    return allow_path(ruleset, p->path,
                      (S_ISDIR(s.st_mode) ? access : access & fs_of_files) & handled, f);
}

// Everything in a folder but what leads to the data directory, which `rest` names from here on. What cannot be looked at stays
// forbidden.
static void
allow_beside(int ruleset, const char *folder, struct span rest, uint64_t handled)
{
    char path[PATH_MAX];
    struct span next = span_slice(rest, 0, span_find_char(rest, '/'));
    DIR *d = opendir(folder);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        struct stat s;
        struct fault f;
        int n = snprintf(path, sizeof path, "%s/%s", folder[1] ? folder : "", e->d_name);
        if (span_eq(span_str(e->d_name), next) || span_eq(span_str(e->d_name), SPAN(".")) ||
            span_eq(span_str(e->d_name), SPAN("..")) || n >= PATH_MAX ||
            lstat(path, &s) != 0 || S_ISLNK(s.st_mode) || S_ISSOCK(s.st_mode))
            continue;  // what a link leads to has its own place
        uint64_t access =
            S_ISDIR(s.st_mode) ? handled : handled & (fs_of_files | FS_IOCTL_DEV);
        (void)!allow_path(ruleset, path, access, &f);
    }
    if (d != NULL)
        closedir(d);
}

// Landlock can only allow, so all that stands beside the way to the data directory is.
static enum result
allow_all_but(int ruleset, const char *data, uint64_t handled, struct fault *f)
{
    char real[PATH_MAX], folder[PATH_MAX] = "/";
    if (realpath(data, real) == NULL)
        return fault_errno(f, FAULT_UNAVAILABLE, data);
    for (struct span rest = span_skip(span_str(real), 1); rest.n > 0;) {
        allow_beside(ruleset, folder, rest, handled);
        size_t n = span_find_char(rest, '/');
        rest = span_skip(rest, n < rest.n ? n + 1 : n);
        if (rest.n > 0)
            snprintf(folder, sizeof folder, "%.*s", (int)(rest.p - real) - 1, real);
    }
    return R_OK;
}

static enum result
allow_places(int ruleset, const struct role *r, const struct sandbox_paths *paths,
             uint64_t handled, struct fault *f)
{
    const struct role_place *p;
    char path[PATH_MAX];
    for (size_t at = 0; (p = role_place_next(r, &at)) != NULL;) {
        uint64_t allowed = place_access(r, p) & handled;
        if (place_path(p, paths->data, path, f) != R_OK)
            return R_FAIL;
        if (p->path[0] == '/' && access(path, F_OK) != 0)
            continue;
        if (ruleset >= 0 && allow_path(ruleset, path, allowed, f) != R_OK)
            return R_FAIL;
    }
    for (size_t i = 0; i < paths->place_count; i++)
        if (allow_configured(ruleset, &paths->places[i], handled, f) != R_OK)
            return R_FAIL;
    if (WITH_SANITIZER && ruleset >= 0)  // the leak check reads its own maps and threads
        return allow_path(ruleset, "/proc", fs_read, f);
    return R_OK;
}

static enum result
allow_ports(int ruleset, const struct sandbox_paths *paths, struct fault *f)
{
    for (size_t i = 0; i < paths->port_count; i++) {
        struct net_attr rule = {NET_CONNECT_TCP, paths->ports[i]};
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0))
            return fault_errno(f, FAULT_UNAVAILABLE, "landlock_add_rule");
    }
    return R_OK;
}

static enum result
fill_and_restrict(int ruleset, const struct role *r, const struct sandbox_paths *paths,
                  uint64_t fs, struct fault *f)
{
    if (allow_places(ruleset, r, paths, fs, f) != R_OK)
        return R_FAIL;
    if ((r->calls & CALLS_PROGRAMS) && allow_all_but(ruleset, paths->data, fs, f) != R_OK)
        return R_FAIL;
    if (r->connect == ROLE_CONFIGURED && sandbox_landlock_abi() >= 4 &&
        allow_ports(ruleset, paths, f) != R_OK)
        return R_FAIL;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0))
        return fault_errno(f, FAULT_UNAVAILABLE, "landlock_restrict_self");
    return R_OK;
}

enum result
landlock_apply(const struct role *r, const struct sandbox_paths *paths, struct fault *f)
{
    int abi = sandbox_landlock_abi();
    bool whole = abi >= 4 || (abi > 0 && r->connect != ROLE_CONFIGURED);
    if (!whole)
        fault_set(f, FAULT_UNAVAILABLE,
                  "Landlock: ABI %d of this kernel is not enough for role %s", abi,
                  r->name);
    if (abi == 0)
        return allow_places(-1, r, paths, 0, f) == R_OK ? R_NONE : R_FAIL;
    struct ruleset_attr handled = handled_by(abi);
    if (r->connect == ROLE_ANY)
        handled.net = 0;
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
    if (ruleset < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "landlock_create_ruleset");
    enum result done = fill_and_restrict(ruleset, r, paths, handled.fs, f);
    close(ruleset);
    return done == R_OK && !whole ? R_NONE : done;
}
