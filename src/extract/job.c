#include "extract/job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "os/sandbox.h"

// How a child of ours that is no tool ends: its verdict, from here on.
enum { EXIT_VERDICT = 64, EXIT_BROKEN = 100 };

bool
extract_tool_there(void)
{
    return access(EXTRACT_PDF_TOOL, X_OK) == 0;
}

// ---- in the child ----

static void
limit(int resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        _exit(EXIT_BROKEN);
    struct rlimit want = {most, most};
    if (resource == RLIMIT_CPU)  // SIGXCPU tells what it was; then SIGKILL
        want.rlim_max = most + 2;
    if (want.rlim_max > now.rlim_max)
        want.rlim_max = now.rlim_max;
    if (want.rlim_cur > want.rlim_max)
        want.rlim_cur = want.rlim_max;
    if (setrlimit(resource, &want) != 0)
        _exit(EXIT_BROKEN);
}

static void
limit_all(void)
{
    if (!sandbox_has_sanitizer())  // its shadow is larger than any cap
        limit(RLIMIT_AS, LIMIT_extract_memory);
    limit(RLIMIT_CPU, LIMIT_extract_cpu_s);
    limit(RLIMIT_FSIZE, LIMIT_extract_text);
    limit(RLIMIT_NOFILE, LIMIT_extract_files);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NPROC, 0);
}

static void
write_text(void *arg, struct span text)
{
    (void)arg;
    while (text.n > 0) {
        ssize_t n = write(STDOUT_FILENO, text.p, text.n);
        if (n <= 0)
            _exit(EXIT_VERDICT + EXTRACT_TOO_LARGE);
        text = span_skip(text, (size_t)n);
    }
}

static _Noreturn void
run_reader(enum extract_kind kind)
{
    struct extract_out out = {.put = write_text};
    off_t end = lseek(STDIN_FILENO, 0, SEEK_END);
    size_t n = end > 0 ? (size_t)end : 0;
    void *p = n > 0 ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0) : MAP_FAILED;
    if (p == MAP_FAILED)
        _exit(EXIT_VERDICT + EXTRACT_DAMAGED);
    _exit(EXIT_VERDICT + (int)extract_read(kind, span_of(p, n), &out));
}

static _Noreturn void
run_tool(void)
{
    char *argv[] = {"pdftotext", "-enc", "UTF-8", "-nopgbrk", "-", "-", NULL};
    char *environment[] = {"LC_ALL=C.UTF-8", NULL};
    if (lseek(STDIN_FILENO, 0, SEEK_SET) != 0)
        _exit(EXIT_BROKEN);
    limit(RLIMIT_AS, LIMIT_extract_memory);
    execve(EXTRACT_PDF_TOOL, argv, environment);
    _exit(errno == ENOENT || errno == EACCES ? EXIT_VERDICT + EXTRACT_TOOL_MISSING
                                             : EXIT_BROKEN);
}

static _Noreturn void
run_child(enum extract_kind kind, int document, int text, int said)
{
    struct fault f;
    bool tool = kind == EXTRACT_PDF;
    const struct role *r = role_find(tool ? SPAN("extract_tool") : SPAN("extract_reader"));
    (void)setpgid(0, 0);  // the parent does it, too
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
        dup3(document, STDIN_FILENO, 0) < 0 || dup3(text, STDOUT_FILENO, 0) < 0 ||
        dup3(said, STDERR_FILENO, 0) < 0 || close_range(3, UINT_MAX, 0) != 0)
        _exit(EXIT_BROKEN);
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP)
            (void)signal(s, SIG_DFL);
    limit_all();
    if (sandbox_narrow(r, &f) == R_FAIL) {
        dprintf(STDERR_FILENO, "%s", f.why);
        _exit(EXIT_BROKEN);
    }
    if (tool)
        run_tool();
    run_reader(kind);
}

// ---- in the role ----

static enum result
follow(pid_t pid, int said[2], struct extract_job *job, struct fault *f)
{
    (void)setpgid(pid, pid);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        *job = (struct extract_job){pid, pidfd, said[0]};
        return R_OK;
    }
    fault_errno(f, FAULT_UNAVAILABLE, "pidfd_open");
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    close(said[0]);
    return R_FAIL;
}

enum result
extract_job_start(enum extract_kind kind, int document, int text, struct extract_job *job,
                  struct fault *f)
{
    int said[2];
    // A tool that complains without an end must not wait for a reader.
    if (pipe2(said, O_CLOEXEC | O_NONBLOCK) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        run_child(kind, document, text, said[1]);
    close(said[1]);
    if (pid > 0)
        return follow(pid, said, job, f);
    close(said[0]);
    return fault_errno(f, FAULT_UNAVAILABLE, "fork");
}

void
extract_job_kill(const struct extract_job *job)
{
    (void)kill(-job->pid, SIGKILL);  // fails only when they are gone
    (void)kill(job->pid, SIGKILL);
}

static bool
says(struct span said, const char *words)
{
    return span_ifind(said, span_str(words)) < said.n;
}

// pdftotext: 0 done, 1 not opened, 3 its author forbids copying, 99 anything else.
static enum extract_verdict
tool_verdict(int code, struct span said, uint64_t octets)
{
    if (says(said, "ncorrect password") || code == 3)
        return EXTRACT_ENCRYPTED;
    if (says(said, "bad_alloc") || says(said, "out of memory"))
        return EXTRACT_TOO_LARGE;
    return code == 0 && (octets > 0 || said.n == 0) ? EXTRACT_DONE : EXTRACT_DAMAGED;
}

static enum extract_verdict
signal_verdict(int signal, struct span said)
{
    if (signal == SIGXFSZ)
        return EXTRACT_TOO_LARGE;
    if (signal == SIGXCPU)
        return EXTRACT_TIMEOUT;
    // what has no room left ends itself
    return signal == SIGABRT && says(said, "bad_alloc") ? EXTRACT_TOO_LARGE
                                                        : EXTRACT_DAMAGED;
}

static enum extract_verdict
verdict(int status, bool timed_out, struct span said, uint64_t octets)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (timed_out)
        return EXTRACT_TIMEOUT;
    if (WIFSIGNALED(status))
        return signal_verdict(WTERMSIG(status), said);
    if (code >= EXIT_VERDICT && code < EXIT_VERDICT + EXTRACT_VERDICTS)
        return (enum extract_verdict)(code - EXIT_VERDICT);
    return code == EXIT_BROKEN ? EXTRACT_UNAVAILABLE : tool_verdict(code, said, octets);
}

enum extract_verdict
extract_job_end(struct extract_job *job, bool timed_out, uint64_t octets)
{
    char said[JOB_SAID];
    int status = 0;
    extract_job_kill(job);
    (void)waitpid(job->pid, &status, 0);
    ssize_t n = read(job->said, said, sizeof said);
    close(job->said);
    close(job->pidfd);
    *job = (struct extract_job){0, -1, -1};
    return verdict(status, timed_out, span_of(said, n > 0 ? (size_t)n : 0), octets);
}
