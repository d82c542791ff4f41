#ifndef BASE_ARENA_GROW_H
#define BASE_ARENA_GROW_H

#include "base/arena.h"

// A list in an arena that gets one item after the other: the list with room for one more behind its n, itself or a longer
// copy (what is behind n is zeroed). *room: 0 in the beginning, with any list.
static inline void *
arena_grow(struct arena *a, void *list, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return list;
    *room = *room > 0 ? *room * 2 : 4;
    void *more = arena_array(a, *room, size);
    if (n > 0)
        memcpy(more, list, n * size);
    return more;
}

#endif
