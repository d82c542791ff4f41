#include "auth/resolve.h"
#include "auth/user_key.h"

// An address on the way; who leads to it is its parent.
struct node {
    struct node *next, *parent;
    struct span address, key;   // as it came; as it is compared
    struct span detail;         // that an entry was reached with
    struct node *before;        // the one that was here first
    struct resolve_target own;  // a user's who has a forward
    unsigned depth;
    bool forwards, arrives;  // some mailbox or somebody elsewhere gets it
};

struct walk {
    const struct resolve *how;
    struct node *first, **end;
    size_t nodes;
    struct resolve_target *targets;
    size_t n, room;
    bool looped;
};

static void
tell(const struct walk *w, const struct node *node, enum resolve_step step, struct span to)
{
    if (w->how->step)
        w->how->step(w->how->arg, node->address, step, to);
}

// ---- targets ----

static bool
has_target(const struct walk *w, const struct resolve_target *t)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->targets[i].account == t->account && span_eq(w->targets[i].name, t->name) &&
            span_eq(w->targets[i].detail, t->detail))
            return true;
    return false;
}

static void
grow(struct walk *w)
{
    size_t room = w->room > 0 ? 2 * w->room : 4;
    struct resolve_target *more = arena_array(w->how->arena, room, sizeof *more);
    if (w->n > 0)
        memcpy(more, w->targets, w->n * sizeof *more);
    w->targets = more;
    w->room = room;
}

static void
add_target(struct walk *w, struct node *node, const struct resolve_target *t)
{
    for (struct node *up = node; up && !up->arrives; up = up->parent)
        up->arrives = true;
    if (has_target(w, t))
        return;
    if (w->n == w->room)
        grow(w);
    w->targets[w->n++] = *t;
}

// ---- the way ----

// The form that is compared. What has none, with a detail too long for a name, stays as it is.
static struct span
key_of(struct arena *a, struct span address)
{
    struct name name;
    struct fault f;
    return arena_dup(a, name_of(address, &name, &f) == R_OK ? name_span(&name) : address);
}

static enum result
add_node(struct walk *w, struct node *parent, struct span address, struct span detail,
         struct fault *f)
{
    unsigned depth = parent ? parent->depth + 1 : 0;
    struct span root = w->first ? w->first->address : address;
    if (depth > LIMIT_address_depth)
        return fault_set(f, FAULT_LIMIT, "'%.*s' is more than %d steps away",
                         SPAN_ARG(span_slice(address, 0, 100)), LIMIT_address_depth);
    if (w->nodes == LIMIT_address_steps)
        return fault_set(f, FAULT_LIMIT, "'%.*s' leads to more than %d addresses",
                         SPAN_ARG(span_slice(root, 0, 100)), LIMIT_address_steps);
    struct node *node = ARENA_NEW(w->how->arena, struct node);
    node->parent = parent;
    node->address = address;
    node->key = key_of(w->how->arena, address);
    node->detail = detail;
    node->depth = depth;
    *w->end = node;
    w->end = &node->next;
    w->nodes++;
    return R_OK;
}

// "ann+lists@x.org", with the first of the delimiters.
static struct span
with_detail(const struct walk *w, struct span address, struct span detail)
{
    struct buf b;
    struct span delimiters = w->how->rules->delimiters, domain = address_domain(address);
    if (detail.n == 0 || delimiters.n == 0)
        return address;
    buf_init(&b, SIZE_MAX);
    buf_put(&b, address_local(address));
    buf_put_char(&b, delimiters.p[0]);
    buf_put(&b, detail);
    if (domain.p) {
        buf_put_char(&b, '@');
        buf_put(&b, domain);
    }
    struct span whole = arena_dup(w->how->arena, buf_span(&b));
    buf_done(&b);
    return whole;
}

// Was it there already? On the way here: a loop, unless it is a user, who gets what comes back.
static bool
is_known(struct walk *w, struct node *node)
{
    for (const struct node *up = node->parent; up; up = up->parent) {
        if (!span_eq(up->key, node->key))
            continue;
        if (up->forwards)
            return false;
        w->looped = true;
        tell(w, node, STEP_LOOP, SPAN_NONE);
        return true;
    }
    for (struct node *before = w->first; before != node; before = before->next)
        if (span_eq(before->key, node->key) && span_eq(before->detail, node->detail)) {
            node->before = before;
            tell(w, node, STEP_AGAIN, SPAN_NONE);
            return true;
        }
    return false;
}

// ---- users and their forwards ----

static bool
came_from(const struct node *node, uint64_t account)
{
    for (const struct node *up = node->parent; up; up = up->parent)
        if (up->forwards && up->own.account == account)
            return true;
    return false;
}

static enum result
follow_forward(struct walk *w, struct node *node, struct span list, struct fault *f)
{
    struct span rest = arena_dup(w->how->arena, list), to;
    enum result r = R_OK;
    while (r == R_OK && span_next_field(&rest, ' ', &to) == R_OK)
        if (to.n > 0)
            r = add_node(w, node, to, SPAN(""), f);
    return r;
}

static enum result
visit_user(struct walk *w, struct node *node, const struct lookup_found *found,
           struct fault *f)
{
    struct arena *a = w->how->arena;
    struct user_keys keys = {.keep = true};
    node->own = (struct resolve_target){
        .account = found->user.account,
        .name = arena_dup(a, name_span(&found->user.name)),
        .detail = arena_dup(a, found->detail.n > 0 ? found->detail : node->detail),
    };
    tell(w, node, STEP_USER, node->own.name);
    if (w->how->wish == RESOLVE_ALL &&
        user_keys_get(w->how->db, found->user.account, &keys, f) != R_OK)
        return R_FAIL;
    struct span forward = span_str(keys.forward);
    bool back = came_from(node, found->user.account);
    if (forward.n == 0 || keys.keep || back)
        add_target(w, node, &node->own);
    if (forward.n == 0 || back)
        return R_OK;
    node->forwards = true;
    node->key = node->own.name;
    tell(w, node, STEP_FORWARD, forward);
    return follow_forward(w, node, forward, f);
}

// Of two who send their mail to each other, or to nobody, each keeps it.
static void
keep_what_is_lost(struct walk *w)
{
    for (bool more = true; more;) {
        more = false;
        for (struct node *n = w->first; n; n = n->next)
            if (n->before && n->before->arrives && !n->arrives) {
                for (struct node *up = n; up && !up->arrives; up = up->parent)
                    up->arrives = true;
                more = true;
            }
    }
    for (struct node *n = w->first; n; n = n->next)
        if (n->forwards && !n->arrives)
            add_target(w, n, &n->own);
}

// ---- entries ----

static struct span
moved(const struct walk *w, struct span address, struct span domain)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_put(&b, address_local(address));
    buf_put(&b, domain);
    struct span to = arena_dup(w->how->arena, buf_span(&b));
    buf_done(&b);
    return to;
}

static enum resolve_step
step_of(enum lookup_kind kind, struct span target)
{
    if (kind == LOOKUP_ALIAS)
        return STEP_ALIAS;
    return address_is_domain(target) ? STEP_DOMAIN : STEP_CATCH_ALL;
}

static enum result
visit_entry(struct walk *w, struct node *node, const struct lookup_found *found,
            struct fault *f)
{
    struct address_row *rows = NULL;
    size_t n = 0;
    struct span entry = name_span(&found->entry);
    struct span detail =
        arena_dup(w->how->arena, found->detail.n > 0 ? found->detail : node->detail);
    enum result r = address_rows(w->how->db, entry, w->how->arena, &rows, &n, f);
    if (r == R_OK)
        tell(w, node, step_of(found->kind, rows[0].target), entry);
    for (size_t i = 0; r == R_OK && i < n; i++) {
        if (w->how->wish == RESOLVE_SENDERS && !rows[i].send)
            continue;
        struct span to = address_is_domain(rows[i].target)
                             ? moved(w, node->address, rows[i].target)
                             : rows[i].target;
        r = add_node(w, node, to, detail, f);
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

static void
visit_remote(struct walk *w, struct node *node)
{
    tell(w, node, STEP_REMOTE, SPAN_NONE);
    if (!node->parent || w->how->wish == RESOLVE_SENDERS)
        return;
    struct resolve_target t = {.name = with_detail(w, node->address, node->detail),
                               .detail = SPAN("")};
    add_target(w, node, &t);
}

static enum result
visit(struct walk *w, struct node *node, struct fault *f)
{
    struct lookup_found found;
    if (is_known(w, node))
        return R_OK;
    if (lookup_address(w->how->db, w->how->rules, node->address, &found, f) != R_OK)
        return R_FAIL;
    switch (found.kind) {
    case LOOKUP_USER:
        return visit_user(w, node, &found, f);
    case LOOKUP_REMOTE:
        visit_remote(w, node);
        return R_OK;
    case LOOKUP_DISABLED:
        tell(w, node, STEP_DISABLED, SPAN_NONE);
        return R_OK;
    case LOOKUP_UNKNOWN:
        tell(w, node, STEP_UNKNOWN, SPAN_NONE);
        return R_OK;
    default:
        return visit_entry(w, node, &found, f);
    }
}

static enum result
outcome(const struct walk *w, struct fault *f)
{
    if (w->n > 0)
        return R_OK;
    return w->looped ? fault_set(f, FAULT_UNAVAILABLE, "'%.*s' goes round in a circle",
                                 SPAN_ARG(span_slice(w->first->address, 0, 100)))
                     : R_NONE;
}

enum result
resolve_address(const struct resolve *how, struct span address,
                struct resolve_target **targets_out, size_t *n_out, struct fault *f)
{
    struct walk w = {.how = how};
    w.end = &w.first;
    enum result r = add_node(&w, NULL, arena_dup(how->arena, address), SPAN(""), f);
    for (struct node *node = w.first; node && r == R_OK; node = node->next)
        r = visit(&w, node, f);
    if (r != R_OK)
        return R_FAIL;
    keep_what_is_lost(&w);
    r = outcome(&w, f);
    if (r != R_OK)
        return r;
    *targets_out = w.targets;
    *n_out = w.n;
    return R_OK;
}
