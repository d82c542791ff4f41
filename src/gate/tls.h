#ifndef GATE_TLS_H
#define GATE_TLS_H

// A tls_set is the server's certificates ready for use: TLS 1.2 and 1.3, no renegotiation, compression, session
// cache or 0-RTT; certificates of several names and key types, chosen by SNI (RFC 6066) and the client's ciphers.
// Owner: the gate. Threads: its loop. Trust: PEM bytes are the administrator's, the handshake is a stranger's.

#include "base/buf.h"
#include "base/span.h"
#include "gate/ticket_keys.h"
#include "io/message.h"
#include <openssl/ssl.h>

enum { TLS_EXPORTER = 32 };

struct tls_set;
struct tls_set *tls_set_new(void);
void tls_set_free(struct tls_set **t);
// A chain (leaf first) and its key, both PEM. FAULT_BAD: not readable, or they do not belong together; the set is
// good only for tls_set_free then.
enum result tls_set_add(struct tls_set *t, struct span chain, struct span key,
                        struct fault *f) MUST_CHECK;
// Asks clients for certificates of these authorities (PEM). After the certificates. FAULT_BAD: none can be read.
enum result tls_set_client_ca(struct tls_set *t, struct span pem,
                              struct fault *f) MUST_CHECK;
// TICKET_SEED octets, the same for all gates: what one seals the others open.
void tls_set_ticket_seed(struct tls_set *t, struct span seed);

// A connection's TLS, server side, that insists on `alpn` (RFC 7301) when the client offers any.
SSL *tls_set_accept(struct tls_set *t, const char *alpn);

// What of a client's certificate names the user: the one address of its subjectAltName, or its one common name.
enum tls_client_name { TLS_CLIENT_EMAIL, TLS_CLIENT_CN };
// What the facts' spans are in, besides the SSL.
struct tls_scratch {
    unsigned char exporter[TLS_EXPORTER];
    char name[256];
};

// A signature over `content`, which is in it, by the certificate of that name, else the first, with its chain (CMS SignedData in DER,
// RFC 5652). R_NONE: there is no certificate.
enum result tls_set_sign(struct tls_set *t, struct span host, struct span content,
                         struct buf *out) MUST_CHECK;

// Facts of a finished handshake. `certificate` is the name in a client certificate that was verified; empty: there is no
// such certificate, or no such name in it.
struct tls_facts tls_facts_of(SSL *ssl, enum tls_kind kind, enum tls_client_name name,
                              struct tls_scratch *scratch);
bool tls_has_client(SSL *ssl);    // a verified certificate that has not run out since
bool tls_has_exporter(SSL *ssl);  // a value that channels are bound to; after the handshake

#endif
