#include "search/text_pool.h"

#include "base/pages.h"

static void
drop_region(struct pool *pool, size_t i)
{
    pool->octets -= pool->free[i].size;
    pages_free(pool->free[i].p, pool->free[i].size);
    pool->free[i] = pool->free[--pool->n];
}

// The smallest of those that have so many octets; pool->n: there is none.
static size_t
fitting(const struct pool *pool, size_t size)
{
    size_t best = pool->n;
    for (size_t i = 0; i < pool->n; i++)
        if (pool->free[i].size >= size &&
            (best == pool->n || pool->free[i].size < pool->free[best].size))
            best = i;
    return best;
}

void
text_region_give(struct pool *pool, struct region *r)
{
    if (r->size > 0 && pool->n == REGIONS)
        drop_region(pool, fitting(pool, 0));
    if (r->size > 0)
        pool->free[pool->n++] = *r;
    *r = (struct region){0};
}

void *
text_region(struct pool *pool, struct region *r, size_t size)
{
    if (r->size >= size && r->size > 0)
        return r->p;
    text_region_give(pool, r);
    size_t i = fitting(pool, size);
    if (i < pool->n) {
        *r = pool->free[i];
        pool->free[i] = pool->free[--pool->n];
        return r->p;
    }
    r->size = REGION_LEAST;
    while (r->size < size)
        r->size *= 2;
    r->p = pages_new(r->size);
    pool->octets += r->size;
    return r->p;
}

void
text_pool_done(struct pool *pool)
{
    while (pool->n > 0)
        drop_region(pool, 0);
}
