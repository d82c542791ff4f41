#include "io/conn.h"
#include "io/loop.h"
#include "io/task.h"
#include "base/budget.h"
#include "base/hash.h"
#include "base/limits.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

// ---- the stage: two conns on one loop, `near` and `far`, plain or TLS ----

static SSL_CTX *server_ctx, *client_ctx;

struct stage {
    struct conn *near, *far;
    struct buf got;  // what far received
    size_t want;     // stop when got has that many octets
    void (*play)(struct stage *s);
    bool tls, split_reads, split_writes;
    int near_calls, near_ends;
    bool far_failed;
    struct timer timer;
    bool task_over;
    size_t memory_peak;
    char why[80];
};

static void
pair_open(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void
stop(void)
{
    loop_stop(loop_self());
}

static void
collect(struct conn *c, void *arg)
{
    struct stage *s = arg;
    struct span in = conn_input(c);
    buf_put(&s->got, in);
    s->far_failed = conn_failed(c);
    conn_consume(c, in.n);
    if (conn_eof(c) || (s->want > 0 && s->got.n >= s->want))
        stop();
}

static void
echo(struct conn *c, void *arg)
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
    pair_open(fds);
    s->near = s->tls ? conn_new_tls(fds[0], SSL_new(server_ctx), echo, s)
                     : conn_new(fds[0], echo, s);
    s->far = s->tls ? conn_new_tls(fds[1], SSL_new(client_ctx), collect, s)
                    : conn_new(fds[1], collect, s);
    s->play(s);
}

static void
stage_end(void *arg)
{
    struct stage *s = arg;
    conn_close(&s->near);
    conn_close(&s->far);
    stop();
}

static void
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

// ---- whatever way the octets are cut, they arrive whole ----

static char sample[300000];

static void
play_echo(struct stage *s)
{
    for (size_t at = 0; at < s->want;) {
        size_t n = 1 + random_u64() % (s->want / 8);
        struct span piece = span_slice(span_of(sample, s->want), at, at + n);
        conn_write(s->far, piece);
        at += piece.n;
    }
}

static void
test_echo_however_cut(void **state)
{
    (void)state;
    for (int row = 0; row < 8; row++) {
        struct stage s = {.tls = row & 1, .split_reads = row & 2, .split_writes = row & 4};
        s.want = row < 2 ? sizeof sample : 1500;
        stage_run(&s, play_echo);
        assert_int_equal(s.got.n, s.want);
        assert_memory_equal(s.got.p, sample, s.want);
        buf_done(&s.got);
    }
}

// One record or segment that the far side takes in many small bites: nothing more arrives to remind it.
static void
play_pour(struct stage *s)
{
    conn_input_max(s->far, 700);
    conn_write(s->near, span_of(sample, s->want));
}

static void
test_small_bites(void **state)
{
    (void)state;
    for (int row = 0; row < 4; row++) {
        struct stage s = {.tls = row & 1, .split_reads = row & 2, .want = 9000};
        stage_run(&s, play_pour);
        assert_int_equal(s.got.n, s.want);
        assert_memory_equal(s.got.p, sample, s.want);
        buf_done(&s.got);
    }
}

static void
after_echo(void *arg)
{
    struct stage *s = arg;
    s->memory_peak = conn_memory(s->near);
    stop();
}

static void
play_idle(struct stage *s)
{
    s->want = 0;
    conn_write_str(s->far, "hello");
    timer_init(&s->timer, after_echo, s);
    timer_set(&s->timer, 30);
}

static void
test_idle_holds_nothing(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage s = {.tls = tls};
        stage_run(&s, play_idle);
        assert_true(span_eq(buf_span(&s.got), SPAN("hello")));
        assert_true(s.memory_peak <= 600);
        print_message("conn: %zu octets while idle\n", s.memory_peak);
        buf_done(&s.got);
    }
}

// ---- back-pressure ----

enum { FLOOD = 8 << 20 };

static void
flood_task(void *arg)
{
    struct stage *s = arg;
    for (size_t sent = 0; sent < FLOOD && !conn_failed(s->near); sent += sizeof sample) {
        struct span piece = span_slice(span_of(sample, sizeof sample), 0, FLOOD - sent);
        conn_write(s->near, piece);
        if (conn_memory(s->near) > s->memory_peak)
            s->memory_peak = conn_memory(s->near);
    }
    s->task_over = true;
    snprintf(s->why, sizeof s->why, "%s", conn_why(s->near));
}

static void
flood_look(void *arg)
{
    struct stage *s = arg;
    assert_false(s->task_over);
    assert_int_equal(s->near_calls, 0);  // kept out while the task waits, in spite of input
    assert_true(conn_queued(s->near) > LIMIT_output_low);
    assert_true(conn_memory(s->near) < LIMIT_output_high + 128 * 1024);
    assert_true(conn_input(s->far).n <= LIMIT_line);
    conn_read_resume(s->far);
}

static void
play_flood(struct stage *s)
{
    s->want = FLOOD + 1;
    conn_read_pause(s->far);
    conn_write_str(s->far, "x");
    task_start(flood_task, s);
    timer_init(&s->timer, flood_look, s);
    timer_set(&s->timer, 100);
}

static void
test_peer_that_reads_late(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage s = {.tls = tls};
        stage_run(&s, play_flood);
        assert_int_equal(s.got.n, FLOOD + 1);
        assert_int_equal(s.got.p[FLOOD], 'x');  // made up for afterwards
        for (size_t at = 0; at < FLOOD; at += sizeof sample)
            assert_memory_equal(s.got.p + at, sample,
                                FLOOD - at < sizeof sample ? FLOOD - at : sizeof sample);
        assert_true(s.task_over);
        assert_true(s.memory_peak < LIMIT_output_high + 128 * 1024);
        buf_done(&s.got);
    }
}

static void
stalled(struct conn *c, void *arg)
{
    struct stage *s = arg;
    assert_true(conn_failed(c) && conn_eof(c));
    assert_true(s->task_over);  // the waiting task came first
    s->near_ends++;
    conn_close(&s->near);
    stop();
}

static void
play_stall(struct stage *s)
{
    conn_read_pause(s->far);
    conn_handler(s->near, stalled, s);
    task_start(flood_task, s);
}

static void
test_peer_that_never_reads(void **state)
{
    (void)state;
    struct stage s = {0};
    conn_test_stall(50);
    stage_run(&s, play_stall);
    conn_test_stall(LIMIT_output_stall_ms);
    assert_int_equal(s.near_ends, 1);
    assert_string_equal(s.why, "the peer takes no output");
    buf_done(&s.got);
}

static void
play_gone(struct stage *s)
{
    play_stall(s);
    conn_close(&s->far);
}

static void
test_peer_goes_while_task_waits(void **state)
{
    (void)state;
    struct stage s = {0};
    stage_run(&s, play_gone);
    assert_int_equal(s.near_ends, 1);
    assert_true(s.task_over);
    buf_done(&s.got);
}

// ---- waiting for input ----

static void
literal_task(void *arg)
{
    struct stage *s = arg;
    conn_input_max(s->near, 1 << 20);
    assert_int_equal(conn_wait_input(s->near, 200000, 5000), R_OK);
    assert_memory_equal(conn_input(s->near).p, sample, 200000);
    conn_consume(s->near, 200000);
    assert_int_equal(conn_wait_input(s->near, 100000, 5000), R_OK);
    assert_memory_equal(conn_input(s->near).p, sample + 200000, 100000);
    conn_consume(s->near, 100000);
    assert_int_equal(conn_wait_input(s->near, 1, 20), R_FAIL);
    assert_false(conn_eof(s->near));
    conn_close(&s->far);
    assert_int_equal(conn_wait_input(s->near, 1, 5000), R_FAIL);
    assert_true(conn_eof(s->near));
    conn_handler(s->near, echo, s);
    conn_read_resume(s->near);
    s->task_over = true;
    task_sleep(20);
    stop();
}

static void
play_literal(struct stage *s)
{
    conn_read_pause(s->near);
    conn_write(s->far, span_of(sample, sizeof sample));
    task_start(literal_task, s);
}

static void
test_wait_input(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage s = {.tls = tls};
        stage_run(&s, play_literal);
        assert_true(s.task_over);
        assert_int_equal(s.near_ends, 1);  // told of the end after resume
        buf_done(&s.got);
    }
}

// ---- ends ----

static void
close_inside(struct conn *c, void *arg)
{
    struct stage *s = arg;
    if (conn_input(c).n == 0 && !conn_eof(c))
        return;  // the handshake's end
    s->near_calls++;
    conn_write_str(c, "never sent");
    conn_close(&s->near);
}

static void
play_close_inside(struct stage *s)
{
    conn_handler(s->near, close_inside, s);
    conn_write_str(s->far, "go");
}

static void
test_close_inside_handler(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage s = {.tls = tls};
        stage_run(&s, play_close_inside);
        assert_int_equal(s.near_calls, 1);
        assert_int_equal(s.got.n, 0);
        buf_done(&s.got);
    }
}

static void
finish_inside(struct conn *c, void *arg)
{
    struct stage *s = arg;
    if (conn_input(c).n == 0)
        return;
    conn_write(c, span_of(sample, sizeof sample));
    conn_finish(&s->near);  // with unread input, which must not reset the connection
}

static void
play_finish(struct stage *s)
{
    conn_handler(s->near, finish_inside, s);
    conn_write(s->far, span_of(sample, 100000));
}

static void
test_finish_sends_everything(void **state)
{
    (void)state;
    for (int row = 0; row < 2; row++) {
        struct stage s = {.tls = row & 1};
        stage_run(&s, play_finish);
        assert_int_equal(s.got.n, sizeof sample);
        assert_memory_equal(s.got.p, sample, sizeof sample);
        assert_false(s.far_failed);
        buf_done(&s.got);
    }
}

static void
quit(void *arg)
{
    (void)arg;
    stop();
}

// The peer neither reads nor closes, and the loop ends while the conn lingers.
static void
play_linger(struct stage *s)
{
    conn_read_pause(s->far);
    conn_write(s->near, span_of(sample, sizeof sample));
    conn_finish(&s->near);
    assert_null(s->near);
    timer_init(&s->timer, quit, s);
    timer_set(&s->timer, 20);
}

static void
test_loop_ends_while_lingering(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage s = {.tls = tls};
        stage_run(&s, play_linger);
        buf_done(&s.got);
    }
}

static void
ended_task(void *arg)
{
    struct stage *s = arg;
    assert_int_equal(conn_wait_input(s->near, 10, 60000), R_FAIL);
    assert_true(conn_failed(s->near));
    conn_write_str(s->near, "dropped");
    assert_int_equal(conn_queued(s->near), 0);
    memcpy(conn_fill(s->near, 4), "lost", 4);
    conn_filled(s->near, 4);
    s->task_over = true;
    conn_close(&s->near);
}

static void
end_from_outside(void *arg)
{
    struct stage *s = arg;
    conn_fail(s->near);
    assert_false(s->task_over);  // it is woken, not run from here
}

static void
play_fail(struct stage *s)
{
    task_start(ended_task, s);
    timer_init(&s->timer, end_from_outside, s);
    timer_set(&s->timer, 10);
}

static void
test_fail_from_outside(void **state)
{
    (void)state;
    struct stage s = {0};
    stage_run(&s, play_fail);
    assert_true(s.task_over);
    assert_int_equal(s.near_calls, 0);
    buf_done(&s.got);
}

static void
garbage_end(struct conn *c, void *arg)
{
    struct stage *s = arg;
    assert_true(conn_failed(c));
    snprintf(s->why, sizeof s->why, "%s", conn_why(c));
    stop();
}

static void
play_garbage(struct stage *s)
{
    int fds[2];
    pair_open(fds);
    conn_close(&s->near);
    conn_close(&s->far);
    s->near = conn_new_tls(fds[0], SSL_new(server_ctx), garbage_end, s);
    s->far = conn_new(fds[1], echo, s);
    conn_write_str(s->far, "A1 LOGIN a b\r\n");
}

static void
test_garbage_instead_of_tls(void **state)
{
    (void)state;
    struct stage s = {0};
    stage_run(&s, play_garbage);
    assert_true(strlen(s.why) > 0);
    buf_done(&s.got);
}

// ---- small things ----

static void
detach_task(void *arg)
{
    struct stage *s = arg;
    struct buf unread;
    buf_init(&unread, 1000);
    conn_read_pause(s->near);
    assert_int_equal(conn_wait_input(s->near, 7, 5000), R_OK);
    conn_consume(s->near, 2);
    int fd = conn_detach(&s->near, &unread);
    assert_null(s->near);
    assert_true(span_eq(buf_span(&unread), SPAN("llo a")));
    s->near = conn_new(fd, echo, s);
    conn_unread(s->near, buf_span(&unread));
    conn_unread(s->near, SPAN("he"));
    buf_done(&unread);
    char *room = conn_fill(s->far, 1000);
    memcpy(room, " and b", 6);
    conn_write_str(s->far, "!");  // goes before what is being filled
    conn_filled(s->far, 6);
    conn_fill(s->far, 5);
    conn_filled(s->far, 0);
    conn_printf(s->far, "%s%0600d", "=", 7);
}

static void
play_detach(struct stage *s)
{
    s->want = 7 + 1 + 6 + 1 + 600;
    conn_write_str(s->far, "hello a");
    task_start(detach_task, s);
}

static void
test_detach_and_unread(void **state)
{
    (void)state;
    struct stage s = {0};
    stage_run(&s, play_detach);
    assert_true(span_starts(buf_span(&s.got), SPAN("hello a! and b=000")));
    assert_int_equal(s.got.n, s.want);
    buf_done(&s.got);
}

static void
note_end(void *arg)
{
    ((struct stage *)arg)->task_over = true;
}

static void
detach_tls_inside(struct conn *c, void *arg)
{
    struct stage *s = arg;
    struct buf unread;
    if (conn_input(c).n == 0)
        return;
    buf_init(&unread, 100);
    conn_write_str(c, "last;");
    SSL *ssl = conn_detach_tls(&s->near, &unread);
    assert_true(s->task_over);
    assert_true(span_eq(buf_span(&unread), SPAN("hello")));
    assert_int_equal(SSL_write(ssl, "pumped", 6), 6);  // the stream goes on
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    buf_done(&unread);
}

static void
play_detach_tls(struct stage *s)
{
    s->want = 11;
    conn_handler(s->near, detach_tls_inside, s);
    conn_on_end(s->near, note_end, s);
    conn_write_str(s->far, "hello");
}

static void
test_detach_tls(void **state)
{
    (void)state;
    struct stage s = {.tls = true};
    stage_run(&s, play_detach_tls);
    assert_true(span_eq(buf_span(&s.got), SPAN("last;pumped")));
    buf_done(&s.got);
}

static void
play_hang_up(struct stage *s)
{
    conn_handler(s->near, close_inside, s);
    conn_on_end(s->near, note_end, s);
    conn_hang_up(s->near);
}

static void
test_hang_up(void **state)
{
    (void)state;
    struct stage s = {0};
    stage_run(&s, play_hang_up);
    assert_int_equal(s.near_calls, 1);  // with conn_eof
    assert_true(s.task_over);
    buf_done(&s.got);
}

// ---- certificates ----

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
    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate(server_ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, key), 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

static int
setup(void **state)
{
    (void)state;
    contexts_new();
    random_bytes(sample, sizeof sample);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    SSL_CTX_free(server_ctx);
    SSL_CTX_free(client_ctx);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_however_cut),
        cmocka_unit_test(test_small_bites),
        cmocka_unit_test(test_idle_holds_nothing),
        cmocka_unit_test(test_peer_that_reads_late),
        cmocka_unit_test(test_peer_that_never_reads),
        cmocka_unit_test(test_peer_goes_while_task_waits),
        cmocka_unit_test(test_wait_input),
        cmocka_unit_test(test_close_inside_handler),
        cmocka_unit_test(test_finish_sends_everything),
        cmocka_unit_test(test_loop_ends_while_lingering),
        cmocka_unit_test(test_fail_from_outside),
        cmocka_unit_test(test_garbage_instead_of_tls),
        cmocka_unit_test(test_detach_and_unread),
        cmocka_unit_test(test_detach_tls),
        cmocka_unit_test(test_hang_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
