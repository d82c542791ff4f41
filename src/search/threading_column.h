#ifndef SEARCH_THREADING_COLUMN_H
#define SEARCH_THREADING_COLUMN_H

// A threading column keeps what THREAD wants to know of messages, with numbers for ids and for base subjects (those of
// i;unicode-casemap): threading by it hashes nothing and looks nothing up.

#include "search/column.h"
#include "search/threading.h"

// A new column with all of the old one (NULL: none), and room. `more`: about how many will come. Suspends.
enum result threading_column_begin(struct column *old, uint32_t more, struct column **out,
                                   struct fault *f) MUST_CHECK;
// By ascending UIDs; what is in the column already is passed over. m->number is not looked at. Suspends.
enum result threading_column_add(struct column *c, uint32_t uid,
                                 const struct threading_message *m,
                                 struct fault *f) MUST_CHECK;
// After the last; the column changes no more. Suspends.
enum result threading_column_end(struct column *c, struct fault *f) MUST_CHECK;

// Before the first message of a threading: all of them will be of the column, which is there until the last was added.
enum result threading_by_column(struct threading *t, const struct column *c,
                                struct fault *f) MUST_CHECK;
// Suspends. The message at this place of the column, instead of threading_add.
enum result threading_add_known(struct threading *t, const struct column *c,
                                uint32_t number, uint32_t place,
                                struct fault *f) MUST_CHECK;

#endif
