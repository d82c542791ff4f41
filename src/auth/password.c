#include "auth/password.h"
#include "auth/crypts.h"
#include "auth/encode.h"
#include "auth/name.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <openssl/evp.h>
#include <sodium.h>

enum { OWN_PASSES = 2, OWN_MEMORY = 19 * 1024 * 1024, DIGEST_MAX = 64 };
enum encoding { ENCODING_TEXT, ENCODING_BASE64, ENCODING_HEX };

struct scheme {
    const char *name;
    enum result (*judge)(const struct scheme *s, struct span hash, struct span password,
                         struct fault *f);
    enum result (*check)(const struct scheme *s, struct span hash, struct fault *f);
    size_t raw;
    enum encoding encoding;
    enum password_cost cost;
    const char *argument;
};

struct stored {
    const struct scheme *scheme;
    size_t n;
    char hash[LIMIT_password_hash + 1];  // NUL-terminated for crypt and libsodium
};

static enum result
wrong(struct fault *f)
{
    return fault_set(f, FAULT_AUTHFAILED, "wrong password");
}

static enum result
malformed(const struct scheme *s, struct fault *f)
{
    return fault_set(f, FAULT_BAD, "malformed {%s} hash", s->name);
}

static enum result
same(const void *a, const void *b, size_t n, struct fault *f)
{
    return sodium_memcmp(a, b, n) == 0 ? R_OK : wrong(f);
}

static enum result
plain_check(const struct scheme *s, struct span hash, struct fault *f)
{
    return hash.n > 0 ? R_OK : malformed(s, f);
}

// Both are hashed first, so that neither length nor content shows in the time.
static enum result
plain_judge(const struct scheme *s, struct span hash, struct span password, struct fault *f)
{
    (void)s;
    uint8_t a[crypto_generichash_BYTES], b[crypto_generichash_BYTES];
    crypto_generichash(a, sizeof a, (const uint8_t *)hash.p, hash.n, NULL, 0);
    crypto_generichash(b, sizeof b, (const uint8_t *)password.p, password.n, NULL, 0);
    return same(a, b, sizeof a, f);
}

static enum result
digest_check(const struct scheme *s, struct span hash, struct fault *f)
{
    return hash.n == s->raw ? R_OK : malformed(s, f);
}

static enum result
salted_check(const struct scheme *s, struct span hash, struct fault *f)
{
    return hash.n >= s->raw ? R_OK : malformed(s, f);
}

static enum result
digest(const char *name, struct span a, struct span b, uint8_t out[DIGEST_MAX],
       struct fault *f)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    const EVP_MD *md = EVP_get_digestbyname(name);
    bool ok = c && md && EVP_DigestInit_ex(c, md, NULL) == 1 &&
              EVP_DigestUpdate(c, a.p, a.n) == 1 && EVP_DigestUpdate(c, b.p, b.n) == 1 &&
              EVP_DigestFinal_ex(c, out, NULL) == 1;
    EVP_MD_CTX_free(c);
    return ok ? R_OK : fault_set(f, FAULT_SERVERBUG, "digest %s failed", name);
}

static enum result
salted_judge(const struct scheme *s, struct span hash, struct span password,
             struct fault *f)
{
    uint8_t got[DIGEST_MAX];
    if (digest(s->argument, password, span_skip(hash, s->raw), got, f))
        return R_FAIL;
    return same(got, hash.p, s->raw, f);
}

static enum result
digest_judge(const struct scheme *s, struct span hash, struct span password,
             struct fault *f)
{
    return salted_judge(s, hash, password, f);
}

static enum result
argon2_check(const struct scheme *s, struct span hash, struct fault *f)
{
    return crypts_argon2_check(hash, s->argument, f);
}

static enum result
argon2_judge(const struct scheme *s, struct span hash, struct span password,
             struct fault *f)
{
    (void)s;
    return crypts_argon2_judge(hash, password, f);
}

static enum result
crypt_check(const struct scheme *s, struct span hash, struct fault *f)
{
    return span_starts(hash, span_str(s->argument)) ? crypts_crypt_check(hash, f)
                                                    : malformed(s, f);
}

static enum result
crypt_judge(const struct scheme *s, struct span hash, struct span password, struct fault *f)
{
    (void)s;
    return crypts_crypt_judge(hash, password, f);
}

static enum result
pbkdf2_check(const struct scheme *s, struct span hash, struct fault *f)
{
    (void)s;
    return crypts_pbkdf2_check(hash, f);
}

static enum result
pbkdf2_judge(const struct scheme *s, struct span hash, struct span password,
             struct fault *f)
{
    (void)s;
    return crypts_pbkdf2_judge(hash, password, f);
}

static enum scram_hash
scram_hash_of(const struct scheme *s)
{
    bool newer = span_eq(span_str(s->argument), span_str(scram_name(SCRAM_SHA_256)));
    return newer ? SCRAM_SHA_256 : SCRAM_SHA_1;
}

static enum result
scram_check(const struct scheme *s, struct span hash, struct fault *f)
{
    return crypts_scram_check(scram_hash_of(s), hash, f);
}

static enum result
scram_judge(const struct scheme *s, struct span hash, struct span password, struct fault *f)
{
    return crypts_scram_judge(scram_hash_of(s), hash, password, f);
}

static const struct scheme schemes[] = {
#define SCHEME(name, judge, raw, encoding, cost, argument)                                 \
    {name,    judge##_judge, judge##_check, raw, ENCODING_##encoding, PASSWORD_##cost,     \
     argument},
#include "auth/schemes.def"
#undef SCHEME
};

static const struct scheme *
scheme_find(struct span name)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (span_ieq(name, span_str(schemes[i].name)))
            return &schemes[i];
    return NULL;
}

static const struct {
    const char *suffix;
    enum encoding encoding;
} suffixes[] = {
    {"b64", ENCODING_BASE64}, {"base64", ENCODING_BASE64}, {"hex", ENCODING_HEX}};

static enum result
suffix_find(struct span suffix, enum encoding *out)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (span_ieq(suffix, span_str(suffixes[i].suffix))) {
            *out = suffixes[i].encoding;
            return R_OK;
        }
    }
    return R_NONE;
}

// Takes "{NAME}" or "{NAME.ENCODING}" off the front; without a suffix a digest of twice the raw length is hex.
static enum result
take_scheme(struct span *text, const struct scheme **s_out, enum encoding *e_out,
            struct fault *f)
{
    struct span in = *text;
    size_t end = span_find_char(in, '}');
    if (!span_starts(in, SPAN("{")) || end == in.n)
        return fault_set(f, FAULT_BAD, "no {SCHEME} before the hash");
    struct span name = span_slice(in, 1, end);
    size_t dot = span_find_char(name, '.');
    const struct scheme *s = scheme_find(span_slice(name, 0, dot));
    if (!s)
        return fault_set(f, FAULT_BAD, "unknown password scheme {%.*s}", SPAN_ARG(name));
    *text = span_skip(in, end + 1);
    enum encoding e = s->encoding;
    if (dot < name.n && suffix_find(span_skip(name, dot + 1), &e) != R_OK)
        return fault_set(f, FAULT_BAD, "unknown encoding in {%.*s}", SPAN_ARG(name));
    if (dot == name.n && s->raw > 0 && text->n == 2 * s->raw)
        e = ENCODING_HEX;
    *s_out = s;
    *e_out = e;
    return R_OK;
}

static enum result
decode(struct span text, enum encoding e, struct stored *out)
{
    if (text.n > LIMIT_password_hash)
        return R_FAIL;
    if (e == ENCODING_BASE64)
        return decode_base64(text, out->hash, LIMIT_password_hash, &out->n);
    if (e == ENCODING_HEX)
        return decode_hex(text, out->hash, LIMIT_password_hash, &out->n);
    if (text.n > 0)
        memcpy(out->hash, text.p, text.n);
    out->n = text.n;
    return R_OK;
}

static enum result
stored_parse(struct span text, struct stored *out, struct fault *f)
{
    enum encoding e;
    if (take_scheme(&text, &out->scheme, &e, f))
        return R_FAIL;
    if (decode(text, e, out))
        return malformed(out->scheme, f);
    out->hash[out->n] = '\0';
    return out->scheme->check(out->scheme, span_of(out->hash, out->n), f);
}

static enum result
judge(const struct stored *s, struct span password, struct fault *f)
{
    return s->scheme->judge(s->scheme, span_of(s->hash, s->n), password, f);
}

// Own hashes are of the normalised password, foreign ones of whatever bytes: a password beyond ASCII is
// tried both ways.
static enum result
judge_forms(const struct stored *s, struct span password, struct fault *f)
{
    if (judge(s, password, f) == R_OK)
        return R_OK;
    if (f->kind != FAULT_AUTHFAILED || ascii_only(password))
        return R_FAIL;
    struct buf form;
    buf_init(&form, 4 * LIMIT_password);
    name_opaque(password, &form);
    enum result r = judge(s, buf_span(&form), f);
    sodium_memzero(form.p, form.n);
    buf_done(&form);
    return r;
}

enum result
password_verify(struct span stored, struct span password, struct fault *f)
{
    struct stored s;
    if (stored_parse(stored, &s, f))
        return fault_set(f, FAULT_SERVERBUG, "stored password hash cannot be read");
    if (password.n == 0 || password.n > LIMIT_password)
        return wrong(f);
    enum result r = judge_forms(&s, password, f);
    sodium_memzero(&s, sizeof s);
    return r;
}

static const struct scheme *
scheme_of(struct span stored)
{
    struct fault f;
    const struct scheme *s = NULL;
    enum encoding e;
    return take_scheme(&stored, &s, &e, &f) == R_OK ? s : NULL;
}

enum password_cost
password_cost(struct span stored)
{
    const struct scheme *s = scheme_of(stored);
    return s ? s->cost : PASSWORD_FAST;
}

bool
password_is_own(struct span stored)
{
    return span_starts(stored, SPAN("{ARGON2ID}"));
}

bool
password_is_plain(struct span stored, struct span *text_out)
{
    struct fault f;
    const struct scheme *s = NULL;
    enum encoding e;
    if (take_scheme(&stored, &s, &e, &f) || s->judge != plain_judge || e != ENCODING_TEXT)
        return false;
    *text_out = stored;
    return true;
}

enum result
password_check(struct span text, struct buf *stored_out, struct fault *f)
{
    struct stored s;
    struct buf full;
    buf_init(&full, LIMIT_password_hash);
    if (!span_starts(text, SPAN("{")))
        buf_put_str(&full, "{CRYPT}");
    buf_put(&full, text);
    enum result r = full.over ? fault_set(f, FAULT_BAD, "password hash is too long")
                              : stored_parse(buf_span(&full), &s, f);
    if (r == R_OK)
        buf_put(stored_out, buf_span(&full));
    buf_done(&full);
    return r;
}

static enum result
new_argon2(struct span form, struct buf *stored_out, struct fault *f)
{
    char text[crypto_pwhash_STRBYTES];
    if (form.n == 0 || form.n > 4 * LIMIT_password)
        return fault_set(f, FAULT_BAD, "password is empty or too long");
    if (crypto_pwhash_str_alg(text, form.p, form.n, OWN_PASSES, OWN_MEMORY,
                              crypto_pwhash_ALG_ARGON2ID13))
        return fault_set(f, FAULT_UNAVAILABLE, "no memory for argon2id");
    buf_put_str(stored_out, "{ARGON2ID}");
    buf_put_str(stored_out, text);
    return R_OK;
}

enum result
password_new(struct span password, struct buf *stored_out, struct fault *f)
{
    struct buf form;
    if (password.n > LIMIT_password)
        return fault_set(f, FAULT_BAD, "password is longer than %d octets", LIMIT_password);
    if (span_find_char(password, '\0') < password.n)  // nobody could log in with it
        return fault_set(f, FAULT_BAD, "password with a NUL octet");
    buf_init(&form, 4 * LIMIT_password);
    name_opaque(password, &form);
    enum result r = new_argon2(buf_span(&form), stored_out, f);
    if (form.n > 0)
        sodium_memzero(form.p, form.n);
    buf_done(&form);
    return r;
}

void
password_warm(void)
{
    struct fault f;
    must(sodium_init() >= 0);
    must(password_verify(SPAN("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="), SPAN("test"), &f) ==
         R_OK);
}
