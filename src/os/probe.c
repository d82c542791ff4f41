#include "os/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// An attempt gives 0 or its errno. Only EPERM and EACCES are refusals by the sandbox: anything else, such as
// ECONNREFUSED, means that the attempt was let out.
typedef int attempt_fn(const struct probe_targets *t);

static int
result_of(long r)
{
    return r >= 0 ? 0 : errno;
}

static int
close_result(int fd)
{
    int failed = result_of(fd);
    if (fd >= 0)
        close(fd);
    return failed;
}

static int
open_foreign(const struct probe_targets *t)
{
    return close_result(open(t->foreign, O_RDONLY | O_CLOEXEC));
}

static int
open_other_role(const struct probe_targets *t)
{
    return t->other_role ? close_result(open(t->other_role, O_RDONLY | O_CLOEXEC)) : EACCES;
}

static int
write_tmp(const struct probe_targets *t)
{
    (void)t;
    return close_result(open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
}

static int
connect_port(const struct probe_targets *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int failed = result_of(connect(fd, (const struct sockaddr *)&a, sizeof a));
    close(fd);
    return failed;
}

static int
make_socket(const struct probe_targets *t)
{
    (void)t;
    return close_result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// The path ends in "/": where exec is let through it fails with ENOTDIR instead of replacing the process.
static int
exec_true(const struct probe_targets *t)
{
    (void)t;
    char *argv[] = {"true", NULL};
    return result_of(execve("/bin/true/", argv, NULL));
}

static int
fork_child(const struct probe_targets *t)
{
    (void)t;
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0)
        syscall(SYS_exit_group, 0);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    return result_of(pid);
}

static int
trace_parent(const struct probe_targets *t)
{
    (void)t;
    long r = ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
    int failed = result_of(r);
    if (r == 0)
        (void)ptrace(PTRACE_DETACH, getppid(), NULL, NULL);
    return failed;
}

static int
signal_parent(const struct probe_targets *t)
{
    (void)t;
    return result_of(kill(getppid(), 0));
}

static int
map_code(const struct probe_targets *t)
{
    (void)t;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return errno;
    munmap(p, 4096);
    return 0;
}

static const struct {
    const char *name;
    attempt_fn *attempt;
    bool needs_exec;  // granted to roles whose row says so
} rows[] = {
    {"open a foreign file", open_foreign, false},
    {"open another role's file", open_other_role, false},
    {"write in /tmp", write_tmp, false},
    {"connect", connect_port, false},
    {"make a unix socket", make_socket, false},
    {"exec", exec_true, true},
    {"fork", fork_child, true},
    {"trace the parent", trace_parent, false},
    {"signal the parent", signal_parent, false},
    {"map writable code", map_code, true},
};

static bool
is_granted(const struct role *r, size_t row)
{
    bool local = rows[row].attempt == make_socket && (r->calls & CALLS_LOCAL);
    return (r->calls & CALLS_ANY) || (rows[row].needs_exec && r->may_exec) || local;
}

bool
probe_run(const struct role *r, const struct probe_targets *t, struct buf *report)
{
    bool holds = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int failed = rows[i].attempt(t);
        bool refused = failed == EPERM || failed == EACCES;
        const char *verdict = refused ? "denied" : is_granted(r, i) ? "allowed" : "ALLOWED";
        buf_printf(report, "%s: %s (%s)\n", rows[i].name, verdict, strerrordesc_np(failed));
        holds = holds && (refused || is_granted(r, i));
    }
    return holds;
}
