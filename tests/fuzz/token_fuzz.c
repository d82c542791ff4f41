// A provider's key set, a stranger's token (behind the first line feed), and both as an introspection answer: no crash, and no
// token that a fuzzer makes is signed. As claims that somebody did sign: what a token says an answer with the same says, too.
#include "auth/token.h"
#include "base/limits.h"

#include <cjose/cjose.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POINT                                                                              \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"VvBe0hybMPa-V_"               \
    "pfJAllyCKfnDvjFYaOzeQt2pq7p-s\",\"y\":\"i-xmwvNYN1v5Q5GnxCwl0lJ-B_-"                  \
    "SIF9x5Qco4vVyLoM\""
static const char ours[] = "{\"keys\":[" POINT "}]}",
                  secret[] =
                      POINT ",\"d\":\"QU89Y24dy7Dhkbzs0dVFMqrO_zozhpottwBcORKg7H0\"}";

static const struct token_rules rules = {SPAN("i"), SPAN("a b"), SPAN("email")};

// A token of these claims by our key.
static void
sign(struct span claims, struct buf *out)
{
    static cjose_jwk_t *key;
    cjose_err e;
    const char *text = NULL;
    cjose_header_t *h = cjose_header_new(&e);
    if (!key)
        key = cjose_jwk_import(secret, sizeof secret - 1, &e);
    must(key && h && cjose_header_set(h, CJOSE_HDR_ALG, "ES256", &e));
    must(cjose_header_set(h, CJOSE_HDR_KID, "k", &e));
    cjose_jws_t *jws = cjose_jws_sign(key, h, (const uint8_t *)claims.p, claims.n, &e);
    must(jws && cjose_jws_export(jws, &text, &e));
    buf_put_str(out, text);
    cjose_jws_release(jws);
    cjose_header_release(h);
}

// What may stand for an answer of the provider's: the claims, and that they hold.
static void
introspect(struct span claims, struct buf *out)
{
    buf_put_str(out, "{\"active\":true,");
    buf_put(out, span_skip(claims, 1));
}

static void
signed_claims(struct span claims)
{
    struct token_keys *keys = NULL;
    struct token_found found = {0}, told = {0};
    struct fault f;
    struct buf token, answer;
    buf_init(&token, SIZE_MAX);
    buf_init(&answer, SIZE_MAX);
    sign(claims, &token);
    introspect(claims, &answer);
    must(token_is_jwt(buf_span(&token)));
    must(token_keys_parse(span_str(ours), &keys, &f) == R_OK);
    if (token_verify(keys, buf_span(&token), &rules, 0, &found, &f) == R_OK) {
        must(found.user.n > 0 && found.user.n <= LIMIT_user_name && found.expires_s >= 0);
        bool same = token_introspected(buf_span(&answer), &rules, 0, &told, &f) == R_OK;
        must(claims.p[0] != '{' || span_find(claims, SPAN("active")) < claims.n ||
             span_find(claims, SPAN("\\u")) < claims.n || same);
        must(!same || (told.expires_s == found.expires_s && told.user.n == found.user.n));
        must(span_find(claims, SPAN("\"a\"")) < claims.n ||
             span_find(claims, SPAN("\"b\"")) < claims.n ||
             span_find(claims, SPAN("\\u")) < claims.n);
        char *octet = &token.p[token.n - 9];  // of the signature
        *octet = *octet == 'A' ? 'B' : 'A';
        must(token_verify(keys, buf_span(&token), &rules, 0, &found, &f) != R_OK);
    }
    token_keys_free(&keys);
    buf_done(&token);
    buf_done(&answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size), set;
    struct token_keys *keys = NULL;
    struct fault f;
    struct token_found found = {0};
    if (token_introspected(in, &rules, 0, &found, &f) == R_OK)
        must(found.user.n > 0 && found.user.n <= LIMIT_user_name && found.expires_s >= 0);
    if (size > 0 && size <= LIMIT_sasl_response)
        signed_claims(in);
    if (span_next_field(&in, '\n', &set) == R_OK && in.p) {
        bool known = token_keys_parse(set, &keys, &f) == R_OK;
        must(token_verify(known ? keys : NULL, in, &rules, 0, &found, &f) != R_OK);
    }
    token_keys_free(&keys);
    return 0;
}
