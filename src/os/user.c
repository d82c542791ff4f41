#include "os/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

enum result
user_find(const char *name, struct user_ids *ids_out, struct fault *f)
{
    char space[4096];
    struct passwd entry, *found = NULL;
    int failed = getpwnam_r(name, &entry, space, sizeof space, &found);
    if (failed != 0) {
        errno = failed;
        return fault_errno(f, FAULT_UNAVAILABLE, "getpwnam");
    }
    if (!found)
        return fault_set(f, FAULT_NONEXISTENT, "no user %.100s on this machine", name);
    *ids_out = (struct user_ids){entry.pw_uid, entry.pw_gid};
    return R_OK;
}

static bool
is_only(const struct user_ids *ids)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg;
    if (getresuid(&ru, &eu, &su) != 0 || getresgid(&rg, &eg, &sg) != 0)
        return false;
    bool user = ru == ids->uid && eu == ids->uid && su == ids->uid;
    bool group = rg == ids->gid && eg == ids->gid && sg == ids->gid;
    return user && group && getgroups(0, NULL) == 0;
}

enum result
user_drop(const struct user_ids *ids, struct fault *f)
{
    if (geteuid() != 0)
        return R_OK;
    if (ids->uid == 0 || ids->gid == 0)
        return fault_set(f, FAULT_NOPERM, "the service user must not be root");
    if (setgroups(0, NULL) != 0)
        return fault_errno(f, FAULT_NOPERM, "setgroups");
    if (setresgid(ids->gid, ids->gid, ids->gid) != 0)
        return fault_errno(f, FAULT_NOPERM, "setresgid");
    if (setresuid(ids->uid, ids->uid, ids->uid) != 0)
        return fault_errno(f, FAULT_NOPERM, "setresuid");
    must(is_only(ids) && setuid(0) != 0 && setgid(0) != 0);
    return R_OK;
}
