#include "mail/home.h"

#include "base/budget.h"

// Threads: a message joins the thread of the first message it refers to (its own Message-ID, In-Reply-To or
// References) that has the same base subject; keys are hashes of both. The map is made from the store when
// the account's first message comes in.

void
threads_free(struct account *a)
{
    struct thread_entry *e, *tmp;
    HASH_ITER(hh, a->threads.all, e, tmp)
    {
        HASH_DEL(a->threads.all, e);
        free(e);
        budget_give(BUDGET_TABLES, sizeof *e);
    }
    a->threads.loaded = false;
}

static struct thread_entry *
find(struct thread_entry *map, uint64_t key)
{
    struct thread_entry *e;
    HASH_FIND(hh, map, &key, sizeof key, e);
    return e;
}

// The first thread that took a key keeps it.
static void
remember(struct account *a, uint64_t key, uint64_t threadid)
{
    if (find(a->threads.all, key))
        return;
    struct thread_entry *e = calloc(1, sizeof *e);
    must(e != NULL);
    e->key = key;
    e->threadid = threadid;
    HASH_ADD(hh, a->threads.all, key, sizeof e->key, e);
    budget_force(BUDGET_TABLES, sizeof *e);
}

void
thread_remember(struct account *a, struct span packed_keys, uint64_t threadid)
{
    struct unpack u = unpack_of(packed_keys);
    while (a->threads.loaded && u.rest.n > 0)
        remember(a, unpack_u64(&u), threadid);
}

static enum result
load(struct account *a, struct fault *f)
{
    struct store_thread_key *keys;
    size_t n;
    struct arena *arena = arena_new();
    enum result r = store_thread_keys(mail_store(a->mail), a->state, arena, &keys, &n, f);
    if (r == R_OK) {
        a->threads.loaded = true;
        for (size_t i = 0; i < n; i++)
            remember(a, keys[i].key, keys[i].threadid);
    }
    arena_free(&arena);
    return r;
}

// For messages of the batch that is being built.
static void
remember_next(struct account *a, uint64_t key, uint64_t threadid)
{
    if (find(a->threads.next, key))
        return;
    struct thread_entry *e = ARENA_NEW(a->batch_arena, struct thread_entry);
    e->key = key;
    e->threadid = threadid;
    HASH_ADD(hh, a->threads.next, key, sizeof e->key, e);
}

enum result
thread_assign(struct account *a, const uint64_t *keys, size_t n, uint64_t *threadid_out,
              struct fault *f)
{
    a->looked_up = true;
    if (!a->threads.loaded && load(a, f) != R_OK)
        return R_FAIL;
    const struct thread_entry *hit = NULL;
    for (size_t i = 0; i < n && !hit; i++) {
        hit = find(a->threads.all, keys[i]);
        if (!hit)
            hit = find(a->threads.next, keys[i]);
    }
    uint64_t threadid = hit ? hit->threadid : store_id_next(mail_store(a->mail));
    for (size_t i = 0; i < n; i++)
        remember_next(a, keys[i], threadid);
    *threadid_out = threadid;
    return R_OK;
}

void
threads_settle(struct account *a)
{
    HASH_CLEAR(hh, a->threads.next);
}
