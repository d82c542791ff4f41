#ifndef MAIN_SHARED_H
#define MAIN_SHARED_H

// A few numbers that all roles see: one memfd of the supervisor, mapped by every role before its sandbox closes, so that
// they outlive a role that is started again. Trust: a gate that is taken over can write them; nothing here is more than
// a hint for limits.

#include "base/fault.h"
#include "base/metrics.h"
#include "gate/crowd_counts.h"

struct shared {
    _Atomic uint64_t load_until_ms;  // load.h
    struct crowd_counts crowd;
    struct metrics metrics;
};

// The supervisor's: made once. Its size is sealed.
enum result shared_new(int *fd_out, struct fault *f) MUST_CHECK;
// Maps it for as long as the process lives.
enum result shared_map(int fd, struct shared **out, struct fault *f) MUST_CHECK;

#endif
