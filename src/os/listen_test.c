#include "os/listen.h"
#include "os/peer.h"
#include "os/user.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void
test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum result want;
        enum fault_kind want_kind;
    } rows[] = {
        {"127.0.0.1:0", R_OK, 0},
        {"[::1]:0", R_OK, 0},
        {"localhost:0", R_OK, 0},
        {"127.0.0.1", R_FAIL, FAULT_BAD},
        {":143", R_FAIL, FAULT_BAD},
        {"::1:143", R_FAIL, FAULT_BAD},
        {"127.0.0.1:65536", R_FAIL, FAULT_BAD},
        {"127.0.0.1:x", R_FAIL, FAULT_BAD},
        {"127.0.0.1:", R_FAIL, FAULT_BAD},
        {"", R_FAIL, FAULT_BAD},
        {"300.1.1.1:1", R_FAIL, FAULT_BAD},
        {"unix:", R_FAIL, FAULT_BAD},
        {"unix:/nonexistent/x", R_FAIL, FAULT_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = -1;
        struct fault f;
        assert_int_equal(listen_open(span_str(rows[i].address), 0600, &fd, &f),
                         rows[i].want);
        if (rows[i].want == R_FAIL)
            assert_int_equal(f.kind, rows[i].want_kind);
        else
            assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
        if (fd >= 0)
            close(fd);
    }
}

static void
test_port_in_use(void **state)
{
    (void)state;
    int fd, other;
    struct fault f;
    struct buf b, remote;
    struct peer_ends ends;
    buf_init(&b, 100);
    buf_init(&remote, 100);
    assert_int_equal(listen_open(SPAN("127.0.0.1:0"), 0, &fd, &f), R_OK);
    peer_ends_get(fd, &ends);
    peer_text(&ends.local, &b);
    assert_true(span_starts(buf_span(&b), SPAN("127.0.0.1:")));
    assert_int_equal(listen_open(buf_span(&b), 0, &other, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_INUSE);
    peer_ends_get(fd, &ends);
    peer_text(&ends.remote, &remote);
    assert_int_equal(remote.n, 0);
    close(fd);
    buf_done(&b);
    buf_done(&remote);
}

static void
test_unix_socket(void **state)
{
    (void)state;
    char dir[] = "/tmp/posthorn-listen-XXXXXX", address[100];
    assert_non_null(mkdtemp(dir));
    snprintf(address, sizeof address, "unix:%s/s", dir);
    const char *path = address + 5;
    struct fault f;
    struct stat st;
    int fd, other;
    assert_int_equal(listen_open(span_str(address), 0620, &fd, &f), R_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0620);
    // we serve it
    assert_int_equal(listen_open(span_str(address), 0600, &other, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_INUSE);
    close(fd);
    assert_int_equal(listen_open(span_str(address), 0600, &fd, &f), R_OK);  // stale
    close(fd);
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(listen_open(span_str(address), 0600, &fd, &f), R_FAIL);  // a file
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    rmdir(dir);
}

static void
test_peer(void **state)
{
    (void)state;
    int fds[2];
    struct peer_ids ids;
    struct peer_ends ends;
    struct fault f;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(peer_ids_get(fds[0], &ids, &f), R_OK);
    assert_int_equal(ids.pid, getpid());
    assert_int_equal(ids.uid, geteuid());
    assert_true(peer_is_owner(fds[0]));
    peer_ends_get(fds[0], &ends);
    peer_text(&ends.remote, &b);
    assert_true(span_eq(buf_span(&b), SPAN("unix")));
    close(fds[0]);
    close(fds[1]);
    buf_done(&b);
    int fd;
    assert_int_equal(listen_open(SPAN("127.0.0.1:0"), 0, &fd, &f), R_OK);
    assert_false(peer_is_owner(fd));
    close(fd);
}

static void
test_user_drop(void **state)
{
    (void)state;
    struct user_ids ids;
    struct fault f;
    assert_int_equal(user_find("no-such-user-here", &ids, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    assert_int_equal(user_find("nobody", &ids, &f), R_OK);
    if (geteuid() != 0) {
        assert_int_equal(user_drop(&ids, &f), R_OK);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        const struct user_ids root = {0, 0};
        bool right = user_drop(&root, &f) == R_FAIL && user_drop(&ids, &f) == R_OK;
        right = right && geteuid() == ids.uid && getegid() == ids.gid && setuid(0) != 0;
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_unix_socket), cmocka_unit_test(test_peer),
        cmocka_unit_test(test_user_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
