#ifndef STORE_GENERATOR_H
#define STORE_GENERATOR_H

// Tests only: random but valid records of one account, with absolute outcomes taken from a state that keeps
// everything. Feed each to whatever is tested, then apply it with generator_apply.
// Owner: the test. Threads: one.

#include "store/state_inside.h"

struct generator {
    struct state *state;  // the model: what all records so far fold to
    uint64_t seed, modseq, id;
    uint32_t mailboxes_max;
    enum record_type type;  // the record made last
    struct buf meta;
};

void generator_init(struct generator *g, uint64_t account, uint64_t seed);
void generator_done(struct generator *g);
// Makes the next record in g->type and g->meta.
void generator_next(struct generator *g);
void generator_apply(struct generator *g, struct record_place place);
uint64_t generator_random(struct generator *g, uint64_t below);

// Everything of a state as text, sorted: two equal states give equal text. Tables that are not loaded are left
// out of both by `tables`.
void generator_dump(struct state *s, bool tables, struct buf *out);

#endif
