#ifndef BENCH_TLS_H
#define BENCH_TLS_H

// The client's side of TLS, with or without resumption, and what a handshake costs without any server. No certificate is
// verified. Threads: one.

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

SSL_CTX *tls_new(bool resume);
void tls_free(SSL_CTX **ctx);
// A connection's state; of a resuming context, it offers the newest session.
SSL *tls_begin(SSL_CTX *ctx);
void tls_end(SSL **ssl);

// Prints the CPU of the server's side of `count` handshakes through memory, and of as many resumed ones.
void handshake_measure(uint64_t count);

#endif
