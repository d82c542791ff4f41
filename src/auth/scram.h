#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

// The keys of one user for SCRAM (RFC 5802, RFC 7677): what the server needs, without the password.
// Text form (Dovecot's {SCRAM-SHA-256}): "iterations,base64 salt,base64 StoredKey,base64 ServerKey".

#include "base/buf.h"

enum {
    SCRAM_SALT_MAX = 64,
    SCRAM_KEY_MAX = 32,
    SCRAM_ITERATIONS = 15000,
    SCRAM_ITERATIONS_MIN = 4096
};

enum scram_hash { SCRAM_SHA_256, SCRAM_SHA_1, SCRAM_HASHES };

struct scram_keys {
    uint32_t iterations;  // 0: no keys
    uint8_t salt[SCRAM_SALT_MAX];
    size_t salt_n;
    uint8_t stored_key[SCRAM_KEY_MAX], server_key[SCRAM_KEY_MAX];
};

// A user's keys for each hash.
struct scram_set {
    struct scram_keys of[SCRAM_HASHES];
};

static inline bool
scram_has(const struct scram_set *s, enum scram_hash hash)
{
    return s->of[hash].iterations > 0;
}
bool scram_is_whole(const struct scram_set *s);

const char *scram_name(enum scram_hash hash);  // "SCRAM-SHA-256"
size_t scram_key_size(enum scram_hash hash);   // octets of a key

// From the password (SASLprep of RFC 4013 is applied), about 8 ms. R_FAIL (FAULT_BAD) when the password
// holds what SASLprep forbids.
enum result scram_derive(enum scram_hash hash, struct span password, uint32_t iterations,
                         struct span salt, struct scram_keys *out,
                         struct fault *f) MUST_CHECK;
// The same for each hash, with new random salts and SCRAM_ITERATIONS.
enum result scram_new(struct span password, struct scram_set *out,
                      struct fault *f) MUST_CHECK;

void scram_print(enum scram_hash hash, const struct scram_keys *k, struct buf *out);
// Trust: text from a database or passwd-file; iterations are capped by LIMIT_passwd_rounds.
enum result scram_parse(enum scram_hash hash, struct span text,
                        struct scram_keys *out) MUST_CHECK;

// Keys for a user who has none: salt fixed by (hash, secret, name), keys that no password gives; iterations and
// salt length as in *like.
void scram_decoy(enum scram_hash hash, struct span secret, struct span name,
                 const struct scram_keys *like, struct scram_keys *out);

#endif
