#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char prefix[] = "posthorn: ";

struct child {  // what the child needs after fork, where nothing may be allocated
    const int *fds;
    int count;
    int report;  // the errno of a failure goes here; closes itself on exec
    pid_t parent;
    char argv0[64];
};

extern char **environ;

int
spawn_reset_signals(void)
{
    sigset_t none;
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP)
            (void)signal(s, SIG_DFL);  // the C library's own numbers refuse, which is fine
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

// First out of the way, then to their places: source and target numbers may overlap.
static int
arrange_fds(struct child *c)
{
    int moved[SPAWN_FDS_MAX], above = SPAWN_FIRST_FD + c->count;
    c->report = fcntl(c->report, F_DUPFD_CLOEXEC, above + 1);
    for (int i = 0; i < c->count; i++)
        if ((moved[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, above + 1)) < 0)
            return -1;
    if (c->report < 0 || dup3(c->report, above, O_CLOEXEC) < 0)
        return -1;
    c->report = above;
    for (int i = 0; i < c->count; i++)
        if (dup2(moved[i], SPAWN_FIRST_FD + i) < 0)
            return -1;
    return close_range((unsigned)above + 1, UINT_MAX, 0);
}

static int
open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : dup2(fd, 0);
}

static _Noreturn void
run_child(struct child *c)
{
    char *argv[] = {c->argv0, NULL};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != c->parent)
        _exit(127);
    if (open_null() >= 0 && arrange_fds(c) == 0 && spawn_reset_signals() == 0)
        execve("/proc/self/exe", argv, environ);
    int why = errno;
    (void)!write(c->report, &why, sizeof why);
    _exit(127);
}

// Waits until the child runs its program, or says why it cannot.
static enum result
await_exec(pid_t pid, int report, struct fault *f)
{
    int why = 0;
    ssize_t n;
    do
        n = read(report, &why, sizeof why);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return R_OK;
    (void)waitpid(pid, NULL, 0);
    errno = n == sizeof why ? why : EIO;
    return fault_errno(f, FAULT_UNAVAILABLE, "exec");
}

static enum result
follow(pid_t pid, int report, struct spawned *out, struct fault *f)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        fault_errno(f, FAULT_UNAVAILABLE, "pidfd_open");
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return R_FAIL;
    }
    if (await_exec(pid, report, f) != R_OK) {
        close(pidfd);
        return R_FAIL;
    }
    *out = (struct spawned){pid, pidfd};
    return R_OK;
}

enum result
spawn_role(const struct role *r, const int *fds, size_t count, struct spawned *out,
           struct fault *f)
{
    int pipe_fds[2];
    must(count <= SPAWN_FDS_MAX);
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "pipe");
    struct child c = {
        .fds = fds, .count = (int)count, .report = pipe_fds[1], .parent = getpid()};
    snprintf(c.argv0, sizeof c.argv0, "%s%s", prefix, r->name);
    pid_t pid = fork();
    if (pid == 0)
        run_child(&c);
    close(pipe_fds[1]);
    enum result done = pid > 0 ? follow(pid, pipe_fds[0], out, f)
                               : fault_errno(f, FAULT_UNAVAILABLE, "fork");
    close(pipe_fds[0]);
    return done;
}

const struct role *
spawn_role_of(const char *argv0)
{
    struct span name = span_str(argv0);
    struct span start = span_of(prefix, sizeof prefix - 1);
    return span_starts(name, start) ? role_find(span_skip(name, start.n)) : NULL;
}
