#include "os/sandbox_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CALLS_DANGEROUS = 0,
    API_KILL_PROCESS = 3  // libseccomp's level for a kernel that lets us end a process
};

// One row of calls.def; mask 0 with value 0 means any use.
struct call {
    unsigned set;
    const char *name;
    unsigned argument;
    uint64_t mask, value;
};

static enum result
add(scmp_filter_ctx ctx, uint32_t action, const struct call *c, struct fault *f)
{
    int number = seccomp_syscall_resolve_name(c->name);
    struct scmp_arg_cmp test = SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, c->mask, c->value);
    if (number == __NR_SCMP_ERROR)  // newer than this libseccomp, or not on this machine
        return R_OK;
    int failed = seccomp_rule_add_array(ctx, action, number, c->mask != 0, &test);
    if (failed == 0 || failed == -EDOM || failed == -EOPNOTSUPP)
        return R_OK;
    errno = -failed;
    return fault_errno(f, FAULT_UNAVAILABLE, c->name);
}

static enum result
add_calls(scmp_filter_ctx ctx, unsigned sets, struct fault *f)
{
    const uint64_t own_pid = (uint64_t)getpid();
    const struct call calls[] = {
#define CALL(set, name) {CALLS_##set, #name, 0, 0, 0},
#define CALL_IF(set, name, argument, mask, value)                                          \
    {CALLS_##set, #name, argument, mask, (uint64_t)(value)},
#include "os/calls.def"
#undef CALL
#undef CALL_IF
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        const struct call *c = &calls[i];
        bool dangerous = c->set == CALLS_DANGEROUS;
        if (!dangerous && !(c->set & sets))
            continue;
        if (add(ctx, dangerous ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW, c, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// The kernel cannot look into clone3's arguments: without it glibc falls back to clone, whose flags it can.
static enum result
add_clone3(scmp_filter_ctx ctx, struct fault *f)
{
    static const struct call row = {.name = "clone3"};
    return add(ctx, SCMP_ACT_ERRNO(ENOSYS), &row, f);
}

static enum result
add_no_local(scmp_filter_ctx ctx, struct fault *f)
{
    static const struct call row = {0, "socket", 0, UINT32_MAX, AF_UNIX};
    return add(ctx, SCMP_ACT_ERRNO(EACCES), &row, f);
}

static enum result
load(scmp_filter_ctx ctx, struct fault *f)
{
    // a binary tree; slower without
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int failed = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (failed == 0)
        failed = seccomp_load(ctx);
    if (failed == 0)
        return R_OK;
    errno = -failed;
    return fault_errno(f, FAULT_UNAVAILABLE, "seccomp");
}

enum result
filter_apply(const struct role *r, struct fault *f)
{
    bool any = r->calls & CALLS_ANY;
    if (seccomp_api_get() < API_KILL_PROCESS)
        return fault_set(f, FAULT_UNAVAILABLE,
                         "seccomp: not in this kernel, or forbidden by a filter around us");
    scmp_filter_ctx ctx = seccomp_init(any ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return fault_set(f, FAULT_UNAVAILABLE, "seccomp is not available");
    unsigned sets = any ? 0 : r->calls | (WITH_SANITIZER ? CALLS_SANITIZER : 0);
    enum result done = add_calls(ctx, sets, f);
    if (done == R_OK && !any)
        done = add_clone3(ctx, f);
    if (done == R_OK && (r->calls & CALLS_PROGRAMS))
        done = add_no_local(ctx, f);
    if (done == R_OK)
        done = load(ctx, f);
    seccomp_release(ctx);
    return done;
}
