#include "io/conn_zip.h"

#include "base/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

static void destroy(struct conn *c);

// ---- what the loop tells ----

static void
enter(struct conn *c)
{
    c->depth++;
}

static void
leave(struct conn *c)
{
    c->depth--;
    if (c->is.dead && c->depth == 0)
        KEEP_FREE(c);
    else if (!c->is.dead)
        conn_arm(c);
}

static void
call_handler(struct conn *c)
{
    if (c->is.dead || c->is.paused || !c->fn)
        return;
    if (c->waiting.reader || c->waiting.writer ||
        c->filling)  // the session's task is at it
        return;
    c->is.call_due = false;
    c->fn(c, c->arg);
}

void
conn_deliver(struct conn *c)
{
    c->is.call_due = true;
    if (c->waiting.reader)
        task_wake(c->waiting.reader);
    else
        call_handler(c);
}

static void
handshake_done(struct conn *c)
{
    c->is.handshake = false;
    conn_work_later(c);  // for what was queued meanwhile
    conn_deliver(c);
    if (!c->is.dead && conn_queued(c) > 0)
        conn_flush(c);
}

// The end of the handshake, session tickets and what the handler then says leave as one segment.
static void
handshake(struct conn *c)
{
    bool last = SSL_is_server(c->ssl) && SSL_get_state(c->ssl) != TLS_ST_BEFORE;
    if (last)
        stream_cork(c, true);
    ssize_t done = stream_handshake(c);
    if (done == 1)
        handshake_done(c);
    else if (done != STREAM_BLOCKED)
        conn_error(c, "TLS handshake failed");
    if (last && !c->is.dead)
        stream_cork(c, false);
}

// Input after the peer may send no more (RFC 1122 section 4.2.2.13): closing with unread input would make the
// kernel reset the connection and throw away output on its way.
static void
drain(struct conn *c)
{
    char scratch[4096];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(c->fd, scratch, sizeof scratch, 0);
        if (n > 0)
            continue;
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            destroy(c);
        return;
    }
}

static void
advance(struct conn *c, bool readable, bool writable)
{
    if (c->is.draining) {
        drain(c);
        return;
    }
    if (c->is.handshake)
        handshake(c);
    if (c->is.dead || c->is.handshake || c->is.failed)
        return;
    if (conn_queued(c) > 0 && (writable || (readable && c->is.write_wants_read)))
        conn_flush(c);
    if (conn_reading(c) && (readable || c->is.read_wants_write))
        conn_read_some(c);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct conn *c = arg;
    enter(c);
    advance(c, what & EV_READ, what & EV_WRITE);
    leave(c);
}

static void
on_work(struct deferred *d)
{
    struct conn *c = (struct conn *)((char *)d - offsetof(struct conn, work));
    enter(c);
    bool inside = (c->ssl && c->is.handshake) || conn_pending(c);
    advance(c, inside, !c->is.write_blocked);
    if (c->is.call_due)
        call_handler(c);
    leave(c);
}

void
conn_work_later(struct conn *c)
{
    loop_defer(&c->work, on_work);
}

static short
events_wanted(const struct conn *c)
{
    if (c->is.failed)
        return 0;
    if (c->is.handshake)
        return c->is.read_wants_write ? EV_WRITE : EV_READ;
    bool read = conn_reading(c) || c->is.write_wants_read || c->is.draining;
    bool write = (c->is.write_blocked && !c->is.write_wants_read) || c->is.read_wants_write;
    return (short)((read ? EV_READ : 0) | (write ? EV_WRITE : 0));
}

void
conn_arm(struct conn *c)
{
    loop_arm(&c->armed, c->fd, events_wanted(c), on_event, c);
}

// ---- ends ----

void
conn_error(struct conn *c, const char *why)
{
    if (c->is.failed)
        return;
    if (!c->why)
        c->why = why;
    c->is.failed = c->is.eof = c->is.call_due = true;
    c->is.write_blocked = c->is.write_wants_read = c->is.read_wants_write = false;
    conn_output_drop(c);
    timer_clear(&c->timer);
    conn_arm(c);
    if (c->waiting.reader)
        task_wake(c->waiting.reader);
    if (c->waiting.writer)
        task_wake(c->waiting.writer);
    if (c->is.finishing)
        destroy(c);
    else
        conn_work_later(c);
}

void
conn_fail(struct conn *c)
{
    conn_error(c, "ended by the server");
}

static void
destroy(struct conn *c)
{
    must(!c->waiting.reader && !c->waiting.writer && !c->filling);
    loop_disarm(&c->armed);
    loop_undefer(&c->work);
    loop_undefer(&c->at_end);
    timer_clear(&c->timer);
    if (c->fd >= 0) {
        if (!c->is.draining)
            stream_shutdown(c);
        close(c->fd);
    }
    SSL_free(c->ssl);
    conn_output_drop(c);
    if (c->zip)
        zip_free(c);
    budget_give(BUDGET_INTAKE, c->in_charged);
    buf_done(&c->in);
    c->is.dead = true;
    if (c->on_end.fn)
        c->on_end.fn(c->on_end.arg);
    if (c->depth == 0)
        KEEP_FREE(c);
}

void
conn_close(struct conn **cp)
{
    struct conn *c = *cp;
    if (!c)
        return;
    *cp = NULL;
    destroy(c);
}

void
conn_output_gone(struct conn *c)
{
    if (!c->is.finishing)
        return;
    stream_shutdown(c);
    c->is.draining = true;
}

static void
on_loop_end(struct deferred *d)
{
    destroy((struct conn *)((char *)d - offsetof(struct conn, at_end)));
}

void
conn_finish(struct conn **cp)
{
    struct conn *c = *cp;
    if (!c)
        return;
    *cp = NULL;
    must(!c->waiting.reader && !c->waiting.writer && !c->filling);
    if (c->is.failed || c->is.handshake || (c->is.eof && conn_queued(c) == 0)) {
        destroy(c);
        return;
    }
    c->fn = NULL;
    c->is.finishing = c->is.paused = true;
    loop_at_end(&c->at_end, on_loop_end);
    timer_set(&c->timer, LIMIT_linger_ms);
    if (conn_queued(c) == 0)
        conn_output_gone(c);
    conn_work_later(c);
}

static void
on_timer(void *arg)
{
    struct conn *c = arg;
    if (c->is.finishing)
        destroy(c);
    else
        conn_error(c, "the peer takes no output");
}

// ---- making ----

struct conn *
conn_new(int fd, conn_fn *on_input, void *arg)
{
    static const int on = 1;
    struct conn *c = KEEP_NEW(struct conn);
    must(fd >= 0);
    c->fd = fd;
    c->fn = on_input;
    c->arg = arg;
    c->in_max = LIMIT_line;
    buf_init(&c->in, SIZE_MAX / 2);  // in_max is what bounds it
    timer_init(&c->timer, on_timer, c);
    must(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
    // fails on what is not TCP
    c->is.tcp = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
    conn_arm(c);
    return c;
}

struct conn *
conn_new_tls(int fd, SSL *ssl, conn_fn *on_input, void *arg)
{
    bool fresh = !SSL_is_init_finished(ssl);  // a detached one comes back finished
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (fresh)
        must(SSL_set_fd(ssl, fd) == 1);
    if (fresh && SSL_is_server(ssl))
        SSL_set_accept_state(ssl);
    else if (fresh)
        SSL_set_connect_state(ssl);
    struct conn *c = conn_new(fd, on_input, arg);
    c->ssl = ssl;
    c->is.handshake = fresh;
    conn_work_later(c);
    return c;
}

void
conn_handler(struct conn *c, conn_fn *on_input, void *arg)
{
    c->fn = on_input;
    c->arg = arg;
}

void
conn_on_end(struct conn *c, void (*fn)(void *arg), void *arg)
{
    c->on_end.fn = fn;
    c->on_end.arg = arg;
}

void
conn_hang_up(struct conn *c)
{
    shutdown(c->fd, SHUT_RDWR);
}

static void
send_rest(struct conn *c)
{
    if (c->out_n > 0)
        conn_flush(c);
    must(c->out_n == 0);
}

// Frees c without its descriptor.
static int
give_up(struct conn **cp, struct buf *unread_out)
{
    struct conn *c = *cp;
    buf_put(unread_out, conn_input(c));
    loop_disarm(&c->armed);
    int fd = c->fd;
    c->fd = -1;
    conn_close(cp);
    return fd;
}

int
conn_detach(struct conn **c, struct buf *unread_out)
{
    must(!(*c)->ssl && !(*c)->zip);
    send_rest(*c);
    return give_up(c, unread_out);
}

SSL *
conn_detach_tls(struct conn **c, struct buf *unread_out)
{
    SSL *ssl = (*c)->ssl;
    must(ssl != NULL && !(*c)->is.handshake && !(*c)->zip);
    send_rest(*c);
    if ((*c)->is.corked)
        stream_cork(*c, false);
    (*c)->ssl = NULL;
    (void)give_up(c, unread_out);
    return ssl;
}

// ---- asking ----

bool
conn_eof(const struct conn *c)
{
    return c->is.eof;
}

bool
conn_failed(const struct conn *c)
{
    return c->is.failed;
}

uint64_t
conn_octets_in(const struct conn *c)
{
    return c->octets.in;
}

uint64_t
conn_octets_out(const struct conn *c)
{
    return c->octets.out;
}

const char *
conn_why(const struct conn *c)
{
    return c->is.failed && c->why ? c->why : "";
}

bool
conn_is_tls(const struct conn *c)
{
    return c->ssl != NULL;
}

SSL *
conn_ssl(struct conn *c)
{
    return c->ssl;
}

int
conn_fd(const struct conn *c)
{
    return c->fd;
}

size_t
conn_memory(const struct conn *c)
{
    return sizeof *c + c->in.cap + c->out_memory + (c->zip ? zip_memory(c) : 0);
}
