#include "main/askers.h"
#include "base/log.h"
#include "io/channel.h"

#include <unistd.h>
#include <utlist.h>

struct asker {
    struct asker *next;
    struct askers *all;
    struct channel *channel;
    uint64_t id;
};

static void
drop(struct asker *a)
{
    LL_DELETE(a->all->first, a);
    channel_close(&a->channel);
    free(a);
}

static void
on_end(struct channel *c, void *arg)
{
    (void)c;
    drop(arg);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct asker *a = arg;
    const struct askers *all = a->all;
    (void)c;
    if (type == all->question && all->take(all->arg, a->id, body, fd) == R_OK)
        return;
    log_error(all->name, "a message is malformed",
              field_number("message", "message=%", type));
    if (fd >= 0)
        close(fd);
    drop(a);
}

void
askers_add(struct askers *all, int fd)
{
    struct asker *a = calloc(1, sizeof *a);
    must(a != NULL);
    *a = (struct asker){.all = all, .id = ++all->last};
    a->channel = channel_new(fd, on_message, on_end, a);
    LL_PREPEND(all->first, a);
}

void
askers_answer(const struct askers *all, uint64_t asker, uint16_t type, struct span body)
{
    const struct asker *a = all->first;
    while (a != NULL && a->id != asker)
        a = a->next;
    if (a != NULL)
        channel_send(a->channel, type, body, -1);
}

void
askers_drop(struct askers *all)
{
    struct asker *a, *next;
    LL_FOREACH_SAFE(all->first, a, next)
    drop(a);
}
