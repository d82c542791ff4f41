#ifndef BASE_KEEP_H
#define BASE_KEEP_H

// Small memory that stays long: what an account or a session is as long as nothing happens. It lies densely in pages of its own, by
// size, so that what comes and goes in the heap leaves no holes between. A page whose last piece is freed goes back to the system, but for
// the last few.
// Pieces of different pools share no page: what is about to go leaves no holes between what stays.
// Who frees or grows a piece knows its size. More than KEEP_MAX octets come from the heap. In builds with AddressSanitizer all do.
// Threads: any.

#include "base/span.h"

enum { KEEP_MAX = 1024 };
enum keep_pool {
    KEEP_LONG,
    KEEP_AWAKE,  // parts of a state that is not packed (store/state.h)
    KEEP_POOLS
};

void *keep_new_in(enum keep_pool pool, size_t size);  // zeroed, aligned to 16
// A larger one, or a smaller one. What is new is zero; p may be NULL.
void *keep_grow_in(enum keep_pool pool, void *p, size_t old, size_t size);
void keep_free(void *p, size_t size);  // takes NULL
// To where pieces lie more densely, when others went and it stays; a large one stays where it is.
void *keep_move(void *p, size_t size);

// A copy, NUL-terminated behind its end. An empty one is there, too.
struct span keep_span_in(enum keep_pool pool, struct span s);
void keep_span_free(struct span *s);  // clears it; takes SPAN_NONE

// The same as a string, without its length; NULL is none.
char *keep_cstr(struct span s);
void keep_cstr_free(char **s);  // clears it

static inline void *
keep_new(size_t size)
{
    return keep_new_in(KEEP_LONG, size);
}
static inline void *
keep_grow(void *p, size_t old, size_t size)
{
    return keep_grow_in(KEEP_LONG, p, old, size);
}
static inline struct span
keep_span(struct span s)
{
    return keep_span_in(KEEP_LONG, s);
}

#define KEEP_NEW(type) ((type *)keep_new(sizeof(type)))
#define KEEP_FREE(p) keep_free((p), sizeof *(p))

#endif
