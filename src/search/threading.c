#include "search/threading_inside.h"

#include "mime/message_id.h"

#include <stdlib.h>

// Ids, and step 1 of REFERENCES: each message is linked below what it refers to.

enum { BUCKETS = 1024, BUCKETS_AT_FIRST = 1 << 20, ROOM = 1024, NUMBERS_MAX = 1 << 30 };

// ---- memory ----

static void
end(void *arg)
{
    struct threading *t = arg;
    free(t->node_room.p);
    free(t->message_room.p);
    free(t->id_room.p);
    free(t->found_room.p);
    for (size_t i = 0; i < THREADING_SEGMENTS; i++)
        free(t->segments[i]);
    for (size_t i = 0; i < t->array_count; i++)
        free(t->arrays[i]);
    search_ledger_give(t->ledger, t->charged);
}

static enum result
charge(struct threading *t, size_t octets, struct fault *f)
{
    if (search_ledger_take(t->ledger, octets, f) != R_OK)
        return R_FAIL;
    t->charged += octets;
    return R_OK;
}

enum result
threading_array(struct threading *t, size_t count, size_t size, void *array_out,
                struct fault *f)
{
    must(t->array_count < THREADING_ARRAYS);
    if (charge(t, count * size, f) != R_OK)
        return R_FAIL;
    void *p = calloc(count + 1, size);
    must(p != NULL);
    t->arrays[t->array_count++] = p;
    memcpy(array_out, &p, sizeof p);
    return R_OK;
}

// Room for one more behind `n`.
static enum result
grow(struct threading *t, struct threading_room *room, size_t n, struct fault *f)
{
    if (n < room->cap)
        return R_OK;
    if (n >= NUMBERS_MAX)
        return fault_set(f, FAULT_LIMIT, "too many messages to thread");
    size_t cap = room->cap + room->cap / 2 + ROOM;
    if (charge(t, (cap - room->cap) * room->item, f) != R_OK)
        return R_FAIL;
    void *p = realloc(room->p, cap * room->item);
    must(p != NULL);
    room->p = p;
    room->cap = cap;
    return R_OK;
}

enum result
threading_node_new(struct threading *t, uint32_t *node_out, struct fault *f)
{
    if (grow(t, &t->node_room, t->node_count, f) != R_OK)
        return R_FAIL;
    t->nodes = t->node_room.p;
    t->nodes[t->node_count] = (struct threading_node){0};
    *node_out = t->node_count++;
    return R_OK;
}

struct threading *
threading_new(enum threading_kind kind, uint64_t messages, struct search_ledger *ledger,
              struct arena *a)
{
    struct threading *t = ARENA_NEW(a, struct threading);
    t->kind = kind;
    t->ledger = ledger;
    t->first = BUCKETS;
    while (t->first < messages && t->first < BUCKETS_AT_FIRST)
        t->first *= 2;
    t->node_room.item = sizeof *t->nodes;
    t->message_room.item = sizeof *t->messages;
    t->id_room.item = sizeof *t->ids;
    t->found_room.item = sizeof(uint32_t);
    arena_on_end(a, end, t);
    return t;
}

// ---- ids ----

static uint32_t *
bucket_at(struct threading *t, uint32_t i)
{
    uint32_t segment = i < t->first ? 0 : 32 - (uint32_t)__builtin_clz(i / t->first);
    uint32_t first = segment > 0 ? t->first << (segment - 1) : 0;
    return &t->segments[segment][i - first];
}

static uint32_t *
bucket_of(struct threading *t, const struct hash_wide *id)
{
    uint32_t i = (uint32_t)id->part[0] & (t->base * 2 - 1);
    return bucket_at(t, i < t->bucket_count ? i : i - t->base);
}

static enum result
segment_new(struct threading *t, uint32_t segment, struct fault *f)
{
    size_t n = segment > 0 ? (size_t)t->first << (segment - 1) : t->first;
    if (charge(t, n * sizeof(uint32_t), f) != R_OK)
        return R_FAIL;
    t->segments[segment] = calloc(n, sizeof(uint32_t));
    must(t->segments[segment] != NULL);
    return R_OK;
}

// Moves what belongs to the new bucket out of the one that it splits.
static void
split(struct threading *t)
{
    uint32_t *from = bucket_at(t, t->bucket_count - t->base),
             *to = bucket_at(t, t->bucket_count);
    t->bucket_count++;
    for (uint32_t *at = from; *at > 0;) {
        struct threading_node *n = &t->nodes[*at];
        if (!(n->id.part[0] & t->base)) {
            at = &n->chain;
            continue;
        }
        uint32_t moved = *at;
        *at = n->chain;
        n->chain = *to;
        *to = moved;
    }
}

static enum result
bucket_add(struct threading *t, struct fault *f)
{
    if (t->bucket_count == 0) {
        t->base = t->bucket_count = t->first;
        return segment_new(t, 0, f);
    }
    if (t->bucket_count == t->base * 2)
        t->base *= 2;
    if (t->bucket_count == t->base) {
        uint32_t segment = 32 - (uint32_t)__builtin_clz(t->base / t->first);
        if (segment_new(t, segment, f) != R_OK)
            return R_FAIL;
    }
    split(t);
    return R_OK;
}

// The node of an id; a new dummy when it was not met yet.
static enum result
node_of(struct threading *t, const struct hash_wide *id, uint32_t *node_out,
        struct fault *f)
{
    uint32_t node;
    if (t->node_count >= t->bucket_count && bucket_add(t, f) != R_OK)
        return R_FAIL;
    uint32_t *bucket = bucket_of(t, id);
    for (node = *bucket; node > 0; node = t->nodes[node].chain)
        if (memcmp(&t->nodes[node].id, id, sizeof *id) == 0)
            break;
    if (node == 0) {
        if (threading_node_new(t, &node, f) != R_OK)
            return R_FAIL;
        t->nodes[node].id = *id;
        t->nodes[node].chain = *bucket;
        *bucket = node;
    }
    *node_out = node;
    return R_OK;
}

// The nodes of all ids that are not settled. Each is a walk through memory that nothing has touched lately, so the next
// ones are sent for ahead.
static enum result
find_nodes(struct threading *t, struct fault *f)
{
    enum { BUCKET_AHEAD = 16, NODE_AHEAD = 8 };
    if (t->bucket_count == 0 && bucket_add(t, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < t->id_count; i++) {
        if (i + BUCKET_AHEAD < t->id_count)
            __builtin_prefetch(bucket_of(t, &t->ids[i + BUCKET_AHEAD]));
        if (i + NODE_AHEAD < t->id_count)
            __builtin_prefetch(&t->nodes[*bucket_of(t, &t->ids[i + NODE_AHEAD])]);
        if (grow(t, &t->found_room, i, f) != R_OK)
            return R_FAIL;
        if (node_of(t, &t->ids[i], (uint32_t *)t->found_room.p + i, f) != R_OK)
            return R_FAIL;
        threading_step_done(t);
    }
    return R_OK;
}

// ---- what is added ----

// Ids that are not valid are not there (RFC 5256 section 3). R_NONE: it is not.
static enum result
add_id(struct threading *t, struct span text, struct fault *f)
{
    if (!mime_message_id_valid(text))
        return R_NONE;
    if (grow(t, &t->id_room, t->id_count, f) != R_OK)
        return R_FAIL;
    t->ids = t->id_room.p;
    t->ids[t->id_count++] = hash_keyed_wide(text);
    return R_OK;
}

static enum result
add_ids(struct threading *t, struct span ids, uint32_t *count_out, struct fault *f)
{
    struct span ref;
    while (span_next_field(&ids, '\0', &ref) == R_OK) {
        enum result r = add_id(t, ref, f);
        if (r == R_FAIL)
            return R_FAIL;
        *count_out += r == R_OK;
    }
    return R_OK;
}

static enum result
add_all_ids(struct threading *t, const struct threading_message *m,
            struct threading_entry *e, struct fault *f)
{
    enum result r = add_id(t, m->message_id, f);
    e->has_id = r == R_OK;
    if (r == R_FAIL || add_ids(t, m->references, &e->references, f) != R_OK)
        return R_FAIL;
    return e->references > 0 ? R_OK : add_ids(t, m->in_reply_to, &e->references, f);
}

enum result
threading_add(struct threading *t, const struct threading_message *m, struct fault *f)
{
    struct threading_entry e = {
        .sent_s = m->sent_s,
        .arrived_s = m->arrived_s,
        .has_subject = m->subject.n > 0,
        .number = m->number,
        .reply = m->reply,
    };
    if (t->kind != THREADING_REFS)
        e.subject = hash_keyed_wide(m->subject);
    if (t->kind != THREADING_SUBJECT && add_all_ids(t, m, &e, f) != R_OK)
        return R_FAIL;
    if (grow(t, &t->message_room, t->message_count, f) != R_OK)
        return R_FAIL;
    t->messages = t->message_room.p;
    t->messages[t->message_count++] = e;
    return R_OK;
}

// ---- step 1 ----

// The first message of an id has it, each later one an id of its own.
static enum result
take_node(struct threading *t, uint32_t message, uint32_t by_id, struct fault *f)
{
    uint32_t node = by_id;
    if ((node == 0 || !threading_is_dummy(t, node)) &&
        threading_node_new(t, &node, f) != R_OK)
        return R_FAIL;
    t->messages[message].node = node;
    t->nodes[node].message = message + 1;
    return R_OK;
}

static void
link_message(struct threading *t, uint32_t node, struct threading_nodes refs)
{
    uint32_t parent = 0;
    for (uint32_t i = 0; i < refs.n; i++) {
        if (parent > 0 && t->nodes[refs.p[i]].parent == 0)
            threading_link(t, parent, refs.p[i]);
        parent = refs.p[i];
        threading_step_done(t);
    }
    if (t->nodes[node].parent == parent)
        return;
    if (t->nodes[node].parent > 0)
        threading_cut(t, node);
    if (parent > 0)
        threading_link(t, parent, node);
}

enum result
threading_settle(struct threading *t, struct fault *f)
{
    uint32_t none;
    if (t->node_count == 0 && threading_node_new(t, &none, f) != R_OK)
        return R_FAIL;
    if (t->id_count > 0 && find_nodes(t, f) != R_OK)
        return R_FAIL;
    const uint32_t *id = t->found_room.p;
    for (; t->settled < t->message_count; t->settled++) {
        const struct threading_entry *e = &t->messages[t->settled];
        if (take_node(t, t->settled, e->has_id ? *id : 0, f) != R_OK)
            return R_FAIL;
        id += e->has_id ? 1 : 0;
        link_message(t, e->node, (struct threading_nodes){id, e->references});
        id += e->references;
        threading_step_done(t);
    }
    t->id_count = 0;
    return R_OK;
}

// ---- messages whose nodes are known ----

enum result
threading_nodes_reserve(struct threading *t, uint32_t n, uint32_t messages, struct fault *f)
{
    struct threading_room *rooms[] = {&t->node_room, &t->message_room};
    const size_t counts[] = {(size_t)n + messages / 16 + ROOM, messages};
    for (unsigned i = 0; i < 2; i++) {
        if (charge(t, counts[i] * rooms[i]->item, f) != R_OK)
            return R_FAIL;
        rooms[i]->p = calloc(counts[i] + 1, rooms[i]->item);
        must(rooms[i]->p != NULL);
        rooms[i]->cap = counts[i];
    }
    t->nodes = t->node_room.p;
    t->messages = t->message_room.p;
    t->node_count = n + 1;
    return R_OK;
}

enum result
threading_place(struct threading *t, const struct threading_entry *e, uint32_t by_id,
                struct threading_nodes references, struct fault *f)
{
    if (grow(t, &t->message_room, t->message_count, f) != R_OK)
        return R_FAIL;
    t->messages = t->message_room.p;
    t->messages[t->message_count] = *e;
    if (take_node(t, t->message_count, by_id, f) != R_OK)
        return R_FAIL;
    link_message(t, t->messages[t->message_count].node, references);
    t->settled = ++t->message_count;
    threading_step_done(t);
    return R_OK;
}
