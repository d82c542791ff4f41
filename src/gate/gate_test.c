#include "gate/gate.h"
#include "base/limits.h"
#include "io/channel.h"
#include "io/loop.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <cmocka.h>

// A gate between a client on a real socket and roles played by this test: auth says yes to the password "right",
// mail answers the tag and keeps or gives back the connection.
struct world {
    struct loop *loop;
    struct gate *gate;
    struct channel *auth, *mail;
    uint16_t port;
    bool give_back;  // mail gives the first connection back
    unsigned handovers, asked, aborted;
    bool auth_challenges;
    char user[64], tag[16], unread[64];
};

static void
answer(struct world *w, const struct auth_start *start)
{
    bool right = span_eq(start->password, SPAN("right"));
    struct auth_reply r = {.exchange = start->exchange,
                           .verdict = right ? AUTH_OK : AUTH_REFUSED,
                           .fault = right ? 0 : FAULT_AUTHFAILED,
                           .user = start->user,
                           .ticket = SPAN("a ticket"),
                           .account = 7};
    if (w->auth_challenges)
        r = (struct auth_reply){.exchange = start->exchange, .verdict = AUTH_CONTINUE};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    auth_reply_put(&b, &r);
    channel_send(w->auth, MESSAGE_AUTH_REPLY, buf_span(&b), -1);
    buf_done(&b);
}

static void
on_auth(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct world *w = arg;
    struct auth_start start;
    (void)c, (void)fd;
    w->aborted += type == MESSAGE_AUTH_ABORT;
    if (type != MESSAGE_AUTH_START)
        return;
    w->asked++;
    must(auth_start_get(body, &start) == R_OK);
    must(span_eq(start.service, SPAN("imap")) && span_eq(start.remote, SPAN("127.0.0.1")));
    answer(w, &start);
}

static void
give_back(struct world *w, const struct handover *h, int fd)
{
    struct handover back = {.service = h->service,
                            .session = h->session,
                            .remote = h->remote,
                            .local = h->local,
                            .unread = h->unread};
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    handover_put(&b, &back);
    channel_send(w->mail, MESSAGE_GIVEBACK, buf_span(&b), fd);
    buf_done(&b);
}

static void
on_mail(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct world *w = arg;
    struct handover h;
    char line[64];
    (void)c;
    must(type == MESSAGE_HANDOVER && fd >= 0 && handover_get(body, &h) == R_OK);
    must(span_eq(h.ticket, SPAN("a ticket")) && h.tls.kind == TLS_NONE);
    snprintf(w->tag, sizeof w->tag, "%.*s", SPAN_ARG(h.tag));
    snprintf(w->unread, sizeof w->unread, "%.*s", SPAN_ARG(h.unread));
    bool first = w->handovers++ == 0;
    int n = snprintf(line, sizeof line, "%s OK in\r\n", w->tag);
    must(send(fd, line, (size_t)n, MSG_NOSIGNAL) == n);
    if (first && w->give_back)
        give_back(w, &h, fd);
    else
        close(fd);
}

static void
on_end(struct channel *c, void *arg)
{
    (void)c, (void)arg;
}

static int
listen_on(struct world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    must(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0);
    must(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    __atomic_store_n(&w->port, ntohs(a.sin_port), __ATOMIC_RELEASE);
    return fd;
}

static struct channel *
connect_role(struct world *w, const char *role, channel_fn *fn)
{
    int pair[2];
    struct fault f;
    must(channel_pair(pair, &f) == R_OK);
    gate_peer(w->gate, span_str(role), 0, pair[0]);
    return channel_new(pair[1], fn, on_end, w);
}

static void
begin(void *arg)
{
    struct world *w = arg;
    struct gate_options o = {
        .settings = {.plaintext_auth = true, .preauth_ms = LIMIT_preauth_ms},
        .mail_threads = 1,
        .preauth_max = 4};
    struct listen_socket s = {SPAN("imap"), TLS_STARTTLS, SPAN("127.0.0.1"), false};
    w->gate = gate_new(&o);
    w->auth = connect_role(w, "auth", on_auth);
    w->mail = connect_role(w, "mail", on_mail);
    gate_listen(w->gate, &s, listen_on(w));
}

static void
end(void *arg)
{
    struct world *w = arg;
    gate_free(&w->gate);
    channel_close(&w->auth);
    channel_close(&w->mail);
    loop_stop(w->loop);
}

static void *
run(void *arg)
{
    struct world *w = arg;
    loop_run(w->loop);
    return NULL;
}

struct client {
    int fd;
    char got[4096];
    size_t n;
};

static struct client
client_open(const struct world *w)
{
    struct sockaddr_in a = {AF_INET, htons(w->port), {htonl(INADDR_LOOPBACK)}, {0}};
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    must(connect(c.fd, (struct sockaddr *)&a, sizeof a) == 0);
    return c;
}

static void
say(const struct client *c, const char *text)
{
    must(send(c->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

// Reads until `want` has come, or until the end (want NULL); fails after 5 seconds.
static void
expect(struct client *c, const char *want)
{
    for (;;) {
        struct pollfd p = {c->fd, POLLIN, 0};
        c->got[c->n] = '\0';
        if (want != NULL && strstr(c->got, want) != NULL)
            break;
        if (poll(&p, 1, 5000) != 1)
            fail_msg("waited for '%s', got '%s'", want ? want : "the end", c->got);
        ssize_t n = recv(c->fd, c->got + c->n, sizeof c->got - 1 - c->n, 0);
        if (n <= 0 && want != NULL)
            fail_msg("closed; waited for '%s', got '%s'", want, c->got);
        if (n <= 0)
            return;
        c->n += (size_t)n;
    }
    c->n = 0;
}

struct scene {
    struct world world;
    pthread_t thread;
};

static struct scene *
scene_open(bool give_back_first, bool challenges)
{
    struct scene *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->world.give_back = give_back_first;
    s->world.auth_challenges = challenges;
    s->world.loop = loop_new();
    loop_post(s->world.loop, begin, &s->world);
    must(pthread_create(&s->thread, NULL, run, &s->world) == 0);
    while (__atomic_load_n(&s->world.port, __ATOMIC_ACQUIRE) == 0)
        usleep(1000);
    usleep(20000);
    return s;
}

// Ends the world's thread: from here on the test may look at what it noted.
static void
scene_stop(struct scene *s)
{
    loop_post(s->world.loop, end, &s->world);
    pthread_join(s->thread, NULL);
}

static void
scene_free(struct scene *s)
{
    loop_free(&s->world.loop);
    free(s);
}

static void
scene_close(struct scene *s)
{
    scene_stop(s);
    scene_free(s);
}

static void
test_login_carries_unread_bytes(void **state)
{
    (void)state;
    struct scene *s = scene_open(false, false);
    struct client c = client_open(&s->world);
    expect(&c, "* OK");
    say(&c, "a1 LOGIN ann right\r\na2 SELECT INBOX\r\n");
    expect(&c, "a1 OK in\r\n");
    close(c.fd);
    struct world *w = &s->world;
    scene_stop(s);
    assert_string_equal(w->tag, "a1");
    // What follows was read ahead, or is still in the socket that mail has now.
    assert_true(w->unread[0] == '\0' || strcmp(w->unread, "a2 SELECT INBOX\r\n") == 0);
    assert_int_equal(w->handovers, 1);
    scene_free(s);
}

static void
test_wrong_password_goes_on(void **state)
{
    (void)state;
    struct scene *s = scene_open(false, false);
    struct client c = client_open(&s->world);
    say(&c, "a1 LOGIN ann wrong\r\n");
    expect(&c, "a1 NO [AUTHENTICATIONFAILED]");
    say(&c, "a2 LOGIN ann right\r\n");
    expect(&c, "a2 OK in\r\n");
    close(c.fd);
    scene_close(s);
}

// RFC 8437: after mail gave the connection back, the client logs in again on it.
static void
test_connection_comes_back(void **state)
{
    (void)state;
    struct scene *s = scene_open(true, false);
    struct client c = client_open(&s->world);
    say(&c, "a1 LOGIN ann right\r\n");
    expect(&c, "a1 OK in\r\n");
    say(&c, "b1 NOOP\r\n");
    expect(&c, "b1 OK");
    say(&c, "b2 LOGIN bob right\r\n");
    expect(&c, "b2 OK in\r\n");
    close(c.fd);
    scene_stop(s);
    assert_int_equal(s->world.handovers, 2);
    scene_free(s);
}

static void
test_oldest_goes_first(void **state)
{
    (void)state;
    struct scene *s = scene_open(false, false);
    struct client c[5];
    for (size_t i = 0; i < 5; i++) {
        c[i] = client_open(&s->world);
        expect(&c[i], "* OK");
    }
    expect(&c[0], "* BYE");
    expect(&c[0], NULL);
    say(&c[4], "a LOGIN ann right\r\n");
    expect(&c[4], "a OK in\r\n");
    for (size_t i = 0; i < 5; i++)
        close(c[i].fd);
    scene_close(s);
}

static void
test_cancelled_exchange_is_told_to_auth(void **state)
{
    (void)state;
    struct scene *s = scene_open(false, true);
    struct client c = client_open(&s->world);
    expect(&c, "* OK");
    say(&c, "a AUTHENTICATE PLAIN\r\n");
    expect(&c, "+");
    say(&c, "*\r\n");
    expect(&c, "a BAD");
    say(&c, "b AUTHENTICATE PLAIN\r\n");
    expect(&c, "+");
    assert_int_equal(s->world.asked, 2);
    assert_int_equal(s->world.aborted, 1);
    close(c.fd);
    scene_close(s);
}

// Both ends of its life are there at once when the gate comes to look.
static void
replace_auth(void *arg)
{
    struct world *w = arg;
    channel_close(&w->auth);
    w->auth = connect_role(w, "auth", on_auth);
}

// What the dead one had answered is not asked of its successor, who would find no question in it.
static void
test_next_auth_comes_before_the_last_is_missed(void **state)
{
    (void)state;
    struct scene *s = scene_open(false, true);
    struct client c = client_open(&s->world);
    expect(&c, "* OK");
    say(&c, "a AUTHENTICATE PLAIN\r\n");
    expect(&c, "+");
    loop_post(s->world.loop, replace_auth, &s->world);
    say(&c, "eA==\r\n");
    expect(&c, "a NO [UNAVAILABLE]");
    say(&c, "b AUTHENTICATE PLAIN\r\n");
    expect(&c, "+");
    close(c.fd);
    scene_stop(s);
    assert_int_equal(s->world.asked, 2);
    scene_free(s);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login_carries_unread_bytes),
        cmocka_unit_test(test_wrong_password_goes_on),
        cmocka_unit_test(test_connection_comes_back),
        cmocka_unit_test(test_oldest_goes_first),
        cmocka_unit_test(test_cancelled_exchange_is_told_to_auth),
        cmocka_unit_test(test_next_auth_comes_before_the_last_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
