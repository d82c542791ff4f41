#include "io/conn_stage.h"
#include "io/task.h"
#include "base/hash.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

enum { TEXT_MAX = 300000, BOMB = 16 << 20 };

static char text[TEXT_MAX];
static bool rest_always;

// ---- the peer, by zlib's defaults ----

static struct buf
packed(struct span s, size_t piece)
{
    struct buf b;
    z_stream z = {.zalloc = NULL};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    buf_init(&b, 64 << 20);
    while (s.n > 0) {
        struct span part = span_slice(s, 0, piece);
        s = span_skip(s, part.n);
        z.next_in = (Bytef *)(uintptr_t)part.p;
        z.avail_in = (uInt)part.n;
        z.avail_out = (uInt)(part.n + 1000);
        z.next_out = (Bytef *)buf_reserve(&b, z.avail_out);
        assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
        b.n = (size_t)((char *)z.next_out - b.p);
    }
    (void)deflateEnd(&z);
    return b;
}

static struct buf
unpacked(struct span s)
{
    struct buf b;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)s.p, .avail_in = (uInt)s.n};
    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    buf_init(&b, 2 * TEXT_MAX);
    z.next_out = (Bytef *)buf_reserve(&b, 2 * TEXT_MAX);
    z.avail_out = 2 * TEXT_MAX;
    assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    b.n = 2 * TEXT_MAX - z.avail_out;
    (void)inflateEnd(&z);
    return b;
}

// ---- whatever way the octets are cut, they arrive whole ----

static size_t back, back_want;

static void
echo(struct conn *c, void *arg)
{
    struct stage *s = arg;
    struct span in = conn_input(c);
    if (conn_eof(c)) {
        s->near_ends++;
        stage_stop();
        return;
    }
    back += in.n;
    conn_write(c, in);
    conn_consume(c, in.n);
    if (rest_always)
        conn_rest(c);
    if (back == back_want)
        conn_finish(&s->near);
}

static struct span sent;

static void
play_echo(struct stage *s)
{
    conn_handler(s->near, echo, s);
    conn_compress(s->near, NULL);
    conn_write(s->far, sent);
}

static void
echo_once(const struct stage *kind, size_t n, size_t piece)
{
    struct stage s = *kind;
    struct buf in = packed(span_of(text, n), piece);
    sent = buf_span(&in);
    back = 0;
    back_want = n;
    stage_run(&s, play_echo);
    struct buf out = unpacked(buf_span(&s.got));
    assert_int_equal(out.n, n);
    assert_memory_equal(out.p, text, n);
    buf_done(&out);
    buf_done(&in);
    buf_done(&s.got);
}

static void
test_echo(void **state)
{
    (void)state;
    for (int row = 0; row < 16; row++) {
        struct stage s = {.tls = row & 1, .split_reads = row & 2, .split_writes = row & 4};
        rest_always = row & 8;
        bool whole = (row & 6) == 0;
        echo_once(&s, whole ? sizeof text : 3000, whole ? 20000 : 100);
    }
}

// ---- what is unpacked is bounded as plain input is ----

static void
look_bomb(void *arg)
{
    struct stage *s = arg;
    assert_int_equal(conn_input(s->near).n, 700);
    s->memory_peak = conn_memory(s->near);
    stage_stop();
}

static void
ignore(struct conn *c, void *arg)
{
    (void)c;
    (void)arg;
}

static void
play_bomb(struct stage *s)
{
    conn_handler(s->near, ignore, s);
    conn_compress(s->near, NULL);
    conn_input_max(s->near, 700);
    conn_write(s->far, sent);
    timer_init(&s->timer, look_bomb, s);
    timer_set(&s->timer, 200);
}

static void
test_bomb(void **state)
{
    (void)state;
    struct stage s = {.tls = false};
    char *zeros = calloc(1, BOMB);
    struct buf in = packed(span_of(zeros, BOMB), BOMB);
    sent = buf_span(&in);
    assert_true(in.n < 20000);
    stage_run(&s, play_bomb);
    print_message("conn: %zu octets while compressed\n", s.memory_peak);
    assert_true(s.memory_peak < 96 * 1024);
    buf_done(&in);
    buf_done(&s.got);
    free(zeros);
}

// ---- at rest only what the peer may refer to is kept ----

static void
look_rest(void *arg)
{
    struct stage *s = arg;
    s->memory_peak = conn_memory(s->near);
    stage_stop();
}

static void
play_rest(struct stage *s)
{
    conn_handler(s->near, echo, s);
    conn_compress(s->near, NULL);
    conn_write(s->far, sent);
    timer_init(&s->timer, look_rest, s);
    timer_set(&s->timer, 100);
}

static void
test_rest(void **state)
{
    (void)state;
    struct stage s = {.tls = false};
    struct buf in = packed(SPAN("a001 NOOP\r\n"), 100);
    sent = buf_span(&in);
    back_want = SIZE_MAX;
    rest_always = true;
    stage_run(&s, play_rest);
    print_message("conn: %zu octets while compressed and at rest\n", s.memory_peak);
    assert_true(s.memory_peak < 1200);
    buf_done(&in);
    buf_done(&s.got);
}

// ---- damage ends the connection ----

static void
watch_damage(struct conn *c, void *arg)
{
    struct stage *s = arg;
    conn_consume(c, conn_input(c).n);
    if (!conn_failed(c))
        return;
    snprintf(s->why, sizeof s->why, "%s", conn_why(c));
    stage_stop();
}

static void
play_damage(struct stage *s)
{
    conn_handler(s->near, watch_damage, s);
    conn_compress(s->near, NULL);
    conn_write(s->far, sent);
}

static void
test_damage(void **state)
{
    (void)state;
    struct stage s = {.tls = false};
    sent = SPAN("a001 NOOP\r\n\r\n");
    stage_run(&s, play_damage);
    assert_string_equal(s.why, "compressed input is damaged");
    buf_done(&s.got);
}

int
main(void)
{
    for (size_t i = 0; i < sizeof text; i++)  // half noise, half repetition
        text[i] = (i / 1000) % 2 ? (char)random_u64() : "* FETCH (FLAGS ())\r\n"[i % 20];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
