#ifndef SEARCH_TEXT_GATHER_H
#define SEARCH_TEXT_GATHER_H

// The postings of one term or pair, gathered from the segments that are merged. Where the documents of each segment stand behind those of
// the one before (`straight`: nearly always, since each has the mail of a time) a list is copied as it is written but for its first posting; else
// postings are taken one by one, and put in order. Private to this folder.
// Trust: a list that has a document that its segment has not is FAULT_CORRUPTION.

#include "search/text_inside.h"

struct text_gather {
    bool straight;
    // where they are not straight
    struct text_posting *all;
    size_t n, room;
    bool in_order;
    // where they are
    struct text_posting first;
    struct text_coder coder;
    struct buf coded;
};

void text_gather_init(struct text_gather *g, bool straight);
void text_gather_done(struct text_gather *g);
void text_gather_reset(struct text_gather *g);  // for the next term
// Suspends. Takes those of an entry; places: of the documents of its segment in the new one, or TEXT_GONE.
enum result text_gather_take(struct text_gather *g, struct text_list_reader *lists,
                             const struct text_entry *e, const uint32_t *places,
                             struct fault *f) MUST_CHECK;
// All that was taken, each document once; n may be 0. It stays until the next reset.
struct text_postings text_gather_all(struct text_gather *g);

#endif
