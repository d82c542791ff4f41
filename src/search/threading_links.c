#include "search/threading_inside.h"

// Links without loops. Whether a link would make a loop is whether the parent's root is the child: the roots of a changing
// forest are found by a link-cut tree (Sleator and Tarjan 1983), in O(log n) each on the average, however deep the
// threads are. Each tree is cut into paths; a path is a splay tree ordered by depth (left is nearer to the root);
// the splay root's `up` leads to the parent of the path's top.

static bool
is_top(const struct threading_node *nodes, uint32_t x)
{
    uint32_t up = nodes[x].up;
    return up == 0 || (nodes[up].left != x && nodes[up].right != x);
}

static void
rotate(struct threading_node *nodes, uint32_t x)
{
    uint32_t p = nodes[x].up, g = nodes[p].up;
    bool top = is_top(nodes, p), left = nodes[p].left == x;
    uint32_t moved = left ? nodes[x].right : nodes[x].left;
    *(left ? &nodes[p].left : &nodes[p].right) = moved;
    if (moved > 0)
        nodes[moved].up = p;
    *(left ? &nodes[x].right : &nodes[x].left) = p;
    nodes[p].up = x;
    nodes[x].up = g;
    if (!top)
        *(nodes[g].left == p ? &nodes[g].left : &nodes[g].right) = x;
}

static void
splay(struct threading *t, uint32_t x)
{
    struct threading_node *nodes = t->nodes;
    while (!is_top(nodes, x)) {
        uint32_t p = nodes[x].up, g = nodes[p].up;
        if (!is_top(nodes, p))
            rotate(nodes, (nodes[g].left == p) == (nodes[p].left == x) ? p : x);
        rotate(nodes, x);
        threading_step_done(t);
    }
}

// Makes the path from the root to x one splay tree with x on top.
static void
expose(struct threading *t, uint32_t x)
{
    uint32_t below = 0;
    for (uint32_t at = x; at > 0; at = t->nodes[at].up) {
        splay(t, at);
        t->nodes[at].right = below;
        below = at;
        threading_step_done(t);
    }
    splay(t, x);
}

static uint32_t
root_of(struct threading *t, uint32_t x)
{
    expose(t, x);
    while (t->nodes[x].left > 0) {
        x = t->nodes[x].left;
        threading_step_done(t);
    }
    splay(t, x);
    return x;
}

void
threading_link(struct threading *t, uint32_t parent, uint32_t child)
{
    struct threading_node *nodes = t->nodes;
    if (parent == child)
        return;
    if (nodes[child].children > 0) {  // else nothing is below it
        if (root_of(t, parent) == child)
            return;
        expose(t, parent);
    }
    expose(t, child);
    nodes[child].up = nodes[child].parent = parent;
    nodes[parent].children++;
}

void
threading_cut(struct threading *t, uint32_t child)
{
    struct threading_node *nodes = t->nodes;
    expose(t, child);
    nodes[nodes[child].left].up = 0;
    nodes[child].left = 0;
    nodes[nodes[child].parent].children--;
    nodes[child].parent = 0;
}
