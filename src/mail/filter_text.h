#ifndef MAIL_FILTER_TEXT_H
#define MAIL_FILTER_TEXT_H

// What the letters of filters are put together from. Only filter_letter.c and filter_report.c include this.

#include "mail/filter_inside.h"

enum { FILTER_LETTER = 4 * LIMIT_sieve_text };

// The user's, as it was written to; one without a domain gets ours.
struct span filter_own_address(struct filter_run *r);
struct span filter_sender(struct filter_run *r);  // of the envelope; empty: <>
// The unfolded value of a field of the message as the action has it (RFC 5293 section 5), NULL: as it came; empty: none.
struct span filter_field(struct filter_run *r, const struct sieve_action *a,
                         const char *name);
// A field; what is beyond ASCII is encoded.
void filter_put_field(struct filter_run *r, struct buf *b, const char *name,
                      struct span value);
// The same of a list of addresses.
void filter_put_mailboxes(struct filter_run *r, struct buf *b, const char *name,
                          struct span list);
void filter_put_common(struct filter_run *r, struct buf *b,
                       const char *kind);  // Date, Message-ID
void filter_put_references(struct filter_run *r, const struct sieve_action *a,
                           struct buf *b);
void filter_put_lines(struct buf *b, struct span text);  // each with CRLF
// Suspends. The buf is the letter.
enum result filter_send_text(struct filter_run *r, struct buf *b, struct filter_letter *l,
                             struct fault *f) MUST_CHECK;

#endif
