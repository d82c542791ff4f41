#ifndef GATE_TICKET_KEYS_H
#define GATE_TICKET_KEYS_H

// The keys that TLS session tickets are sealed with (RFC 5077 section 4, RFC 8446 section 4.6.1). All gates derive
// them from one seed, so that a ticket of one opens at the others and after a restart. They change every hour: the
// seed is hashed on and what it was is forgotten. A ticket opens in the hour it is from and in the next.
// Owner: the tls_set. Threads: its loop. Trust: name and ticket are a stranger's.

#include "base/span.h"
#include <openssl/types.h>

enum { TICKET_SEED = 40, TICKET_HOUR_S = 3600, TICKET_NAME = 16 };

// Eight octets of the hour it belongs to, then a secret. The supervisor's is an hour behind, since a new gate opens
// tickets of the last hour, too.
void ticket_seed_new(unsigned char seed[TICKET_SEED], int64_t now_s);
void ticket_seed_advance(unsigned char seed[TICKET_SEED], int64_t now_s);

struct ticket_keys;
struct ticket_keys *ticket_keys_new(const unsigned char seed[TICKET_SEED]);
void ticket_keys_free(struct ticket_keys **k);

// What SSL_CTX_set_tlsext_ticket_key_evp_cb asks for. Returns as its callback does: 1 done, 2 done and a new ticket
// is due, 0 no such key, -1 failed.
int ticket_keys_seal(struct ticket_keys *k, int64_t now_s, unsigned char name[TICKET_NAME],
                     unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
int ticket_keys_open(struct ticket_keys *k, int64_t now_s,
                     const unsigned char name[TICKET_NAME], const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);

#endif
