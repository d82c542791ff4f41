#include "io/conn_inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { IOVS = 64 };

static atomic_bool split_reads, split_writes;
static atomic_uint stall_ms = LIMIT_output_stall_ms;

void
conn_test_split(bool one_byte_reads, bool one_byte_writes)
{
    split_reads = one_byte_reads;
    split_writes = one_byte_writes;
}

void
conn_test_stall(uint32_t ms)
{
    stall_ms = ms;
}

bool
stream_split_reads(void)
{
    return split_reads;
}

bool
stream_split_writes(void)
{
    return split_writes;
}

uint32_t
conn_stall_ms(void)
{
    return stall_ms;
}

// ---- plain ----

static ssize_t
errno_end(struct conn *c)
{
    if (errno == EAGAIN || errno == EINTR)
        return STREAM_BLOCKED;
    c->why = errno == ECONNRESET || errno == EPIPE ? "connection reset by peer"
                                                   : strerrordesc_np(errno);
    return STREAM_FAILED;
}

static ssize_t
plain_read(struct conn *c, char *p, size_t n)
{
    ssize_t got = recv(c->fd, p, n, 0);
    if (got < 0)
        return errno_end(c);
    return got > 0 ? got : STREAM_EOF;
}

static ssize_t
plain_write(struct conn *c)
{
    struct iovec iov[IOVS];
    size_t count = 0;
    for (struct chunk *k = c->out_first; k && count < IOVS; k = k->next)
        iov[count++] = (struct iovec){k->bytes + k->start, k->end - k->start};
    if (split_writes) {
        count = 1;
        iov[0].iov_len = 1;
    }
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    return sent < 0 ? errno_end(c) : sent;
}

// ---- TLS ----

// A peer that goes without close_notify ends the connection for both directions: OpenSSL allows no
// further writes. Truncation does no harm here, since commands and literals carry their own ends.
static ssize_t
tls_end(struct conn *c, int n, bool *wants_other, int other)
{
    int saved = errno, error = SSL_get_error(c->ssl, n);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        *wants_other = error == other;
        return STREAM_BLOCKED;
    }
    if (error == SSL_ERROR_ZERO_RETURN)
        return STREAM_EOF;
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    c->why = reason                ? reason
             : saved == 0          ? "connection closed without close_notify"
             : saved == ECONNRESET ? "connection reset by peer"
                                   : strerrordesc_np(saved);
    ERR_clear_error();
    return STREAM_FAILED;
}

static ssize_t
tls_read(struct conn *c, char *p, size_t n)
{
    c->is.read_wants_write = false;
    errno = 0;
    int got = SSL_read(c->ssl, p, (int)n);
    return got > 0 ? got : tls_end(c, got, &c->is.read_wants_write, SSL_ERROR_WANT_WRITE);
}

static ssize_t
tls_write(struct conn *c)
{
    struct chunk *k = c->out_first;
    size_t n = split_writes ? 1 : k->end - k->start;
    c->is.write_wants_read = false;
    errno = 0;
    int sent = SSL_write(c->ssl, k->bytes + k->start, (int)n);
    return sent > 0 ? sent : tls_end(c, sent, &c->is.write_wants_read, SSL_ERROR_WANT_READ);
}

ssize_t
stream_handshake(struct conn *c)
{
    ERR_clear_error();
    c->is.read_wants_write = false;
    errno = 0;
    int done = SSL_do_handshake(c->ssl);
    return done == 1 ? 1 : tls_end(c, done, &c->is.read_wants_write, SSL_ERROR_WANT_WRITE);
}

// What is not TCP has no such thing.
void
stream_cork(struct conn *c, bool on)
{
    int value = on;
    c->is.corked = on;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
}

// ---- either ----

ssize_t
stream_read(struct conn *c, char *p, size_t n)
{
    if (split_reads)
        n = 1;
    if (!c->ssl)
        return plain_read(c, p, n);
    ERR_clear_error();
    return tls_read(c, p, n);
}

ssize_t
stream_write(struct conn *c)
{
    if (!c->ssl)
        return plain_write(c);
    ERR_clear_error();
    return tls_write(c);
}

void
stream_shutdown(struct conn *c)
{
    if (c->ssl && !c->is.failed && !c->is.handshake) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
        ERR_clear_error();
    }
    shutdown(c->fd, SHUT_WR);
}
