#include "main/mail_role.h"
#include "base/budget.h"
#include "base/limits.h"
#include "base/load.h"
#include "ctl/quotas.h"
#include "ctl/call.h"
#include "imap/append.h"
#include "imap/appendlimit.h"
#include "imap/event.h"
#include "imap/background.h"
#include "imap/messagelimit.h"
#include "imap/preview.h"
#include "io/task.h"
#include "mail/push.h"
#include "mail/account.h"
#include "mail/sent.h"
#include "store/store.h"
#include <utlist.h>

// ---- settings: those of the process at once, those of a home in its thread ----

struct change {
    struct home *home;
    const struct config *config;
};

static void
change_here(void *arg)
{
    struct change *c = arg;
    c->home->config = c->config;
    mail_lmtp_host(c->home);
    mail_known_forget(c->home);  // perhaps other domains are ours now
    free(c);
}

struct mail_entries
mail_entries_of(const struct config *c)
{
    return (struct mail_entries){c->server_comment,
                                 c->server_admin,
                                 c->imapsieve_script,
                                 c->filters.items,
                                 c->filter_descriptions.items,
                                 c->filters.n,
                                 c->filter_descriptions.n};
}

static void
sieve_server(const struct config *c)
{
    const char *port = "";
    if (c->managesieve.n > 0 && strrchr(c->managesieve.items[0], ':'))
        port = strrchr(c->managesieve.items[0], ':') + 1;
    const char *host = *c->announce_host ? c->announce_host : c->hostname;
    imap_sieve_server_set(c->managesieve.n > 0 ? host : "", port);
}

void
mail_imap_settings(const struct config *c)
{
    sieve_server(c);
    imap_appendlimit_set(c->message_size_max);
    imap_message_limits_set(&(struct imap_message_limits){
        (uint32_t)c->message_limit, c->message_limit_enforce, (uint32_t)c->save_limit});
    imap_background_shed(c->shed_background);
    imap_preview_late(c->test_preview_late);
    imap_append_8bit_refuse(strcmp(c->append_8bit, "refuse") == 0);
}

void
mail_reload_settings(struct mail_role *r, const struct config *c)
{
    struct store_options o;
    struct quota_settings quota;
    call_store_options(c, &o);
    budget_limits(c->memory_soft, c->memory_hard);
    load_pretend(c->test_overload);
    mail_settings(r->mail, c->folder_language, c->message_size_max);
    mail_imap_settings(c);
    mail_marks_set(r->mail, config_marks(c));
    mail_sent_set(r->mail, c->sent_copy);
    push_details(c->push_details);
    limits_of(c, &quota);
    mail_quota_set(r->mail, &quota);
    if (mail_index_configure(r, c))
        mail_index_again(r);
    const struct mail_entries entries = mail_entries_of(c);
    mail_entries_set(r->mail, &entries);
    store_retention(r->store, o.retention_s);
    r->host.config = c;
    mail_filter_set(r, c);
    for (unsigned i = 0; i < r->home_count; i++) {
        struct change *change = calloc(1, sizeof *change);
        must(change != NULL);
        *change = (struct change){&r->homes[i], c};
        loop_post(r->homes[i].loop, change_here, change);
    }
    mail_identities_changed(r);  // administrators
}

// ---- ping: through every home, last the first one; a thread that hangs keeps it ----

struct mail_ping {
    struct mail_ping *prev, *next;
    struct mail_role *role;
    uint64_t serial;
    unsigned home;  // where it is
};

static void
ping_here(void *arg)
{
    struct mail_ping *p = arg;
    struct mail_role *r = p->role;
    if (p->home > 0) {
        p->home--;
        loop_post(r->homes[p->home].loop, ping_here, p);
        return;
    }
    role_link_pong(r->link, p->serial);
    DL_DELETE(r->pings, p);
    free(p);
}

void
mail_reload_ping(struct mail_role *r, uint64_t serial)
{
    struct mail_ping *p = calloc(1, sizeof *p);
    must(p != NULL);
    *p = (struct mail_ping){.role = r, .serial = serial, .home = r->home_count - 1};
    DL_APPEND(r->pings, p);
    loop_post(r->homes[p->home].loop, ping_here, p);
}

// Those that were under way when the loops stopped.
void
mail_reload_ping_free(struct mail_role *r)
{
    struct mail_ping *p, *next;
    DL_FOREACH_SAFE(r->pings, p, next)
    {
        DL_DELETE(r->pings, p);
        free(p);
    }
}

// ---- the verb: asked here, done by the supervisor ----

// Lives on the stack of the task that waits for its answer.
struct reload_ask {
    struct reload_ask *prev, *next;
    uint64_t request;
    struct task *task;
    bool done, failed;
    struct buf *text;
};

enum result
mail_reload_ask(struct mail_role *r, struct buf *text, struct fault *f)
{
    struct reload_ask a = {.request = ++r->reload_last, .task = task_self(), .text = text};
    DL_APPEND(r->reloads, &a);
    role_link_reload(r->link, a.request);
    while (!a.done)
        task_suspend();
    return a.failed ? fault_set(f, FAULT_BAD, "%.*s", SPAN_ARG(buf_span(text))) : R_OK;
}

void
mail_reload_answer(struct mail_role *r, const struct admin_reply *reply)
{
    struct reload_ask *a, *next;
    DL_FOREACH_SAFE(r->reloads, a, next)
    {
        if (a->request != reply->request)
            continue;
        DL_DELETE(r->reloads, a);
        buf_put(a->text, reply->text);
        a->failed = reply->failed != ADMIN_DONE;
        a->done = true;
        task_wake(a->task);
    }
}
