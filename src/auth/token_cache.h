#ifndef AUTH_TOKEN_CACHE_H
#define AUTH_TOKEN_CACHE_H

// Tokens that were introspected, for LIMIT_oauth_cache_s at most. The key is a digest of the whole token and of the whole
// identity that was claimed with it, so that one user's answer is never another's.
// Threads: one.

#include "auth/name.h"

struct token_cache;
struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache **c);
void token_cache_put(struct token_cache *c, struct span token, struct span claimed,
                     struct span user, int64_t now_s, int64_t expires_s);
// Borrowed until the next put; SPAN_NONE when it is not known.
struct span token_cache_find(const struct token_cache *c, struct span token,
                             struct span claimed, int64_t now_s);

#endif
