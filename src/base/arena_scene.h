#ifndef BASE_ARENA_SCENE_H
#define BASE_ARENA_SCENE_H

// For unit tests: an arena for each.

#include "base/arena.h"

static struct arena *arena;

static int
setup(void **unused)
{
    (void)unused;
    arena = arena_new();
    return 0;
}

static int
teardown(void **unused)
{
    (void)unused;
    arena_free(&arena);
    return 0;
}

#endif
