#include "pipe/job.h"

#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"

enum { EXIT_BROKEN = 126, VARIABLES = 8 };

// ---- in the child ----

static bool
limit(int resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return false;
    rlim_t value = most < now.rlim_max ? most : now.rlim_max;
    return setrlimit(resource, &(struct rlimit){value, value}) == 0;
}

static bool
limit_all(uint64_t cpu_s)
{
    return limit(RLIMIT_DATA, LIMIT_pipe_memory) && limit(RLIMIT_CPU, cpu_s) &&
           limit(RLIMIT_FSIZE, LIMIT_pipe_file) && limit(RLIMIT_NOFILE, LIMIT_pipe_files) &&
           limit(RLIMIT_NPROC, LIMIT_pipe_processes) && limit(RLIMIT_CORE, 0);
}

static bool
arrange(int message, int said, pid_t parent)
{
    (void)setpgid(0, 0);  // the parent does it, too
    umask(077);
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent &&
           dup2(said, STDOUT_FILENO) >= 0 && dup2(said, STDERR_FILENO) >= 0 &&
           dup2(message, STDIN_FILENO) >= 0 && lseek(STDIN_FILENO, 0, SEEK_SET) == 0 &&
           close_range(3, UINT_MAX, 0) == 0 && chdir("/") == 0 &&
           spawn_reset_signals() == 0;
}

struct command {
    char path[PATH_MAX];
    char *argv[LIMIT_pipe_arguments + 2];
    char *environment[VARIABLES + 1];
    uint64_t cpu_s;
};

static _Noreturn void
run_child(struct command *c, int message, int said, pid_t parent)
{
    if (arrange(message, said, parent) && limit_all(c->cpu_s))
        execve(c->path, c->argv, c->environment);
    dprintf(STDERR_FILENO, "it cannot be started: %s\n", strerror(errno));
    _exit(EXIT_BROKEN);
}

// ---- in the role ----

static char *
variable(struct arena *a, const char *name, struct span value)
{
    size_t n = strlen(name);
    char *text = arena_alloc(a, n + value.n + 2);
    memcpy(text, name, n);
    text[n] = '=';
    if (value.n > 0)
        memcpy(text + n + 1, value.p, value.n);
    text[n + 1 + value.n] = '\0';
    return text;
}

static enum result
fill(struct arena *a, const struct pipe_host *host, const struct pipe_call *call,
     struct command *c, struct fault *f)
{
    struct unpack u = unpack_of(call->arguments);
    size_t n = 0;
    if (pipe_folder_find(host->folder, call->program, c->path, f) != R_OK)
        return R_FAIL;
    c->argv[n++] = arena_cstr(a, call->program);
    for (; u.rest.n > 0; n++) {
        if (n > LIMIT_pipe_arguments)
            return fault_set(f, FAULT_BAD, "a program gets %d arguments at most",
                             LIMIT_pipe_arguments);
        c->argv[n] = arena_cstr(a, unpack_span(&u));
    }
    c->argv[n] = NULL;
    char *const environment[VARIABLES + 1] = {
        variable(a, "HOME", SPAN("/")),
        variable(a, "USER", call->user),
        variable(a, "HOST", span_str(host->name)),
        variable(a, "SENDER", call->from),
        variable(a, "RECIPIENT", call->to),
        variable(a, "ORIG_RECIPIENT", call->original),
        variable(a, "PATH", SPAN("/usr/local/bin:/usr/bin:/bin")),
        variable(a, "LC_ALL", SPAN("C.UTF-8"))};
    memcpy(c->environment, environment, sizeof environment);
    c->cpu_s = host->cpu_s;
    return R_OK;
}

static enum result
follow(pid_t pid, int output, struct pipe_job *out, struct fault *f)
{
    (void)setpgid(pid, pid);
    *out = (struct pipe_job){pid, (int)syscall(SYS_pidfd_open, pid, 0), output, {0}, 0};
    if (out->pidfd >= 0)
        return R_OK;
    fault_errno(f, FAULT_UNAVAILABLE, "pidfd_open");
    pipe_job_kill(out);
    (void)waitpid(pid, NULL, 0);
    close(output);
    return R_FAIL;
}

// Only our end of its output does not wait: a program that is told "try again" would fail.
static enum result
start(struct command *c, int message, struct pipe_job *out, struct fault *f)
{
    int said[2];
    pid_t parent = getpid();
    if (pipe2(said, O_CLOEXEC) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "pipe");
    (void)fcntl(said[0], F_SETFL, O_NONBLOCK);
    pid_t pid = fork();
    if (pid == 0)
        run_child(c, message, said[1], parent);
    close(said[1]);
    if (pid > 0)
        return follow(pid, said[0], out, f);
    close(said[0]);
    return fault_errno(f, FAULT_UNAVAILABLE, "fork");
}

enum result
pipe_job_start(const struct pipe_host *host, const struct pipe_call *call, int message,
               struct pipe_job *out, struct fault *f)
{
    struct arena *a = arena_new_small();
    struct command *c = ARENA_NEW(a, struct command);
    enum result r = fill(a, host, call, c, f);
    if (r == R_OK)
        r = start(c, message, out, f);
    arena_free(&a);
    return r;
}

enum result
pipe_job_hear(struct pipe_job *job)
{
    enum { ROUNDS = 16 };
    char rest[16384];
    for (int i = 0; i < ROUNDS; i++) {
        size_t room = sizeof job->said - job->said_n;
        ssize_t n = read(job->output, rest, sizeof rest);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? R_OK : R_NONE;
        size_t kept = (size_t)n < room ? (size_t)n : room;
        memcpy(job->said + job->said_n, rest, kept);
        job->said_n += kept;
    }
    return R_OK;
}

void
pipe_job_kill(const struct pipe_job *job)
{
    (void)kill(-job->pid, SIGKILL);  // fails only when they are gone
    (void)kill(job->pid, SIGKILL);
}

static void
put_said(const struct pipe_job *job, struct buf *why)
{
    struct span said =
        span_trim(span_slice(span_of(job->said, job->said_n), 0, LIMIT_pipe_answer));
    if (said.n == 0)
        return;
    buf_put_str(why, why->n > 0 ? ": " : "");
    for (size_t i = 0; i < said.n; i++)
        buf_put_char(why,
                     (unsigned char)said.p[i] < ' ' || said.p[i] == 0x7f ? ' ' : said.p[i]);
}

static enum pipe_status
judge(int status, bool timed_out, struct buf *why)
{
    if (timed_out)
        buf_put_str(why, "it took too long");
    else if (WIFSIGNALED(status))
        buf_printf(why, "signal %d ended it", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        buf_printf(why, "it ended with status %d", WEXITSTATUS(status));
    return why->n > 0 ? PIPE_FAILED : PIPE_DONE;
}

enum pipe_status
pipe_job_end(struct pipe_job *job, bool timed_out, struct buf *why)
{
    int status = 0;
    pipe_job_kill(job);
    (void)waitpid(job->pid, &status, 0);
    (void)!pipe_job_hear(job);
    enum pipe_status s = judge(status, timed_out, why);
    put_said(job, why);
    close(job->output);
    close(job->pidfd);
    return s;
}
