#include "main/mail_role.h"
#include "base/log.h"
#include "ctl/call.h"
#include "io/task.h"
#include "os/peer.h"

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

// What a question about sessions carries to each home and back.
struct round {
    struct home *home;
    struct buf *rows;
    struct span user;
    unsigned kicked;
};

static void
who_here(void *arg)
{
    struct round *r = arg;
    session_who(r->home, r->rows);
}

static void
kick_here(void *arg)
{
    struct round *r = arg;
    r->kicked += session_kick(r->home, r->user);
}

static void
ask_homes(struct mail_role *role, struct round *r, task_fn *fn)
{
    for (unsigned i = 0; i < role->home_count; i++) {
        r->home = &role->homes[i];
        task_run_on(r->home->loop, fn, r);
    }
}

static void
host_who(void *role, struct buf *rows)
{
    struct round r = {.rows = rows};
    ask_homes(role, &r, who_here);
}

static unsigned
host_kick(void *role, struct span user)
{
    struct round r = {.user = user};
    ask_homes(role, &r, kick_here);
    return r.kicked;
}

static enum result
host_reload(void *role, struct buf *text, struct fault *f)
{
    return mail_reload_ask(role, text, f);
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
        .reload = host_reload,
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
    log_warning("mail", "somebody who may not knocked at the admin socket");
    close(fd);
}
