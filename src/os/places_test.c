#include "os/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

// What a role's places are made of. data/queue has the only copy of mail that was acknowledged: a power cut must not take the
// folder itself.

static char data[] = "/tmp/posthorn-places-XXXXXX", queue[64];
static unsigned data_syncs;

int
fsync(int fd)
{
    struct stat folder, synced;
    if (fstat(fd, &synced) == 0 && stat(data, &folder) == 0)
        data_syncs += folder.st_ino == synced.st_ino && folder.st_dev == synced.st_dev;
    return (int)syscall(SYS_fsync, fd);
}

// 0: the role could enter, its folder is there, and the folder's name was synced.
static int
enter_in_child(void)
{
    const struct sandbox_paths paths = {.data = data};
    struct fault f;
    struct stat s;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        bool entered = sandbox_apply(role_find(SPAN("relay")), &paths, &f) == R_OK;
        _exit(!entered ? 2 : data_syncs > 0 && stat(queue, &s) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void
test_places_are_durable(void **state)
{
    struct stat s;
    (void)state;
    assert_non_null(mkdtemp(data));
    snprintf(queue, sizeof queue, "%s/queue", data);
    assert_int_equal(stat(queue, &s), -1);
    assert_int_equal(enter_in_child(), 0);
    assert_int_equal(enter_in_child(),
                     0);  // who made it may have been killed before it was synced
    assert_int_equal(rmdir(queue), 0);
    assert_int_equal(rmdir(data), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places_are_durable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
