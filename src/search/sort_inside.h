#ifndef SEARCH_SORT_INSIDE_H
#define SEARCH_SORT_INSIDE_H

// Inside a sort: its values (sort.c), and how they are put in order (sort_order.c).

#include "search/sort.h"

struct sort_piece {
    struct sort_piece *next;  // the octets follow
};
struct sort_item {
    uint64_t digit;
    uint32_t message;
};
// Items that are equal so far: up to this octet of this criterion.
struct sort_range {
    uint32_t from, n;
    uint32_t criterion, at;
};

struct sort {
    struct sort_program program;
    size_t count;
    struct sort_value *values;  // program.n of each message
    struct sort_piece *pieces;  // folded texts
    char *free;
    struct search_ledger *ledger;
    size_t left, taken;
    struct buf text;
    struct sort_item *items, *spare;
    uint32_t end;               // the criterion before which the sort under way ends
    bool set;                   // items hold the first digits, in the order of messages
    struct sort_range *ranges;  // still to be put in order
    size_t range_count, range_room;
    uint32_t *order;
    uint32_t work;  // since the last yield
};

// What a message is compared by first, at this octet of this criterion.
uint64_t sort_digit(const struct sort *s, uint32_t criterion, uint32_t at,
                    uint32_t message);
bool sort_is_text(enum sort_key key);
// Of one criterion, rising.
int sort_value_compare(const struct sort_value *a, const struct sort_value *b);
// Suspends. As sort_order, by one criterion alone.
enum result sort_order_by(struct sort *s, unsigned criterion, const uint32_t **order_out,
                          struct fault *f) MUST_CHECK;
enum result sort_take(struct sort *s, size_t octets, struct fault *f) MUST_CHECK;

#endif
