#include "main/process.h"
#include "base/log.h"
#include "ctl/owner.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

static enum result
make_directory(const char *path, struct fault *f)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return R_OK;
    return fault_errno(f, FAULT_DISK, path);
}

// May this user pass through every directory above the path? By the mode bits, as the kernel does.
static bool
can_reach(const struct user_ids *ids, const char *path)
{
    char above[PATH_MAX];
    snprintf(above, sizeof above, "%s", path);
    for (size_t n = strlen(above); n > 1; n--) {
        struct stat st;
        if (above[n] != '/')
            continue;
        above[n] = '\0';
        if (stat(above, &st) != 0)
            return false;
        mode_t bit = st.st_uid == ids->uid   ? S_IXUSR
                     : st.st_gid == ids->gid ? S_IXGRP
                                             : S_IXOTH;
        if (!(st.st_mode & bit))
            return false;
    }
    return true;
}

// The demo runs wherever it is tried: as the service user, as the directory's owner, as nobody, as root at last.
static void
choose_demo_user(struct supervisor *s, uid_t owner, gid_t group)
{
    const char *data = s->options.config->data;
    struct user_ids found[3] = {{0, 0}, {owner, group}, {0, 0}};
    struct fault none;
    // stays root when there is none
    (void)!user_find(s->options.config->user, &found[0], &none);
    (void)!user_find("nobody", &found[2], &none);
    for (size_t i = 0; i < 3; i++) {
        if (found[i].uid != 0 && can_reach(&found[i], data)) {
            s->ids = found[i];
            return;
        }
    }
    log_warning("main", "no other user can reach the data: the demo runs as root",
                field_str("data", "data=%", data));
}

static enum result
choose_user(struct supervisor *s, const struct stat *st, struct fault *f)
{
    const struct config *c = s->options.config;
    s->ids = (struct user_ids){geteuid(), getegid()};
    if (geteuid() != 0)
        return R_OK;
    if (s->options.demo) {
        choose_demo_user(s, st->st_uid, st->st_gid);
        return R_OK;
    }
    if (user_find(c->user, &s->ids, f) != R_OK)
        return fault_set(f, FAULT_NONEXISTENT,
                         "there is no user '%.40s' to run as; make one (adduser --system "
                         "--group %.40s) or set "
                         "user = \"...\"",
                         c->user, c->user);
    if (s->ids.uid == 0)
        return fault_set(f, FAULT_BAD,
                         "user = \"root\": the server must run as somebody else");
    return R_OK;
}

static bool
is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

// /tmp and its like: it has files, and none that a data directory has. Hidden ones do not count, nor what a new disk has.
static bool
is_somebodys(const char *path)
{
    static const char *const own[] = {"lock", "journal", "users"};
    static const char *const nothing[] = {"lost+found", "demo-cert.pem", "demo-key.pem",
                                          "demo-password"};
    bool other = false, ours = false;
    DIR *dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        ours |= is_one_of(e->d_name, own, sizeof own / sizeof own[0]);
        other |= e->d_name[0] != '.' &&
                 !is_one_of(e->d_name, nothing, sizeof nothing / sizeof nothing[0]);
    }
    if (dir != NULL)
        closedir(dir);
    return other && !ours;
}

enum result
home_prepare(struct supervisor *s, struct fault *f)
{
    const char *data = s->options.config->data;
    struct stat st;
    if (make_directory(data, f) != R_OK)
        return R_FAIL;
    if (stat(data, &st) != 0)
        return fault_errno(f, FAULT_DISK, data);
    if (choose_user(s, &st, f) != R_OK)
        return R_FAIL;
    bool ours = st.st_uid == s->ids.uid;
    if ((!ours || (st.st_mode & 077)) && is_somebodys(data))
        return fault_set(f, FAULT_BAD,
                         "%.100s has other files, and would be closed to all others; name "
                         "a directory for the data alone",
                         data);
    if (!ours && st.st_uid != 0)
        return fault_set(f, FAULT_NOPERM,
                         "%.100s belongs to uid %u, not to uid %u who runs the server",
                         data, st.st_uid, s->ids.uid);
    if (owner_check(s->options.config, s->ids.uid, f) != R_OK)
        return R_FAIL;
    if (!ours && chown(data, s->ids.uid, s->ids.gid) != 0)
        return fault_errno(f, FAULT_NOPERM, data);
    if ((st.st_mode & 077) && chmod(data, 0700) != 0)
        return fault_errno(f, FAULT_NOPERM, data);
    return R_OK;
}
