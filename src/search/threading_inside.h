#ifndef SEARCH_THREADING_INSIDE_H
#define SEARCH_THREADING_INSIDE_H

// The parts of threading. Nodes are the messages of the RFC, dummies included; they are numbered from 1, 0 is none.
// Only files of search/ include this.

#include "base/hash.h"
#include "io/task.h"
#include "search/threading.h"

struct threading_node {
    struct hash_wide id;  // not of messages with a unique id
    uint32_t chain;       // the next one in the bucket
    uint32_t parent;
    // While links are made: the node's place in the splay tree of its path. Afterwards `up` is what a dummy gave way to, or
    // the thread a message is in; `left` the first child, `right` the next sibling.
    uint32_t up, left, right;
    uint32_t message;  // 1 + its place in messages; 0: a dummy
    uint32_t children;
    bool placed;  // it is in the list of threads
};

struct threading_entry {
    int64_t sent_s, arrived_s;
    struct hash_wide subject;
    uint32_t number, node;
    uint32_t references;  // how many of the ids not settled yet, behind its own
    bool reply, has_subject, has_id;
};

struct threading_nodes {
    const uint32_t *p;
    uint32_t n;
};

// An array that grows.
struct threading_room {
    void *p;
    size_t cap, item;
};

enum { THREADING_SEGMENTS = 24, THREADING_ARRAYS = 8 };

struct threading {
    enum threading_kind kind;
    struct threading_node *nodes;      // node_room.p
    struct threading_entry *messages;  // message_room.p
    uint32_t node_count, message_count;
    struct threading_room node_room, message_room, id_room;
    struct threading_room found_room;  // nodes of `ids`
    struct hash_wide *ids;  // id_room.p: of the messages that are not settled yet
    size_t id_count;
    uint32_t settled;  // messages
    // Ids to nodes by linear hashing: each new id splits one bucket, so that no message waits for a table to grow.
    uint32_t *segments[THREADING_SEGMENTS];
    // first: as many as at first; base: as before the doubling under way
    uint32_t bucket_count, first, base;
    void *arrays[THREADING_ARRAYS];
    struct search_ledger *ledger;
    size_t array_count, charged;
    uint32_t steps;  // since the last yield
    struct {
        uint32_t first, last;  // of the threads, which `right` joins
        uint32_t at;
        enum { WALK_BEGIN, WALK_ENTER, WALK_BELOW, WALK_LEAVE, WALK_BESIDE } phase;
    } walk;
};

// Zeroed; ends with the threading. *array_out is a pointer.
enum result threading_array(struct threading *t, size_t count, size_t size, void *array_out,
                            struct fault *f) MUST_CHECK;
// A new dummy; t->nodes may move.
enum result threading_node_new(struct threading *t, uint32_t *node_out,
                               struct fault *f) MUST_CHECK;

// Dummies with the numbers 1 to n, and room for the messages. Before any other.
enum result threading_nodes_reserve(struct threading *t, uint32_t n, uint32_t messages,
                                    struct fault *f) MUST_CHECK;
// Suspends. Step 1 of REFERENCES for one message: `by_id` is the node of its id, 0: it has none.
enum result threading_place(struct threading *t, const struct threading_entry *e,
                            uint32_t by_id, struct threading_nodes references,
                            struct fault *f) MUST_CHECK;
// Suspends. Makes `parent` the parent of `child`, which has none, unless that makes a loop.
void threading_link(struct threading *t, uint32_t parent, uint32_t child);
void threading_cut(struct threading *t, uint32_t child);

enum threading_date { THREADING_SENT, THREADING_ARRIVED };
// Suspends. The nodes of the messages by date, and then by their order.
enum result threading_sort(struct threading *t, enum threading_date date,
                           uint32_t **nodes_out, struct fault *f) MUST_CHECK;
// Suspends. Step 5 of REFERENCES: joins threads with the same subject. `tops`: the nodes under the root, in order; `left`
// of a dummy is its first child.
enum result threading_join(struct threading *t, const uint32_t *tops, size_t n,
                           struct fault *f) MUST_CHECK;
// The same for ORDEREDSUBJECT: each of `nodes` goes under the first one with its subject.
enum result threading_group(struct threading *t, const uint32_t *nodes,
                            struct fault *f) MUST_CHECK;

static inline bool
threading_is_dummy(const struct threading *t, uint32_t node)
{
    return t->nodes[node].message == 0;
}

// Suspends. Called once for each step that takes some ten nanoseconds.
static inline void
threading_step_done(struct threading *t)
{
    if (++t->steps % 512 == 0)
        task_yield();
}

#endif
