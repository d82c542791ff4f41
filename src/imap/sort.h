#ifndef IMAP_SORT_H
#define IMAP_SORT_H

// SORT (RFC 5256): criteria are words of SLOT_SORT whose value is an enum sort_key (search/sort.h).

#include "imap/search.h"
#include "search/sort.h"

// "(REVERSE DATE SUBJECT)". Fails p.
void imap_sort_parse(struct parse *p, struct sort_program *out);
// Suspends. Finds the messages as imap_search_find does, and sets s->order too.
enum result imap_sort_find(struct imap_search *s, const struct sort_program *p,
                           struct fault *f) MUST_CHECK;
// Suspends. The values of one message, p->n of them, in the arena; for sort_compare.
enum result imap_sort_values(struct mail *m, const struct sort_program *p,
                             const struct message_row *row, struct arena *a,
                             struct sort_value *out, struct fault *f) MUST_CHECK;

#endif
