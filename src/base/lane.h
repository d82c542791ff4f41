#ifndef BASE_LANE_H
#define BASE_LANE_H

// A lane: sixteen octets looked at at once, by the compiler's vectors.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef unsigned char lane16 __attribute__((vector_size(16)));
typedef uint64_t lane_halves __attribute__((vector_size(16)));

static inline lane16
lane_load(const char *p)
{
    lane16 lane;
    memcpy(&lane, p, sizeof lane);
    return lane;
}

// The octet sixteen times.
static inline lane16
lane_of(char c)
{
    return (lane16){0} + (unsigned char)c;
}

// Of a lane of which each octet is 0 or 255: is any 255, and which is the first.
static inline bool
lane_any(lane16 hit)
{
    lane_halves h = (lane_halves)hit;
    return (h[0] | h[1]) != 0;
}

static inline size_t
lane_first(lane16 hit)
{
    lane_halves h = (lane_halves)hit;
    return h[0] != 0 ? (size_t)__builtin_ctzll(h[0]) / 8
                     : sizeof h[0] + (size_t)__builtin_ctzll(h[1]) / 8;
}

#endif
