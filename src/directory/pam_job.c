#include "directory/pam.h"
#include "io/message.h"
#include "os/sandbox.h"
#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_BROKEN = 100 };

// ---- in the child ----

// Modules get no descriptor of the role, and what they print goes nowhere.
static bool
keep_only(int said)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        (!sandbox_has_sanitizer() && dup2(null, STDERR_FILENO) < 0))
        return false;
    return (said == 3 || close_range(3, (unsigned)said - 1, 0) == 0) &&
           close_range((unsigned)said + 1, UINT_MAX, 0) == 0;
}

static _Noreturn void
run_child(const struct pam_settings *s, const struct pam_question *q, pid_t parent,
          int said)
{
    struct pam_said answer;
    (void)setpgid(0, 0);  // the parent does it, too
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent ||
        !keep_only(said))
        _exit(EXIT_BROKEN);
    (void)spawn_reset_signals();
    pam_ask(s, q, &answer);
    _exit(write(said, &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : EXIT_BROKEN);
}

// ---- in the role ----

static enum result
follow(pid_t pid, int said, struct pam_job *out, struct fault *f)
{
    (void)setpgid(pid, pid);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    *out = (struct pam_job){pid, pidfd, said};
    if (pidfd >= 0)
        return R_OK;
    fault_errno(f, FAULT_UNAVAILABLE, "pidfd_open");
    pam_job_kill(out);
    (void)waitpid(pid, NULL, 0);
    close(said);
    return R_FAIL;
}

enum result
pam_job_start(const struct pam_settings *s, const struct pam_question *q,
              void (*forget)(void *arg), void *arg, struct pam_job *out, struct fault *f)
{
    int said[2];
    pid_t parent = getpid();
    // what a module leaves behind may keep the other end open
    if (pipe2(said, O_CLOEXEC | O_NONBLOCK) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        forget(arg);
        run_child(s, q, parent, said[1]);
    }
    close(said[1]);
    if (pid > 0)
        return follow(pid, said[0], out, f);
    close(said[0]);
    return fault_errno(f, FAULT_UNAVAILABLE, "fork");
}

void
pam_job_kill(const struct pam_job *job)
{
    (void)kill(-job->pid, SIGKILL);  // fails only when they are gone
    (void)kill(job->pid, SIGKILL);
}

static void
say_broken(int status, bool timed_out, struct pam_said *out)
{
    *out = (struct pam_said){.verdict = DIRECTORY_LATER};
    if (timed_out)
        snprintf(out->why, sizeof out->why, "PAM took too long");
    else if (WIFSIGNALED(status))
        snprintf(out->why, sizeof out->why, "a module of PAM crashed: signal %d",
                 WTERMSIG(status));
    else
        snprintf(out->why, sizeof out->why, "a module of PAM ended the process: status %d",
                 WEXITSTATUS(status));
}

void
pam_job_end(struct pam_job *job, bool timed_out, struct pam_said *out)
{
    int status = 0;
    pam_job_kill(job);
    (void)waitpid(job->pid, &status, 0);
    bool whole = read(job->said, out, sizeof *out) == (ssize_t)sizeof *out &&
                 WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
                 out->verdict <= DIRECTORY_LATER;
    if (whole)
        out->why[sizeof out->why - 1] = '\0';
    else
        say_broken(status, timed_out, out);
    close(job->said);
    close(job->pidfd);
    *job = (struct pam_job){0, -1, -1};
}
