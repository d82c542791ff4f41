#include "io/channel.h"
#include "io/loop_inside.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_AT_ONCE = 32, RETRY_MS = 20, FD_COST = 4096 };

struct parcel {
    struct parcel *next;
    int fd;
    size_t n;
    char bytes[];
};

struct channel {
    struct armed armed;
    struct deferred ended;
    struct timer retry;  // the kernel is short of memory or of descriptors in flight
    channel_fn *on_message;
    channel_end_fn *on_end;
    void *arg;
    struct parcel *first, **last;
    size_t queued;
    int fd;
    bool is_over, is_dead, inside;
};

static void on_event(evutil_socket_t fd, short what, void *arg);

static void
arm(struct channel *c, short wanted)
{
    loop_arm(&c->armed, c->fd, wanted, on_event, c);
}

static void
drop_first(struct channel *c)
{
    struct parcel *p = c->first;
    c->first = p->next;
    if (!c->first)
        c->last = &c->first;
    c->queued -= p->n + (p->fd >= 0 ? FD_COST : 0);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

static void
tell_end(struct deferred *d)
{
    struct channel *c = (struct channel *)((char *)d - offsetof(struct channel, ended));
    c->on_end(c, c->arg);
}

// The handler hears of it at the end of the turn: never from inside channel_send.
static void
end(struct channel *c)
{
    c->is_over = true;
    arm(c, 0);
    timer_clear(&c->retry);
    while (c->first)
        drop_first(c);
    loop_defer(&c->ended, tell_end);
}

// ---- out ----

static ssize_t
send_parcel(int to, const struct parcel *p)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)p->bytes, p->n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (p->fd >= 0) {
        m.msg_control = control.space;
        m.msg_controllen = sizeof control.space;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &p->fd, sizeof p->fd);
    }
    return sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// Sends until the socket is full.
static void
flush(struct channel *c)
{
    while (c->first && !c->is_over) {
        if (send_parcel(c->fd, c->first) >= 0) {
            drop_first(c);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN) {
            arm(c, EV_READ | EV_WRITE);
            return;
        }
        if (errno != ENOBUFS && errno != ENOMEM && errno != ETOOMANYREFS) {
            end(c);
            return;
        }
        arm(c, EV_READ);
        timer_set(&c->retry, RETRY_MS);
        return;
    }
    if (!c->is_over)
        arm(c, EV_READ);
}

static void
on_retry(void *arg)
{
    flush(arg);
}

void
channel_send(struct channel *c, uint16_t type, struct span body, int fd)
{
    must(body.n <= LIMIT_channel_message - sizeof type);
    if (c->is_over) {
        if (fd >= 0)
            close(fd);
        return;
    }
    struct parcel *p = calloc(1, sizeof *p + sizeof type + body.n);
    must(p != NULL);
    p->fd = fd;
    p->n = sizeof type + body.n;
    p->bytes[0] = (char)(type >> 8);
    p->bytes[1] = (char)type;
    if (body.n > 0)
        memcpy(p->bytes + sizeof type, body.p, body.n);
    bool was_empty = c->first == NULL;
    *c->last = p;
    c->last = &p->next;
    c->queued += p->n + (fd >= 0 ? FD_COST : 0);
    if (was_empty)
        flush(c);
    if (c->queued > LIMIT_channel_queue && !c->is_over)
        end(c);
}

// ---- in ----

struct arrival {
    char bytes[LIMIT_channel_message];
    size_t n;
    int fd;
    bool bad;
};

// At most one descriptor belongs to a message; others are closed, and the message is bad.
static void
take_descriptors(struct msghdr *m, struct arrival *a)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (a->fd >= 0) {
                close(fd);
                a->bad = true;
            } else {
                a->fd = fd;
            }
        }
    }
}

static enum result
receive(struct channel *c, struct arrival *a)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec iov = {a->bytes, sizeof a->bytes};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof control.space};
    a->fd = -1;
    a->bad = false;
    ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return R_NONE;
    if (n < 0)
        return R_FAIL;
    a->n = (size_t)n;
    take_descriptors(&m, a);
    bool lost = (m.msg_flags & MSG_CTRUNC) != 0 && a->fd < 0;  // no descriptor is free
    a->bad |= n < 2 || (m.msg_flags & (lost ? MSG_TRUNC : MSG_TRUNC | MSG_CTRUNC)) != 0;
    if (a->bad && a->fd >= 0)
        close(a->fd);
    return a->bad ? R_FAIL : R_OK;
}

static bool
receive_and_tell(struct channel *c)
{
    struct arrival a;
    enum result r = receive(c, &a);
    if (r == R_FAIL)
        end(c);
    if (r != R_OK)
        return false;
    uint16_t type = (uint16_t)((unsigned char)a.bytes[0] << 8 | (unsigned char)a.bytes[1]);
    c->on_message(c, type, span_of(a.bytes + 2, a.n - 2), a.fd, c->arg);
    return !c->is_dead && !c->is_over;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct channel *c = arg;
    c->inside = true;
    if (what & EV_WRITE)
        flush(c);
    for (int i = 0; i < READ_AT_ONCE && !c->is_over && (what & EV_READ); i++)
        if (!receive_and_tell(c))
            break;
    c->inside = false;
    if (c->is_dead)
        free(c);
}

// ---- lifetime ----

struct channel *
channel_new(int fd, channel_fn *on_message, channel_end_fn *on_end, void *arg)
{
    struct channel *c = calloc(1, sizeof *c);
    must(c != NULL && fd >= 0);
    c->fd = fd;
    c->on_message = on_message;
    c->on_end = on_end;
    c->arg = arg;
    c->last = &c->first;
    timer_init(&c->retry, on_retry, c);
    arm(c, EV_READ);
    return c;
}

void
channel_close(struct channel **cp)
{
    struct channel *c = *cp;
    if (!c)
        return;
    *cp = NULL;
    loop_disarm(&c->armed);
    loop_undefer(&c->ended);
    timer_clear(&c->retry);
    while (c->first)
        drop_first(c);
    close(c->fd);
    c->is_over = c->is_dead = true;
    if (!c->inside)
        free(c);
}

size_t
channel_queued(const struct channel *c)
{
    return c->queued;
}

enum result
channel_pair(int fds[2], struct fault *f)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0)
        return R_OK;
    return fault_errno(f, FAULT_UNAVAILABLE, "socketpair");
}
