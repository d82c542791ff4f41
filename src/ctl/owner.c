#include "ctl/owner.h"
#include "os/user.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

// Octets of a path that an error has room for; half of one would be another's.
enum { PATH_SHOWN = 100 };

static enum result
make_directory(const struct config *c, struct fault *f)
{
    struct user_ids ids;
    struct fault none;
    if (mkdir(c->data, 0700) != 0)
        return errno == EEXIST ? R_OK : fault_errno(f, FAULT_DISK, c->data);
    if (geteuid() != 0 || user_find(c->user, &ids, &none) != R_OK)
        return R_OK;
    return chown(c->data, ids.uid, ids.gid) == 0 ? R_OK
                                                 : fault_errno(f, FAULT_DISK, c->data);
}

// A directory that root made and gave to the service user has root's group still.
static void
take_group(const struct config *c, struct user_ids *ids)
{
    struct user_ids named;
    struct fault none;
    if (ids->gid == 0 && user_find(c->user, &named, &none) == R_OK && named.uid == ids->uid)
        ids->gid = named.gid;
}

enum result
owner_become(const struct config *c, struct fault *f)
{
    struct stat st;
    umask(077);
    if (make_directory(c, f) != R_OK)
        return R_FAIL;
    if (stat(c->data, &st) != 0)
        return fault_errno(f, FAULT_DISK, c->data);
    if (geteuid() != 0 && st.st_uid != geteuid())
        return fault_set(f, FAULT_NOPERM, "%.120s belongs to another user (uid %u)",
                         c->data, st.st_uid);
    if (geteuid() != 0 || st.st_uid == 0)
        return R_OK;
    struct user_ids ids = {st.st_uid, st.st_gid};
    take_group(c, &ids);
    return user_drop(&ids, f);
}

enum result
owner_check(const struct config *c, uid_t uid, struct fault *f)
{
    static const char *const inside[] = {"lock", "users"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        struct stat st;
        char path[4352];
        snprintf(path, sizeof path, "%s/%s", c->data, inside[i]);
        if (lstat(path, &st) == 0 && st.st_uid != uid)
            return fault_set(f, FAULT_NOPERM,
                             "'%s' belongs to uid %u, not to uid %u who runs the server; "
                             "run: chown -R %u %s",
                             inside[i], st.st_uid, uid, uid,
                             strlen(c->data) <= PATH_SHOWN ? c->data : "DATA_DIRECTORY");
    }
    return R_OK;
}
