#include "gate/ticket_keys.h"

#include "base/hash.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

enum { SECRET = 32, HOURS_MAX = 1 << 18, IV = 16 };  // 30 years

struct ticket_key {
    unsigned char name[TICKET_NAME], cipher[SECRET], mac[SECRET];
};

struct ticket_keys {
    unsigned char seed[TICKET_SEED];
    struct ticket_key now, last;
    EVP_CIPHER *cipher;  // fetched once: that takes longer than to use it
};

static uint64_t
seed_hour(const unsigned char seed[TICKET_SEED])
{
    uint64_t hour = 0;
    for (size_t i = 0; i < 8; i++)
        hour = hour << 8 | seed[i];
    return hour;
}

static void
put_hour(unsigned char seed[TICKET_SEED], uint64_t hour)
{
    for (size_t i = 0; i < 8; i++)
        seed[i] = (unsigned char)(hour >> (56 - 8 * i));
}

// SHA-256 of the seed's secret and a word.
static void
derive(const unsigned char seed[TICKET_SEED], char word, unsigned char out[SECRET])
{
    unsigned char in[SECRET + 1];
    memcpy(in, seed + 8, SECRET);
    in[SECRET] = (unsigned char)word;
    must(EVP_Digest(in, sizeof in, out, NULL, EVP_sha256(), NULL) == 1);
    OPENSSL_cleanse(in, sizeof in);
}

static void
step(unsigned char seed[TICKET_SEED])
{
    unsigned char next[SECRET];
    derive(seed, 's', next);
    memcpy(seed + 8, next, SECRET);
    put_hour(seed, seed_hour(seed) + 1);
    OPENSSL_cleanse(next, sizeof next);
}

static uint64_t
hour_of(int64_t now_s)
{
    return now_s > 0 ? (uint64_t)now_s / TICKET_HOUR_S : 0;
}

void
ticket_seed_new(unsigned char seed[TICKET_SEED], int64_t now_s)
{
    random_bytes(seed, TICKET_SEED);
    put_hour(seed, hour_of(now_s - TICKET_HOUR_S));
}

void
ticket_seed_advance(unsigned char seed[TICKET_SEED], int64_t now_s)
{
    uint64_t hour = hour_of(now_s - TICKET_HOUR_S);
    for (int i = 0; i < HOURS_MAX && seed_hour(seed) < hour; i++)
        step(seed);
}

static void
make_now(struct ticket_keys *k)
{
    unsigned char name[SECRET];
    derive(k->seed, 'n', name);
    derive(k->seed, 'c', k->now.cipher);
    derive(k->seed, 'm', k->now.mac);
    memcpy(k->now.name, name, TICKET_NAME);
}

// A clock that goes back changes nothing: what was forgotten stays so.
static void
advance(struct ticket_keys *k, int64_t now_s)
{
    for (int i = 0; i < HOURS_MAX && seed_hour(k->seed) < hour_of(now_s); i++) {
        k->last = k->now;
        step(k->seed);
        make_now(k);
    }
}

struct ticket_keys *
ticket_keys_new(const unsigned char seed[TICKET_SEED])
{
    struct ticket_keys *k = calloc(1, sizeof *k);
    must(k != NULL);
    memcpy(k->seed, seed, TICKET_SEED);
    make_now(k);
    k->last = k->now;
    k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    must(k->cipher != NULL);
    return k;
}

void
ticket_keys_free(struct ticket_keys **k)
{
    if (*k == NULL)
        return;
    EVP_CIPHER_free((*k)->cipher);
    OPENSSL_cleanse(*k, sizeof **k);
    free(*k);
    *k = NULL;
}

static bool
set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, SECRET),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

int
ticket_keys_seal(struct ticket_keys *k, int64_t now_s, unsigned char name[TICKET_NAME],
                 unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    advance(k, now_s);
    memcpy(name, k->now.name, TICKET_NAME);
    random_bytes(iv, IV);
    return EVP_EncryptInit_ex2(cipher, k->cipher, k->now.cipher, iv, NULL) == 1 &&
                   set_mac(mac, &k->now)
               ? 1
               : -1;
}

int
ticket_keys_open(struct ticket_keys *k, int64_t now_s,
                 const unsigned char name[TICKET_NAME], const unsigned char *iv,
                 EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    advance(k, now_s);
    bool now = CRYPTO_memcmp(name, k->now.name, TICKET_NAME) == 0;
    struct ticket_key *key = now ? &k->now : &k->last;
    if (!now && CRYPTO_memcmp(name, k->last.name, TICKET_NAME) != 0)
        return 0;
    if (EVP_DecryptInit_ex2(cipher, k->cipher, key->cipher, iv, NULL) != 1 ||
        !set_mac(mac, key))
        return -1;
    return now ? 1 : 2;
}
