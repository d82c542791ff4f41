#include "base/pages.h"

#include "base/fault.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, OWN_PAGES = 16 << 10, STEP = 512 << 10 };

// A million rows would cost 16,000 page faults. All pages of an array are advised alike, since mremap takes no more than one kind.
static void *
advised(void *p, size_t size)
{
    must(p != MAP_FAILED);
    if (size >= HUGE_PAGE)
        madvise(p, size, MADV_HUGEPAGE);
    return p;
}

void *
pages_new(size_t size)
{
    if (size >= OWN_PAGES)
        return advised(
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            size);
    void *p = calloc(1, size + 1);
    must(p != NULL);
    return p;
}

// A huge page is cleared in a fifth of the time when the system has one. A virtual machine that gave it back to its host has to get
// it again, which takes up to twenty times as long: for what is used once, small ones cost about the same each time. Nobody else
// can map memory during a call, so there are many; what is not there afterwards comes by itself.
void *
pages_whole(size_t size)
{
    if (size < OWN_PAGES)
        return pages_new(size);
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED);
    for (size_t at = 0; at < size; at += STEP)
        madvise(p + at, size - at < STEP ? size - at : STEP, MADV_POPULATE_WRITE);
    return p;
}

void
pages_free(void *p, size_t size)
{
    if (p && size >= OWN_PAGES)
        must(munmap(p, size) == 0);
    else
        free(p);
}

void *
pages_grow(void *p, size_t old, size_t size)
{
    if (p && old >= OWN_PAGES)
        return advised(mremap(p, old, size, MREMAP_MAYMOVE), size);
    void *more = pages_new(size);
    if (p)
        memcpy(more, p, old);
    pages_free(p, old);
    return more;
}
