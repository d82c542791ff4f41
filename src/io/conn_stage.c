#include "io/conn_stage.h"

#include "base/budget.h"
#include "base/hash.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

char stage_sample[300000];
SSL_CTX *stage_server, *stage_client;

void
stage_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

void
stage_stop(void)
{
    loop_stop(loop_self());
}

void
stage_collect(struct conn *c, void *arg)
{
    struct stage *s = arg;
    struct span in = conn_input(c);
    buf_put(&s->got, in);
    s->far_failed = conn_failed(c);
    conn_consume(c, in.n);
    if (conn_eof(c) || (s->want > 0 && s->got.n >= s->want))
        stage_stop();
}

void
stage_echo(struct conn *c, void *arg)
{
    struct stage *s = arg;
    s->near_calls++;
    if (conn_eof(c)) {
        s->near_ends++;
        return;
    }
    conn_write(c, conn_input(c));
    conn_consume(c, conn_input(c).n);
}

static void
stage_begin(void *arg)
{
    struct stage *s = arg;
    int fds[2];
    stage_pair(fds);
    s->near = s->tls ? conn_new_tls(fds[0], SSL_new(stage_server), stage_echo, s)
                     : conn_new(fds[0], stage_echo, s);
    s->far = s->tls ? conn_new_tls(fds[1], SSL_new(stage_client), stage_collect, s)
                    : conn_new(fds[1], stage_collect, s);
    s->play(s);
}

static void
stage_end(void *arg)
{
    struct stage *s = arg;
    conn_close(&s->near);
    conn_close(&s->far);
    stage_stop();
}

void
stage_run(struct stage *s, void (*play)(struct stage *s))
{
    struct loop *l = loop_new();
    s->play = play;
    buf_init(&s->got, 64 << 20);
    conn_test_split(s->split_reads, s->split_writes);
    loop_post(l, stage_begin, s);
    loop_run(l);
    loop_post(l, stage_end, s);
    loop_run(l);
    loop_free(&l);
    conn_test_split(false, false);
    assert_int_equal(budget_used(BUDGET_OUTPUT), 0);
    assert_int_equal(budget_used(BUDGET_INTAKE), 0);
}

static void
contexts_new(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    stage_server = SSL_CTX_new(TLS_server_method());
    stage_client = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate(stage_server, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(stage_server, key), 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

int
stage_setup(void **state)
{
    (void)state;
    contexts_new();
    random_bytes(stage_sample, sizeof stage_sample);
    return 0;
}

int
stage_teardown(void **state)
{
    (void)state;
    SSL_CTX_free(stage_server);
    SSL_CTX_free(stage_client);
    return 0;
}
