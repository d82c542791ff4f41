#include "base/keep.h"

#include "base/fault.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

// A region is cut into slabs, a slab into pieces of one class. The lowest free piece of one of the fullest slabs is given out first.
enum {
    ALIGN = 16,
    CLASSES = KEEP_MAX / ALIGN,
    SLAB = 16 << 10,
    SLABS = 64,
    SPARES = 8,
    WORD = 64,
    FILLS = 8  // how full, in steps
};

#if defined(__SANITIZE_ADDRESS__) && !defined(KEEP_ALWAYS)
static const bool from_heap = true;
#else
static const bool from_heap = false;
#endif

struct region {
    struct region *next;
    char *slabs;
    uint64_t free;  // a bit for each slab
};

struct slab {
    struct region *region;
    struct slab *next, **at;  // among those of its class that have room
    uint16_t size, pieces, used;
    uint8_t words, pool;
    bool spare;
    uint64_t free[];  // a bit for each piece
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *regions;
static struct slab *with_room[KEEP_POOLS][CLASSES][FILLS];

// Those that became empty last stay as they are: a command's few pieces come and go, and giving a page back and taking it again costs
// more than they do.
static struct {
    struct slab *slabs[SPARES];
    unsigned next;
} spares;

static size_t
class_of(size_t size)
{
    return size > 0 ? (size - 1) / ALIGN : 0;
}

static bool
is_large(size_t size)
{
    return from_heap || size > KEEP_MAX;
}

// ---- slabs ----

static struct region *
region_new(void)
{
    size_t size = SLABS * SLAB;
    char *p =
        mmap(NULL, size + SLAB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct region *r = calloc(1, sizeof *r);
    must(p != MAP_FAILED && r != NULL);
    size_t before = (SLAB - (uintptr_t)p % SLAB) % SLAB;
    if (before > 0)
        must(munmap(p, before) == 0);
    if (before < SLAB)
        must(munmap(p + before + size, SLAB - before) == 0);
    *r = (struct region){regions, p + before, UINT64_MAX};
    regions = r;
    return r;
}

static char *
pieces_of(struct slab *s)
{
    size_t head = sizeof *s + s->words * sizeof s->free[0];
    return (char *)s + (head + ALIGN - 1) / ALIGN * ALIGN;
}

static unsigned
fill_of(const struct slab *s)
{
    return s->used * FILLS / s->pieces;
}

static void
link_slab(struct slab *s)
{
    struct slab **first = &with_room[s->pool][class_of(s->size)][fill_of(s)];
    s->next = *first;
    s->at = first;
    if (*first)
        (*first)->at = &s->next;
    *first = s;
}

static void
unlink_slab(struct slab *s)
{
    *s->at = s->next;
    if (s->next)
        s->next->at = s->at;
}

// It has so many used pieces more; a full one is in no list.
static void
count_pieces(struct slab *s, int more)
{
    unsigned was = fill_of(s);
    s->used = (uint16_t)(s->used + more);
    unsigned now = fill_of(s);
    if (was == now)
        return;
    if (was < FILLS)
        unlink_slab(s);
    if (now < FILLS)
        link_slab(s);
}

static struct slab *
slab_new(enum keep_pool pool, size_t size)
{
    struct region *r = regions;
    while (r && r->free == 0)
        r = r->next;
    if (!r)
        r = region_new();
    unsigned number = (unsigned)__builtin_ctzll(r->free);
    r->free &= r->free - 1;
    struct slab *s = (struct slab *)(void *)(r->slabs + (size_t)number * SLAB);
    *s = (struct slab){.region = r,
                       .size = (uint16_t)size,
                       .words = (uint8_t)(SLAB / size / WORD + 1),
                       .pool = (uint8_t)pool};
    s->pieces = (uint16_t)(((char *)s + SLAB - pieces_of(s)) / (ptrdiff_t)size);
    memset(s->free, 0, s->words * sizeof s->free[0]);
    for (unsigned i = 0; i < s->pieces; i++)
        s->free[i / WORD] |= UINT64_C(1) << i % WORD;
    link_slab(s);
    return s;
}

// Nobody has a piece of it.
static void
slab_free(struct slab *s)
{
    struct region *r = s->region;
    unlink_slab(s);
    r->free |= UINT64_C(1) << ((char *)s - r->slabs) / SLAB;
    must(madvise(s, SLAB, MADV_DONTNEED) == 0);
}

static void
slab_spare(struct slab *s)
{
    if (s->spare)
        return;
    struct slab **place = &spares.slabs[spares.next++ % SPARES], *other = *place;
    *place = s;
    s->spare = true;
    if (other)
        other->spare = false;
    if (other && other->used == 0)
        slab_free(other);
}

// One of the fullest that have room; NULL: none has.
static struct slab *
slab_find(enum keep_pool pool, size_t size)
{
    struct slab **lists = with_room[pool][class_of(size)];
    for (unsigned fill = FILLS; fill-- > 0;)
        if (lists[fill])
            return lists[fill];
    return NULL;
}

static void *
piece_take(struct slab *s)
{
    unsigned word = 0;
    while (s->free[word] == 0)
        word++;
    unsigned number = word * WORD + (unsigned)__builtin_ctzll(s->free[word]);
    s->free[word] &= s->free[word] - 1;
    count_pieces(s, 1);
    return pieces_of(s) + (size_t)number * s->size;
}

static struct slab *
slab_of(char *p)
{
    return (struct slab *)(void *)(p - (uintptr_t)p % SLAB);
}

static void
piece_give(char *p, size_t size)
{
    struct slab *s = slab_of(p);
    size_t offset = (size_t)(p - pieces_of(s)), number = offset / size;
    uint64_t bit = UINT64_C(1) << number % WORD;
    must(s->size == size && offset % size == 0 && !(s->free[number / WORD] & bit));
    s->free[number / WORD] |= bit;
    count_pieces(s, -1);
    if (s->used == 0)
        slab_spare(s);
}

// ---- pieces ----

void *
keep_new_in(enum keep_pool pool, size_t size)
{
    void *p;
    if (is_large(size)) {
        p = calloc(1, size > 0 ? size : 1);
        must(p != NULL);
        return p;
    }
    size_t whole = (class_of(size) + 1) * ALIGN;
    pthread_mutex_lock(&lock);
    struct slab *s = slab_find(pool, whole);
    p = piece_take(s ? s : slab_new(pool, whole));
    pthread_mutex_unlock(&lock);
    return memset(p, 0, whole);
}

void
keep_free(void *p, size_t size)
{
    if (!p || is_large(size)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    piece_give(p, (class_of(size) + 1) * ALIGN);
    pthread_mutex_unlock(&lock);
}

static void *
large_grow(void *p, size_t old, size_t size)
{
    char *now = realloc(p, size > 0 ? size : 1);
    must(now != NULL);
    if (size > old)
        memset(now + old, 0, size - old);
    return now;
}

void *
keep_grow_in(enum keep_pool pool, void *p, size_t old, size_t size)
{
    if (p && !is_large(old) && !is_large(size) && class_of(old) == class_of(size)) {
        if (size < old)
            memset((char *)p + size, 0, old - size);
        return p;
    }
    if (p && is_large(old) && is_large(size))
        return large_grow(p, old, size);
    void *now = keep_new_in(pool, size);
    if (p)
        memcpy(now, p, old < size ? old : size);
    keep_free(p, old);
    return now;
}

// A place in the slab that new pieces go to, unless it is emptier; NULL. That slab stays the same until it is full: moves end.
static void *
denser(char *p)
{
    const struct slab *from = slab_of(p);
    pthread_mutex_lock(&lock);
    struct slab *to = slab_find(from->pool, from->size);
    void *now = to && to != from && fill_of(to) >= fill_of(from) ? piece_take(to) : NULL;
    pthread_mutex_unlock(&lock);
    return now;
}

void *
keep_move(void *p, size_t size)
{
    if (!p || size > KEEP_MAX)
        return p;
    void *now = from_heap ? keep_new(size) : denser(p);
    if (!now)
        return p;
    memcpy(now, p, size);
    keep_free(p, size);
    return now;
}

struct span
keep_span_in(enum keep_pool pool, struct span s)
{
    char *p = keep_new_in(pool, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return span_of(p, s.n);
}

void
keep_span_free(struct span *s)
{
    keep_free((char *)(uintptr_t)s->p, s->n + 1);
    *s = SPAN_NONE;
}

char *
keep_cstr(struct span s)
{
    s.n = strnlen(s.p ? s.p : "", s.n);
    return (char *)(uintptr_t)keep_span(s).p;
}

void
keep_cstr_free(char **s)
{
    keep_free(*s, *s ? strlen(*s) + 1 : 0);
    *s = NULL;
}
