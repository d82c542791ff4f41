#include "io/resolve.h"

#include "base/clock.h"
#include "base/limits.h"

#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

enum { WAIT_MS = 200, SOON_MS = 5000 };

// The resolver of this test: names that begin with "dead" get no answer before the name server is back.
static atomic_uint calls, ended;
static atomic_bool back;

// Of the host "two": nobody answers at the first.
static struct sockaddr_in places[2];
static struct addrinfo two[2] = {{.ai_family = AF_INET,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_addr = (struct sockaddr *)&places[0],
                                  .ai_addrlen = sizeof places[0],
                                  .ai_next = &two[1]},
                                 {.ai_family = AF_INET,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_addr = (struct sockaddr *)&places[1],
                                  .ai_addrlen = sizeof places[1]}};

static pthread_key_t key;

static void
on_thread_end(void *value)
{
    (void)value;
    usleep(2000);
    ended++;
}

static void
make_key(void)
{
    pthread_key_create(&key, on_thread_end);
}

int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
            struct addrinfo **out)
{
    static struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    static struct addrinfo one = {.ai_family = AF_INET,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_addr = (struct sockaddr *)&at,
                                  .ai_addrlen = sizeof at};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)port, (void)hints;
    pthread_once(&once, make_key);
    pthread_setspecific(key, &one);
    calls++;
    while (strncmp(host, "dead", 4) == 0 && !back)
        usleep(1000);
    if (strcmp(host, "nobody") == 0)
        return EAI_NONAME;
    *out = strcmp(host, "two") == 0 ? &two[0] : &one;
    return 0;
}

void
freeaddrinfo(struct addrinfo *a)
{
    (void)a;
}

static enum result
ask(const char *host, uint64_t wait_ms, struct fault *f)
{
    struct resolve_addresses found = {0};
    uint64_t before_ms = clock_mono_ms();
    enum result r = resolve_host(host, "389", before_ms + wait_ms, &found, f);
    assert_true(clock_mono_ms() - before_ms < wait_ms + SOON_MS);
    assert_int_equal(found.n, r == R_OK);
    return r;
}

static void
test_answers(void **unused)
{
    (void)unused;
    struct fault f;
    assert_int_equal(ask("alive", SOON_MS, &f), R_OK);
    assert_int_equal(ask("nobody", SOON_MS, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_UNAVAILABLE);
    assert_non_null(strstr(f.why, "nobody"));
    char long_name[300] = {0};
    memset(long_name, 'a', sizeof long_name - 1);
    assert_int_equal(ask(long_name, SOON_MS, &f), R_FAIL);
}

// A process that forks behind it does so alone: its thread has ended, not only answered.
static void
test_alone_again(void **unused)
{
    (void)unused;
    struct fault f;
    unsigned before = calls - ended;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask("alive", SOON_MS, &f), R_OK);
        assert_int_equal(calls - ended, before);
    }
}

// A dead name server: the deadline holds, one thread for each host, no more of them than the limit, and others get answers.
static void
test_dead(void **unused)
{
    (void)unused;
    struct fault f;
    char host[16];
    unsigned before = calls;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask("dead", WAIT_MS / 10, &f), R_FAIL);
        assert_non_null(strstr(f.why, "did not answer in time"));
    }
    assert_int_equal(calls - before, 1);
    assert_int_equal(ask("alive", SOON_MS, &f), R_OK);
    for (int i = 1; i < LIMIT_resolve_threads; i++) {
        snprintf(host, sizeof host, "dead%d", i);
        assert_int_equal(ask(host, 1, &f), R_FAIL);
    }
    uint64_t before_ms = clock_mono_ms();
    assert_int_equal(ask("dead-too", 60000, &f), R_FAIL);
    assert_true(clock_mono_ms() - before_ms < SOON_MS);
    assert_int_equal(ask("alive", SOON_MS, &f), R_FAIL);
    unsigned all = 1 + 1 + LIMIT_resolve_threads - 1;  // the last threads may only begin
    for (int i = 0; i < SOON_MS && calls - before < all; i++)
        usleep(1000);
    assert_int_equal(calls - before, all);
    // who waits when it is back has its answer, and the threads are free again
    back = true;
    for (int i = 0; i < SOON_MS && ask("alive", SOON_MS, &f) != R_OK; i++)
        usleep(1000);
    assert_int_equal(ask("alive", SOON_MS, &f), R_OK);
    assert_int_equal(ask("dead", SOON_MS, &f), R_OK);
}

static void *
come_back(void *unused)
{
    usleep(WAIT_MS * 1000);
    back = true;
    return unused;
}

static void
test_late(void **unused)
{
    (void)unused;
    struct fault f;
    pthread_t thread;
    back = false;
    assert_int_equal(pthread_create(&thread, NULL, come_back, NULL), 0);
    assert_int_equal(ask("dead-late", 60000, &f), R_OK);
    pthread_join(thread, NULL);
}

static void
test_connect(void **unused)
{
    (void)unused;
    struct fault f;
    struct resolve_address a = {.n = sizeof(struct sockaddr_in)};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    socklen_t n = sizeof at;
    int fd, listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    memcpy(&a.at, &at, sizeof at);
    assert_int_equal(resolve_connect(&a, clock_mono_ms() + SOON_MS, &fd, &f), R_FAIL);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(resolve_connect(&a, clock_mono_ms() + SOON_MS, &fd, &f), R_OK);
    close(fd);
    close(listener);
}

static int
listen_at(struct sockaddr_in *at, int backlog)
{
    socklen_t n = sizeof *at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    assert_int_equal(bind(listener, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)at, &n), 0);
    assert_int_equal(listen(listener, backlog), 0);
    return listener;
}

// An address that is dead takes its share of the time, not all of it.
static void
test_second_address(void **unused)
{
    (void)unused;
    struct fault f;
    int full = listen_at(&places[0], 0), good = listen_at(&places[1], 8), fd = -1, kept[4];
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        kept[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(kept[i], (struct sockaddr *)&places[0], sizeof places[0]);
    }
    assert_int_equal(resolve_reach("two", "389", clock_mono_ms() + WAIT_MS * 5, &fd, &f),
                     R_OK);
    struct sockaddr_in peer;
    socklen_t n = sizeof peer;
    assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &n), 0);
    assert_int_equal(peer.sin_port, places[1].sin_port);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        close(kept[i]);
    close(fd);
    close(full);
    close(good);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers), cmocka_unit_test(test_alone_again),
        cmocka_unit_test(test_dead),    cmocka_unit_test(test_late),
        cmocka_unit_test(test_connect), cmocka_unit_test(test_second_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
