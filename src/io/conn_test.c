#include "io/conn_stage.h"
#include "io/task.h"
#include "base/budget.h"
#include "base/hash.h"
#include "base/limits.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

// ---- whatever way the octets are cut, they arrive whole ----

static void
play_echo(struct stage *s)
{
    for (size_t at = 0; at < s->want;) {
        size_t n = 1 + random_u64() % (s->want / 8);
        struct span piece = span_slice(span_of(stage_sample, s->want), at, at + n);
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
        s.want = row < 2 ? sizeof stage_sample : 1500;
        stage_run(&s, play_echo);
        assert_int_equal(s.got.n, s.want);
        assert_memory_equal(s.got.p, stage_sample, s.want);
        buf_done(&s.got);
    }
}

// One record or segment that the far side takes in many small bites: nothing more arrives to remind it.
static void
play_pour(struct stage *s)
{
    conn_input_max(s->far, 700);
    conn_write(s->near, span_of(stage_sample, s->want));
}

static void
test_small_bites(void **state)
{
    (void)state;
    for (int row = 0; row < 4; row++) {
        struct stage s = {.tls = row & 1, .split_reads = row & 2, .want = 9000};
        stage_run(&s, play_pour);
        assert_int_equal(s.got.n, s.want);
        assert_memory_equal(s.got.p, stage_sample, s.want);
        buf_done(&s.got);
    }
}

static void
after_echo(void *arg)
{
    struct stage *s = arg;
    s->memory_peak = conn_memory(s->near);
    stage_stop();
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
    for (size_t sent = 0; sent < FLOOD && !conn_failed(s->near);
         sent += sizeof stage_sample) {
        struct span piece =
            span_slice(span_of(stage_sample, sizeof stage_sample), 0, FLOOD - sent);
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
        for (size_t at = 0; at < FLOOD; at += sizeof stage_sample)
            assert_memory_equal(s.got.p + at, stage_sample,
                                FLOOD - at < sizeof stage_sample ? FLOOD - at
                                                                 : sizeof stage_sample);
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
    stage_stop();
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
    assert_memory_equal(conn_input(s->near).p, stage_sample, 200000);
    conn_consume(s->near, 200000);
    assert_int_equal(conn_wait_input(s->near, 100000, 5000), R_OK);
    assert_memory_equal(conn_input(s->near).p, stage_sample + 200000, 100000);
    conn_consume(s->near, 100000);
    assert_int_equal(conn_wait_input(s->near, 1, 20), R_FAIL);
    assert_false(conn_eof(s->near));
    conn_close(&s->far);
    assert_int_equal(conn_wait_input(s->near, 1, 5000), R_FAIL);
    assert_true(conn_eof(s->near));
    conn_handler(s->near, stage_echo, s);
    conn_read_resume(s->near);
    s->task_over = true;
    task_sleep(20);
    stage_stop();
}

static void
play_literal(struct stage *s)
{
    conn_read_pause(s->near);
    conn_write(s->far, span_of(stage_sample, sizeof stage_sample));
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
    };
    return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
