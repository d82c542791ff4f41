#include "search/threading_inside.h"

// Threads of one subject: step 5 of REFERENCES, and ORDEREDSUBJECT.

struct subject_slot {
    uint32_t message;  // 1 + place of one that has the subject; 0: free
    uint32_t node;     // the node in the RFC's subject table
};

struct subjects {
    struct threading *t;
    struct subject_slot *slots;
    uint32_t mask;
};

static enum result
subjects_init(struct subjects *s, struct threading *t, size_t n, struct fault *f)
{
    size_t size = 16;
    while (size < n * 2)
        size *= 2;
    *s = (struct subjects){.t = t, .mask = (uint32_t)(size - 1)};
    return threading_array(t, size, sizeof *s->slots, &s->slots, f);
}

// The slot of the message's subject; a free one becomes its own.
static struct subject_slot *
slot_of(struct subjects *s, uint32_t message)
{
    const struct threading_entry *m = &s->t->messages[message - 1];
    uint32_t i = (uint32_t)m->subject.part[0] & s->mask;
    while (s->slots[i].message > 0 &&
           memcmp(&s->t->messages[s->slots[i].message - 1].subject, &m->subject,
                  sizeof m->subject) != 0)
        i = (i + 1) & s->mask;
    s->slots[i].message = message;
    return &s->slots[i];
}

// Step 5.B.i: the message whose subject is the thread's.
static uint32_t
first_of(const struct threading *t, uint32_t node)
{
    const struct threading_node *n = &t->nodes[node];
    return n->message > 0 ? n->message : t->nodes[n->left].message;
}

// NULL: the thread has no subject.
static struct subject_slot *
slot_of_thread(struct subjects *s, uint32_t node)
{
    uint32_t message = first_of(s->t, node);
    return s->t->messages[message - 1].has_subject ? slot_of(s, message) : NULL;
}

static bool
is_reply(const struct threading *t, uint32_t node)
{
    uint32_t message = t->nodes[node].message;
    return message > 0 && t->messages[message - 1].reply;
}

// Step 5.B.iv.
static void
populate(struct subjects *s, uint32_t node)
{
    const struct threading *t = s->t;
    struct subject_slot *slot = slot_of_thread(s, node);
    if (!slot)
        return;
    uint32_t there = slot->node;
    if (there == 0 ||
        (!threading_is_dummy(t, there) &&
         (threading_is_dummy(t, node) || (is_reply(t, there) && !is_reply(t, node)))))
        slot->node = node;
}

// Step 5.C.
static enum result
merge(struct subjects *s, uint32_t node, struct fault *f)
{
    struct threading *t = s->t;
    struct subject_slot *slot = slot_of_thread(s, node);
    uint32_t dummy;
    // it may have been given its parent together with an earlier one
    if (!slot || slot->node == node || t->nodes[node].parent > 0)
        return R_OK;
    if (threading_is_dummy(t, node)) {  // then the other one is a dummy too, by step 5.B
        t->nodes[node].up = slot->node;
        return R_OK;
    }
    if (threading_is_dummy(t, slot->node) ||
        (is_reply(t, node) && !is_reply(t, slot->node))) {
        t->nodes[node].parent = slot->node;
        return R_OK;
    }
    if (threading_node_new(t, &dummy, f) != R_OK)
        return R_FAIL;
    t->nodes[node].parent = t->nodes[slot->node].parent = dummy;
    slot->node = dummy;
    return R_OK;
}

enum result
threading_join(struct threading *t, const uint32_t *tops, size_t n, struct fault *f)
{
    struct subjects s;
    if (subjects_init(&s, t, n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        populate(&s, tops[i]);
        threading_step_done(t);
    }
    for (size_t i = 0; i < n; i++) {
        if (merge(&s, tops[i], f) != R_OK)
            return R_FAIL;
        threading_step_done(t);
    }
    return R_OK;
}

enum result
threading_group(struct threading *t, const uint32_t *nodes, struct fault *f)
{
    struct subjects s;
    if (subjects_init(&s, t, t->message_count, f) != R_OK)
        return R_FAIL;
    for (uint32_t i = 0; i < t->message_count; i++) {
        struct subject_slot *slot = slot_of(&s, t->nodes[nodes[i]].message);
        if (slot->node == 0)
            slot->node = nodes[i];
        else
            t->nodes[nodes[i]].parent = slot->node;
        threading_step_done(t);
    }
    return R_OK;
}
