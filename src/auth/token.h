#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

// A token is what an identity provider issued (RFC 6749): a JWT whose signature is checked here with the provider's keys
// (RFC 7515, 7517, 7519; by cjose), or an opaque text whose introspection answer (RFC 7662) is looked at.
// Trust: tokens are strangers' bytes, at most LIMIT_sasl_response; key sets and answers come from the provider, at most
// LIMIT_oauth_answer. Threads: one.

#include "auth/name.h"

struct token_rules {
    struct span issuer;     // iss must be this one
    struct span audiences;  // separated by spaces; aud must name one of them
    struct span user_claim;
};

struct token_found {
    struct name user;   // the value of the user claim, as it stands there
    int64_t expires_s;  // when the token runs out
};

struct token_keys;  // a JWK set
// R_FAIL (FAULT_BAD): no key set. Keys that are no public signature keys of ours are left out.
enum result token_keys_parse(struct span json, struct token_keys **out,
                             struct fault *f) MUST_CHECK;
void token_keys_free(struct token_keys **k);

bool token_is_jwt(struct span token);

// Who the token says it is. R_NONE: signed by a key that is not in the set (it may be newer).
// FAULT_AUTHFAILED with the reason.
enum result token_verify(const struct token_keys *keys, struct span token,
                         const struct token_rules *rules, int64_t now_s,
                         struct token_found *out, struct fault *f) MUST_CHECK;
// The same for an introspection answer. FAULT_UNAVAILABLE: it is none.
enum result token_introspected(struct span json, const struct token_rules *rules,
                               int64_t now_s, struct token_found *out,
                               struct fault *f) MUST_CHECK;

#endif
