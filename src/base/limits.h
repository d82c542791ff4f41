#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

// Every cap on a size or count that comes from outside, by name: LIMIT_line_preauth.
// The rows are in limits.def; each is checked at one place.

enum limit {
#define LIMIT(name, value, text) LIMIT_##name = (value),
#include "base/limits.def"
#undef LIMIT
};

#endif
