#ifndef CTL_WHEN_H
#define CTL_WHEN_H

// A moment in the past, as a person types it: "90m", "2h", "3 days ago", "2w", "today", "yesterday" (their midnight),
// "2026-11-25", "2026-11-25 14:30", "2026-11-25T14:30:00Z", "...+02:00". Without a zone it is the local one.

#include "base/fault.h"
#include "base/span.h"

// FAULT_BAD: no such moment, or one that is still to come.
enum result when_read(struct span text, int64_t now_s, int64_t *out,
                      struct fault *f) MUST_CHECK;

// The other way: "30d" from now on, "2027-01-01". FAULT_BAD: no such moment, or one that is past.
enum result when_read_ahead(struct span text, int64_t now_s, int64_t *out,
                            struct fault *f) MUST_CHECK;

#endif
