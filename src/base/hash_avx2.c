#include "base/hash_inside.h"

#define XXH_INLINE_ALL  // the library's own code, compiled with what the flags of this file allow
#include <xxhash.h>

uint64_t
hash64_avx2(struct span s)
{
    return XXH3_64bits(s.p, s.n);
}
