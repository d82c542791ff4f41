#include "auth/scram.h"
#include "base/hash.h"
#include "base/limits.h"
#include "auth/encode.h"

#include <gsasl.h>
#include <sodium.h>

enum { SALT_NEW = 16 };

static enum result
saslprep(struct span password, char **out, struct fault *f)
{
    char text[LIMIT_password + 1];
    if (password.n > LIMIT_password || memchr(password.p, '\0', password.n))
        return fault_set(f, FAULT_BAD, "password is too long or holds NUL");
    memcpy(text, password.p, password.n);
    text[password.n] = '\0';
    int rc = gsasl_saslprep(text, (Gsasl_saslprep_flags)0, out, NULL);
    sodium_memzero(text, sizeof text);
    return rc == GSASL_OK ? R_OK
                          : fault_set(f, FAULT_BAD, "password: %s", gsasl_strerror(rc));
}

enum result
scram_derive(struct span password, uint32_t iterations, struct span salt,
             struct scram_keys *out, struct fault *f)
{
    char *prepared = NULL;
    char salted[SCRAM_KEY], client[SCRAM_KEY];
    must(salt.n <= SCRAM_SALT_MAX);
    if (saslprep(password, &prepared, f))
        return R_FAIL;
    struct scram_keys k = {.iterations = iterations, .salt_n = salt.n};
    memcpy(k.salt, salt.p, salt.n);
    int rc = gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, prepared, iterations,
                                               salt.p, salt.n, salted, client,
                                               (char *)k.server_key, (char *)k.stored_key);
    sodium_memzero(prepared, strlen(prepared));
    gsasl_free(prepared);
    sodium_memzero(salted, sizeof salted);
    sodium_memzero(client, sizeof client);
    if (rc != GSASL_OK)
        return fault_set(f, FAULT_SERVERBUG, "SCRAM keys: %s", gsasl_strerror(rc));
    *out = k;
    return R_OK;
}

enum result
scram_new(struct span password, struct scram_keys *out, struct fault *f)
{
    char salt[SALT_NEW];
    random_bytes(salt, sizeof salt);
    return scram_derive(password, SCRAM_ITERATIONS, span_of(salt, sizeof salt), out, f);
}

void
scram_print(const struct scram_keys *k, struct buf *out)
{
    buf_put_u64(out, k->iterations);
    buf_put_char(out, ',');
    encode_base64(span_of(k->salt, k->salt_n), out);
    buf_put_char(out, ',');
    encode_base64(span_of(k->stored_key, SCRAM_KEY), out);
    buf_put_char(out, ',');
    encode_base64(span_of(k->server_key, SCRAM_KEY), out);
}

static enum result
key_field(struct span *rest, void *out, size_t max, size_t *n_out)
{
    struct span field;
    if (span_next_field(rest, ',', &field) != R_OK)
        return R_FAIL;
    return decode_base64(field, out, max, n_out);
}

enum result
scram_parse(struct span text, struct scram_keys *out)
{
    struct scram_keys k = {0};
    struct span count;
    size_t stored = 0, server = 0;
    if (span_next_field(&text, ',', &count) != R_OK || span_to_u32(count, &k.iterations) ||
        k.iterations < SCRAM_ITERATIONS_MIN || k.iterations > LIMIT_passwd_rounds)
        return R_FAIL;
    if (key_field(&text, k.salt, sizeof k.salt, &k.salt_n) || k.salt_n == 0 ||
        key_field(&text, k.stored_key, SCRAM_KEY, &stored) || stored != SCRAM_KEY ||
        key_field(&text, k.server_key, SCRAM_KEY, &server) || server != SCRAM_KEY ||
        text.n > 0)
        return R_FAIL;
    *out = k;
    return R_OK;
}

static void
keyed(struct span secret, struct span name, char use,
      uint8_t out[crypto_auth_hmacsha512_BYTES])
{
    crypto_auth_hmacsha512_state s;
    crypto_auth_hmacsha512_init(&s, (const unsigned char *)secret.p, secret.n);
    crypto_auth_hmacsha512_update(&s, (const unsigned char *)&use, 1);
    crypto_auth_hmacsha512_update(&s, (const unsigned char *)name.p, name.n);
    crypto_auth_hmacsha512_final(&s, out);
}

void
scram_decoy(struct span secret, struct span name, const struct scram_keys *like,
            struct scram_keys *out)
{
    uint8_t salt[crypto_auth_hmacsha512_BYTES], keys[crypto_auth_hmacsha512_BYTES];
    keyed(secret, name, 's', salt);
    keyed(secret, name, 'k', keys);
    *out = (struct scram_keys){.iterations = like->iterations, .salt_n = like->salt_n};
    memcpy(out->salt, salt, out->salt_n);
    memcpy(out->stored_key, keys, SCRAM_KEY);
    memcpy(out->server_key, keys + SCRAM_KEY, SCRAM_KEY);
}
