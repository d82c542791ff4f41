#include "auth/token.h"
#include "auth/token_cache.h"
#include "base/limits.h"

#include <cjose/cjose.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { NOW = 1800000000 };

static cjose_jwk_t *rsa, *other, *ec, *oct;
static char set[8192];

static const struct token_rules rules = {SPAN_NONE, SPAN_NONE, SPAN_NONE};

static struct token_rules
our_rules(void)
{
    struct token_rules r = rules;
    r.issuer = SPAN("https://id.example");
    r.audiences = SPAN("other posthorn");
    r.user_claim = SPAN("email");
    return r;
}

// A token of these claims, by this key.
static void
sign(cjose_jwk_t *key, const char *alg, const char *kid, const char *crit,
     const char *claims, char out[4096])
{
    cjose_err e;
    const char *text = NULL;
    cjose_header_t *h = cjose_header_new(&e);
    must(h && cjose_header_set(h, CJOSE_HDR_ALG, alg, &e));
    must(!kid || cjose_header_set(h, CJOSE_HDR_KID, kid, &e));
    must(!crit || cjose_header_set_raw(h, "crit", crit, &e));
    cjose_jws_t *jws = cjose_jws_sign(key, h, (const uint8_t *)claims, strlen(claims), &e);
    must(jws && cjose_jws_export(jws, &text, &e));
    snprintf(out, 4096, "%s", text);
    cjose_jws_release(jws);
    cjose_header_release(h);
}

#define GOOD(more)                                                                         \
    "{\"iss\":\"https://"                                                                  \
    "id.example\",\"aud\":\"posthorn\",\"email\":\"ann@example.org\"" more "}"
#define EXP ",\"exp\":1800000060"

static const struct {
    cjose_jwk_t **key;
    const char *alg, *kid, *crit, *claims;
    enum result want;
    const char *want_why;
} rows[] = {
    {&rsa, "RS256", "one", NULL, GOOD(EXP), R_OK, ""},
    {&rsa, "PS256", "one", NULL, GOOD(EXP), R_OK, ""},
    {&ec, "ES256", "two", NULL, GOOD(EXP), R_OK, ""},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"email_verified\":true"), R_OK, ""},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"email_verified\":false"), R_FAIL, "verified"},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"email_verified\":\"true\""), R_FAIL,
     "verified"},
    {&rsa, "RS256", "one", NULL,
     "{\"iss\":\"https://id.example\",\"aud\":[\"x\",\"posthorn\"],\"email\":\"a\"" EXP "}",
     R_OK, ""},
    {&rsa, "RS256", "none", NULL, GOOD(EXP), R_NONE, ""},
    {&rsa, "RS256", "../../one", NULL, GOOD(EXP), R_NONE, ""},
    {&rsa, "RS256", "enc", NULL, GOOD(EXP), R_NONE, ""},
    {&rsa, "RS256", "private", NULL, GOOD(EXP), R_NONE, ""},
    {&rsa, "RS256", NULL, NULL, GOOD(EXP), R_FAIL, "kid"},
    {&other, "RS256", "one", NULL, GOOD(EXP), R_FAIL, "signature"},
    {&rsa, "RS384", "fixed", NULL, GOOD(EXP), R_FAIL, "its key's"},
    {&ec, "ES256", "one", NULL, GOOD(EXP), R_FAIL, "its key's"},
    {&oct, "HS256", "one", NULL, GOOD(EXP), R_FAIL, "not accepted"},
    {&rsa, "RS256", "one", "[\"x\"]", GOOD(EXP), R_FAIL, "understood"},
    {&rsa, "RS256", "one", NULL, GOOD(""), R_FAIL, "exp"},
    {&rsa, "RS256", "one", NULL, GOOD(",\"exp\":1800000000"), R_FAIL, "expired"},
    {&rsa, "RS256", "one", NULL, GOOD(",\"exp\":1799999999"), R_FAIL, "expired"},
    {&rsa, "RS256", "one", NULL, GOOD(",\"exp\":1800000001"), R_OK, ""},
    {&rsa, "RS256", "one", NULL, GOOD(",\"exp\":\"1800000060\""), R_FAIL, "exp"},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"nbf\":1800000061"), R_FAIL, "not valid yet"},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"nbf\":1800000059"), R_OK, ""},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"iat\":1800000061"), R_FAIL, "future"},
    {&rsa, "RS256", "one", NULL, GOOD(EXP ",\"exp\":1900000000"), R_FAIL, "JSON"},
    {&rsa, "RS256", "one", NULL,
     "{\"iss\":\"https://id.example/\",\"aud\":\"posthorn\",\"email\":\"a\"" EXP "}",
     R_FAIL, "issuer"},
    {&rsa, "RS256", "one", NULL, "{\"aud\":\"posthorn\",\"email\":\"a\"" EXP "}", R_FAIL,
     "issuer"},
    {&rsa, "RS256", "one", NULL,
     "{\"iss\":\"https://id.example\",\"aud\":\"post\",\"email\":\"a\"" EXP "}", R_FAIL,
     "audience"},
    {&rsa, "RS256", "one", NULL, "{\"iss\":\"https://id.example\",\"email\":\"a\"" EXP "}",
     R_FAIL, "audience"},
    {&rsa, "RS256", "one", NULL,
     "{\"iss\":\"https://id.example\",\"aud\":\"posthorn\",\"sub\":\"a\"" EXP "}", R_FAIL,
     "no user"},
    {&rsa, "RS256", "one", NULL,
     "{\"iss\":\"https://id.example\",\"aud\":\"posthorn\",\"email\":[\"a\"]" EXP "}",
     R_FAIL, "no user"},
    {&rsa, "RS256", "one", NULL, "[1]", R_FAIL, "JSON"},
    {&rsa, "RS256", "one", NULL, "", R_FAIL, "JSON"},
};

static enum result
judge(const struct token_keys *k, struct span token, struct token_found *found,
      struct fault *f)
{
    const struct token_rules r = our_rules();
    return token_verify(k, token, &r, NOW, found, f);
}

static void
test_tokens(void **state)
{
    (void)state;
    struct token_keys *k = NULL;
    struct fault f;
    assert_int_equal(token_keys_parse(span_str(set), &k, &f), R_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char token[4096];
        struct token_found user = {0};
        sign(*rows[i].key, rows[i].alg, rows[i].kid, rows[i].crit, rows[i].claims, token);
        assert_true(token_is_jwt(span_str(token)));
        f.why[0] = '\0';
        enum result r = judge(k, span_str(token), &user, &f);
        if (r != rows[i].want || (r == R_FAIL && !strstr(f.why, rows[i].want_why)))
            fail_msg("row %zu: %d %s", i, r, f.why);
        assert_int_equal(user.user.n > 0, r == R_OK);
    }
    token_keys_free(&k);
}

// What no library would sign: alg none, and a token with any octet changed.
static void
test_forged(void **state)
{
    (void)state;
    static const char *const unsigned_tokens[] = {
        // {"alg":"none","kid":"one"}, {"alg":"None","kid":"one"}, {"alg":"","kid":"one"}
        "eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.e30.",
        "eyJhbGciOiJOb25lIiwia2lkIjoib25lIn0.e30.", "eyJhbGciOiIiLCJraWQiOiJvbmUifQ.e30.",
        "ey..", "..", "a.b.c",
        // libcjose ends the process at these
        "eyJhb=aa.e30.AAAA", "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e=0.AAAA",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e30.=AAA",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e30.AA==", ""};
    struct token_keys *k = NULL;
    struct fault f;
    struct token_found user;
    char token[4096];
    assert_int_equal(token_keys_parse(span_str(set), &k, &f), R_OK);
    for (size_t i = 0; i < sizeof unsigned_tokens / sizeof unsigned_tokens[0]; i++)
        assert_int_equal(judge(k, span_str(unsigned_tokens[i]), &user, &f), R_FAIL);
    sign(rsa, "RS256", "one", NULL, GOOD(EXP), token);
    size_t n = strlen(token);
    for (size_t i = 0; i + 2 < n; i += 7) {  // the last letter has bits that do not count
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(judge(k, span_of(token, n), &user, &f), R_OK);
        token[i] = was;
        assert_int_not_equal(judge(k, span_of(token, i), &user, &f), R_OK);
    }
    assert_int_equal(judge(k, span_of(token, n), &user, &f), R_OK);
    assert_int_equal(judge(NULL, span_of(token, n), &user, &f), R_NONE);
    token_keys_free(&k);
}

static void
test_key_sets(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "[]", "{}", "{\"keys\":1}", "{\"keys\":[]"};
    struct token_keys *k = NULL;
    struct fault f;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(token_keys_parse(span_str(bad[i]), &k, &f), R_FAIL);
    assert_int_equal(
        token_keys_parse(SPAN("{\"keys\":[1,\"x\",{},{\"kty\":\"RSA\"}]}"), &k, &f), R_OK);
    token_keys_free(&k);
    assert_int_equal(
        token_keys_parse(SPAN("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"s\","
                              "\"x\":\"V=Be0hybMPa-V_pfJAllyCKfnDvjFYaOzeQt2pq7p-s\","
                              "\"y\":\"i-xmwvNYN1v5Q5GnxCwl0lJ-B_-SIF9x5Qco4vVyLoM\"}]}"),
                         &k, &f),
        R_OK);
    token_keys_free(&k);
}

static void
test_introspection(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum result want;
        enum fault_kind want_fault;
    } cases[] = {
        {"{\"active\":true,\"aud\":\"posthorn\",\"email\":\"ann\"}", R_OK, 0},
        {"{\"active\":true,\"client_id\":\"posthorn\",\"email\":\"ann\"}", R_OK, 0},
        {"{\"active\":true,\"client_id\":\"evil\",\"email\":\"ann\"}", R_FAIL,
         FAULT_AUTHFAILED},
        {"{\"active\":true,\"aud\":\"evil\",\"client_id\":\"posthorn\",\"email\":\"ann\"}",
         R_FAIL, FAULT_AUTHFAILED},
        {"{\"active\":true,\"email\":\"ann\"}", R_FAIL, FAULT_AUTHFAILED},
        {"{\"active\":true,\"aud\":\"posthorn\",\"iss\":\"x\",\"email\":\"ann\"}", R_FAIL,
         FAULT_AUTHFAILED},
        {"{\"active\":true,\"aud\":\"posthorn\",\"exp\":1799999999,\"email\":\"ann\"}",
         R_FAIL, FAULT_AUTHFAILED},
        {"{\"active\":false,\"aud\":\"posthorn\",\"email\":\"ann\"}", R_FAIL,
         FAULT_AUTHFAILED},
        {"{\"active\":\"true\",\"aud\":\"posthorn\",\"email\":\"ann\"}", R_FAIL,
         FAULT_UNAVAILABLE},
        {"{\"aud\":\"posthorn\",\"email\":\"ann\"}", R_FAIL, FAULT_UNAVAILABLE},
        {"<html>", R_FAIL, FAULT_UNAVAILABLE},
        {"", R_FAIL, FAULT_UNAVAILABLE},
    };
    const struct token_rules r = our_rules();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token_found user;
        struct fault f = {0};
        enum result got = token_introspected(span_str(cases[i].json), &r, NOW, &user, &f);
        if (got != cases[i].want || (got == R_FAIL && f.kind != cases[i].want_fault))
            fail_msg("row %zu: %d %s", i, got, f.why);
    }
}

// Dovecot CVE-2025-30189: one cache key for all users.
static void
test_cache_knows_whose(void **state)
{
    (void)state;
    struct token_cache *c = token_cache_new();
    token_cache_put(c, SPAN("token-a"), SPAN("ann"), SPAN("ann"), NOW, NOW + 500);
    token_cache_put(c, SPAN("token-b"), SPAN("bob"), SPAN("bob"), NOW, NOW + 5);
    assert_true(
        span_eq(token_cache_find(c, SPAN("token-a"), SPAN("ann"), NOW), SPAN("ann")));
    assert_true(
        span_eq(token_cache_find(c, SPAN("token-b"), SPAN("bob"), NOW), SPAN("bob")));
    assert_null(token_cache_find(c, SPAN("token-a"), SPAN("bob"), NOW).p);
    assert_null(token_cache_find(c, SPAN("token-a"), SPAN(""), NOW).p);
    assert_null(token_cache_find(c, SPAN("token-aa"), SPAN("nn"), NOW).p);
    assert_null(token_cache_find(c, SPAN("token-b"), SPAN("bob"), NOW + 5).p);
    assert_null(
        token_cache_find(c, SPAN("token-a"), SPAN("ann"), NOW + LIMIT_oauth_cache_s).p);
    token_cache_free(&c);
}

static void
put_key(struct buf *b, cjose_jwk_t *key, const char *kid, const char *more, bool secret)
{
    cjose_err e;
    char *text = cjose_jwk_to_json(key, secret, &e);
    must(text != NULL);
    buf_printf(b, "%s{\"kid\":\"%s\"%s,%s", b->n > 10 ? "," : "", kid, more, text + 1);
    free(text);
}

int
main(void)
{
    cjose_err e;
    struct buf b;
    must(sodium_init() >= 0);
    rsa = cjose_jwk_create_RSA_random(2048, NULL, 0, &e);
    other = cjose_jwk_create_RSA_random(2048, NULL, 0, &e);
    ec = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &e);
    buf_init(&b, sizeof set - 1);
    buf_put_str(&b, "{\"keys\":[");
    put_key(&b, rsa, "one", "", false);
    put_key(&b, ec, "two", ",\"use\":\"sig\"", false);
    put_key(&b, rsa, "fixed", ",\"alg\":\"RS256\"", false);
    put_key(&b, rsa, "enc", ",\"use\":\"enc\"", false);
    put_key(&b, rsa, "private", "", true);
    buf_put_str(&b, "]}");
    must(!b.over);
    memcpy(set, b.p, b.n);
    // HS256 with the public key's text as its secret
    oct = cjose_jwk_create_oct_spec((const uint8_t *)set, b.n, &e);
    buf_done(&b);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_key_sets),
        cmocka_unit_test(test_introspection),
        cmocka_unit_test(test_cache_knows_whose),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cjose_jwk_release(rsa);
    cjose_jwk_release(other);
    cjose_jwk_release(ec);
    cjose_jwk_release(oct);
    return failed;
}
