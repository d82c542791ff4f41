#ifndef AUTH_ENCODE_H
#define AUTH_ENCODE_H

// Base64 and hex of stored hashes (libsodium, without branches on the bytes).
// Trust: decode reads text from passwd-files and databases; base64 with or without padding.

#include "base/buf.h"

void encode_base64(struct span s, struct buf *out);
enum result decode_base64(struct span text, void *out, size_t max,
                          size_t *n_out) MUST_CHECK;
enum result decode_hex(struct span text, void *out, size_t max, size_t *n_out) MUST_CHECK;

#endif
