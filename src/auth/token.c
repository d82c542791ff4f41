#include "auth/token.h"
#include "base/limits.h"

#include <cjose/cjose.h>
#include <jansson.h>

enum { SKEW_S = 60, KID_MAX = 256 };

struct token_keys {
    size_t n;
    struct {
        cjose_jwk_t *jwk;
        char kid[KID_MAX], alg[16];
    } keys[LIMIT_oauth_keys];
};

// What signatures are accepted: of public keys only, each with its kind of key.
static const struct {
    const char *name;
    cjose_jwk_kty_t key;
} algorithms[] = {
    {"RS256", CJOSE_JWK_KTY_RSA}, {"RS384", CJOSE_JWK_KTY_RSA},
    {"RS512", CJOSE_JWK_KTY_RSA}, {"PS256", CJOSE_JWK_KTY_RSA},
    {"PS384", CJOSE_JWK_KTY_RSA}, {"PS512", CJOSE_JWK_KTY_RSA},
    {"ES256", CJOSE_JWK_KTY_EC},  {"ES384", CJOSE_JWK_KTY_EC},
    {"ES512", CJOSE_JWK_KTY_EC},
};

static enum result
wrong(struct fault *f, const char *why)
{
    return fault_set(f, FAULT_AUTHFAILED, "token: %s", why);
}

static json_t *
load(struct span json)
{
    json_error_t e;
    json_t *j = json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &e);
    if (j && !json_is_object(j)) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static struct span
text_of(const json_t *j)
{
    return json_is_string(j) ? span_of(json_string_value(j), json_string_length(j))
                             : SPAN_NONE;
}

static bool
copy(char *out, size_t max, const json_t *j)
{
    struct span s = text_of(j);
    if (s.n >= max || (s.n > 0 && memchr(s.p, '\0', s.n)))
        return false;
    memcpy(out, s.n > 0 ? s.p : "", s.n);
    out[s.n] = '\0';
    return true;
}

// RFC 7515 section 2: base64url without '='. libcjose ends the process at one.
static bool
is_base64url(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) && s.p[i] != '-' &&
            s.p[i] != '_')
            return false;
    return s.n % 4 != 1;
}

// What makes it a public key (RFC 7518 sections 6.2.1 and 6.3.1), and nothing else; NULL: it is none.
static char *
public_part(const json_t *key)
{
    static const char *const members[] = {"n", "e", "x", "y"};
    json_t *part = json_pack("{s:O*, s:O*}", "kty", json_object_get(key, "kty"), "crv",
                             json_object_get(key, "crv"));
    must(part != NULL);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *member = json_object_get(key, members[i]);
        if (member && (text_of(member).n == 0 || !is_base64url(text_of(member)))) {
            json_decref(part);
            return NULL;
        }
        if (member)
            json_object_set(part, members[i], member);
    }
    char *text = json_dumps(part, JSON_COMPACT);
    json_decref(part);
    return text;
}

// A key without a kid, for encryption, or with a secret in it is none of ours.
static void
add_key(struct token_keys *k, const json_t *key)
{
    struct span kty = text_of(json_object_get(key, "kty")),
                use = text_of(json_object_get(key, "use"));
    cjose_err e;
    if (k->n == LIMIT_oauth_keys || (use.p && !span_eq(use, SPAN("sig"))) ||
        (!span_eq(kty, SPAN("RSA")) && !span_eq(kty, SPAN("EC"))) ||
        json_object_get(key, "d") ||
        !copy(k->keys[k->n].kid, KID_MAX, json_object_get(key, "kid")) ||
        !k->keys[k->n].kid[0] || !copy(k->keys[k->n].alg, 16, json_object_get(key, "alg")))
        return;
    char *text = public_part(key);
    cjose_jwk_t *jwk = text ? cjose_jwk_import(text, strlen(text), &e) : NULL;
    free(text);
    if (jwk)
        k->keys[k->n++].jwk = jwk;
}

enum result
token_keys_parse(struct span json, struct token_keys **out, struct fault *f)
{
    json_t *set = load(json), *key;
    const json_t *list = set ? json_object_get(set, "keys") : NULL;
    size_t i;
    if (!json_is_array(list)) {
        json_decref(set);
        return fault_set(f, FAULT_BAD, "no JWK set");
    }
    struct token_keys *k = calloc(1, sizeof *k);
    must(k != NULL);
    json_array_foreach(list, i, key) add_key(k, key);
    json_decref(set);
    *out = k;
    return R_OK;
}

void
token_keys_free(struct token_keys **kp)
{
    struct token_keys *k = *kp;
    for (size_t i = 0; k && i < k->n; i++)
        cjose_jwk_release(k->keys[i].jwk);
    free(k);
    *kp = NULL;
}

bool
token_is_jwt(struct span token)
{
    size_t dots = 0;
    for (size_t i = 0; i < token.n; i++)
        dots += token.p[i] == '.';
    return dots == 2 && span_starts(token, SPAN("ey"));
}

static bool
has_audience(const json_t *aud, const struct token_rules *rules)
{
    struct span rest = rules->audiences, word;
    json_t *one;
    size_t i;
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        if (word.n == 0)
            continue;
        if (span_eq(text_of(aud), word))
            return true;
        json_array_foreach(aud, i, one)
        {
            if (span_eq(text_of(one), word))
                return true;
        }
    }
    return false;
}

static enum result
check_times(const json_t *claims, int64_t now_s, struct token_found *out, struct fault *f)
{
    const json_t *exp = json_object_get(claims, "exp"),
                 *nbf = json_object_get(claims, "nbf"),
                 *iat = json_object_get(claims, "iat");
    if (!json_is_number(exp) || (nbf && !json_is_number(nbf)) ||
        (iat && !json_is_number(iat)))
        return wrong(f, "no exp, or a time that is no number");
    if (!(json_number_value(exp) > (double)now_s))
        return wrong(f, "expired");
    if (nbf && json_number_value(nbf) > (double)(now_s + SKEW_S))
        return wrong(f, "not valid yet");
    if (iat && json_number_value(iat) > (double)(now_s + SKEW_S))
        return wrong(f, "issued in the future");
    double v = json_number_value(exp);
    out->expires_s = v < 1e15 ? (int64_t)v : (int64_t)1e15;
    return R_OK;
}

static enum result
read_user(const json_t *claims, const struct token_rules *rules, struct token_found *out,
          struct fault *f)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", SPAN_ARG(rules->user_claim));
    struct span user = text_of(json_object_get(claims, name));
    const json_t *verified = json_object_get(claims, "email_verified");
    if (user.n == 0 || user.n > LIMIT_user_name)
        return wrong(f, "it names no user");
    // Providers let people write any address there.
    if (span_eq(rules->user_claim, SPAN("email")) && verified && !json_is_true(verified))
        return wrong(f, "the address is not verified");
    out->user = (struct name){.n = user.n};
    memcpy(out->user.text, user.p, user.n);
    return R_OK;
}

static enum result
check_claims(const json_t *claims, const struct token_rules *rules, int64_t now_s,
             struct token_found *out, struct fault *f)
{
    const json_t *iss = json_object_get(claims, "iss"),
                 *aud = json_object_get(claims, "aud");
    if (!span_eq(text_of(iss), rules->issuer))
        return wrong(f, "of another issuer");
    if (!has_audience(aud, rules))
        return wrong(f, "for another audience");
    return check_times(claims, now_s, out, f) || read_user(claims, rules, out, f) ? R_FAIL
                                                                                  : R_OK;
}

struct head {
    const char *alg, *kid;
    cjose_jwk_kty_t key;
};

static enum result
read_head(cjose_jws_t *jws, struct head *out, struct fault *f)
{
    cjose_err e;
    cjose_header_t *h = cjose_jws_get_protected(jws);
    char *crit = h ? cjose_header_get_raw(h, "crit", &e) : NULL;
    free(crit);
    if (!h || crit)
        return wrong(f, "a header that cannot be understood");
    out->alg = cjose_header_get(h, CJOSE_HDR_ALG, &e);
    out->kid = cjose_header_get(h, CJOSE_HDR_KID, &e);
    if (!out->alg || !out->kid || strlen(out->kid) >= KID_MAX)
        return wrong(f, "no alg or no kid");
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (strcmp(out->alg, algorithms[i].name) == 0) {
            out->key = algorithms[i].key;
            return R_OK;
        }
    return wrong(f, "an algorithm that is not accepted");
}

// The key of that name and of the algorithm's kind.
static enum result
find_key(const struct token_keys *k, const struct head *h, const cjose_jwk_t **out,
         struct fault *f)
{
    cjose_err e;
    for (size_t i = 0; k && i < k->n; i++) {
        if (strcmp(k->keys[i].kid, h->kid) != 0)
            continue;
        if (cjose_jwk_get_kty(k->keys[i].jwk, &e) != h->key ||
            (k->keys[i].alg[0] && strcmp(k->keys[i].alg, h->alg) != 0))
            return wrong(f, "the algorithm is not its key's");
        *out = k->keys[i].jwk;
        return R_OK;
    }
    return R_NONE;
}

static enum result
verify(const struct token_keys *keys, cjose_jws_t *jws, json_t **claims_out,
       struct fault *f)
{
    const cjose_jwk_t *jwk = NULL;
    struct head head = {0};
    cjose_err e;
    uint8_t *text = NULL;
    size_t n = 0;
    if (read_head(jws, &head, f))
        return R_FAIL;
    enum result r = find_key(keys, &head, &jwk, f);
    if (r != R_OK)
        return r;
    if (!cjose_jws_verify(jws, jwk, &e))
        return wrong(f, "the signature is wrong");
    if (!cjose_jws_get_plaintext(jws, &text, &n, &e))
        return wrong(f, "no payload");
    *claims_out = load(span_of(text, n));
    return *claims_out ? R_OK : wrong(f, "the payload is no JSON object");
}

static bool
has_three_parts(struct span token)
{
    struct span part;
    int n = 0;
    for (; span_next_field(&token, '.', &part) == R_OK; n++)
        if (!is_base64url(part))
            return false;
    return n == 3;
}

enum result
token_verify(const struct token_keys *keys, struct span token,
             const struct token_rules *rules, int64_t now_s, struct token_found *out,
             struct fault *f)
{
    cjose_err e;
    json_t *claims = NULL;
    cjose_jws_t *jws =
        has_three_parts(token) ? cjose_jws_import(token.p, token.n, &e) : NULL;
    if (!jws)
        return wrong(f, "no JWT");
    enum result r = verify(keys, jws, &claims, f);
    cjose_jws_release(jws);
    if (r == R_OK)
        r = check_claims(claims, rules, now_s, out, f);
    json_decref(claims);
    return r;
}

// RFC 7662 section 2.2: what a JWT must have is optional here. The audience is not: without one it is the client's that asked for
// the token.
static void
complete_answer(json_t *claims, const struct token_rules *rules, int64_t now_s)
{
    if (!json_object_get(claims, "iss"))
        json_object_set_new(claims, "iss", json_stringn(rules->issuer.p, rules->issuer.n));
    if (!json_object_get(claims, "aud") && json_object_get(claims, "client_id"))
        json_object_set(claims, "aud", json_object_get(claims, "client_id"));
    if (!json_object_get(claims, "exp"))
        json_object_set_new(claims, "exp", json_integer(now_s + 1));
}

enum result
token_introspected(struct span json, const struct token_rules *rules, int64_t now_s,
                   struct token_found *out, struct fault *f)
{
    json_t *claims = load(json);
    const json_t *active = claims ? json_object_get(claims, "active") : NULL;
    if (!json_is_boolean(active)) {
        json_decref(claims);
        return fault_set(f, FAULT_UNAVAILABLE, "the answer of the introspection is none");
    }
    complete_answer(claims, rules, now_s);
    enum result r = json_is_true(active) ? check_claims(claims, rules, now_s, out, f)
                                         : wrong(f, "not active");
    json_decref(claims);
    return r;
}
