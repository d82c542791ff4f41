#include "base/hash.h"
#include "base/hash_inside.h"

#include <pthread.h>
#include <sodium.h>
#include <xxhash.h>

static unsigned char process_key[crypto_shorthash_KEYBYTES];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void
process_key_init(void)
{
    must(sodium_init() >= 0);
    randombytes_buf(process_key, sizeof process_key);
}

uint64_t
hash64(struct span s)
{
#ifdef HASH_AVX2
    enum { LONG = 512 };
    if (s.n >= LONG && __builtin_cpu_supports("avx2"))
        return hash64_avx2(s);
#endif
    return XXH3_64bits(s.p, s.n);
}

uint64_t
hash_keyed(struct span s)
{
    unsigned char out[crypto_shorthash_BYTES];
    uint64_t v;
    pthread_once(&process_key_once, process_key_init);
    crypto_shorthash(out, (const unsigned char *)s.p, s.n, process_key);
    memcpy(&v, out, sizeof v);
    return v;
}

struct hash_wide
hash_keyed_wide(struct span s)
{
    struct hash_wide v;
    _Static_assert(sizeof v == crypto_shorthash_siphashx24_BYTES, "the size of the hash");
    pthread_once(&process_key_once, process_key_init);
    crypto_shorthash_siphashx24((unsigned char *)&v, (const unsigned char *)s.p, s.n,
                                process_key);
    return v;
}

void
random_bytes(void *p, size_t n)
{
    pthread_once(&process_key_once, process_key_init);
    randombytes_buf(p, n);
}

uint64_t
random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}
