#ifndef BASE_SEEDED_H
#define BASE_SEEDED_H

// For tests, and the codec of tests: numbers that look like chance, and are the same from the same seed (splitmix64; any seed is good).

#include <stddef.h>
#include <stdint.h>

static inline uint64_t
seeded_u64(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Less than n.
static inline size_t
seeded_below(uint64_t *seed, size_t n)
{
    return (size_t)(seeded_u64(seed) % n);
}

#endif
