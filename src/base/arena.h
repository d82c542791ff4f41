#ifndef BASE_ARENA_H
#define BASE_ARENA_H

// An arena is a lifetime: what is allocated in it dies with it, at once (command, session, process).
// Owner: one thread at a time. Out of memory aborts, so check sizes from outside against limits.def first.

#include "base/span.h"

struct arena;

struct arena *arena_new(void);
struct arena *arena_new_small(void);  // begins with a small block: long-lived, few octets
void arena_free(struct arena **a);    // runs the on_end functions, last first; takes NULL
void arena_reset(struct arena *a);    // the same, but the arena can be used again

void *arena_alloc(struct arena *a, size_t size);                // zeroed, aligned to 16
void *arena_array(struct arena *a, size_t count, size_t size);  // zeroed, checked product
struct span arena_dup(struct arena *a, struct span s);
char *arena_cstr(struct arena *a, struct span s);  // NUL-terminated copy
size_t arena_used(const struct arena *a);

// Ties an outside resource to the arena: fn(arg) runs when it ends.
void arena_on_end(struct arena *a, void (*fn)(void *arg), void *arg);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

#endif
