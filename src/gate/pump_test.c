#include "gate/pump.h"
#include "gate/tls.h"
#include "base/hash.h"
#include "io/loop.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <cmocka.h>

// A TLS client, the pump, and a mail side. The client echoes nothing: each side sends its own stream of random
// octets, in pieces of random sizes, and checks the other's by a running hash.
enum { TOTAL = 3 * 1024 * 1024 };

struct scene {
    struct loop *loop;
    struct pump *pump;
    char scratch[PUMP_BUFFER];
    int ended;
    bool given_back;
    struct span sent;  // by the client, unread by mail when it gives back
    SSL *detached;
    int client_fd, mail_fd;
    SSL *client;
};

static void
put_pem(struct buf *b, EVP_PKEY *key, X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    must(bio != NULL);
    must(key != NULL ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                     : PEM_write_bio_X509(bio, x) == 1);
    long n = BIO_get_mem_data(bio, &p);
    buf_put(b, span_of(p, (size_t)n));
    BIO_free(bio);
}

static void
make_certificate(struct buf *chain, struct buf *key)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    must(k != NULL && x != NULL);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, k);
    must(X509_sign(x, k, EVP_sha256()) > 0);
    put_pem(chain, NULL, x);
    put_pem(key, k, NULL);
    X509_free(x);
    EVP_PKEY_free(k);
}

static struct tls_set *
make_tls(void)
{
    struct buf chain, key;
    struct fault f;
    buf_init(&chain, 65536);
    buf_init(&key, 65536);
    make_certificate(&chain, &key);
    struct tls_set *t = tls_set_new();
    if (tls_set_add(t, buf_span(&chain), buf_span(&key), &f) != R_OK)
        fail_msg("%s", f.why);
    buf_done(&chain);
    buf_done(&key);
    return t;
}

static void *
client_handshake(void *arg)
{
    SSL *client = arg;
    must(SSL_connect(client) == 1);
    return NULL;
}

static void
on_pump_end(struct pump *p, void *arg)
{
    struct scene *s = arg;
    s->ended++;
    s->given_back = pump_given_back(p);
    if (s->given_back)
        s->detached = pump_detach(p);
    s->pump = NULL;
    loop_stop(s->loop);
}

// Both handshakes with blocking sockets, then the server's side becomes the pump's.
static void
scene_open(struct scene *s)
{
    int wire[2], ends[2];
    pthread_t thread;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, wire) == 0 &&
         socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    struct tls_set *t = make_tls();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    s->client = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL *server = tls_set_accept(t, "imap");
    must(SSL_set_fd(s->client, wire[0]) == 1 && SSL_set_fd(server, wire[1]) == 1);
    must(pthread_create(&thread, NULL, client_handshake, s->client) == 0);
    must(SSL_accept(server) == 1);
    pthread_join(thread, NULL);
    tls_set_free(&t);
    must(fcntl(wire[1], F_SETFL, O_NONBLOCK) == 0 &&
         fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    s->client_fd = wire[0];
    s->mail_fd = ends[1];
    s->loop = loop_new();
    s->detached = server;  // until the loop runs
    s->ended = ends[0];
}

static void
start_pump(void *arg)
{
    struct scene *s = arg;
    int end = s->ended;
    s->ended = 0;
    s->pump = pump_new(s->detached, end, s->scratch, on_pump_end, s);
    s->detached = NULL;
}

static void
scene_close(struct scene *s)
{
    SSL_free(s->client);
    close(s->client_fd);
    close(s->mail_fd);
    loop_free(&s->loop);
}

struct stream {
    unsigned seed;
    size_t sent, got;
};

static char
octet_at(const struct stream *t, size_t i)
{
    return (char)((i * 2654435761u + t->seed) >> 13);
}

static size_t
piece(const struct stream *t, char *out, size_t max)
{
    size_t n = 1 + random_u64() % max, left = TOTAL - t->sent;
    n = n < left ? n : left;
    for (size_t i = 0; i < n; i++)
        out[i] = octet_at(t, t->sent + i);
    return n;
}

static void
check(struct stream *t, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must(p[i] == octet_at(t, t->got + i));
    t->got += n;
}

static void *
client_writes(void *arg)
{
    static char out[40000];
    struct scene *s = arg;
    struct stream t = {.seed = 1};
    while (t.sent < TOTAL) {
        size_t n = piece(&t, out, sizeof out);
        must(SSL_write(s->client, out, (int)n) == (int)n);
        t.sent += n;
    }
    return NULL;
}

static void *
mail_talks(void *arg)
{
    static char in[50000], out[50000];
    struct scene *s = arg;
    struct stream up = {.seed = 1}, down = {.seed = 2};
    while (up.got < TOTAL || down.sent < TOTAL) {
        struct pollfd p = {
            s->mail_fd,
            (short)((up.got < TOTAL ? POLLIN : 0) | (down.sent < TOTAL ? POLLOUT : 0)), 0};
        must(poll(&p, 1, -1) == 1);
        if (p.revents & POLLIN) {
            ssize_t n = recv(s->mail_fd, in, sizeof in, MSG_DONTWAIT);
            must(n > 0);
            check(&up, in, (size_t)n);
        }
        if (p.revents & POLLOUT) {
            size_t n = piece(&down, out, sizeof out);
            ssize_t took = send(s->mail_fd, out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
            down.sent += took > 0 ? (size_t)took : 0;
        }
    }
    shutdown(s->mail_fd, SHUT_WR);
    return NULL;
}

// Reads slowly at first, so that the pump meets a full socket.
static void *
client_reads(void *arg)
{
    static char in[30000];
    struct scene *s = arg;
    struct stream t = {.seed = 2};
    usleep(50000);
    for (;;) {
        int n = SSL_read(s->client, in, (int)(1 + random_u64() % sizeof in));
        if (n <= 0)
            break;
        check(&t, in, (size_t)n);
    }
    must(t.got == TOTAL);
    return NULL;
}

static void *
run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void
test_both_ways(void **state)
{
    (void)state;
    struct scene *s = calloc(1, sizeof *s);
    pthread_t writer, mail;
    scene_open(s);
    loop_post(s->loop, start_pump, s);
    pthread_create(&writer, NULL, client_writes, s);
    pthread_create(&mail, NULL, mail_talks, s);
    // One thread may use an SSL at a time, so the client's reading starts when its writing is done.
    pthread_t loop;
    pthread_create(&loop, NULL, run_loop, s->loop);
    pthread_join(writer, NULL);
    client_reads(s);
    pthread_join(mail, NULL);
    pthread_join(loop, NULL);
    assert_int_equal(s->ended, 1);
    assert_false(s->given_back);
    scene_close(s);
    free(s);
}

static void
give_back(void *arg)
{
    struct scene *s = arg;
    struct buf unread;
    buf_init(&unread, SIZE_MAX);
    int mails_end = s->mail_fd;
    must(send(mails_end, "bye", 3, 0) == 3);
    s->mail_fd = dup(0);
    pump_give_back(s->pump, mails_end, &unread);
    must(span_eq(buf_span(&unread), s->sent));
    buf_done(&unread);
}

static void
wait_for_input(void *arg)
{
    struct scene *s = arg;
    struct pollfd p = {s->mail_fd, POLLIN, 0};
    loop_post(s->loop, poll(&p, 1, 0) == 1 ? give_back : wait_for_input, s);
}

struct give_row {
    size_t n;
    bool spills;
};
static struct give_row few = {4, false}, many = {12000, true};

// RFC 8437: what mail wrote goes out, what it did not read comes back, and the TLS lives on.
static void
test_give_back(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    const struct give_row *row = *state;
    char in[16], sent[12000];
    int small = 1;  // the kernel makes it some 4 KiB: the rest is spilled
    scene_open(s);
    if (row->spills)
        must(setsockopt(s->ended, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i / 7);
    s->sent = span_of(sent, row->n);
    must(SSL_write(s->client, sent, (int)row->n) == (int)row->n);
    loop_post(s->loop, start_pump, s);
    loop_post(s->loop, wait_for_input, s);
    loop_run(s->loop);
    assert_int_equal(s->ended, 1);
    assert_true(s->given_back);
    assert_non_null(s->detached);
    assert_int_equal(SSL_read(s->client, in, sizeof in), 3);
    assert_memory_equal(in, "bye", 3);
    assert_int_equal(SSL_write(s->detached, "still here", 10), 10);
    assert_int_equal(SSL_read(s->client, in, sizeof in), 10);
    int fd = SSL_get_fd(s->detached);
    SSL_free(s->detached);
    close(fd);
    scene_close(s);
    free(s);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_ways),
                                       cmocka_unit_test_prestate(test_give_back, &few),
                                       cmocka_unit_test_prestate(test_give_back, &many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
