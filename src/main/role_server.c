#include "main/role_server.h"
#include "base/log.h"
#include <unistd.h>

static void
on_end(struct channel *c, void *arg)
{
    struct role_server *s = arg;
    (void)c;
    s->generation++;
    channel_close(&s->auth);
}

static enum result
take(struct role_server *s, uint16_t type, struct span body)
{
    for (size_t i = 0; i < sizeof s->questions / sizeof s->questions[0]; i++)
        if (s->questions[i].take != NULL && s->questions[i].type == type)
            return s->questions[i].take(s->role, body);
    return R_FAIL;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct role_server *s = arg;
    if (fd < 0 && take(s, type, body) == R_OK)
        return;
    if (fd >= 0)
        close(fd);
    log_error(s->start->role->name, "a message is malformed",
              field_number("message", "message=%", type));
    on_end(c, s);
}

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct role_server *s = arg;
    (void)peer, (void)index;
    if (s->auth != NULL)
        on_end(s->auth, s);
    s->auth = channel_new(fd, on_message, on_end, s);
}

static void
on_drain(void *arg)
{
    struct role_server *s = arg;
    loop_stop(s->loop);
}

static const struct role_link_ops link_ops = {.peer = on_peer, .drain = on_drain};

void
role_server_run(struct role_server *s, loop_fn *begin)
{
    s->loop = loop_new();
    loop_post(s->loop, begin, s->role);
    loop_run(s->loop);
}

void
role_server_ready(struct role_server *s)
{
    s->link = role_link_open(s->start, &link_ops, s);
    role_link_ready(s->link);
    role_probe(s->start);
}

void
role_server_answer(struct role_server *s, uint64_t generation, uint16_t type,
                   struct span body)
{
    if (s->auth != NULL && generation == s->generation)
        channel_send(s->auth, type, body, -1);
}

void
role_server_close(struct role_server *s)
{
    channel_close(&s->auth);
    role_link_close(&s->link);
}
