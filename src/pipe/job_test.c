// Programs that are not run, and what becomes of those that are.

#include "os/children.h"
#include "pipe/job.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder_path[] = "/tmp/posthorn-pipe-XXXXXX";
static struct pipe_folder folder;
static struct pipe_host host = {&folder, "mail.example.org", 20};

static void
put_program(const char *name, mode_t mode, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder_path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && dprintf(fd, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static int
setup(void **state)
{
    struct fault f;
    (void)state;
    assert_non_null(mkdtemp(folder_path));
    assert_int_equal(children_adopt(&f), R_OK);
    return pipe_folder_open(&folder, folder_path, &f) == R_OK ? 0 : -1;
}

static int
teardown(void **state)
{
    char command[100];
    (void)state;
    pipe_folder_close(&folder);
    snprintf(command, sizeof command, "rm -rf %s", folder_path);
    return system(command);
}

static void
names(void **state)
{
    char path[PATH_MAX], link[PATH_MAX];
    struct fault f;
    (void)state;
    put_program("good", 0700, "exit 0");
    put_program("plain", 0600, "exit 0");
    put_program("everybody", 0702, "exit 0");
    put_program(".hidden", 0700, "exit 0");
    snprintf(link, sizeof link, "%s/out", folder_path);
    assert_int_equal(symlink("/bin/true", link), 0);
    snprintf(link, sizeof link, "%s/in", folder_path);
    assert_int_equal(symlink("good", link), 0);
    snprintf(link, sizeof link, "%s/folder", folder_path);
    assert_int_equal(mkdir(link, 0700), 0);
    static const char *const bad[] = {"",        ".",       "..",    "../../bin/true",
                                      "/bin/sh", "missing", "plain", "everybody",
                                      ".hidden", "out",     "in",    "folder",
                                      "folder/", "./good",  "good/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        f.kind = FAULT_BAD;
        assert_int_equal(pipe_folder_find(&folder, span_str(bad[i]), path, &f), R_FAIL);
        assert_int_equal(f.kind, FAULT_NONEXISTENT);
    }
    assert_int_equal(pipe_folder_find(&folder, SPAN("good"), path, &f), R_OK);
    struct pipe_folder none = {folder_path, -1};
    assert_int_equal(pipe_folder_find(&none, SPAN("good"), path, &f), R_FAIL);
}

static void
folders(void **state)
{
    struct pipe_folder other;
    struct fault f;
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(pipe_folder_open(&other, "/nonexistent/programs", &f), R_FAIL);
    assert_int_equal(other.fd, -1);
    snprintf(path, sizeof path, "%s/open", folder_path);
    assert_true(mkdir(path, 0700) == 0 && chmod(path, 0777) == 0);
    assert_int_equal(pipe_folder_open(&other, path, &f), R_FAIL);
    assert_int_equal(other.fd, -1);
}

// Ends it after `ms`; what it said, or what went wrong, is in `why`.
static enum pipe_status
run(const struct pipe_call *call, struct span message, int ms, struct buf *why)
{
    struct fault f;
    struct pipe_job job;
    int fd = memfd_create("message", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, message.p, message.n) == (ssize_t)message.n);
    assert_int_equal(pipe_job_start(&host, call, fd, &job, &f), R_OK);
    close(fd);
    struct pollfd ends[] = {{job.pidfd, POLLIN, 0}, {job.output, POLLIN, 0}};
    bool timed_out = false;
    while (!timed_out) {
        timed_out = poll(ends, 2, ms) == 0;
        if (ends[0].revents)
            break;
        if (!timed_out && pipe_job_hear(&job) == R_NONE)
            ends[1].fd = -1;
    }
    return pipe_job_end(&job, timed_out, why);
}

static void
expect(const char *script, int ms, enum pipe_status want, const char *want_why)
{
    struct buf why;
    buf_init(&why, 1 << 20);
    put_program("program", 0700, script);
    enum pipe_status got = run(&(struct pipe_call){.program = SPAN("program")},
                               SPAN("Subject: x\r\n\r\nhello\r\n"), ms, &why);
    buf_put_char(&why, '\0');
    assert_string_equal(why.p, want_why);
    assert_int_equal(got, want);
    buf_done(&why);
}

static void
outcomes(void **state)
{
    (void)state;
    expect("exit 0", 60000, PIPE_DONE, "");
    expect("cat", 60000, PIPE_DONE, "Subject: x    hello");
    expect("cat /dev/stdin; cat /proc/self/fd/0", 60000, PIPE_DONE,
           "Subject: x    hello  Subject: x    hello");
    expect("echo no >&2; exit 3", 60000, PIPE_FAILED, "it ended with status 3: no");
    expect("kill -KILL $$", 60000, PIPE_FAILED, "signal 9 ended it");
    expect("exec sleep 1000", 200, PIPE_FAILED, "it took too long");
    expect("printf '\\033[2J\\001'", 60000, PIPE_DONE, " [2J ");
    expect("ls /proc/self/fd | wc -l", 60000, PIPE_DONE,
           "4");  // and that of ls for the folder
}

static void
arguments(void **state)
{
    struct buf packed, why;
    (void)state;
    put_program("program", 0700,
                "printf '%s;' \"$#\" \"$@\" \"$USER\" \"$HOST\" \"$SENDER\" \"$RECIPIENT\" "
                "\"$ORIG_RECIPIENT\"; echo; env | wc -l; pwd");
    buf_init(&packed, 4096);
    buf_init(&why, 1 << 16);
    pack_span(&packed, SPAN("a b"));
    pack_span(&packed, SPAN("$(touch /tmp/x);`id`*"));
    pack_span(&packed, SPAN(""));
    const struct pipe_call call = {SPAN("program"), buf_span(&packed), SPAN("ann"),
                                   SPAN("s@x.org"), SPAN("r@x.org"),   SPAN("o@x.org")};
    assert_int_equal(run(&call, SPAN(""), 60000, &why), PIPE_DONE);
    buf_put_char(&why, '\0');
    // with PWD, which the shell adds
    assert_string_equal(why.p, "3;a b;$(touch /tmp/x);`id`*;;ann;mail.example.org;s@x.org;"
                               "r@x.org;o@x.org; 9 /");
    buf_done(&why);
    buf_done(&packed);
}

// A message that nobody reads holds up nothing, and output without an end is not kept.
static void
floods(void **state)
{
    size_t n = 8 << 20;
    char *big = calloc(1, n);
    struct buf why;
    (void)state;
    assert_non_null(big);
    buf_init(&why, 1 << 20);
    put_program("program", 0700, "exit 0");
    const struct pipe_call call = {.program = SPAN("program")};
    assert_int_equal(run(&call, span_of(big, n), 60000, &why), PIPE_DONE);
    put_program("program", 0700, "head -c 50000000 /dev/zero | tr '\\000' x; exit 1");
    assert_int_equal(run(&call, SPAN(""), 60000, &why), PIPE_FAILED);
    assert_true(why.n > LIMIT_pipe_answer && why.n < LIMIT_pipe_answer + 100);
    buf_done(&why);
    free(big);
}

// What it leaves behind ends with it: its group, what has left that, and whom this one started.
static void
left_behind(void **state)
{
    char path[PATH_MAX];
    int status;
    (void)state;
    expect("sleep 1000 & setsid sh -c 'sleep 1000; sleep 1000' & exit 0", 60000, PIPE_DONE,
           "");
    children_end();
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1);  // none is left
    snprintf(path, sizeof path, "%s/program", folder_path);
    assert_int_equal(unlink(path), 0);
    struct pipe_job job;
    struct fault f;
    const struct pipe_call call = {.program = SPAN("program")};
    assert_int_equal(pipe_job_start(&host, &call, -1, &job, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
}

static void
calls(void **state)
{
    struct buf b, arguments;
    struct pipe_call c, got;
    (void)state;
    buf_init(&b, 4096);
    buf_init(&arguments, 4096);
    pack_span(&arguments, SPAN("one"));
    c = (struct pipe_call){SPAN("p"), buf_span(&arguments), SPAN("u"), SPAN("f"), SPAN("t"),
                           SPAN("o")};
    pipe_call_put(&b, &c);
    assert_int_equal(pipe_call_get(buf_span(&b), &got), R_OK);
    assert_true(span_eq(got.original, c.original) && span_eq(got.arguments, c.arguments));
    assert_int_equal(pipe_call_get(span_slice(buf_span(&b), 0, b.n - 1), &got), R_FAIL);
    buf_reset(&b);
    c.user = span_of("a\0b", 3);
    pipe_call_put(&b, &c);
    assert_int_equal(pipe_call_get(buf_span(&b), &got), R_FAIL);
    buf_reset(&b);
    c.user = SPAN("u");
    c.arguments = SPAN("\xff\xff\xff\xff");
    pipe_call_put(&b, &c);
    assert_int_equal(pipe_call_get(buf_span(&b), &got), R_FAIL);
    buf_done(&arguments);
    buf_done(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),    cmocka_unit_test(folders),
        cmocka_unit_test(outcomes), cmocka_unit_test(arguments),
        cmocka_unit_test(floods),   cmocka_unit_test(left_behind),
        cmocka_unit_test(calls)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
