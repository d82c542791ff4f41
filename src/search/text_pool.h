#ifndef SEARCH_TEXT_POOL_H
#define SEARCH_TEXT_POOL_H

// Memory of a builder that goes from hand to hand: slots that have become too few, and all of them when a segment is written, become what comes
// next, since new pages would have to be zeroed. Private to this folder. Threads: one at a time.

#include <stddef.h>

enum { REGION_LEAST = 1 << 16, REGIONS = 32 };

// A power of two of octets; none: zeros.
struct region {
    void *p;
    size_t size;
};
struct pool {
    struct region free[REGIONS];
    size_t n, octets;  // of all, also those in use
};
// Makes it one of so many octets at least, which say nothing.
void *text_region(struct pool *pool, struct region *r, size_t size);
void text_region_give(struct pool *pool, struct region *r);
void text_pool_done(struct pool *pool);  // all were given back

#endif
