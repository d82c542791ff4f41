#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

// The spawned side: says what it is and sees, then waits until its socket ends.
static int
serve(const struct role *r)
{
    char line[100], byte;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    bool second = fcntl(SPAWN_FIRST_FD + 1, F_GETFD) == 0;  // there, and not close-on-exec
    bool third =
        fcntl(SPAWN_FIRST_FD + 2, F_GETFD) >= 0 || fcntl(SPAWN_FIRST_FD + 9, F_GETFD) >= 0;
    int n = snprintf(line, sizeof line, "%s second=%d third=%d term=%d", r->name, second,
                     third, sigismember(&blocked, SIGTERM));
    if (write(SPAWN_FIRST_FD, line, (size_t)n) != n)
        return 1;
    return read(SPAWN_FIRST_FD, &byte, 1) == 0 ? 7 : 1;
}

static struct spawned
spawn(const char *name, int ours[2])
{
    struct fault f;
    struct spawned s;
    int theirs[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ours), 0);
    theirs[0] = ours[1];
    theirs[1] = dup(2);
    assert_int_equal(spawn_role(role_find(span_str(name)), theirs, 2, &s, &f), R_OK);
    close(theirs[0]);
    close(theirs[1]);
    return s;
}

static void
read_line(int fd, char *line, size_t size)
{
    ssize_t n = read(fd, line, size - 1);
    assert_true(n >= 0);
    line[n] = 0;
}

static void
test_spawn(void **state)
{
    (void)state;
    char line[100], path[64];
    int ours[2];
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    struct spawned s = spawn("mail", ours);
    read_line(ours[0], line, sizeof line);
    assert_string_equal(line, "mail second=1 third=0 term=0");
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)s.pid);
    int fd = open(path, O_RDONLY);
    read_line(fd, line, sizeof line);
    close(fd);
    assert_string_equal(line, "posthorn: mail");
    struct pollfd p = {s.pidfd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 0), 0);
    close(ours[0]);
    assert_int_equal(poll(&p, 1, 10000), 1);
    int status;
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    close(s.pidfd);
}

// The supervisor's death ends its roles, even those that do not look.
static void
test_roles_die_with_their_parent(void **state)
{
    (void)state;
    int tell[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, tell), 0);
    fflush(NULL);
    pid_t parent = fork();
    if (parent == 0) {
        int ours[2];
        struct spawned s = spawn("auth", ours);
        (void)!write(tell[1], &s.pid, sizeof s.pid);
        pause();
    }
    pid_t grandchild = 0;
    close(tell[1]);
    assert_int_equal(read(tell[0], &grandchild, sizeof grandchild), sizeof grandchild);
    assert_int_equal(kill(grandchild, 0), 0);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    char state_letter = 'R';
    for (int i = 0; i < 200 && state_letter != 'Z' && kill(grandchild, 0) == 0; i++) {
        char path[64], line[200];
        snprintf(path, sizeof path, "/proc/%d/stat", (int)grandchild);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            break;
        read_line(fd, line, sizeof line);
        close(fd);
        const char *after = strrchr(line, ')');
        state_letter = after ? after[2] : 'R';
        usleep(10000);
    }
    assert_true(state_letter == 'Z' || kill(grandchild, 0) != 0);
    close(tell[0]);
}

static void
test_role_of_argv(void **state)
{
    (void)state;
    static const struct {
        const char *argv0;
        const char *want;
    } rows[] = {{"posthorn: gate", "gate"},
                {"posthorn", NULL},
                {"posthorn: ", NULL},
                {"posthorn: nobody", NULL},
                {NULL, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct role *r = spawn_role_of(rows[i].argv0);
        assert_int_equal(r != NULL, rows[i].want != NULL);
        if (r)
            assert_string_equal(r->name, rows[i].want);
    }
}

int
main(int argc, char **argv)
{
    const struct role *r = argc > 0 ? spawn_role_of(argv[0]) : NULL;
    if (r)
        return serve(r);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_role_of_argv),
        cmocka_unit_test(test_spawn),
        cmocka_unit_test(test_roles_die_with_their_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
