#include "auth/token_cache.h"
#include "base/hash.h"
#include "base/limits.h"

#include <sodium.h>

enum { DIGEST = 32, SECRET = 32 };

struct entry {
    uint8_t digest[DIGEST];
    int64_t until_s;  // 0: free
    struct name user;
};

struct token_cache {
    uint8_t secret[SECRET];
    struct entry entries[LIMIT_oauth_cache];
};

struct token_cache *
token_cache_new(void)
{
    struct token_cache *c = calloc(1, sizeof *c);
    must(c != NULL);
    random_bytes(c->secret, SECRET);
    return c;
}

void
token_cache_free(struct token_cache **c)
{
    free(*c);
    *c = NULL;
}

static void
digest(const struct token_cache *c, struct span token, struct span claimed,
       uint8_t out[DIGEST])
{
    crypto_generichash_state s;
    uint64_t n = token.n;
    crypto_generichash_init(&s, c->secret, SECRET, DIGEST);
    crypto_generichash_update(&s, (const uint8_t *)&n, sizeof n);
    crypto_generichash_update(&s, (const uint8_t *)token.p, token.n);
    crypto_generichash_update(&s, (const uint8_t *)claimed.p, claimed.n);
    crypto_generichash_final(&s, out, DIGEST);
}

static size_t
place(const uint8_t bytes[DIGEST])
{
    uint32_t n;
    memcpy(&n, bytes, sizeof n);
    return n % LIMIT_oauth_cache;
}

void
token_cache_put(struct token_cache *c, struct span token, struct span claimed,
                struct span user, int64_t now_s, int64_t expires_s)
{
    uint8_t bytes[DIGEST];
    int64_t latest = now_s + LIMIT_oauth_cache_s;
    if (expires_s <= now_s || user.n >= NAME_MAX_SIZE)
        return;
    digest(c, token, claimed, bytes);
    struct entry *e = &c->entries[place(bytes)];
    *e = (struct entry){.until_s = expires_s < latest ? expires_s : latest,
                        .user.n = user.n};
    memcpy(e->digest, bytes, DIGEST);
    memcpy(e->user.text, user.p, user.n);
}

struct span
token_cache_find(const struct token_cache *c, struct span token, struct span claimed,
                 int64_t now_s)
{
    uint8_t bytes[DIGEST];
    digest(c, token, claimed, bytes);
    const struct entry *e = &c->entries[place(bytes)];
    if (e->until_s <= now_s || sodium_memcmp(e->digest, bytes, DIGEST) != 0)
        return SPAN_NONE;
    return name_span(&e->user);
}
