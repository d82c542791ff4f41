// What mail has to do with the role pipe: each home has a channel to it.
#include "main/mail_role.h"
#include "pipe/link.h"

static void
ask_again(void *arg)
{
    struct home *h = arg;
    role_link_lost(h->role->link, "pipe", h->index);
}

static void
on_lost(void *arg)
{
    struct home *h = arg;
    loop_post(h->role->homes[0].loop, ask_again, h);
}

void
mail_pipe_link(struct home *h, int fd)
{
    pipe_link_open(fd, &(struct pipe_link_ops){on_lost, h});
}

void
mail_pipe_close(void)
{
    pipe_link_close();
}
