#ifndef BASE_HASH_H
#define BASE_HASH_H

// Hashes: hash64 (XXH3) for checksums of our own bytes; hash_keyed (SipHash-2-4 with a random key of
// this process) for every table whose keys come from outside.

#include "base/span.h"

uint64_t hash64(struct span s);
uint64_t hash_keyed(struct span s);
// The same with 128 bits (SipHash-x-2-4): two that are equal stand for equal bytes, nothing else is to be compared.
struct hash_wide {
    uint64_t part[2];
};
struct hash_wide hash_keyed_wide(struct span s);
void random_bytes(void *p, size_t n);
uint64_t random_u64(void);

#endif
