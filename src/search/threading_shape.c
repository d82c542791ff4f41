#include "search/threading_inside.h"

// Steps 2 to 6 of REFERENCES: dummies go, threads with one subject are joined, everything is sorted. All messages are sorted
// once; what is made of them in that order is sorted by itself.

static void
forget_paths(struct threading *t)
{
    for (uint32_t i = 0; i < t->node_count; i++) {
        struct threading_node *n = &t->nodes[i];
        n->up = n->left = n->right = n->children = 0;
        threading_step_done(t);
    }
}

// What a node is a child of when the dummies between are gone (step 3): a message; else the topmost dummy; 0: the root.
static uint32_t
above(struct threading *t, uint32_t node)
{
    struct threading_node *nodes = t->nodes;
    uint32_t from = nodes[node].parent, end = from;
    while (threading_is_dummy(t, end) && nodes[end].up == 0 && nodes[end].parent > 0) {
        end = nodes[end].parent;
        threading_step_done(t);
    }
    uint32_t found = nodes[end].up > 0 && threading_is_dummy(t, end) ? nodes[end].up : end;
    for (uint32_t at = from; at != end; at = nodes[at].parent)
        nodes[at].up = found;
    return found;
}

static void
prune(struct threading *t)
{
    for (uint32_t i = 0; i < t->message_count; i++) {
        struct threading_node *n = &t->nodes[t->messages[i].node];
        n->parent = above(t, t->messages[i].node);
        t->nodes[n->parent].children++;
        threading_step_done(t);
    }
    for (uint32_t i = 0; i < t->message_count; i++) {
        struct threading_node *n = &t->nodes[t->messages[i].node];
        if (threading_is_dummy(t, n->parent) && t->nodes[n->parent].children == 1)
            n->parent = 0;
        threading_step_done(t);
    }
}

// Steps 2 and 4: the nodes under the root, in the order of their (first child's) date. `left` of a dummy: its first child.
static size_t
tops(struct threading *t, const uint32_t *sorted, uint32_t *out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < t->message_count; i++) {
        uint32_t parent = t->nodes[sorted[i]].parent;
        struct threading_node *p = &t->nodes[parent];
        if (parent == 0) {
            out[n++] = sorted[i];
        } else if (threading_is_dummy(t, parent) && p->left == 0) {
            p->left = sorted[i];
            p->parent = 0;
            out[n++] = parent;
        }
        threading_step_done(t);
    }
    return n;
}

// Step 6. What has the earliest date comes first, so each one is put before those that are there.
static void
sort_children(struct threading *t, const uint32_t *sorted)
{
    for (uint32_t i = 0; i < t->node_count; i++)
        t->nodes[i].left = 0;
    for (uint32_t i = t->message_count; i-- > 0;) {
        struct threading_node *n = &t->nodes[sorted[i]];
        if (threading_is_dummy(t, n->parent) && t->nodes[n->parent].up > 0)
            n->parent = t->nodes[n->parent].up;
        n->right = t->nodes[n->parent].left;
        t->nodes[n->parent].left = sorted[i];
        threading_step_done(t);
    }
}

static void
place(struct threading *t, uint32_t top)
{
    uint32_t last = t->walk.last;
    if (t->nodes[top].placed)
        return;
    t->nodes[top].placed = true;
    t->nodes[top].right = 0;
    if (last > 0)
        t->nodes[last].right = top;
    else
        t->walk.first = top;
    t->walk.last = top;
}

// By sent date: of a dummy, that of its first child.
static void
place_by_first(struct threading *t, const uint32_t *sorted)
{
    for (uint32_t i = 0; i < t->message_count; i++) {
        uint32_t parent = t->nodes[sorted[i]].parent;
        if (parent == 0)
            place(t, sorted[i]);
        else if (threading_is_dummy(t, parent))
            place(t, parent);
        threading_step_done(t);
    }
}

// The thread a message is in; `up` of the messages above it remembers it.
static uint32_t
top_of(struct threading *t, uint32_t node)
{
    struct threading_node *nodes = t->nodes;
    uint32_t end = node;
    while (nodes[end].up == 0 && nodes[end].parent > 0) {
        end = nodes[end].parent;
        threading_step_done(t);
    }
    uint32_t top = nodes[end].up > 0 ? nodes[end].up : end;
    for (uint32_t at = node; at != end; at = nodes[at].parent)
        nodes[at].up = top;
    return top;
}

// REFS: the thread that got the latest message is the last one. Marks each thread's latest message, then follows the marks.
static enum result
place_by_latest(struct threading *t, struct fault *f)
{
    uint32_t *arrived;
    if (threading_sort(t, THREADING_ARRIVED, &arrived, f) != R_OK)
        return R_FAIL;
    for (uint32_t i = t->message_count; i-- > 0;) {
        uint32_t top = top_of(t, arrived[i]);
        arrived[i] = t->nodes[top].placed ? 0 : top;
        t->nodes[top].placed = true;
        threading_step_done(t);
    }
    for (uint32_t i = 0; i < t->message_count; i++) {
        t->nodes[arrived[i]].placed = false;
        if (arrived[i] > 0)
            place(t, arrived[i]);
        threading_step_done(t);
    }
    return R_OK;
}

static enum result
join(struct threading *t, const uint32_t *sorted, struct fault *f)
{
    uint32_t *out;
    if (t->kind == THREADING_SUBJECT)
        return threading_group(t, sorted, f);
    forget_paths(t);
    prune(t);
    if (threading_array(t, t->message_count, sizeof *out, &out, f) != R_OK)
        return R_FAIL;
    size_t n = tops(t, sorted, out);
    return t->kind == THREADING_REFERENCES ? threading_join(t, out, n, f) : R_OK;
}

enum result
threading_build(struct threading *t, struct fault *f)
{
    uint32_t *sorted;
    if (t->message_count == 0)
        return R_OK;
    if (threading_settle(t, f) != R_OK ||
        threading_sort(t, THREADING_SENT, &sorted, f) != R_OK || join(t, sorted, f) != R_OK)
        return R_FAIL;
    sort_children(t, sorted);
    if (t->kind == THREADING_REFS)
        return place_by_latest(t, f);
    place_by_first(t, sorted);
    return R_OK;
}

// ---- the walk ----

static bool
is_only_child(const struct threading *t, uint32_t node)
{
    const struct threading_node *n = &t->nodes[node];
    return n->parent > 0 && n->right == 0 && t->nodes[n->parent].left == node;
}

static enum threading_step
walk_to(struct threading *t, uint32_t node)
{
    t->walk.at = node;
    t->walk.phase = node > 0 ? WALK_ENTER : WALK_BEGIN;
    return node > 0 ? THREADING_OPEN : THREADING_END;
}

// One child follows in the same parentheses, several have their own. True: there are several.
static bool
walk_below(struct threading *t)
{
    uint32_t child = t->nodes[t->walk.at].left;
    bool several = child > 0 && t->nodes[child].right > 0;
    if (child > 0 && !several)
        t->walk.at = child;
    t->walk.phase = child > 0 ? WALK_ENTER : WALK_LEAVE;
    return several;
}

// Up to where parentheses close.
static void
walk_leave(struct threading *t)
{
    while (is_only_child(t, t->walk.at)) {
        t->walk.at = t->nodes[t->walk.at].parent;
        threading_step_done(t);
    }
    t->walk.phase = WALK_BESIDE;
}

enum threading_step
threading_next(struct threading *t, uint32_t *number_out)
{
    for (;;) {
        const struct threading_node *n = t->nodes + t->walk.at;
        switch (t->walk.phase) {
        case WALK_BEGIN:
            return walk_to(t, t->walk.first);
        case WALK_ENTER:
            t->walk.phase = WALK_BELOW;
            if (n->message == 0)
                break;
            *number_out = t->messages[n->message - 1].number;
            return THREADING_MEMBER;
        case WALK_BELOW:
            if (walk_below(t))
                return walk_to(t, n->left);
            break;
        case WALK_LEAVE:
            walk_leave(t);
            return THREADING_CLOSE;
        default:
            if (n->right > 0 || n->parent == 0)
                return walk_to(t, n->right);
            t->walk.at = n->parent;
            t->walk.phase = WALK_LEAVE;
        }
    }
}
