#ifndef SIEVE_PARTS_H
#define SIEVE_PARTS_H

// Where foreverypart is (RFC 5703 section 3).

#include "sieve/ext.h"

// What the script takes for the message: all of it or, where it is included in a loop, the loop's part (RFC 6609 section 3.5).
const struct mime_part *sieve_part_root(struct sieve_run *r);
// The part of the script's innermost loop; NULL: outside of all.
const struct mime_part *sieve_part_now(struct sieve_run *r);
// The part after `part` in `within` (itself first), depth first; NULL: there is none.
const struct mime_part *sieve_part_after(const struct mime_part *part,
                                         const struct mime_part *within);

// The message was changed: loops go on at the same places of the new one, but not into what `replaced` became.
void sieve_parts_moved(struct sieve_run *r, const struct mime_part *replaced);

// Has the call :type, :subtype, :contenttype or :param?
bool sieve_mime_option(const struct sieve_call *call);
// Feeds what these mean of one field.
enum result sieve_mime_feed(struct sieve_matching *m, struct span name,
                            struct span value) MUST_CHECK;

#endif
