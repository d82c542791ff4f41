#include "base/arena.h"

#include "base/keep.h"

enum { BLOCK_SIZE = 4096 - 64, SMALL_BLOCK = 128 - 48, ALIGN = 16 };

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(ALIGN) char data[];
};

struct on_end {
    struct on_end *next;
    void (*fn)(void *arg);
    void *arg;
};

struct arena {
    struct block *blocks;
    struct on_end *ends;
    size_t used;
    size_t next_block;
    bool kept;  // long-lived: base/keep.h
};

static struct block *
block_new(size_t size)
{
    size_t whole = sizeof(struct block) + size;
    struct block *b = whole > KEEP_MAX ? malloc(whole) : keep_new(whole);
    must(b != NULL);
    *b = (struct block){.size = size};
    return b;
}

struct arena *
arena_new(void)
{
    struct arena *a = calloc(1, sizeof *a);
    must(a != NULL);
    a->next_block = BLOCK_SIZE;
    return a;
}

struct arena *
arena_new_small(void)
{
    struct arena *a = KEEP_NEW(struct arena);
    a->kept = true;
    a->next_block = SMALL_BLOCK;
    return a;
}

void
arena_reset(struct arena *a)
{
    while (a->ends) {
        struct on_end *end = a->ends;
        a->ends = end->next;
        end->fn(end->arg);
    }
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        keep_free(b, sizeof *b + b->size);
    }
    a->blocks = NULL;
    a->used = 0;
}

void
arena_free(struct arena **a)
{
    if (!*a)
        return;
    arena_reset(*a);
    if ((*a)->kept)
        KEEP_FREE(*a);
    else
        free(*a);
    *a = NULL;
}

void *
arena_alloc(struct arena *a, size_t size)
{
    must(size < SIZE_MAX / 2);
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    a->used += size;
    // large ones get a block of their own, behind the current one
    if (size > a->next_block / 4) {
        struct block *own = keep_new(sizeof *own + size);  // what is large is zero already
        own->used = own->size = size;
        own->next = a->blocks ? a->blocks->next : NULL;
        if (a->blocks)
            a->blocks->next = own;
        else
            a->blocks = own;
        return own->data;
    }
    if (!a->blocks || a->blocks->size - a->blocks->used < size) {
        struct block *b = block_new(a->next_block);
        a->next_block = BLOCK_SIZE;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = a->blocks->data + a->blocks->used;
    a->blocks->used += size;
    return memset(p, 0, size);
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
    must(size == 0 || count <= SIZE_MAX / 4 / size);
    return arena_alloc(a, count * size);
}

struct span
arena_dup(struct arena *a, struct span s)
{
    return span_of(arena_cstr(a, s), s.n);
}

char *
arena_cstr(struct arena *a, struct span s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

size_t
arena_used(const struct arena *a)
{
    return a->used;
}

void
arena_on_end(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct on_end *end = ARENA_NEW(a, struct on_end);
    *end = (struct on_end){a->ends, fn, arg};
    a->ends = end;
}
