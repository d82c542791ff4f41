#ifndef IMAP_CONTEXT_ORDER_H
#define IMAP_CONTEXT_ORDER_H

// The order of a sorted result that is followed (RFC 5267 sections 4.3.3 and 4.3.4): where messages leave it, and where they
// come to it. It remembers UIDs, and of values that change what they were; others are read again where they are compared.
// Owner: a context. Threads: its loop. Memory is charged to the budget.

#include "imap/sort.h"

struct imap_context_order;

// `query` and the program's texts must outlive it.
enum result imap_context_order_new(const struct sort_program *p, const struct query *query,
                                   const struct imap_found *list, size_t n,
                                   struct imap_context_order **out,
                                   struct fault *f) MUST_CHECK;
void imap_context_order_free(struct imap_context_order **o);
size_t imap_context_order_size(const struct imap_context_order *o);
// May a message that stays in the result have another place, since its flags changed?
bool imap_context_order_moves(const struct imap_context_order *o);

// A message at its place; 1 is the first.
struct imap_context_place {
    size_t at;
    uint32_t uid, number;  // as the client is told
};
struct imap_context_places {
    struct imap_context_place *list;  // by place
    size_t n;
};
// Takes out `gone`, all of which are there; `numbers` has them in the same order. The places are those of before.
void imap_context_order_leave(struct imap_context_order *o, const struct seqset *gone,
                              const struct seqset *numbers, struct arena *a,
                              struct imap_context_places *out);
// Suspends. Puts in `came`, messages of the selected mailbox; c has the session, an arena and whether UIDs are told. The places
// are those of after.
enum result imap_context_order_come(struct imap_context_order *o, struct imap_command *c,
                                    const struct seqset *came,
                                    struct imap_context_places *out,
                                    struct fault *f) MUST_CHECK;

#endif
