#include "main/mail_role.h"
#include "base/audit.h"
#include "ctl/call.h"
#include "io/task.h"
#include "os/peer.h"
#include "relay/link.h"

static struct home *
first_home(void *role)
{
    return &((struct mail_role *)role)->homes[0];
}

static enum result
host_users(void *role, struct span verb, const struct span *args, size_t n,
           struct buf *text, struct fault *f)
{
    return mail_ask_admin(first_home(role), verb, args, n, text, f);
}

static enum result
host_find_user(void *role, struct span name, uint64_t *account_out, struct buf *user_out,
               struct fault *f)
{
    return mail_ask_user(first_home(role), name, account_out, user_out, NULL, f);
}

static void
host_who(void *role, struct span user, void (*row)(void *to, struct span row), void *to)
{
    mail_who(role, user, row, to);
}

// What goes to a home and back.
struct round {
    struct home *home;
    struct span user;
    uint64_t session;
    unsigned count;
};

static void
kick_here(void *arg)
{
    struct round *r = arg;
    r->count += session_kick(r->home, r->user, r->session);
}

static unsigned
host_kick(void *role, struct span user, uint64_t session)
{
    struct mail_role *r = role;
    struct round round = {.user = user, .session = session};
    for (unsigned i = 0; i < r->home_count; i++) {
        round.home = &r->homes[i];
        task_run_on(round.home->loop, kick_here, &round);
    }
    return round.count;
}

struct rawlog_call {
    struct home *home;
    uint64_t account;
    int64_t until_s;
    unsigned *sessions_out;
    struct fault *fault;
    enum result result;
};

static void
rawlog_here(void *arg)
{
    struct rawlog_call *c = arg;
    c->result = mail_rawlog_set(c->home, c->account, c->until_s, c->sessions_out, c->fault);
}

static enum result
host_rawlog(void *role, uint64_t account, int64_t until_s, unsigned *sessions_out,
            struct fault *f)
{
    struct mail_role *r = role;
    struct home *home = &r->homes[mail_home_index(r->mail, account)];
    struct rawlog_call c = {home, account, until_s, sessions_out, f, R_FAIL};
    task_run_on(home->loop, rawlog_here, &c);
    return c.result;
}

static enum result
host_reload(void *role, struct buf *text, struct fault *f)
{
    return mail_reload_ask(role, text, f);
}

static enum result
host_queue(void *role, struct span verb, const struct span *args, size_t n,
           struct buf *rows, struct fault *f)
{
    (void)role;
    return relay_link_verb(verb, args, n, rows, f);
}

void
mail_admin_host(struct mail_role *r)
{
    r->host = (struct verb_host){
        .config = r->start->config,
        .mail = r->mail,
        .arg = r,
        .users = host_users,
        .find_user = host_find_user,
        .who = host_who,
        .kick = host_kick,
        .rawlog = host_rawlog,
        .reload = host_reload,
        .queue = host_queue,
    };
}

void
mail_admin_accept(struct home *h, int fd, const struct peer_ends *ends)
{
    (void)ends;
    if (peer_is_owner(fd)) {
        call_serve(fd, &h->role->host, NULL, NULL);
        return;
    }
    struct peer_ids by = {.uid = (uid_t)-1};
    struct fault none;
    (void)!peer_ids_get(fd, &by, &none);
    log_audit_line('w', VERB_DENIED, "mail",
                   "somebody who may not knocked at the admin socket",
                   field_number("uid", "uid=%", (uint64_t)by.uid),
                   field_number("pid", "pid=%", (uint64_t)by.pid));
    close(fd);
}
