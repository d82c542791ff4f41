#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

// The keys of one user for SCRAM-SHA-256 (RFC 5802, RFC 7677): what the server needs, without the password.
// Text form (Dovecot's {SCRAM-SHA-256}): "iterations,base64 salt,base64 StoredKey,base64 ServerKey".

#include "base/buf.h"

enum {
    SCRAM_SALT_MAX = 64,
    SCRAM_KEY = 32,
    SCRAM_ITERATIONS = 15000,
    SCRAM_ITERATIONS_MIN = 4096
};

struct scram_keys {
    uint32_t iterations;
    uint8_t salt[SCRAM_SALT_MAX];
    size_t salt_n;
    uint8_t stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

// From the password (SASLprep of RFC 4013 is applied), about 8 ms. R_FAIL (FAULT_BAD) when the password
// holds what SASLprep forbids.
enum result scram_derive(struct span password, uint32_t iterations, struct span salt,
                         struct scram_keys *out, struct fault *f) MUST_CHECK;
// The same with a new random salt and SCRAM_ITERATIONS.
enum result scram_new(struct span password, struct scram_keys *out,
                      struct fault *f) MUST_CHECK;

void scram_print(const struct scram_keys *k, struct buf *out);
// Trust: text from a database or passwd-file; iterations are capped by LIMIT_passwd_rounds.
enum result scram_parse(struct span text, struct scram_keys *out) MUST_CHECK;

// Keys for a user who has none: salt fixed by (secret, name), keys that no password gives; iterations and
// salt length as in *like.
void scram_decoy(struct span secret, struct span name, const struct scram_keys *like,
                 struct scram_keys *out);

#endif
