#include "os/sandbox_inside.h"

#include <dirent.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// Landlock does not reach threads that already run. ThreadSanitizer starts one of its own.
static enum result
check_single_thread(struct fault *f)
{
#if defined(__SANITIZE_THREAD__)
    (void)f;
    return R_OK;
#else
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return fault_errno(f, FAULT_UNAVAILABLE, "/proc/self/task");
    int entries = 0;
    while (readdir(d))
        entries++;
    closedir(d);
    return entries == 3 ? R_OK
                        : fault_set(f, FAULT_SERVERBUG, "threads run before the sandbox");
#endif
}

// Changing the user clears the parent-death signal, so it is set here once more.
static enum result
set_process_flags(struct fault *f)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "no_new_privs");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "PR_SET_DUMPABLE");
    return R_OK;
}

static enum result
die_with_parent(struct fault *f)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "PR_SET_PDEATHSIG");
    return R_OK;
}

static enum result
limit(int resource, const char *name, rlim_t most, struct fault *f)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, name);
    rlim_t value = most < now.rlim_max ? most : now.rlim_max;
    struct rlimit want = {value, value};
    return setrlimit(resource, &want) == 0 ? R_OK : fault_errno(f, FAULT_UNAVAILABLE, name);
}

static enum result
set_limits(const struct role *r, const struct sandbox_paths *paths, struct fault *f)
{
    if (limit(RLIMIT_CORE, "RLIMIT_CORE", 0, f) != R_OK)
        return R_FAIL;
    if (r->calls & CALLS_ANY)  // what it starts may need more
        return R_OK;
    if (limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", r->files_max, f) != R_OK)
        return R_FAIL;
    if (paths->memory_max > 0 && !WITH_SANITIZER)
        return limit(RLIMIT_DATA, "RLIMIT_DATA", paths->memory_max, f);
    return R_OK;
}

// A role that was started as root without a service user keeps the name of root, not its powers.
static enum result
drop_capabilities(struct fault *f)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    // absent on old kernels
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "capset");
    return R_OK;
}

// What PAM's modules need as root: the files of others, being somebody else, the audit log.
static enum result
keep_capabilities_of_judge(struct fault *f)
{
    static const uint32_t kept[2] = {
        1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH |
            1U << CAP_FOWNER | 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID |
            1U << CAP_AUDIT_WRITE,
    };
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct now[2];
    if (syscall(SYS_capget, &head, now) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "capget");
    for (int i = 0; i < 2; i++)
        now[i] = (struct __user_cap_data_struct){now[i].effective & kept[i],
                                                 now[i].permitted & kept[i], 0};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);  // as above
    if (syscall(SYS_capset, &head, now) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "capset");
    return R_OK;
}

static enum result
confine(const struct role *r, const struct sandbox_paths *paths, struct fault *f)
{
    if (check_single_thread(f) != R_OK || die_with_parent(f) != R_OK)
        return R_FAIL;
    enum result locked = landlock_apply(r, paths, f);
    if (locked == R_FAIL || drop_capabilities(f) != R_OK)
        return R_FAIL;
    return filter_apply(r, f) == R_OK ? locked : R_FAIL;
}

enum result
sandbox_apply(const struct role *r, const struct sandbox_paths *paths, struct fault *f)
{
    if (set_process_flags(f) != R_OK || set_limits(r, paths, f) != R_OK)
        return R_FAIL;
    if (paths->close_from > 2 && close_range((unsigned)paths->close_from, UINT_MAX, 0) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "close_range");
    if ((r->calls & CALLS_JUDGE) && keep_capabilities_of_judge(f) != R_OK)
        return R_FAIL;
    if ((r->calls & CALLS_ANY) && !(r->calls & CALLS_PROGRAMS))
        return filter_apply(r, f);
    return confine(r, paths, f);
}

enum result
sandbox_narrow(const struct role *r, struct fault *f)
{
    static const struct sandbox_paths none = {0};
    enum result locked = landlock_apply(r, &none, f);
    if (locked == R_FAIL)
        return R_FAIL;
    return filter_apply(r, f) == R_OK ? locked : R_FAIL;
}

bool
sandbox_has_sanitizer(void)
{
    return WITH_SANITIZER;
}
