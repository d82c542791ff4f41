#include "auth/scram.h"
#include "base/hash.h"
#include "base/limits.h"
#include "auth/encode.h"

#include <gsasl.h>
#include <sodium.h>

enum { SALT_NEW = 16 };

static const struct {
    const char *name;
    Gsasl_hash hash;
    size_t key;
} hashes[] = {
    [SCRAM_SHA_256] = {"SCRAM-SHA-256", GSASL_HASH_SHA256, 32},
    [SCRAM_SHA_1] = {"SCRAM-SHA-1", GSASL_HASH_SHA1, 20},
};

const char *
scram_name(enum scram_hash hash)
{
    return hashes[hash].name;
}

size_t
scram_key_size(enum scram_hash hash)
{
    return hashes[hash].key;
}

bool
scram_is_whole(const struct scram_set *s)
{
    for (int h = 0; h < SCRAM_HASHES; h++)
        if (!scram_has(s, (enum scram_hash)h))
            return false;
    return true;
}

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
scram_derive(enum scram_hash hash, struct span password, uint32_t iterations,
             struct span salt, struct scram_keys *out, struct fault *f)
{
    char *prepared = NULL;
    char salted[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX];
    must(salt.n <= SCRAM_SALT_MAX);
    if (saslprep(password, &prepared, f))
        return R_FAIL;
    struct scram_keys k = {.iterations = iterations, .salt_n = salt.n};
    memcpy(k.salt, salt.p, salt.n);
    int rc = gsasl_scram_secrets_from_password(hashes[hash].hash, prepared, iterations,
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
scram_new(struct span password, struct scram_set *out, struct fault *f)
{
    struct scram_set set = {0};
    for (int h = 0; h < SCRAM_HASHES; h++) {
        char salt[SALT_NEW];
        random_bytes(salt, sizeof salt);
        if (scram_derive((enum scram_hash)h, password, SCRAM_ITERATIONS,
                         span_of(salt, sizeof salt), &set.of[h], f))
            return R_FAIL;
    }
    *out = set;
    return R_OK;
}

void
scram_print(enum scram_hash hash, const struct scram_keys *k, struct buf *out)
{
    buf_put_u64(out, k->iterations);
    buf_put_char(out, ',');
    encode_base64(span_of(k->salt, k->salt_n), out);
    buf_put_char(out, ',');
    encode_base64(span_of(k->stored_key, hashes[hash].key), out);
    buf_put_char(out, ',');
    encode_base64(span_of(k->server_key, hashes[hash].key), out);
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
scram_parse(enum scram_hash hash, struct span text, struct scram_keys *out)
{
    struct scram_keys k = {0};
    struct span count;
    size_t stored = 0, server = 0, size = hashes[hash].key;
    if (span_next_field(&text, ',', &count) != R_OK || span_to_u32(count, &k.iterations) ||
        k.iterations < SCRAM_ITERATIONS_MIN || k.iterations > LIMIT_passwd_rounds)
        return R_FAIL;
    if (key_field(&text, k.salt, sizeof k.salt, &k.salt_n) || k.salt_n == 0 ||
        key_field(&text, k.stored_key, size, &stored) || stored != size ||
        key_field(&text, k.server_key, size, &server) || server != size || text.n > 0)
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
scram_decoy(enum scram_hash hash, struct span secret, struct span name,
            const struct scram_keys *like, struct scram_keys *out)
{
    uint8_t salt[crypto_auth_hmacsha512_BYTES], keys[crypto_auth_hmacsha512_BYTES];
    keyed(secret, name, hash == SCRAM_SHA_256 ? 's' : 'S', salt);
    keyed(secret, name, hash == SCRAM_SHA_256 ? 'k' : 'K', keys);
    *out = (struct scram_keys){.iterations = like->iterations, .salt_n = like->salt_n};
    memcpy(out->salt, salt, out->salt_n);
    memcpy(out->stored_key, keys, SCRAM_KEY_MAX);
    memcpy(out->server_key, keys + SCRAM_KEY_MAX, SCRAM_KEY_MAX);
}
