#include "base/hash.h"
#include "base/limits.h"
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "ctl/import_names.h"

#include "base/table.h"

struct import_taken {
    UT_hash_handle hh;
    bool fresh;
};

void
import_names_init(struct import_names *n, struct arena *a)
{
    *n = (struct import_names){.arena = a};
}

enum result
import_names_add(struct import_names *n, struct span name, enum special_use use,
                 struct fault *f)
{
    if (n->count >= LIMIT_mailboxes)
        return fault_set(f, FAULT_LIMIT, "more than %d mailboxes", LIMIT_mailboxes);
    if (n->count == n->cap) {
        n->cap = n->cap ? n->cap * 2 : 64;
        struct import_name *grown = arena_array(n->arena, n->cap, sizeof *grown);
        if (n->count > 0)
            memcpy(grown, n->names, n->count * sizeof *grown);
        n->names = grown;
    }
    if (use == USE_NONE)
        use = tree_guess_use(name);
    n->names[n->count++] = (struct import_name){arena_dup(n->arena, name), use};
    return R_OK;
}

// The announced mailbox that the account's folder `own` of this use takes; NULL: none, or the one of its own name.
static const struct span *
taker(const struct import_names *n, struct span own, enum special_use use)
{
    const struct span *first = NULL;
    for (size_t i = 0; i < n->count; i++) {
        if (span_ieq(n->names[i].name, own))
            return NULL;
        if (first == NULL && n->names[i].use == use)
            first = &n->names[i].name;
    }
    return first;
}

void
import_names_map(struct import_names *n, const struct tree_entry *entries, size_t count)
{
    for (size_t i = 0; i < count && n->map_count < USE_COUNT; i++) {
        const struct tree_entry *e = &entries[i];
        const struct span *from = NULL;
        if (e->special_use != USE_NONE)
            from = taker(n, e->name, (enum special_use)e->special_use);
        if (from == NULL)
            continue;
        n->maps[n->map_count].from = *from;
        n->maps[n->map_count++].to = arena_dup(n->arena, e->name);
    }
}

struct span
import_names_target(const struct import_names *n, struct span name, struct arena *a)
{
    for (size_t i = 0; i < n->map_count; i++) {
        struct span from = n->maps[i].from, to = n->maps[i].to;
        if (!span_starts(name, from) || (name.n > from.n && name.p[from.n] != '/'))
            continue;
        struct span tail = span_skip(name, from.n);
        char *p = arena_alloc(a, to.n + tail.n + 1);
        memcpy(p, to.p, to.n);
        if (tail.n > 0)
            memcpy(p + to.n, tail.p, tail.n);
        return span_of(p, to.n + tail.n);
    }
    return name;
}

static struct import_taken *
find_taken(const struct import_names *n, struct span target)
{
    struct import_taken *t = NULL;
    HASH_FIND(hh, n->taken, target.p, target.n, t);
    return t;
}

bool
import_names_take(struct import_names *n, struct span target)
{
    if (find_taken(n, target) != NULL)
        return false;
    struct import_taken *t = ARENA_NEW(n->arena, struct import_taken);
    struct span key = arena_dup(n->arena, target);
    HASH_ADD_KEYPTR(hh, n->taken, key.p, key.n, t);
    return true;
}

void
import_names_set_fresh(struct import_names *n, struct span target)
{
    find_taken(n, target)->fresh = true;
}

bool
import_names_is_fresh(const struct import_names *n, struct span target)
{
    const struct import_taken *t = find_taken(n, target);
    return t != NULL && t->fresh;
}

void
import_names_done(struct import_names *n)
{
    HASH_CLEAR(hh, n->taken);
}
