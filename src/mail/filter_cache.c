#include "mail/filter_inside.h"

#include <utlist.h>

// Programs of this thread by the hash of their script, the last used first. One that is in use stays until it is put back.
static _Thread_local struct {
    struct filter_program *list;
    size_t octets;
} cache;

static struct filter_program *
find(struct hash_wide key, enum sieve_author author)
{
    struct filter_program *p;
    DL_FOREACH(cache.list, p)
    {
        if (p->key.part[0] == key.part[0] && p->key.part[1] == key.part[1] &&
            p->author == author)
            return p;
    }
    return NULL;
}

static void
drop(struct filter_program *p)
{
    struct arena *a = p->arena;
    DL_DELETE(cache.list, p);
    cache.octets -= arena_used(a);
    arena_free(&a);
}

// What was not used for the longest time goes first.
static void
make_room(size_t most)
{
    struct filter_program *p = cache.list ? cache.list->prev : NULL;
    while (p && cache.octets > most) {
        struct filter_program *before = p == cache.list ? NULL : p->prev;
        if (p->refs == 0)
            drop(p);
        p = before;
    }
}

static struct filter_program *
compile(struct span text, enum sieve_author author, struct hash_wide key)
{
    struct arena *a = arena_new_small();
    struct filter_program *p = ARENA_NEW(a, struct filter_program);
    p->arena = a;
    p->key = key;
    p->author = author;
    if (sieve_compile(a, author, arena_dup(a, text), &p->program, &p->error) != R_OK)
        p->program = NULL;
    cache.octets += arena_used(a);
    return p;
}

struct filter_program *
filter_program_get(struct span text, enum sieve_author author)
{
    struct hash_wide key = hash_keyed_wide(text);
    struct filter_program *p = find(key, author);
    if (p)
        DL_DELETE(cache.list, p);
    else
        p = compile(text, author, key);
    p->refs++;
    DL_PREPEND(cache.list, p);
    make_room(LIMIT_sieve_cached);
    return p;
}

void
filter_program_put(struct filter_program **p)
{
    must((*p)->refs > 0);
    (*p)->refs--;
    *p = NULL;
    make_room(LIMIT_sieve_cached);
}

void
filter_programs_drop(void)
{
    make_room(0);
}
