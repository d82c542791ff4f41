#include "main/role.h"
#include "base/limits.h"
#include "base/log.h"

struct role_link {
    struct channel *channel;
    const struct role_link_ops *ops;
    void *role;
    struct buf name, value;  // of a secret that comes in pieces
    bool draining;
};

static void
drain(struct role_link *l)
{
    if (l->draining)
        return;
    l->draining = true;
    l->ops->drain(l->role);
}

static void
on_end(struct channel *c, void *arg)
{
    struct role_link *l = arg;
    (void)c;
    channel_close(&l->channel);
    drain(l);  // the supervisor died: without it nobody restarts anybody
}

static void
wipe(struct buf *b)
{
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

static enum result
take_secret(struct role_link *l, struct span body)
{
    struct secret s;
    if (l->ops->secret == NULL || secret_get(body, &s) != R_OK)
        return R_FAIL;
    if (l->name.n > 0 && !span_eq(buf_span(&l->name), s.name))
        return R_FAIL;
    if (l->name.n == 0)
        buf_put(&l->name, s.name);
    buf_put(&l->value, s.value);
    if (l->value.over || l->name.over)
        return R_FAIL;
    if (s.more)
        return R_OK;
    l->ops->secret(l->role, buf_span(&l->name), buf_span(&l->value));
    wipe(&l->value);
    buf_reset(&l->name);
    return R_OK;
}

static enum result
take_peer(struct role_link *l, struct span body, int fd)
{
    struct peer p;
    if (l->ops->peer == NULL || fd < 0 || peer_get(body, &p) != R_OK)
        return R_FAIL;
    l->ops->peer(l->role, p.role, p.index, fd);
    return R_OK;
}

static enum result
take_listen(struct role_link *l, struct span body, int fd)
{
    struct listen_socket s;
    if (l->ops->listen == NULL || fd < 0 || listen_socket_get(body, &s) != R_OK)
        return R_FAIL;
    l->ops->listen(l->role, &s, fd);
    return R_OK;
}

static enum result
take(struct role_link *l, uint16_t type, struct span body, int fd)
{
    switch (type) {
    case MESSAGE_PEER:
        return take_peer(l, body, fd);
    case MESSAGE_LISTEN:
        return take_listen(l, body, fd);
    case MESSAGE_SECRET:
        return fd < 0 ? take_secret(l, body) : R_FAIL;
    case MESSAGE_DRAIN:
        drain(l);
        return R_OK;
    default:
        return R_FAIL;
    }
}

// The supervisor reads no byte from outside, so a message that is wrong is our own bug.
static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    (void)c;
    if (take(arg, type, body, fd) == R_OK)
        return;
    log_error("main", "message %u of the supervisor is malformed", type);
    must(!"well-formed message of the supervisor");
}

struct role_link *
role_link_open(int fd, const struct role_link_ops *ops, void *role)
{
    struct role_link *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->ops = ops;
    l->role = role;
    buf_init(&l->name, 64);
    buf_init(&l->value, LIMIT_certificate);
    l->channel = channel_new(fd, on_message, on_end, l);
    return l;
}

void
role_link_ready(struct role_link *l)
{
    if (l->channel != NULL)
        channel_send(l->channel, MESSAGE_READY, SPAN_NONE, -1);
}

void
role_link_close(struct role_link **lp)
{
    struct role_link *l = *lp;
    if (l == NULL)
        return;
    channel_close(&l->channel);
    wipe(&l->value);
    buf_done(&l->name);
    free(l);
    *lp = NULL;
}
