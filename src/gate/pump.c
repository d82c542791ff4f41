#include "gate/pump.h"
#include "base/limits.h"
#include "io/loop.h"
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

enum {
    TURN_ROUNDS = 4
};  // scratch buffers one pump may move before others have their turn

// What a direction waits for before it can go on.
enum wait {
    WAIT_NOTHING,
    WAIT_CLIENT_READ,
    WAIT_CLIENT_WRITE,
    WAIT_END_READ,
    WAIT_END_WRITE,
    WAIT_NEVER
};

struct pump {
    SSL *ssl;
    int end;
    char *scratch;
    struct event client_event, end_event;
    short client_mask, end_mask;
    enum wait up, down;
    // up bytes that the socketpair did not take although it had room (see push_up)
    char *spill;
    size_t spill_n;
    char *held;  // down bytes of a record that TLS has begun and the client does not take
    size_t held_n;
    bool over, returning, corked;
    pump_end_fn *on_end;
    void *arg;
};

static void on_event(evutil_socket_t fd, short what, void *arg);

// An event that waits for exactly `want`, or for nothing. A client that takes no bytes is given up in the end.
static void
set_event(struct event *e, int fd, short *mask, short want, struct pump *p)
{
    static const struct timeval stall = {LIMIT_stall_ms / 1000, 0};
    if (*mask == want)
        return;
    event_del(e);
    *mask = want;
    if (want == 0)
        return;
    must(event_assign(e, loop_base(loop_self()), fd, (short)(want | EV_PERSIST), on_event,
                      p) == 0);
    must(event_add(e, want & EV_WRITE ? &stall : NULL) == 0);
}

// Another turn soon, without an event.
static void
kick(struct pump *p)
{
    event_active(&p->client_event, EV_READ, 0);
}

static void
set_events(struct pump *p)
{
    short client = 0, end = 0;
    const enum wait waits[] = {p->up, p->down};
    for (size_t i = 0; i < 2; i++) {
        if (waits[i] == WAIT_CLIENT_READ || waits[i] == WAIT_CLIENT_WRITE)
            client |= waits[i] == WAIT_CLIENT_READ ? EV_READ : EV_WRITE;
        if (waits[i] == WAIT_END_READ || waits[i] == WAIT_END_WRITE)
            end |= waits[i] == WAIT_END_READ ? EV_READ : EV_WRITE;
    }
    set_event(&p->client_event, SSL_get_fd(p->ssl), &p->client_mask, client, p);
    set_event(&p->end_event, p->end, &p->end_mask, end, p);
    if (p->up == WAIT_NOTHING || p->down == WAIT_NOTHING)
        kick(p);
}

static void
stop(struct pump *p)
{
    p->over = true;
    p->up = p->down = WAIT_NEVER;
}

static void
spill(struct pump *p, const char *bytes, size_t n)
{
    char *rest = NULL;
    if (n > 0) {
        rest = calloc(1, n);
        must(rest != NULL);
        memcpy(rest, bytes, n);
    }
    free(p->spill);
    p->spill = rest;
    p->spill_n = n;
}

// Linux calls a unix stream socket writable when at most a quarter of its buffer is used, so a scratch buffer
// fits whole. Where an administrator made socket buffers tiny the rest waits in `spill`.
static enum wait
push_up(struct pump *p, const char *bytes, size_t n)
{
    ssize_t sent = send(p->end, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        stop(p);
        return WAIT_NEVER;
    }
    size_t left = n - (size_t)(sent < 0 ? 0 : sent);
    spill(p, bytes + n - left, left);
    return left > 0 ? WAIT_END_WRITE : WAIT_NOTHING;
}

static bool
end_writable(const struct pump *p)
{
    struct pollfd pfd = {p->end, POLLOUT, 0};
    return poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
}

// The client's side is over: what mail still says goes out until mail closes.
static enum wait
client_closed(struct pump *p, int error)
{
    if (error == SSL_ERROR_ZERO_RETURN)
        shutdown(p->end, SHUT_WR);
    else
        stop(p);
    return WAIT_NEVER;
}

// Whole records into the scratch buffer, then into the socketpair.
static enum wait
move_up(struct pump *p)
{
    if (!end_writable(p))
        return WAIT_END_WRITE;
    if (p->spill_n > 0)
        return push_up(p, p->spill, p->spill_n);
    size_t n = 0;
    int error = SSL_ERROR_NONE;
    while (n + SSL3_RT_MAX_PLAIN_LENGTH <= PUMP_BUFFER) {
        ERR_clear_error();
        int got = SSL_read(p->ssl, p->scratch + n, SSL3_RT_MAX_PLAIN_LENGTH);
        if (got <= 0) {
            error = SSL_get_error(p->ssl, got);
            break;
        }
        n += (size_t)got;
    }
    enum wait w = n > 0 ? push_up(p, p->scratch, n) : WAIT_NOTHING;
    if (w != WAIT_NOTHING || error == SSL_ERROR_NONE)
        return w;  // an error that was met comes again at the next call
    if (error == SSL_ERROR_WANT_READ)
        return WAIT_CLIENT_READ;
    return error == SSL_ERROR_WANT_WRITE ? WAIT_CLIENT_WRITE : client_closed(p, error);
}

static enum wait
write_blocked(struct pump *p, int error)
{
    if (error == SSL_ERROR_WANT_WRITE)
        return WAIT_CLIENT_WRITE;
    if (error == SSL_ERROR_WANT_READ)
        return WAIT_CLIENT_READ;
    stop(p);
    return WAIT_NEVER;
}

// TLS wants the rest of a record offered again.
static void
hold(struct pump *p, const char *bytes, size_t n)
{
    char *rest = NULL;
    if (n > 0) {
        rest = calloc(1, n);
        must(rest != NULL);
        memcpy(rest, bytes, n);
    }
    free(p->held);
    p->held = rest;
    p->held_n = n;
}

static enum wait
push_down(struct pump *p, const char *bytes, size_t n)
{
    while (n > 0) {
        ERR_clear_error();
        int done = SSL_write(p->ssl, bytes, (int)n);
        if (done <= 0) {
            enum wait w = write_blocked(p, SSL_get_error(p->ssl, done));
            hold(p, bytes, n);
            return w;
        }
        bytes += done;
        n -= (size_t)done;
    }
    hold(p, NULL, 0);
    return WAIT_NOTHING;
}

// Records that follow one another leave in large segments.
static void
cork(struct pump *p, bool on)
{
    int value = on;
    if (p->corked != on)
        (void)setsockopt(SSL_get_fd(p->ssl), IPPROTO_TCP, TCP_CORK, &value, sizeof value);
    p->corked = on;
}

// Record by record: what the client does not take stays in the socketpair.
static enum wait
move_down(struct pump *p)
{
    enum wait w = p->held_n > 0 ? push_down(p, p->held, p->held_n) : WAIT_NOTHING;
    for (size_t moved = 0; w == WAIT_NOTHING && moved < PUMP_BUFFER;) {
        ssize_t got = recv(p->end, p->scratch, SSL3_RT_MAX_PLAIN_LENGTH, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return WAIT_END_READ;
        if (got <= 0) {
            stop(p);
            return WAIT_NEVER;
        }
        if (got == SSL3_RT_MAX_PLAIN_LENGTH)
            cork(p, true);
        w = push_down(p, p->scratch, (size_t)got);
        moved += (size_t)got;
    }
    return w;
}

static void
finish(struct pump *p)
{
    if (!p->returning)
        SSL_shutdown(p->ssl);
    p->on_end(p, p->arg);
    pump_free(&p);
}

static void
turn(struct pump *p)
{
    if (p->up != WAIT_NEVER)
        p->up = WAIT_NOTHING;
    if (p->down != WAIT_NEVER)
        p->down = WAIT_NOTHING;
    for (int i = 0; i < TURN_ROUNDS && !p->over; i++) {
        if (p->up == WAIT_NOTHING)
            p->up = move_up(p);
        if (p->down == WAIT_NOTHING && !p->over)
            p->down = move_down(p);
    }
    cork(p, false);
    if (p->over)
        finish(p);
    else
        set_events(p);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct pump *p = arg;
    (void)fd;
    if (what & EV_TIMEOUT)
        stop(p);
    turn(p);
}

struct pump *
pump_new(SSL *ssl, int end, char *scratch, pump_end_fn *on_end, void *arg)
{
    struct pump *p = calloc(1, sizeof *p);
    must(p != NULL);
    *p = (struct pump){
        .ssl = ssl, .end = end, .scratch = scratch, .on_end = on_end, .arg = arg};
    struct event_base *base = loop_base(loop_self());
    must(event_assign(&p->client_event, base, SSL_get_fd(ssl), EV_READ, on_event, p) == 0);
    must(event_assign(&p->end_event, base, end, EV_READ, on_event, p) == 0);
    kick(p);  // TLS may hold bytes that no event tells of
    return p;
}

void
pump_free(struct pump **pp)
{
    struct pump *p = *pp;
    if (p == NULL)
        return;
    event_del(&p->client_event);
    event_del(&p->end_event);
    if (p->ssl != NULL) {
        int fd = SSL_get_fd(p->ssl);
        SSL_free(p->ssl);
        close(fd);
    }
    close(p->end);
    free(p->spill);
    free(p->held);
    free(p);
    *pp = NULL;
}

void
pump_put_first(struct pump *p, struct span s)
{
    must(p->spill_n == 0);
    spill(p, s.p, s.n);
}

void
pump_give_back(struct pump *p, int mails_end, struct buf *unread_out)
{
    p->returning = true;
    p->up = WAIT_NEVER;
    ssize_t got;
    while ((got = recv(mails_end, p->scratch, PUMP_BUFFER, MSG_DONTWAIT)) > 0)
        buf_put(unread_out, span_of(p->scratch, (size_t)got));
    buf_put(unread_out, span_of(p->spill, p->spill_n));  // came last
    close(mails_end);
    set_events(p);
}

bool
pump_given_back(const struct pump *p)
{
    return p->returning;
}

SSL *
pump_detach(struct pump *p)
{
    SSL *ssl = p->ssl;
    event_del(&p->client_event);
    p->ssl = NULL;
    return ssl;
}
