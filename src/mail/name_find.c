// The mailbox of a name. Behind it is an index, (parent, level in NFC) -> mailbox, for accounts that have many.

#include "base/limits.h"
#include "base/utf8.h"
#include "mail/home.h"
#include "mail/name.h"
#include "mail/user.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>

enum { FEW_MAILBOXES = 16 };

struct name_entry {
    UT_hash_handle by_name, by_id;
    uint64_t id;
    size_t n;
    char key[];
};

static struct span
key_of(struct arena *arena, uint64_t parent, struct span level)
{
    struct span name =
        parent == 0 && name_is_inbox(level) ? SPAN("INBOX") : name_compose(arena, level);
    char *key = arena_alloc(arena, sizeof parent + name.n);
    memcpy(key, &parent, sizeof parent);
    memcpy(key + sizeof parent, name.p, name.n);
    return span_of(key, sizeof parent + name.n);
}

static void
forget(struct account *a, struct name_entry *e)
{
    HASH_DELETE(by_name, a->names.all, e);
    HASH_DELETE(by_id, a->names.by_id, e);
    free(e);
}

static void
put(struct account *a, struct arena *arena, const struct mailbox_state *m)
{
    struct span key = key_of(arena, m->parent, m->name);
    struct name_entry *e = calloc(1, sizeof *e + key.n);
    must(e != NULL);
    e->id = m->id;
    e->n = key.n;
    memcpy(e->key, key.p, key.n);
    HASH_ADD(by_name, a->names.all, key, e->n, e);
    HASH_ADD(by_id, a->names.by_id, id, sizeof e->id, e);
}

void
name_changed(struct account *a, uint64_t id)
{
    struct name_entry *e;
    if (!a->names.all)
        return;
    HASH_FIND(by_id, a->names.by_id, &id, sizeof id, e);
    if (e)
        forget(a, e);
    const struct mailbox_state *m = state_mailbox(account_state(a), id);
    struct arena *arena = arena_new();
    if (m)
        put(a, arena, m);
    arena_free(&arena);
}

void
names_free(struct account *a)
{
    struct name_entry *e, *next;
    HASH_ITER(by_name, a->names.all, e, next)
    forget(a, e);
}

static void
make(struct account *a)
{
    struct arena *arena = arena_new();
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        put(a, arena, account_state(a)->mailboxes[i]);
    arena_free(&arena);
}

static struct mailbox_state *
look_up(struct account *a, struct span key)
{
    struct name_entry *e;
    a->looked_up = true;
    if (!a->names.all)
        make(a);
    HASH_FIND(by_name, a->names.all, key.p, key.n, e);
    return e ? state_mailbox(account_state(a), e->id) : NULL;
}

// Few mailboxes need no index.
static struct mailbox_state *
look_through(struct account *a, struct arena *arena, uint64_t parent, struct span key)
{
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        struct mailbox_state *m = account_state(a)->mailboxes[i];
        if (m->parent == parent && span_eq(key_of(arena, parent, m->name), key))
            return m;
    }
    return NULL;
}

struct mailbox_state *
name_find_level(struct account *a, uint64_t parent, struct span level)
{
    struct arena *arena = arena_new();
    struct span key = key_of(arena, parent, level);
    bool few = !a->names.all && account_state(a)->mailbox_count <= FEW_MAILBOXES;
    struct mailbox_state *m = few ? look_through(a, arena, parent, key) : look_up(a, key);
    arena_free(&arena);
    return m;
}

// NFC, and then folded (Unicode's simple and full case folding). Empty: it is not UTF-8.
static struct span
fold(struct arena *arena, struct span level)
{
    UErrorCode e = U_ZERO_ERROR;
    struct span name = name_compose(arena, level);
    int32_t room = (int32_t)name.n * 3 + 1, n = 0, folded = 0;
    UChar *wide = arena_array(arena, (size_t)room, sizeof *wide);
    UChar *out = arena_array(arena, (size_t)room, sizeof *out);
    u_strFromUTF8(wide, room, &n, name.p, (int32_t)name.n, &e);
    folded = u_strFoldCase(out, room, wide, n, U_FOLD_CASE_DEFAULT, &e);
    return U_SUCCESS(e) ? span_of(out, (size_t)folded * sizeof *out) : SPAN("");
}

// Whoever sends mail may ask so, of any number of folders: nearly all are ASCII, and cost little.
static bool
is_folded(struct arena *arena, struct span name, struct span level, struct span want)
{
    if (ascii_only(name) && ascii_only(level))
        return span_ieq(name, level);
    return span_eq(fold(arena, name), want);
}

static struct mailbox_state *
find_folded(struct account *a, uint64_t parent, struct span level)
{
    struct arena *arena = arena_new();
    struct span want = fold(arena, level);
    struct mailbox_state *found = NULL;
    for (uint32_t i = 0; want.n > 0 && !found && i < account_state(a)->mailbox_count; i++) {
        struct mailbox_state *m = account_state(a)->mailboxes[i];
        if (m->parent == parent && is_folded(arena, m->name, level, want))
            found = m;
    }
    arena_free(&arena);
    return found;
}

static struct mailbox_state *
find_level_any_case(struct account *a, uint64_t parent, struct span level)
{
    struct mailbox_state *m = name_find_level(a, parent, level);
    return m ? m : find_folded(a, parent, level);
}

typedef struct mailbox_state *find_level_fn(struct account *a, uint64_t parent,
                                            struct span level);

static struct mailbox_state *
find(struct account *a, struct span name, find_level_fn *find_level)
{
    struct mailbox_state *m = NULL;
    struct span rest = name, level;
    while (span_next_field(&rest, '/', &level) == R_OK) {
        m = find_level(a, m ? m->id : 0, level);
        if (!m)
            return NULL;
    }
    return m;
}

struct mailbox_state *
name_find(struct account *a, struct span name)
{
    return find(a, name, name_find_level);
}

struct mailbox_state *
name_find_any_case(struct account *a, struct span name)
{
    return find(a, name, find_level_any_case);
}

struct span
name_full(struct arena *a, struct state *s, const struct mailbox_state *m)
{
    struct span levels[LIMIT_mailbox_depth + 1];
    size_t n = 0, size = 0;
    for (; m && n <= LIMIT_mailbox_depth;
         m = m->parent ? state_mailbox(s, m->parent) : NULL) {
        levels[n++] = m->name;
        size += m->name.n + 1;
    }
    char *p = arena_alloc(a, size), *at = p;
    while (n > 0) {
        struct span level = levels[--n];
        memcpy(at, level.p, level.n);
        at += level.n;
        if (n > 0)
            *at++ = '/';
    }
    return span_of(p, (size_t)(at - p));
}

bool
name_has_children(const struct state *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (s->mailboxes[i]->parent == id)
            return true;
    return false;
}
