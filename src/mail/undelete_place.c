#include "mail/undelete_inside.h"

#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/name.h"
#include "mail/tree_record.h"

// Where a deleted mailbox goes. That it went to some mailbox is remembered as a value of the account, "undeleted/" and
// its id: {u64 id of the new mailbox, u64 modseq of the deletion}.

enum { KEY_SIZE = 32 };
static const struct span restored = SPAN("Restored");

// ---- names and parents ----

static struct lost *
find_lost(struct undelete *u, uint64_t id)
{
    struct lost *x;
    HASH_FIND(hh, u->by_id, &id, sizeof id, x);
    return x;
}

static struct span
below(struct arena *a, struct span above, struct span name)
{
    if (above.n == 0)
        return name;
    char *p = arena_alloc(a, above.n + 1 + name.n);
    memcpy(p, above.p, above.n);
    p[above.n] = '/';
    memcpy(p + above.n + 1, name.p, name.n);
    return span_of(p, above.n + 1 + name.n);
}

static int
by_modseq(const void *a, const void *b)
{
    const struct lost *const *x = a, *const *y = b;
    return ((*x)->d->modseq > (*y)->d->modseq) - ((*x)->d->modseq < (*y)->d->modseq);
}

// DELETE of a mailbox with children leaves a level in its place, made right after: the children's real parent.
static struct lost *
before_level(struct lost **sorted, size_t n, struct lost *level)
{
    const struct store_deleted_mailbox *l = level->d;
    struct store_deleted_mailbox wanted = {.modseq = l->created_modseq - 1};
    struct lost probe = {.d = &wanted}, *key = &probe;
    if (!(l->flags & MAILBOX_NOSELECT) || n == 0)
        return level;
    struct lost **found = bsearch(&key, sorted, n, sizeof(struct lost *), by_modseq);
    bool same =
        found && (*found)->d->parent == l->parent && span_eq((*found)->d->name, l->name);
    return same ? *found : level;
}

static void
name_old(struct undelete *u, struct lost *x)
{
    struct lost *chain[LIMIT_mailbox_depth + 1];
    size_t n = 0;
    struct span name = SPAN("");
    for (; x && !x->old.p && n <= LIMIT_mailbox_depth; x = x->above)
        chain[n++] = x;
    if (x)
        name = x->old;
    while (n > 0) {
        struct lost *y = chain[--n];
        struct mailbox_state *parent =
            state_mailbox(account_state(u->account), y->d->parent);
        if (!y->above && parent)
            name = name_full(u->arena, account_state(u->account), parent);
        y->old = name = below(u->arena, name, y->d->name);
    }
}

void
undelete_link(struct undelete *u, struct lost *list, size_t n)
{
    struct lost **sorted = arena_array(u->arena, n, sizeof(struct lost *));
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &list[i];
        HASH_ADD(hh, u->by_id, id, sizeof list[i].id, &list[i]);
    }
    if (n > 1)
        qsort(sorted, n, sizeof(struct lost *), by_modseq);
    for (size_t i = 0; i < n; i++) {
        uint64_t parent = list[i].d->parent;
        struct lost *above = parent ? find_lost(u, parent) : NULL;
        list[i].above = above ? before_level(sorted, n, above) : NULL;
        list[i].orphan =
            parent && !above && !state_mailbox(account_state(u->account), parent);
    }
    for (size_t i = 0; i < n; i++)
        name_old(u, &list[i]);
}

// ---- what is remembered ----

static struct span
key_of(char out[KEY_SIZE], uint64_t mailbox)
{
    int n = snprintf(out, KEY_SIZE, "undeleted/%016llx", (unsigned long long)mailbox);
    return span_of(out, (size_t)n);
}

// Where it went. 0: nowhere yet.
static uint64_t
went_to(struct account *a, uint64_t mailbox, uint64_t *modseq_out)
{
    char key[KEY_SIZE];
    struct span value;
    if (state_meta_find(account_state(a), 0, key_of(key, mailbox), &value) != R_OK)
        return 0;
    struct unpack u = unpack_of(value);
    uint64_t id = unpack_u64(&u);
    *modseq_out = unpack_u64(&u);
    return unpack_end(&u) == R_OK ? id : 0;
}

static void
remember(struct account *a, struct store_batch *b, const struct lost *x, uint64_t target)
{
    char key[KEY_SIZE];
    struct buf value;
    buf_init(&value, 16);
    pack_u64(&value, target);
    pack_u64(&value, x->d->modseq);
    struct record_meta r = {0, change_modseq(a), key_of(key, x->id), buf_span(&value)};
    tree_put_meta(b, &r);
    buf_done(&value);
}

void
undelete_forget(struct account *a, struct store_batch *b, uint64_t mailbox,
                uint64_t up_to_modseq)
{
    char key[KEY_SIZE];
    uint64_t modseq = 0;
    if (went_to(a, mailbox, &modseq) == 0 || modseq > up_to_modseq)
        return;
    struct record_meta r = {0, change_modseq(a), key_of(key, mailbox), SPAN("")};
    tree_put_meta(b, &r);
}

// ---- one mailbox ----

struct place_call {
    struct undelete *u;
    struct lost *x;
    struct span to;
    uint64_t target;
    bool made;
};

static bool
is_level(const struct lost *x)
{
    return x->d->flags & MAILBOX_NOSELECT;
}

static struct span
above_of(struct undelete *u, const struct lost *x)
{
    struct state *s = account_state(u->account);
    struct mailbox_state *parent = state_mailbox(s, x->d->parent);
    if (x->above)
        return x->above->to;
    if (x->orphan)
        return restored;
    return parent ? name_full(u->arena, s, parent) : SPAN("");
}

static bool
is_restored(struct span name)
{
    size_t n = restored.n;
    return span_starts(name, restored) && (name.n == n || name.p[n] == '/');
}

// Is it another's name now?
static bool
is_taken(struct undelete *u, struct span name)
{
    struct mailbox_state *m = name_find(u->account, name);
    struct lost *other;
    HASH_FIND(by_path, u->claimed, name.p, name.n, other);
    return other || (m && !(m->flags & MAILBOX_NOSELECT));
}

// The old name, or one below "Restored", where names may be shared.
static enum result
choose_name(struct undelete *u, struct lost *x, struct span *out, struct fault *f)
{
    struct span name = below(u->arena, above_of(u, x), x->d->name);
    if (!is_restored(name) && !is_level(x) && is_taken(u, name))
        name = below(u->arena, restored, x->old);
    if (mail_name_check(u->arena, name, out, f) == R_OK)
        return R_OK;
    name = below(u->arena, restored, x->d->name);  // too long or too deep
    return mail_name_check(u->arena, name, out, f);
}

static uint64_t
put_mailbox(struct account *a, struct store_batch *b, struct place_call *c)
{
    struct mailbox_state *m = name_find(a, c->to);
    struct fault ignored;
    enum special_use use = c->x->d->special_use;
    if (tree_use_free(account_state(a), use, &ignored) != R_OK)
        use = USE_NONE;
    // only the owner sees what came back
    if (m && (m->flags & MAILBOX_NOSELECT)) {
        tree_put_revived(a, b, m, use);
        acl_put_instead(a, b, acl_list_of(a, m->id)->n > 0 ? m->id : m->parent, 0, m->id);
    }
    if (m)
        return m->id;
    if (is_restored(c->to) && account_state(a)->subscription_count < LIMIT_mailboxes)
        tree_put_subscribe(b, c->to, true);
    uint64_t nearest = tree_nearest(a, c->to), id = tree_put_levels(a, b, c->to, use);
    acl_put_instead(a, b, nearest, 0, id);
    return id;
}

static enum result
place_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct place_call *c = arg;
    struct mailbox_state *m;
    uint64_t modseq, id = went_to(a, c->x->id, &modseq);
    if (id && (m = state_mailbox(account_state(a), id)) != NULL) {
        c->target = id;
        c->to = name_full(c->u->arena, account_state(a), m);
        return R_OK;
    }
    if (choose_name(c->u, c->x, &c->to, f) != R_OK)
        return R_FAIL;
    m = name_find(a, c->to);
    c->target = m ? m->id : 0;
    c->made = true;
    if (c->u->wish.dry_run || is_level(c->x))
        return R_OK;
    if (tree_room_for(a, c->to, f) != R_OK)
        return R_FAIL;
    c->target = put_mailbox(a, b, c);
    remember(a, b, c->x, c->target);
    return R_OK;
}

static void
claim(struct undelete *u, struct lost *x)
{
    struct lost *other;
    HASH_FIND(by_path, u->claimed, x->to.p, x->to.n, other);
    if (u->wish.dry_run && !other && !is_level(x))
        HASH_ADD_KEYPTR(by_path, u->claimed, x->to.p, x->to.n, x);
}

// It went to a mailbox that was deleted since: the one where that goes.
static struct lost *
heir_of(struct undelete *u, struct lost *x)
{
    uint64_t modseq, id;
    struct lost *next = x;
    for (unsigned n = 0; next && n < LIMIT_mailboxes; n++) {
        x = next;
        id = went_to(u->account, x->id, &modseq);
        next =
            id && !state_mailbox(account_state(u->account), id) ? find_lost(u, id) : NULL;
    }
    return x;
}

static enum result
place_one(struct undelete *u, struct lost *x, struct fault *f)
{
    struct place_call c = {.u = u, .x = x};
    if (account_change(u->account, place_change, &c, CHANGE_ALONE, NULL, f) != R_OK)
        return R_FAIL;
    x->to = c.to;
    x->target = c.target;
    x->made = c.made;
    claim(u, x);
    return R_OK;
}

// Parents first.
static enum result
place_chain(struct undelete *u, struct lost *x, struct fault *f)
{
    struct lost *chain[LIMIT_mailbox_depth + 1];
    size_t n = 0;
    for (; x && !x->to.p; x = x->above) {
        if (n > LIMIT_mailbox_depth)
            return fault_set(f, FAULT_LIMIT, "too many levels");
        chain[n++] = x;
    }
    while (n > 0)
        if (place_one(u, chain[--n], f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
undelete_place(struct undelete *u, struct lost *x, struct fault *f)
{
    struct lost *heir = heir_of(u, x);
    if (place_chain(u, heir, f) != R_OK)
        return R_FAIL;
    x->to = heir->to;
    x->target = heir->target;
    return R_OK;
}
