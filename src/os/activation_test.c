#include "os/activation.h"
#include "os/listen.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { GIVEN_MAX = 3, FIRST_FD = 3 };

// What the manager gives: addresses to listen on, "dgram", or "file".
struct row {
    const char *given[GIVEN_MAX];
    const char *names;  // NULL: not set
    const char *count;  // NULL: as many as there are
    bool foreign;       // LISTEN_PID is another process
    enum result want;
    size_t want_n;
    const char *want_why;  // part of the fault
};

static const struct row rows[] = {
    {{NULL}, NULL, "0", false, R_OK, 0, NULL},
    {{"127.0.0.1:0"}, "imap", NULL, false, R_OK, 1, NULL},
    {{"127.0.0.1:0", "[::1]:0"}, "imap:imaps", NULL, false, R_OK, 2, NULL},
    {{"127.0.0.1:0", "[::1]:0"},
     "imap",
     NULL,
     false,
     R_FAIL,
     0,
     "no name for socket 2 of 2"},
    {{"127.0.0.1:0"}, NULL, NULL, false, R_FAIL, 0, "FileDescriptorName="},
    {{"127.0.0.1:0"}, "imap", NULL, true, R_OK, 0, NULL},
    {{"dgram"}, "imap", NULL, false, R_FAIL, 0, "no listening stream socket"},
    {{"127.0.0.1:0", "file"}, "imap:lmtp", NULL, false, R_FAIL, 0, "descriptor 4 ('lmtp')"},
    {{NULL}, "x", "1000000", false, R_FAIL, 0, "256 sockets"},
    {{NULL}, "x", "many", false, R_FAIL, 0, "are no numbers"},
};

static int
give(const char *what)
{
    struct fault f;
    int fd = -1;
    if (strcmp(what, "dgram") == 0)
        fd = socket(AF_INET, SOCK_DGRAM, 0);
    else if (strcmp(what, "file") == 0)
        fd = open("/dev/null", O_RDONLY);
    else if (listen_open(span_str(what), 0600, &fd, &f) != R_OK)
        _exit(90);
    return fd;
}

// In a process of its own, whose low descriptors can be what the manager makes them.
static int
try_row(const struct row *row)
{
    static struct activated got[ACTIVATION_MAX];
    struct fault f = {0};
    char text[16];
    int n = 0, fds[GIVEN_MAX];
    for (; n < GIVEN_MAX && row->given[n] != NULL; n++)
        fds[n] = fcntl(give(row->given[n]), F_DUPFD, 20);
    for (int i = 0; i < n; i++)
        if (dup2(fds[i], FIRST_FD + i) < 0)
            return 91;
    snprintf(text, sizeof text, "%d", n);
    setenv("LISTEN_FDS", row->count ? row->count : text, 1);
    snprintf(text, sizeof text, "%d", row->foreign ? 1 : getpid());
    setenv("LISTEN_PID", text, 1);
    if (row->names != NULL)
        setenv("LISTEN_FDNAMES", row->names, 1);
    size_t count = 0;
    enum result r = activation_take(got, &count, &f);
    if (r != row->want)
        return 92;
    if (r != R_OK)
        return strstr(f.why, row->want_why) ? 0 : 93;
    if (count != row->want_n || (count > 0 && fcntl(FIRST_FD, F_GETFD) >= 0))
        return 94;
    for (size_t i = 0; i < count; i++)
        if (!strstr(got[i].address, i == 0 ? "127.0.0.1:" : "[::1]:") ||
            strncmp(got[i].name, "imap", 4) != 0 ||
            fcntl(got[i].fd, F_GETFD) != FD_CLOEXEC ||
            !(fcntl(got[i].fd, F_GETFL) & O_NONBLOCK))
            return 95;
    return !row->foreign && getenv("LISTEN_FDS") ? 96 : 0;
}

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(try_row(&rows[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("row %zu: %d", i, WEXITSTATUS(status));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
