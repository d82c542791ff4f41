#include "auth/crypts.h"
#include "auth/encode.h"
#include "base/limits.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <sodium.h>

enum { PBKDF2_RAW = 20, DES_SIZE = 13, CRYPT_PASSWORD_MAX = 511 };

static enum result
wrong(struct fault *f)
{
    return fault_set(f, FAULT_AUTHFAILED, "wrong password");
}

static enum result
malformed(const char *scheme, struct fault *f)
{
    return fault_set(f, FAULT_BAD, "malformed %s hash", scheme);
}

static enum result
too_costly(const char *scheme, struct fault *f)
{
    return fault_set(f, FAULT_BAD, "%s hash with parameters that are too costly", scheme);
}

// The number after "key" up to one of ',' and '$'; 0 when there is none.
static uint32_t
number_after(struct span s, const char *key)
{
    size_t at = span_find(s, span_str(key));
    struct span rest = span_skip(s, at == s.n ? s.n : at + strlen(key));
    size_t n = 0;
    uint32_t v = 0;
    while (n < rest.n && ascii_is_digit(rest.p[n]))
        n++;
    return span_to_u32(span_slice(rest, 0, n), &v) == R_OK ? v : UINT32_MAX * (n > 0);
}

enum result
crypts_argon2_check(struct span hash, const char *prefix, struct fault *f)
{
    uint32_t kib = number_after(hash, "$m="), passes = number_after(hash, ",t=");
    if (!span_starts(hash, span_str(prefix)) || hash.n >= crypto_pwhash_STRBYTES ||
        memchr(hash.p, '\0', hash.n) || kib == 0 || passes == 0)
        return malformed("argon2", f);
    // libsodium knows one lane only; with more it would answer "wrong password" for ever.
    if (number_after(hash, ",p=") != 1)
        return fault_set(f, FAULT_BAD,
                         "argon2 hash with more than one lane is not supported");
    if (kib > LIMIT_passwd_argon2_kib || passes > LIMIT_passwd_argon2_passes)
        return too_costly("argon2", f);
    return R_OK;
}

enum result
crypts_argon2_judge(struct span hash, struct span password, struct fault *f)
{
    return crypto_pwhash_str_verify(hash.p, password.p, password.n) == 0 ? R_OK : wrong(f);
}

static bool
is_crypt_char(char c)
{
    return ascii_is_digit(c) || ascii_is_alpha(c) || c == '.' || c == '/';
}

static bool
all_crypt_chars(struct span s, const char *also)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_crypt_char(s.p[i]) && (s.p[i] == '\0' || !strchr(also, s.p[i])))
            return false;
    return true;
}

static enum result
sha_crypt_check(struct span hash, struct fault *f)
{
    uint32_t rounds = number_after(hash, "$rounds=");
    return rounds > LIMIT_passwd_rounds ? too_costly("SHA-crypt", f) : R_OK;
}

static enum result
bcrypt_check(struct span hash, struct fault *f)
{
    uint32_t cost = 0;
    if (hash.n != 60 || !strchr("aby", hash.p[2]) || hash.p[3] != '$' || hash.p[6] != '$' ||
        span_to_u32(span_slice(hash, 4, 6), &cost))
        return malformed("bcrypt", f);
    return cost > LIMIT_passwd_bcrypt_cost ? too_costly("bcrypt", f) : R_OK;
}

// "$y$jNT$": N from '.' up as log2; 'D' is 256 MiB at the usual block size T.
static enum result
yescrypt_check(struct span hash, struct fault *f)
{
    if (hash.n < 8 || hash.p[3] != 'j' || hash.p[5] != 'T' || hash.p[6] != '$')
        return malformed("yescrypt", f);
    return hash.p[4] > 'D' ? too_costly("yescrypt", f) : R_OK;
}

enum result
crypts_crypt_check(struct span hash, struct fault *f)
{
    if (!all_crypt_chars(hash, "$=,-_+") || hash.n < DES_SIZE)
        return malformed("crypt", f);
    if (hash.p[0] != '$')
        return hash.n == DES_SIZE && all_crypt_chars(hash, "") ? R_OK
                                                               : malformed("DES crypt", f);
    if (span_starts(hash, SPAN("$1$")))
        return R_OK;
    if (span_starts(hash, SPAN("$5$")) || span_starts(hash, SPAN("$6$")))
        return sha_crypt_check(hash, f);
    if (span_starts(hash, SPAN("$2")))
        return bcrypt_check(hash, f);
    if (span_starts(hash, SPAN("$y$")))
        return yescrypt_check(hash, f);
    return fault_set(f, FAULT_BAD, "unknown crypt method");
}

static enum result
crypt_compare(struct crypt_data *data, struct span hash, const char *password,
              struct fault *f)
{
    const char *got = crypt_rn(password, hash.p, data, sizeof *data);
    if (!got)
        return fault_set(f, FAULT_SERVERBUG, "crypt cannot read the stored hash");
    if (strlen(got) != hash.n)
        return wrong(f);
    return sodium_memcmp(got, hash.p, hash.n) == 0 ? R_OK : wrong(f);
}

enum result
crypts_crypt_judge(struct span hash, struct span password, struct fault *f)
{
    char text[CRYPT_PASSWORD_MAX + 1];
    // crypt would stop at a NUL: "secret\0anything" must not be "secret".
    if (password.n > CRYPT_PASSWORD_MAX || memchr(password.p, '\0', password.n))
        return wrong(f);
    // 32 KiB: too much for a task's stack
    struct crypt_data *data = calloc(1, sizeof *data);
    must(data != NULL);
    memcpy(text, password.p, password.n);
    text[password.n] = '\0';
    enum result r = crypt_compare(data, hash, text, f);
    sodium_memzero(text, sizeof text);
    sodium_memzero(data, sizeof *data);
    free(data);
    return r;
}

struct pbkdf2 {
    struct span salt;
    uint32_t rounds;
    uint8_t raw[PBKDF2_RAW];
};

static enum result
pbkdf2_parse(struct span hash, struct pbkdf2 *out)
{
    struct span none, kind, rounds, hex;
    size_t n = 0;
    if (span_next_field(&hash, '$', &none) != R_OK || none.n > 0 ||
        span_next_field(&hash, '$', &kind) != R_OK || !span_eq(kind, SPAN("1")) ||
        span_next_field(&hash, '$', &out->salt) != R_OK ||
        span_next_field(&hash, '$', &rounds) != R_OK || span_to_u32(rounds, &out->rounds) ||
        span_next_field(&hash, '$', &hex) != R_OK ||
        decode_hex(hex, out->raw, PBKDF2_RAW, &n) || n != PBKDF2_RAW || hash.n > 0)
        return R_FAIL;
    return out->rounds > 0 ? R_OK : R_FAIL;
}

enum result
crypts_pbkdf2_check(struct span hash, struct fault *f)
{
    struct pbkdf2 p;
    if (pbkdf2_parse(hash, &p))
        return malformed("PBKDF2", f);
    return p.rounds > LIMIT_passwd_rounds ? too_costly("PBKDF2", f) : R_OK;
}

enum result
crypts_pbkdf2_judge(struct span hash, struct span password, struct fault *f)
{
    struct pbkdf2 p;
    uint8_t got[PBKDF2_RAW];
    if (pbkdf2_parse(hash, &p) ||
        PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const uint8_t *)p.salt.p,
                          (int)p.salt.n, (int)p.rounds, EVP_sha1(), PBKDF2_RAW, got) != 1)
        return fault_set(f, FAULT_SERVERBUG, "PBKDF2 failed");
    return sodium_memcmp(got, p.raw, PBKDF2_RAW) == 0 ? R_OK : wrong(f);
}

enum result
crypts_scram_check(enum scram_hash kind, struct span hash, struct fault *f)
{
    struct scram_keys k;
    return scram_parse(kind, hash, &k) == R_OK ? R_OK : malformed(scram_name(kind), f);
}

enum result
crypts_scram_judge(enum scram_hash kind, struct span hash, struct span password,
                   struct fault *f)
{
    struct scram_keys k, got;
    if (scram_parse(kind, hash, &k))
        return fault_set(f, FAULT_SERVERBUG, "SCRAM keys cannot be read");
    if (scram_derive(kind, password, k.iterations, span_of(k.salt, k.salt_n), &got, f))
        return f->kind == FAULT_BAD ? wrong(f) : R_FAIL;
    return sodium_memcmp(got.stored_key, k.stored_key, scram_key_size(kind)) == 0
               ? R_OK
               : wrong(f);
}
