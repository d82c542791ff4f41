#include "io/resolve.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/span.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

enum { HOST_MAX = 256, PORT_MAX = 16 };

// One call of getaddrinfo. Of its thread, of those who wait, and of one of the lists.
struct lookup {
    struct lookup *prev, *next;
    pthread_t thread;
    char host[HOST_MAX], port[PORT_MAX];
    unsigned refs;
    bool done;
    int code;
    struct resolve_addresses found;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    struct lookup *list;   // no answer yet
    struct lookup *ended;  // whose threads are to be joined
    unsigned threads;
} lookups = {.mutex = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};

static void
release(struct lookup *l)
{
    if (--l->refs == 0)
        free(l);
}

static void
copy_found(const struct addrinfo *a, struct resolve_addresses *out)
{
    for (; a != NULL && out->n < RESOLVE_ADDRESSES; a = a->ai_next) {
        if (a->ai_addrlen > sizeof out->list[0].at)
            continue;
        memcpy(&out->list[out->n].at, a->ai_addr, a->ai_addrlen);
        out->list[out->n++].n = a->ai_addrlen;
    }
}

static void *
look_up(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(l->host, l->port, &hints, &found);
    pthread_mutex_lock(&lookups.mutex);
    l->code = code;
    if (code == 0)
        copy_found(found, &l->found);
    if (found != NULL)
        freeaddrinfo(found);
    l->done = true;
    DL_DELETE(lookups.list, l);
    DL_APPEND(lookups.ended, l);
    lookups.threads--;
    pthread_cond_broadcast(&lookups.answered);
    pthread_mutex_unlock(&lookups.mutex);
    return NULL;
}

// Who forks next must not meet a thread that is about to end: what lock it holds then the child never gets. Under the mutex.
static void
join_ended(void)
{
    struct lookup *l;
    while ((l = lookups.ended) != NULL) {
        DL_DELETE(lookups.ended, l);
        pthread_mutex_unlock(&lookups.mutex);
        must(pthread_join(l->thread, NULL) == 0);
        pthread_mutex_lock(&lookups.mutex);
        release(l);
    }
}

static bool
start_thread(struct lookup *l)
{
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    must(pthread_sigmask(SIG_BLOCK, &all, &old) == 0);
    int failed = pthread_create(&l->thread, NULL, look_up, l);
    must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    return failed == 0;
}

// The lookup of this host that is under way, or a new one. NULL: there is no thread for it. Under the mutex.
static struct lookup *
join(const char *host, const char *port)
{
    struct lookup *l;
    DL_FOREACH(lookups.list, l)
    if (strcmp(l->host, host) == 0 && strcmp(l->port, port) == 0) {
        l->refs++;
        return l;
    }
    if (lookups.threads >= LIMIT_resolve_threads)
        return NULL;
    l = calloc(1, sizeof *l);
    must(l != NULL);
    memcpy(l->host, host, strlen(host) + 1);
    memcpy(l->port, port, strlen(port) + 1);
    l->refs = 2;
    if (!start_thread(l)) {
        free(l);
        return NULL;
    }
    lookups.threads++;
    DL_APPEND(lookups.list, l);
    return l;
}

static void
await_lookup(const struct lookup *l, uint64_t until_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000};
    int failed = 0;
    while (!l->done && failed == 0)
        failed = pthread_cond_clockwait(&lookups.answered, &lookups.mutex, CLOCK_MONOTONIC,
                                        &until);
}

static enum result
take(const struct lookup *l, struct resolve_addresses *out, struct fault *f)
{
    if (!l->done)
        return fault_set(f, FAULT_UNAVAILABLE,
                         "the name server did not answer in time for '%.100s'", l->host);
    if (l->code != 0)
        return fault_set(f, FAULT_UNAVAILABLE, "the name '%.100s': %s", l->host,
                         gai_strerror(l->code));
    if (l->found.n == 0)
        return fault_set(f, FAULT_UNAVAILABLE, "'%.100s' has no address", l->host);
    *out = l->found;
    return R_OK;
}

enum result
resolve_host(const char *host, const char *port, uint64_t until_ms,
             struct resolve_addresses *out, struct fault *f)
{
    if (strlen(host) >= HOST_MAX || strlen(port) >= PORT_MAX)
        return fault_set(f, FAULT_UNAVAILABLE, "'%.60s' is too long for a host", host);
    pthread_mutex_lock(&lookups.mutex);
    struct lookup *l = join(host, port);
    enum result r;
    if (l != NULL) {
        await_lookup(l, until_ms);
        r = take(l, out, f);
        release(l);
    } else {
        r = fault_set(f, FAULT_UNAVAILABLE, "the name server does not answer");
    }
    join_ended();
    pthread_mutex_unlock(&lookups.mutex);
    return r;
}

// ---- connections ----

static enum result
await_connected(int fd, uint64_t until_ms, struct fault *f)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    uint64_t now_ms;
    int failed = 0, n = 0;
    socklen_t size = sizeof failed;
    while (n <= 0 && (now_ms = clock_mono_ms()) < until_ms) {
        n = poll(&p, 1, (int)(until_ms - now_ms));
        if (n < 0 && errno != EINTR)
            return fault_errno(f, FAULT_UNAVAILABLE, "poll");
    }
    if (n <= 0)
        return fault_set(f, FAULT_UNAVAILABLE, "no connection in time");
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0)
        failed = errno;
    errno = failed;
    return failed == 0 ? R_OK : fault_errno(f, FAULT_UNAVAILABLE, "no connection");
}

enum result
resolve_connect(const struct resolve_address *a, uint64_t until_ms, int *fd_out,
                struct fault *f)
{
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    enum result r = R_OK;
    if (connect(fd, (const struct sockaddr *)&a->at, a->n) != 0)
        r = errno == EINPROGRESS ? await_connected(fd, until_ms, f)
                                 : fault_errno(f, FAULT_UNAVAILABLE, "no connection");
    if (r == R_OK)
        *fd_out = fd;
    else
        close(fd);
    return r;
}

uint64_t
resolve_share_ms(uint64_t until_ms, size_t places)
{
    uint64_t now_ms = clock_mono_ms();
    return now_ms < until_ms ? now_ms + (until_ms - now_ms) / places : until_ms;
}

enum result
resolve_reach(const char *host, const char *port, uint64_t until_ms, int *fd_out,
              struct fault *f)
{
    struct resolve_addresses found = {0};
    if (resolve_host(host, port, until_ms, &found, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < found.n; i++)
        if (resolve_connect(&found.list[i], resolve_share_ms(until_ms, found.n - i), fd_out,
                            f) == R_OK)
            return R_OK;
    return R_FAIL;
}
