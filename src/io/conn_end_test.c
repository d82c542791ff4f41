#include "io/conn_stage.h"
#include "io/task.h"
#include "base/budget.h"
#include "base/limits.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

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
    conn_write(c, span_of(stage_sample, sizeof stage_sample));
    conn_finish(&s->near);  // with unread input, which must not reset the connection
}

static void
play_finish(struct stage *s)
{
    conn_handler(s->near, finish_inside, s);
    conn_write(s->far, span_of(stage_sample, 100000));
}

static void
test_finish_sends_everything(void **state)
{
    (void)state;
    for (int row = 0; row < 2; row++) {
        struct stage s = {.tls = row & 1};
        stage_run(&s, play_finish);
        assert_int_equal(s.got.n, sizeof stage_sample);
        assert_memory_equal(s.got.p, stage_sample, sizeof stage_sample);
        assert_false(s.far_failed);
        buf_done(&s.got);
    }
}

static void
quit(void *arg)
{
    (void)arg;
    stage_stop();
}

// The peer neither reads nor closes, and the loop ends while the conn lingers.
static void
play_linger(struct stage *s)
{
    conn_read_pause(s->far);
    conn_write(s->near, span_of(stage_sample, sizeof stage_sample));
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
    stage_stop();
}

static void
play_garbage(struct stage *s)
{
    int fds[2];
    stage_pair(fds);
    conn_close(&s->near);
    conn_close(&s->far);
    s->near = conn_new_tls(fds[0], SSL_new(stage_server), garbage_end, s);
    s->far = conn_new(fds[1], stage_echo, s);
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
    s->near = conn_new(fd, stage_echo, s);
    conn_unread(s->near, buf_span(&unread));
    conn_unread(s->near, SPAN("he"));
    buf_done(&unread);
    char *room = conn_fill(s->far, 1000);
    memcpy(room, SPAN(" and b").p, 6);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_inside_handler),
        cmocka_unit_test(test_finish_sends_everything),
        cmocka_unit_test(test_loop_ends_while_lingering),
        cmocka_unit_test(test_fail_from_outside),
        cmocka_unit_test(test_garbage_instead_of_tls),
        cmocka_unit_test(test_detach_and_unread),
        cmocka_unit_test(test_detach_tls),
        cmocka_unit_test(test_hang_up),
    };
    return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
