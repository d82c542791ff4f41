#include "mail/home.h"

#include "base/budget.h"
#include "base/hash.h"
#include "base/limits.h"

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
    enum result r =
        store_thread_keys(mail_store(a->mail), account_state(a), arena, &keys, &n, f);
    if (r == R_OK) {
        a->threads.loaded = true;
        for (size_t i = 0; i < n; i++)
            remember(a, keys[i].key, keys[i].threadid);
    }
    arena_free(&arena);
    return r;
}

uint64_t
thread_key(struct span message_id, struct span base_subject)
{
    return hash64(message_id) * 31 + hash64(base_subject);
}

static enum result
ready(struct account *a, struct fault *f)
{
    a->looked_up = true;
    return a->threads.loaded ? R_OK : load(a, f);
}

enum result
thread_find(struct account *a, uint64_t key, uint64_t *threadid_out, struct fault *f)
{
    if (ready(a, f) != R_OK)
        return R_FAIL;
    const struct thread_entry *hit = find(a->threads.all, key);
    if (!hit)
        return R_NONE;
    *threadid_out = hit->threadid;
    return R_OK;
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

// A key of what others put into one mailbox: it is found by them alone.
static uint64_t
key_inside(uint64_t key, const struct mailbox *m)
{
    uint64_t pair[] = {key, m->id};
    return hash64(span_of((const char *)pair, sizeof pair));
}

static uint64_t
key_at(const struct thread_ask *ask, size_t i, bool inside)
{
    return inside ? key_inside(ask->keys[i], ask->among) : ask->keys[i];
}

static bool
has_thread(const struct mailbox *m, uint64_t threadid)
{
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        yield_at(i);
        if (m->state->rows[i].threadid == threadid)
            return true;
    }
    return false;
}

// R_NONE: there is none, or none of those that have a message in `among`.
static enum result
find_thread(struct account *a, const struct thread_ask *ask, bool inside, uint64_t *out,
            struct fault *f)
{
    for (size_t i = 0; i < ask->n; i++) {
        uint64_t key = key_at(ask, i, inside);
        const struct thread_entry *hit = find(a->threads.all, key);
        if (!hit)
            hit = find(a->threads.next, key);
        if (!hit)
            continue;
        uint64_t threadid = hit->threadid;
        bool checked = ask->among && !inside;
        if (checked && mailbox_load(a, ask->among, f) != R_OK)
            return R_FAIL;
        if (checked && !has_thread(ask->among, threadid))
            continue;
        *out = threadid;
        return R_OK;
    }
    return R_NONE;
}

enum result
thread_assign(struct account *a, const struct thread_ask *ask, uint64_t *threadid_out,
              struct fault *f)
{
    if (ready(a, f) != R_OK)
        return R_FAIL;
    uint64_t threadid;
    enum result r = ask->among ? find_thread(a, ask, true, &threadid, f) : R_NONE;
    if (r == R_NONE)
        r = find_thread(a, ask, false, &threadid, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_NONE)
        threadid = store_id_next(mail_store(a->mail));
    for (size_t i = 0; i < ask->n; i++) {
        remember_next(a, ask->keys[i], threadid);
        if (ask->among)
            remember_next(a, key_inside(ask->keys[i], ask->among), threadid);
    }
    *threadid_out = threadid;
    return R_OK;
}

struct span
thread_keys_pack(struct arena *arena, const struct thread_ask *ask)
{
    struct buf b;
    buf_init(&b, LIMIT_thread_keys * sizeof *ask->keys);
    for (size_t i = 0; i < ask->n; i++)
        pack_u64(&b, ask->keys[i]);
    for (size_t i = 0; ask->among && i < ask->n; i++)
        pack_u64(&b, key_inside(ask->keys[i], ask->among));
    must(!b.over);
    struct span packed = arena_dup(arena, buf_span(&b));
    buf_done(&b);
    return packed;
}

void
threads_settle(struct account *a)
{
    HASH_CLEAR(hh, a->threads.next);
}
