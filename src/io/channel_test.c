#include "io/channel.h"
#include "io/loop.h"
#include "base/limits.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct stage {
    struct channel *near, *far;
    void (*play)(struct stage *s);
    int raw;  // the far end's descriptor when there is no far channel
    int messages, ends, wrong, last_fd;
    int stop_after;
    bool close_inside;
};

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    (void)c;
    struct stage *s = arg;
    uint32_t number = 0;
    s->wrong += body.n < 4;
    if (body.n >= 4)
        memcpy(&number, body.p, 4);
    s->wrong += number != (uint32_t)s->messages || type != (number & 0xffff);
    s->messages++;
    if (fd >= 0) {
        s->wrong += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
        close(fd);
        s->last_fd++;
    }
    if (s->close_inside)
        channel_close(&s->near);
    if (s->messages == s->stop_after)
        loop_stop(loop_self());
}

static void
on_end(struct channel *c, void *arg)
{
    struct stage *s = arg;
    s->ends++;
    if (c == s->near)
        channel_close(&s->near);
    loop_stop(loop_self());
}

static void
begin(void *arg)
{
    struct stage *s = arg;
    struct fault f;
    int fds[2];
    must(channel_pair(fds, &f) == R_OK);
    s->near = channel_new(fds[0], on_message, on_end, s);
    s->raw = fds[1];
    s->play(s);
}

static void
end(void *arg)
{
    struct stage *s = arg;
    channel_close(&s->near);
    channel_close(&s->far);
    if (s->raw >= 0)
        close(s->raw);
    loop_stop(loop_self());
}

static void
run(struct stage *s, void (*play)(struct stage *s))
{
    struct loop *l = loop_new();
    s->play = play;
    loop_post(l, begin, s);
    loop_run(l);
    loop_post(l, end, s);
    loop_run(l);
    loop_free(&l);
}

static void
send_numbered(struct channel *c, uint32_t number, size_t n, int fd)
{
    static char body[LIMIT_channel_message - 2];
    memcpy(body, &number, 4);
    channel_send(c, (uint16_t)number, span_of(body, n), fd);
}

static void
play_many(struct stage *s)
{
    s->far = channel_new(s->raw, on_message, on_end, s);
    s->raw = -1;
    for (uint32_t i = 0; i < 400; i++)
        send_numbered(s->far, i, i % 3 ? 4 + i : LIMIT_channel_message - 2,
                      i % 5 ? -1 : dup(2));
    assert_true(channel_queued(s->far) > 0);  // more than the socket takes
}

static void
test_many_in_order(void **state)
{
    (void)state;
    struct stage s = {.stop_after = 400};
    int before = dup(2);
    close(before);
    run(&s, play_many);
    assert_int_equal(s.messages, 400);
    assert_int_equal(s.wrong, 0);
    assert_int_equal(s.last_fd, 80);
    int after = dup(2);
    close(after);
    assert_int_equal(before, after);  // no descriptor stayed open
}

static void
play_raw(struct stage *s, size_t n, int descriptors)
{
    static char bytes[LIMIT_channel_message + 1];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    int fds[8] = {2, 2, 2, 2, 2, 2, 2, 2};
    struct iovec iov = {bytes, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (descriptors > 0) {
        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        *h = (struct cmsghdr){CMSG_LEN(descriptors * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(h), fds, descriptors * sizeof(int));
    }
    assert_int_equal(sendmsg(s->raw, &m, 0), (ssize_t)n);
}

static void
play_oversize(struct stage *s)
{
    play_raw(s, LIMIT_channel_message + 1, 0);
}

static void
play_short(struct stage *s)
{
    play_raw(s, 1, 0);
}

static void
play_two_descriptors(struct stage *s)
{
    play_raw(s, 6, 2);
}

static void
play_eight_descriptors(struct stage *s)
{
    play_raw(s, 6, 8);
}

static void
play_closed(struct stage *s)
{
    close(s->raw);
    s->raw = -1;
    send_numbered(s->near, 0, 4, dup(2));
    assert_int_equal(s->ends, 0);  // never from inside channel_send
}

static void
play_never_reads(struct stage *s)
{
    for (uint32_t i = 0; i < 2 * LIMIT_channel_queue / LIMIT_channel_message; i++)
        send_numbered(s->near, i, LIMIT_channel_message - 2, -1);
    assert_int_equal(channel_queued(s->near), 0);
}

static void
test_what_ends_a_channel(void **state)
{
    (void)state;
    static void (*const plays[])(struct stage *) = {
        play_oversize,          play_short,  play_two_descriptors,
        play_eight_descriptors, play_closed, play_never_reads};
    int before = dup(2);
    close(before);
    for (size_t i = 0; i < sizeof plays / sizeof plays[0]; i++) {
        struct stage s = {0};
        run(&s, plays[i]);
        assert_int_equal(s.ends, 1);
        assert_int_equal(s.messages, 0);
        assert_null(s.near);
    }
    int after = dup(2);
    close(after);
    assert_int_equal(before, after);
}

static void
play_close_inside(struct stage *s)
{
    s->far = channel_new(s->raw, on_message, on_end, s);
    s->raw = -1;
    send_numbered(s->far, 0, 4, -1);
    send_numbered(s->far, 1, 4, -1);
}

static void
test_close_inside_the_handler(void **state)
{
    (void)state;
    struct stage s = {.close_inside = true};
    run(&s, play_close_inside);
    assert_int_equal(s.messages, 1);
    assert_int_equal(s.ends, 1);  // the far side heard of it
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_in_order),
        cmocka_unit_test(test_what_ends_a_channel),
        cmocka_unit_test(test_close_inside_the_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
