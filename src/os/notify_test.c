#include "os/notify.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

struct row {
    const char *socket, *usec, *pid;  // NULL: not set; pid "" is our own
    enum result want;
    bool want_open;
    uint64_t want_watchdog_ms;
};

static const struct row rows[] = {
    {NULL, NULL, NULL, R_OK, false, 0},
    {"/run/x", NULL, NULL, R_OK, true, 0},
    {"@x", "30000000", NULL, R_OK, true, 30000},
    {"@x", "30000000", "", R_OK, true, 30000},
    {"@x", "30000000", "1", R_OK, true, 0},
    {"@x", "soon", NULL, R_FAIL, false, 0},
    {"", NULL, NULL, R_FAIL, false, 0},
    {"@", NULL, NULL, R_FAIL, false, 0},
    {"relative", NULL, NULL, R_FAIL, false, 0},
    {"vsock:2:1", NULL, NULL, R_FAIL, false, 0},
};

static void
put(const char *name, const char *value)
{
    if (value != NULL)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void
test_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        char pid[16];
        struct notify n;
        struct fault f;
        snprintf(pid, sizeof pid, "%d", getpid());
        put("NOTIFY_SOCKET", row->socket);
        put("WATCHDOG_USEC", row->usec);
        put("WATCHDOG_PID", row->pid && row->pid[0] == '\0' ? pid : row->pid);
        if (notify_open(&n, &f) != row->want || (n.fd >= 0) != row->want_open)
            fail_msg("row %zu", i);
        if (row->want == R_OK)
            assert_int_equal(n.watchdog_ms, row->want_watchdog_ms);
        assert_null(getenv("NOTIFY_SOCKET"));
        assert_null(getenv("WATCHDOG_USEC"));
        notify_close(&n);
    }
}

static int
receiver(const char *name, bool abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path + abstract, name, strlen(name) + 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, size), 0);
    return fd;
}

static void
check_arrives(const char *variable, int fd)
{
    char got[64] = "";
    struct notify n;
    struct fault f;
    setenv("NOTIFY_SOCKET", variable, 1);
    assert_int_equal(notify_open(&n, &f), R_OK);
    assert_int_equal(notify_send(&n, "READY=1\nSTATUS=x", &f), R_OK);
    assert_int_equal(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), 16);
    assert_string_equal(got, "READY=1\nSTATUS=x");
    close(fd);
    assert_int_equal(notify_send(&n, "WATCHDOG=1", &f), R_FAIL);  // nobody is there
    notify_close(&n);
    assert_int_equal(notify_send(&n, "WATCHDOG=1", &f), R_OK);
}

static void
test_arrival(void **state)
{
    (void)state;
    char path[64], name[64], variable[80];
    snprintf(path, sizeof path, "/tmp/notify_test.%d", getpid());
    snprintf(name, sizeof name, "notify_test.%d", getpid());
    snprintf(variable, sizeof variable, "@%s", name);
    check_arrives(path, receiver(path, false));
    unlink(path);
    check_arrives(variable, receiver(name, true));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_environment),
                                       cmocka_unit_test(test_arrival)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
