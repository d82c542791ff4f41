// What OpenSSL alone takes for the server's side of a handshake: the measure of what a gate adds.

#include "bench/tls.h"

#include "base/fault.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

static uint64_t
cpu_ns(void)
{
    struct timespec t;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// Signed by its own ECDSA P-256 key, as the servers' certificates are.
static SSL_CTX *
server_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    must(ctx != NULL && key != NULL && cert != NULL);
    X509_NAME *name = X509_get_subject_name(cert);
    must(X509_set_version(cert, X509_VERSION_3) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
         X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                    (const unsigned char *)"localhost", -1, -1, 0) == 1 &&
         X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
         X509_sign(cert, key, EVP_sha256()) > 0);
    must(SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
         SSL_CTX_set_num_tickets(ctx, 1) == 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

static uint64_t
shake(SSL *server, SSL *client)
{
    uint64_t ns = 0;
    char byte;
    for (bool open = true; open;) {
        (void)SSL_do_handshake(client);
        uint64_t before = cpu_ns();
        (void)SSL_do_handshake(server);
        ns += cpu_ns() - before;
        open = !SSL_is_init_finished(client) || !SSL_is_init_finished(server);
    }
    (void)SSL_read(client, &byte, 1);  // takes the ticket
    return ns;
}

static double
measure(SSL_CTX *server, bool resume, uint64_t count)
{
    SSL_CTX *client = tls_new(resume);
    uint64_t ns = 0, resumed = 0;
    for (uint64_t i = 0; i <= count; i++) {
        BIO *near = NULL, *far = NULL;
        SSL *a = SSL_new(server), *b = tls_begin(client);
        must(a != NULL && BIO_new_bio_pair(&near, 1 << 16, &far, 1 << 16) == 1);
        SSL_set_bio(a, near, near);
        SSL_set_bio(b, far, far);
        SSL_set_accept_state(a);
        uint64_t one = shake(a, b);
        ns += i > 0 ? one : 0;  // the first has no session to resume
        resumed += i > 0 && SSL_session_reused(a) == 1;
        tls_end(&b);
        tls_end(&a);
    }
    must(resumed == (resume ? count : 0));
    tls_free(&client);
    return (double)ns / 1000 / (double)count;
}

void
handshake_measure(uint64_t count)
{
    SSL_CTX *server = server_new();
    double full = measure(server, false, count), resumed = measure(server, true, count);
    printf("op=openssl n=%lu full=%.1f resumed=%.1f\n", (unsigned long)count, full,
           resumed);
    SSL_CTX_free(server);
}
