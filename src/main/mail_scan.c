// What mail has to do with the role scan: each home has a channel to it.
#include "main/mail_role.h"
#include "ctl/scanners.h"
#include "mail/learn.h"
#include "mail/push.h"
#include "scan/link.h"

static void
ask_again(void *arg)
{
    struct home *h = arg;
    role_link_lost(h->role->link, "scan", h->index);
}

static void
on_lost(void *arg)
{
    struct home *h = arg;
    loop_post(h->role->homes[0].loop, ask_again, h);
}

void
mail_scan_link(struct home *h, int fd)
{
    scan_link_open(fd, &(struct scan_link_ops){on_lost, h});
}

void
mail_scan_host(struct mail_role *r)
{
    learn_set(scanners_learn(r->start->config));
    push_set(r->start->config->push_url[0] != '\0');
    push_details(r->start->config->push_details);
}

void
mail_scan_drain(void)
{
    learn_stop();
    push_stop();
}

void
mail_scan_close(void)
{
    scan_link_close();
}
