#include "os/probe.h"
#include "os/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

// ---- the scene: a data directory with a file for every role ----

static char data[] = "/tmp/posthorn-sandbox-XXXXXX", secret[64], record[64];

static void
file_make(char *path, size_t size, const char *dir, const char *name)
{
    snprintf(path, size, "%s/%s", data, dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, size, "%s/%s/%s", data, dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
}

static void
plain_file_make(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", data, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static int
setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(data));
    plain_file_make("format");
    plain_file_make("uuid");
    file_make(secret, sizeof secret, "users", "hashes");
    file_make(record, sizeof record, "journal", "1");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", data);
    return system(command);
}

static enum result
enter(const char *name, struct fault *f)
{
    const struct sandbox_paths paths = {.data = data};
    return sandbox_apply(role_find(span_str(name)), &paths, f);
}

// Runs fn in a child; the wait status.
static int
in_child(void (*fn)(const char *role), const char *role)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        fn(role);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

#define NEED(x)                                                                            \
    do {                                                                                   \
        if (!(x)) {                                                                        \
            dprintf(2, "%s:%d: %s\n", __FILE__, __LINE__, #x);                             \
            _exit(1);                                                                      \
        }                                                                                  \
    } while (0)

static void
enter_or_exit(const char *role)
{
    struct fault f;
    if (enter(role, &f) == R_OK)
        return;
    dprintf(2, "%s: %s\n", role, f.why);
    _exit(2);
}

// ---- what is denied ----

static void
probe(const char *role)
{
    struct buf report;
    buf_init(&report, 4096);
    const struct probe_targets targets = {"/etc/hostname",
                                          strcmp(role, "auth") == 0 ? record : secret, 9};
    enter_or_exit(role);
    bool holds = probe_run(role_find(span_str(role)), &targets, &report);
    if (!holds)
        dprintf(2, "%s:\n%.*s", role, (int)report.n, report.p);
    NEED(holds && !report.over);
    int lines = 0;
    for (size_t i = 0; i < report.n; i++)
        lines += report.p[i] == '\n';
    NEED(lines == 10);
    buf_done(&report);
}

static bool
landlock_is_here(void)
{
    if (sandbox_landlock_abi() > 0)
        return true;
    print_message("no Landlock on this kernel: not tested\n");
    return false;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PTRACE_IS_FREE = 1 };  // the leak check needs it
#else
enum { PTRACE_IS_FREE = 0 };
#endif

static void
test_every_attempt_is_denied(void **state)
{
    (void)state;
    static const char *const roles[] = {"gate", "auth", "mail"};
    assert_int_equal(access("/etc/hostname", R_OK), 0);
    for (size_t i = 0; i < 3 && landlock_is_here(); i++)
        assert_int_equal(in_child(probe, roles[i]), 0);
}

// The probe itself: outside a sandbox it must see that nothing holds.
static void
probe_free(const char *role)
{
    struct buf report;
    buf_init(&report, 4096);
    const struct probe_targets targets = {"/etc/hostname", secret, 9};
    NEED(!probe_run(role_find(span_str(role)), &targets, &report));
    struct span all = buf_span(&report), line;
    int allowed = 0;
    while (span_next_field(&all, '\n', &line) == R_OK)
        allowed += span_find(line, SPAN("ALLOWED")) < line.n;
    NEED(allowed >= 8);
    buf_done(&report);
}

static void
test_probe_sees_freedom(void **state)
{
    (void)state;
    assert_int_equal(in_child(probe_free, "mail"), 0);
}

static void
read_foreign_memory(const char *role)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {data, 1};
    enter_or_exit(role);
    (void)!process_vm_readv(getppid(), &here, 1, &there, 1, 0);
}

static void
test_dangerous_calls_kill(void **state)
{
    (void)state;
    static const char *const roles[] = {"supervisor", "gate", "auth", "mail"};
    for (size_t i = 0; i < 4; i++) {
        int status = in_child(read_foreign_memory, roles[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    }
}

static void
look_at_process(const char *role)
{
    struct rlimit files, core;
    enter_or_exit(role);
    NEED(prctl(PR_GET_DUMPABLE) == 0);
    NEED(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
    NEED(getrlimit(RLIMIT_NOFILE, &files) == 0);
    NEED(files.rlim_max <= role_find(span_str(role))->files_max);
    if (!PTRACE_IS_FREE)
        NEED(prctl(PR_SET_DUMPABLE, 1) != 0);
}

static void
test_process_flags(void **state)
{
    (void)state;
    assert_int_equal(in_child(look_at_process, "mail"), 0);
    assert_int_equal(in_child(look_at_process, "gate"), 0);
}

// ---- what still works ----

static void *
thread_body(void *arg)
{
    *(int *)arg = 1;
    return NULL;
}

static void
use_threads(void)
{
    pthread_t t;
    int ran = 0;
    for (int i = 0; i < 3; i++) {
        NEED(pthread_create(&t, NULL, thread_body, &ran) == 0);
        NEED(pthread_join(t, NULL) == 0 && ran == 1);
    }
}

static void
use_sockets(const int fds[2])
{
    char got[8];
    int more[2], ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(0, EFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    NEED(ep >= 0 && ev >= 0);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, more) == 0);
    NEED(send(fds[0], "hello", 5, MSG_NOSIGNAL) == 5);
    NEED(epoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &e) == 0 && epoll_wait(ep, &e, 1, 1000) == 1);
    NEED(recv(fds[1], got, sizeof got, 0) == 5);
    NEED(shutdown(fds[0], SHUT_WR) == 0 && close(fds[0]) == 0);
}

static void
use_memory(void)
{
    char *big = calloc(1, 8 << 20);
    NEED(big != NULL);
    big = realloc(big, 16 << 20);
    NEED(big != NULL);
    free(big);
}

static void
use_journal(void)
{
    char path[64], renamed[64], byte = 'y';
    snprintf(path, sizeof path, "%s/journal/new", data);
    snprintf(renamed, sizeof renamed, "%s/bodies/new", data);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct iovec v = {&byte, 1};
    NEED(fd >= 0 && posix_fallocate(fd, 0, 65536) == 0 && pwrite(fd, "abc", 3, 0) == 3);
    NEED(pwritev2(fd, &v, 1, 3, 0) == 1 && preadv2(fd, &v, 1, 0, 0) == 1 && byte == 'a');
    NEED(fdatasync(fd) == 0 && fsync(fd) == 0 && ftruncate(fd, 4096) == 0);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(map != MAP_FAILED && map[3] == 'y' && msync(map, 4096, MS_SYNC) == 0 &&
         munmap(map, 4096) == 0);
    struct stat st;
    NEED(fstat(fd, &st) == 0 && stat(path, &st) == 0 && close(fd) == 0);
    NEED(rename(path, renamed) == 0 && unlink(renamed) == 0);
    snprintf(path, sizeof path, "%s/journal", data);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    NEED(fd >= 0 && fsync(fd) == 0 && close(fd) == 0);
    snprintf(path, sizeof path, "%s/lock", data);
    fd = open(path, O_RDWR | O_CLOEXEC);
    NEED(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
}

// The data directory itself: opened and listed, its small files read, nothing made or changed there.
static void
use_data_directory(void)
{
    int at = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    NEED(at >= 0);
    NEED(openat(at, "format", O_RDONLY | O_CLOEXEC) >= 0);
    NEED(openat(at, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
    NEED(openat(at, "format", O_RDWR | O_CLOEXEC) < 0 && errno == EACCES);
    NEED(openat(at, "new", O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EACCES);
    NEED(openat(at, "users/hashes", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
    NEED(renameat(at, "users/hashes", at, "journal/stolen") != 0);
    NEED(linkat(at, "users/hashes", at, "journal/stolen", 0) != 0);
}

static void
use_what_mail_needs(const char *role)
{
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    enter_or_exit(role);
    use_threads();
    use_sockets(fds);
    use_memory();
    use_journal();
    if (sandbox_landlock_abi() > 0)
        use_data_directory();
}

static void
use_what_gate_needs(const char *role)
{
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    enter_or_exit(role);
    use_threads();
    use_sockets(fds);
    use_memory();
}

static void
use_what_auth_needs(const char *role)
{
    use_what_gate_needs(role);
    char path[64];
    snprintf(path, sizeof path, "%s/users/new", data);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    NEED(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && close(fd) == 0);
    NEED(rename(path, secret) == 0);
}

static void
test_work_goes_on(void **state)
{
    (void)state;
    assert_int_equal(in_child(use_what_mail_needs, "mail"), 0);
    assert_int_equal(in_child(use_what_gate_needs, "gate"), 0);
    assert_int_equal(in_child(use_what_auth_needs, "auth"), 0);
}

static void
abort_inside(const char *role)
{
    enter_or_exit(role);
    abort();
}

static void
exit_inside(const char *role)
{
    enter_or_exit(role);
    exit(0);  // with the sanitizers' work at exit
}

static void
test_ends(void **state)
{
    (void)state;
    signal(SIGABRT, SIG_DFL);
    int status = in_child(abort_inside, "mail");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_int_equal(in_child(exit_inside, "mail"), 0);
    assert_int_equal(in_child(exit_inside, "gate"), 0);
}

#if !defined(__SANITIZE_THREAD__)  // it starts a thread of its own
static void *
wait_body(void *arg)
{
    pthread_mutex_lock(arg);
    return NULL;
}

static void
thread_first(const char *role)
{
    struct fault f;
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_t t;
    pthread_mutex_lock(&m);
    NEED(pthread_create(&t, NULL, wait_body, &m) == 0);
    NEED(enter(role, &f) == R_FAIL);
}

static void
test_threads_before_are_refused(void **state)
{
    (void)state;
    assert_int_equal(in_child(thread_first, "mail"), 0);
}
#endif

// ---- rows that are to come: a relay that may only connect to configured ports, a helper that may exec ----

static int
loopback_listener(uint16_t *port_out)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 4) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port_out = ntohs(a.sin_port);
    return fd;
}

static int
connect_to(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(fd >= 0);
    int failed = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 ? 0 : errno;
    close(fd);
    return failed;
}

// A first segment with data connects, and Landlock does not look at it. 0, or the errno.
static int
send_to(uint16_t port, bool by_message, int flags)
{
    char byte = 'x';
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct iovec data_there = {&byte, 1};
    const struct msghdr m = {
        .msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &data_there, .msg_iovlen = 1};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, flags ? SOCK_STREAM : SOCK_DGRAM, 0);
    NEED(fd >= 0);
    ssize_t n = by_message ? sendmsg(fd, &m, flags)
                           : sendto(fd, &byte, 1, flags, m.msg_name, sizeof a);
    int failed = n == 1 ? 0 : errno;
    close(fd);
    return failed;
}

// As the C library's resolver asks for A and AAAA.
static int
send_two(int flags)
{
    int pair[2];
    char byte = 'x';
    struct iovec one = {&byte, 1};
    struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}},
                           {.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}}};
    NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    int failed = sendmmsg(pair[0], m, 2, flags) == 2 ? 0 : errno;
    close(pair[0]);
    close(pair[1]);
    return failed;
}

static uint16_t allowed_port, other_port;

static void
relay_connects(const char *name)
{
    struct fault f;
    const struct role relay = {name,
                               ROLE_SERVICE,
                               ROLE_CONFIGURED,
                               false,
                               CALLS_BASE | CALLS_SOCKETS | CALLS_CONNECT,
                               100,
                               ""};
    const struct sandbox_paths paths = {.ports = &allowed_port, .port_count = 1};
    NEED(sandbox_apply(&relay, &paths, &f) == R_OK);
    NEED(connect_to(allowed_port) == 0);
    NEED(connect_to(other_port) == EACCES);
    for (int by_message = 0; by_message < 2; by_message++) {
        NEED(send_to(other_port, by_message, 0) == 0);
        NEED(send_to(other_port, by_message, MSG_FASTOPEN) == EPERM);
        NEED(send_to(other_port, by_message, MSG_FASTOPEN | MSG_NOSIGNAL) == EPERM);
    }
    NEED(send_two(MSG_NOSIGNAL) == 0 && send_two(MSG_FASTOPEN) == EPERM);
    NEED(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
    NEED(open("/etc/hostname", O_RDONLY) < 0);
}

static void
test_connect_only_where_configured(void **state)
{
    (void)state;
    int allowed = loopback_listener(&allowed_port), other = loopback_listener(&other_port);
    if (sandbox_landlock_abi() >= 4)
        assert_int_equal(in_child(relay_connects, "somebody"), 0);
    close(allowed);
    close(other);
}

static void
helper_forks(const char *name)
{
    struct fault f;
    const struct role helper = {
        name, ROLE_SERVICE, ROLE_NOTHING, true, CALLS_BASE | CALLS_FILES | CALLS_EXEC, 100,
        ""};
    const struct sandbox_paths paths = {0};
    char *argv[] = {"true", NULL};
    NEED(sandbox_apply(&helper, &paths, &f) == R_OK);
    // whose descriptor is ready need not get a signal for it
    NEED(fcntl(STDIN_FILENO, F_SETOWN, getppid()) != 0 && errno == EPERM);
    NEED(fcntl(STDIN_FILENO, F_SETSIG, SIGKILL) != 0 && errno == EPERM);
    NEED(fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDIN_FILENO, F_GETFL) >= 0);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        execve("/bin/true", argv, NULL);
        _exit(errno == EACCES ? 3 : 4);  // Landlock: its row names no place to exec from
    }
    int status;
    NEED(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3);
    NEED(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
}

static void
test_exec_is_a_grant_of_its_own(void **state)
{
    (void)state;
    if (landlock_is_here())
        assert_int_equal(in_child(helper_forks, "helper"), 0);
}

static void
test_roles_are_rows(void **state)
{
    (void)state;
    size_t at = 0;
    int count = 0;
    assert_non_null(role_find(SPAN("gate")));
    assert_null(role_find(SPAN("gat")));
    assert_null(role_place_next(role_find(SPAN("gate")), &at));
    while (role_at((size_t)count))
        count++;
    assert_true(count >= 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles_are_rows),
        cmocka_unit_test(test_probe_sees_freedom),
        cmocka_unit_test(test_every_attempt_is_denied),
        cmocka_unit_test(test_dangerous_calls_kill),
        cmocka_unit_test(test_process_flags),
        cmocka_unit_test(test_work_goes_on),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_connect_only_where_configured),
        cmocka_unit_test(test_exec_is_a_grant_of_its_own),
#if !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_threads_before_are_refused),
#endif
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
