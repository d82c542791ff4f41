#ifndef IMAP_SORT_INSIDE_H
#define IMAP_SORT_INSIDE_H

// Inside imap/sort.h: what is found and how its values are read (sort.c), and the columns that spare reading (sort_ranks.c).

#include "imap/sort.h"
#include "mail/columns.h"

struct sort_found {
    uint32_t seq, uid, size;
    int64_t internal_date;
    uint64_t modseq, blob;
};
struct sorting {
    struct imap_search *search;
    struct mail *mail;
    struct search_ledger *ledger;
    const struct sort_program *program;
    struct sort_found *found;  // ascending
    size_t n, room;
    struct arena *scratch;  // of one message
    struct sort *sort;
    struct fault fault;
    bool failed;
};

// What sorting wants of a row.
struct message_row sort_found_row(const struct sort_found *m);
// Suspends. Sets the values that are in the rows.
enum result sorting_set_rows(const struct sorting *d, struct sort *sort,
                             struct fault *f) MUST_CHECK;
// Suspends. Makes d->sort, with the values of all that was found.
enum result sorting_read(struct sorting *d, struct fault *f) MUST_CHECK;
// Suspends. Makes d->sort, with ranks instead of values that are not in the row. Messages that are not in the columns are
// read, and put there. R_NONE: not worth it, or the program or the memory does not allow it.
enum result sorting_rank(struct sorting *d, struct fault *f) MUST_CHECK;

#endif
