#ifndef AUTH_USERDB_SCENE_H
#define AUTH_USERDB_SCENE_H

// For unit tests: a folder for a user database of each.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];

static int
setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/userdb_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    static const char *const files[] = {"users.db", "users.db-wal", "users.db-journal"};
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    return rmdir(dir);
}

#endif
