#include "bench/tls.h"

#include "base/fault.h"

// The newest session of the process's one resuming context.
static SSL_SESSION *newest;

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

SSL_CTX *
tls_new(bool resume)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    must(ctx != NULL);
    SSL_CTX_set_session_cache_mode(ctx, resume ? SSL_SESS_CACHE_CLIENT |
                                                     SSL_SESS_CACHE_NO_INTERNAL
                                               : SSL_SESS_CACHE_OFF);
    if (resume)
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
    return ctx;
}

void
tls_free(SSL_CTX **ctx)
{
    SSL_SESSION_free(newest);
    newest = NULL;
    SSL_CTX_free(*ctx);
    *ctx = NULL;
}

SSL *
tls_begin(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    must(ssl != NULL);
    SSL_set_connect_state(ssl);
    if (newest != NULL)
        must(SSL_set_session(ssl, newest) == 1);
    return ssl;
}

// A session whose connection ended without a word could not be resumed: let OpenSSL believe the word was given.
void
tls_end(SSL **ssl)
{
    if (*ssl != NULL)
        SSL_set_shutdown(*ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(*ssl);
    *ssl = NULL;
}
